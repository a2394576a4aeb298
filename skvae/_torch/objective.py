"""What a network is trained on and scored by: the evidence lower bound and its tighter relatives.

With q(z|x) = N(mean, diag exp(log_variance)) and p(z) = N(0, I) or a learned mixture,

    ELBO(x) = E_q[log p(x|z)] - KL(q(z|x) || p(z))            (Kingma and Welling, 2014, eq. 3)
    IW_K(x) = E log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x)       (Burda et al., 2016, eq. 8)

in nats: summed over features and over latent dimensions, one value a row. Higher is more normal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from .likelihoods import Likelihood
from .networks import MAX_LOG_VARIANCE, MIN_LOG_VARIANCE, VAE
from .ranks import Noise
from .sparse import Batch, CSRBatch, sum_entries

# Fewest pairs of draws that estimate E_q[log p(x|z)] when the ELBO is scored.
MIN_ELBO_PAIRS = 8

# Largest number of values in one temporary of the scoring pass (16 MB of float64).
MAX_ELEMENTS = 2**21

# Largest number of rows that are ever written out, or decoded, at once.
MAX_ROWS = 512

# Step of the natural gradient that refines q: 1 would jump to the optimum of a linear model.
REFINEMENT_RATE = 0.1

# Mean and log-variance of q(z|x), both (n_rows, n_components).
Posterior: TypeAlias = tuple[Tensor, Tensor]


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_variance)) || N(0, I)) of each row, (n_rows,)."""
    return (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1) / 2


def squared_error(y: Tensor, x: Batch) -> Tensor:
    """Sum over features of (x - y)^2, (n_rows,); a CSR `x` is not written out."""
    if isinstance(x, Tensor):
        return ((x - y) ** 2).sum(-1)
    at_stored = y[x.rows, x.columns]
    return (y**2).sum(-1) + sum_entries((x.values - at_stored) ** 2 - at_stored**2, x)


def encoder_inputs(network: VAE, likelihood: Likelihood, x: Batch) -> Batch:
    """What the encoder reads of a prepared batch, and with indicators what is missing from it."""
    inputs = likelihood.inputs(x)
    if network.n_indicators and isinstance(x, Tensor):  # nothing is missing from CSR rows
        assert isinstance(inputs, Tensor)
        inputs = torch.cat([inputs, x.isnan().to(inputs)], -1)
    return inputs


def posterior(network: VAE, likelihood: Likelihood, x: Batch) -> Posterior:
    """Mean and log-variance of q(z|x), both (n_rows, n_components).

    Of a row that says nothing, N(0, I): the prior and its exact posterior, where none is learned.
    """
    mean, log_variance = network.encode(encoder_inputs(network, likelihood, x))
    empty = likelihood.is_empty(x)
    if empty is not None:
        mean, log_variance = (t.masked_fill(empty[:, None], 0) for t in (mean, log_variance))
    return mean, log_variance


def divergence(network: VAE, q: Posterior, z: Tensor) -> Tensor:
    """KL(q(z|x) || p(z)) of each row, (n_rows,).

    From a learned prior it is estimated by the draws z of q, (n_draws, n_rows, n_components).
    """
    mean, log_variance = q
    if network.prior is None:
        return kl_divergence(mean, log_variance)
    return -(1 + log_variance).sum(-1) / 2 - network.log_prior(z).mean(0)


def zero_if_empty(network: VAE, likelihood: Likelihood, x: Batch, values: Tensor) -> Tensor:
    """Values of the rows, (n_rows,), but 0 where a row says nothing: its log p(x) is 0.

    With N(0, I) they are 0 there already, since q(z|x) is the prior.
    """
    empty = None if network.prior is None else likelihood.is_empty(x)
    return values if empty is None else values.masked_fill(empty, 0)


def elbo_terms(
    network: VAE, likelihood: Likelihood, x: Batch, noise: Noise
) -> tuple[Tensor, Tensor]:
    """Reconstruction loss -log p(x|z) for one draw of z, and KL divergence, both (n_rows,)."""
    mean, log_variance = posterior(network, likelihood, x)
    z = mean + (log_variance / 2).exp() * noise.draw(mean.shape, mean)
    outputs = network.decode(z, network.shift(x))
    kl = divergence(network, (mean, log_variance), z[None])
    return -likelihood.log_prob(outputs, x), zero_if_empty(network, likelihood, x, kl)


