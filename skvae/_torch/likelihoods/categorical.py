"""Codes without order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from torch import Generator, Tensor
from torch.nn.utils.rnn import pad_sequence

from ..sparse import Batch, CSRBatch, Table
from .base import Likelihood, column_name, filled, not_a_code, refuse, stored_values


class Categorical(Likelihood):
    """Codes, integers from 0, from one logit for each code that a column has in training.

    Logits and probabilities stand one column after the other. A column's known codes share the
    probability 1 - eps, and all others together have eps = 1 / (n_training_rows + 1). A prepared
    batch holds the position of each code among the logits, -1 for an unknown one.
    """

    name = "categorical"
    MAX_CODES = 1000

    def check(self, X: Table) -> None:
        refuse(
            X,
            not_a_code(stored_values(X)),
            "likelihood='categorical' takes codes, integers from 0",
            "Encode the column with OrdinalEncoder, unknown categories by a number that no other "
            "one has (handle_unknown='use_encoded_value', unknown_value=999), or use "
            "likelihood='gaussian'.",
            self.columns,
        )

    def start(self, X: Table) -> list[np.ndarray]:
        self.unknown_ = 1 / (X.shape[0] + 1)
        X = X.tocsc() if sp.issparse(X) else X
        self.codes_: list[Tensor] = []
        biases = []
        for j in range(X.shape[1]):
            codes, counts = known_codes(X, j)
            if len(codes) > self.MAX_CODES:
                raise ValueError(
                    f"likelihood='categorical' takes at most {self.MAX_CODES} different codes a "
                    f"column; column {column_name(j, self.columns)} has {len(codes)}. Merge the "
                    "rare ones, or use likelihood='gaussian'."
                )
            self.codes_.append(torch.from_numpy(codes))
            biases.append(np.log(counts / counts.sum()))
        return [np.concatenate(biases)]

    def prepare(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        dense = batch.to_dense() if isinstance(batch, CSRBatch) else batch
        values = dense.T.contiguous()
        codes = pad_sequence(self.codes_, batch_first=True, padding_value=math.inf)
        found = torch.searchsorted(codes, values).clamp(max=codes.shape[1] - 1)
        starts = np.cumsum([0, *self._widths()[:-1]])
        places = torch.from_numpy(starts)[:, None] + found
        places = torch.where(codes.gather(1, found) == values, places, -1)
        return places.to(dtype).masked_fill(values.isnan(), math.nan).T

    def n_inputs(self, n_features: int) -> int:
        return sum(self._widths())

    def inputs(self, x: Batch) -> Batch:
        assert isinstance(x, Tensor)  # a prepared batch is dense
        one_hot = x.new_zeros(len(x), sum(self._widths()))
        known = x >= 0
        one_hot[known.nonzero()[:, 0], x[known].long()] = 1
        return one_hot

    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        assert isinstance(x, Tensor)
        log_probabilities = self._log_probabilities(outputs)
        position = filled(x).clamp(min=0).long().expand(*log_probabilities.shape[:-1], -1)
        entries = log_probabilities.gather(-1, position)
        entries = torch.where(x < 0, math.log(self.unknown_), entries).masked_fill(x.isnan(), 0)
        return entries.new_zeros(entries.shape[:-1]), entries

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        return self._log_probabilities(outputs).exp()

    def to_table(self, mean: Tensor) -> Tensor:
        likeliest = [
            codes.to(mean)[of_codes.argmax(-1)]
            for codes, of_codes in zip(self.codes_, mean.split(self._widths(), -1), strict=True)
        ]
        return torch.stack(likeliest, -1)

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        """Known codes only."""
        logits = outputs[0].cpu()
        # Of exponential times with these rates the first one is each code's with its probability.
        times = torch.empty_like(logits).exponential_(generator=generator)
        return self.to_table(logits - times.log())

    def _widths(self) -> list[int]:
        """Number of known codes of each column."""
        return [len(codes) for codes in self.codes_]

    def _log_probabilities(self, outputs: Sequence[Tensor]) -> Tensor:
        """Log-probability of each known code, as wide as the logits."""
        logits = outputs[0].split(self._widths(), -1)
        return torch.cat([part.log_softmax(-1) for part in logits], -1) + math.log1p(-self.unknown_)


def known_codes(X: Table, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a column, ascending, and how often each occurs; 0 if all are missing."""
    values = X[:, [column]].toarray() if sp.issparse(X) else X[:, column]
    codes, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return (codes, counts) if len(codes) else (np.zeros(1), np.ones(1))
