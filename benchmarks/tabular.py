"""Outlier detection on tables: ADBench's sets, or any others of that form.

    python -m pip install -c constraints.txt -e ".[benchmarks]"
    python benchmarks/tabular.py FOLDER --csv tabular.csv
    python benchmarks/tabular.py FOLDER --methods znorm skvae --seeds 0 --sets wine Pima

Reads every ``*.npz`` in the folder: X, and y with 1 for an anomaly. Sets of more than 10,000 rows
are sampled to that, stratified. Protocols, as in Livernoche et al., "On Diffusion Modeling for
Anomaly Detection", ICLR 2024:

- unsupervised: fit on all rows, score the same rows.
- normal: fit on a random half of the normal rows, score the other half and all anomalies.

The peers get columns z-scored by the rows that they are fitted on, ours the table as it is. The
seed determines the sample, the halves and the detector. ``znorm``, the squared norm of the z-scored
row, has learned nothing; the table counts the sets on which a method is above it. Seconds are
those of a fit. Seven methods run only when they are named: ``skvae-gaussian`` is ours without a
share of contaminated values, ``skvae-elbo`` told that all training rows are normal,
``skvae-no-spike`` with nothing of its own for columns of which most values are the same,
``skvae-full-spikes`` with scores in which spikes are as high as in the density,
``skvae-no-steps`` with variances as small for integers as for other values, ``skvae-all-values``
with columns standardised by all of theirs, and ``skvae-equal-decay`` with variances that decay no
faster than the rest.

With ``--csv`` a run goes on where the last one ended: rows already in the file are not computed
again. Delete the rows of a method there to have it measured anew.
"""

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
from peers import BINARY, PEERS, available
from results import Results, mean_and_sd, print_table
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import VAEOutlierDetector
from skvae._torch import loop
from skvae._torch.likelihoods import (
    ContaminatedGaussian,
    Gaussian,
    Likelihood,
    SpikeAndSlab,
    choose,
)

PROTOCOLS = ["unsupervised", "normal"]
MAX_ROWS = 10_000
COLUMNS = ["protocol", "dataset", "method", "seed", "auc", "ap", "seconds"]
KEY = COLUMNS[:4]
# Parameters of ours, and what else is changed of it: owner and name of a constant, and its value.
OURS = {
    "skvae": ({}, []),
    "skvae-gaussian": ({"likelihood": "gaussian"}, []),
    "skvae-elbo": ({"outlier_score": "elbo"}, []),
    "skvae-no-spike": ({}, [(choose, "spiked_columns", lambda X: np.zeros(X.shape[1], bool))]),
    "skvae-full-spikes": ({}, [(SpikeAndSlab, "spike_heights", Likelihood.spike_heights)]),
    "skvae-no-steps": ({}, [(ContaminatedGaussian, "least_deviations", Gaussian.least_deviations)]),
    "skvae-all-values": ({}, [(ContaminatedGaussian, "TRIMMED", 1e-9)]),
    "skvae-equal-decay": ({}, [(loop, "VARIANCE_DECAY", 1)]),
}
METHODS = [name for name in PEERS if name not in BINARY | {"digits"}] + ["skvae"]


def set_files(folder, names=None):
    """The sets in a folder, or those with one of `names` in theirs."""
    files = sorted(Path(folder).glob("*.npz"))
    return [file for file in files if names is None or any(name in file.stem for name in names)]


def load(file, seed, max_rows=MAX_ROWS):
    """Table and labels, sampled where it is large."""
    with np.load(file) as data:
        X, y = data["X"].astype(np.float64), data["y"].astype(int)
    if len(y) > max_rows:
        X, _, y, _ = train_test_split(X, y, train_size=max_rows, stratify=y, random_state=seed)
    return X, y


