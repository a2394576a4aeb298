"""Speed and memory against a plain PyTorch loop, PyOD, skorch and the floor, in one run.

    python benchmarks/speed.py
    python benchmarks/speed.py --data SMSSpamCollection --threads 1 2 --only epochs scores

Without ``--data`` the rows are made-up ones of about the size of the SMS Spam Collection. Seconds
are medians of ``--repeats`` runs, taken in turn: only ratios from one run mean something. Programs
that are not installed are left out. The parts:

- epochs: seconds of an epoch of the same network (128 hidden units, 8 latent dimensions, batches of
  128 rows). The floor is the decoder's three products in float32 and one fused step of Adam on its
  weight, without anything else.
- elbo: seconds of training until the ELBO of held-out rows is that of a plain loop's after
  ``--epochs`` epochs.
- rounding: the held-out ELBO with and without the decoder's factors rounded to bfloat16.
- words: seconds of an epoch and megabytes of a fresh process as the vocabulary grows, with the same
  rows and entries.
- scores: rows scored a second. The floor is the decoder's product in float64 and its softplus for
  each draw. PyOD decodes a row once.
- disk: peak megabytes of a fresh process that trains for one epoch on blocks from files.
- devices: seconds of an epoch and rows scored a second on the CPU and on the GPU, and how far apart
  the scores are; left out where PyTorch finds no GPU.
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from memory import make_table, peak_megabytes
from results import print_table
from sklearn.feature_extraction.text import CountVectorizer
from torch import nn

from skvae import VAEDensityEstimator
from skvae._torch import networks
from skvae.datasets import fetch_sms_spam

N_HIDDEN, N_COMPONENTS, BATCH_SIZE = 128, 8, 128
N_STORED = 15
OURS = {
    "n_components": N_COMPONENTS,
    "hidden_layer_sizes": (N_HIDDEN,),
    "batch_size": BATCH_SIZE,
    "autoregressive": False,
    "early_stopping": False,
    "random_state": 0,
}


class PlainVAE(nn.Module):
    """The network as most would write it."""

    def __init__(self, n_features):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_features, N_HIDDEN), nn.ReLU())
        self.mean = nn.Linear(N_HIDDEN, N_COMPONENTS)
        self.log_variance = nn.Linear(N_HIDDEN, N_COMPONENTS)
        self.decoder = nn.Sequential(
            nn.Linear(N_COMPONENTS, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, n_features)
        )

    def forward(self, x):
        """Logits, mean and log-variance."""
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        return self.decoder(z), mean, log_variance


def negative_elbo(output, x):
    """Mean over the rows of minus the ELBO, in nats."""
    logits, mean, log_variance = output
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    kl = (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 2
    return (reconstruction + kl) / len(x)


class PlainLoop:
    """Adam on dense batches of a sparse table."""

    def __init__(self, max_iter=1):
        self.max_iter = max_iter

    def fit(self, X):
        """Train for `max_iter` epochs from the start."""
        torch.manual_seed(0)
        self.network = PlainVAE(X.shape[1])
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)
        for _ in range(self.max_iter):
            self.epoch(X)
        return self

    def epoch(self, X):
        """Train for one more epoch."""
        for rows in torch.randperm(X.shape[0]).split(BATCH_SIZE):
            x = torch.tensor(X[rows.numpy()].toarray(), dtype=torch.float32)
            self.optimizer.zero_grad()
            negative_elbo(self.network(x), x).backward()
            self.optimizer.step()

    @torch.no_grad()
    def score(self, X, n_draws=16):
        """Mean ELBO of the rows."""
        total = 0.0
        for start in range(0, X.shape[0], BATCH_SIZE):
            rows = X[start : start + BATCH_SIZE]
            x = torch.tensor(rows.toarray(), dtype=torch.float32)
            losses = [negative_elbo(self.network(x), x).item() for _ in range(n_draws)]
            total -= rows.shape[0] * np.mean(losses)
        return total / X.shape[0]


class Skorch:
    """The same network trained by skorch, on a dense table."""

    def __init__(self, max_iter=1):
        from skorch import NeuralNet

        class Net(NeuralNet):
            def get_loss(self, y_pred, y_true, X=None, training=False):
                return negative_elbo(y_pred, X)

        self.net = Net(
            PlainVAE,
            criterion=nn.Module,
            optimizer=torch.optim.Adam,
            max_epochs=max_iter,
            batch_size=BATCH_SIZE,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
        )

    def fit(self, X):
        """Train from the start."""
        self.net.set_params(module__n_features=X.shape[1])
        self.net.fit(X.toarray().astype(np.float32), None)
        return self


class PyODVAE:
    """PyOD's VAE with the same layers."""

    def __init__(self, max_iter=1):
        from pyod.models.vae import VAE

        self.detector = VAE(
            epoch_num=max_iter,
            batch_size=BATCH_SIZE,
            encoder_neuron_list=[N_HIDDEN],
            decoder_neuron_list=[N_HIDDEN],
            latent_dim=N_COMPONENTS,
            dropout_rate=0.0,
            verbose=0,
        )

    def fit(self, X):
        """Train from the start; scores the training rows, too."""
        self.detector.fit(X.toarray())
        return self

    def score_samples(self, X):
        """Score of each row."""
        return self.detector.decision_function(X.toarray())


