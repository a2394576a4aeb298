"""Filling in missing values: tables of scikit-learn, and those of a folder.

    python -m pip install -c constraints.txt -e ".[benchmarks]"
    python benchmarks/imputation.py --data FOLDER --csv imputation.csv
    python benchmarks/imputation.py --methods mean skvae --seeds 0 --sets wine iris

Reads the array X of every ``*.npz`` in the folder, at most 3000 rows of it, and leaves out constant
columns. Of all values 30 % are removed completely at random, by the seed; all methods see the same
table and are told nothing else. The error is the mean squared error of the values removed, in units
of the column's variance, averaged over the columns: 1 for filling in the column's mean. Ours gets
the table as it is, and so do the peers, scikit-learn's SimpleImputer and IterativeImputer with
their defaults. Methods named skvae-... are ours with another parameter than its default. Seconds
are those of ``fit_transform``.

With ``--csv`` a run goes on where the last one ended: rows already in the file are not computed
again.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from results import Results, mean_and_sd, print_table
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer

from skvae import VAEImputer

COLUMNS = ["dataset", "method", "seed", "error", "seconds"]
KEY = COLUMNS[:3]
MAX_ROWS = 3000
SHARE = 0.3
SETS = {name: getattr(datasets, f"load_{name}") for name in ("diabetes", "digits", "iris", "wine")}
SETS["breast_cancer"] = datasets.load_breast_cancer
PEERS = {
    "mean": lambda seed: SimpleImputer(),
    "iterative": lambda seed: IterativeImputer(random_state=seed),
}
# What ours differs in from its defaults.
OURS = {
    "skvae": {},
    "skvae-no-spike": {"likelihood": "contaminated_gaussian"},
    "skvae-8-components": {"n_components": 8},
    "skvae-elbo": {"n_training_draws": 1},
    "skvae-all-rows": {"early_stopping": False},
    "skvae-alpha-0": {"alpha": 0},
    "skvae-alpha-0.05": {"alpha": 0.05},
    "skvae-16-draws": {"n_importance_samples": 16},
    "skvae-unweighted": {"n_importance_samples": 1},
}
METHODS = [*PEERS, *OURS]


def load(source):
    """Table of a function or file, without constant columns, sampled where it is large."""
    if callable(source):
        X = source().data
    else:
        with np.load(source) as data:
            X = data["X"]
    X = X.astype(float)
    if len(X) > MAX_ROWS:
        X = X[np.random.default_rng(0).permutation(len(X))[:MAX_ROWS]]
    return X[:, X.std(axis=0) > 0]


def measure(X, method, seed):
    """Error of a method and its seconds."""
    removed = np.random.default_rng(seed).uniform(size=X.shape) < SHARE
    # A column needs a value, or there is nothing to learn.
    removed[0, removed.all(axis=0)] = False
    if method in OURS:
        imputer = VAEImputer(**OURS[method], random_state=seed)
    else:
        imputer = PEERS[method](seed)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        filled = imputer.fit_transform(np.where(removed, np.nan, X))
    seconds = time.perf_counter() - start
    squares = np.where(removed, (filled - X) ** 2, 0).sum(axis=0) / X.var(axis=0)
    n_removed = removed.sum(axis=0)
    errors = squares[n_removed > 0] / n_removed[n_removed > 0]
    return {"error": float(errors.mean()), "seconds": seconds}


def print_errors(frame, methods):
    """Print the error by set and method, means over the masks."""
    errors = frame.groupby(["dataset", "method"]).error.agg(["mean", "std"])
    rows = []
    for name in frame.dataset.unique():
        cells = [mean_and_sd(*errors.loc[name, method], 3) for method in methods]
        rows.append([name, *cells])
    print_table("error ± sd over masks", ["set", *methods], rows)
    seconds = frame.groupby("method").seconds.mean()
    print("\nseconds, mean: " + ", ".join(f"{name} {seconds[name]:.1f}" for name in methods))


def main():
    """Run what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of *.npz files with X")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*PEERS, "skvae"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sets", nargs="+", help="only sets with one of these in their names")
    parser.add_argument("--csv", help="file to go on with, or to begin")
    options = parser.parse_args()

    files = sorted(options.data.glob("*.npz")) if options.data else []
    sources = SETS | {file.stem: file for file in files}
    wanted = options.sets or [""]
    sources = {k: v for k, v in sources.items() if any(part in k for part in wanted)}
    if not sources:
        parser.error(f"no set has one of {options.sets} in its name")
    results = Results(options.csv, COLUMNS, KEY)
    for seed in options.seeds:
        for name, source in sources.items():
            for method in options.methods:
                run = {"dataset": name, "method": method, "seed": seed}
                if run not in results:
                    results.add([run | measure(load(source), method, seed)])
    frame = results.frame()
    frame = frame[frame.dataset.isin(sources) & frame.seed.isin(options.seeds)]
    print_errors(frame, options.methods)


if __name__ == "__main__":
    main()
