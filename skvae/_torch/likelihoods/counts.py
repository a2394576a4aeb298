"""What the likelihoods of counts share."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ..sparse import Batch, CSRBatch, Table
from .base import (
    Likelihood,
    LinearColumns,
    column_counts,
    column_moments,
    column_sums,
    filled,
    not_a_code,
    refuse,
    stored_values,
)

# Largest count. The logarithm of a mean goes further, to 4.9e8, and no further: in float32 neither
# a mean nor a sum of means overflows.
MAX_COUNT = 1e8
MAX_LOG_MEAN = 20.0

# Least mean of the columns that a network can start from a linear model of: the logarithms of small
# counts say little about their rates.
MIN_LINEAR_MEAN = 1.0

# Smallest variance of a standardised logarithm in such a model.
MIN_VARIANCE = 1e-3


def not_a_count(values: np.ndarray) -> np.ndarray:
    """Which values are no integers from 0 to `MAX_COUNT`; missing ones may be."""
    return not_a_code(values) | (values > MAX_COUNT)


class Counts(Likelihood):
    """Integers from 0, of which the encoder reads log(1 + x)."""

    def check(self, X: Table) -> None:
        refuse(
            X,
            not_a_count(stored_values(X)),
            f"likelihood={self.name!r} takes counts, integers from 0 to {MAX_COUNT:g}",
            "Round or rescale the values, or use likelihood='gaussian'.",
            self.columns,
        )

    def start(self, X: Table) -> list[np.ndarray]:
        """Learn the means of the columns; return their logarithms."""
        # Half a count more, so that a column of zeros keeps a finite logarithm.
        means = (column_sums(X) + 0.5) / np.maximum(column_counts(X), 1)
        self.means_ = torch.from_numpy(means)
        return [np.log(means)]

    def linear_columns(self, X: Table) -> list[LinearColumns]:
        (columns,) = torch.where(self.means_ >= MIN_LINEAR_MEAN)
        mean = self.means_[columns]
        counts = X[:, columns.numpy()]
        _, deviation = column_moments(counts.log1p() if sp.issparse(X) else np.log1p(counts))
        # As wide as Poisson noise is, at least: what varies less is known no better.
        scale = torch.from_numpy(deviation).clamp(min=(1 + mean).rsqrt())
        # What a small change of log(1 + x) is one of log x by.
        slope = (1 + mean) / mean

        def to_outputs(
            loadings: Tensor, shift: Tensor, variance: Tensor
        ) -> list[tuple[Tensor, Tensor]]:
            loadings = loadings * (scale * slope)[:, None]
            log_mean = mean.log() - (loadings**2).sum(1) / 2  # the mean over z stays the mean
            variance = variance * (scale * slope) ** 2
            return [(loadings, log_mean), *self.spread_outputs(loadings, mean, variance)]

        least = torch.full_like(scale, MIN_VARIANCE)
        return [LinearColumns(columns, columns, mean.log1p(), scale, least, to_outputs)]

    def spread_outputs(
        self, loadings: Tensor, mean: Tensor, variance: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Loadings and means of the outputs beside log-means, see `LinearColumns.to_outputs`.

        `mean` is that of the counts, `variance` that of their logarithms given z.
        """
        return []

    def column_means(self) -> Tensor | None:
        return self.means_

    def prepare(self, batch: Batch, dtype: torch.dtype) -> Batch:
        return batch.to(dtype)

    def inputs(self, x: Batch) -> Batch:
        if isinstance(x, CSRBatch):
            return x.with_values(torch.log1p(x.values))
        return torch.log1p(filled(x, self.means_.to(x)))
