"""Encoder and decoder networks, initialised from a private generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd.function import once_differentiable

from .device import has_bfloat16
from .sparse import Batch, CSRBatch, stored_entries

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "softplus": F.softplus,
    "elu": F.elu,
    "silu": F.silu,
}

# Of the weights in training, whatever PyTorch's default is.
DTYPE = torch.float32

# What a posterior's log-variance is kept between: none needs less, nor much more than the prior's.
# There is no gradient beyond, so that a row may stay there, and its KL divergence, which grows with
# the variance, must not drown the loss of all others.
MIN_LOG_VARIANCE, MAX_LOG_VARIANCE = -15.0, 4.0

# Smallest log-variance of a component of a learned prior: single precision can still tell points
# within it apart.
MIN_PRIOR_LOG_VARIANCE = -8.0

# Share of non-zeros in dense rows below which a product by index is faster than that of matrices.
MAX_SPARSE_SHARE = 0.1

# Features that are drawn between two products with those before.
FEATURES_AT_A_TIME = 64

# Fewest outputs that training makes by `OutputLinear`: of fewer the products are not what takes the
# time.
MIN_OUTPUTS = 1024

# Where rows start in memory for products to be fast: at multiples of so many numbers.
ALIGNMENT = 16


def rounds_products(weight: Tensor) -> bool:
    """Whether products with an output's weight are faster, and as good, with rounded factors."""
    return weight.dtype == torch.float32 and has_bfloat16(weight.device)


def aligned_product(x: Tensor, weight: Tensor) -> Tensor:
    """`x @ weight.T`, (..., n_outputs); on the CPU its rows start at multiples of `ALIGNMENT`."""
    if x.device.type != "cpu":
        return x @ weight.T
    n_outputs = len(weight)
    rows = x.flatten(0, -2)
    aligned = x.new_empty(len(rows), -(-n_outputs // ALIGNMENT) * ALIGNMENT)
    y = torch.mm(rows, weight.T, out=aligned[:, :n_outputs])
    return y.unflatten(0, x.shape[:-1])


def multiply(x: Batch, weight: Tensor) -> Tensor:
    """`x @ weight` for dense rows and for CSR rows."""
    if not isinstance(x, CSRBatch):
        return x @ weight
    return F.embedding_bag(
        x.columns,
        weight,
        x.offsets,
        mode="sum",
        per_sample_weights=x.values,
        include_last_offset=True,
    )


class Linear(nn.Module):
    """`x @ weight + bias` for dense rows and for CSR rows, Xavier-initialised, bias zero."""

    def __init__(self, n_in: int, n_out: int, generator: Generator):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out, dtype=DTYPE))
        self.bias = nn.Parameter(torch.zeros(n_out, dtype=DTYPE))
        nn.init.xavier_uniform_(self.weight, generator=generator)

    def forward(self, x: Batch) -> Tensor:
        if isinstance(x, CSRBatch):
            return multiply(x, self.weight) + self.bias
        return F.linear(x, self.weight.T, self.bias)


class OutputLinear(torch.autograd.Function):
    """`F.linear` for many outputs, as training wants it: fast.

    Where it pays, factors and products are rounded to bfloat16, and only the sums of which a
    product consists are in float32. Elsewhere the rows of the product are aligned: some libraries
    take longer for rows of an odd length, one behind the other.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if rounds_products(weight):
            x, weight = x.bfloat16(), weight.bfloat16()
            y = (x @ weight.T).to(bias.dtype).add_(bias)
        else:
            y = aligned_product(x, weight) + bias
        ctx.save_for_backward(x, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        d_bias = gradient.flatten(0, -2).sum(0)
        gradient = gradient.to(x.dtype)
        d_weight = gradient.flatten(0, -2).T @ x.flatten(0, -2)
        return (gradient @ weight).to(d_bias.dtype), d_weight.to(d_bias.dtype), d_bias


class Output(nn.Module):
    """Linear layer with a row of its weight for each feature."""

    def __init__(self, n_in: int, bias: np.ndarray, generator: Generator):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(len(bias), n_in, dtype=DTYPE))
        self.bias = nn.Parameter(torch.from_numpy(bias).float())
        nn.init.xavier_uniform_(self.weight, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.requires_grad and len(self.weight) >= MIN_OUTPUTS:
            return OutputLinear.apply(x, self.weight, self.bias)
        return F.linear(x, self.weight, self.bias)


class AboveDiagonal(torch.autograd.Function):
    """A weight that is zero on and below the diagonal, and stays so: its gradient is, too."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return weight.view_as(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.triu_(1)


