"""Likelihoods p(x|z): one small class each.

A likelihood says which tables it can describe (`check`), learns what it needs of the training table
(`initialise`), gives a batch the form that the network reads (`prepare`), and turns the decoder's
outputs into log-probabilities, means and samples. Everything is in nats, constants included.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable

from .networks import Linear
from .sparse import Batch, CSRBatch, Table, sum_entries


def stored_values(X: Table) -> np.ndarray:
    """Values that decide about a table's type: all of them, or those a sparse one stores."""
    return X.data if sp.issparse(X) else X


def is_binary(X: Table) -> bool:
    """Whether every value is 0 or 1."""
    values = stored_values(X)
    return bool(np.all((values == 0) | (values == 1)))


def in_unit_interval(X: Table) -> bool:
    """Whether every value lies in [0, 1]."""
    values = stored_values(X)
    return bool(np.all((values >= 0) & (values <= 1)))


def column_of(X: Table, wrong: np.ndarray) -> int:
    """First column with a value marked in `wrong`, a mask over `stored_values(X)`."""
    if sp.issparse(X):
        return int(X.indices[np.argmax(wrong)])
    return int(np.nonzero(wrong)[1][0])


def check_unit_interval(X: Table, who: str, alternative: str) -> None:
    """Raise a ValueError that names the first column with a value outside [0, 1]."""
    values = stored_values(X)
    wrong = (values < 0) | (values > 1)
    if wrong.any():
        raise ValueError(
            f"{who} takes values in [0, 1]; column {column_of(X, wrong)} has "
            f"{values[wrong][0]:g}. Binarise the data (for words: CountVectorizer(binary=True)), "
            f"scale it with MinMaxScaler(clip=True), or use {alternative}."
        )


