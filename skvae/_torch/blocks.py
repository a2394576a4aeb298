"""How much is worked on at once, so that memory does not grow with the table."""

from __future__ import annotations

from collections.abc import Iterator

from .sparse import Table

# Largest number of values in one temporary of the scoring pass (16 MB of float64).
MAX_ELEMENTS = 2**21

# Largest number of rows that are ever written out, or decoded, at once.
MAX_ROWS = 512

# However many features they have, so many are: weights are read once for all of them, and take more
# memory.
MIN_ROWS = 16


def rows_per_block(n_features: int, row_size: int = 1) -> int:
    """How many rows to score at once, so that no temporary grows with the table.

    `row_size` is what a row takes beside its features, such as a value for each draw.
    """
    by_features = max(MIN_ROWS, MAX_ELEMENTS // n_features)
    return min(MAX_ROWS, by_features, max(1, MAX_ELEMENTS // row_size))


def blocks(X: Table, n_rows: int) -> Iterator[Table]:
    """Consecutive rows of a table, `n_rows` at a time."""
    return (X[start : start + n_rows] for start in range(0, X.shape[0], n_rows))
