"""Encoder and decoder networks, initialised from a private generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from .sparse import Batch, CSRBatch

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "softplus": F.softplus,
    "elu": F.elu,
    "silu": F.silu,
}

# exp(15) is about 3e6: no posterior needs more, and a row far from the data cannot overflow.
MAX_LOG_VARIANCE = 15.0


class Linear(nn.Module):
    """`x @ weight + bias` for dense rows and for CSR rows, Xavier-initialised, bias zero."""

    def __init__(self, n_in: int, n_out: int, generator: Generator):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))
        nn.init.xavier_uniform_(self.weight, generator=generator)

    def forward(self, x: Batch) -> Tensor:
        if isinstance(x, CSRBatch):
            summed = F.embedding_bag(
                x.columns,
                self.weight,
                x.offsets,
                mode="sum",
                per_sample_weights=x.values,
                include_last_offset=True,
            )
            return summed + self.bias
        return F.linear(x, self.weight.T, self.bias)


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


class VAE(nn.Module):
    """Gaussian encoder q(z|x) and a decoder with `n_outputs` outputs for each feature.

    The decoder mirrors the encoder. What its outputs mean is the likelihood's business.
    """

    def __init__(
        self,
        n_features: int,
        n_components: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        n_outputs: int,
        generator: Generator,
    ):
        super().__init__()
        self.n_features, self.n_components = n_features, n_components
        down = [n_features, *hidden_layer_sizes]
        up = [n_components, *reversed(hidden_layer_sizes)]
        self.encoder = MLP(down, activation, generator)
        self.mean = Linear(down[-1], n_components, generator)
        self.log_variance = Linear(down[-1], n_components, generator)
        self.decoder = MLP(up, activation, generator)
        self.outputs = nn.ModuleList(
            Linear(up[-1], n_features, generator) for _ in range(n_outputs)
        )

    def encode(self, x: Batch) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), both (n_rows, n_components)."""
        hidden = self.encoder(x)
        log_variance = self.log_variance(hidden)
        return self.mean(hidden), log_variance.clamp(-MAX_LOG_VARIANCE, MAX_LOG_VARIANCE)

    def decode(self, z: Tensor) -> list[Tensor]:
        """Decoder outputs, each (..., n_features), for latent points (..., n_components)."""
        hidden = self.decoder(z)
        return [output(hidden) for output in self.outputs]


class Autoencoder(nn.Module):
    """Encoder to a code and the mirrored decoder; the last layer is left linear."""

    def __init__(
        self,
        n_features: int,
        n_components: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        code_activation: str,
        generator: Generator,
    ):
        super().__init__()
        down = [n_features, *hidden_layer_sizes]
        up = [n_components, *reversed(hidden_layer_sizes)]
        self.encoder = MLP(down, activation, generator)
        self.code = MLP([down[-1], n_components], code_activation, generator)
        self.decoder = MLP(up, activation, generator)
        self.output = Linear(up[-1], n_features, generator)

    def encode(self, x: Batch) -> Tensor:
        """Code of each row, (n_rows, n_components)."""
        return self.code(self.encoder(x))

    def decode(self, code: Tensor) -> Tensor:
        """Output before its activation, (n_rows, n_features)."""
        return self.output(self.decoder(code))
