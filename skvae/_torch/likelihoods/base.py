"""What a likelihood p(x|z) is, and what the likelihoods share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Generator, Tensor

from ..blocks import blocks
from ..sparse import Batch, CSRBatch, Table, sum_entries

# Rows that are checked or added up at a time, so that no copy of the table is made.
ROWS_AT_A_TIME = 4096

# What values that are equal may differ by when they are computed, as a share of them.
ROUNDING = 10 * np.finfo(float).eps

# As a share of the median deviation of a column, steps that are none: `reg_covar` is coarser.
SMALLEST_STEP = 1e-5

# Where the square of a deviation underflows.
SMALLEST_DEVIATION = math.sqrt(np.finfo(float).tiny)


def stored_values(X: Table) -> np.ndarray:
    """Values that decide about a table's type: all of them, or those a sparse one stores."""
    return X.data if sp.issparse(X) else X


def has_missing(X: Table) -> bool:
    """Whether a value is missing (NaN)."""
    return bool(np.isnan(stored_values(X)).any())


def column_of(X: Table, wrong: np.ndarray) -> int:
    """First column with a value marked in `wrong`, a mask over `stored_values(X)`."""
    if sp.issparse(X):
        return int(X.indices[np.argmax(wrong)])
    return int(np.nonzero(wrong)[1][0])


def column_name(column: int, columns: np.ndarray | None) -> int:
    """Index in the user's table, in which `columns` are those of this one; None: they are all."""
    return column if columns is None else int(columns[column])


def refuse(
    X: Table, wrong: np.ndarray, message: str, remedy: str, columns: np.ndarray | None = None
) -> None:
    """Raise a ValueError that names the first column with a value marked in `wrong`, if any.

    `columns` says where the columns of X are in the user's table.
    """
    if wrong.any():
        column, value = column_name(column_of(X, wrong), columns), stored_values(X)[wrong][0]
        raise ValueError(f"{message}; column {column} has {value:g}. {remedy}")


def not_a_code(values: np.ndarray) -> np.ndarray:
    """Which values are no integers from 0; missing ones may be."""
    return (values < 0) | (values > np.floor(values))


def column_sums(X: Table) -> np.ndarray:
    """Sum of each column, missing values left out."""
    if sp.issparse(X):
        return np.asarray(X.sum(axis=0), float).ravel()
    return np.sum([np.nansum(rows, axis=0) for rows in blocks(X, ROWS_AT_A_TIME)], axis=0)


def column_counts(X: Table) -> np.ndarray:
    """Number of values in each column that are not missing."""
    if sp.issparse(X):
        return np.full(X.shape[1], X.shape[0])
    return np.count_nonzero(~np.isnan(X), axis=0)


def sorted_values(X: Table, column: int) -> np.ndarray:
    """Values of a column in ascending order, without missing ones; of a sparse X, best in CSC."""
    values = X[:, [column]].toarray().ravel() if sp.issparse(X) else X[:, column]
    return np.sort(values[~np.isnan(values)])


