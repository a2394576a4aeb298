"""Factor analysis, and a network that starts from it."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.special import expit, logsumexp
from scipy.stats import multivariate_normal, nbinom, norm, poisson
from sklearn.decomposition import FactorAnalysis

from skvae import VAEDensityEstimator
from skvae._torch.density_model import DensityModel, ScoringOptions
from skvae._torch.factors import MAX_COLUMNS, MAX_ROWS, factor_analysis
from skvae._torch.likelihoods import Gaussian
from skvae._torch.networks import ACTIVATIONS
from skvae._torch.start import CARRYING, most_factors

LOADINGS = np.array([[2.0, 0], [1.5, 0.5], [0, 1], [-1, 1], [0, 0]])
NOISE = np.array([0.3, 0.1, 0.5, 0.2, 1])
MEAN = np.array([1.0, 0, -1, 0, 2])


def rows(n_rows=2000, seed=0):
    """Rows of a linear model, as tensor."""
    rng = np.random.RandomState(seed)
    noise = np.sqrt(NOISE) * rng.randn(n_rows, 5)
    return torch.from_numpy(MEAN + rng.randn(n_rows, 2) @ LOADINGS.T + noise)


def made(X, **parameters):
    """Untrained model."""
    options = {"likelihood": "gaussian", "activation": "relu", "hidden_layer_sizes": (16,)}
    options |= {"autoregressive": False, "n_components": 3, "reg_covar": 1e-3, "seed": 0}
    options |= parameters
    init = options.pop("init", "factor_analysis")
    model = DensityModel(X, **options)
    if init == "factor_analysis":
        model.start_from_factors(X)
    return model


def covariance(factors):
    return (factors.loadings @ factors.loadings.T + factors.variance.diag()).numpy()


def test_agrees_with_scikit_learn():
    x = rows()
    found = factor_analysis(x, 2, 1e-3)
    expected = FactorAnalysis(2, svd_method="lapack").fit(x.numpy())
    np.testing.assert_allclose(covariance(found), expected.get_covariance(), atol=0.02)
    np.testing.assert_allclose(found.mean, expected.mean_, atol=1e-3)


def test_largest_loading_of_a_factor_is_positive():
    for sign in (-1, 1):
        loadings = factor_analysis(sign * rows(), 2, 1e-3).loadings
        assert loadings.shape == (5, 2)
        assert (loadings.max(0).values > -loadings.min(0).values).all()


def test_rounding_does_not_turn_factors_round():
    """Else a network whose random units read them would become another one with other units."""
    rng = np.random.RandomState(5)
    z = rng.randn(40, 1)
    counts = rng.poisson(np.exp(0.5 * z - 0.2 + 0.3 * rng.randn(3)), (40, 3))
    X = np.hstack([z * rng.randn(2) + 0.5 * rng.randn(40, 2), counts])
    X[rng.rand(*X.shape) < 0.3] = np.nan
    units = np.array([1, 37.0, 1, 1, 1])
    first, other = (
        VAEDensityEstimator(
            3,
            likelihood={"poisson": [2, 3, 4]},
            early_stopping=False,
            max_iter=2,
            random_state=0,
        ).fit(table)
        for table in (X, X * units)
    )
    shift = ~np.isnan(X) @ np.log(units)
    np.testing.assert_allclose(
        other.score_samples(X * units) + shift, first.score_samples(X), atol=1e-6
    )


def test_missing_values_are_left_out():
    x = rows(20_000)
    x[torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.3] = torch.nan
    # More likely where the first column is large, which the row does say.
    x[x[:, 0] > 2, 1] = torch.nan
    found = factor_analysis(x, 2, 1e-3)
    np.testing.assert_allclose(covariance(found), LOADINGS @ LOADINGS.T + np.diag(NOISE), atol=0.15)
    np.testing.assert_allclose(found.mean, MEAN, atol=0.05)


def test_few_complete_rows_are_read_exactly():
    rng = np.random.RandomState(0)
    x = torch.from_numpy(rng.randn(40, 2) @ rng.randn(2, 100) + rng.randn(40, 100))
    found = factor_analysis(x[:20], 2, 1e-3)
    scaled = found.loadings / found.variance[:, None]
    precision = torch.eye(2) + scaled.T @ found.loadings
    expected = torch.linalg.solve(precision, scaled.T @ (x[20:] - found.mean).T).T
    read = x[20:] @ found.reader[:100] + found.reader_bias
    torch.testing.assert_close(read, expected)
    assert (found.reader[100:] == 0).all()


@pytest.mark.parametrize("share_missing", [0, 0.2])
def test_reader_gives_posterior_means(share_missing):
    x = rows()
    missing = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < share_missing
    found = factor_analysis(x.masked_fill(missing, torch.nan), 2, 1e-3)
    read = torch.cat([x.masked_fill(missing, 0), missing.double()], 1) @ found.reader
    read += found.reader_bias
    errors = torch.empty_like(read)
    for i, row in enumerate(x):
        seen = ~missing[i]
        loadings = found.loadings[seen]
        scaled = loadings / found.variance[seen, None]
        precision = torch.eye(2) + scaled.T @ loadings
        mean = torch.linalg.solve(precision, scaled.T @ (row - found.mean)[seen])
        errors[i] = read[i] - mean
        if not share_missing:
            precision = precision - precision.diag().diag()
            assert precision.abs().max() < 1e-10
    # Which values are there makes the posterior mean nonlinear in them.
    assert (errors**2).mean() < (0.1 if share_missing else 1e-6)


def test_few_rows_leave_the_noise_near_one():
    found = factor_analysis(torch.zeros(1, 3, dtype=torch.float64), 2, 1e-3)
    torch.testing.assert_close(found.variance, torch.full_like(found.variance, 0.5))
    assert found.loadings.shape == (3, 0)


def test_a_column_without_values_has_its_prior():
    x = rows(200)
    x[:, 2] = torch.nan
    found = factor_analysis(x, 2, 1e-3)
    assert found.variance[2] == 1
    assert (found.loadings[2] == 0).all()
    assert all(value.isfinite().all() for value in found)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (16,), (12, 20)])
@pytest.mark.parametrize("activation", sorted(CARRYING))
def test_density_before_the_training_is_that_of_factor_analysis(activation, hidden_layer_sizes):
    X = rows(500).numpy()
    model = made(X, activation=activation, hidden_layer_sizes=hidden_layer_sizes)
    mean, scale = model.likelihood.location_.numpy(), model.likelihood.scale_.numpy()
    found = factor_analysis(torch.from_numpy((X - mean) / scale), 3, 1.5e-3)
    expected = multivariate_normal.logpdf(
        (X - mean) / scale, found.mean.numpy(), covariance(found)
    ) - np.sum(np.log(scale))
    # The posterior is exact, and one draw is as good as many.
    scores = model.score_samples(X, ScoringOptions(n_importance_samples=2))
    np.testing.assert_allclose(scores, expected, atol=0.01)


def test_a_column_of_one_value_in_the_sample_is_not_taken_for_constant():
    rng = np.random.RandomState(0)
    n_rows = 2 * MAX_ROWS
    rare = sp.csr_matrix((np.ones(60), (rng.randint(n_rows, size=60), range(60))), (n_rows, 60))
    X = sp.hstack([sp.csr_matrix(rows(n_rows).numpy()), rare], format="csr")
    linear, random = (
        made(X, init=init).score_samples(X, ScoringOptions()).mean()
        for init in ("factor_analysis", "random")
    )
    assert linear > random


def test_start_of_columns_of_very_few_values_is_finite():
    n_rows = 2_000_000
    X = sp.csr_matrix((np.ones(100), (np.arange(100) * 20_000, np.arange(100) % 50)), (n_rows, 50))
    network = made(X).network
    assert all(weight.isfinite().all() for weight in network.parameters())
    likelihood = Gaussian()
    likelihood.start(np.random.RandomState(0).randn(30, 4))
    variance = torch.tensor([0.002, 1.0, 50.0, 5000.0], dtype=torch.float64)
    outputs = likelihood.biases(torch.zeros(4), variance)
    torch.testing.assert_close(likelihood.variance(outputs), variance)


def test_network_has_no_more_factors_than_pairs_of_units():
    X = rows(500).numpy()
    model = made(X, hidden_layer_sizes=(5, 16))
    found = factor_analysis(model.likelihood.prepare(torch.from_numpy(X), torch.float64), 2, 1.5e-3)
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    decoded = model.network.decode(z)[0].detach()
    expected = z[:, :2] @ found.loadings.float().T + found.mean.float()
    torch.testing.assert_close(decoded, expected)


@pytest.mark.parametrize(
    ("parameters", "n_columns"),
    [({"activation": name}, 5) for name in sorted(set(ACTIVATIONS) - set(CARRYING))]
    + [({"hidden_layer_sizes": (1,)}, 5), ({}, MAX_COLUMNS + 1)],
)
def test_start_is_random_where_it_cannot_be_linear(parameters, n_columns):
    X = np.random.RandomState(0).randn(30, n_columns)
    linear, random = (
        made(X, init=init, **parameters).network.state_dict()
        for init in ("factor_analysis", "random")
    )
    assert all(torch.equal(linear[name], random[name]) for name in random)


def test_other_columns_start_as_they_do_without():
    X = rows(300).numpy()
    X = np.c_[X[:, :2], X[:, :1] > 1, X[:, 2:], X[:, 1:2] > 0]
    models = [made(X, likelihood="auto", init=init) for init in ("factor_analysis", "random")]
    linear, random = (model.network for model in models)
    (real,) = models[0].likelihood.linear_columns(X)
    assert real.columns.tolist() == [0, 1, 3, 4, 5]
    for place in range(3):
        same = torch.equal(linear.outputs[place].weight, random.outputs[place].weight)
        assert same == (place not in (real.first_output, real.first_output + 1))
    # The code says what the real values are, and nothing of them depends on the others.
    changed = X.copy()
    changed[:, [2, 6]] = 1 - X[:, [2, 6]]
    codes, changed = (models[0].encode(table, "cpu") for table in (X, changed))
    np.testing.assert_allclose(codes, changed, atol=1e-12)
    means = models[0].decode(codes, "cpu")[:, real.columns]
    residual = ((means - X[:, real.columns]) ** 2).mean(0) / X[:, real.columns].var(0)
    assert residual[:4].max() < 0.5


def counts_of_one_factor(n_rows, level, likelihood, seed):
    """Counts with log-rates linear in one normal factor, and the log-probability of each row."""
    rng = np.random.RandomState(seed)
    loadings, r = np.array([0.6, 0.3, -0.4, 0.0, 0.5]), 50.0
    z = np.linspace(-6, 6, 30_001)[:, None]
    rates = level * np.exp(rng.randn(n_rows, 1) * loadings)
    if likelihood == "poisson":
        X = rng.poisson(rates)
        log_p = [poisson.logpmf(x, level * np.exp(z * loadings)).sum(1) for x in X]
    else:
        X = rng.poisson(rates * rng.gamma(r, 1 / r, rates.shape))
        p = r / (r + level * np.exp(z * loadings))
        log_p = [nbinom.logpmf(x, r, p).sum(1) for x in X]
    log_weight = norm.logpdf(z[:, 0]) + np.log(z[1, 0] - z[0, 0])
    return X.astype(float), logsumexp(np.array(log_p) + log_weight, axis=1)


@pytest.mark.parametrize("n_components", [2, 8])
@pytest.mark.parametrize(
    ("likelihood", "level", "gain"),
    [("poisson", 2000, 1), ("negative_binomial", 2000, 0), ("poisson", 50_000, 3)],
)
def test_density_of_counts_is_found_from_a_linear_model_of_their_logarithms(
    likelihood, level, gain, n_components
):
    X, _ = counts_of_one_factor(400, level, likelihood, 0)
    rows, exact = counts_of_one_factor(100, level, likelihood, 1)
    # The comparison is of few steps, in which a random start does not find it.
    by_default, linear, random = (
        VAEDensityEstimator(
            n_components,
            likelihood=likelihood,
            n_importance_samples=1000,
            random_state=0,
            **parameters,
        )
        .fit(X)
        .score(rows)
        for parameters in ({}, {"batch_size": 128}, {"batch_size": 128, "init": "random"})
    )
    for score in (by_default, linear):
        assert exact.mean() - 0.5 < score < exact.mean() + 0.05
    assert random < linear - gain


@pytest.mark.parametrize("level", [10_000, 100_000])
def test_counts_that_hardly_vary_start_from_their_means(level):
    X = level + np.random.RandomState(0).randint(1, 29, (300, 3)).astype(float)
    density = VAEDensityEstimator(likelihood="poisson", random_state=0).fit(X)
    assert density.score(X) > poisson.logpmf(X, X.mean(axis=0)).sum(axis=1).mean() - 0.1


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial", "multinomial"])
def test_counts_that_hardly_vary_are_not_magnified(likelihood):
    X = 20_240_100 + np.random.RandomState(0).randint(1, 29, (300, 3)).astype(float)
    linear, random = (
        VAEDensityEstimator(likelihood=likelihood, init=init, random_state=0).fit(X).score(X)
        for init in ("factor_analysis", "random")
    )
    assert linear > random - 0.1


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_sparse_counts_start_as_dense_ones_do(likelihood):
    X, _ = counts_of_one_factor(100, 20, likelihood, 0)
    X = np.c_[np.arange(100) % 7 == 0, X]  # a small count, which stays random
    models = [made(table, likelihood=likelihood) for table in (X, sp.csr_matrix(X))]
    dense, sparse = (model.network.state_dict() for model in models)
    for name, weight in dense.items():
        torch.testing.assert_close(sparse[name], weight, rtol=1e-5, atol=1e-6)
    random = made(X, likelihood=likelihood, init="random").network.outputs[0]
    same = (models[0].network.outputs[0].weight == random.weight).all(1)
    assert same.tolist() == [True, *[False] * 5]


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_untrained_means_of_counts_are_those_of_the_table(likelihood):
    X, _ = counts_of_one_factor(1000, 50, likelihood, 0)
    X[np.random.RandomState(1).uniform(size=X.shape) < 0.2] = np.nan
    model = made(X, likelihood=likelihood)
    means = model.sample(20_000, 0, "cpu", sparse=False).mean(axis=0)
    np.testing.assert_allclose(means, np.nanmean(X, axis=0), rtol=0.05)
    # A value says much about the others that depend on the factor.
    codes = model.encode(X, "cpu")
    complete = ~np.isnan(X[:, [0, 4]]).any(axis=1)
    correlation = np.corrcoef(model.decode(codes, "cpu")[complete, 0], X[complete, 0])[0, 1]
    assert correlation > 0.9


@pytest.mark.parametrize("hidden_layer_sizes", [(), (4,), (4, 9), (9, 4), (2,), (5,)])
def test_rows_with_gaps_are_read_with_no_units_to_spare(hidden_layer_sizes):
    X = rows(200).numpy()
    X[::7, 0] = np.nan
    model = made(X, hidden_layer_sizes=hidden_layer_sizes, n_components=2)
    found = factor_analysis(
        model.likelihood.prepare(torch.from_numpy(X), torch.float64),
        most_factors(model.network),
        1.5e-3,
    )
    decoded = model.network.decode(torch.zeros(1, 2))[0][0].detach()
    torch.testing.assert_close(decoded, found.mean.float())
    assert np.isfinite(model.score_samples(X, ScoringOptions(n_importance_samples=2))).all()


def test_encoder_starts_from_more_than_a_linear_reading_of_rows_with_gaps():
    X = rows(3000, seed=1).numpy()
    X[np.random.RandomState(0).uniform(size=X.shape) < [0.3, 0.3, 0.3, 0.3, 0]] = np.nan
    X, unseen = X[:1500], X[1500:]
    model = made(X, hidden_layer_sizes=(64,), n_components=2)
    x = model.likelihood.prepare(torch.from_numpy(X), torch.float64)
    found = factor_analysis(x, 2, 1.5e-3)
    x = model.likelihood.prepare(torch.from_numpy(unseen), torch.float64)
    missing, values = x.isnan().double(), x.nan_to_num(0)
    scaled = found.loadings / found.variance[:, None]
    precision = torch.einsum("nd,dk,dl->nkl", 1 - missing, scaled, found.loadings) + torch.eye(2)
    informed = (values - found.mean * (1 - missing)) @ scaled
    expected = torch.linalg.solve(precision, informed[..., None])[..., 0]
    linear = torch.cat([values, missing], 1) @ found.reader + found.reader_bias
    codes = torch.from_numpy(model.encode(unseen, "cpu"))
    assert ((codes - expected) ** 2).mean() < 0.7 * ((linear - expected) ** 2).mean()
    # What was never missing says nothing when it is.
    (weight,) = (layer.weight for layer in model.network.feature_layers()[0])
    says_nothing = (weight[5:].abs().max(1).values < 1e-6).tolist()
    assert says_nothing == [False, False, False, False, True]


@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_columns_that_depend_on_each_other_linearly_are_learned(as_table):
    rng = np.random.RandomState(0)
    mixing = rng.randn(6, 20)
    X = rng.randn(450, 6) @ mixing + 0.1 * rng.randn(450, 20)
    expected = multivariate_normal.logpdf(
        X[300:], np.zeros(20), mixing.T @ mixing + 0.01 * np.eye(20)
    ).mean()
    # The comparison is of few steps, in which a random start does not find it.
    by_default, linear, random = (
        VAEDensityEstimator(n_importance_samples=100, random_state=0, **parameters)
        .fit(as_table(X[:300]))
        .score(as_table(X[300:]))
        for parameters in ({}, {"batch_size": 128}, {"batch_size": 128, "init": "random"})
    )
    assert min(by_default, linear) > expected - 3
    assert linear > random + 5


def test_missing_values_and_binary_columns_do_together():
    X = rows(300).numpy()
    X = np.c_[X, expit(X[:, 0]) > 0.5]
    X[np.random.RandomState(0).uniform(size=X.shape) < 0.2] = np.nan
    density = VAEDensityEstimator(max_iter=1, random_state=0).fit(X)
    again = VAEDensityEstimator(max_iter=1, random_state=0).fit(X)
    scores = density.score_samples(X)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, again.score_samples(X))
