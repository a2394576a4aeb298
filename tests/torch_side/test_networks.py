"""The autoregressive part, what a feature owes to those before it, and the learned prior."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Generator
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from skvae import VAEDensityEstimator
from skvae._torch import networks
from skvae._torch.networks import Autoregression, MixturePrior, Output
from skvae._torch.sparse import as_batch


@pytest.mark.parametrize(("rounded", "error"), [(False, 1e-5), (True, 2e-2)])
@pytest.mark.parametrize("n_features", [1023, 1024, 2500])
def test_wide_output_is_a_linear_layer_in_training(n_features, rounded, error, monkeypatch):
    monkeypatch.setattr(networks, "has_bfloat16", lambda device: rounded)
    generator = Generator().manual_seed(0)
    output = Output(5, np.linspace(-1, 1, n_features), generator)
    found, expected = [], []
    for results, function in (
        (found, output),
        (expected, lambda x: torch.nn.functional.linear(x, output.weight, output.bias)),
    ):
        x = torch.randn(3, 2, 5, generator=generator.manual_seed(1)).requires_grad_()
        y = function(x)
        (y**2).sum().backward()
        results += [y.detach(), x.grad, output.weight.grad, output.bias.grad]
        output.zero_grad()
    for result, reference in zip(found, expected, strict=True):
        assert result.dtype == torch.float32
        assert (result - reference).abs().max() < error * reference.abs().max()
    rounds = rounded and n_features >= 1024
    assert ((found[0] - expected[0]).abs().max() > 1e-4) == rounds


@pytest.fixture
def autoregression():
    module = Autoregression(4).double()
    weight = torch.randn(4, 4, generator=Generator().manual_seed(0), dtype=torch.float64)
    module.weight.data.copy_(weight.triu(1))
    return module


@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_a_feature_depends_on_those_before_it_alone(autoregression, as_table):
    X = np.array([[1.0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1]])
    weight = autoregression.weight.detach().numpy()
    expected = [[sum(row[i] * weight[i, j] for i in range(j)) for j in range(4)] for row in X]
    found = autoregression(as_batch(as_table(X)))
    np.testing.assert_allclose(found.detach(), expected, atol=1e-14)


def test_what_is_not_above_the_diagonal_gets_no_gradient(autoregression):
    autoregression(torch.ones(2, 4, dtype=torch.float64)).sum().backward()
    gradient = autoregression.weight.grad
    assert (gradient.tril() == 0).all()
    assert (gradient[np.triu_indices(4, 1)] != 0).all()


def test_weight_stays_zero_on_and_below_the_diagonal(binary_rows):
    density = VAEDensityEstimator(2, max_iter=5, random_state=0).fit(binary_rows)
    weight = density._model.network.autoregression.weight.detach()
    assert (weight.tril() == 0).all()
    assert (weight != 0).any()


def test_shrink_is_soft_thresholding(autoregression):
    before = autoregression.weight.detach().clone()
    autoregression.shrink(0.5)
    expected = before.sign() * (before.abs() - 0.5).clamp(min=0)
    torch.testing.assert_close(autoregression.weight.detach(), expected, rtol=0, atol=1e-15)
    assert (expected == 0).any()
    assert (expected != 0).any()


@torch.no_grad()
def test_samples_follow_the_chain_rule(autoregression):
    logits = torch.tensor([0.3, -0.5, 0.8, 0.1], dtype=torch.float64)
    uniform = torch.rand(40_000, 4, generator=Generator().manual_seed(0), dtype=torch.float64)
    x, p = autoregression.sample(logits, uniform)
    torch.testing.assert_close(p, torch.sigmoid(logits + autoregression(x)), rtol=0, atol=1e-12)
    frequencies = np.bincount((x.numpy() @ [8, 4, 2, 1]).astype(int), minlength=16) / len(x)
    everything = torch.tensor([[i >> 3 & 1, i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(16)])
    everything = everything.double()
    shifted = logits + autoregression(everything)
    exact = (everything * shifted - torch.nn.functional.softplus(shifted)).sum(-1).exp().numpy()
    assert exact.sum() == pytest.approx(1, abs=1e-12)
    assert (np.abs(frequencies - exact) < 5 * np.sqrt(exact * (1 - exact) / len(x))).all()


def test_independent_features_keep_weights_near_zero():
    rng = np.random.RandomState(0)
    X = (rng.uniform(size=(2000, 10)) < 0.3).astype(float)
    density = VAEDensityEstimator(2, early_stopping=False, max_iter=40, random_state=0).fit(X)
    weight = density._model.network.autoregression.weight.detach().numpy()
    # Without shrinkage it is about 0.07.
    assert np.abs(weight[np.triu_indices(10, 1)]).mean() < 0.02


def test_a_copied_feature_gets_a_large_weight():
    rng = np.random.RandomState(0)
    X = (rng.uniform(size=(2000, 10)) < 0.3).astype(float)
    X[:, 7] = X[:, 2]
    density = VAEDensityEstimator(2, max_iter=60, random_state=0).fit(X)
    weight = density._model.network.autoregression.weight.detach().numpy()
    assert np.unravel_index(np.abs(weight).argmax(), weight.shape) == (2, 7)


@pytest.fixture
def prior():
    generator = Generator().manual_seed(0)
    module = MixturePrior(4, 3, generator).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator)
        module.log_variance[0] = -20
    return module


def as_distribution(prior):
    """The prior as PyTorch has it."""
    log_variance = prior.log_variance.clamp(min=-8)
    components = Independent(Normal(prior.mean, (log_variance / 2).exp()), 1)
    return MixtureSameFamily(Categorical(logits=prior.logits), components)


def test_learned_prior_is_a_mixture(prior):
    z = torch.randn(2, 50, 3, generator=Generator().manual_seed(1), dtype=torch.float64)
    constant = 3 / 2 * np.log(2 * np.pi)
    expected = as_distribution(prior).log_prob(z) + constant
    torch.testing.assert_close(prior(z), expected, rtol=0, atol=1e-9)


def test_samples_of_the_prior_have_its_moments(prior):
    n = 40_000
    generator = Generator().manual_seed(2)
    z = prior.sample(torch.randn(n, 3, generator=generator, dtype=torch.float64), generator)
    distribution = as_distribution(prior)
    deviation = distribution.variance.sqrt()
    assert ((z.mean(0) - distribution.mean).abs() < 4.5 * deviation / n**0.5).all()
    torch.testing.assert_close(z.std(0), deviation, rtol=0.03, atol=0)


def test_learned_prior_begins_near_a_standard_normal_one():
    prior = MixturePrior(1000, 2, Generator().manual_seed(0))
    distribution = as_distribution(prior)
    torch.testing.assert_close(distribution.mean, torch.zeros(2), rtol=0, atol=0.1)
    torch.testing.assert_close(distribution.variance, torch.ones(2), rtol=0, atol=0.1)


def test_narrowest_component_of_the_prior_is_as_wide_as_allowed():
    prior = MixturePrior(4, 3, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        prior.log_variance[0] = -20
    z = prior.mean.detach()
    expected = as_distribution(prior).log_prob(z) + 3 / 2 * np.log(2 * np.pi)
    torch.testing.assert_close(prior(z), expected, rtol=0, atol=1e-9)
