"""How rows are scored: averages over draws of z from a posterior, the encoder's or a better one.

See `objective` for the bounds. The draws are the same for all rows: a score depends on nothing but
the row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from .blocks import MAX_ELEMENTS
from .likelihoods import Likelihood
from .networks import VAE
from .objective import posterior, zero_if_empty
from .sparse import Batch

# Fewest pairs of draws that estimate E_q[log p(x|z)] when the ELBO is scored.
MIN_ELBO_PAIRS = 8

# By how much a step that refines q may lower the ELBO, in nats: at the optimum, rounding does.
MAX_FALL = 1e-3

# By how much such a step may widen q's variance in any direction.
MAX_WIDENING = 10.0


class Posterior(NamedTuple):
    """Gaussian q(z|x) of each row.

    Attributes
    ----------
    mean : Tensor of shape (n_rows, n_components)
    scale : Tensor of shape (n_rows, n_components) or (n_rows, n_components, n_components)
        Its product with its transpose is the covariance; in the first case it is diagonal.
    log_det : Tensor of shape (n_rows,)
        Logarithm of the covariance's determinant.
    """

    mean: Tensor
    scale: Tensor
    log_det: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """Points for standard normal draws, (n_draws, n_rows or 1, n_components)."""
        if self.scale.ndim == 2:
            return self.mean + self.scale * noise
        return self.mean + torch.einsum("nij,knj->kni", self.scale, noise)

    def full(self) -> Posterior:
        """The same with matrices for its scale."""
        return self if self.scale.ndim == 3 else self._replace(scale=torch.diag_embed(self.scale))

    def of(self, rows: Tensor) -> Posterior:
        """That of the rows in a mask."""
        return Posterior(*(part[rows] for part in self))

    def put(self, rows: Tensor, others: Posterior) -> Posterior:
        """The same, but for the rows in a mask."""
        masks = zip(self.full(), others.full(), strict=True)
        return Posterior(*(part.index_put((rows,), other) for part, other in masks))


class Fit(NamedTuple):
    """How well q(z|x) fits each row, and where it would fit better.

    Attributes
    ----------
    elbo : Tensor of shape (n_rows,)
    gradient : Tensor of shape (n_rows, n_components)
        That of the ELBO for the mean.
    precision : Tensor of shape (n_rows, n_components, n_components)
        -E_q of the Hessian of log p(x, z), for z in units in which q's covariance is I. Where the
        ELBO is largest, it is I, too (Opper and Archambeau, 2009).
    """

    elbo: Tensor
    gradient: Tensor
    precision: Tensor


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


def encoded(network: VAE, likelihood: Likelihood, x: Batch) -> Posterior:
    """q(z|x) as the encoder gives it for a prepared batch."""
    mean, log_variance = posterior(network, likelihood, x)
    return Posterior(mean, (log_variance / 2).exp(), log_variance.sum(-1))


def decoded_draws(
    network: VAE, x: Batch, q: Posterior, noise: Tensor
) -> Iterator[tuple[slice, list[Tensor], Tensor]]:
    """Places of a few draws at a time, their decoder outputs, and log p(z) - log q(z|x).

    `noise` is (n_draws, n_components), the same for all rows, where a score must not depend on a
    row's company; otherwise (n_draws, n_rows, n_components). A block has outputs (n_block, n_rows,
    n_features) and log-ratios (n_block, n_rows).
    """
    n_block = max(1, MAX_ELEMENTS // (len(q.mean) * network.largest_layer))
    shift = network.shift(x)
    noise = noise.to(q.mean) if noise.ndim == 3 else noise.to(q.mean)[:, None]
    for start in range(0, len(noise), n_block):
        draws = slice(start, start + n_block)
        z = q.at(noise[draws])
        log_ratio = network.log_prior(z) + ((noise[draws] ** 2).sum(-1) + q.log_det) / 2
        yield draws, network.decode(z, shift), log_ratio


def fit_of(network: VAE, likelihood: Likelihood, x: Batch, q: Posterior, noise: Tensor) -> Fit:
    """How well a q with matrices for its scale fits, by draws with mean 0 and covariance I."""
    elbo = torch.zeros_like(q.mean[:, 0])
    gradients: tuple[Tensor, ...] = tuple(map(torch.zeros_like, (q.mean, q.scale)))
    with torch.enable_grad():
        mean, scale = (part.detach().requires_grad_() for part in (q.mean, q.scale))
        moving = Posterior(mean, scale, q.log_det)
        for _, outputs, log_ratio in decoded_draws(network, x, moving, noise):
            share = (likelihood.log_prob(outputs, x) + log_ratio).sum(0) / len(noise)
            added = torch.autograd.grad(share.sum(), (mean, scale))
            gradients = tuple(a + b for a, b in zip(gradients, added, strict=True))
            elbo = elbo + share.detach()
    gradient, d_scale = gradients
    # E[gradient noise'] = E[Hessian] scale, by partial integration.
    precision = -scale.detach().mT @ d_scale
    precision = (precision + precision.mT) / 2
    finite = precision.flatten(1).isfinite().all(1) & gradient.isfinite().all(1)
    identity = torch.eye(len(precision[0]), dtype=precision.dtype, device=precision.device)
    return Fit(
        elbo,
        torch.where(finite[:, None], gradient, 0),
        torch.where(finite[:, None, None], precision, identity),
    )


def natural_step(q: Posterior, fit: Fit, rate: Tensor) -> Posterior:
    """Step of the natural gradient of the ELBO, as long as the rate of each row says.

    A rate of 1 is to the optimum, where log p(x, z) is quadratic in z.
    """
    eigenvalues, directions = torch.linalg.eigh(fit.precision)
    eigenvalues = eigenvalues.clamp(min=1 / MAX_WIDENING)
    narrowing = 1 + rate[:, None] * (eigenvalues - 1)
    scale = q.scale @ (directions * narrowing[:, None].rsqrt()) @ directions.mT
    move = scale @ (scale.mT @ fit.gradient[..., None])
    mean = q.mean + rate[:, None] * move[..., 0]
    return Posterior(mean, scale, q.log_det - narrowing.log().sum(-1))


def refine(
    network: VAE, likelihood: Likelihood, x: Batch, q: Posterior, noise: Tensor, n_steps: int
) -> Posterior:
    """A q(z|x) with any covariance that fits each row better than this one, of a diagonal one.

    Each step follows the natural gradient of the row's ELBO (Khan and Nielsen, 2018), whose
    expectation is over the draws given. A step by which the ELBO falls is taken back, and the next
    one is a quarter as long. Score the result with other draws: by these its ELBO is too high.
    """

    def choose(chosen: Tensor, new: Iterable[Tensor], old: Iterable[Tensor]) -> list[Tensor]:
        pairs = zip(new, old, strict=True)
        return [torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs]

    q = q.full()
    fit = fit_of(network, likelihood, x, q, noise)
    rate = torch.ones_like(fit.elbo)
    for n_left in reversed(range(n_steps)):
        new_q = natural_step(q, fit, rate)
        if n_left == 0:  # no gradients are needed
            elbo = log_density(network, likelihood, x, new_q, noise, importance_weighted=False)
            return Posterior(*choose(elbo > fit.elbo - MAX_FALL, new_q, q))
        new_fit = fit_of(network, likelihood, x, new_q, noise)
        better = new_fit.elbo > fit.elbo - MAX_FALL
        rate = torch.where(better, (2 * rate).clamp(max=1), rate / 4)
        q, fit = Posterior(*choose(better, new_q, q)), Fit(*choose(better, new_fit, fit))
    return q


@torch.no_grad()
def log_density(
    network: VAE,
    likelihood: Likelihood,
    x: Batch,
    q: Posterior,
    noise: Tensor,
    *,
    importance_weighted: bool,
) -> Tensor:
    """Bound on log p(x) of each row, (n_rows,).

    The ELBO averages the logarithms of the density ratios, the importance-weighted bound the ratios
    themselves.
    """
    # Filled in place: small results kept from each draw would lie between the large temporaries
    # and keep the allocator from using their memory again.
    log_likelihood, log_ratio = q.mean.new_empty(2, len(noise), len(q.mean))
    for draws, outputs, ratios in decoded_draws(network, x, q, noise):
        log_likelihood[draws] = likelihood.log_prob(outputs, x)
        log_ratio[draws] = ratios
    log_weights = log_likelihood + log_ratio
    if importance_weighted:
        bound = torch.logsumexp(log_weights, 0) - math.log(len(noise))
    else:
        bound = log_weights.mean(0)
    return zero_if_empty(likelihood, x, bound)


class Summary(NamedTuple):
    """What is made of a few draws' outputs.

    Attributes
    ----------
    log_prob : Tensor of shape (n_draws, n_rows)
        Log p(x|z) of each row.
    values : list of Tensor of shape (n_draws, ...)
        What to average over draws.
    repeats : list of callable
        For each of these, what repeats numbers of rows, (..., n_rows), for its entries.
    """

    log_prob: Tensor
    values: list[Tensor]
    repeats: list[Callable[[Tensor], Tensor]]


@torch.no_grad()
def bound_and_averages(
    network: VAE,
    likelihood: Likelihood,
    x: Batch,
    q: Posterior,
    noise: Tensor,
    summarise: Callable[[list[Tensor]], Summary],
    *,
    importance_weighted: bool,
) -> tuple[Tensor, list[Tensor]]:
    """As `log_density`, and averages over the draws of what `summarise` makes of their outputs.

    Draws count as in the bound: in the ELBO equally, otherwise by their density ratio. As these
    come a few draws at a time, sums are kept in units of the row's largest ratio so far.
    """
    log_unit = torch.full_like(q.mean[:, 0], -math.inf)
    elbo = total = torch.zeros_like(log_unit)
    sums: list[Any] = []
    repeats: list[Callable[[Tensor], Tensor]] = []
    for _, outputs, log_ratio in decoded_draws(network, x, q, noise):
        log_prob, values, repeats = summarise(outputs)
        log_weights = log_prob + log_ratio
        elbo = elbo + log_weights.sum(0) / len(noise)
        if not importance_weighted:
            log_weights = torch.zeros_like(log_weights)
        before, log_unit = log_unit, log_unit.maximum(log_weights.amax(0))
        kept, weights = (before - log_unit).exp(), (log_weights - log_unit).exp()
        total = total * kept + weights.sum(0)
        sums = [
            old * repeat(kept) + (repeat(weights) * new).sum(0)
            for old, repeat, new in zip(sums or [0.0] * len(values), repeats, values, strict=True)
        ]
    bound = log_unit + total.log() - math.log(len(noise)) if importance_weighted else elbo
    averages = [of_draws / repeat(total) for of_draws, repeat in zip(sums, repeats, strict=True)]
    return zero_if_empty(likelihood, x, bound), averages
