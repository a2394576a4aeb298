"""Zeros and ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable

from ..sparse import Batch, CSRBatch, Table
from .base import (
    Likelihood,
    column_counts,
    column_sums,
    filled,
    refuse,
    stored_values,
    sum_observed,
)


def check_unit_interval(
    X: Table, who: str, alternative: str, columns: np.ndarray | None = None
) -> None:
    """Raise a ValueError that names the first column with a value outside [0, 1]."""
    values = stored_values(X)
    refuse(
        X,
        (values < 0) | (values > 1),
        f"{who} takes values in [0, 1]",
        "Binarise the data (for words: CountVectorizer(binary=True)), scale it with "
        f"MinMaxScaler(clip=True), or use {alternative}.",
        columns,
    )


class SparseBernoulliTerms(torch.autograd.Function):
    """`Bernoulli.terms` of CSR rows, with a gradient that takes one temporary of logits' size."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, rows: Tensor, columns: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(logits, rows, columns, values)
        return -F.softplus(logits).sum(-1), logits[..., rows, columns] * values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_baseline: Tensor, d_entries: Tensor) -> tuple[Tensor | None, ...]:
        logits, rows, columns, values = ctx.saved_tensors
        d_logits = torch.sigmoid(logits).mul_(-d_baseline[..., None])
        n_rows, n_features = logits.shape[-2:]
        flat = d_logits.view(-1, n_rows * n_features)
        at_stored = (d_entries * values).view(len(flat), -1)
        flat.index_add_(1, rows * n_features + columns, at_stored)
        return d_logits, None, None, None


class Bernoulli(Likelihood):
    """Zeros and ones, or probabilities in between, from one logit a feature.

    log p(x|z) = sum_j x_j l_j - sum_j softplus(l_j): only stored entries enter the first sum, so
    a CSR target is never written out.
    """

    name = "bernoulli"

    def check(self, X: Table) -> None:
        check_unit_interval(X, "The Bernoulli likelihood", "likelihood='gaussian'", self.columns)

    def start(self, X: Table) -> list[np.ndarray]:
        # Half a row of each value more, so that a column of zeros keeps a finite logit.
        ones = column_sums(X) + 0.5
        rows = column_counts(X) + 1
        self.marginals_ = torch.from_numpy(ones / rows)
        return [np.log(ones / (rows - ones))]

    def prepare(self, batch: Batch, dtype: torch.dtype) -> Batch:
        return batch.to(dtype)

    def inputs(self, x: Batch) -> Batch:
        return x if isinstance(x, CSRBatch) else filled(x, self.marginals_.to(x))

    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        (logits,) = outputs
        if isinstance(x, CSRBatch):
            return SparseBernoulliTerms.apply(logits, x.rows, x.columns, x.values)
        return sum_observed(-F.softplus(logits), x), logits * filled(x)

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        return torch.sigmoid(outputs[0])

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        return torch.bernoulli(self.mean(outputs).cpu(), generator=generator)


class LenientBernoulli(Bernoulli):
    """Zeros and ones in a column of a table of other values too, where "auto" found nothing else.

    As with codes, 0 and 1 share the probability 1 - eps, and all other values together have
    eps = 1 / (n_training_rows + 1). A prepared batch holds -1 for one of those.
    """

    def check(self, X: Table) -> None:
        """Accept any value."""

    def start(self, X: Table) -> list[np.ndarray]:
        self.unknown_ = 1 / (X.shape[0] + 1)
        return super().start(X)

    def prepare(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        dense = batch.to_dense() if isinstance(batch, CSRBatch) else batch
        known = (dense == 0) | (dense == 1) | dense.isnan()
        return torch.where(known, dense, -1.0).to(dtype)

    def inputs(self, x: Batch) -> Batch:
        assert isinstance(x, Tensor)  # a prepared batch is dense
        return super().inputs(x.masked_fill(x < 0, math.nan))

    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        assert isinstance(x, Tensor)
        baseline, entries = super().terms(outputs, x.masked_fill(x < 0, math.nan))
        n_known = (x >= 0).to(x).sum(-1)
        entries = entries.masked_fill(x < 0, math.log(self.unknown_))
        return baseline + n_known * math.log1p(-self.unknown_), entries
