"""Real values."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from skeleton import AS_TABLE, LikelihoodTests, fitted, log_prob, prepared
from torch.distributions import Normal

from skvae._torch.likelihoods import Gaussian
from skvae._torch.likelihoods.base import column_moments


class TestGaussian(LikelihoodTests):
    make = Gaussian

    def table(self):
        rng = np.random.RandomState(0)
        rows = rng.randn(200, 2) @ rng.randn(2, 4) * [1, 10, 0.1, 5] + rng.randn(200, 4) * 0.3 + 7
        return np.column_stack([rows, np.full(200, 5.0)])

    def reference(self, likelihood, outputs, X):
        mean = likelihood.mean(outputs)
        scale = np.append(self.table()[:, :4].std(axis=0), math.sqrt(1e-3))
        deviation = likelihood.variance(outputs).sqrt() * torch.from_numpy(scale)
        return Normal(mean, deviation).log_prob(torch.from_numpy(X)).numpy()

    def variance(self, likelihood, outputs):
        return likelihood.variance(outputs) * likelihood.scale_**2

    def two_groups(self, rng, second):
        means = np.array([[10.0, -2.0, 0.5], [13.0, 2.0, 0.5]])
        return means[second * 1] + rng.randn(len(second), 3) * 0.5

    def test_integrates_to_one(self):
        likelihood, _ = fitted(Gaussian(), np.array([[1.0], [5.0]]))
        support = np.linspace(-100, 100, 20_001)[:, None]
        outputs = [torch.full((20_001, 1), value, dtype=torch.float64) for value in (0.3, -1.0)]
        total = log_prob(likelihood, outputs, support).exp().sum() * 0.01
        assert total.item() == pytest.approx(1, abs=1e-10)

    def test_variance_never_falls_below_its_floor(self, X):
        likelihood, biases = fitted(self.make(), X)
        outputs = [biases[0], torch.full_like(biases[1], -1e6)]
        assert torch.equal(likelihood.variance(outputs), likelihood.min_variance_)
        assert (likelihood.min_variance_ >= 0.999 * Gaussian.min_variance).all()

    def test_starts_from_the_mean_and_unit_variance(self, X):
        likelihood, biases = fitted(Gaussian(), X)
        np.testing.assert_allclose(likelihood.mean(biases), X.mean(axis=0), rtol=1e-12)
        # That of a constant column is as small as it can be, but for a tenth.
        np.testing.assert_allclose(likelihood.variance(biases), [1, 1, 1, 1, 1.1], atol=1e-12)

    def test_column_moments_of_sparse_rows_are_those_of_dense_ones(self):
        X = sp.random(50, 12, density=0.3, format="csr", random_state=np.random.RandomState(0))
        for sparse, dense in zip(column_moments(X), column_moments(X.toarray()), strict=True):
            np.testing.assert_allclose(sparse, dense, atol=1e-14)

    def test_column_moments_of_rows_without_entries_are_zero(self):
        for moment in column_moments(sp.csr_matrix((2, 3))):
            np.testing.assert_array_equal(moment, np.zeros(3))

    def test_column_moments_leave_missing_values_out(self):
        X = np.array([[1.0, np.nan], [np.nan, np.nan], [4.0, np.nan]])
        mean, deviation = column_moments(X)
        assert mean.tolist() == [2.5, 0]
        assert deviation.tolist() == [1.5, 0]

    @AS_TABLE
    @pytest.mark.parametrize("n_rows", [20, 1000, 5000])
    @pytest.mark.parametrize("constant", [0.0, 3.0, 0.1, -2.2, 1e8 / 3])
    def test_scale_of_a_constant_column_is_its_smallest_deviation(self, constant, n_rows, as_table):
        X = np.column_stack([np.full(n_rows, constant), np.arange(n_rows)])
        likelihood, _ = fitted(Gaussian(), as_table(X))
        assert likelihood.scale_[0] == pytest.approx(math.sqrt(1e-3))
        assert likelihood.min_variance_[0] == 1
        assert likelihood.scale_[1] == pytest.approx(X[:, 1].std())

    def test_column_that_rounding_parts_is_constant(self):
        X = np.resize([0.1 + 0.2, 0.3], (100, 1))
        assert 0 < np.ptp(X) < 1e-15
        likelihood, _ = fitted(Gaussian(), X)
        assert likelihood.min_variance_[0] == 1

    def test_column_of_one_value_and_missing_ones_is_constant(self):
        X = np.full((1000, 1), 0.1)
        X[::3] = np.nan
        likelihood, _ = fitted(Gaussian(), X)
        assert likelihood.min_variance_[0] == 1

    @pytest.mark.parametrize(("least", "expected"), [(1e-6, 1e-3), (1e-3, 1e-3), (0.1, 0.1)])
    def test_smallest_variance_of_a_constant_column_is_no_less_than_a_thousandth(
        self, least, expected
    ):
        X = np.column_stack([np.full(30, 5.0), np.arange(30)])
        likelihood = Gaussian()
        likelihood.set_min_variance(least)
        fitted(likelihood, X)
        sure = [torch.zeros(2), torch.full((2,), -1e6)]
        variance = (likelihood.variance(sure) * likelihood.scale_**2).tolist()
        assert variance == pytest.approx([expected, least * X[:, 1].var()])

    @AS_TABLE
    def test_refuses_a_column_whose_variance_overflows(self, as_table):
        X = as_table(np.array([[1.0, 1e300], [2.0, -1e300], [0.0, 0.0]]))
        with pytest.raises(ValueError, match="column 1 are so large"):
            fitted(Gaussian(), X)
        with pytest.raises(ValueError, match="column 7 are so large"):
            fitted(Gaussian(np.array([4, 7])), X)

    @AS_TABLE
    def test_refuses_a_constant_column_whose_sum_overflows(self, as_table):
        X = as_table(np.tile([1.0, 1.7e308], (3, 1)))
        with pytest.raises(ValueError, match="column 1 are so large that their sum"):
            fitted(self.make(), X)

    @AS_TABLE
    def test_refuses_a_column_whose_variance_underflows(self, as_table):
        X = np.array([[1.0, 1e-170, 0], [2.0, -1e-170, 0], [0.0, 0.0, 0]])
        with pytest.raises(ValueError, match="column 1 are so small"):
            fitted(Gaussian(), as_table(X))
        likelihood, _ = fitted(Gaussian(), as_table(1e25 * X))
        assert likelihood.scale_[1] == pytest.approx(1e-145 * math.sqrt(2 / 3))

    def test_encoder_reads_the_mean_of_a_missing_value(self):
        X = np.array([[1.0], [3.0], [np.nan]])
        likelihood, _ = fitted(Gaussian(), X)
        read = likelihood.inputs(prepared(likelihood, X))[:, 0].tolist()
        assert read == pytest.approx([-1, 1, 0])
