"""Counts of independent events."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from ..sparse import Batch
from .base import at_entries, entries_of, sum_observed
from .counts import MAX_LOG_MEAN, Counts


class Poisson(Counts):
    """Counts whose variance is their mean, from one log-rate a feature, at most `MAX_LOG_MEAN`.

    log p(x|z) = sum_j (x_j l_j - log x_j!) - sum_j exp(l_j): only stored entries enter the first
    sum, so a CSR target is never written out.
    """

    name = "poisson"

    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        log_rate = outputs[0].clamp(max=MAX_LOG_MEAN)
        counts = entries_of(x)
        entries = counts * at_entries(log_rate, x) - torch.lgamma(counts + 1)
        return sum_observed(-log_rate.exp(), x), entries

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        return outputs[0].clamp(max=MAX_LOG_MEAN).exp()

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        return torch.poisson(self.mean(outputs).cpu(), generator=generator)
