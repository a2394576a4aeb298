"""Real values, some of which have nothing to do with the others of their row."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

import numpy as np
import scipy.sparse as sp
import torch
from torch import Generator, Tensor

from ..sparse import Batch, Table
from .base import column_counts, resolutions, sorted_values
from .gaussian import Gaussian, is_constant, log_normal


@cache
def trimmed_deviation(share: float) -> float:
    """Standard deviation of a standard normal distribution without this share at either end."""
    normal = NormalDist()
    end = normal.inv_cdf(1 - share)
    return math.sqrt(1 - 2 * end * normal.pdf(end) / (1 - 2 * share))


class ContaminatedGaussian(Gaussian):
    """Real values, a small share of which comes from a wide Gaussian, whatever z is.

    In standardised units p(x|z) = (1 - e) N(x; mean, variance) + e N(x; 0, spread^2) with the
    share e = `SHARE` (Tukey, 1960; in a VAE, Eduardo et al., 2020). A value that does not fit is
    then improbable only so far, and cannot bend the network. The spread is `SPREAD`, or so many
    times a tenth of the column's standard deviation, where a few values are that far away.

    No value is known better than its column is fine: the variance is at least that of a value
    rounded to whole steps of it (Sheppard, 1898), where a step is the median difference of
    neighbouring values, but for those at the ends. Otherwise integers would have densities as high
    as `min_variance` allows, and what is one more or less would outweigh the other columns.

    Columns are standardised by the mean and the standard deviation of their values without the
    share `TRIMMED` at either end, the latter in proportion to a normal distribution's (Huber,
    1981): a few that are far away would make all others look alike. A scale is at most the standard
    deviation of all values, and at least its `MIN_SCALE`-fold, which float32 can take. Of a column
    whose middle half is one value the ends are all there is, and all values count. The encoder
    reads a far value as `MAX_INPUT` away, lest it send the code of its row where no row has been.

    Annealed training starts from `FIRST_SHARE`, and the logarithm of the share comes down evenly.
    So the network first learns what most values have in common, and that stays.
    """

    name = "contaminated_gaussian"
    SHARE = 0.01
    FIRST_SHARE = 0.5
    SPREAD = 2.0
    TRIMMED = 0.01
    MIN_SCALE = 1e-6
    MAX_INPUT = 5.0

    share = SHARE
    spread_: Tensor

    def start(self, X: Table) -> list[np.ndarray]:
        biases = super().start(X)
        # The wide Gaussian is never the narrower one.
        self.spread_ = self.spread_.maximum(self.SPREAD * self.min_variance_.sqrt())
        return biases

    def least_deviations(self, X: Table, least: np.ndarray) -> np.ndarray:
        return np.maximum(least, resolutions(X, self.TRIMMED) / math.sqrt(12))

    def units(
        self, X: Table, mean: np.ndarray, deviation: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        location, scale = mean.copy(), deviation.copy()
        # The middle half of a sparse column is zero unless a quarter of the values are not.
        n_values = column_counts(X)
        n_entries = np.bincount(X.indices, minlength=X.shape[1]) if sp.issparse(X) else n_values
        spread = np.flatnonzero((deviation > 0) & (n_entries >= n_values / 4))
        columns = X.tocsc() if sp.issparse(X) else X
        for j in spread.tolist():
            values = sorted_values(columns, j)
            quarter = len(values) // 4
            if values[quarter] < values[-1 - quarter]:
                location[j], trimmed = self.trimmed_moments(values)
                scale[j] = max(trimmed, self.MIN_SCALE * deviation[j])
        stretch = np.divide(deviation, scale, out=np.ones_like(scale), where=scale > 0)
        self.spread_ = self.spread_of(stretch, is_constant(mean, deviation))
        return location, scale, scale

    def spread_of(self, stretch: np.ndarray, constant: np.ndarray) -> Tensor:
        """Spread of columns whose values have this standard deviation, in their scales.

        The scale of a constant one is its smallest deviation, so that is what it is a multiple of.
        """
        of_constant = 1 / math.sqrt(self.min_variance)
        unit = np.where(constant, of_constant, np.maximum(1, stretch / 10))
        return torch.from_numpy(self.SPREAD * unit)

    def trimmed_moments(self, values: np.ndarray) -> tuple[float, float]:
        """Mean and standard deviation of sorted values without their ends."""
        n_cut = int(self.TRIMMED * len(values))
        kept = values[n_cut : len(values) - n_cut]
        return kept.mean(), min(kept.std() / trimmed_deviation(self.TRIMMED), values.std())

    def inputs(self, x: Batch) -> Batch:
        inputs = super().inputs(x)
        assert isinstance(inputs, Tensor)
        return inputs.clamp(-self.MAX_INPUT, self.MAX_INPUT)

    def in_training(self, progress: float) -> ContaminatedGaussian:
        likelihood = copy.copy(self)
        likelihood.share = self.FIRST_SHARE * (self.SHARE / self.FIRST_SHARE) ** progress
        return likelihood

    def log_density(self, outputs: Sequence[Tensor], x: Tensor) -> Tensor:
        own = super().log_density(outputs, x) + math.log1p(-self.share)
        wide = log_normal(x, 0.0, self.spread_.to(x) ** 2) + math.log(self.share)
        return torch.logaddexp(own, wide)

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        return super().mean([(1 - self.share) * outputs[0]])

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        drawn = super().sample(outputs, generator)
        wide = torch.randn(drawn.shape, generator=generator, dtype=drawn.dtype)
        is_wide = torch.rand(drawn.shape, generator=generator, dtype=drawn.dtype) < self.share
        wide = wide * self.spread_ * self.scale_ + self.location_
        return torch.where(is_wide, wide, drawn)
