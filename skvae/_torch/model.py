"""A trained model: arrays in, arrays out. The estimators hold one and never see a tensor."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Generator, Tensor, nn

from .blocks import blocks, rows_per_block
from .checkpoint import Checkpoint
from .device import keep_freed_memory, scoring_device, training_device
from .loop import History, Plateau, RowLosses, make_optimizer, train
from .networks import EncoderDecoder
from .objective import is_far_out
from .ranks import ALONE, Ranks
from .sparse import Table


@dataclass(frozen=True)
class TrainingOptions:
    """How to train: the estimator's parameters of the same names, and what is none.

    `leaves_far_rows_out` is said by a detector, and `ranks` are those that train together.
    """

    solver: str
    alpha: float
    batch_size: int
    learning_rate_init: float
    max_iter: int
    tol: float
    n_iter_no_change: int
    verbose: bool
    device: str
    n_training_draws: int = 1
    n_negative_samples: int | str | None = None
    leaves_far_rows_out: bool = False
    ranks: Ranks = ALONE


def finite(results: np.ndarray, X: Table) -> np.ndarray:
    """Pass on the results of the rows of X; a ValueError names the column if one has overflowed."""
    overflowed = ~np.isfinite(results.reshape(len(results), -1)).all(axis=1)
    if overflowed.any():
        row = X[[int(np.argmax(overflowed))]]
        values = np.nan_to_num(row.toarray() if sp.issparse(row) else row).ravel()
        column = int(np.argmax(np.abs(values)))
        raise ValueError(
            f"A result overflows: column {column} has {values[column]:g}, too far from the rows of "
            "the fit. Remove such rows, or rescale or clip the column before the fit."
        )
    return results


class Model(ABC):
    """A network with what it takes to train it on, score with it, and pickle it.

    The network trains in float32 on the device asked for; everything is scored by a copy in
    float64, made when it is first needed. A pickle holds CPU tensors, and no copy.
    """

    def __init__(self, network: EncoderDecoder, generator: Generator):
        self.network = network
        self.generator = generator
        self.history = History()
        self.n_rows_seen = 0
        # Whether the network is a model of its rows before it is trained for the first time.
        self.starts_fitted = False
        self._optimizer_state: dict[str, Any] | None = None
        self._scorer: tuple[str, EncoderDecoder] | None = None

    @abstractmethod
    def check(self, X: Table) -> None:
        """Raise a ValueError that names the column of a value the model has no loss for."""

    @abstractmethod
    def make_row_losses(
        self, X: Table, options: TrainingOptions, optimizer: torch.optim.Optimizer
    ) -> RowLosses:
        """Make the function that gives the terms of the training loss of each row of a batch.

        X is the training table, or its first block.
        """

    @abstractmethod
    def make_validation_losses(self, X: Table, n_before: int) -> Callable[[], np.ndarray]:
        """Make the function that gives the losses of rows that are not trained on.

        It takes the same draws at each call. `n_before` is the number of such rows that the ranks
        before this one have.
        """

    def train(
        self,
        X: Table,
        X_val: Table | None,
        options: TrainingOptions,
        *,
        tables: Iterable[Table],
        n_rows: int,
        partial: bool,
        keep_optimizer: bool,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Train on the rows of all tables; `X_val` stops the training if given.

        The training begins wherever the network is. An epoch is an iteration over the tables, of
        which X is the first or the only one. With `partial` they are a chunk of the training rows.
        Each of several ranks has tables and `X_val` of its own, and the same network; `n_rows` is
        what all have together.
        """
        ranks = options.ranks
        keep_freed_memory()
        self.network.to(training_device(options.device))
        self.n_rows_seen = n_rows + (self.n_rows_seen if partial else 0)
        optimizer = self.make_optimizer(options)
        row_losses = self.make_row_losses(X, options, optimizer)
        kind = self.optimizer_kind(X, options)
        if self._optimizer_state is not None and self._optimizer_state["kind"] == kind:
            groups = optimizer.state_dict()["param_groups"]
            state = self._optimizer_state["state"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        history = train(
            self.network,
            row_losses,
            tables,
            optimizer=optimizer,
            generator=self.generator,
            batch_size=options.batch_size,
            max_iter=options.max_iter,
            plateau=Plateau(options.tol, options.n_iter_no_change),
            # Held-out rows know best when to stop, and a trained network has begun already.
            anneals=X_val is None and not self.history.terms,
            validate=None if X_val is None else self._make_validate(X_val, options),
            start_counts=self.starts_fitted or bool(self.history.terms),
            checkpoint=checkpoint,
            ranks=ranks,
            # A stream of chunks is to end, and processes of a group may be anywhere.
            interruptible=not partial and ranks.size == 1,
            verbose=options.verbose,
        )
        self.history.terms += history.terms
        self.history.validation += history.validation
        self.starts_fitted = False
        self._scorer = None
        self._optimizer_state = None
        # Interrupted in the first epoch of all, the optimiser may be half set up.
        if keep_optimizer and self.history.terms:
            state = optimizer.state_dict()["state"]
            self._optimizer_state = {"kind": kind, "state": state}

    def _make_validate(self, X_val: Table, options: TrainingOptions) -> Callable[[], float]:
        """Make the function that gives the mean loss of the validation rows of all ranks."""
        n_rows, ranks = X_val.shape[0], options.ranks
        losses = self.make_validation_losses(X_val, ranks.number_before(n_rows))
        units = self.log_units(X_val) if options.leaves_far_rows_out else 0.0

        def validate() -> float:
            of_rows = losses()
            if options.leaves_far_rows_out:
                of_rows = of_rows[~is_far_out(torch.from_numpy(of_rows - units)).numpy()]
            return ranks.mean(float(np.mean(of_rows)), n_rows)

        return validate

    def compact(self, X: Table) -> Table:
        """Rows to train or stop on, in the form in which that is fastest."""
        return X

    def log_units(self, X: Table) -> np.ndarray:
        """What the loss of each row owes to the units of its values, (n_rows,)."""
        return np.zeros(X.shape[0])

    def make_optimizer(self, options: TrainingOptions) -> torch.optim.Optimizer:
        """Make the optimiser of the network's parameters."""
        return make_optimizer(
            self.network,
            options.solver,
            options.learning_rate_init,
            options.alpha,
            self.variance_weights(),
        )

    def variance_weights(self) -> list[nn.Parameter]:
        """Weights that make the variance of a feature depend on the row."""
        return []

    def optimizer_kind(self, X: Table, options: TrainingOptions) -> str:
        """Name of what the optimiser's state means: another kind cannot go on from it."""
        return options.solver

    def digest(self) -> str:
        """Text that tells this state of the training from all others."""
        sha = hashlib.sha256(self.generator.get_state().numpy().tobytes())
        for tensor in self.network.state_dict().values():
            sha.update(tensor.cpu().numpy().tobytes())
        return sha.hexdigest()

    def scorer(self, device: str) -> Any:
        """Float64 copy of the network on the device to score on."""
        # Threads may make a copy each; none sees one that is half made, or another's device.
        scorer = self._scorer
        if scorer is None or scorer[0] != device:
            network = copy.deepcopy(self.network).to(scoring_device(device))
            scorer = self._scorer = (device, network.double().requires_grad_(False))
        return scorer[1]

    @torch.no_grad()
    def _by_blocks(
        self, function: Callable[[Table], Tensor], X: Table, row_size: int = 1
    ) -> np.ndarray:
        """Apply a function to a few rows at a time, so that memory does not grow with X."""
        keep_freed_memory()
        # Filled in place, for the reason given in `log_density`.
        results = np.empty(0)
        start = 0
        for rows in blocks(X, rows_per_block(self.network.n_features, row_size)):
            block = function(rows).cpu().numpy()
            if start == 0:
                results = np.empty((X.shape[0], *block.shape[1:]))
            results[start : start + len(block)] = block
            start += len(block)
        return results

    def __getstate__(self) -> dict[str, Any]:
        # As its state, because PyTorch loses memory with every generator that it copies or pickles.
        state = vars(self) | {"_scorer": None, "generator": self.generator.get_state()}
        if next(self.network.parameters()).device.type != "cpu":
            state["network"] = copy.deepcopy(self.network).cpu()
        if self._optimizer_state is not None:
            moments = {
                index: {name: value.cpu() for name, value in parameter.items()}
                for index, parameter in self._optimizer_state["state"].items()
            }
            state["_optimizer_state"] = self._optimizer_state | {"state": moments}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        generator = Generator()
        generator.set_state(state["generator"])
        vars(self).update(state | {"generator": generator})
