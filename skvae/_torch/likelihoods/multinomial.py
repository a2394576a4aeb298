"""Counts given their sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from ..sparse import Batch, Table, sum_entries
from .base import at_entries, column_sums, entries_of, private_numpy, refuse, stored_values
from .counts import Counts


def lengths(x: Batch) -> Tensor:
    """Sum of each row's counts, (n_rows,)."""
    return sum_entries(entries_of(x), x)


class Multinomial(Counts):
    """A row's counts given their sum N, the row's length, from one logit a feature.

    log p(x|z) = log N! + sum_j (x_j log softmax(l)_j - log x_j!). It says nothing about N: an empty
    row has probability 1. Missing values are refused, because N would be missing.
    """

    name = "multinomial"

    def check(self, X: Table) -> None:
        refuse(
            X,
            np.isnan(stored_values(X)),
            "likelihood='multinomial' takes no missing values (NaN): it is given a row's sum",
            "Fill them in, or use likelihood='poisson' or 'negative_binomial'.",
            self.columns,
        )
        super().check(X)

    def start(self, X: Table) -> list[np.ndarray]:
        self.length_ = float(column_sums(X).sum() / X.shape[0])
        return super().start(X)

    def column_means(self) -> None:
        """None: each column's term depends on all logits."""

    def is_empty(self, x: Batch) -> Tensor:
        return lengths(x) == 0

    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        log_probabilities = torch.log_softmax(outputs[0], -1)
        counts = entries_of(x)
        entries = counts * at_entries(log_probabilities, x) - torch.lgamma(counts + 1)
        return torch.lgamma(lengths(x) + 1).expand(outputs[0].shape[:-1]), entries

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        """Mean length of the training rows times the probability of each feature."""
        return self.length_ * torch.softmax(outputs[0], -1)

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        """Rows of the training rows' mean length, rounded."""
        probabilities = torch.softmax(outputs[0].cpu().double(), -1)
        draw, length = private_numpy(generator).multinomial, round(self.length_)
        rows = [draw(length, row) for row in probabilities.flatten(0, -2).numpy()]
        return torch.from_numpy(np.stack(rows)).to(outputs[0].dtype).view(outputs[0].shape)
