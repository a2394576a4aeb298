"""Columns of different kinds in one table."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Generator, Tensor

from ..blocks import blocks
from ..sparse import Batch, CSRBatch, Table
from .base import ROWS_AT_A_TIME, Likelihood, LinearColumns

T = TypeVar("T")


def as_tensor(x: Batch | None) -> Tensor:
    """Promise the type checker a tensor, as batches that were written out are and give."""
    assert isinstance(x, Tensor)
    return x


class Mixed(Likelihood):
    """A likelihood for each group of columns; given z the groups are independent.

    Batches are written out, as the Gaussian's are.

    Parameters
    ----------
    parts : mapping from type of likelihood to ndarray of int
        The columns that each describes: each column of the table once.
    """

    name = "mixed"

    def __init__(self, parts: Mapping[type[Likelihood], np.ndarray]):
        super().__init__()
        self.parts = [make(columns) for make, columns in parts.items()]
        groups = list(parts.values())
        self.groups = [torch.from_numpy(columns) for columns in groups]
        # Position in the groups, one after the other, of each column of the table.
        self.order = torch.from_numpy(np.argsort(np.concatenate(groups)))

    def describe(self) -> dict[str, np.ndarray]:
        groups: dict[str, np.ndarray] = {}
        for part, columns in zip(self.parts, self.groups, strict=True):
            # A named Bernoulli and a lenient one have the same name.
            before = groups.get(part.name)
            groups[part.name] = columns.numpy() if before is None else np.union1d(before, columns)
        return groups

    def set_min_variance(self, value: float) -> None:
        for part in self.parts:
            part.set_min_variance(value)

    def check(self, X: Table) -> None:
        # A few rows at a time, because taking columns copies them.
        for rows in blocks(X, ROWS_AT_A_TIME):
            for part, columns in zip(self.parts, self.groups, strict=True):
                part.check(rows[:, columns.numpy()])

    def start(self, X: Table) -> list[np.ndarray]:
        biases = [
            part.start(X[:, columns.numpy()])
            for part, columns in zip(self.parts, self.groups, strict=True)
        ]
        return [bias for outputs in biases for bias in outputs]

    def in_training(self, progress: float) -> Mixed:
        likelihood = copy.copy(self)
        likelihood.parts = [part.in_training(progress) for part in self.parts]
        return likelihood

    def linear_columns(self, X: Table) -> list[LinearColumns]:
        first_inputs = np.cumsum([0, *self.widths()])[:-1].tolist()
        groups = zip(self.parts, self.groups, first_inputs, self._output_places(), strict=True)
        return [
            replace(
                linear,
                columns=columns[linear.columns],
                first_input=first_input,
                first_output=outputs[0],
            )
            for part, columns, first_input, outputs in groups
            for linear in part.linear_columns(X[:, columns.numpy()])
        ]

    def variance_outputs(self) -> list[int]:
        return [
            outputs[place]
            for part, outputs in zip(self.parts, self._output_places(), strict=True)
            for place in part.variance_outputs()
        ]

    def prepare(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        dense = batch.to_dense() if isinstance(batch, CSRBatch) else batch
        prepared = [
            as_tensor(part.prepare(dense[:, columns], dtype))
            for part, columns in zip(self.parts, self.groups, strict=True)
        ]
        return torch.cat(prepared, -1)[..., self.order]

    def n_inputs(self, n_features: int) -> int:
        return sum(self.widths())

    def widths(self) -> list[int]:
        """Inputs that each part gives the encoder; its mean and its outputs are as wide."""
        groups = zip(self.parts, self.groups, strict=True)
        return [part.n_inputs(len(columns)) for part, columns in groups]

    def inputs(self, x: Batch) -> Batch:
        return torch.cat([as_tensor(part.inputs(part_x)) for part, part_x in self._split(x)], -1)

    def is_empty(self, x: Batch) -> Tensor:
        return torch.stack(
            [as_tensor(part.is_empty(part_x)) for part, part_x in self._split(x)]
        ).all(0)

    def terms(self, outputs: Sequence[Tensor], x: Batch) -> tuple[Tensor, Tensor]:
        terms = [
            part.terms(part_outputs, part_x)
            for (part, part_x), part_outputs in zip(
                self._split(x), self._split_outputs(outputs), strict=True
            )
        ]
        baselines, entries = zip(*terms, strict=True)
        return sum(baselines), torch.cat(entries, -1)[..., self.order]

    def log_prob(self, outputs: Sequence[Tensor], x: Batch) -> Tensor:
        # Without the entries of all columns in one tensor.
        pairs = zip(self._split(x), self._split_outputs(outputs), strict=True)
        shares = [part.log_prob(own, part_x) for (part, part_x), own in pairs]
        return torch.stack(shares).sum(0)

    def log_units(self, x: Batch) -> Tensor:
        return torch.stack(
            [part.log_units(part_x).to(part_x) for part, part_x in self._split(x)]
        ).sum(0)

    def spike_heights(self, x: Batch) -> Tensor | None:
        heights = [(part.spike_heights(part_x), part_x) for part, part_x in self._split(x)]
        if all(height is None for height, _ in heights):
            return None
        columns = [torch.zeros_like(part_x) if h is None else h for h, part_x in heights]
        return torch.cat(columns, -1)[..., self.order]

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        means = [
            part.mean(part_outputs)
            for part, part_outputs in zip(self.parts, self._split_outputs(outputs), strict=True)
        ]
        return torch.cat(means, -1)

    def to_table(self, mean: Tensor) -> Tensor:
        rows = [
            part.to_table(part_mean)
            for part, part_mean in zip(self.parts, mean.split(self.widths(), -1), strict=True)
        ]
        return torch.cat(rows, -1)[..., self.order]

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        drawn = [
            part.sample(part_outputs, generator)
            for part, part_outputs in zip(self.parts, self._split_outputs(outputs), strict=True)
        ]
        return torch.cat(drawn, -1)[..., self.order]

    def _split(self, x: Batch) -> list[tuple[Likelihood, Tensor]]:
        """Give each part its columns of a prepared batch."""
        assert isinstance(x, Tensor)  # a prepared batch is dense
        return [
            (part, x[:, columns]) for part, columns in zip(self.parts, self.groups, strict=True)
        ]

    def _output_places(self) -> list[Sequence[int]]:
        """Places of each part's outputs."""
        return self._split_outputs(range(sum(part.n_outputs for part in self.parts)))

    def _split_outputs(self, outputs: Sequence[T]) -> list[Sequence[T]]:
        """Give each part its outputs of the decoder, or what there is one of for each."""
        starts = np.cumsum([0, *(part.n_outputs for part in self.parts)])
        return [outputs[a:b] for a, b in pairwise(starts)]
