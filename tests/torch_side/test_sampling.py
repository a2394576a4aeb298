"""Training on a sample of the zeros: without bias, and on no row that takes no part."""

import gc

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Generator

from skvae import VAEDensityEstimator, VAEOutlierDetector
from skvae._torch import loop, sampling
from skvae._torch.density_model import DensityModel
from skvae._torch.networks import VAE
from skvae._torch.objective import elbo_terms
from skvae._torch.ranks import Noise
from skvae._torch.sampling import ColumnSampler, RowTraining

N_ROWS, N_FEATURES = 12, 40
COUNTS = ["bernoulli", "poisson", "negative_binomial"]


def sparse_rows(likelihood="bernoulli", n_rows=N_ROWS, n_features=N_FEATURES):
    """Rows of two topics over a long-tailed vocabulary."""
    rng = np.random.RandomState(0)
    rate = 2 / (1 + np.arange(n_features)) ** 0.7
    rates = np.where(rng.uniform(size=(n_rows, 1)) < 0.5, rate, rate[::-1])
    X = rng.poisson(rates)
    return sp.csr_matrix(np.minimum(X, 1) if likelihood == "bernoulli" else X, dtype=float)


def made(
    likelihood,
    X=None,
    hidden_layer_sizes=(5,),
    alpha=0.0,
    solver="sgd",
    n_draws=7,
    n_prior_components=1,
):
    """Untrained model, its training by rows with plain steps of rate 1, and its optimiser."""
    X = sparse_rows(likelihood) if X is None else X
    model = DensityModel(
        X,
        likelihood=likelihood,
        autoregressive=False,
        n_components=2,
        n_prior_components=n_prior_components,
        hidden_layer_sizes=hidden_layer_sizes,
        activation="tanh",
        reg_covar=1e-3,
        seed=0,
    )
    model.network.double()
    optimizer = loop.make_optimizer(model.network, solver, 1.0, alpha)
    means = model.likelihood.column_means()
    return X, model, RowTraining(model.network, means, n_draws, optimizer, N_ROWS), optimizer


def exact_step(model, X):
    """Loss of each row and the gradient of its mean, for a fixed draw of z."""
    x = model._prepare(X, model.network)
    losses = sum(elbo_terms(model.network, model.likelihood, x, Noise(Generator().manual_seed(0))))
    losses.mean().backward()
    gradients = [p.grad.clone() for p in model.network.parameters()]
    model.network.zero_grad()
    return losses.detach(), gradients


def sampled_step(model, training, optimizer, X, generator):
    """The same from a sample of the zeros, by the step that plain descent of rate 1 takes."""
    before = [p.detach().clone() for p in model.network.parameters()]
    network, x = training.restrict(model._prepare(X, model.network), generator)
    losses = sum(elbo_terms(network, model.likelihood, x, Noise(Generator().manual_seed(0))))
    losses.mean().backward()
    optimizer.step()
    training.update(optimizer)
    optimizer.zero_grad()
    gradients = []
    with torch.no_grad():
        for parameter, start in zip(model.network.parameters(), before, strict=True):
            gradients.append(start - parameter)
            parameter.copy_(start)
    return losses.detach(), gradients


def assert_mean_is(samples, expected):
    """The mean of samples, (n_samples, ...), is the expected value to four standard errors."""
    error = samples.std(0) / len(samples) ** 0.5
    assert (samples.mean(0) - expected).abs().sub(4.5 * error).max() < 1e-9


def test_weighted_sums_over_drawn_columns_are_unbiased():
    generator = Generator().manual_seed(0)
    means = torch.rand(50, generator=generator, dtype=torch.float64) ** 4
    values = torch.randn(50, generator=generator, dtype=torch.float64)
    sampler, used = ColumnSampler(means, 6), torch.tensor([3, 11, 40])
    sums = []
    for _ in range(4000):
        columns, weights = sampler.draw(used, generator)
        assert len(columns.unique()) == len(columns)
        assert columns[:3].tolist() == [3, 11, 40]
        assert (weights[:3] == 1).all()
        sums.append(weights @ values[columns])
    assert_mean_is(torch.stack(sums), values.sum())