def split(X, y, protocol, seed):
    """Rows to fit, rows to score and the labels of those."""
    if protocol == "unsupervised":
        return X, X, y
    normal = np.random.default_rng(seed).permutation(np.flatnonzero(y == 0))
    half = normal[: len(normal) // 2]
    rest = np.setdiff1d(np.arange(len(y)), half)
    return X[half], X[rest], y[rest]


def measure(file, protocol, method, seed):
    """Area under the ROC curve, average precision and seconds of a method on a set."""
    X, y = load(file, seed)
    train, test, y = split(X, y, protocol, seed)
    changes = []
    if method in OURS:
        parameters, changes = OURS[method]
        detector = VAEOutlierDetector(**parameters, random_state=seed)
    else:
        detector = PEERS[method](seed)
        scaler = StandardScaler().fit(train)
        train, test = scaler.transform(train), scaler.transform(test)
    with ExitStack() as stack:
        for change in changes:
            stack.enter_context(mock.patch.object(*change))
        start = time.perf_counter()
        detector.fit(train)
        seconds = time.perf_counter() - start
        abnormality = -detector.score_samples(test)
    return {
        "auc": float(roc_auc_score(y, abnormality)),
        "ap": float(average_precision_score(y, abnormality)),
        "seconds": seconds,
    }


def against_znorm(difference):
    """Cells that sum up how far a method is above the norm, by set."""
    if difference.empty:
        return ["", "", ""]
    return [
        f"{(difference > 0).sum()}",
        f"{difference.median():+.2f}",
        f"{difference.min():+.1f} ({difference.idxmin()})",
    ]


def print_summary(frame, protocol, methods):
    """Print means over the sets, and how each method stands against the norm."""
    sets = frame.groupby(["method", "dataset"])[["auc", "ap", "seconds"]].mean()
    auc = 100 * sets.auc.unstack("method")
    runs = frame.groupby(["method", "seed"])
    # A seed that has not come to all sets yet has another mean.
    complete = runs.size() == runs.size().groupby("method").transform("max")
    spread = 100 * runs[["auc", "ap"]].mean()[complete].groupby("method").std()
    seeds = frame.groupby("method").seed.nunique()
    rows = []
    for method in auc.mean().sort_values(ascending=False).index.intersection(methods, sort=False):
        row = [
            method,
            mean_and_sd(auc[method].mean(), spread.auc[method], 2),
            mean_and_sd(100 * sets.ap[method].mean(), spread.ap[method], 2),
        ]
        if "znorm" in auc:
            row += against_znorm((auc[method] - auc["znorm"]).dropna())
        seconds = f"{sets.seconds[method].mean():.2f}"
        rows.append([*row, auc[method].count(), seeds[method], seconds])
    against = ["sets above znorm", "median difference", "worst difference"]
    header = ["method", "AUCROC", "AP", *(against if "znorm" in auc else [])]
    header += ["sets", "seeds", "seconds"]
    print_table(f"{protocol}: percent, mean over sets ± sd over seeds", header, rows)


def print_sets(frame, protocol, methods):
    """Print the area under the ROC curve by set and method."""
    auc = 100 * frame.groupby(["dataset", "method"]).auc.mean().unstack("method")
    methods = [method for method in methods if method in auc]
    rows = [
        [name, *(f"{value:.1f}" for value in values)] for name, values in auc[methods].iterrows()
    ]
    print_table(f"{protocol}: AUCROC in percent", ["set", *methods], rows)


def main():
    """Run what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of *.npz files with X and y")
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=PROTOCOLS)
    names = [*METHODS, *(name for name in OURS if name not in METHODS)]
    parser.add_argument("--methods", nargs="+", choices=names, default=METHODS, metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--sets", nargs="+", help="only sets with one of these in their names")
    parser.add_argument("--csv", help="file to go on with, or to begin")
    parser.add_argument("--report", action="store_true", help="only print what the file holds")
    parser.add_argument("--per-dataset", action="store_true", help="print a table by set as well")
    options = parser.parse_args()

    files = set_files(options.folder, options.sets)
    if not files:
        parser.error(f"no *.npz files to read in {options.folder}")
    results = Results(options.csv, COLUMNS, KEY)
    methods = options.methods if options.report else run_missing(options, files, results)
    frame = results.frame()
    frame = frame[frame.dataset.isin([file.stem for file in files])]
    frame = frame[frame.seed.isin(options.seeds)]
    for protocol in [name for name in options.protocols if name in set(frame.protocol)]:
        print_summary(frame[frame.protocol == protocol], protocol, methods)
        if options.per_dataset:
            print_sets(frame[frame.protocol == protocol], protocol, methods)


def run_missing(options, files, results):
    """Run what is not among the results, and give the methods that can run here."""
    methods = available(options.methods)
    for method in methods:
        for seed in options.seeds:
            for protocol in options.protocols:
                for file in files:
                    run = dict(zip(KEY, (protocol, file.stem, method, seed), strict=True))
                    if run in results:
                        continue
                    try:
                        results.add([run | measure(file, protocol, method, seed)])
                    except ValueError as error:
                        print(f"{method} failed on {file.stem}, {protocol}, seed {seed}: {error}")
    return methods


if __name__ == "__main__":
    main()
