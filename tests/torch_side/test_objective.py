"""Training losses and their gradients against computations by hand and by plain formulas."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Generator
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from skvae import VAEDensityEstimator
from skvae._torch.density_model import DensityModel
from skvae._torch.objective import (
    divergence,
    importance_weighted_terms,
    kl_divergence,
    squared_error,
    without_far_rows,
)
from skvae._torch.ranks import Noise
from skvae._torch.scoring import elbo_noise
from skvae._torch.sparse import as_batch


def test_kl_equals_torch_distributions():
    generator = Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    posterior = Normal(mean, (log_variance / 2).exp())
    expected = torch_kl(posterior, Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_training_loss_equals_computation_by_hand(as_table, binary_rows):
    X = binary_rows[:6]
    model = DensityModel(
        as_table(X),
        likelihood="bernoulli",
        autoregressive=False,
        n_components=3,
        hidden_layer_sizes=(5,),
        activation="tanh",
        reg_covar=1e-3,
        seed=0,
    )
    model.network.double()
    weights = {name: p.detach().numpy() for name, p in model.network.named_parameters()}
    generator = Generator()
    generator.set_state(model.generator.get_state())
    noise = torch.randn(6, 3, generator=generator, dtype=torch.float64).numpy()

    def layer(x, name):
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

    hidden = np.tanh(layer(X, "encoder.layers.0"))
    mean, log_variance = layer(hidden, "mean"), layer(hidden, "log_variance")
    z = mean + np.exp(log_variance / 2) * noise
    decoded = np.tanh(layer(z, "decoder.layers.0"))
    p = 1 / (1 + np.exp(-(decoded @ weights["outputs.0.weight"].T + weights["outputs.0.bias"])))
    reconstruction = -(X * np.log(p) + (1 - X) * np.log(1 - p)).sum(axis=1)
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1)

    options = VAEDensityEstimator()._training_options(max_iter=1, batch_size=128)
    row_losses = model.make_row_losses(as_table(X), options, model.make_optimizer(options))
    found = row_losses(as_table(X), Noise(model.generator), 1.0)
    np.testing.assert_allclose(found[0].detach(), reconstruction, atol=1e-12)
    np.testing.assert_allclose(found[1].detach(), kl, atol=1e-12)


@pytest.mark.parametrize("n_draws", [1, 3])
@pytest.mark.parametrize("n_prior_components", [1, 4])
def test_a_row_without_values_costs_nothing(n_prior_components, n_draws, real_rows):
    X = real_rows.copy()
    X[1] = np.nan
    options = {"n_prior_components": n_prior_components, "n_training_draws": n_draws}
    density = VAEDensityEstimator(max_iter=1, random_state=0, **options).fit(X)
    model = density._model
    training = density._training_options(max_iter=1, batch_size=128)
    row_losses = model.make_row_losses(X, training, model.make_optimizer(training))
    losses = sum(row_losses(X[:3], Noise(model.generator), 1.0))
    np.testing.assert_allclose(losses[1].item(), 0, atol=1e-6)
    assert losses[0].item() != 0


@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_squared_error_is_a_sum_over_features(as_table):
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(4, 6)) * (rng.uniform(size=(4, 6)) < 0.4)
    Y = rng.uniform(size=(4, 6))
    x = as_batch(as_table(X))
    np.testing.assert_allclose(
        squared_error(torch.from_numpy(Y), x), ((X - Y) ** 2).sum(axis=1), atol=1e-14
    )


def gradients(network, losses, n_repeats, generator):
    """Gradient of the mean loss for each parameter, over repeated noise: means and errors."""
    drawn = {name: [] for name, _ in network.named_parameters()}
    for _ in range(n_repeats):
        network.zero_grad()
        losses(generator).mean().backward()
        for name, parameter in network.named_parameters():
            drawn[name].append(parameter.grad.numpy().copy())
    return {
        name: (np.mean(values, axis=0), np.std(values, axis=0) / np.sqrt(n_repeats))
        for name, values in drawn.items()
    }


@pytest.mark.parametrize("n_prior_components", [1, 3])
@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_doubly_reparameterised_gradient_is_that_of_the_importance_weighted_bound(
    as_table, n_prior_components, binary_rows
):
    X = as_table(binary_rows[:4])
    model = DensityModel(
        X,
        likelihood="bernoulli",
        autoregressive=True,
        n_components=2,
        n_prior_components=n_prior_components,
        hidden_layer_sizes=(),
        activation="tanh",
        reg_covar=1e-3,
        seed=0,
    )
    network, x = model.network.double(), as_batch(X)
    n_draws = 3

    def doubly(generator):
        return sum(
            importance_weighted_terms(network, model.likelihood, x, n_draws, Noise(generator))
        )

    def singly(generator):
        mean, log_variance = network.encode(x)
        noise = torch.randn((n_draws, 4, 2), generator=generator, dtype=torch.float64)
        z = mean + (log_variance / 2).exp() * noise
        q = Normal(mean, (log_variance / 2).exp())
        log_prior = network.log_prior(z) - np.log(2 * np.pi)
        log_p = model.likelihood.log_prob(network.decode(z, network.shift(x)), x)
        log_weights = log_p + log_prior - q.log_prob(z).sum(-1)
        return -(torch.logsumexp(log_weights, 0) - np.log(n_draws))

    values = [losses(Generator().manual_seed(1)) for losses in (doubly, singly)]
    torch.testing.assert_close(*values, rtol=0, atol=1e-12)
    ours, plain = (
        gradients(network, losses, 600, Generator().manual_seed(seed))
        for seed, losses in enumerate((doubly, singly))
    )
    for name, (mean, error) in ours.items():
        other_mean, other_error = plain[name]
        assert (np.abs(mean - other_mean) <= 5 * np.hypot(error, other_error) + 1e-12).all(), name
    # That is what it is for: less noise in the encoder's gradient.
    assert ours["mean.weight"][1].mean() < plain["mean.weight"][1].mean()


def test_many_training_draws_fit_a_better_density(binary_rows):
    scores = [
        VAEDensityEstimator(
            2,
            hidden_layer_sizes=(),  # whose posterior is far from normal
            n_training_draws=n_training_draws,
            n_importance_samples=200,
            autoregressive=False,
            early_stopping=False,
            batch_size=128,
            learning_rate_init=1e-2,
            max_iter=60,
            n_iter_no_change=60,
            random_state=0,
        )
        .fit(binary_rows)
        .score(binary_rows)
        for n_training_draws in (1, 16)
    ]
    assert scores[1] > scores[0] + 0.05


def test_divergence_from_a_mixture_that_is_standard_normal_is_the_closed_form():
    model = DensityModel(
        np.eye(6),
        likelihood="bernoulli",
        autoregressive=False,
        n_components=3,
        n_prior_components=2,
        hidden_layer_sizes=(4,),
        activation="tanh",
        reg_covar=1e-3,
        seed=0,
    )
    prior = model.network.double().prior
    with torch.no_grad():
        prior.mean.zero_()
        prior.log_variance.zero_()
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    # Draws with mean 0 and covariance I make the estimate exact.
    z = mean + (log_variance / 2).exp() * elbo_noise(0, 3)[:, None]
    found = divergence(model.network, mean, log_variance, z)
    torch.testing.assert_close(found, kl_divergence(mean, log_variance))


def kept(losses):
    """Which of the rows with these losses, a reconstruction plus 2, are trained on."""
    reconstruction, kl = (losses - 2).requires_grad_(), torch.full_like(losses, 2).requires_grad_()
    terms = without_far_rows((reconstruction, kl), torch.zeros(()))
    sum(terms).mean().backward()
    assert torch.equal(reconstruction.grad, kl.grad)
    is_kept = kl.grad > 0
    # Loss and gradient are those of the mean over these rows.
    torch.testing.assert_close(kl.grad, is_kept / is_kept.sum())
    torch.testing.assert_close(terms[0].mean(), reconstruction[is_kept].mean())
    return is_kept.tolist()


def test_rows_beyond_the_outer_fence_are_not_trained_on():
    losses = torch.arange(41.0)  # with quartiles 10 and 30
    for last, is_kept in ((89.9, True), (90.1, False)):
        losses[-1] = last
        assert kept(losses) == [True] * 40 + [is_kept]


def test_all_but_a_tenth_of_the_rows_are_trained_on():
    losses = torch.arange(41.0)
    losses[-9:] += 1000
    assert kept(losses) == [True] * 37 + [False] * 4


@pytest.mark.parametrize("n_rows", [2, 5, 9, 10, 15, 29, 30, 128, 500])
def test_no_more_than_a_tenth_is_left_out_of_few_rows_either(n_rows):
    losses = torch.arange(float(n_rows)) ** 4
    losses[-n_rows // 5 :] *= 1e6
    assert kept(losses).count(False) == n_rows // 10


def test_what_units_take_from_all_values_of_a_row_puts_none_far_out():
    losses, units = torch.arange(41.0), torch.zeros(41)
    units[:3] = 100
    terms = (losses + units, torch.zeros(41))
    assert torch.equal(without_far_rows(terms, units)[0], terms[0])
    terms[0][20] += 200
    mean_of_others = terms[0][torch.arange(41) != 20].mean()
    assert without_far_rows(terms, units)[0][20] == mean_of_others


@pytest.mark.parametrize("n_rows", [1, 5])
def test_rows_that_are_equal_are_all_trained_on(n_rows):
    assert all(kept(torch.ones(n_rows)))
