"""Poisson counts."""

import math

import numpy as np
import pytest
import torch
from skeleton import CountTests, fitted, log_prob
from torch.distributions import Poisson as TorchPoisson

from skvae._torch.likelihoods import Poisson


class TestPoisson(CountTests):
    make = Poisson

    def reference(self, likelihood, outputs, X):
        return TorchPoisson(outputs[0].exp()).log_prob(torch.from_numpy(X)).numpy()

    def variance(self, likelihood, outputs):
        return outputs[0].exp()

    def two_groups(self, rng, second):
        rates = np.array([[1.0, 9.0, 3.0, 0.5], [8.0, 2.0, 3.0, 5.0]])
        return rng.poisson(rates[second * 1]).astype(float)

    def test_sums_to_one(self):
        likelihood, _ = fitted(Poisson(), np.ones((1, 1)))
        support = np.arange(200.0)[:, None]
        for log_rate in (-3.0, 0.5, 4.0):
            outputs = [torch.full((200, 1), log_rate, dtype=torch.float64)]
            total = log_prob(likelihood, outputs, support).exp().sum()
            assert total.item() == pytest.approx(1, abs=1e-12)

    def test_starts_from_the_means_of_the_columns(self, X):
        likelihood, biases = fitted(Poisson(), X)
        expected = X.mean(axis=0) + 0.5 / len(X)
        np.testing.assert_allclose(likelihood.mean(biases), expected, rtol=1e-12)

    @pytest.mark.parametrize("count", [0, 1, 5, 170, 10_000])
    def test_factorials_are_exact(self, count):
        likelihood, _ = fitted(Poisson(), np.ones((1, 1)))
        outputs = [torch.zeros(1, 1, dtype=torch.float64)]
        found = log_prob(likelihood, outputs, np.array([[float(count)]])).item()
        assert found == pytest.approx(-1 - math.log(math.factorial(count)), rel=1e-14)

    def test_rate_is_bounded(self):
        assert Poisson().mean([torch.tensor([1e3, 20.0])]).tolist() == pytest.approx(
            [math.exp(20)] * 2
        )
