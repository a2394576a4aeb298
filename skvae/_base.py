"""What estimators share: parameters and training of a network, and when scores are equal."""

from __future__ import annotations

import copy
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, check_random_state

from ._compat import (
    DocumentationLink,
    Interval,
    ParameterConstraints,
    StrOptions,
    validate_params,
)
from ._validation import Blocks, n_nonzeros, named, total

if TYPE_CHECKING:
    from ._torch.model import Model
    from ._torch.ranks import Ranks

ACTIVATIONS = {"identity", "relu", "tanh", "logistic", "softplus", "elu", "silu"}

# Integers that size something must fit into a machine's.
POSITIVE = Interval(Integral, 1, sys.maxsize, closed="both")

TRAINING_CONSTRAINTS: ParameterConstraints = {
    "n_components": [POSITIVE],
    "hidden_layer_sizes": ["array-like"],
    "activation": [StrOptions(ACTIVATIONS)],
    "solver": [StrOptions({"adam", "sgd"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [POSITIVE],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "max_iter": [POSITIVE],
    "tol": [Interval(Real, 0, None, closed="left")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "warm_start": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
    "device": [StrOptions({"auto", "cpu", "cuda", "mps"})],
}

# Scores of equal rows may differ by this much, relative to their size, and still count as equal.
ROUNDING = 1e-9

# With batch_size="auto" an epoch has at least so many steps, as long as a feature has so many
# non-zeros in a batch on average, with batches between these sizes.
STEPS_IN_AN_EPOCH = 30
NONZEROS_IN_A_BATCH = 8
SMALLEST_BATCH = 32
LARGEST_BATCH = 128


class NetworkEstimator(DocumentationLink, BaseEstimator, ABC):
    """Fits a `Model`: common to the plain autoencoder and the density."""

    _parameter_constraints: ParameterConstraints = TRAINING_CONSTRAINTS
    _model: Any
    _model_architecture: dict[str, Any]

    def _validate_parameters(self) -> None:
        validate_params(self, self._parameter_constraints)
        sizes = self.hidden_layer_sizes
        if getattr(sizes, "ndim", 1) != 1 or not all(map(POSITIVE.is_satisfied_by, sizes)):
            raise ValueError(
                f"hidden_layer_sizes must hold integers of at least 1, got {sizes!r}. Use () for "
                "no hidden layer."
            )

    def _training_options(self, max_iter: int, batch_size: int) -> Any:
        from ._torch.model import TrainingOptions

        names = ("solver", "alpha", "learning_rate_init", "tol", "n_iter_no_change")
        return TrainingOptions(
            **{name: getattr(self, name) for name in names},
            max_iter=max_iter,
            batch_size=batch_size,
            verbose=bool(self.verbose),
            device=self.device,
        )

    def _batch_size_for(self, n_rows: int, share: float, partial: bool) -> int:
        """Rows in a training step, of so many, in which a share of the values is not zero."""
        if self.batch_size != "auto":
            return int(self.batch_size)
        if partial:  # n_rows is a chunk's
            return LARGEST_BATCH
        # Adam's steps are too long for a feature that most batches say nothing of.
        needed = NONZEROS_IN_A_BATCH / share if share else math.inf
        wanted = max(SMALLEST_BATCH, n_rows // STEPS_IN_AN_EPOCH, needed)
        return math.ceil(min(LARGEST_BATCH, wanted))

    def _architecture(self) -> dict[str, Any]:
        """What makes the network, as `Model.__init__` is given it."""
        return {
            "n_components": int(self.n_components),
            "hidden_layer_sizes": tuple(int(size) for size in self.hidden_layer_sizes),
            "activation": self.activation,
        }

    def _goes_on(self, partial: bool = False) -> bool:
        """Whether a fit goes on from the one before."""
        return (partial or self.warm_start) and hasattr(self, "_model")

    @abstractmethod
    def _make_model(self, X: Any, X_train: Any, seed: int) -> Model:
        """Make an untrained model for a clean table, of which some rows may not be trained on."""

    def _train(
        self,
        X: Any,
        X_val: Any,
        *,
        hold_out: bool,
        partial: bool = False,
        blocks: Blocks | None = None,
        checkpoint: Any = None,
        ranks: Ranks | None = None,
        leaves_far_rows_out: bool = False,
    ) -> None:
        """Train a new model on clean data, or a copy of the one there is, and keep it.

        X is the table to train on, or the first of several `blocks`. The first of several ranks
        makes the model and keeps the checkpoint.
        """
        from ._torch.device import plain_training, training_device
        from ._torch.ranks import ALONE

        resume, max_iter = self._goes_on(partial), 1 if partial else self.max_iter
        ranks = ranks or ALONE
        ranks.refuse_different(
            {
                "the number of features": X.shape[1],
                "whether there is X_val": X_val is not None,
                "max_iter": max_iter,
            }
            | {f"the parameter {name}": value for name, value in self._task_parameters().items()}
            | {
                f"the name of feature {i}": name
                for i, name in enumerate(getattr(self, "feature_names_in_", ()))
            }
        )
        rng = check_random_state(self.random_state)
        seeds = [int(seed) for seed in rng.randint(np.iinfo(np.int32).max, size=2)]
        if ranks.rank > 0:
            checkpoint = None
        with ranks.together():
            training_device(self.device)  # an error if there is none
            if checkpoint is not None:
                checkpoint = self._open_checkpoint(checkpoint, X, X_val, seeds, resume)
                seeds = checkpoint.task["seeds"]
        split_seed, model_seed = seeds
        with plain_training(self.device):
            X_train, rows_to_stop = X, X_val
            if hold_out and X_val is None:
                X_train, rows_to_stop = self._split(X, split_seed)
            # Made for all rows: a fraction, a code or a NaN may be only in those held out.
            model = ranks.from_first(lambda: self._initial_model(X, X_train, model_seed, resume))
            self._model_architecture = self._architecture()
            n_rows = n_nonzero = 0
            with ranks.together():
                if X_val is not None:
                    with named("X_val"):
                        model.check(X_val)
                if rows_to_stop is not None:
                    rows_to_stop = model.compact(rows_to_stop)
                tables: Iterable[Any]
                if blocks is None:
                    model.check(X)
                    X_train = model.compact(X_train)
                    tables = [X_train]
                else:
                    tables, blocks.check = blocks, model.check
                for table in tables:
                    n_rows += table.shape[0]
                    n_nonzero += n_nonzeros(table)
            n_rows, n_nonzero = map(sum, zip(*ranks.gather((n_rows, n_nonzero)), strict=True))
            batch_size = self._batch_size_for(n_rows, n_nonzero / (n_rows * X.shape[1]), partial)
            options = self._training_options(max_iter, batch_size)
            model.train(
                X_train,
                rows_to_stop,
                replace(options, ranks=ranks, leaves_far_rows_out=leaves_far_rows_out),
                tables=tables,
                n_rows=n_rows,
                partial=partial,
                keep_optimizer=partial or self.warm_start,
                checkpoint=checkpoint,
            )
            self._keep(model)

    def _initial_model(self, X: Any, X_train: Any, seed: int, resume: bool) -> Model:
        """Model to train: a new one, or a copy of the one there is."""
        if not resume:
            return self._make_model(X, X_train, seed)
        made, wanted = self._model_architecture, self._architecture()
        changed = [name for name in made if made[name] != wanted[name]]
        if changed:
            was, now = (
                ", ".join(f"{name}={architecture[name]!r}" for name in changed)
                for architecture in (made, wanted)
            )
            raise ValueError(
                f"The network to train further was made with {was}; the parameters now say {now}. "
                "Set them back, or fit anew: by `fit`, with warm_start=False."
            )
        return copy.deepcopy(self._model)

    def _task_parameters(self) -> dict[str, str]:
        """Parameters that say what is trained, as text that is the same in every process."""
        # The architecture has what selectors found, whose own text has addresses in it.
        parameters = self.get_params(deep=False) | self._architecture()
        return {
            # Numbers of NumPy's types have other texts.
            name: repr(value.item() if isinstance(value, np.generic) else value)
            for name, value in parameters.items()
            if name not in ("max_iter", "verbose", "device", "random_state")
        }

    def _open_checkpoint(
        self, path: Any, X: Any, X_val: Any, seeds: list[int], resume: bool
    ) -> Any:
        """Checkpoint of this training at a path."""
        from ._torch.checkpoint import Checkpoint

        seeded = isinstance(self.random_state, Integral)
        task = {
            "estimator": type(self).__name__,
            **self._task_parameters(),
            "random_state": int(self.random_state) if seeded else None,
            "seeds": seeds,
            "shape": list(X.shape),
            "sum": total(X),
            "X_val": None if X_val is None else [*X_val.shape, total(X_val)],
            "the fit before": self._model.digest() if resume else None,
        }
        return Checkpoint(path, task)

    def _keep(self, model: Any) -> None:
        """Make a trained model the estimator's own, with the attributes that tell of it."""
        self._model = model
        self._n_features_out = self._model_architecture["n_components"]
        self.n_iter_ = len(model.history.terms)
        self.loss_curve_ = [sum(terms) for terms in model.history.terms]
        self.validation_loss_curve_ = list(model.history.validation)

    def _n_held_out(self, X: Any) -> int:
        """Number of rows to hold out of X."""
        return max(1, round(self.validation_fraction * X.shape[0]))

    def _split(self, X: Any, seed: int) -> list[Any]:
        n_val = self._n_held_out(X)
        if n_val >= X.shape[0]:
            raise ValueError(
                f"early_stopping={self.early_stopping!r} with "
                f"validation_fraction={self.validation_fraction} leaves no row to train on: "
                f"n_samples={X.shape[0]}. Give more rows, or set early_stopping=False."
            )
        return train_test_split(X, test_size=n_val, random_state=seed)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
