"""The model of the plain autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from .device import plain_modes
from .likelihoods import Bernoulli, check_unit_interval, in_unit_interval, is_binary
from .loop import RowLosses
from .model import Model, TrainingOptions, finite
from .networks import ACTIVATIONS, Autoencoder
from .objective import squared_error
from .sparse import Batch, Table, as_batch


class AutoencoderModel(Model):
    """A plain autoencoder with its loss and output activation."""

    network: Autoencoder

    def __init__(
        self,
        X: Table,
        *,
        loss: str,
        n_components: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        code_activation: str,
        out_activation: str,
        seed: int,
    ):
        self.loss = loss
        if loss == "auto":
            suits = out_activation in ("auto", "logistic") and is_binary(X)
            self.loss = "binary_cross_entropy" if suits else "squared_error"
        self.out_activation = out_activation
        if out_activation == "auto":
            bounded = self.loss == "binary_cross_entropy" or in_unit_interval(X)
            self.out_activation = "logistic" if bounded else "identity"
        if self.loss == "binary_cross_entropy" and self.out_activation != "logistic":
            raise ValueError(
                "Binary cross entropy needs out_activation='logistic' (or 'auto'), got "
                f"{out_activation!r}. With another output use loss='squared_error'."
            )
        self.check(X)
        generator = Generator().manual_seed(seed)
        network = Autoencoder(
            X.shape[1], n_components, hidden_layer_sizes, activation, code_activation, generator
        )
        super().__init__(network, generator)

    def check(self, X: Table) -> None:
        if self.loss == "binary_cross_entropy":
            check_unit_interval(X, "Binary cross entropy", "loss='squared_error'")

    def make_row_losses(
        self, X: Table, options: TrainingOptions, optimizer: torch.optim.Optimizer
    ) -> RowLosses:
        return lambda rows, *_: (self._row_errors(rows, self.network),)

    def make_validation_losses(self, X: Table, n_before: int) -> Callable[[], np.ndarray]:
        return lambda: self._errors(X, self.network)

    @plain_modes()
    def reconstruction_error(self, X: Table, device: str) -> np.ndarray:
        """Loss of each row, (n_rows,)."""
        self.check(X)
        return finite(self._errors(X, self.scorer(device)), X)

    @plain_modes()
    def encode(self, X: Table, device: str) -> np.ndarray:
        """Codes, (n_rows, n_components)."""
        network = self.scorer(device)
        return finite(
            self._by_blocks(lambda rows: network.encode(self._prepare(rows, network)), X), X
        )

    @plain_modes()
    def decode(self, Z: np.ndarray, device: str) -> np.ndarray:
        """Reconstructions from codes, (n_rows, n_features)."""
        network = self.scorer(device)
        activate = ACTIVATIONS[self.out_activation]
        rows = self._by_blocks(lambda z: activate(network.decode(self._prepare(z, network))), Z)
        return finite(rows, Z)

    def _prepare(self, rows: Table, network: Autoencoder) -> Batch:
        weight = network.output.weight
        return as_batch(rows).to(weight.dtype).to(weight.device)

    def _row_errors(self, rows: Table, network: Autoencoder) -> Tensor:
        x = self._prepare(rows, network)
        output = network.decode(network.encode(x))
        if self.loss == "binary_cross_entropy":
            return -Bernoulli().log_prob([output], x)
        return squared_error(ACTIVATIONS[self.out_activation](output), x)

    def _errors(self, X: Table, network: Autoencoder) -> np.ndarray:
        return self._by_blocks(lambda rows: self._row_errors(rows, network), X)