def resolutions(X: Table, trimmed: float) -> np.ndarray:
    """How fine the values of each column are: the median difference of neighbouring ones.

    Of two in the middle it is the smaller one: a code for an error, far from all values, is not to
    count among few. The share `trimmed` of the values at either end is left out, for a few wild
    ones are as many as the grades of a column, unless the middle half is one value. 0 where there
    are no two values. Missing values are left out, and what differs by rounding is the same.
    """
    columns = X.tocsc() if sp.issparse(X) else X
    found = np.zeros(X.shape[1])
    for j in range(X.shape[1]):
        spread = 0.0
        if sp.issparse(X) and 4 * (columns.indptr[j + 1] - columns.indptr[j]) < X.shape[0]:
            # The middle half is zero; spares writing it out.
            values = np.append(columns.data[columns.indptr[j] : columns.indptr[j + 1]], 0.0)
        else:
            values = sorted_values(columns, j)
            n_cut, quarter = int(trimmed * len(values)), len(values) // 4
            if len(values) and values[quarter] < values[-1 - quarter]:
                values = values[n_cut : len(values) - n_cut]
                spread = np.median(np.abs(values - values[len(values) // 2]))
        values = np.unique(values)
        if len(values) < 2:
            continue
        # Grades that are computed are rounded: 0.3 - 0.1 is a little less than 0.2. By how much
        # depends on what they were computed from, so steps that are minute beside their spread
        # are none.
        rounding = max(ROUNDING * np.median(np.abs(values)), SMALLEST_STEP * spread)
        steps = np.diff(values)
        steps = steps[steps > rounding]
        if len(steps):
            middle = (len(steps) - 1) // 2
            found[j] = np.partition(steps, middle)[middle]
    return found


def column_moments(X: Table) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, in two passes, without densifying.

    Missing values are left out; a column of nothing else has mean and standard deviation 0. That of
    a constant column is 0 exactly, whatever the sum of its values is rounded by; that of any other
    one at least `SMALLEST_DEVIATION`.
    """
    n_rows = np.maximum(column_counts(X), 1)
    mean = column_sums(X) / n_rows
    if sp.issparse(X):
        n_features = X.shape[1]
        deviations = (X.data - mean[X.indices]) ** 2
        n_zeros = n_rows - np.bincount(X.indices, minlength=n_features)
        # Without an entry, the weights' sums are integers with some versions of NumPy.
        squares = n_zeros * mean**2 + np.bincount(
            X.indices, weights=deviations, minlength=n_features
        )
        lowest, highest = (extreme(axis=0).toarray().ravel() for extreme in (X.min, X.max))
    else:
        deviations = ((rows - mean) ** 2 for rows in blocks(X, ROWS_AT_A_TIME))
        squares = np.sum([np.nansum(rows, axis=0) for rows in deviations], axis=0)
        lowest, highest = (extreme.reduce(X, axis=0) for extreme in (np.fmin, np.fmax))
    deviation = np.sqrt(squares / n_rows).clip(min=SMALLEST_DEVIATION)
    return mean, np.where(lowest < highest, deviation, 0)


def filled(x: Tensor, value: float | Tensor = 0.0) -> Tensor:
    """`x` with a value in the place of each missing one."""
    return torch.where(x.isnan(), value, x)


def entries_of(x: Batch) -> Tensor:
    """Entries of a batch, 0 for a missing one: all, or those that CSR rows store."""
    return x.values if isinstance(x, CSRBatch) else filled(x)


def at_entries(output: Tensor, x: Batch) -> Tensor:
    """An output, (..., n_rows, n_features), where `x` has entries: see `sum_entries`."""
    if not isinstance(x, CSRBatch):
        return output
    return output.flatten(-2).index_select(-1, x.places)


def sum_observed(values: Tensor, x: Batch) -> Tensor:
    """Sum of values over the features of each row, without those that are missing from `x`."""
    if isinstance(x, Tensor):
        return values.masked_fill(x.isnan(), 0).sum(-1)
    return values.sum(-1) if x.column_weights is None else values @ x.column_weights


def private_numpy(generator: Generator) -> np.random.RandomState:
    """NumPy's frozen generator, seeded from PyTorch's, which lacks some distributions."""
    return np.random.RandomState(int(torch.randint(2**31 - 1, (), generator=generator)))


@dataclass(frozen=True)
class LinearColumns:
    """Columns of which a linear model of what the encoder reads is one of what the decoder says.

    Parameters
    ----------
    columns : Tensor of int of shape (n_columns,)
        Where they are in the table.
    places : Tensor of int of shape (n_columns,)
        Where they are among the columns of their likelihood.
    location, scale : Tensor of shape (n_columns,)
        What standardises what the encoder reads of them; it reads the location of a missing value.
    min_variance : Tensor of shape (n_columns,)
        The smallest variance that such a standardised value may have given z.
    to_outputs : callable
        Of a model with loadings (n_columns, n_factors), mean and variance (n_columns,) of the
        standardised values, the loadings and means of each of the likelihood's outputs.
    first_input, first_output : int
        Place of the likelihood's first column in what the encoder reads, and of its first output.
    """

    columns: Tensor
    places: Tensor
    location: Tensor
    scale: Tensor
    min_variance: Tensor
    to_outputs: Callable[[Tensor, Tensor, Tensor], list[tuple[Tensor, Tensor]]]
    first_input: int = 0
    first_output: int = 0

    @property
    def inputs(self) -> Tensor:
        """Where they are in what the encoder reads, (n_columns,)."""
        return self.first_input + self.places


class Likelihood(ABC):
    """What the rest of the package may ask of a likelihood.

    A batch is a `Tensor`, in which NaN is a missing value, or a `CSRBatch`. A missing value adds
    nothing to the log-probability: it is integrated out, since features are independent given z.

    Parameters
    ----------
    columns : ndarray of int, default=None
        Where its columns are in the user's table; None if they are all of it. For messages.
    """

    name: str
    min_variance = 1e-3
    # How many outputs of the decoder it reads for each column.
    n_outputs = 1

    def __init__(self, columns: np.ndarray | None = None):
        self.columns = columns

    def set_min_variance(self, value: float) -> None:
        """Set the smallest variance of real values, in standardised units, before `start`."""
        self.min_variance = value

    @abstractmethod
    def check(self, X: Table) -> None:
        """Raise a ValueError that names the column when a value has no probability."""

    @abstractmethod
    def start(self, X: Table) -> list[np.ndarray]:
        """Learn what is fixed from the training table; return the decoder's first biases.

        One array for each output of the decoder, as long as that output is wide. With them and
        z = 0 the columns have their marginal distributions.
        """

    def in_training(self, progress: float) -> Likelihood:
        """What to train on when annealing has come so far, from 0 to 1: after it, the same."""
        return self

    def linear_columns(self, X: Table) -> list[LinearColumns]:
        """Columns that a network can start from a linear model of; X are rows for `start`."""
        return []

    def variance_outputs(self) -> list[int]:
        """Places of outputs that are variances alone."""
        return []

    def column_means(self) -> Tensor | None:
        """Mean of each column in training, if the baseline of CSR rows is a sum over the columns.

        Such a sum can be estimated from a sample of columns: see `CSRBatch.column_weights`.
        """
        return None

    @abstractmethod
    def prepare(self, batch: Batch, dtype: torch.dtype) -> Batch:
        """Give a batch of raw float64 rows the form that `inputs` and `terms` read."""

    def describe(self) -> str | dict[str, np.ndarray]:
        """Name, or the columns of each name."""
        return self.name

    def n_inputs(self, n_features: int) -> int:
        """Width of what `inputs` returns, after `start`."""
        return n_features

    @abstractmethod
    def inputs(self, x: Batch) -> Batch:
        """What the encoder reads of a prepared batch; nothing is missing from it."""

    def is_empty(self, x: Batch) -> Tensor | None:
        """Which rows say nothing about z, (n_rows,): their posterior is the prior. None: none."""
        return None if isinstance(x, CSRBatch) else x.isnan().all(-1)

    @abstractmethod
    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        """Split log p(x|z) into a baseline (..., n_rows) and entries (see `sum_entries`)."""

    @abstractmethod
    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        """Mean of x given z, in the units of the table; of codes, the probability of each."""

    def to_table(self, mean: Tensor) -> Tensor:
        """Rows of the table for means, (..., n_features): the means; of codes, the likeliest."""
        return mean

    @abstractmethod
    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        """One x for each z, in the units of the table."""

    def log_units(self, x: Batch) -> Tensor:
        """What -log p(x|z) of each row owes to the units of its values, (n_rows,)."""
        return torch.zeros(len(x))

    def spike_heights(self, x: Batch) -> Tensor | None:
        """By how much to lower the log-density of values that a spike makes too high for a score.

        (n_rows, n_features) of a dense batch, 0 where there is none; None: nowhere.
        """
        return None

    def log_prob(self, outputs: Sequence[Tensor], x: Batch) -> Tensor:
        """Log p(x|z) of each row, (..., n_rows)."""
        baseline, entries = self.terms(outputs, x)
        return baseline + sum_entries(entries, x)
