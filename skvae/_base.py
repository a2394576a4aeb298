"""What the estimators with a network share: parameters, validation and training."""

from __future__ import annotations

import copy
import math
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, assert_all_finite, check_array, check_random_state, column_or_1d
from sklearn.utils.validation import validate_data

from ._compat import (
    DocumentationLink,
    Interval,
    ParameterConstraints,
    StrOptions,
    validate_params,
)

if TYPE_CHECKING:
    from ._torch.model import Model

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

# With batch_size="auto" an epoch has at least so many steps, as long as a feature has so many
# non-zeros in a batch on average, with batches between these sizes.
STEPS_IN_AN_EPOCH = 30
NONZEROS_IN_A_BATCH = 8
SMALLEST_BATCH = 32
LARGEST_BATCH = 128

# How values are written that stand for a missing label, of Python, NumPy and pandas.
MISSING = {"None", "nan", "<NA>", "NaT"}

# A lock for each estimator; it cannot be an attribute, because attributes are copied and pickled.
_FITTING: WeakKeyDictionary[BaseEstimator, threading.RLock] = WeakKeyDictionary()
if hasattr(os, "register_at_fork"):  # whoever held one is not in the child
    os.register_at_fork(after_in_child=_FITTING.clear)


@contextmanager
def restored_on_error(estimator: BaseEstimator) -> Iterator[None]:
    """Give the estimator its attributes back if the block fails: a failed fit loses nothing.

    Fits of one estimator in several threads take turns.
    """
    with _FITTING.setdefault(estimator, threading.RLock()):
        before = vars(estimator).copy()
        try:
            yield
        except BaseException:
            estimator.__dict__ = before  # in one step: Ctrl-C may come again
            raise


def validate_numbers(
    estimator: BaseEstimator, X: Any, *, reset: bool, allow_nan: bool, **options: Any
) -> Any:
    """C-ordered float64 values by scikit-learn's rules; too large a number is a ValueError too."""
    if isinstance(X, Iterator) or is_blocks(X):
        raise TypeError(
            "X gives several tables, one after the other, which only `fit` of VAEDensityEstimator "
            "takes. Stack them, by scipy.sparse.vstack or numpy.concatenate, or pass them singly."
        )
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return validate_data(
                estimator,
                X,
                reset=reset,
                dtype=np.float64,
                order="C",
                ensure_all_finite="allow-nan" if allow_nan else True,
                **options,
            )
    except OverflowError as error:
        raise ValueError(f"X holds a number too large for float64: {error}.") from error


def validate_table(
    estimator: BaseEstimator, X: Any, *, reset: bool, allow_nan: bool = False
) -> Any:
    """Finite float64 rows, C-ordered or canonical CSR; the caller's X is never written to.

    With `allow_nan` a dense X may hold NaN, which means missing.
    """
    refuse_broken(X)
    table = validate_numbers(estimator, X, reset=reset, allow_nan=allow_nan, accept_sparse="csr")
    if getattr(X, "format", None) not in ("csr", "csc"):
        refuse_broken(table)
    X = table
    if sp.issparse(X) and allow_nan and np.isnan(X.data).any():
        raise ValueError(
            "Input X contains NaN. A dense X may, where it means missing; a sparse one may not. "
            "Pass X.toarray(), or remove the rows."
        )
    if sp.issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def refuse_broken(X: Any) -> None:
    """Raise a ValueError if indices of a CSR or CSC matrix point outside, which crashes SciPy.

    And if a sparse array has not two dimensions.
    """
    if not sp.issparse(X):
        return
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D input, got a sparse array of shape {X.shape}. Use X.reshape(-1, 1) if it "
            "is one feature, or X.reshape(1, -1) if it is one sample."
        )
    if X.format not in ("csr", "csc"):
        return
    n_outer, n_inner = X.shape if X.format == "csr" else X.shape[::-1]
    starts, indices = X.indptr, X.indices
    if (
        len(starts) != n_outer + 1
        or starts[0] != 0
        or (np.diff(starts) < 0).any()
        or not starts[-1] <= len(indices) == len(X.data)
        or (len(indices) and (indices.min() < 0 or indices.max() >= n_inner))
    ):
        raise ValueError(
            f"X is a broken {X.format.upper()} matrix: indptr or indices lie outside its shape "
            f"{X.shape}. Make it from rows, columns and values instead, by coo_matrix."
        )