def importance_weighted_terms(
    network: VAE, likelihood: Likelihood, x: Batch, n_draws: int, noise: Noise
) -> tuple[Tensor, Tensor]:
    """Minus the importance-weighted bound less the KL divergence, and that divergence, (n_rows,).

    Their sum is the loss; its gradient is doubly reparameterised (Tucker et al., 2019, eq. 8), so
    that it keeps its meaning for the encoder however many draws there are.
    """
    mean, log_variance = posterior(network, likelihood, x)
    z = mean + (log_variance / 2).exp() * noise.draw((n_draws, *mean.shape), mean)
    q_mean, q_log_variance = mean.detach(), log_variance.detach()
    log_q = -((z - q_mean) ** 2 / q_log_variance.exp() + q_log_variance).sum(-1) / 2
    outputs = network.decode(z, network.shift(x))
    log_weights = likelihood.log_prob(outputs, x) + network.log_prior(z) - log_q
    weights = torch.softmax(log_weights.detach(), 0)
    z.register_hook(lambda gradient: gradient * weights[..., None])
    loss = math.log(n_draws) - torch.logsumexp(log_weights, 0)
    with torch.no_grad():
        kl = divergence(network, (mean, log_variance), z)
    loss, kl = (zero_if_empty(network, likelihood, x, values) for values in (loss, kl))
    return loss - kl, kl