@pytest.mark.parametrize("n_prior_components", [1, 3])
@pytest.mark.parametrize("hidden_layer_sizes", [(), (5,)])
@pytest.mark.parametrize("likelihood", COUNTS)
def test_loss_and_gradient_are_unbiased(likelihood, hidden_layer_sizes, n_prior_components):
    X, model, training, optimizer = made(
        likelihood,
        hidden_layer_sizes=hidden_layer_sizes,
        n_prior_components=n_prior_components,
    )
    X = X[:3]
    losses, gradients = exact_step(model, X)
    generator = Generator().manual_seed(1)
    steps = [sampled_step(model, training, optimizer, X, generator) for _ in range(700)]
    assert_mean_is(torch.stack([found for found, _ in steps]), losses)
    for number, expected in enumerate(gradients):
        assert_mean_is(torch.stack([found[number] for _, found in steps]), expected)


def test_steps_have_few_shapes(monkeypatch):
    monkeypatch.setattr(sampling, "ROWS_MULTIPLE", 16)
    X, model, training, _ = made("bernoulli", n_draws=20)
    shapes, used, drawn = set(), set(), set()
    for start in range(N_ROWS - 2):
        x = model._prepare(X[start : start + 3], model.network)
        network, restricted = training.restrict(x, Generator().manual_seed(start))
        (reader,), (writer,) = network.feature_layers()
        assert restricted.n_features == len(writer.weight) == len(writer.bias)
        weights = restricted.column_weights
        assert (weights[: len(training.columns)] > 0).all()
        assert (weights[len(training.columns) :] == 0).all()
        shapes |= {len(reader.weight), len(writer.weight)}
        used.add(len(training.used))
        drawn.add(len(training.columns))
    assert min(len(used), len(drawn)) > 3
    assert shapes <= {16, 32, 48}


def test_few_draws_are_not_the_exact_loss():
    X, model, training, optimizer = made("bernoulli")
    losses, _ = exact_step(model, X[:3])
    found, _ = sampled_step(model, training, optimizer, X[:3], Generator().manual_seed(1))
    assert (found - losses).abs().min() > 1e-3


def test_decay_is_divided_by_the_share_of_steps():
    rng = np.random.RandomState(0)
    X, model, training, _ = made("bernoulli", alpha=0.5)
    p = model.likelihood.marginals_.numpy()
    n_steps = 3000
    taken = [torch.zeros(N_FEATURES), torch.zeros(N_FEATURES)]
    for _ in range(n_steps):
        rows = sp.csr_matrix(rng.uniform(size=X.shape) < p, dtype=float)
        training.restrict(model._prepare(rows, model.network), model.generator)
        for count, columns in zip(taken, (training.used, training.columns), strict=True):
            count[columns] += 1 / n_steps
    for part, share in ((training.inputs[0], taken[0]), (training.outputs[0], taken[1])):
        # Rows come in Poisson numbers, as it were: a rare one no more often than it should.
        torch.testing.assert_close(part.share, share.double(), atol=0.07, rtol=0)
        columns = torch.tensor([1, 5])
        rows = part.whole.detach()[columns]
        part.parts = [(columns, rows, torch.zeros_like(rows))]
        expected = 0.5 * rows / part.share[columns][:, None]
        torch.testing.assert_close(part.take()[1], expected)
    assert training.outputs[1].decay == 0


