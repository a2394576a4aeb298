"""Rows of a table as tensors: dense rows become a matrix, CSR rows stay index lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor


@dataclass(frozen=True)
class CSRBatch:
    """Rows of a CSR matrix: the stored entries, row after row.

    Attributes
    ----------
    columns, values : Tensor of shape (n_stored,)
        Column and value of each stored entry.
    rows : Tensor of shape (n_stored,)
        Row of each stored entry, counted from the start of the batch.
    offsets : Tensor of shape (n_rows + 1,)
        Where each row starts in `columns` and `values`; the last is n_stored.
    n_features : int
    column_weights : Tensor of shape (n_features,) or None
        How often each column counts in a sum over all features; None: once.
    """

    columns: Tensor
    values: Tensor
    rows: Tensor
    offsets: Tensor
    n_features: int
    column_weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def places(self) -> Tensor:
        """Place of each stored entry in the rows, written out one after the other."""
        return self.rows * self.n_features + self.columns

    def to(self, target: torch.dtype | torch.device) -> CSRBatch:
        """Give the same entries with values of another type, or on another device."""
        if isinstance(target, torch.dtype):
            return self.with_values(self.values.to(target))
        moved = {
            name: getattr(self, name).to(target)
            for name in ("columns", "values", "rows", "offsets")
        }
        return replace(self, **moved)

    def with_values(self, values: Tensor) -> CSRBatch:
        """Give the same places other values."""
        return replace(self, values=values)

    def to_dense(self) -> Tensor:
        """Write the rows out; only ever called on one batch."""
        dense = self.values.new_zeros(len(self), self.n_features)
        dense[self.rows, self.columns] = self.values
        return dense


Batch = Tensor | CSRBatch

# Devices for which PyTorch has no sums of segments.
WITHOUT_SEGMENTS = ("mps",)

# What the estimators hand over: a float64 array, or a CSR matrix of float64.
Table: TypeAlias = Any


def as_batch(rows: Table) -> Batch:
    """View rows, a float64 array or CSR matrix, as tensors; nobody may write to them."""
    if sp.issparse(rows):
        return csr_batch(rows)
    # A single row may be read backwards and still count as contiguous.
    plain = rows.flags.writeable and min(rows.strides) >= 0
    return torch.from_numpy(rows if plain else rows.copy())


def csr_batch(rows: sp.csr_matrix) -> CSRBatch:
    """View the stored entries of CSR rows as tensors."""
    lengths = np.diff(rows.indptr)
    return CSRBatch(
        columns=torch.from_numpy(rows.indices.astype(np.int64, copy=False)),
        values=torch.from_numpy(rows.data),
        rows=torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)),
        offsets=torch.from_numpy(rows.indptr.astype(np.int64, copy=False)),
        n_features=rows.shape[1],
    )


def stored_entries(x: Tensor) -> CSRBatch:
    """The non-zeros of dense rows."""
    rows, columns = x.nonzero(as_tuple=True)
    offsets = torch.searchsorted(rows, torch.arange(len(x) + 1, device=x.device))
    return CSRBatch(columns, x[rows, columns], rows, offsets, x.shape[1])


def sum_entries(entries: Tensor, batch: Batch) -> Tensor:
    """Sum the entries of each row, with any number of leading dimensions.

    `entries` is (..., n_rows, n_features) for a dense batch and (..., n_stored) for a CSR batch;
    the result is (..., n_rows).
    """
    if isinstance(batch, Tensor):
        return entries.sum(-1)
    if entries.device.type in WITHOUT_SEGMENTS:
        sums = entries.new_zeros(*entries.shape[:-1], len(batch))
        return sums.index_add(-1, batch.rows, entries)
    # Each row's entries in their order: added by index, sums on a GPU differ from run to run.
    offsets = batch.offsets.expand(*entries.shape[:-1], -1)
    return torch.segment_reduce(entries, "sum", offsets=offsets, axis=entries.ndim - 1, unsafe=True)


def repeat_for(batch: Batch) -> Callable[[Tensor], Tensor]:
    """Give what repeats numbers of rows, (..., n_rows), for entries as `sum_entries` takes them."""
    if isinstance(batch, CSRBatch):
        return lambda of_rows: of_rows[..., batch.rows]
    return lambda of_rows: of_rows[..., None]
