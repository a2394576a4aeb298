"""What a network is trained on and scored by: the evidence lower bound and its tighter relatives.

With q(z|x) = N(mean, diag exp(log_variance)) and p(z) = N(0, I),

    ELBO(x) = E_q[log p(x|z)] - KL(q(z|x) || p(z))            (Kingma and Welling, 2014, eq. 3)
    IW_K(x) = E log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x)       (Burda et al., 2016, eq. 8)

in nats: summed over features and over latent dimensions, one value a row. Higher is more normal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.quasirandom import SobolEngine

from .likelihoods import Likelihood
from .networks import VAE
from .sparse import Batch, CSRBatch, sum_entries

# Fewest pairs of draws that estimate E_q[log p(x|z)] when the ELBO is scored.
MIN_ELBO_PAIRS = 8

# Largest number of values in one temporary of the scoring pass (16 MB of float64).
MAX_ELEMENTS = 2**21

# Largest number of rows that are ever written out, or decoded, at once.
MAX_ROWS = 512


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_variance)) || N(0, I)) of each row, (n_rows,)."""
    return (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1) / 2


def kl_weight(epoch: int, n_warmup: float) -> float:
    """Weight of the KL term in `epoch` (from 1): rises linearly to 1 over `n_warmup` epochs."""
    return min(1.0, epoch / n_warmup) if n_warmup > 0 else 1.0


def squared_error(y: Tensor, x: Batch) -> Tensor:
    """Sum over features of (x - y)^2, (n_rows,); a CSR `x` is not written out."""
    if isinstance(x, Tensor):
        return ((x - y) ** 2).sum(-1)
    at_stored = y[x.rows, x.columns]
    return (y**2).sum(-1) + sum_entries((x.values - at_stored) ** 2 - at_stored**2, x)


def elbo_terms(
    network: VAE, likelihood: Likelihood, x: Batch, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Reconstruction loss -log p(x|z) for one draw of z, and KL divergence, both (n_rows,)."""
    mean, log_variance = network.encode(x)
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
    z = mean + (log_variance / 2).exp() * noise
    return -likelihood.log_prob(network.decode(z), x), kl_divergence(mean, log_variance)


def importance_noise(seed: int, n_draws: int, n_components: int) -> Tensor:
    """Quasi-random standard normal draws, (n_draws, n_components) in float64.

    Sobol points, shifted modulo 1 by one uniform vector (Cranley and Patterson, 1976), so that each
    draw is standard normal over seeds, and fewer draws are a prefix of more. The shift comes from
    NumPy's frozen generator: old scores stay reproducible.
    """
    points = SobolEngine(n_components).draw(n_draws, dtype=torch.float64)
    shift = torch.from_numpy(np.random.RandomState(seed).uniform(size=n_components))
    return torch.special.ndtri(((points + shift) % 1).clamp(1e-15, 1 - 1e-15))


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
    network: VAE, mean: Tensor, log_variance: Tensor, noise: Tensor
) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Decoder outputs and log p(z) - log q(z|x) of a few draws at a time.

    `noise` is (n_draws, n_components), the same for all rows: a score must not depend on a row's
    company. A block has outputs (n_block, n_rows, n_features) and log-ratios (n_block, n_rows).
    """
    n_block = max(1, MAX_ELEMENTS // (len(mean) * network.n_features))
    for block in noise.to(mean)[:, None].split(n_block):
        z = mean + (log_variance / 2).exp() * block
        yield network.decode(z), (block**2 - z**2 + log_variance).sum(-1) / 2


@torch.no_grad()
def log_density(
    network: VAE, likelihood: Likelihood, x: Batch, noise: Tensor, *, importance_weighted: bool
) -> tuple[Tensor, Tensor]:
    """Bound on log p(x) of each row, (n_rows,), and each draw's weight in it, (n_draws, n_rows).

    The ELBO averages log p(x|z) over the draws and subtracts the analytic KL divergence; the
    importance-weighted bound averages the density ratios themselves.
    """
    mean, log_variance = network.encode(x)
    # Filled in place: small results kept from each draw would lie between the large temporaries
    # and keep the allocator from using their memory again.
    log_likelihood, log_ratio = mean.new_empty(2, len(noise), len(mean))
    start = 0
    for outputs, block_log_ratio in decoded_draws(network, mean, log_variance, noise):
        draws = slice(start, start + len(block_log_ratio))
        log_likelihood[draws] = likelihood.log_prob(outputs, x)
        log_ratio[draws] = block_log_ratio
        start = draws.stop
    if not importance_weighted:
        bound = log_likelihood.mean(0) - kl_divergence(mean, log_variance)
        return bound, torch.full_like(log_likelihood, 1 / len(noise))
    log_weights = log_likelihood + log_ratio
    bound = torch.logsumexp(log_weights, 0) - math.log(len(noise))
    return bound, torch.softmax(log_weights, 0)


@torch.no_grad()
def expected_terms(
    network: VAE,
    likelihood: Likelihood,
    x: Batch,
    target: Batch,
    noise: Tensor,
    weights: Tensor,
) -> tuple[Tensor, Tensor]:
    """Baseline and entries of log p(target|z), averaged over the draws from q(z|x).

    `weights` is (n_draws, n_rows); see `Likelihood.terms` for what comes back.
    """
    sums: tuple[Any, Any] = (0.0, 0.0)
    start = 0
    for outputs, _ in decoded_draws(network, *network.encode(x), noise):
        baseline, entries = likelihood.terms(outputs, target)
        weight = weights[start : start + len(baseline)]
        start += len(weight)
        spread = weight[:, target.rows] if isinstance(target, CSRBatch) else weight[..., None]
        sums = (sums[0] + (weight * baseline).sum(0), sums[1] + (spread * entries).sum(0))
    return sums