class Floor:
    """What no exact step can do without."""

    def __init__(self, max_iter=1):
        self.max_iter = max_iter

    def fit(self, X):
        """Multiply and step for `max_iter` epochs."""
        generator = torch.Generator().manual_seed(0)
        hidden = torch.randn(BATCH_SIZE, N_HIDDEN, generator=generator)
        weight = nn.Parameter(torch.randn(N_HIDDEN, X.shape[1], generator=generator))
        weight.grad = torch.empty_like(weight)
        logits = torch.empty(BATCH_SIZE, X.shape[1])
        d_logits = torch.randn(BATCH_SIZE, X.shape[1], generator=generator)
        d_hidden = torch.empty_like(hidden)
        optimizer = torch.optim.Adam([weight], fused=True)
        with torch.no_grad():
            for _ in range(self.max_iter * -(-X.shape[0] // BATCH_SIZE)):
                torch.mm(hidden, weight, out=logits)
                torch.mm(d_logits, weight.T, out=d_hidden)
                torch.mm(hidden.T, d_logits, out=weight.grad)
                optimizer.step()
        return self


def ours(n_negative_samples):
    """Our estimator, as a function of the number of epochs."""
    return lambda max_iter: VAEDensityEstimator(
        max_iter=max_iter, n_negative_samples=n_negative_samples, **OURS
    )


class Unrounded:
    """Ours with all zeros, and without rounding the factors of the decoder's product."""

    def __init__(self, max_iter=1):
        self.density = ours(None)(max_iter)

    def fit(self, X):
        """Train from the start."""
        with mock.patch.object(networks, "has_bfloat16", return_value=False):
            self.density.fit(X)
        return self

    def score(self, X):
        """Mean ELBO of the rows."""
        return self.density.score(X)


def seconds(function):
    """Seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def installed(programs):
    """Those whose library is there: (module, function of the number of epochs)."""
    missing = {module for module, _ in programs.values() if find_spec(module) is None}
    for module in sorted(missing):
        print(f"{module} is left out: it is not installed")
    return {name: make for name, (module, make) in programs.items() if module not in missing}


def epoch_seconds(programs, X, repeats, n_epochs=2):
    """Median seconds of an epoch: what a fit of more epochs takes longer than a fit of one."""
    taken = {name: [] for name in programs}
    for make in programs.values():
        make(1).fit(X[:BATCH_SIZE])  # imports and first allocations
    for _ in range(repeats):
        for name, make in programs.items():
            # Memory that nobody had for a while costs whoever takes it first, here a dense table.
            make(1).fit(X)
            one = seconds(lambda make=make: make(1).fit(X))
            more = seconds(lambda make=make: make(1 + n_epochs).fit(X))
            taken[name].append((more - one) / n_epochs)
    return {name: float(np.median(times)) for name, times in taken.items()}


def compare_epochs(X, options, threads):
    """Table of seconds of an epoch."""
    programs = installed(
        {
            "floor": ("torch", Floor),
            "skvae, all zeros": ("skvae", ours(None)),
            "skvae, all zeros, not rounded": ("skvae", Unrounded),
            "skvae, 3000 zeros": ("skvae", ours(3000)),
            "plain PyTorch": ("torch", PlainLoop),
            "skorch": ("skorch", Skorch),
            "PyOD": ("pyod", PyODVAE),
        }
    )
    found = epoch_seconds(programs, X, options.repeats)
    rows = [[name, f"{s:.3f}", f"{s / found['floor']:.2f}"] for name, s in found.items()]
    title = f"An epoch of {X.shape[0]} x {X.shape[1]}, threads: {threads}"
    print_table(title, ["program", "seconds", "times the floor"], rows)


def compare_elbo(X, options, threads):
    """Table of the seconds until the held-out ELBO of the plain loop is reached."""
    order = np.random.RandomState(0).permutation(X.shape[0])
    test, train = (X[part] for part in np.split(order, [X.shape[0] // 5]))
    plain = PlainLoop(max_iter=0).fit(train)
    plain_seconds = sum(seconds(lambda: plain.epoch(train)) for _ in range(options.epochs))
    target = plain.score(test)
    rows = [["plain PyTorch", options.epochs, f"{plain_seconds:.1f}", f"{target:.2f}", ""]]
    for name, n_zeros in (("skvae, all zeros", None), ("skvae, 3000 zeros", 3000)):
        density, taken, score = ours(n_zeros)(1), 0.0, -np.inf
        while score < target and (n_epochs := getattr(density, "n_iter_", 0)) < options.epochs:
            taken += seconds(lambda density=density: density.partial_fit(train))
            score = density.score(test)
        n_epochs = density.n_iter_
        ratio = f"{taken / plain_seconds:.3f}" if score >= target else "not reached"
        rows.append([name, n_epochs, f"{taken:.1f}", f"{score:.2f}", ratio])
    header = ["program", "epochs", "seconds", "held-out ELBO", "share of the plain loop's time"]
    print_table(f"Until the ELBO of a plain loop, threads: {threads}", header, rows)


def compare_rounding(X, options, threads):
    """Table of the held-out ELBO with factors rounded to bfloat16, and without."""
    rows = []
    for seed in range(2):
        order = np.random.RandomState(seed).permutation(X.shape[0])
        test, train = (X[part] for part in np.split(order, [X.shape[0] // 5]))
        fits = [make(options.epochs).fit(train).score(test) for make in (ours(None), Unrounded)]
        rows.append([seed, *(f"{score:.2f}" for score in fits)])
    title = f"Held-out ELBO after {options.epochs} epochs, threads: {threads}"
    print_table(title, ["split", "rounded where it is faster", "not rounded"], rows)


def in_fresh_process(task):
    """What this program prints when it is given one task: a dict."""
    command = [sys.executable, __file__, "--task", json.dumps(task)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr)
    return json.loads(result.stdout)


def compare_words(options, threads):
    """Table and figure of an epoch's time and memory over the size of the vocabulary."""
    found = []
    for n_words in options.words:
        for setting in ("auto", None, 3000):
            if setting is None and n_words > 50_000:
                continue
            task = {
                "kind": "epoch",
                "rows": options.rows,
                "words": n_words,
                "n_negative_samples": setting,
                "threads": threads,
                "repeats": options.repeats,
            }
            found.append((n_words, setting, in_fresh_process(task)))
    rows = [
        [words, "all" if setting is None else setting, f"{f['seconds']:.3f}", f"{f['peak']:.0f}"]
        for words, setting, f in found
    ]
    title = f"{options.rows} rows of {N_STORED} words, threads: {threads}"
    print_table(title, ["vocabulary", "n_negative_samples", "seconds an epoch", "peak MB"], rows)
    if options.figure:
        draw(found, options.figure)


def draw(found, file):
    """Seconds of an epoch over the size of the vocabulary."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for setting, label in ((None, "all zeros"), (3000, "3000 zeros a step")):
        points = [(words, f["seconds"]) for words, s, f in found if s == setting]
        axes.plot(*zip(*points, strict=True), marker="o", label=label)
    axes.set(
        xscale="log", yscale="log", xlabel="words in the vocabulary", ylabel="seconds an epoch"
    )
    axes.legend()
    figure.savefig(file, dpi=150)


def compare_scores(X, options, threads):
    """Table of the rows scored in a second."""
    rows = X[: min(512, X.shape[0])]
    density = ours(None)(1).fit(X)
    few_draws = copy.copy(density).set_params(n_importance_samples=2)
    programs = installed({"PyOD": ("pyod", PyODVAE)})
    pyod = {name: make(1).fit(X) for name, make in programs.items()}
    n_draws = 2 * max(8, N_COMPONENTS)
    hidden = torch.randn(64, N_HIDDEN, dtype=torch.float64)
    weight = torch.randn(N_HIDDEN, X.shape[1], dtype=torch.float64)

    def floor():
        for _ in range(n_draws * rows.shape[0] // len(hidden)):
            F.softplus(hidden @ weight).sum(1)

    calls = {
        "floor, 16 draws": floor,
        "skvae, ELBO of 16 draws": lambda: density.score_samples(rows),
        "skvae, 2 importance samples": lambda: few_draws.score_samples(rows),
    }
    calls |= {
        f"{name}, float32": lambda detector=detector: detector.score_samples(rows)
        for name, detector in pyod.items()
    }
    taken = {name: [] for name in calls}
    for _ in range(options.repeats):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    medians = {name: np.median(times) for name, times in taken.items()}
    table = [[name, f"{rows.shape[0] / s:.0f}"] for name, s in medians.items()]
    print_table(f"Rows scored, threads: {threads}", ["program", "rows a second"], table)


def scored_rows(density, rows, n_importance_samples, repeats):
    """Rows that are scored in a second."""
    density.set_params(n_importance_samples=n_importance_samples).score_samples(rows[:10])
    taken = [seconds(lambda: density.score_samples(rows)) for _ in range(repeats)]
    return rows.shape[0] / np.median(taken)


def compare_devices(X, options, threads):
    """Table of epochs and scores on the CPU and on the GPU."""
    if not torch.cuda.is_available():
        print("devices are left out: PyTorch finds no GPU")
        return
    rng = np.random.RandomState(0)
    n_rows = options.rows
    tables = {
        "words": (X, {"n_negative_samples": None}),
        "100,000 words": (make_table(n_rows, 100_000, N_STORED), {}),
        "500 real columns": (
            rng.randn(n_rows, 20) @ rng.randn(20, 500) + rng.randn(n_rows, 500),
            {},
        ),
    }
    rows = []
    for name, (table, parameters) in tables.items():
        for batch_size in (BATCH_SIZE, 8 * BATCH_SIZE):
            shared = OURS | parameters | {"batch_size": batch_size}
            programs = {
                device: lambda max_iter, shared=shared, device=device: VAEDensityEstimator(
                    **shared, max_iter=max_iter, device=device
                )
                for device in ("cpu", "cuda")
            }
            found = epoch_seconds(programs, table, options.repeats)
            density = programs["cuda"](1).fit(table)
            scores = {
                device: density.set_params(device=device).score_samples(table[:512])
                for device in programs
            }
            apart = np.abs(scores["cuda"] / scores["cpu"] - 1).max()
            for device, epoch in found.items():
                density.set_params(device=device)
                speeds = [scored_rows(density, table[:512], k, options.repeats) for k in (1, 200)]
                cells = [f"{epoch:.3f}", *(f"{speed:.0f}" for speed in speeds), f"{apart:.0e}"]
                rows.append([name, batch_size, device, *cells])
    title = f"{torch.cuda.get_device_name()} and a CPU with {threads} threads"
    header = ["table", "batch", "device", "seconds an epoch", "rows a second, ELBO"]
    header += ["rows a second, 200 importance samples", "largest relative difference of scores"]
    print_table(title, header, rows)


def compare_disk(options, threads):
    """Table of the peak memory of an epoch on blocks from files."""
    rows = []
    for n_rows in (options.disk_rows, 4 * options.disk_rows):
        with tempfile.TemporaryDirectory() as folder:
            task = {"kind": "disk", "rows": n_rows, "folder": folder, "threads": threads}
            in_fresh_process(task | {"kind": "write"})
            found = in_fresh_process(task)
        rows.append([n_rows, f"{found['peak']:.0f}", f"{found['seconds']:.0f}"])
    title = f"An epoch from files, 100,000 words, threads: {threads}"
    print_table(title, ["rows", "peak MB", "seconds"], rows)


class Files:
    """Blocks of rows from the files of a folder."""

    def __init__(self, folder):
        self.paths = sorted(Path(folder).glob("*.npz"))

    def __iter__(self):
        return map(sp.load_npz, self.paths)


def work(task):
    """Do one task in this process and print what was found."""
    torch.set_num_threads(task["threads"])
    found = {}
    if task["kind"] == "epoch":
        X = make_table(task["rows"], task["words"], N_STORED)
        make = {"skvae": ours(task["n_negative_samples"])}
        found["seconds"] = epoch_seconds(make, X, task["repeats"])["skvae"]
    elif task["kind"] == "write":
        block = min(20_000, task["rows"])
        for number in range(task["rows"] // block):
            X = make_table(block, 100_000, N_STORED, random_state=number).astype(np.int8)
            sp.save_npz(Path(task["folder"]) / f"{number:06}.npz", X, compressed=False)
    else:
        density = VAEDensityEstimator(**OURS, max_iter=1)
        found["seconds"] = seconds(lambda: density.fit(Files(task["folder"])))
    print(json.dumps(found | {"peak": peak_megabytes()}))


def load(path, n_rows):
    """Binary words of the corpus, or a made-up table of its width."""
    if path is None:
        return make_table(n_rows, 8713, N_STORED)
    messages, _ = fetch_sms_spam(path=path, return_X_y=True)
    return CountVectorizer(binary=True).fit_transform(messages).astype(np.float64)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="file of the SMS Spam Collection")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--rows", type=int, default=5574, help="rows of made-up tables")
    parser.add_argument("--words", nargs="+", type=int, default=[1000, 10_000, 100_000])
    parser.add_argument("--disk-rows", type=int, default=1_000_000)
    parser.add_argument("--figure", help="file for the figure of the vocabulary's growth")
    parts = ["epochs", "elbo", "rounding", "words", "scores", "disk", "devices"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        work(json.loads(options.task))
        return
    X = load(options.data, options.rows)
    for threads in options.threads:
        torch.set_num_threads(threads)
        if "epochs" in options.only:
            compare_epochs(X, options, threads)
        if "elbo" in options.only:
            compare_elbo(X, options, threads)
        if "rounding" in options.only:
            compare_rounding(X, options, threads)
        if "words" in options.only:
            compare_words(options, threads)
        if "scores" in options.only:
            compare_scores(X, options, threads)
        if "disk" in options.only:
            compare_disk(options, threads)
        if "devices" in options.only:
            compare_devices(X, options, threads)


if __name__ == "__main__":
    main()
