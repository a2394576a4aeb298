"""What `test_data_parallel.py` has torchrun start: fits in a process group, saved one by one."""

import sys
from datetime import timedelta
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch.distributed as dist
import torch.distributed.nn  # noqa: F401

from skvae import VAEDensityEstimator
from skvae._torch import loop
from skvae._torch.device import is_available

# Rows of the first rank, of 240.
N_FIRST = 150

OPTIONS = {
    "n_components": 2,
    "hidden_layer_sizes": (8,),
    "max_iter": 4,
    "batch_size": 20,
    "random_state": 0,
    "early_stopping": False,
}

# Parameters of the fits that are compared with one process.
CASES = {
    "zeros and ones": {},
    "real values": {"likelihood": "contaminated_gaussian"},
    "several draws": {"n_training_draws": 3, "solver": "sgd", "learning_rate_init": 1e-3},
    "a row a batch": {"batch_size": 1, "max_iter": 1},
    "batches in pieces": {"batch_size": 240},
    "autoregressive": {"autoregressive": True},
    "learned prior": {"n_prior_components": 3, "likelihood": "poisson"},
    "validation": {"max_iter": 60, "n_iter_no_change": 3, "tol": 0.01},
    "blocks": {},
}


make_model = VAEDensityEstimator._make_model


def in_float64(n_start):
    """Let new models train in float64, and begin with what the first rows say."""

    def make(self, X, X_train, seed):
        model = make_model(self, X[:n_start], X_train[:n_start], seed)
        model.network.double()
        return model

    return mock.patch.object(VAEDensityEstimator, "_make_model", make)


def table(case):
    rng = np.random.RandomState(0)
    topic = rng.uniform(size=(240, 1)) < 0.5
    rates = np.linspace(0.1, 0.8, 12)
    X = (rng.uniform(size=(240, 12)) < np.where(topic, rates, rates[::-1])).astype(float)
    return X + rng.normal(size=X.shape) if case == "real values" else sp.csr_matrix(X)


def arguments(case, rows):
    """What `fit` is given of some of the rows."""
    if case == "validation":
        n_val = 10 if rows.shape[0] == N_FIRST else 3
        return {"X": rows[n_val:], "X_val": rows[:n_val]}
    if case == "blocks" and rows.shape[0] == N_FIRST:
        return {"X": [rows[:60], rows[60:]]}
    return {"X": rows}


def shard(case):
    return table(case)[:N_FIRST] if dist.get_rank() == 0 else table(case)[N_FIRST:]


def results(density, case):
    return {
        "scores": density.score_samples(table(case)),
        "loss": density.loss_curve_,
        "validation": density.validation_loss_curve_,
    }


def fit(case, **options):
    device = {"device": sys.argv[2]}
    density = VAEDensityEstimator(**OPTIONS | CASES.get(case, {}) | device | options)
    return density.fit(**arguments(case, shard(case)), process_group=dist.group.WORLD)


def fit_names(names):
    """Fit of rows whose columns have these names, or none."""
    X = table("real values")[:, :3]
    X = X if names is None else pd.DataFrame(X, columns=list(names))
    return VAEDensityEstimator(**OPTIONS).fit(X, process_group=dist.group.WORLD)


def outcome(function):
    """The message of the error that a function raises."""
    try:
        function()
    except (OSError, ValueError) as error:
        return str(error)
    return "none"


def spoilt():
    """What is wrong with the rows of the second rank, or with what only the first one does."""
    rows = shard("real values")
    bad = [np.full((1, 12), np.inf), np.full((1, 12), 1e300), rows[:1, :5]]
    first = dist.get_rank() == 0
    absent = next(device for device in ("cuda", "mps") if not is_available(device))
    group = {"process_group": dist.group.WORLD}

    def fit_rows(X, X_val=None, **parameters):
        return VAEDensityEstimator(**OPTIONS | parameters).fit(X, X_val=X_val, **group)

    binary = shard("").toarray()
    return {
        "value": lambda: fit_rows(rows if first else bad[0]),
        "parameter": lambda: fit_rows(rows, alpha=1e-3 if first else -1),
        "later block": lambda: fit_rows([rows, rows if first else bad[2]]),
        "likelihood": lambda: fit_rows(binary if first else 2 * binary, likelihood="bernoulli"),
        "X_val": lambda: fit_rows(rows, rows[:3] if first else bad[0]),
        "device": lambda: fit_rows(rows, device="cpu" if first else absent),
        "start": lambda: fit_rows(bad[1].repeat(2, 0) * [[1], [-1]] if first else rows),
        "checkpoint": lambda: VAEDensityEstimator(**OPTIONS).fit(
            rows, checkpoint=Path(sys.argv[1]) / "none" / "file", **group
        ),
    }


def resumed(path):
    """Fit that ended after two epochs and then went on from its checkpoint."""
    train_epoch = loop.train_epoch
    n_begun = 0

    def end(*arguments):
        nonlocal n_begun
        n_begun += 1
        if n_begun > 2:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    density = VAEDensityEstimator(**OPTIONS | {"random_state": None, "device": sys.argv[2]})
    group = {"checkpoint": path, "process_group": dist.group.WORLD}
    try:
        with mock.patch.object(loop, "train_epoch", end):
            density.fit(shard(""), **group)
    except KeyboardInterrupt:
        assert path.exists()
    return density.fit(shard(""), **group)


def main(folder):
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    rank = dist.get_rank()
    found = {case: results(fit(case), case) for case in CASES}
    found["seed of the first rank"] = results(fit("", random_state=None), "")
    found["resumed"] = results(resumed(folder / "training"), "")
    found["errors"] = {
        "sample": outcome(lambda: fit("", n_negative_samples=3)),
        "parameter": outcome(lambda: fit("", n_components=2 + rank)),
        "hold out": outcome(lambda: fit("", early_stopping=True)),
        "X_val": outcome(lambda: fit("" if rank else "validation")),
        "names": outcome(lambda: fit_names(("abc", "acb")[rank])),
        "no names": outcome(lambda: fit_names(("abc", None)[rank])),
        "diverged": outcome(lambda: fit("", learning_rate_init=1e300, solver="sgd")),
    }
    found["spoilt"] = {name: outcome(function) for name, function in spoilt().items()}
    # The group is as good as before.
    found["after errors"] = results(fit(""), "")
    np.save(folder / f"{rank}.npy", found)
    # Threads of a group that is there when Python ends may abort the process. torch.distributed.nn
    # keeps a group for good, for a default, if it is first imported when there is one.
    dist.destroy_process_group()


if __name__ == "__main__":
    with in_float64(None):
        main(Path(sys.argv[1]))
