"""Real values, most of which are one and the same: rainfall, spending, dark pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..sparse import Batch, Table
from .base import LinearColumns, filled, sorted_values
from .contaminated_gaussian import ContaminatedGaussian
from .gaussian import Gaussian, is_constant, log_normal


def middles(X: Table) -> Iterator[tuple[float, int, np.ndarray]]:
    """Middle value of each column, how many values are the same, and the others, sorted.

    What more than half of a column's values are is its middle value. Missing values are left out.
    """
    columns = X.tocsc() if sp.issparse(X) else X
    for j in range(X.shape[1]):
        if sp.issparse(X):
            entries = columns.data[columns.indptr[j] : columns.indptr[j + 1]]
            entries = entries[entries != 0]
            if 2 * len(entries) < X.shape[0]:  # spares writing it out
                yield 0.0, X.shape[0] - len(entries), np.sort(entries)
                continue
        values = sorted_values(columns, j)
        middle = values[len(values) // 2] if len(values) else 0.0
        others = values[values != middle]
        yield middle, len(values) - len(others), others


def spiked_columns(X: Table) -> np.ndarray:
    """Columns with the same value in most rows, but others in more than contamination explains."""
    counts = [(n_same, len(others)) for _, n_same, others in middles(X)]
    n_same, n_others = np.array(counts).T
    is_rare = n_others <= ContaminatedGaussian.SHARE * (n_same + n_others)
    return (n_same > n_others) & ~is_rare


class SpikeAndSlab(ContaminatedGaussian):
    """Real values, of which a share given by z is one value of the column, the spike.

    In standardised units, with the share e of contamination,

        p(x|z) = (1 - e) (pi(z) N(x; spike) + (1 - pi(z)) N(x; mean, variance))
                 + e (s N(x; spike) + (1 - s) N(x; 0, spread^2)):

    a spike and a slab (Mitchell and Beauchamp, 1988) whose weights are a third output's logistic,
    and contaminated is also which of the two a value is from: then it is the spike as often as in
    training, s. The spike is the column's middle value. It has the smallest variance that there is,
    in units of the column's, so that it has a density like all else; drawn, it is the value itself.
    So two values have the probabilities of a binary column, but for what the density of each is at
    the other one, exp(-6) of that at its own.

    How high the spike is says how narrow it is taken to be, and not how usual its value is. A
    detector would hold that against every other value, and count spikes. In its scores the spike is
    as high as one whose standard deviation is the geometric mean of its own and the slab's scale.

    Location and scale are those of the other values, as a contaminated Gaussian has them of all; a
    scale is at least the `MIN_SLAB_SCALE`-fold of the standard deviation of all values. That, too,
    does not follow the ends.
    """

    name = "spike_and_slab"
    n_outputs = 3
    MIN_SLAB_SCALE = 0.1

    def start(self, X: Table) -> list[np.ndarray]:
        biases = super().start(X)
        return [*biases, torch.logit(self.spike_share_).numpy()]

    def units(
        self, X: Table, mean: np.ndarray, deviation: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        location, scale, unit = mean.copy(), deviation.copy(), deviation.copy()
        constant = is_constant(mean, deviation)
        spike, share, stretch = np.ones((3, len(mean)))
        for j, (spike[j], n_same, others) in enumerate(middles(X)):
            # Half a row of each more, so that either stays possible.
            share[j] = (n_same + 0.5) / (n_same + len(others) + 1)
            if not constant[j]:
                location[j], trimmed = self.trimmed_moments(others)
                # Standard deviation of all values, were none far away.
                between = math.sqrt(share[j]) * (location[j] - spike[j])
                unit[j] = math.sqrt(1 - share[j]) * math.hypot(trimmed, between)
                unit[j] = max(unit[j], self.MIN_SCALE * deviation[j])
                scale[j] = max(trimmed, self.MIN_SLAB_SCALE * unit[j])
                stretch[j] = others.std() / scale[j]
        self.spread_ = self.spread_of(stretch, constant)
        self.spike_, self.spike_share_ = torch.from_numpy(spike), torch.from_numpy(share)
        return location, scale, unit

    @property
    def place(self) -> Tensor:
        """The spike in standardised units, (n_features,)."""
        return (self.spike_ - self.location_) / self.scale_

    def linear_columns(self, X: Table) -> list[LinearColumns]:
        return []

    def inputs(self, x: Batch) -> Batch:
        assert isinstance(x, Tensor)
        # In the place of a missing value the mean of all values, not that of the slab.
        return super().inputs(filled(x, (self.spike_share_ * self.place).to(x)))

    def log_density(self, outputs: Sequence[Tensor], x: Tensor) -> Tensor:
        share = self.spike_share_.to(x)
        spike = log_normal(x, self.place.to(x), self.min_variance_.to(x))
        slab = Gaussian.log_density(self, outputs, x)
        wide = log_normal(x, 0.0, self.spread_.to(x) ** 2)
        own = torch.logaddexp(F.logsigmoid(outputs[2]) + spike, F.logsigmoid(-outputs[2]) + slab)
        other = torch.logaddexp(share.log() + spike, torch.log1p(-share) + wide)
        return torch.logaddexp(math.log1p(-self.share) + own, math.log(self.share) + other)

    def spike_heights(self, x: Batch) -> Tensor:
        assert isinstance(x, Tensor)  # a prepared batch is dense
        variance = self.min_variance_.to(x)
        distance = x - self.place.to(x)
        # From the spike's variance to the geometric mean of that and the slab's, 1, if it is more.
        heights = -variance.log().clamp(max=0) / 4
        return filled(heights * (-(distance**2) / (2 * variance)).exp())

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        own = torch.sigmoid(outputs[2])
        spike, location, contaminated = (
            t.to(own) for t in (self.spike_, self.location_, self.spike_share_)
        )
        own_mean = own * spike + (1 - own) * Gaussian.mean(self, outputs)
        other_mean = contaminated * spike + (1 - contaminated) * location
        return (1 - self.share) * own_mean + self.share * other_mean

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        own = torch.sigmoid(outputs[2]).cpu()
        slab = Gaussian.sample(self, outputs, generator)
        wide = torch.randn(slab.shape, generator=generator, dtype=slab.dtype)
        wide = wide * self.spread_ * self.scale_ + self.location_
        of_share, of_spike = torch.rand((2, *slab.shape), generator=generator, dtype=slab.dtype)
        is_other = of_share < self.share
        is_spike = of_spike < torch.where(is_other, self.spike_share_, own)
        return torch.where(is_spike, self.spike_, torch.where(is_other, wide, slab))
