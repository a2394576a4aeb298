"""What a network is trained on and scored by: the evidence lower bound and its tighter relatives.

With q(z|x) = N(mean, diag exp(log_variance)) and p(z) = N(0, I) or a learned mixture,

    ELBO(x) = E_q[log p(x|z)] - KL(q(z|x) || p(z))            (Kingma and Welling, 2014, eq. 3)
    IW_K(x) = E log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x)       (Burda et al., 2016, eq. 8)

in nats: summed over features and over latent dimensions, one value a row. Higher is more normal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .likelihoods import Likelihood
from .networks import VAE
from .ranks import Noise
from .sparse import Batch, sum_entries

# Interquartile ranges above the upper quartile of losses from where a row is far out, and the
# largest share of rows that are.
OUTER_FENCE = 3.0
LARGEST_SHARE_FAR_OUT = 0.1


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


def posterior(network: VAE, likelihood: Likelihood, x: Batch) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of q(z|x), both (n_rows, n_components).

    Of a row that says nothing, N(0, I): the prior and its exact posterior, where none is learned.
    """
    mean, log_variance = network.encode(encoder_inputs(network, likelihood, x))
    empty = likelihood.is_empty(x)
    if empty is not None:
        mean, log_variance = (t.masked_fill(empty[:, None], 0) for t in (mean, log_variance))
    return mean, log_variance


def divergence(network: VAE, mean: Tensor, log_variance: Tensor, z: Tensor) -> Tensor:
    """KL(q(z|x) || p(z)) of each row, (n_rows,).

    From a learned prior it is estimated by the draws z of q, (n_draws, n_rows, n_components).
    """
    if network.prior is None:
        return kl_divergence(mean, log_variance)
    return -(1 + log_variance).sum(-1) / 2 - network.log_prior(z).mean(0)


def zero_if_empty(likelihood: Likelihood, x: Batch, values: Tensor) -> Tensor:
    """Values of the rows, (n_rows,), but 0 where a row says nothing: its log p(x) is 0.

    With N(0, I) and the encoder's q they are 0 there already, since q(z|x) is the prior.
    """
    empty = likelihood.is_empty(x)
    return values if empty is None else values.masked_fill(empty, 0)


def elbo_terms(
    network: VAE, likelihood: Likelihood, x: Batch, noise: Noise
) -> tuple[Tensor, Tensor]:
    """Reconstruction loss -log p(x|z) for one draw of z, and KL divergence, both (n_rows,)."""
    mean, log_variance = posterior(network, likelihood, x)
    z = mean + (log_variance / 2).exp() * noise.draw(mean.shape, mean)
    outputs = network.decode(z, network.shift(x))
    kl = divergence(network, mean, log_variance, z[None])
    if network.prior is not None:
        kl = zero_if_empty(likelihood, x, kl)
    return -likelihood.log_prob(outputs, x), kl


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
        kl = divergence(network, mean, log_variance, z)
    if network.prior is not None:
        loss, kl = (zero_if_empty(likelihood, x, values) for values in (loss, kl))
    return loss - kl, kl


def is_far_out(losses: Tensor) -> Tensor:
    """Which of these losses are beyond Tukey's (1977) outer fence, a small share at most."""
    lower, upper = losses.quantile(losses.new_tensor([0.25, 0.75]))
    n_most = int(LARGEST_SHARE_FAR_OUT * len(losses))
    least = losses.topk(n_most + 1).values[-1]
    return losses > torch.maximum(upper + OUTER_FENCE * (upper - lower), least)


def without_far_rows(terms: Sequence[Tensor], units: Tensor) -> tuple[Tensor, ...]:
    """Terms of the loss of a batch's rows, of those that are far out the mean of the others.

    So the mean is that of the rows that do not stand apart (Shen and Sanghavi, 2019). Nor does a
    row for having fewer values, in whatever `units`: see `Likelihood.log_units`.
    """
    is_far = is_far_out(torch.stack(list(terms)).sum(0).detach() - units)
    if not is_far.any():
        return tuple(terms)
    return tuple(torch.where(is_far, term[~is_far].mean(), term) for term in terms)
