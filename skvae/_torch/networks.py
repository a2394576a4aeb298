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


class EncoderDecoder(nn.Module):
    """Hidden layers of an encoder, and those of the decoder that mirrors it."""

    def __init__(
        self,
        n_features: int,
        n_components: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        generator: Generator,
    ):
        super().__init__()
        self.n_features, self.n_components = n_features, n_components
        # What the layers between the hidden ones read: the code's, and the output's.
        self.n_code_inputs = [n_features, *hidden_layer_sizes][-1]
        self.n_output_inputs = [n_components, *reversed(hidden_layer_sizes)][-1]
        self.encoder = MLP([n_features, *hidden_layer_sizes], activation, generator)
        self.decoder = MLP([n_components, *reversed(hidden_layer_sizes)], activation, generator)


class VAE(EncoderDecoder):
    """Gaussian encoder q(z|x) and a decoder with `n_outputs` outputs for each feature.

    What the outputs mean is the likelihood's business.
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
        super().__init__(n_features, n_components, hidden_layer_sizes, activation, generator)
        self.mean = Linear(self.n_code_inputs, n_components, generator)
        self.log_variance = Linear(self.n_code_inputs, n_components, generator)
        self.outputs = nn.ModuleList(
            Linear(self.n_output_inputs, n_features, generator) for _ in range(n_outputs)
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
        self.code = MLP([self.n_code_inputs, n_components], code_activation, generator)
        self.output = Linear(self.n_output_inputs, n_features, generator)

    def encode(self, x: Batch) -> Tensor:
        """Code of each row, (n_rows, n_components)."""
        return self.code(self.encoder(x))

    def decode(self, code: Tensor) -> Tensor:
        """Output before its activation, (n_rows, n_features)."""
        return self.output(self.decoder(code))
