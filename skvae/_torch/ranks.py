"""Several processes that train one network together, each on rows of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Generator, Tensor, nn

from .sparse import Table

T = TypeVar("T")


@dataclass(frozen=True)
class Noise:
    """Standard normal draws for the rows of a batch, or for some of them.

    Attributes
    ----------
    generator : Generator
    n_rows : int, default=0
        Number of rows in the batch, where draws are wanted for some of them.
    places : Tensor or None, default=None
        Which of them draws are wanted for; None for all. The others get theirs in another process,
        from a generator in the same state.
    """

    generator: Generator
    n_rows: int = 0
    places: Tensor | None = None

    def draw(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Draws of a shape (..., n_places, n_columns), with type and device of a tensor."""
        if self.places is None or len(self.places) == self.n_rows:
            return torch.randn(shape, generator=self.generator, dtype=like.dtype).to(like.device)
        shape = (*shape[:-2], self.n_rows, shape[-1])
        noise = torch.randn(shape, generator=self.generator, dtype=like.dtype)
        return noise.index_select(-2, self.places).to(like.device)


class Ranks:
    """The processes of a group, called ranks, as one of them sees them; or one process alone.

    All ranks call the same methods in the same order.

    Parameters
    ----------
    group : ProcessGroup or None, default=None
        None for this process alone.
    """

    def __init__(self, group: Any = None):
        self.group = group
        self.rank, self.size = 0, 1
        if group is not None:
            if not isinstance(group, dist.ProcessGroup):
                raise TypeError(
                    "process_group must be a group of torch.distributed that this process belongs "
                    f"to, such as dist.group.WORLD after dist.init_process_group; got {group!r}."
                )
            self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)

    def gather(self, value: T) -> list[T]:
        """Values of all ranks, in their order."""
        values = [value] * self.size
        if self.group is not None:
            dist.all_gather_object(values, value, group=self.group)
        return values

    def from_first(self, make: Callable[[], T]) -> T:
        """Let the first rank make something, and give it to all."""
        with self.together():
            values = [make()] if self.rank == 0 else [None]
        if self.group is not None:
            first = dist.get_global_rank(self.group, 0)
            dist.broadcast_object_list(values, src=first, group=self.group)
        return values[0]  # type: ignore[return-value]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let all ranks raise an error if the block does so in one: none is left waiting.

        The others' is a ValueError that tells of it. The block itself must not talk to other ranks.
        """
        if self.group is None:
            yield
            return
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        causes = self.gather(None if failure is None else f"{type(failure).__name__}: {failure}")
        if failure is not None:
            raise failure
        for rank, cause in enumerate(causes):
            if cause is not None:
                raise ValueError(
                    f"The processes of process_group cannot train, because rank {rank} has a "
                    f"{cause}"
                )

    def refuse_different(self, facts: dict[str, Any]) -> None:
        """Raise a ValueError in all ranks that tells of a fact that is not the same in all."""
        for rank, others in enumerate(self.gather(facts)):
            for name in facts | others:
                mine, theirs = facts.get(name), others.get(name)
                if mine != theirs:
                    raise ValueError(
                        f"The processes of process_group cannot train one model, because {name} "
                        f"differs: {mine} in rank {self.rank}, {theirs} in rank {rank}."
                    )

    def deal(self, tables: Iterable[Table]) -> Iterator[tuple[Table, int, int]]:
        """Tables of this rank, the number of rows that ranks before it have, and that all have.

        The tables that ranks have at the same time are taken for one, in the order of ranks. A rank
        whose tables are used up goes on with empty ones.
        """
        mine = iter(tables)
        X = next(mine)
        while True:
            sizes = self.gather(X.shape[0])
            if not sum(sizes):
                return
            yield X, sum(sizes[: self.rank]), sum(sizes)
            following = next(mine, None)
            X = X[:0] if following is None else following

    def add_up(self, parameters: Iterable[nn.Parameter], sums: np.ndarray) -> np.ndarray:
        """Add the gradients of all ranks in place, and return the sum of their sums."""
        if self.group is None:
            return sums
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        parts = [*gradients, torch.from_numpy(sums).to(gradients[0])]
        flat = torch.cat([part.flatten() for part in parts])
        dist.all_reduce(flat, group=self.group)
        totals = flat.split([part.numel() for part in parts])
        for parameter, total in zip(parameters, totals, strict=False):
            parameter.grad = total.view_as(parameter)
        return totals[-1].double().cpu().numpy()

    def mean(self, value: float, n_rows: int) -> float:
        """Mean over the rows of all ranks of what has this mean over the rows of this one."""
        means, weights = zip(*self.gather((value, n_rows)), strict=True)
        return float(np.average(means, weights=weights))

    def number_before(self, n_rows: int) -> int:
        """Rows that the ranks before this one have, where this one has `n_rows`."""
        return sum(self.gather(n_rows)[: self.rank])


ALONE = Ranks()
