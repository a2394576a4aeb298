"""Density estimation on binary tables, the DEBD sets, or on any others.

    python -m pip install -c constraints.txt -e ".[benchmarks]"
    python benchmarks/density.py FOLDER --published debd.csv --csv density.csv
    python benchmarks/density.py FOLDER --quality --seeds 0 --sets dna plants
    python benchmarks/density.py FOLDER --ablation --seeds 0
    python benchmarks/density.py FOLDER --ablation n_prior_components=32 --seeds 0

Reads every ``*.npz`` in the folder: train, valid and test, packed by ``numpy.packbits(axis=1)``,
and n_features; or a table X, of which 3000 rows are drawn and cut into three. One fit on train for
each seed with default settings. With ``--quality``, one for each point of `GRID`, all else being
`QUALITY`; valid stops the training and chooses the point. Test is scored by the ELBO and by the
importance-weighted bound with 1000 draws: mean nats a row, higher is better. Seconds are those of
the fit. ``times plain`` holds them against the same network without what the defaults add (the
autoregressive part and held-out rows), trained for as many epochs. With ``--ablation``, one fit on
train for the defaults and each of `CHANGES` to them, or those named, also of `CHANGES_BY_NAME`,
scored on valid alone.

``--published`` is a table with a row for each set and a column for each method.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import pandas as pd
from results import Results, mean_and_sd, print_table

from skvae import VAEDensityEstimator

N_IMPORTANCE_SAMPLES = 1000
N_ROWS = 3000
QUALITY = {
    "n_components": 16,
    "n_prior_components": 32,
    "autoregressive": True,
    "n_training_draws": 8,
    "max_iter": 1000,
    "n_iter_no_change": 15,
}
GRID = [
    {"hidden_layer_sizes": (128,), "n_components": 8},
    {"hidden_layer_sizes": (256,)},
    {"hidden_layer_sizes": (256, 256)},
]
CHANGES = [
    {"reg_covar": 1e-3},
    {"batch_size": 128},
    {"init": "random"},
    {"n_prior_components": 32},
    {"autoregressive": False},
    {"early_stopping": False},
    {"alpha": 0.0},
    {"alpha": 0.01},
    {"n_training_draws": 8},
    {"hidden_layer_sizes": (128, 128)},
    {"n_components": 2},
    {"n_components": 16},
]
# For real values: it is no likelihood of zeros and ones.
CHANGES_BY_NAME = [{"likelihood": "contaminated_gaussian"}]
SETTINGS = {"default": {}}
SETTINGS |= {
    " ".join(f"{name}={value}" for name, value in of.items()): of
    for of in CHANGES + CHANGES_BY_NAME
}
COLUMNS = [
    "dataset",
    "setting",
    "seed",
    "valid",
    "elbo",
    "iw",
    "seconds",
    "epochs",
    "plain_seconds",
]
KEY = COLUMNS[:3]
HEADER = [
    "set",
    "seeds",
    "valid, IW-1000",
    "test, ELBO",
    "test, IW-1000",
    "VAE recipe",
    "best published",
    "fit, s",
    "times plain",
    "epochs",
]
# The published column that the default settings are held against.
PEER = "cm-tpm VAE (latent 4), IW-1000 bound"


def load(file):
    """Rows of train, valid and test, as float arrays."""
    with np.load(file) as data:
        if "X" in data:
            X = np.random.RandomState(0).permutation(data["X"].astype(np.float64))[:N_ROWS]
            return np.split(X, [len(X) * 3 // 5, len(X) * 4 // 5])
        n_features = int(data["n_features"])
        return [
            np.unpackbits(data[part], axis=1)[:, :n_features].astype(np.float64)
            for part in ("train", "valid", "test")
        ]


def timed_fit(density, X, **fit_params):
    """Seconds of a fit."""
    start = time.perf_counter()
    density.fit(X, **fit_params)
    return time.perf_counter() - start


def estimator(seed, parameters):
    """One that scores by the importance-weighted bound."""
    return VAEDensityEstimator(
        random_state=seed, n_importance_samples=N_IMPORTANCE_SAMPLES, **parameters
    )


def fit_best(train, valid, seed):
    """The point of `GRID` with the best bound on valid, and the seconds of all fits."""
    grid = [estimator(seed, QUALITY | point) for point in GRID]
    seconds = sum(timed_fit(density, train, X_val=valid) for density in grid)
    return max(grid, key=lambda density: density.score(valid)), seconds


def measure(file, setting, seed):
    """Bounds on the log-likelihood of valid and test, and seconds."""
    train, valid, test = load(file)
    result = dict.fromkeys(("valid", "elbo", "iw", "seconds", "epochs", "plain_seconds"), np.nan)
    if setting == "quality":
        density, result["seconds"] = fit_best(train, valid, seed)
    else:
        density = estimator(seed, SETTINGS[setting])
        result["seconds"] = timed_fit(density, train)
    result["epochs"] = density.n_iter_
    result["valid"] = density.score(valid)
    if setting == "default":
        plain = {"autoregressive": False, "early_stopping": False, "tol": 0}
        plain |= {"max_iter": density.n_iter_, "n_iter_no_change": density.n_iter_}
        result["plain_seconds"] = timed_fit(estimator(seed, plain), train)
    if setting in ("default", "quality"):
        result["iw"] = density.score(test)
        result["elbo"] = density.set_params(n_importance_samples=1).score(test)
    return result


def published(path):
    """Best published number of each set, and that of the peer, both by set."""
    if path is None:
        return pd.Series(dtype=float), pd.Series(dtype=float)
    frame = pd.read_csv(path, index_col="dataset")
    frame = frame[~frame.index.str.startswith("#")].astype(float)
    bounds = [column for column in frame if "NOT a bound" not in column]
    return frame[bounds].max(axis=1), frame[PEER]


def report(results, path):
    """Print a markdown table for each setting, means over seeds."""
    best, peer = published(path)
    frame = results.frame()
    for setting, runs in frame[frame["setting"].isin(["default", "quality"])].groupby("setting"):
        rows = []
        for dataset, of_set in runs.groupby("dataset"):
            iw = of_set["iw"].mean()
            rows.append(
                [
                    dataset,
                    len(of_set),
                    f"{of_set['valid'].mean():.2f}",
                    mean_and_sd(of_set["elbo"].mean(), of_set["elbo"].std(), 2),
                    mean_and_sd(iw, of_set["iw"].std(), 2),
                    verdict(iw, peer.get(dataset)),
                    verdict(iw, best.get(dataset)),
                    f"{of_set['seconds'].median():.0f}",
                    f"{(of_set['seconds'] / of_set['plain_seconds']).median():.2f}",
                    f"{of_set['epochs'].median():.0f}",
                ]
            )
        print_table(setting, HEADER, rows)


def report_ablation(results):
    """Print a markdown table of the bound on valid, means over seeds: a row for each setting."""
    frame = results.frame()
    table = frame[frame["setting"] != "quality"].pivot_table("valid", "setting", "dataset")
    present = [setting for setting in SETTINGS if setting in table.index]
    rows = [[setting, *(f"{nats:.2f}" for nats in table.loc[setting])] for setting in present]
    print_table("ablation", ["setting", *table.columns], rows)


def verdict(ours, theirs):
    """Their figure, and whether ours reaches it."""
    if theirs is None or np.isnan(theirs):
        return ""
    return f"{theirs:.2f} {'reached' if round(ours, 2) >= theirs else 'missed'}"


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="folder of *.npz files")
    parser.add_argument("--quality", action="store_true", help="the setting for quality")
    parser.add_argument(
        "--ablation",
        nargs="*",
        choices=list(SETTINGS)[1:],
        help="the defaults with one change each",
    )
    parser.add_argument("--published", help="csv file of published figures")
    parser.add_argument("--csv", help="file of results, gone on with if it is there")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--sets", nargs="+", help="parts of the names of the sets")
    arguments = parser.parse_args()

    settings = ["quality"] if arguments.quality else ["default"]
    if arguments.ablation is not None:
        settings = ["default", *(arguments.ablation or list(SETTINGS)[1 : len(CHANGES) + 1])]
    results = Results(arguments.csv, COLUMNS, KEY)
    files = sorted(Path(arguments.folder).glob("*.npz"))
    if arguments.sets is not None:
        files = [file for file in files if any(name in file.stem for name in arguments.sets)]
    for seed, setting, file in itertools.product(arguments.seeds, settings, files):
        run = {"dataset": file.stem, "setting": setting, "seed": seed}
        if run not in results:
            results.add([run | measure(file, setting, seed)])
    if arguments.quality:
        print(f"quality: {QUALITY}, grid: {GRID}")
    if arguments.ablation is not None:
        report_ablation(results)
    else:
        report(results, arguments.published)


if __name__ == "__main__":
    main()
