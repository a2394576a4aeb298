"""Tables and labels that estimators are given, made clean or refused; a failed fit undone."""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import date, time, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, check_array, column_or_1d
from sklearn.utils.validation import validate_data

# How values are written that stand for a missing label, of Python, NumPy and pandas.
MISSING = {"None", "nan", "<NA>", "NaT"}

# Dates and durations of Python and NumPy; those of pandas are dates of Python, too.
DATES = (date, time, timedelta, np.datetime64, np.timedelta64)

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


@contextmanager
def named(name: str | None) -> Iterator[None]:
    """Let an error of the block begin with the name of what it is about, if that has one."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if name is None:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}") from error


def validate_numbers(
    estimator: BaseEstimator, X: Any, *, reset: bool, allow_nan: bool, **options: Any
) -> Any:
    """C-ordered float64 values by scikit-learn's rules; too large a number is a ValueError too."""
    if isinstance(X, Iterator) or is_blocks(X):
        raise TypeError(
            "These are several tables, one after the other, where one is expected: only `fit` of "
            "VAEDensityEstimator takes more, as its X. Stack them, by scipy.sparse.vstack or "
            "numpy.concatenate, or pass them singly."
        )
    refuse_dates(X)
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
    except TypeError as error:
        if "NAType" in str(error):
            raise ValueError(
                "X holds pandas.NA in a column of Python objects. Write numpy.nan in its place, or "
                "make it a column of a nullable type, such as Float64."
            ) from error
        if "argument must be a string or a" not in str(error):
            raise
        raise TypeError(f"X holds an object that is no number: {error}. Write numbers.") from error
    except ValueError as error:
        # The second is how pandas says it of categories beside a column of a nullable type.
        if not re.search("could not convert string to float|Cannot cast .* to float64", str(error)):
            raise
        raise ValueError(
            f"X holds text{column_of_text(X)}: {error}. Make codes of it, by OrdinalEncoder, or a "
            "column for each of its values, by OneHotEncoder."
        ) from error


def column_of_text(X: Any) -> str:
    """Where the first text of a data frame is, as an addition to a message."""
    for name in getattr(X, "columns", []):
        if any(isinstance(value, str) for value in X[name]):
            return f" in column {name!r}"
    return ""


def refuse_dates(X: Any) -> None:
    """Raise a ValueError if X holds dates or durations: as a number a missing one is none."""
    is_frame = hasattr(X, "columns")
    dtypes = getattr(X, "dtypes", []) if is_frame else [getattr(X, "dtype", None)]
    for dtype in dtypes:
        is_temporal = getattr(dtype, "is_temporal", bool)  # of polars
        if getattr(dtype, "kind", None) in ("m", "M") or is_temporal():
            raise dates_refused(dtype)
    are_objects = [getattr(dtype, "kind", None) == "O" for dtype in dtypes]
    if is_frame:
        objects = [X[name] for name in itertools.compress(X.columns, are_objects)]
    elif isinstance(X, (list, tuple)) or (any(are_objects) and not sp.issparse(X)):
        objects = [np.array(X, dtype=object).flat]
    else:
        objects = []
    for value in itertools.chain(*objects):
        if isinstance(value, DATES):
            raise dates_refused(type(value).__name__)


def dates_refused(kind: Any) -> ValueError:
    """The error that says what to make of dates."""
    return ValueError(
        f"X holds dates or durations ({kind}). Make numbers of them, such as days since a certain "
        "one, and NaN where one is missing."
    )


def validate_table(
    estimator: BaseEstimator, X: Any, *, reset: bool, allow_nan: bool = False
) -> Any:
    """Finite float64 rows, C-ordered or canonical CSR; the caller's X is never written to.

    With `allow_nan` a dense X may hold NaN, which means missing.
    """
    refuse_broken(X)
    # Entries that stand twice are summed in the type that they have: two True are one.
    table = validate_numbers(
        estimator, summed(X), reset=reset, allow_nan=allow_nan, accept_sparse="csr"
    )
    if not has_compressed_rows(X):
        refuse_broken(table)
    if sp.issparse(table) and allow_nan and np.isnan(table.data).any():
        raise ValueError(
            "Input X contains NaN. A dense X may, where it means missing; a sparse one may not. "
            "Pass X.toarray(), or remove the rows."
        )
    return summed(table)


def has_compressed_rows(X: Any) -> bool:
    """Whether X is a CSR or CSC matrix; a data frame may have a column that is named `format`."""
    return sp.issparse(X) and X.format in ("csr", "csc")


def summed(X: Any) -> Any:
    """X; of a CSR or CSC matrix with entries that stand twice or out of order, a canonical copy.

    So of one with room for more entries, by which SciPy's functions write where they may not.
    """
    if not has_compressed_rows(X):
        return X
    has_room = len(X.data) > X.indptr[-1]
    if has_room or not X.has_canonical_format:
        X = X.copy()
        X.prune()
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

    @staticmethod
    def name(number: int) -> str:
        """What errors about a block call it."""
        return f"Block {number} of X, counted from 0"

    def __iter__(self) -> Iterator[Any]:
        is_empty = True
        for number, block in enumerate(self.blocks):
            is_empty = False
            with named(self.name(number)):
                table = validate_table(self.estimator, block, reset=False, allow_nan=True)
                if self.is_sparse is None:
                    self.is_sparse = sp.issparse(table)
                if sp.issparse(table) != self.is_sparse:
                    raise ValueError("X gives sparse and dense blocks. Give all in one form.")
                if self.check is not None:
                    self.check(table)
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
        if len({isinstance(label, str) for label in y}) > 1:
            raise ValueError(f"Input {name} mixes texts with other labels. Make all of one kind.")
    else:
        assert_all_finite(y, input_name=name)
    return y


def n_nonzeros(table: Any) -> int:
    """Number of values that are neither zero nor missing."""
    values = table.data if sp.issparse(table) else table
    return int(np.count_nonzero(values) - np.count_nonzero(np.isnan(values)))


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
