"""Real values, some of which have nothing to do with the others of their row."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
import torch
from skeleton import AS_TABLE, fitted, log_prob, random_outputs
from test_gaussian import TestGaussian as GaussianTests

from skvae import VAEDensityEstimator
from skvae._torch.likelihoods import Bernoulli, ContaminatedGaussian, Gaussian, Mixed
from skvae._torch.likelihoods.base import resolutions

SHARE, SPREAD = ContaminatedGaussian.SHARE, ContaminatedGaussian.SPREAD


class TestContaminatedGaussian(GaussianTests):
    make = ContaminatedGaussian

    def reference(self, likelihood, outputs, X):
        location, scale = likelihood.location_.numpy(), likelihood.scale_.numpy()
        mean = outputs[0].numpy() * scale + location
        deviation = np.sqrt(likelihood.variance(outputs).numpy()) * scale
        own = scipy.stats.norm(mean, deviation).logpdf(X) + np.log(1 - SHARE)
        wide = scipy.stats.norm(location, self.wide_deviations(scale)).logpdf(X) + np.log(SHARE)
        return np.logaddexp(own, wide)

    def wide_deviations(self, scale):
        """In units of the table; the last column is constant, and has no scale of its own."""
        return SPREAD * np.append(scale[:4], 1)

    def variance(self, likelihood, outputs):
        # The mean square, less the square of the mean.
        mean, scale = outputs[0], likelihood.scale_
        spread = torch.from_numpy(self.wide_deviations(scale.numpy())) / scale
        square = (1 - SHARE) * (likelihood.variance(outputs) + mean**2) + SHARE * spread**2
        return (square - ((1 - SHARE) * mean) ** 2) * scale**2

    def test_one_far_value_costs_a_row_less_than_under_a_gaussian(self, X):
        scores = {}
        for likelihood in (Gaussian(), ContaminatedGaussian()):
            _, biases = fitted(likelihood, X)
            outputs = random_outputs(biases, 1)
            outputs[1] = outputs[1] - 8  # the network is sure
            far = likelihood.location_ + likelihood.scale_ * outputs[0]
            at_mean = log_prob(likelihood, outputs, far.numpy())
            far[0, 0] += 5 * likelihood.scale_[0]
            scores[likelihood.name] = at_mean - log_prob(likelihood, outputs, far.numpy())
        assert scores["gaussian"] > 1000
        assert scores["contaminated_gaussian"] < 20

    def test_a_far_value_has_no_pull(self, X):
        likelihood, biases = fitted(ContaminatedGaussian(), X)
        outputs = [bias[None].requires_grad_() for bias in biases]
        far = X.mean(axis=0, keepdims=True) + 50 * X.std(axis=0)
        log_prob(likelihood, outputs, far).sum().backward()
        spread = X.std(axis=0) > 0
        for output in outputs:
            assert np.abs(output.grad.numpy()[0, spread]).max() < 1e-100


def standardised_by(likelihood, X):
    likelihood, _ = fitted(likelihood, X)
    return likelihood.location_.numpy(), likelihood.scale_.numpy()


def test_a_few_far_values_do_not_stretch_a_column():
    rng = np.random.RandomState(0)
    clean = rng.randn(1000, 2) * [1, 5] + [3, -2]
    X = np.r_[clean, clean[:8] + [30, 300]]
    location, scale = standardised_by(ContaminatedGaussian(), X)
    np.testing.assert_allclose(scale, clean.std(axis=0), rtol=0.05)
    np.testing.assert_allclose(location, clean.mean(axis=0), atol=0.05 * clean.std(axis=0).max())
    assert (standardised_by(Gaussian(), X)[1] > 2.5 * scale).all()


def test_scales_are_those_of_normal_columns_where_they_are():
    X = np.random.RandomState(0).randn(20_000, 2)
    np.testing.assert_allclose(standardised_by(ContaminatedGaussian(), X)[1], 1, atol=0.02)


def test_scales_are_not_above_the_standard_deviation_and_follow_no_far_value():
    rng = np.random.RandomState(0)
    flat, far, two = rng.uniform(size=400), rng.randn(400), np.arange(400) % 2
    far[:3] = 1e6
    rare = (np.arange(400) == 7) * 5.0
    X = np.c_[flat, far, two, rare, np.full(400, 3.0)]
    location, scale = standardised_by(ContaminatedGaussian(), X)
    deviation = X.std(axis=0)
    near = far[3:].std()
    np.testing.assert_allclose(scale[:4], [*deviation[:1], near, *deviation[2:4]], rtol=0.03)
    assert (scale[:4] <= deviation[:4]).all()
    assert location[3] == rare.mean()
    assert scale[4] == pytest.approx(math.sqrt(1e-3))
    _, scale = standardised_by(ContaminatedGaussian(), 1e-3 * X[:, [1]] + 1e4 * (X[:, [1]] == 1e6))
    assert scale[0] == pytest.approx(near * 1e-3, rel=0.03)
    hidden = np.where(X[:, [1]] == 1e6, 1e6, 1e-3 * X[:, [1]])
    assert standardised_by(ContaminatedGaussian(), hidden)[1] == pytest.approx(1e-6 * hidden.std())


@AS_TABLE
def test_a_column_is_as_fine_as_the_median_step_between_its_values(as_table):
    X = np.zeros((8, 6))
    X[:, 0] = [0, 1, 2, 4, 5, 6, 7, 3]
    X[:, 1] = [0, 0.5, 0, 0.5, 0, 0, 0, 0]
    X[:, 2] = [0, 1, 0, 1, -9999, 0, 0, 1]  # a code for an error
    X[:, 3] = [0, 0, 0, 0, 0, 1e-9, 0, 3]
    X[:, 4] = 7.0
    X[:, 5] = [2, 6, 2, 6, 6, 2, 2, 6]
    np.testing.assert_array_equal(resolutions(as_table(X), 0.01), [1, 0.5, 1, 1e-9, 0, 4])


def test_rounding_is_no_step():
    rng = np.random.RandomState(0)
    tenths = rng.randint(20, size=(2, 300)) / 10
    difference = tenths[0] - tenths[1]  # 0.3 - 0.1 is not 0.2, nor is 0.5 - 0.3
    assert len(np.unique(difference)) > 2 * len(np.unique(difference.round(9)))
    X = np.column_stack(
        [difference, 1e-30 * difference, difference, 1e9 + rng.randint(5, size=300)]
    )
    X[0, 2] = 1e20  # for a missing one
    np.testing.assert_allclose(resolutions(X, 0.01), [0.1, 1e-31, 0.1, 1], rtol=1e-9)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-3)])
def test_rounding_is_no_step_where_operands_cancel_out(dtype, rtol):
    rng = np.random.RandomState(0)
    old, rise = rng.randint(10, 60, size=600), rng.randint(4, size=600)
    new, old = ((values / 10).astype(dtype) for values in (old + rise, old))
    X = (new - old).astype(float)[:, None]
    assert len(np.unique(X)) > 10
    np.testing.assert_allclose(resolutions(X, 0.01), 0.1, rtol=rtol)


def test_a_column_is_as_fine_with_missing_values_as_without():
    X = np.array([[1.0, np.nan], [np.nan, np.nan], [4.0, np.nan], [2.0, np.nan], [5.0, np.nan]])
    assert resolutions(X, 0.01).tolist() == [1, 0]


def test_a_value_is_known_no_better_than_its_column_is_fine():
    rng = np.random.RandomState(0)
    grades, fine = rng.randint(4, size=300), rng.randn(300)
    X = np.c_[grades, 10.0 * grades + 3, fine, np.round(fine, 1)]
    likelihood, biases = fitted(ContaminatedGaussian(), X)
    sure = [biases[0], torch.full_like(biases[1], -1e6)]
    deviation = (likelihood.variance(sure).sqrt() * likelihood.scale_).numpy()
    rounded = np.array([1, 10]) / np.sqrt(12)
    least = np.sqrt(likelihood.min_variance) * likelihood.scale_[2].item()
    np.testing.assert_allclose(deviation[:3], [*rounded, least])
    # Rounding to a tenth of a deviation costs hardly anything.
    assert deviation[3] == pytest.approx(least, rel=0.1)


def test_the_wide_part_is_never_the_narrower_one():
    rare = (np.arange(400) == 7) * 5.0
    likelihood, biases = fitted(ContaminatedGaussian(), rare[:, None])
    deviation = np.sqrt(likelihood.min_variance_.item())
    assert deviation > 4  # in units of the column's, of which nearly all values are 0
    assert likelihood.spread_.item() == pytest.approx(SPREAD * deviation)
    # The value that one row of 400 has is about as unlikely as that.
    outputs = [bias[None] for bias in biases]
    usual, seen = (log_prob(likelihood, outputs, np.array([[x]])).item() for x in (0.0, 5.0))
    assert -9 < seen - usual < -4


def test_the_spread_reaches_values_that_are_very_far_away():
    X = np.random.RandomState(0).randn(1000, 3)
    X[:3] *= [1, 30, 1e6]
    likelihood, biases = fitted(ContaminatedGaussian(), X)
    factor = likelihood.spread_.numpy() / SPREAD
    np.testing.assert_allclose(factor[:2], 1)
    np.testing.assert_allclose(factor[2], X[:, 2].std() / likelihood.scale_[2] / 10)
    # A value that fits nothing costs thousands of nats, not the 1e11 of its own distribution.
    outputs = [bias[None] for bias in biases]
    at = likelihood.location_.numpy() + [0, 0, 1e6]
    assert log_prob(likelihood, outputs, at[None])[0] > -1e4


def test_a_few_error_codes_do_not_cost_a_column_its_density():
    rng = np.random.RandomState(0)
    loadings = rng.randn(2, 5)
    X, rows = (rng.randn(n, 2) @ loadings + 0.2 * rng.randn(n, 5) for n in (600, 300))
    options = {"max_iter": 40, "random_state": 0}
    expected = VAEDensityEstimator(**options).fit(X).score(rows)
    X[:3, 2] = -9999
    assert VAEDensityEstimator(**options).fit(X).score(rows) > expected - 0.3


@AS_TABLE
@pytest.mark.parametrize("n_wild", [4, 9])
def test_a_few_wild_values_do_not_make_grades_coarse(n_wild, as_table):
    """As many as there are grades, and less than a hundredth of the values."""
    rng = np.random.RandomState(0)
    X = rng.randint(4, size=(1000, 2)).astype(float)
    X[rng.choice(1000, n_wild, replace=False), 0] = rng.uniform(-1000, 1000, size=n_wild)
    likelihood, _ = fitted(ContaminatedGaussian(), as_table(X))
    least = likelihood.min_variance_.sqrt() * likelihood.scale_
    np.testing.assert_allclose(least, 1 / math.sqrt(12), rtol=1e-9)


def test_sparse_columns_and_those_with_missing_values_are_standardised_as_others():
    rng = np.random.RandomState(0)
    shares = [0.002, 0.009, 0.02, 0.3, 0.5, 1]
    X = rng.randn(500, 6) ** 3 * (rng.uniform(size=(500, 6)) < shares)
    of_dense = standardised_by(ContaminatedGaussian(), X)
    for container in (sp.csr_matrix, sp.csr_array):
        of_sparse = standardised_by(ContaminatedGaussian(), container(X))
        np.testing.assert_allclose(of_sparse, of_dense)
        least = [
            fitted(ContaminatedGaussian(), table)[0].min_variance_ for table in (container(X), X)
        ]
        torch.testing.assert_close(*least)
    holes = np.r_[X, np.full((100, 6), np.nan)]
    np.testing.assert_allclose(standardised_by(ContaminatedGaussian(), holes), of_dense)


def test_a_far_value_moves_a_code_no_further_than_one_of_five_scales():
    X = np.random.RandomState(0).randn(100, 3)
    density = VAEDensityEstimator(max_iter=5, random_state=0).fit(X)
    location = density._model.likelihood.location_.numpy()
    scale = density._model.likelihood.scale_.numpy()
    rows = location + scale * [[5.0, 0, 0], [1e6, 0, 0], [4.0, 0, 0]]
    at_five, far, at_four = density.transform(rows)
    np.testing.assert_allclose(far, at_five, rtol=1e-9)
    assert np.abs(at_five - at_four).max() > 1e-3
    # The likelihood still tells them apart.
    scores = density.score_samples(rows)
    assert scores[1] < scores[0] - 1e9


@pytest.mark.parametrize("mixed", [False, True])
def test_share_comes_down_to_its_own(mixed):
    X = np.c_[np.arange(6.0), np.arange(6.0) % 2]
    likelihood = ContaminatedGaussian()
    if mixed:
        groups = {ContaminatedGaussian: np.array([0]), Bernoulli: np.array([1])}
        likelihood = Mixed(groups)
    _, outputs = fitted(likelihood, X)

    def share(progress):
        trained = likelihood.in_training(progress)
        return (trained.parts[0] if mixed else trained).share

    shares = [share(progress) for progress in (0, 0.5, 1)]
    assert shares == pytest.approx([0.5, np.sqrt(0.5 * SHARE), SHARE])
    before = log_prob(likelihood, outputs, X)
    early = log_prob(likelihood.in_training(0.1), outputs, X)
    assert (early != before).all()
    torch.testing.assert_close(log_prob(likelihood, outputs, X), before, rtol=0, atol=0)
    late = log_prob(likelihood.in_training(1.0), outputs, X)
    torch.testing.assert_close(late, before)


def line_with_strays(rng, n_strays):
    """Rows on a line of three dimensions, then rows of which a value is somewhere else."""
    X = rng.randn(400, 1) @ [[1.0, -1.0, 1.0]] + 0.05 * rng.randn(400, 3)
    strays = X[:n_strays].copy()
    strays[np.arange(n_strays), rng.randint(3, size=n_strays)] = rng.uniform(-3, 3, size=n_strays)
    return X, strays


def test_learns_of_spoilt_rows_nearly_what_it_learns_without_them():
    X, strays = line_with_strays(np.random.RandomState(0), 80)
    losses = {}
    for likelihood in ("gaussian", "contaminated_gaussian"):
        density = VAEDensityEstimator(
            1, likelihood=likelihood, early_stopping=False, max_iter=60, random_state=0
        )
        clean, spoilt = (density.fit(rows).score(X) for rows in (X, np.r_[X, strays]))
        losses[likelihood] = clean - spoilt
    assert losses["contaminated_gaussian"] < losses["gaussian"] / 3


def test_a_trained_network_goes_on_with_the_share_it_came_down_to(monkeypatch):
    X, _ = line_with_strays(np.random.RandomState(0), 0)
    seen = []
    in_training = ContaminatedGaussian.in_training

    def spy(self, progress):
        seen.append(progress)
        return in_training(self, progress)

    monkeypatch.setattr(ContaminatedGaussian, "in_training", spy)
    quick = {"batch_size": 400, "max_iter": 4, "random_state": 0}
    density = VAEDensityEstimator(early_stopping=False, warm_start=True, **quick).fit(X)
    assert seen == [0.25, 0.5, 0.75, 1]
    seen.clear()
    density.fit(X).partial_fit(X)
    assert seen == [1] * 5
    seen.clear()
    VAEDensityEstimator(early_stopping=True, **quick).fit(X)
    assert seen == [1] * 4


def test_zeros_that_are_not_stored_count_in_the_scale():
    rng = np.random.RandomState(0)
    X = np.where(rng.rand(1000, 1) < 0.4, rng.gamma(2, size=(1000, 1)), 0)
    X[0] = 1e4
    dense, sparse = ContaminatedGaussian(), ContaminatedGaussian()
    dense.start(X)
    sparse.start(sp.csr_matrix(X))
    torch.testing.assert_close(sparse.scale_, dense.scale_)
