"""Counts that vary more than independent events do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..sparse import Batch, Table
from .base import at_entries, column_moments, entries_of, private_numpy, sum_observed
from .counts import MAX_LOG_MEAN, Counts


class NegativeBinomial(Counts):
    """Counts of mean m and variance m + m^2 / r, from log m and log r of each feature.

    r is the inverse of the dispersion: the smaller, the more the counts vary; for a large one they
    are Poisson. log m is at most `MAX_LOG_MEAN`, log r at most `MAX_LOG_R` in absolute value. The
    baseline is log p(0), and a count of 0 adds nothing to it.
    """

    name = "negative_binomial"
    n_outputs = 2
    MAX_LOG_R = 8.0

    def start(self, X: Table) -> list[np.ndarray]:
        (log_means,) = super().start(X)
        mean, deviation = column_moments(X)
        largest = np.exp(self.MAX_LOG_R)
        excess = deviation**2 - mean
        # By moments; a column that varies no more than a Poisson one has the largest r.
        r = np.full_like(mean, largest)
        np.divide(mean**2, excess, out=r, where=excess > 0)
        return [log_means, np.log(r.clip(1 / largest, largest))]

    def spread_outputs(
        self, loadings: Tensor, mean: Tensor, variance: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        excess = variance - 1 / mean  # less what the logarithms of Poisson counts vary by
        largest = math.exp(self.MAX_LOG_R)
        log_r = -excess.clamp(1 / largest, largest).log()
        return [(torch.zeros_like(loadings), log_r)]

    def parameters(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Log m and log r, within their bounds."""
        log_mean, log_r = outputs
        return log_mean.clamp(max=MAX_LOG_MEAN), log_r.clamp(-self.MAX_LOG_R, self.MAX_LOG_R)

    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        log_mean, log_r = self.parameters(outputs)
        # An event is a success with these log-odds; a count is of successes before r failures.
        log_odds = log_mean - log_r
        baseline = sum_observed(-log_r.exp() * F.softplus(log_odds), x)
        counts, r = entries_of(x), at_entries(log_r, x).exp()
        log_ways = torch.lgamma(counts + r) - torch.lgamma(r) - torch.lgamma(counts + 1)
        return baseline, log_ways + counts * F.logsigmoid(at_entries(log_odds, x))

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        return self.parameters(outputs)[0].exp()

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        log_mean, log_r = (parameter.cpu() for parameter in self.parameters(outputs))
        # Poisson counts whose rates are gamma distributed, with shape r and mean m.
        gamma = private_numpy(generator).standard_gamma(log_r.exp().numpy())
        rate = torch.from_numpy(gamma).to(log_mean) * (log_mean - log_r).exp()
        return torch.poisson(rate, generator=generator)
