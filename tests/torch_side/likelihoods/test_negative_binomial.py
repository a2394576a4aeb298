"""Negative binomial counts."""

import numpy as np
import pytest
import scipy.stats
import torch
from skeleton import CountTests, fitted, log_prob, outputs_at, prepared

from skvae import VAEDensityEstimator
from skvae._torch.likelihoods import NegativeBinomial


def draw(rng, mean, r):
    return rng.poisson(rng.gamma(r, mean / r)).astype(float)


class TestNegativeBinomial(CountTests):
    make = NegativeBinomial

    def reference(self, likelihood, outputs, X):
        mean, r = (output.clamp(max=8).exp().numpy() for output in outputs)
        return scipy.stats.nbinom(r, r / (r + mean)).logpmf(X)

    def variance(self, likelihood, outputs):
        mean, r = (output.clamp(max=8).exp() for output in outputs)
        return mean + mean**2 / r

    def two_groups(self, rng, second):
        means = np.array([[1.0, 20.0, 3.0, 0.5], [15.0, 2.0, 3.0, 12.0]])
        return draw(rng, means[second * 1], 10.0)

    @pytest.mark.parametrize(("mean", "r"), [(0.1, 0.01), (3.0, 0.7), (20.0, 500.0)])
    def test_sums_to_one(self, mean, r):
        likelihood, _ = fitted(NegativeBinomial(), np.ones((1, 1)))
        support = np.arange(2000.0)[:, None]
        outputs = [torch.full((2000, 1), np.log(value)) for value in (mean, r)]
        outputs = [output.double() for output in outputs]
        total = log_prob(likelihood, outputs, support).exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-9)

    def test_baseline_is_the_log_probability_of_zeros(self):
        likelihood, biases = fitted(NegativeBinomial(), self.table())
        zeros = np.zeros((1, 5))
        baseline, entries = likelihood.terms([b[None] for b in biases], prepared(likelihood, zeros))
        expected = self.reference(likelihood, [b[None] for b in biases], zeros).sum()
        assert baseline.item() == pytest.approx(expected, abs=1e-10)
        assert (entries == 0).all()

    def test_starts_from_the_moments_of_the_columns(self):
        rng = np.random.RandomState(0)
        X = np.column_stack([draw(rng, np.full(5000, 3.0), 0.5), draw(rng, np.full(5000, 9.0), 2)])
        likelihood, biases = fitted(NegativeBinomial(), X)
        np.testing.assert_allclose(likelihood.mean(biases), X.mean(axis=0), rtol=1e-3)
        np.testing.assert_allclose(self.variance(likelihood, biases), X.var(axis=0), rtol=1e-3)

    def test_column_without_more_variance_than_poisson_starts_from_the_largest_r(self):
        X = np.column_stack([np.zeros(50), np.full(50, 7.0)])
        _, (log_means, log_r) = fitted(NegativeBinomial(), X)
        assert log_means.isfinite().all()
        assert log_r.tolist() == pytest.approx([8, 8])

    def test_large_r_is_poisson(self):
        likelihood, _ = fitted(NegativeBinomial(), np.ones((1, 1)))
        X = np.arange(12.0)[:, None]
        outputs = [torch.full((12, 1), value, dtype=torch.float64) for value in (1.0, 50.0)]
        expected = scipy.stats.poisson(np.e).logpmf(X[:, 0])
        np.testing.assert_allclose(log_prob(likelihood, outputs, X), expected, atol=0.02)

    @pytest.mark.parametrize("count", [170, 10_000])
    def test_large_counts_are_exact(self, count):
        # With r = 1 the distribution is geometric: no factorial is left.
        likelihood, _ = fitted(NegativeBinomial(), np.ones((1, 1)))
        outputs = [torch.zeros(1, 1, dtype=torch.float64)] * 2
        found = log_prob(likelihood, outputs, np.array([[float(count)]])).item()
        assert found == pytest.approx(-(count + 1) * np.log(2), rel=1e-12)

    def test_fit_recovers_the_dispersion(self):
        second = np.arange(1000) % 2 == 0
        X = self.two_groups(np.random.RandomState(0), second)
        start = np.exp(NegativeBinomial().start(X)[1])
        density = VAEDensityEstimator(likelihood="negative_binomial", random_state=0).fit(X)
        _, log_r = outputs_at(density._model, density.transform(X))
        # Over both groups the columns vary more than in either.
        assert start[1] < 2
        assert 7 < np.exp(log_r.mean(axis=0)[1]) < 15


def test_start_of_a_single_large_count_is_within_bounds():
    X = np.zeros((10_000, 1))
    X[0] = 1e8
    _, log_r = NegativeBinomial().start(X)
    assert (np.abs(log_r) <= NegativeBinomial.MAX_LOG_R).all()


def test_spread_of_logarithms_is_that_beyond_poissons():
    # The logarithms of counts of mean m vary by about 1 / m + 1 / r.
    ((_, log_r),) = NegativeBinomial().spread_outputs(
        torch.zeros(1, 1), torch.tensor([4.0]), torch.tensor([0.5])
    )
    assert log_r.exp().item() == pytest.approx(4)
