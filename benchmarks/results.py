"""Rows of results, in a csv file that a later run goes on with, and markdown tables of them."""

import csv
import io
from pathlib import Path

import pandas as pd


class Results:
    """Rows of results, in memory and, with a path, in a csv file.

    Parameters
    ----------
    path : str or None
        File to go on with, or to begin.
    columns : list of str
        Its columns, in their order.
    key : list of str
        The columns that say which run a row belongs to.
    """

    def __init__(self, path, columns, key):
        self.path = None if path is None else Path(path)
        self.columns = columns
        self.key = key
        self.rows = []
        if self._is_begun():
            with self.path.open(newline="") as file:
                reader = csv.DictReader(file)
                if reader.fieldnames != columns:
                    raise ValueError(f"{path} has the columns {reader.fieldnames}, not {columns}.")
                self.rows = list(reader)
        self.done = {self._key(row) for row in self.rows}

    def _is_begun(self):
        """Whether the file has a header."""
        return self.path is not None and self.path.exists() and self.path.stat().st_size > 0

    def _key(self, row):
        return tuple(str(row[name]) for name in self.key)

    def __contains__(self, run):
        """Whether the rows of a run, a dict with the key's columns, are there."""
        return self._key(run) in self.done

    def add(self, rows):
        """Add all rows of a run, and append them to the file in one write."""
        rows = [
            {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in row.items()}
            for row in rows
        ]
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        if not self._is_begun():
            writer.writeheader()
        writer.writerows(rows)
        if self.path is not None:
            with self.path.open("a", newline="") as file:
                file.write(text.getvalue())
        self.rows += rows
        self.done |= {self._key(row) for row in rows}

    def frame(self):
        """All rows; the key's columns hold text, but for the seed, and the others numbers."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(self.rows)
        text.seek(0)
        names = [name for name in self.key if name != "seed"]
        return pd.read_csv(text, converters=dict.fromkeys(names, str))


def mean_and_sd(mean, sd, digits):
    """The two as text; one seed alone has no standard deviation."""
    return f"{mean:.{digits}f}" if pd.isna(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"


def print_table(title, header, rows):
    """Print a markdown table."""
    print(f"\n{title}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