def test_each_piece_of_a_batch_draws_columns_of_its_own(monkeypatch):
    monkeypatch.setattr(sampling, "MAX_ROWS", 4)
    _, model, training, _ = made("bernoulli")  # a step of 12 rows has three pieces
    n_steps, counts = 2000, torch.zeros(N_FEATURES)
    for _ in range(n_steps):
        taken = torch.zeros(N_FEATURES, dtype=bool)
        for _piece in range(N_ROWS // 4):
            rows = sp.csr_matrix(np.zeros((4, N_FEATURES)))
            training.restrict(model._prepare(rows, model.network), model.generator)
            taken[training.columns] = True
        counts += taken / n_steps
    p = training.sampler.probabilities
    expected = 1 - torch.exp(3 * 7 * torch.log1p(-p))
    torch.testing.assert_close(counts, expected.float(), atol=0.05, rtol=0)
    in_use = 1 - torch.exp(-N_ROWS * model.likelihood.marginals_)
    share = 1 - (1 - expected) * (1 - in_use)
    torch.testing.assert_close(training.outputs[0].share, share)


def weights_after(model, X, solver, by_rows, monkeypatch, n_epochs=6, batch_size=N_ROWS):
    """Weights after some epochs, with every column in use in each batch."""
    options = VAEDensityEstimator(
        solver=solver, alpha=0, n_negative_samples=5 if by_rows else None
    )._training_options(n_epochs, batch_size)
    # No draws, and the noise of the exact steps.
    monkeypatch.setattr(
        ColumnSampler, "draw", lambda self, used, generator: (used, torch.ones(len(used)).double())
    )
    model.train(X, None, options, tables=[X], n_rows=N_ROWS, partial=False, keep_optimizer=False)
    return dict(model.network.named_parameters())


@pytest.mark.parametrize("max_rows", [512, 5])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_rows_that_always_take_part_move_as_the_optimiser_moves_them(solver, max_rows, monkeypatch):
    monkeypatch.setattr(loop, "MAX_ROWS", max_rows)
    found = []
    for by_rows in (False, True):
        half = np.random.RandomState(0).uniform(size=(N_ROWS, N_FEATURES)) < 0.5
        X, model, _, _ = made("bernoulli", sp.csr_matrix(np.where(half, 1.0, 0.5)))
        found.append(weights_after(model, X, solver, by_rows, monkeypatch))
    for name, expected in found[0].items():
        torch.testing.assert_close(found[1][name], expected, rtol=1e-3, atol=1e-5)
    _, untrained, _, _ = made("bernoulli")
    moved = found[1]["outputs.0.weight"] - untrained.network.outputs[0].weight
    assert moved.abs().max() > 1e-3


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_rows_that_take_no_part_stay(solver):
    X, model, training, optimizer = made("bernoulli", solver=solver, alpha=0.1, n_draws=3)
    optimizer.register_step_post_hook(lambda optimizer, *_: training.update(optimizer))
    before = {name: p.detach().clone() for name, p in model.network.named_parameters()}
    network, x = training.restrict(model._prepare(X[:2], model.network), model.generator)
    sum(elbo_terms(network, model.likelihood, x, Noise(model.generator))).mean().backward()
    optimizer.step()
    rows = {"encoder.layers.0.weight": X[:2].indices, "outputs.0.weight": training.columns.numpy()}
    assert len(training.columns) < N_FEATURES
    for name, columns in rows.items():
        moved = (model.network.get_parameter(name) != before[name]).any(1).numpy()
        np.testing.assert_array_equal(np.flatnonzero(moved), np.unique(columns))


def long_tailed(n_rows):
    return sparse_rows(n_rows=n_rows, n_features=400)


def test_few_zeros_give_the_density_that_all_give():
    X = long_tailed(1500)
    train, test = X[:1000], X[1000:]
    options = {"n_components": 2, "max_iter": 60, "early_stopping": False, "random_state": 0}
    scores = {
        n: VAEDensityEstimator(n_negative_samples=n, autoregressive=False, **options)
        .fit(train)
        .score(test)
        for n in (None, 60)
    }
    p = (np.asarray(train.sum(0)).ravel() + 0.5) / (train.shape[0] + 1)
    independent = np.mean(test @ np.log(p / (1 - p))) + np.log1p(-p).sum()
    gain = scores[None] - independent
    assert gain > 3
    assert scores[60] - independent > 0.9 * gain


def test_one_seed_gives_one_fit_and_it_goes_on():
    X = long_tailed(200)
    options = {"n_negative_samples": 30, "max_iter": 2, "random_state": 0, "warm_start": True}
    first, second = (VAEDensityEstimator(**options).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.score_samples(X), second.score_samples(X))
    state = first._model._optimizer_state["state"]
    assert any(value["step"].numel() == X.shape[1] for value in state.values())
    longer = VAEDensityEstimator(**options | {"max_iter": 4, "early_stopping": False}).fit(X)
    twice = VAEDensityEstimator(**options | {"early_stopping": False}).fit(X).fit(X)
    np.testing.assert_array_equal(twice.score_samples(X), longer.score_samples(X))


def test_a_training_is_freed_without_the_garbage_collector():
    """It seldom runs in a process of many objects, while each training holds a network."""
    X = long_tailed(50)
    gc.collect()
    gc.disable()
    try:
        VAEDensityEstimator(n_negative_samples=30, max_iter=2, random_state=0).fit(X)
        kept = [type(thing) for thing in gc.get_objects()]
    finally:
        gc.enable()
    assert RowTraining not in kept
    assert torch.optim.Adam not in kept


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_all_zeros_after_a_sample_starts_a_new_optimiser(likelihood):
    X = long_tailed(200)
    density = VAEDensityEstimator(
        likelihood=likelihood, n_negative_samples=30, max_iter=2, warm_start=True
    ).fit(X)
    density.set_params(n_negative_samples=None).fit(X)
    assert density.n_iter_ == 4
    assert np.isfinite(density.score_samples(X)).all()


@pytest.mark.parametrize(
    ("parameters", "as_table", "match"),
    [
        ({}, sp.csr_matrix.toarray, "X is dense"),
        ({"likelihood": "gaussian"}, sp.csr_matrix, "the likelihood is gaussian"),
        ({"likelihood": "multinomial"}, sp.csr_matrix, "the likelihood is multinomial"),
        ({"n_training_draws": 2}, sp.csr_matrix, "n_training_draws"),
    ],
)
def test_refuses_what_a_sample_would_bias(parameters, as_table, match):
    X = as_table(sparse_rows(n_rows=20))
    with pytest.raises(ValueError, match=match):
        VAEDensityEstimator(n_negative_samples=5, max_iter=1, **parameters).fit(X)
    VAEDensityEstimator(n_negative_samples="auto", max_iter=1, **parameters).fit(X)


def test_auto_samples_the_zeros_of_a_large_vocabulary(monkeypatch):
    monkeypatch.setattr("skvae._torch.density_model.MIN_FEATURES_TO_SAMPLE", 400)
    monkeypatch.setattr("skvae._torch.density_model.N_ZEROS_SAMPLED", 20)
    X = long_tailed(200)
    options = {"max_iter": 2, "random_state": 0, "outlier_score": "elbo"}
    auto, drawn, every = (
        VAEOutlierDetector(n_negative_samples=n, **options).fit(X).score_samples(X)
        for n in ("auto", 20, None)
    )
    np.testing.assert_array_equal(auto, drawn)
    assert (auto != every).any()


def test_adam_scales_a_row_by_its_gradients_over_all_steps():
    # Zero in all steps but a share s of them, its root mean square is sqrt(s) times its own.
    _, _, training, optimizer = made("bernoulli", solver="adam")
    for part in (training.inputs[0], training.outputs[0]):
        columns = part.share.argsort()[[0, 3]]
        share = part.share[columns]
        assert (share < 0.95).all()
        for _ in range(3):
            gradient = torch.full_like(part.whole.detach()[columns], -0.25)
            direction = training._adam_direction(part, columns, gradient, optimizer)
            expected = -share.rsqrt()[:, None].expand_as(direction)
            torch.testing.assert_close(direction, expected.to(direction))


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_batch_larger_than_the_table_is_the_table(solver):
    X = sp.random(60, 30, density=0.1, format="csr", random_state=0)
    X.data[:] = 1
    options = {"solver": solver, "alpha": 0.5, "max_iter": 3, "early_stopping": False}
    scores = [
        VAEDensityEstimator(2, n_negative_samples=5, batch_size=size, random_state=0, **options)
        .fit(X)
        .score_samples(X)
        for size in (60, 1000)
    ]
    np.testing.assert_array_equal(*scores)


def test_frequent_columns_are_drawn_more_often():
    means = torch.cat([torch.full((50,), 0.5), torch.full((9950,), 1e-4)]).double()
    sampler, generator = ColumnSampler(means, 300), Generator().manual_seed(0)
    none = torch.empty(0, dtype=torch.long)
    totals = []
    for _ in range(100):
        columns, weights = sampler.draw(none, generator)
        totals.append((means[columns] * weights).sum())
    assert torch.stack(totals).std() < 0.1 * means.sum()  # with even probabilities 0.76


def test_weights_of_inputs_are_read_as_often_as_a_batch_has_their_ones():
    means = torch.tensor([1e-9, 0.01, 0.5], dtype=torch.float64)
    network = VAE(3, 1, (), "relu", [np.zeros(3)], Generator())
    optimizer = loop.make_optimizer(network, "adam", 0.01, 0.1)
    training = RowTraining(network, means, 2, optimizer, batch_size=10)
    expected = (1 - torch.exp(-10 * means)).clamp(min=sampling.MIN_SHARE)
    for part in training.inputs:
        torch.testing.assert_close(part.share, expected)
    for part in training.outputs:
        assert (part.share > expected).all()
        assert (part.share <= 1).all()