def column_moments(X: Table) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, in two passes, without densifying."""
    n_rows, n_features = X.shape
    if not sp.issparse(X):
        return X.mean(axis=0), X.std(axis=0)
    mean = np.bincount(X.indices, weights=X.data, minlength=n_features) / n_rows
    squares = np.bincount(X.indices, weights=(X.data - mean[X.indices]) ** 2, minlength=n_features)
    n_zeros = n_rows - np.bincount(X.indices, minlength=n_features)
    return mean, np.sqrt((squares + n_zeros * mean**2) / n_rows)


class Likelihood(ABC):
    """What the rest of the package may ask of a likelihood."""

    name: str
    n_outputs: int

    @abstractmethod
    def check(self, X: Table) -> None:
        """Raise a ValueError that names the column when a value has no probability."""

    @abstractmethod
    def initialise(self, X: Table, outputs: Sequence[Linear]) -> None:
        """Learn location and scale of the columns; set the output biases to the marginals."""

    @abstractmethod
    def prepare(self, batch: Batch, dtype: torch.dtype) -> Batch:
        """Give a batch of raw float64 rows the form that network and `terms` read."""

    @abstractmethod
    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        """Split log p(x|z) into a baseline (..., n_rows) and entries (see `sum_entries`)."""

    @abstractmethod
    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        """Mean of x given z in the units of the table."""

    @abstractmethod
    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        """One x for each z, in the units of the table."""

    def log_prob(self, outputs: Sequence[Tensor], x: Batch) -> Tensor:
        """Log p(x|z) of each row, (..., n_rows)."""
        baseline, entries = self.terms(outputs, x)
        return baseline + sum_entries(entries, x)


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
        d_logits = torch.sigmoid(logits).mul_(-d_baseline[:, None])
        d_logits.view(-1).index_add_(0, rows * logits.shape[1] + columns, d_entries * values)
        return d_logits, None, None, None


class Bernoulli(Likelihood):
    """Zeros and ones, or probabilities in between, from one logit a feature.

    log p(x|z) = sum_j x_j l_j - sum_j softplus(l_j): only stored entries enter the first sum, so
    a CSR target is never written out.
    """

    name = "bernoulli"
    n_outputs = 1

    def check(self, X: Table) -> None:
        check_unit_interval(X, "The Bernoulli likelihood", "likelihood='gaussian'")

    def initialise(self, X: Table, outputs: Sequence[Linear]) -> None:
        # Half a row of each value more, so that a column of zeros keeps a finite logit.
        ones = np.asarray(X.sum(axis=0), dtype=float).ravel() + 0.5
        zeros = X.shape[0] + 1 - ones
        with torch.no_grad():
            outputs[0].bias.copy_(torch.from_numpy(np.log(ones / zeros)))

    def prepare(self, batch: Batch, dtype: torch.dtype) -> Batch:
        return batch.to(dtype)

    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        (logits,) = outputs
        if isinstance(x, CSRBatch):
            return SparseBernoulliTerms.apply(logits, x.rows, x.columns, x.values)
        return -F.softplus(logits).sum(-1), logits * x

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        return torch.sigmoid(outputs[0])

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        return torch.bernoulli(self.mean(outputs).cpu(), generator=generator)


class Gaussian(Likelihood):
    """Real values, with a mean and a variance for each row and feature.

    Columns are standardised inside (a constant one is only centred); the log-density is that of the
    raw table, in its units. In standardised units the variance is at least `MIN_VARIANCE`.
    """

    name = "gaussian"
    n_outputs = 2
    MIN_VARIANCE = 1e-3

    def check(self, X: Table) -> None:
        """Accept any finite value."""

    def initialise(self, X: Table, outputs: Sequence[Linear]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scale = column_moments(X)
        if not np.isfinite(scale).all():
            raise ValueError(
                f"The values of column {np.argmin(np.isfinite(scale))} are so large that their "
                "variance overflows. Rescale the column, or take its logarithm."
            )
        # A column whose spread is rounding error of its mean is constant.
        scale[scale <= 10 * np.finfo(float).eps * np.abs(mean)] = 1.0
        self.location_ = torch.from_numpy(mean)
        self.scale_ = torch.from_numpy(scale)
        with torch.no_grad():
            outputs[1].bias.fill_(math.log(math.expm1(1 - self.MIN_VARIANCE)))

    def prepare(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        dense = batch.to_dense() if isinstance(batch, CSRBatch) else batch
        return ((dense - self.location_) / self.scale_).to(dtype)

    def variance(self, outputs: Sequence[Tensor]) -> Tensor:
        """Variance of x given z in standardised units."""
        return F.softplus(outputs[1]) + self.MIN_VARIANCE

    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        if isinstance(x, CSRBatch):
            raise TypeError("the Gaussian likelihood reads prepared, dense batches")
        variance = self.variance(outputs)
        log_normaliser = torch.log(2 * math.pi * variance) / 2
        log_scale = torch.log(self.scale_).to(x)
        entries = -((x - outputs[0]) ** 2) / (2 * variance) - log_normaliser - log_scale
        return entries.new_zeros(entries.shape[:-1]), entries

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        return outputs[0] * self.scale_.to(outputs[0]) + self.location_.to(outputs[0])

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        mean, variance = outputs[0].cpu(), self.variance(outputs).cpu()
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        return (mean + variance.sqrt() * noise) * self.scale_ + self.location_


LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
}


def choose_likelihood(X: Table) -> str:
    """Choose by the data: Bernoulli if every value is 0 or 1, otherwise Gaussian.

    Sparse counts are neither: they raise a ValueError that says what to do.
    """
    if is_binary(X):
        return "bernoulli"
    values = stored_values(X)
    if sp.issparse(X) and np.all((values >= 0) & (values == np.floor(values))):
        raise ValueError(
            f"The sparse X holds counts (column {column_of(X, values > 1)} has "
            f"{values.max():g}), and likelihood='auto' knows none for them. Say only whether a "
            "word occurs, with CountVectorizer(binary=True) or Binarizer(), or set "
            "likelihood='gaussian'."
        )
    return "gaussian"
