"""Real values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..sparse import Batch, CSRBatch, Table
from .base import (
    ROUNDING,
    SMALLEST_DEVIATION,
    Likelihood,
    LinearColumns,
    column_moments,
    column_name,
    filled,
)


def log_normal(x: Tensor, mean: Tensor | float, variance: Tensor) -> Tensor:
    """Log-density of a normal distribution at each value."""
    return -((x - mean) ** 2) / (2 * variance) - torch.log(2 * math.pi * variance) / 2


def is_constant(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Which columns are constant, or spread by no more than rounding errors of their means."""
    return deviation <= ROUNDING * np.abs(mean)


class Gaussian(Likelihood):
    """Real values, with a mean and a variance for each row and feature.

    Columns are standardised inside; the log-density is that of the raw table, in its units. In
    standardised units the variance is at least `min_variance`. A constant column has no scale of
    its own. Its variance is at least `min_variance` in units of the table, and at least
    `MIN_VARIANCE_OF_A_CONSTANT`, lest a value never seen there outweigh all others of its row. Its
    scale is that deviation, so that the network's noise is small beside it: many such columns would
    otherwise drown the others.

    `start` sets `location_`, `scale_` and, for each column, `min_variance_`.
    """

    name = "gaussian"
    n_outputs = 2
    MIN_VARIANCE_OF_A_CONSTANT = 1e-3

    def check(self, X: Table) -> None:
        """Accept any finite value."""

    def start(self, X: Table) -> list[np.ndarray]:
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scale = column_moments(X)
        for wrong, reason in (
            (~np.isfinite(mean), "large that their sum overflows"),
            (~np.isfinite(scale), "large that their variance overflows"),
            ((scale > 0) & (scale <= SMALLEST_DEVIATION), "small that their variance underflows"),
        ):
            if wrong.any():
                column = column_name(int(np.argmax(wrong)), self.columns)
                raise ValueError(
                    f"The values of column {column} are so {reason}. Rescale the column, or take "
                    "its logarithm."
                )
        mean, scale, unit = self.units(X, mean, scale)
        constant = is_constant(mean, scale)
        of_constant = math.sqrt(max(self.min_variance, self.MIN_VARIANCE_OF_A_CONSTANT))
        scale = np.where(constant, of_constant, scale)
        least = np.where(constant, of_constant, math.sqrt(self.min_variance) * unit)
        least = self.least_deviations(X, least)
        self.location_ = torch.from_numpy(mean)
        self.scale_ = torch.from_numpy(scale)
        self.min_variance_ = torch.from_numpy((least / scale) ** 2)
        standard = (torch.full_like(self.scale_, value) for value in (0.0, 1.0))
        return [bias.numpy() for bias in self.biases(*standard)]

    def units(
        self, X: Table, mean: np.ndarray, deviation: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Location and scale of columns of these moments, and the scale `min_variance` is of."""
        return mean, deviation, deviation

    def least_deviations(self, X: Table, least: np.ndarray) -> np.ndarray:
        """Smallest standard deviations, in units of the table: what is asked for, or more."""
        return least

    def biases(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Biases of the outputs that give columns this mean and variance, in standardised units."""
        # Where the variance can be no smaller, a tenth more, so that there is a gradient.
        variance = (variance - self.min_variance_).maximum(self.min_variance_ / 10)
        return mean, variance + (-(-variance).expm1()).log()  # softplus gives the variance back

    def linear_columns(self, X: Table) -> list[LinearColumns]:
        def to_outputs(
            loadings: Tensor, mean: Tensor, variance: Tensor
        ) -> list[tuple[Tensor, Tensor]]:
            mean, variance = self.biases(mean, variance)
            return [(loadings, mean), (torch.zeros_like(loadings), variance)]

        columns = torch.arange(len(self.scale_))
        location, scale = torch.zeros_like(self.scale_), torch.ones_like(self.scale_)
        return [LinearColumns(columns, columns, location, scale, self.min_variance_, to_outputs)]

    def variance_outputs(self) -> list[int]:
        return [1]

    def prepare(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        dense = batch.to_dense() if isinstance(batch, CSRBatch) else batch
        return ((dense - self.location_) / self.scale_).to(dtype)

    def inputs(self, x: Batch) -> Batch:
        assert isinstance(x, Tensor)
        return filled(x)

    def variance(self, outputs: Sequence[Tensor]) -> Tensor:
        """Variance of x given z in standardised units."""
        return F.softplus(outputs[1]) + self.min_variance_.to(outputs[1])

    def log_density(self, outputs: Sequence[Tensor], x: Tensor) -> Tensor:
        """Log-density of each value in standardised units; none is missing."""
        return log_normal(x, outputs[0], self.variance(outputs))

    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        assert isinstance(x, Tensor)  # a prepared batch is dense
        entries = self.log_density(outputs, filled(x)) - torch.log(self.scale_).to(x)
        entries = entries.masked_fill(x.isnan(), 0)
        return entries.new_zeros(entries.shape[:-1]), entries

    def log_units(self, x: Batch) -> Tensor:
        assert isinstance(x, Tensor)
        return torch.log(self.scale_).to(x).masked_fill(x.isnan(), 0).sum(-1)

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        return outputs[0] * self.scale_.to(outputs[0]) + self.location_.to(outputs[0])

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        mean, variance = outputs[0].cpu(), self.variance(outputs).cpu()
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
        return (mean + variance.sqrt() * noise) * self.scale_ + self.location_
