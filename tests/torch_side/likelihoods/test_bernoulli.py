"""Zeros and ones."""

import itertools
import math

import numpy as np
import pytest
import torch
from skeleton import AS_TABLE, LikelihoodTests, fitted, log_prob, prepared, random_outputs
from torch.distributions import Bernoulli as TorchBernoulli

from skvae._torch.likelihoods import Bernoulli, LenientBernoulli
from skvae._torch.likelihoods.bernoulli import BernoulliTerms


class TestBernoulli(LikelihoodTests):
    make = Bernoulli

    def table(self):
        rng = np.random.RandomState(0)
        X = (rng.uniform(size=(200, 6)) < [0.1, 0.5, 0.9, 0.3, 0, 0.2]) * 1.0
        X[3] = 0
        return X

    def reference(self, likelihood, outputs, X):
        return TorchBernoulli(logits=outputs[0]).log_prob(torch.from_numpy(X)).numpy()

    def variance(self, likelihood, outputs):
        p = torch.sigmoid(outputs[0])
        return p * (1 - p)

    def two_groups(self, rng, second):
        p = np.tile([[0.1, 0.9, 0.5], [0.9, 0.1, 0.5]], 8)
        return (rng.uniform(size=(len(second), 24)) < p[second * 1]) * 1.0

    def test_sums_to_one_over_all_binary_vectors(self):
        X = np.array(list(itertools.product([0.0, 1.0], repeat=6)))
        outputs = [torch.linspace(-3, 2, 6, dtype=torch.float64).expand(64, 6)]
        total = log_prob(Bernoulli(), outputs, X).exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-12)

    def test_starts_from_the_marginals(self, X):
        likelihood, biases = fitted(Bernoulli(), X)
        expected = (X.sum(axis=0) + 0.5) / (len(X) + 1)
        np.testing.assert_allclose(likelihood.mean(biases), expected, atol=1e-12)

    @AS_TABLE
    @pytest.mark.parametrize("wrong", [-0.5, 2.0])
    def test_refuses_a_value_and_names_its_column(self, as_table, wrong):
        X = np.zeros((4, 5))
        X[2, 3] = wrong
        with pytest.raises(ValueError, match=f"column 3 has {wrong:g}.*likelihood='gaussian'"):
            Bernoulli().check(as_table(X))
        with pytest.raises(ValueError, match=f"column 13 has {wrong:g}"):
            Bernoulli(np.arange(10, 15)).check(as_table(X))

    def test_probabilities_are_taken(self, X):
        likelihood, biases = fitted(Bernoulli(), X)
        outputs = random_outputs(biases, len(X))
        half = log_prob(likelihood, outputs, X / 2)
        expected = (log_prob(likelihood, outputs, X) + log_prob(likelihood, outputs, X * 0)) / 2
        torch.testing.assert_close(half, expected, rtol=0, atol=1e-10)

    def test_large_logits_of_a_row_with_missing_values_lose_nothing(self):
        likelihood, _ = fitted(Bernoulli(), np.array([[1.0, 0.0], [0.0, 1.0]]))
        logits = torch.tensor([[24.0, 3.0]], dtype=torch.float64)
        found = log_prob(likelihood, [logits], np.array([[1.0, np.nan]]))
        np.testing.assert_allclose(found, -np.log1p(np.exp(-24.0)), rtol=1e-3)

    def test_encoder_reads_the_marginal_of_a_missing_value(self):
        X = np.array([[1.0], [0.0], [np.nan], [1.0]])
        likelihood, _ = fitted(Bernoulli(), X)
        read = likelihood.inputs(prepared(likelihood, X))[:, 0].tolist()
        assert read == pytest.approx([1, 0, 2.5 / 4, 1])


class TestLenientBernoulli(TestBernoulli):
    make = LenientBernoulli

    def reference(self, likelihood, outputs, X):
        return super().reference(likelihood, outputs, X) + np.log1p(-1 / (len(X) + 1))

    @AS_TABLE
    @pytest.mark.parametrize("wrong", [-0.5, 2.0])
    def test_refuses_a_value_and_names_its_column(self, as_table, wrong):
        X = np.zeros((4, 5))
        X[2, 3] = wrong
        likelihood, biases = fitted(LenientBernoulli(), as_table(np.zeros((4, 5))))
        outputs = random_outputs(biases, 4)
        lost = log_prob(likelihood, outputs, X) - log_prob(likelihood, outputs, np.zeros((4, 5)))
        known = outputs[0][2, 3].neg().sigmoid().log().item() + np.log(4 / 5)
        assert lost.tolist() == pytest.approx([0, 0, np.log(1 / 5) - known, 0])

    def test_probabilities_are_taken(self, X):
        likelihood, biases = fitted(LenientBernoulli(), X)
        outputs = random_outputs(biases, len(X))
        halves = log_prob(likelihood, outputs, np.full_like(X, 0.5))
        np.testing.assert_allclose(halves, -6 * np.log(len(X) + 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("width", [1, 4, 7, 33])
def test_logits_of_any_size_have_their_sum_and_their_gradient(width, weighted, dtype):
    generator = torch.Generator().manual_seed(width)
    scale = torch.tensor([1, 10, 30, 1e3])[:, None]  # of the last two, products overflow
    values = torch.randn(4, width, generator=generator) * scale
    logits = values.to(dtype).requires_grad_()
    weights = torch.rand(width, generator=generator).to(dtype) if weighted else None
    nothing = torch.zeros(4, width, dtype=dtype)
    baseline, _ = BernoulliTerms.apply(logits, None, nothing, weights)
    baseline.sum().backward()
    exact = values.double()
    factors = torch.ones(width) if weights is None else weights.double()
    rtol = 1e-6 if dtype == torch.float32 else 1e-13
    expected = -torch.logaddexp(exact, exact.new_zeros(())) @ factors.double()
    torch.testing.assert_close(baseline.detach().double(), expected, rtol=rtol, atol=width * rtol)
    expected = -exact.sigmoid() * factors
    smallest = torch.finfo(dtype).tiny
    torch.testing.assert_close(logits.grad.double(), expected, rtol=4 * rtol, atol=smallest)


def test_an_infinite_logit_is_an_infinite_loss_and_nan_stays():
    logits = torch.tensor([[math.inf, 0.0], [math.nan, 0.0], [-math.inf, 0.0]])
    baseline, _ = Bernoulli().terms([logits], torch.zeros(3, 2))
    torch.testing.assert_close(
        baseline, torch.tensor([-math.inf, math.nan, -math.log(2)]), equal_nan=True
    )