class Autoregression(nn.Module):
    """What each feature's logit owes to the features before it: `x @ weight`.

    The weight is zero on and below the diagonal, so that p(x|z) stays a distribution, the product
    of p(x_j | x_1 ... x_(j-1), z).
    """

    def __init__(self, n_features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_features, n_features, dtype=DTYPE))

    def forward(self, x: Batch) -> Tensor:
        if isinstance(x, Tensor) and x.count_nonzero() < MAX_SPARSE_SHARE * x.numel():
            x = stored_entries(x)
        return multiply(x, AboveDiagonal.apply(self.weight))

    @torch.no_grad()
    def shrink(self, threshold: float) -> None:
        """Move every weight towards zero by the threshold, and no further than zero."""
        self.weight.sub_(self.weight.clamp(-threshold, threshold))

    def sample(self, logits: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Rows drawn feature after feature, and the probability of each one given those before it.

        `logits` is (..., n_features), what z says; `uniform` holds draws that broadcast with it.
        """
        weight = self.weight
        shape = torch.broadcast_shapes(logits.shape, uniform.shape)
        # Features first, so that each is a row in memory; what a block of them owes to those before
        # it is one product.
        uniform, values = (
            t.expand(shape).reshape(-1, shape[-1]).T.clone(memory_format=torch.contiguous_format)
            for t in (uniform, logits)
        )
        x = torch.zeros_like(values)
        for start in range(0, len(x), FEATURES_AT_A_TIME):
            stop = min(start + FEATURES_AT_A_TIME, len(x))
            values[start:stop] += weight[:start, start:stop].T @ x[:start]
            for j in range(start, stop):
                values[j] += weight[start:j, j] @ x[start:j]
                x[j] = uniform[j] < values[j].sigmoid_()
        return x.T.reshape(shape), values.T.reshape(shape)


class MixturePrior(nn.Module):
    """Mixture of Gaussians with diagonal covariances; starts near N(0, I)."""

    def __init__(self, n_prior_components: int, n_components: int, generator: Generator):
        super().__init__()
        shape = (n_prior_components, n_components)
        self.logits = nn.Parameter(torch.zeros(n_prior_components, dtype=DTYPE))
        self.mean = nn.Parameter(torch.empty(shape, dtype=DTYPE))
        self.log_variance = nn.Parameter(torch.full(shape, math.log(0.75), dtype=DTYPE))
        nn.init.normal_(self.mean, std=0.5, generator=generator)

    def _log_variance(self) -> Tensor:
        return self.log_variance.clamp(MIN_PRIOR_LOG_VARIANCE, MAX_LOG_VARIANCE)

    def forward(self, z: Tensor) -> Tensor:
        """As `VAE.log_prior`."""
        log_variance = self._log_variance()
        precision = (-log_variance).exp()
        distance = z**2 @ precision.T - 2 * (z @ (self.mean * precision).T)
        distance = distance + (self.mean**2 * precision + log_variance).sum(-1)
        return torch.logsumexp(torch.log_softmax(self.logits, 0) - distance / 2, -1)

    @torch.no_grad()
    def sample(self, noise: Tensor, generator: Generator) -> Tensor:
        """Points of the prior from standard normal ones, (n_samples, n_components)."""
        shares = torch.softmax(self.logits.double().cpu(), 0)
        drawn = torch.multinomial(shares, len(noise), replacement=True, generator=generator)
        deviation = (self._log_variance().double().cpu() / 2).exp()
        return self.mean.double().cpu()[drawn] + deviation[drawn] * noise


class MLP(nn.Module):
    """Linear layers of the given sizes, each followed by the activation."""

    def __init__(self, sizes: Sequence[int], activation: str, generator: Generator):
        super().__init__()
        self.activation = activation
        self.layers = nn.ModuleList(
            Linear(n_in, n_out, generator) for n_in, n_out in pairwise(sizes)
        )

    def forward(self, x: Batch) -> Batch:
        for layer in self.layers:
            x = ACTIVATIONS[self.activation](layer(x))
        return x


class EncoderDecoder(nn.Module):
    """Hidden layers of an encoder, and those of the decoder that mirrors it."""

    n_features: int

    def __init__(
        self,
        n_inputs: int,
        n_components: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        generator: Generator,
    ):
        super().__init__()
        self.n_components = n_components
        # What the layers between the hidden ones read: the code's, and the output's.
        self.n_code_inputs = [n_inputs, *hidden_layer_sizes][-1]
        self.n_output_inputs = [n_components, *reversed(hidden_layer_sizes)][-1]
        self.encoder = MLP([n_inputs, *hidden_layer_sizes], activation, generator)
        self.decoder = MLP([n_components, *reversed(hidden_layer_sizes)], activation, generator)


class VAE(EncoderDecoder):
    """Gaussian encoder q(z|x) and a decoder with an output for each array of first biases.

    What the outputs mean is the likelihood's business. With `autoregressive` the first output gains
    what each feature owes to those before it (see `shift`). The prior is N(0, I), or learned.

    With `n_indicators` the encoder reads as many values more, behind the inputs, which say what is
    missing (Collier et al., 2020). Their weights start from zero: what was never missing in
    training says nothing when it is.
    """

    autoregression: Autoregression | None
    prior: MixturePrior | None

    def __init__(
        self,
        n_inputs: int,
        n_components: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        output_biases: Sequence[np.ndarray],
        generator: Generator,
        *,
        n_indicators: int = 0,
        autoregressive: bool = False,
        n_prior_components: int = 1,
    ):
        super().__init__(
            n_inputs + n_indicators, n_components, hidden_layer_sizes, activation, generator
        )
        self.n_inputs = n_inputs + n_indicators
        self.n_indicators = n_indicators
        self.mean = Linear(self.n_code_inputs, n_components, generator)
        self.log_variance = Linear(self.n_code_inputs, n_components, generator)
        self.outputs = nn.ModuleList(
            Output(self.n_output_inputs, bias, generator) for bias in output_biases
        )
        # Width of the widest output, by which blocks of rows are cut; a row of several likelihoods
        # has outputs of each.
        self.n_features = max(len(bias) for bias in output_biases)
        # What a latent point takes at most while it is decoded: what blocks of draws are cut by.
        self.largest_layer = max(
            self.n_features, n_prior_components, n_components, *hidden_layer_sizes
        )
        self.autoregression = Autoregression(self.n_features) if autoregressive else None
        self.prior = None
        if n_prior_components > 1:
            self.prior = MixturePrior(n_prior_components, n_components, generator)
        for layer in self.feature_layers()[0]:
            nn.init.zeros_(layer.weight[n_inputs:])

    def feature_layers(self) -> tuple[list[Linear], list[Output]]:
        """Layers that read the features and those that write them, a row of weights for each."""
        readers = [*self.encoder.layers[:1]] or [self.mean, self.log_variance]
        return readers, [*self.outputs]

    def encode(self, x: Batch) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), both (n_rows, n_components)."""
        hidden = self.encoder(x)
        log_variance = self.log_variance(hidden)
        return self.mean(hidden), log_variance.clamp(MIN_LOG_VARIANCE, MAX_LOG_VARIANCE)

    def log_prior(self, z: Tensor) -> Tensor:
        """Prior log-density of points (..., n_components), without -n_components / 2 log(2 pi)."""
        return -(z**2).sum(-1) / 2 if self.prior is None else self.prior(z)

    def shift(self, x: Batch) -> Tensor | None:
        """What the first output gains by the row that is scored, (n_rows, n_features)."""
        return None if self.autoregression is None else self.autoregression(x)

    def decode(self, z: Tensor, shift: Tensor | None = None) -> list[Tensor]:
        """Decoder outputs, each (..., its width), for latent points (..., n_components)."""
        hidden = self.decoder(z)
        outputs = [output(hidden) for output in self.outputs]
        if shift is not None:
            outputs[0] += shift
        return outputs


class Autoencoder(EncoderDecoder):
    """Encoder to a code and decoder to an output, which is left linear."""

    def __init__(
        self,
        n_features: int,
        n_components: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        code_activation: str,
        generator: Generator,
    ):
        super().__init__(n_features, n_components, hidden_layer_sizes, activation, generator)
        self.n_features = n_features
        self.code = MLP([self.n_code_inputs, n_components], code_activation, generator)
        self.output = Output(self.n_output_inputs, np.zeros(n_features), generator)

    def encode(self, x: Batch) -> Tensor:
        """Code of each row, (n_rows, n_components)."""
        return self.code(self.encoder(x))

    def decode(self, code: Tensor) -> Tensor:
        """Output before its activation, (n_rows, n_features)."""
        return self.output(self.decoder(code))
