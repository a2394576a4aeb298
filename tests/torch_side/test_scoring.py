"""Bounds on log p(x) against computations by hand, closed forms and numerical integration."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.decomposition import FactorAnalysis

from skvae import VAEDensityEstimator
from skvae._torch import scoring
from skvae._torch.blocks import MAX_ELEMENTS, MAX_ROWS, rows_per_block
from skvae._torch.density_model import N_MEAN_DRAWS
from skvae._torch.objective import divergence
from skvae._torch.scoring import (
    MAX_FALL,
    Fit,
    Posterior,
    decoded_draws,
    elbo_noise,
    encoded,
    fit_of,
    importance_noise,
    natural_step,
    refine,
)
from skvae._torch.sparse import as_batch


@pytest.mark.parametrize(
    ("sizes", "widest"),
    [
        ({"hidden_layer_sizes": (1024, 4)}, 1024),
        ({"n_components": 600}, 600),
        ({"n_prior_components": 600}, 600),
    ],
)
def test_no_layer_of_the_draws_decoded_at_once_is_larger_than_allowed(sizes, widest, binary_rows):
    X = np.resize(binary_rows, (MAX_ROWS, 8))
    model = VAEDensityEstimator(max_iter=1, early_stopping=False, **sizes).fit(X)._model
    network, x = model.scorer("cpu"), as_batch(X)
    q = encoded(network, model.likelihood, x)
    noise = importance_noise(0, 20, network.n_components)
    blocks = list(decoded_draws(network, x, q, noise))
    assert [draw for draws, _, _ in blocks for draw in range(20)[draws]] == list(range(20))
    largest = max(len(ratios) for _, _, ratios in blocks)
    assert largest * len(X) * widest <= MAX_ELEMENTS


@pytest.fixture(scope="module")
def factor_model():
    """Linear Gaussian autoencoder that holds scikit-learn's factor analysis, q exact."""
    rng = np.random.RandomState(0)
    X = (rng.randn(2000, 3) @ rng.randn(3, 8) + rng.randn(2000, 8) + 4) * [1, 2, 0.5, 2, 1, 3, 1, 1]
    factors = FactorAnalysis(n_components=3).fit(X)
    loadings, noise = factors.components_, factors.noise_variance_
    precision = np.eye(3) + (loadings / noise) @ loadings.T
    assert np.abs(precision - np.diag(np.diag(precision))).max() < 1e-6

    density = VAEDensityEstimator(
        3, hidden_layer_sizes=(), likelihood="gaussian", max_iter=1, random_state=0
    ).fit(X)
    location = density._model.likelihood.location_.numpy()
    scale = density._model.likelihood.scale_.numpy()
    projection = (loadings / noise).T / np.diag(precision)
    variance = noise / scale**2 - density._model.likelihood.min_variance
    values = {
        "mean.weight": scale[:, None] * projection,
        "mean.bias": (location - factors.mean_) @ projection,
        "log_variance.weight": np.zeros((8, 3)),
        "log_variance.bias": -np.log(np.diag(precision)),
        "outputs.0.weight": (loadings / scale).T,
        "outputs.0.bias": (factors.mean_ - location) / scale,
        "outputs.1.weight": np.zeros((8, 3)),
        "outputs.1.bias": np.log(np.expm1(variance)),
    }
    state = {name: torch.from_numpy(value) for name, value in values.items()}
    density._model.scorer("cpu").load_state_dict(state)
    return X, factors, density


@pytest.mark.parametrize("n_importance_samples", [1, 2, 7, 1000])
def test_exact_posterior_gives_the_density_of_factor_analysis(factor_model, n_importance_samples):
    X, factors, density = factor_model
    density.set_params(n_importance_samples=n_importance_samples)
    np.testing.assert_allclose(
        density.score_samples(X[:50]), factors.score_samples(X[:50]), rtol=0, atol=1e-9
    )