def elbo_gradient(
    network: VAE, likelihood: Likelihood, x: Batch, q: Posterior, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """ELBO of each row, (n_rows,), with its gradients for mean and log-variance of q."""
    with torch.enable_grad():
        mean, log_variance = (parameter.detach().requires_grad_() for parameter in q)
        elbo = torch.zeros_like(mean[:, 0])
        gradients: tuple[Tensor, ...] = (torch.zeros_like(mean),) * 2
        for _, outputs, log_ratio in decoded_draws(network, x, (mean, log_variance), noise):
            share = (likelihood.log_prob(outputs, x) + log_ratio).sum(0) / len(noise)
            added = torch.autograd.grad(share.sum(), (mean, log_variance))
            gradients = tuple(a + b for a, b in zip(gradients, added, strict=True))
            elbo = elbo + share
    return elbo.detach(), gradients[0], gradients[1]


def refine(
    network: VAE,
    likelihood: Likelihood,
    x: Batch,
    start: Posterior,
    noise: Tensor,
    n_steps: int,
) -> Posterior:
    """Mean and log-variance of a q(z|x) that fits each row better than the encoder's.

    Natural-gradient ascent on the row's ELBO, whose expectation is over the draws given; the best
    of all steps is kept, for each row by itself. Score the result with other draws: by these its
    ELBO is too high.
    """
    mean, log_variance = best_mean, best_log_variance = start
    best = mean.new_full((len(mean),), -math.inf)
    for _ in range(n_steps + 1):
        elbo, d_mean, d_log_variance = elbo_gradient(
            network, likelihood, x, (mean, log_variance), noise
        )
        better = elbo > best
        best = torch.where(better, elbo, best)
        best_mean = torch.where(better[:, None], mean, best_mean)
        best_log_variance = torch.where(better[:, None], log_variance, best_log_variance)
        # The inverse of q's Fisher information is its variance for the mean, 2 for the logarithm.
        mean = mean + REFINEMENT_RATE * log_variance.exp() * d_mean
        log_variance = log_variance + REFINEMENT_RATE * 2 * d_log_variance
        log_variance = log_variance.clamp(MIN_LOG_VARIANCE, MAX_LOG_VARIANCE)
    return best_mean, best_log_variance


@torch.inference_mode(False)
def importance_noise(seed: int, n_draws: int, n_components: int) -> Tensor:
    """Quasi-random standard normal draws, (n_draws, n_components) in float64.

    Sobol points, shifted modulo 1 by one uniform vector (Cranley and Patterson, 1976), so that each
    draw is standard normal over seeds, and fewer draws are a prefix of more. The shift comes from
    NumPy's frozen generator: old scores stay reproducible.
    """
    points = SobolEngine(n_components).draw(n_draws, dtype=torch.float64)
    shift = torch.from_numpy(np.random.RandomState(seed).uniform(size=n_components))
    return torch.special.ndtri(((points + shift) % 1).clamp(1e-15, 1 - 1e-15))


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def elbo_noise(seed: int, n_components: int) -> Tensor:
    """Antithetic draws with mean 0 and covariance I exactly, (n_draws, n_components) in float64.

    A prefix of the importance-weighting draws is replaced by its nearest multiple of a matrix with
    orthonormal columns, and joined by its negative. A log p(x|z) that is quadratic in z is then
    averaged without error, and any smooth one with a small one.
    """
    n_pairs = max(MIN_ELBO_PAIRS, n_components)
    draws = importance_noise(seed, n_pairs, n_components)
    left, _, right = torch.linalg.svd(draws, full_matrices=False)
    half = math.sqrt(n_pairs) * (left @ right)
    return torch.cat([half, -half])


def rows_per_block(n_features: int, n_draws: int = 1) -> int:
    """How many rows to score at once, so that no temporary grows with the table."""
    return max(1, min(MAX_ROWS, MAX_ELEMENTS // max(n_features, n_draws)))


def decoded_draws(
    network: VAE, x: Batch, q: Posterior, noise: Tensor
) -> Iterator[tuple[slice, list[Tensor], Tensor]]:
    """Places of a few draws at a time, their decoder outputs, and log p(z) - log q(z|x).

    `noise` is (n_draws, n_components), the same for all rows, where a score must not depend on a
    row's company; otherwise (n_draws, n_rows, n_components). A block has outputs (n_block, n_rows,
    n_features) and log-ratios (n_block, n_rows).
    """
    mean, log_variance = q
    n_block = max(1, MAX_ELEMENTS // (len(mean) * network.largest_layer))
    shift = network.shift(x)
    noise = noise.to(mean) if noise.ndim == 3 else noise.to(mean)[:, None]
    for start in range(0, len(noise), n_block):
        draws = slice(start, start + n_block)
        z = mean + (log_variance / 2).exp() * noise[draws]
        log_ratio = network.log_prior(z) + (noise[draws] ** 2 + log_variance).sum(-1) / 2
        yield draws, network.decode(z, shift), log_ratio


@torch.no_grad()
def log_density(
    network: VAE,
    likelihood: Likelihood,
    x: Batch,
    q: Posterior,
    noise: Tensor,
    *,
    importance_weighted: bool,
) -> tuple[Tensor, Tensor]:
    """Bound on log p(x) of each row, (n_rows,), and each draw's weight in it, (n_draws, n_rows).

    The ELBO averages the logarithms of the density ratios, the importance-weighted bound the ratios
    themselves.
    """
    mean, _ = q
    # Filled in place: small results kept from each draw would lie between the large temporaries
    # and keep the allocator from using their memory again.
    log_likelihood, log_ratio = mean.new_empty(2, len(noise), len(mean))
    for draws, outputs, ratios in decoded_draws(network, x, q, noise):
        log_likelihood[draws] = likelihood.log_prob(outputs, x)
        log_ratio[draws] = ratios
    log_weights = log_likelihood + log_ratio
    if importance_weighted:
        bound = torch.logsumexp(log_weights, 0) - math.log(len(noise))
        weights = torch.softmax(log_weights, 0)
    else:
        bound = log_weights.mean(0)
        weights = torch.full_like(log_weights, 1 / len(noise))
    return zero_if_empty(network, likelihood, x, bound), weights


@torch.no_grad()
def expected_terms(
    network: VAE,
    likelihood: Likelihood,
    x: Batch,
    q: Posterior,
    target: Batch,
    noise: Tensor,
    weights: Tensor,
) -> tuple[Tensor, Tensor]:
    """Baseline and entries of log p(target|z), averaged over the draws from q(z|x).

    `weights` is (n_draws, n_rows); see `Likelihood.terms` for what comes back.
    """
    sums: tuple[Any, Any] = (0.0, 0.0)
    for draws, outputs, _ in decoded_draws(network, x, q, noise):
        baseline, entries = likelihood.terms(outputs, target)
        weight = weights[draws]
        spread = weight[:, target.rows] if isinstance(target, CSRBatch) else weight[..., None]
        sums = (sums[0] + (weight * baseline).sum(0), sums[1] + (spread * entries).sum(0))
    return sums


@torch.no_grad()
def expected_mean(
    network: VAE, likelihood: Likelihood, x: Batch, q: Posterior, noise: Tensor, weights: Tensor
) -> Tensor:
    """`Likelihood.mean` of each row, averaged over the draws from q(z|x) as in `expected_terms`."""
    mean: Any = 0.0
    for draws, outputs, _ in decoded_draws(network, x, q, noise):
        mean = mean + (weights[draws, :, None] * likelihood.mean(outputs)).sum(0)
    return mean
