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


# Factors that are multiplied before a logarithm is taken of them. Four of the large logits below do
# not overflow.
N_FACTORS = 4

# Logits from which on log(1 + exp(l)) is l to the last digit, in single and in double precision.
LARGE_LOGITS = {torch.float32: 20.0, torch.float64: 40.0}


def softplus_sums(
    logits: Tensor, column_weights: Tensor | None = None, *, with_probabilities: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Sum over the last dimension of log(1 + exp(l)), without a logarithm for each, and sigmoid(l).

    With weights it is a weighted sum, and there is a logarithm for each. The probabilities, of the
    same shape as the logits, are made from the same exponentials; they are None if not asked for.
    """
    exponentials = logits.exp()
    factors = exponentials + 1 if with_probabilities else exponentials.add_(1)
    if column_weights is not None:
        sums = factors.log() @ column_weights
    else:
        n_products, n_left = divmod(logits.shape[-1], N_FACTORS)
        paired, left = factors.split([N_FACTORS * n_products, n_left], -1)
        products = paired.unflatten(-1, (N_FACTORS, n_products)).prod(-2)
        sums = products.log_().sum(-1) + left.log().sum(-1)
    if sums.isinf().any():
        # A product has overflowed: of large logits all but a part that is not too large is added.
        large = LARGE_LOGITS[logits.dtype]
        rest = (logits - large).clamp(min=0)
        sums, probabilities = softplus_sums(
            logits.clamp(max=large), column_weights, with_probabilities=with_probabilities
        )
        more = rest.sum(-1) if column_weights is None else rest @ column_weights
        return sums + more, probabilities
    return sums, exponentials.div_(factors) if with_probabilities else None


class BernoulliTerms(torch.autograd.Function):
    """`Bernoulli.terms` of rows without missing values.

    `places` and `values` are those of a CSR batch; for dense rows, None and all values. What the
    gradient needs of the logits are their probabilities, which come with the loss.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        places: Tensor | None,
        values: Tensor,
        column_weights: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        sums, probabilities = softplus_sums(
            logits, column_weights, with_probabilities=ctx.needs_input_grad[0]
        )
        ctx.save_for_backward(probabilities, places, values, column_weights)
        at_values = logits if places is None else logits.flatten(-2).index_select(-1, places)
        return -sums, at_values * values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_baseline: Tensor, d_entries: Tensor) -> tuple[Tensor | None, ...]:
        probabilities, places, values, column_weights = ctx.saved_tensors
        d_logits = probabilities * -d_baseline[..., None]
        if column_weights is not None:
            d_logits.mul_(column_weights)
        if places is None:
            d_logits.addcmul_(d_entries, values)
        else:
            d_logits.flatten(-2).index_add_(-1, places, d_entries * values)
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

    def column_means(self) -> Tensor | None:
        return self.marginals_

    def prepare(self, batch: Batch, dtype: torch.dtype) -> Batch:
        return batch.to(dtype)

    def inputs(self, x: Batch) -> Batch:
        return x if isinstance(x, CSRBatch) else filled(x, self.marginals_.to(x))

    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        (logits,) = outputs
        if isinstance(x, CSRBatch):
            return BernoulliTerms.apply(logits, x.places, x.values, x.column_weights)
        if x.isnan().any():
            return sum_observed(F.logsigmoid(-logits), x), logits * filled(x)
        return BernoulliTerms.apply(logits, None, x, None)

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