def test_elbo_draws_have_mean_zero_and_unit_covariance():
    for n_components in (1, 2, 8, 20):
        noise = elbo_noise(3, n_components)
        assert len(noise) == 2 * max(8, n_components)
        np.testing.assert_allclose(noise.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(noise.T @ noise / len(noise), np.eye(n_components), atol=1e-12)


def test_importance_draws_of_any_number_are_a_prefix_of_more():
    many = importance_noise(5, 1000, 4)
    for n_draws in (2, 17, 512):
        assert torch.equal(importance_noise(5, n_draws, 4), many[:n_draws])


def test_each_importance_draw_is_standard_normal_over_seeds():
    draws = np.stack([importance_noise(seed, 3, 2).numpy() for seed in range(4000)])
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(draws.var(axis=0), 1, atol=0.1)


@pytest.fixture(
    scope="module",
    params=[{}, {"autoregressive": True}, {"n_prior_components": 5}],
    ids=["independent", "autoregressive", "learned prior"],
)
def plane_model(request):
    """Binary density with two latent dimensions, and log p(x) of any rows by quadrature."""
    rng = np.random.RandomState(0)
    p = 1 / (1 + np.exp(-3 * rng.randn(600, 2) @ rng.randn(2, 8)))
    X = (rng.uniform(size=(600, 8)) < p).astype(float)
    X[:, 7] = X[:, 0]
    # A coin that the other features know nothing of, and its copy: more than two latents can say.
    X[:, 3] = rng.uniform(size=600) < 0.5
    X[:, 5] = X[:, 3]
    density = VAEDensityEstimator(
        2,
        **{"autoregressive": False} | request.param,
        hidden_layer_sizes=(32,),
        alpha=0.0,
        batch_size=128,
        early_stopping=False,
        max_iter=100,
        learning_rate_init=5e-3,
        random_state=0,
    ).fit(X)
    axis = np.linspace(-9, 9, 181)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    network = density._model.scorer("cpu")
    prior = network.prior
    log_prior = norm.logpdf(grid).sum(axis=1)
    if prior is not None:
        shares, means = torch.softmax(prior.logits, 0), prior.mean.numpy()
        covariances = map(np.diag, prior.log_variance.exp().numpy())
        components = zip(shares.numpy(), means, covariances, strict=True)
        log_prior = np.log(
            sum(share * multivariate_normal.pdf(grid, *of) for share, *of in components)
        )
    log_weight = log_prior + 2 * np.log(axis[1] - axis[0])
    logits = network.decode(torch.from_numpy(grid))[0].numpy()
    weight = np.zeros((8, 8))
    if network.autoregression is not None:
        weight = network.autoregression.weight.numpy()
        assert np.abs(weight).max() > 0.3

    def exact(rows):
        def one(row):
            shifted = logits + row @ weight
            return logsumexp(shifted @ row - np.logaddexp(0, shifted).sum(axis=1) + log_weight)

        return np.array([one(row) for row in rows])

    return X, density, exact


@pytest.fixture
def all_probabilities(plane_model, all_binary):
    return np.exp(plane_model[2](all_binary))


def test_quadrature_density_sums_to_one(all_probabilities):
    assert all_probabilities.sum() == pytest.approx(1, abs=1e-10)


def test_importance_weighted_density_sums_to_one(plane_model, all_binary):
    _, density, _ = plane_model
    density.set_params(n_importance_samples=5000)
    assert np.exp(density.score_samples(all_binary)).sum() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("n_refinement_steps", [0, 10])
def test_bounds_are_ordered_and_below_the_exact_density(plane_model, n_refinement_steps):
    X, density, exact = plane_model
    X = X[:100]
    seed = density._model.noise_seed
    density.set_params(n_refinement_steps=n_refinement_steps)
    means, errors = [], []
    for n_importance_samples in (1, 10, 1000):
        density.set_params(n_importance_samples=n_importance_samples)
        scores = []
        for noise_seed in range(20):
            density._model.noise_seed = noise_seed
            scores.append(density.score(X))
        means.append(np.mean(scores))
        errors.append(np.std(scores, ddof=1) / np.sqrt(20))
    density._model.noise_seed = seed
    density.set_params(n_refinement_steps=0)
    assert means[0] < means[1] < means[2]
    limit = exact(X).mean() + 1e-12
    for mean, error in zip(means, errors, strict=True):
        assert mean <= limit + 3 * error
    assert means[2] == pytest.approx(limit, abs=0.01)


def test_refinement_raises_the_bound(plane_model):
    X, density, exact = plane_model
    seed = density._model.noise_seed
    density.set_params(n_importance_samples=1)
    gaps = []
    for n_refinement_steps in (0, 1, 4):
        density.set_params(n_refinement_steps=n_refinement_steps)
        scores = []
        for noise_seed in range(20):
            density._model.noise_seed = noise_seed
            scores.append(density.score(X[:100]))
        gaps.append(exact(X[:100]).mean() - np.mean(scores))
    density._model.noise_seed = seed
    density.set_params(n_refinement_steps=0)
    assert gaps[0] > gaps[1] > gaps[2] > 0


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh"])
def test_no_step_of_refinement_makes_a_row_worse(activation, binary_rows):
    density = VAEDensityEstimator(
        3, activation=activation, learning_rate_init=0.05, max_iter=20, random_state=0
    ).fit(binary_rows)
    likelihood, network = density._model.likelihood, density._model.scorer("cpu")
    x, noise = as_batch(binary_rows), elbo_noise(0, 3)
    start = encoded(network, likelihood, x)
    # Far from where the rows are, and too narrow or too wide.
    start = Posterior(start.mean + 3, 5 * start.scale.flip(0), start.log_det)
    start = start._replace(log_det=2 * start.scale.log().sum(-1))
    elbos = [
        fit_of(network, likelihood, x, q, noise).elbo
        for q in (refine(network, likelihood, x, start, noise, n) for n in range(6))
    ]
    for before, after in pairwise(elbos):
        assert (after >= before - MAX_FALL).all()
    assert elbos[5].mean() > elbos[0].mean() + 5


def test_steps_grow_again_after_one_that_was_taken_back(plane_model, monkeypatch):
    X, density, _ = plane_model
    rates, n_fits = [], 0

    def natural_step_and_tell(q, fit, rate):
        rates.append(rate[0].item())
        return natural_step(q, fit, rate)

    def fit_with_a_bad_second(*arguments):
        nonlocal n_fits
        n_fits += 1
        fit = fit_of(*arguments)
        return fit._replace(elbo=fit.elbo - 100) if n_fits == 2 else fit

    monkeypatch.setattr(scoring, "natural_step", natural_step_and_tell)
    monkeypatch.setattr(scoring, "fit_of", fit_with_a_bad_second)
    likelihood, network = density._model.likelihood, density._model.scorer("cpu")
    x = as_batch(X[:1])
    q = encoded(network, likelihood, x)
    refine(network, likelihood, x, q, elbo_noise(0, 2), 5)
    assert rates == [1, 0.25, 0.5, 1, 1]


@pytest.fixture
def turned_model(factor_model):
    """The factor analysis in other axes, in which no posterior is diagonal, and a blind encoder."""
    X, factors, density = factor_model
    state = dict(density._model.scorer("cpu").state_dict())
    turn, _ = np.linalg.qr(np.random.RandomState(1).randn(3, 3))
    state["outputs.0.weight"] = state["outputs.0.weight"] @ torch.from_numpy(turn)
    for name in ("mean.weight", "mean.bias", "log_variance.weight", "log_variance.bias"):
        state[name] = torch.zeros_like(state[name])
    density = copy.deepcopy(density)
    density._model.scorer("cpu").load_state_dict(state)
    return X, factors, density


def test_a_step_widens_no_direction_more_than_tenfold():
    q = Posterior(torch.zeros(1, 2), torch.eye(2)[None], torch.zeros(1))
    fit = Fit(torch.zeros(1), torch.zeros(1, 2), torch.tensor([[[1e-6, 0], [0, 4.0]]]))
    new = natural_step(q, fit, torch.ones(1))
    covariance = new.scale[0] @ new.scale[0].T
    torch.testing.assert_close(covariance, torch.tensor([[10.0, 0], [0, 0.25]]))
    torch.testing.assert_close(new.log_det, torch.tensor([2.5]).log())


@pytest.mark.parametrize("n_importance_samples", [1, 2, 7])
def test_one_step_of_refinement_is_to_the_exact_posterior_of_factor_analysis(
    turned_model, n_importance_samples
):
    X, factors, density = turned_model
    X, exact = X[:50], factors.score_samples(X[:50])
    density.set_params(n_importance_samples=n_importance_samples, n_refinement_steps=0)
    assert density.score(X) < exact.mean() - 1
    density.set_params(n_refinement_steps=1)
    np.testing.assert_allclose(density.score_samples(X), exact, rtol=0, atol=1e-9)


def test_imputed_values_are_the_conditional_means_of_factor_analysis(turned_model):
    X, factors, density = turned_model
    gaps = X[:50].copy()
    gaps[np.random.RandomState(2).uniform(size=gaps.shape) < 0.5] = np.nan
    density.set_params(n_refinement_steps=1)
    filled = density._impute(gaps, n_importance_samples=1)
    covariance = factors.get_covariance()
    for row, found in zip(gaps, filled, strict=True):
        here, gone = ~np.isnan(row), np.isnan(row)
        coefficients = np.linalg.solve(covariance[np.ix_(here, here)], covariance[here][:, gone])
        expected = factors.mean_[gone] + (row[here] - factors.mean_[here]) @ coefficients
        np.testing.assert_allclose(found[gone], expected, rtol=0, atol=1e-8)


def test_elbo_is_not_the_decoded_posterior_mean(plane_model):
    X, density, exact = plane_model
    X = X[:100]
    density.set_params(n_importance_samples=1)
    network, x = density._model.scorer("cpu"), torch.from_numpy(X)
    mean, log_variance = network.encode(x)
    draws = mean + (log_variance / 2).exp() * elbo_noise(0, 2)[:, None]
    kl = divergence(network, mean, log_variance, draws).numpy()
    p = torch.sigmoid(network.decode(mean, network.shift(x))[0]).numpy()
    plug_in = (X * np.log(p) + (1 - X) * np.log1p(-p)).sum(axis=1) - kl
    exact_scores = exact(X)
    assert (plug_in > exact_scores).mean() > 0.9
    assert density.score(X) < exact_scores.mean() - 0.01


def test_samples_have_the_moments_of_the_model(plane_model, all_binary, all_probabilities):
    _, density, _ = plane_model
    mean = all_probabilities @ all_binary
    second = (all_binary * all_probabilities[:, None]).T @ all_binary
    drawn = density.sample(40_000, random_state=0)
    deviation = np.sqrt(mean * (1 - mean) / len(drawn))
    assert (np.abs(drawn.mean(axis=0) - mean) < 4 * deviation).all()
    pairs = drawn.T @ drawn / len(drawn)
    off_diagonal = ~np.eye(8, dtype=bool)
    error = 4 * np.sqrt(second * (1 - second) / len(drawn))
    assert (np.abs(pairs - second) < error)[off_diagonal].all()


def test_decoded_mean_is_that_of_the_rows_given_z(plane_model, all_binary):
    _, density, _ = plane_model
    network, x = density._model.scorer("cpu"), torch.from_numpy(all_binary)
    Z = np.array([[0.0, 0.0], [1.5, -1.0], [-2.0, 0.5]])
    for z, found in zip(Z, density.inverse_transform(Z), strict=True):
        outputs = network.decode(torch.from_numpy(z).expand(256, 2), network.shift(x))
        p = density._model.likelihood.log_prob(outputs, x).exp().numpy()
        assert p.sum() == pytest.approx(1, abs=1e-12)
        mean = p @ all_binary
        tolerance = 1e-12
        if network.autoregression is not None:
            tolerance = 4 * np.sqrt(mean * (1 - mean) / N_MEAN_DRAWS) + 1e-12
        assert (np.abs(found - mean) < tolerance).all()


def test_samples_of_a_gaussian_model_have_its_covariance(factor_model):
    _, factors, density = factor_model
    drawn = density.sample(40_000, random_state=0)
    covariance = factors.get_covariance()
    deviation = np.sqrt(np.diag(covariance))
    assert (np.abs(drawn.mean(axis=0) - factors.mean_) < 4 * deviation / 200).all()
    correlation_error = (np.cov(drawn.T) - covariance) / np.outer(deviation, deviation)
    assert np.abs(correlation_error).max() < 4 * np.sqrt(2 / 40_000)


@pytest.mark.parametrize("n_features", [1, 1000, 10**7])
@pytest.mark.parametrize("n_draws", [1, 16, 10**7])
def test_scoring_blocks_are_bounded(n_features, n_draws):
    rows = rows_per_block(n_features, n_draws)
    assert 1 <= rows <= 512
    assert rows == 1 or rows * n_draws <= 2**21
    # A few share a pass over the weights, of which a feature has many.
    assert rows * n_features <= max(2**21, 16 * n_features)
    assert n_draws > 1000 or rows >= 16