class Blocks:
    """Clean tables, read one after the other, anew at each iteration.

    Parameters
    ----------
    estimator : BaseEstimator
        Has seen the first block.
    blocks : iterable of {array-like, sparse matrix}

    Attributes
    ----------
    check : callable or None
        Raises a ValueError for a table that may not be trained on.
    is_sparse : bool or None
        Form of the first block of all.
    """

    def __init__(self, estimator: BaseEstimator, blocks: Any):
        self.estimator = estimator
        self.blocks = blocks
        self.check: Callable[[Any], None] | None = None
        self.is_sparse: bool | None = None

    def __iter__(self) -> Iterator[Any]:
        is_empty = True
        for number, block in enumerate(self.blocks):
            is_empty = False
            try:
                table = validate_table(self.estimator, block, reset=False, allow_nan=True)
                if self.is_sparse is None:
                    self.is_sparse = sp.issparse(table)
                if sp.issparse(table) != self.is_sparse:
                    raise ValueError("X gives sparse and dense blocks. Give all in one form.")
                if self.check is not None:
                    self.check(table)
            except ValueError as error:
                raise ValueError(f"Block {number} of X, counted from 0: {error}") from error
            yield table
        if is_empty:
            raise ValueError(
                "X gave no block when it was iterated over again. Pass an object whose __iter__ "
                "begins anew at each call."
            )


def check_labels(y: Any, name: str = "y", *, warn: bool = False) -> np.ndarray:
    """Labels as a vector of (n_samples,); a ValueError if one is missing."""
    y = column_or_1d(y, warn=warn)
    if y.dtype == object:
        if any(str(label) in MISSING for label in y if not isinstance(label, str)):
            raise ValueError(f"Input {name} contains NaN or None: a label is missing.")
    else:
        assert_all_finite(y, input_name=name)
    return y


def total(table: Any) -> float:
    """Sum of all values that are not missing."""
    return float(np.nansum(table.data if sp.issparse(table) else table))


def is_blocks(X: Any) -> bool:
    """Whether X gives tables one after the other, and is no table itself.

    Raises
    ------
    TypeError
        If it can be iterated over once only.
    """
    if hasattr(X, "shape") or hasattr(X, "__array__") or isinstance(X, (str, bytes, Mapping)):
        return False
    if isinstance(X, Iterator):
        raise TypeError(
            f"X is an iterator ({type(X).__name__}), which can be read once only. Pass an object "
            "whose __iter__ begins anew at each call: a class, or a list of sparse matrices."
        )
    if isinstance(X, Sequence):
        return len(X) > 0 and len(getattr(X[0], "shape", ())) == 2
    return hasattr(X, "__iter__") and not isinstance(X, Set)


def check_latent(X: Any, n_components: int) -> np.ndarray:
    """Latent points as a clean float64 array of the right width."""
    X = check_array(X, dtype=np.float64, order="C", input_name="X")
    if X.shape[1] != n_components:
        raise ValueError(
            f"X has {X.shape[1]} columns, but inverse_transform expects one for each of the "
            f"{n_components} components."
        )
    return X


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
        process_group: Any = None,
    ) -> None:
        """Train a new model on clean data, or a copy of the one there is, and keep it.

        X is the table to train on, or the first of several `blocks`. The first process of a group
        makes the model and keeps the checkpoint.
        """
        from ._torch.device import plain_training
        from ._torch.ranks import Ranks

        resume, max_iter = self._goes_on(partial), 1 if partial else self.max_iter
        ranks = Ranks(process_group)
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
        if checkpoint is not None:
            checkpoint = self._open_checkpoint(checkpoint, X, X_val, seeds, resume)
            seeds = checkpoint.task["seeds"]
        split_seed, model_seed = seeds
        with plain_training(self.device):
            X_train = X
            if hold_out and X_val is None:
                X_train, X_val = self._split(X, split_seed)
            # Made for all rows: a fraction, a code or a NaN may be only in those held out.
            model = ranks.from_first(lambda: self._initial_model(X, X_train, model_seed, resume))
            self._model_architecture = self._architecture()
            if X_val is not None:
                model.check(X_val)
            tables: Iterable[Any] = [X_train]
            if blocks is None:
                model.check(X_train)
            else:
                tables, blocks.check = blocks, model.check
            n_rows = n_nonzero = 0
            for table in tables:
                n_rows += table.shape[0]
                n_nonzero += table.nnz if sp.issparse(table) else int(np.count_nonzero(table))
            n_rows, n_nonzero = map(sum, zip(*ranks.gather((n_rows, n_nonzero)), strict=True))
            batch_size = self._batch_size_for(n_rows, n_nonzero / (n_rows * X.shape[1]), partial)
            options = self._training_options(max_iter, batch_size)
            model.train(
                X_train,
                X_val,
                replace(options, ranks=ranks),
                blocks=tables,
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
                "Set them back, or fit anew with warm_start=False."
            )
        return copy.deepcopy(self._model)

    def _task_parameters(self) -> dict[str, str]:
        """Parameters that say what is trained, as text that is the same in every process."""
        # The architecture has what selectors found, whose own text has addresses in it.
        parameters = self.get_params(deep=False) | self._architecture()
        for name in ("max_iter", "verbose", "device", "random_state"):
            del parameters[name]
        return {
            # Numbers of NumPy's types have other texts.
            name: repr(value.item() if isinstance(value, np.generic) else value)
            for name, value in parameters.items()
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
