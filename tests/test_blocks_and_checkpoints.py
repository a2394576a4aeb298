"""Training on more than fits in memory, and after a kill."""

import copy
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skvae import VAEDensityEstimator, VAEImputer, VAEOutlierDetector
from skvae._torch.loop import train_epoch

OPTIONS = {
    "n_components": 2,
    "hidden_layer_sizes": (8,),
    "max_iter": 6,
    "batch_size": 20,
    "random_state": 0,
}


def made_up_rows(n_rows=240, n_features=12):
    rng = np.random.RandomState(0)
    topic = rng.uniform(size=(n_rows, 1)) < 0.5
    rates = np.linspace(0.1, 0.8, n_features)
    return sp.csr_matrix(
        rng.uniform(size=(n_rows, n_features)) < np.where(topic, rates, rates[::-1])
    )


class Folder:
    """Blocks of rows in files, and a record of how often they were read."""

    def __init__(self, folder, X, n_rows):
        self.files = []
        self.n_read = 0
        for start in range(0, X.shape[0], n_rows):
            self.files.append(folder / f"{start}.npz")
            sp.save_npz(self.files[-1], X[start : start + n_rows])

    def __iter__(self):
        for file in self.files:
            self.n_read += 1
            yield sp.load_npz(file)


class ReadOnce:
    """Looks as if it could be read again, and cannot."""

    def __init__(self, blocks):
        self.blocks = iter(blocks)

    def __iter__(self):
        return self.blocks


def weights(density):
    return list(density._model.network.state_dict().values())


def assert_same_fit(a, b):
    assert all(bool((x == y).all()) for x, y in zip(weights(a), weights(b), strict=True))
    assert a.loss_curve_ == b.loss_curve_
    assert a.validation_loss_curve_ == b.validation_loss_curve_


def test_one_block_is_the_table():
    X = made_up_rows()
    options = OPTIONS | {"early_stopping": False}
    whole, block = (VAEDensityEstimator(**options).fit(rows) for rows in (X, [X]))
    assert_same_fit(whole, block)


def test_blocks_are_read_anew_each_epoch(tmp_path):
    X = made_up_rows()
    blocks = Folder(tmp_path, X, 100)
    density = VAEDensityEstimator(**OPTIONS | {"max_iter": 40}).fit(blocks)
    # Three blocks in each epoch and when they are checked; the first to begin with, too.
    assert 3 * 41 <= blocks.n_read <= 3 * 41 + 2
    assert density.n_iter_ == 40
    assert density.validation_loss_curve_ == []
    assert sp.issparse(density.sample(3, random_state=0))
    whole = VAEDensityEstimator(**OPTIONS | {"max_iter": 40, "early_stopping": False}).fit(X)
    untrained = VAEDensityEstimator(**OPTIONS | {"max_iter": 1, "early_stopping": False}).fit(X)
    assert density.score(X) == pytest.approx(whole.score(X), abs=0.1)
    assert whole.score(X) > untrained.score(X) + 0.3


def test_every_row_of_every_block_is_trained_on():
    seen = []
    parameter = torch.nn.Parameter(torch.zeros(()))

    def losses(rows, *_):
        seen.append(rows)
        return (parameter * torch.ones(len(rows)),)

    optimizer = torch.optim.SGD([parameter], lr=0.1)
    tables = [np.arange(7.0)[:, None], np.arange(7.0, 12.0)[:, None]]
    (mean,) = train_epoch(losses, tables, optimizer, torch.Generator().manual_seed(0), 4)
    np.testing.assert_array_equal(np.sort(np.concatenate(seen), axis=0), np.arange(12.0)[:, None])
    # Steps of 4, 3, 4 and 1 rows, each with the weight after those before it.
    assert mean == pytest.approx(-(0.1 * 3 + 0.2 * 4 + 0.3 * 1) / 12)


def test_blocks_take_validation_rows():
    X = made_up_rows()
    density = VAEDensityEstimator(**OPTIONS).fit([X[:100], X[100:200]], X_val=X[200:])
    assert len(density.validation_loss_curve_) == 6


@pytest.mark.parametrize(
    ("blocks", "error", "match"),
    [
        ((block for block in [made_up_rows()]), TypeError, "__iter__ begins anew"),
        (iter([made_up_rows()]), TypeError, "__iter__ begins anew"),
        ([made_up_rows(), 3 * made_up_rows()], ValueError, "has 3. Binarise"),
        ([made_up_rows(), made_up_rows().toarray()], ValueError, "sparse and dense"),
        ([made_up_rows(), made_up_rows(n_features=5)], ValueError, "5 features"),
        (ReadOnce([made_up_rows()]), ValueError, "no block when it was iterated over again"),
    ],
)
def test_refuses_blocks_before_it_trains(blocks, error, match):
    density = VAEDensityEstimator(**OPTIONS)
    with pytest.raises(error, match=match):
        density.fit(blocks)
    assert not hasattr(density, "n_iter_")


@pytest.mark.parametrize("as_blocks", [list, iter, ReadOnce])
def test_only_the_fit_of_a_density_takes_blocks(as_blocks):
    X = made_up_rows()
    density = VAEDensityEstimator(**OPTIONS).fit(X)
    methods = [density.partial_fit, density.score_samples]
    methods += [estimator.fit for estimator in (VAEOutlierDetector(), VAEImputer())]
    for method in methods:
        with pytest.raises(TypeError, match="several tables.*Stack them"):
            method(as_blocks([X, X]))


def test_errors_of_validation_rows_say_so(binary_rows):
    wrong = {"column 0 has 2": 2 * binary_rows, "2 features": binary_rows[:, :2]}
    wrong |= {"missing values": np.where(binary_rows == 1, np.nan, 0), "0 sample": binary_rows[:0]}
    for message, X_val in wrong.items():
        with pytest.raises(ValueError, match=f"^X_val: .*{message}"):
            VAEDensityEstimator(max_iter=1).fit(binary_rows, X_val=X_val)


def test_errors_of_the_first_block_say_so(binary_rows):
    infinite = binary_rows + np.inf
    for block, error in ((infinite, ValueError), ([binary_rows], TypeError)):
        with pytest.raises(error, match="^Block 0 of X, counted from 0: "):
            VAEDensityEstimator(max_iter=1).fit(ReadOnce([block, binary_rows]))
    with pytest.raises(TypeError, match="^X_val: These are several tables"):
        VAEDensityEstimator(max_iter=1).fit(binary_rows, X_val=[binary_rows, binary_rows])


def test_refuses_no_block(tmp_path):
    with pytest.raises(ValueError, match="without a single block"):
        VAEDensityEstimator().fit(Folder(tmp_path, made_up_rows()[:0], 10))


@pytest.mark.parametrize("early_stopping", [True, np.True_])
def test_refuses_to_hold_rows_out_of_blocks(early_stopping):
    with pytest.raises(ValueError, match="X_val"):
        VAEDensityEstimator(early_stopping=early_stopping).fit([made_up_rows()])


class Interrupt:
    """Blocks that end the process in the midst of an epoch, as a kill does."""

    def __init__(self, X, epoch):
        self.X, self.epoch, self.n_read = X, epoch, 0

    def __iter__(self):
        self.n_read += 1
        yield self.X[:100]
        if self.n_read > self.epoch + 1:
            raise SystemExit
        yield self.X[100:]


def interrupted_fit(checkpoint, monkeypatch, density=None, rows=None, **parameters):
    """Fit that ends the process in its fourth epoch, as a kill does."""
    density = density or VAEDensityEstimator(**OPTIONS | parameters)
    calls = []

    def end(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise SystemExit
        return train_epoch(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("skvae._torch.loop.train_epoch", end)
        with pytest.raises(SystemExit):
            density.fit(**rows or {"X": made_up_rows()}, checkpoint=checkpoint)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"solver": "sgd"},
        {"n_negative_samples": 3},
        {"autoregressive": False},
        {"n_training_draws": 2},
        {"likelihood": "gaussian"},
        {"random_state": None},
    ],
)
def test_a_fit_goes_on_from_its_checkpoint_to_the_bit(parameters, tmp_path, monkeypatch):
    X = made_up_rows()
    options = OPTIONS | parameters
    checkpoint = tmp_path / "training"
    killed = VAEDensityEstimator(**options)
    interrupted_fit(checkpoint, monkeypatch, killed)
    assert not hasattr(killed, "n_iter_")
    again = VAEDensityEstimator(**options).fit(X, checkpoint=checkpoint)
    assert again.n_iter_ == 6
    assert again.validation_loss_curve_
    assert list(tmp_path.iterdir()) == []
    if options["random_state"] is not None:
        assert_same_fit(again, VAEDensityEstimator(**options).fit(X))


def test_blocks_go_on_from_their_checkpoint(tmp_path):
    X = made_up_rows()
    checkpoint = tmp_path / "training"
    with pytest.raises(SystemExit):
        VAEDensityEstimator(**OPTIONS).fit(Interrupt(X, 4), checkpoint=checkpoint)
    assert checkpoint.exists()
    again = VAEDensityEstimator(**OPTIONS).fit([X[:100], X[100:]], checkpoint=str(checkpoint))
    assert_same_fit(again, VAEDensityEstimator(**OPTIONS).fit([X[:100], X[100:]]))


KILLED = """
import os, signal, sys
import scipy.sparse as sp
from skvae import VAEDensityEstimator, VAEImputer, VAEOutlierDetector
from skvae._torch import checkpoint
from tests.test_blocks_and_checkpoints import OPTIONS, made_up_rows
save = checkpoint.Checkpoint.save
def save_and_die(self, state):
    save(self, state)
    if len(state["history"]["terms"]) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.Checkpoint.save = save_and_die
VAEDensityEstimator(**OPTIONS).fit(made_up_rows(), checkpoint=sys.argv[1])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_a_killed_process_goes_on(tmp_path):
    checkpoint = tmp_path / "training"
    root = str(Path(__file__).parent.parent)
    result = subprocess.run(
        [sys.executable, "-c", KILLED, checkpoint],
        cwd=root,
        env=os.environ | {"PYTHONPATH": root},
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    X = made_up_rows()
    again = VAEDensityEstimator(**OPTIONS).fit(X, checkpoint=checkpoint)
    assert_same_fit(again, VAEDensityEstimator(**OPTIONS).fit(X))


def test_columns_chosen_by_a_function_are_no_other_training(tmp_path, monkeypatch):
    # Each process has functions of its own.
    checkpoint = tmp_path / "training"
    interrupted_fit(checkpoint, monkeypatch, likelihood={"bernoulli": lambda X: [0, 1]})
    again, straight = (
        VAEDensityEstimator(**OPTIONS, likelihood={"bernoulli": lambda X: [0, 1]}) for _ in range(2)
    )
    again.fit(made_up_rows(), checkpoint=checkpoint)
    assert_same_fit(again, straight.fit(made_up_rows()))


def test_more_epochs_may_be_asked_for(tmp_path, monkeypatch):
    checkpoint = tmp_path / "training"
    interrupted_fit(checkpoint, monkeypatch, max_iter=4)
    longer = VAEDensityEstimator(**OPTIONS | {"max_iter": 9}).fit(
        made_up_rows(), checkpoint=checkpoint
    )
    straight = VAEDensityEstimator(**OPTIONS | {"max_iter": 9}).fit(made_up_rows())
    assert_same_fit(longer, straight)


@pytest.mark.parametrize(
    ("parameters", "X", "match"),
    [
        ({"alpha": 0.5}, made_up_rows(), "one: alpha was 0.001 and is 0.5"),
        ({"random_state": 1}, made_up_rows(), "random_state was 0 and is 1"),
        ({}, made_up_rows()[:200], "shape was"),
        ({}, made_up_rows()[:, ::-1][:, :12].multiply(0.5).tocsr(), "sum was"),
    ],
)
def test_refuses_the_checkpoint_of_another_training(parameters, X, match, tmp_path, monkeypatch):
    checkpoint = tmp_path / "training"
    interrupted_fit(checkpoint, monkeypatch)
    before = checkpoint.read_bytes()
    with pytest.raises(ValueError, match=match):
        VAEDensityEstimator(**OPTIONS | parameters).fit(X, checkpoint=checkpoint)
    assert checkpoint.read_bytes() == before


def test_numbers_of_numpy_are_the_same_parameters(tmp_path, monkeypatch):
    checkpoint = tmp_path / "training"
    interrupted_fit(checkpoint, monkeypatch)
    parameters = {"alpha": np.float64(0.001), "batch_size": np.int64(20)}
    resumed = VAEDensityEstimator(**OPTIONS | parameters).fit(made_up_rows(), checkpoint=checkpoint)
    assert_same_fit(resumed, VAEDensityEstimator(**OPTIONS).fit(made_up_rows()))


def test_fewer_epochs_than_were_saved_are_refused(tmp_path, monkeypatch):
    checkpoint = tmp_path / "training"
    interrupted_fit(checkpoint, monkeypatch)
    with pytest.raises(ValueError, match=r"of 3 epochs, but max_iter=1\. Raise it"):
        VAEDensityEstimator(**OPTIONS | {"max_iter": 1}).fit(made_up_rows(), checkpoint=checkpoint)
    assert checkpoint.exists()


def test_refuses_the_checkpoint_of_a_training_from_other_weights(tmp_path, monkeypatch):
    X, options = made_up_rows(), OPTIONS | {"warm_start": True}
    fresh, warm = VAEDensityEstimator(**options), VAEDensityEstimator(**options).fit(X)
    warmer = copy.deepcopy(warm).fit(X)
    interrupted_fit(tmp_path / "fresh", monkeypatch, fresh)
    interrupted_fit(tmp_path / "warm", monkeypatch, warm)
    for checkpoint, density in [("fresh", warm), ("warm", fresh), ("warm", warmer)]:
        with pytest.raises(ValueError, match="another one: the fit before was"):
            density.fit(X, checkpoint=tmp_path / checkpoint)
    assert_same_fit(warm.fit(X, checkpoint=tmp_path / "warm"), warmer)


def test_a_checkpoint_may_be_a_link(tmp_path, monkeypatch):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    interrupted_fit(link, monkeypatch)
    assert target.is_file()
    VAEDensityEstimator(**OPTIONS).fit(made_up_rows(), checkpoint=link)
    assert not target.exists()


def test_a_checkpoint_without_a_folder_is_refused_before_the_training(tmp_path, monkeypatch):
    monkeypatch.delattr("skvae._torch.loop.train_epoch")
    with pytest.raises(FileNotFoundError, match=r"checkpoint='.*nowhere.*' .* no such folder"):
        VAEDensityEstimator(**OPTIONS).fit(made_up_rows(), checkpoint=tmp_path / "nowhere" / "a")


def test_refuses_the_checkpoint_of_other_validation_rows(tmp_path, monkeypatch):
    checkpoint = tmp_path / "training"
    interrupted_fit(checkpoint, monkeypatch)
    with pytest.raises(ValueError, match="X_val was None and is"):
        VAEDensityEstimator(**OPTIONS).fit(
            made_up_rows(), X_val=made_up_rows()[:20], checkpoint=checkpoint
        )


def saved_by_torch(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a checkpoint",
        b"PK\x03\x04 neither",
        saved_by_torch([1]),
        saved_by_torch({"task": 3, "training": {}}),
        saved_by_torch({"task": {}, "training": {"network": {}}}),
    ],
)
def test_refuses_a_file_that_is_no_checkpoint(content, tmp_path):
    checkpoint = tmp_path / "training"
    checkpoint.write_bytes(content)
    with pytest.raises(ValueError, match="to be a training's state"):
        VAEDensityEstimator(**OPTIONS).fit(made_up_rows(), checkpoint=checkpoint)
    assert checkpoint.read_bytes() == content


def test_refuses_what_is_left_of_a_damaged_checkpoint(tmp_path, monkeypatch):
    checkpoint = tmp_path / "training"
    interrupted_fit(checkpoint, monkeypatch)
    content = checkpoint.read_bytes()
    # Older loaders take such bytes for a pickle of their own kind.
    for start in range(0, 200, 7):
        checkpoint.write_bytes(b"\x80\x02" + content[start:][:300])
        with pytest.raises(ValueError, match="to be a training's state"):
            VAEDensityEstimator(**OPTIONS).fit(made_up_rows(), checkpoint=checkpoint)


def test_an_interrupted_fit_keeps_its_checkpoint(tmp_path, monkeypatch):
    checkpoint = tmp_path / "training"
    calls = []

    def interrupt(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    X = made_up_rows()
    with monkeypatch.context() as patch:
        patch.setattr("skvae._torch.loop.train_epoch", interrupt)
        with pytest.warns(UserWarning, match="interrupted in epoch 3"):
            early = VAEDensityEstimator(**OPTIONS).fit(X, checkpoint=checkpoint)
    assert early.n_iter_ == 2
    again = VAEDensityEstimator(**OPTIONS).fit(X, checkpoint=checkpoint)
    assert_same_fit(again, VAEDensityEstimator(**OPTIONS).fit(X))


def test_epochs_without_improvement_before_a_kill_count(tmp_path, monkeypatch):
    options = {"tol": 1e3, "n_iter_no_change": 3, "early_stopping": False}
    interrupted_fit(tmp_path / "training", monkeypatch, **options)
    density = VAEDensityEstimator(**OPTIONS, **options)
    density.fit(made_up_rows(), checkpoint=tmp_path / "training")
    assert density.n_iter_ == VAEDensityEstimator(**OPTIONS, **options).fit(made_up_rows()).n_iter_


@pytest.mark.parametrize("kind", ["binary", "real", "with gaps"])
def test_the_best_weights_may_be_from_before_a_kill(kind, tmp_path, monkeypatch):
    rng = np.random.RandomState(0)
    if kind == "binary":
        # The better the rows are known, the worse these are.
        halves = (np.arange(12) < 6) == (rng.uniform(size=(240, 1)) < 0.5)
        X = (halves ^ (rng.uniform(size=halves.shape) < 0.1)).astype(float)
        X_val = np.tile([[1.0, 0.0] * 6, [0.0, 1.0] * 6], (20, 1))
    else:
        # The start is nearly exact, and long steps lead away from it.
        X = rng.normal(size=(280, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(280, 6))
        X, X_val = X[:240], X[240:]
        if kind == "with gaps":
            X[::3, 1] = np.nan
    options = OPTIONS | {"learning_rate_init": 0.05}
    rows = {"X": X, "X_val": X_val}
    interrupted_fit(tmp_path / "training", monkeypatch, VAEDensityEstimator(**options), rows)
    again = VAEDensityEstimator(**options).fit(**rows, checkpoint=tmp_path / "training")
    straight = VAEDensityEstimator(**options).fit(**rows)
    if kind == "binary":
        assert np.argmin(straight.validation_loss_curve_) < 3
    assert_same_fit(again, straight)


def test_a_checkpoint_is_gone_on_from_in_inference_mode(tmp_path, monkeypatch):
    interrupted_fit(tmp_path / "training", monkeypatch)
    with torch.inference_mode():
        again = VAEDensityEstimator(**OPTIONS).fit(made_up_rows(), checkpoint=tmp_path / "training")
    assert_same_fit(again, VAEDensityEstimator(**OPTIONS).fit(made_up_rows()))


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(IsADirectoryError, match="checkpoint=.* is a folder"):
        VAEDensityEstimator(**OPTIONS).fit(made_up_rows(), checkpoint=tmp_path)


class Changing:
    """Blocks of which one is another in the third pass."""

    def __init__(self, change):
        self.change, self.n_passes = change, 0

    def __iter__(self):
        self.n_passes += 1
        X = made_up_rows()
        return iter([X, self.change(X) if self.n_passes == 3 else X])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda X: 2 * X, "Block 1 of X.*has 2"),
        (lambda X: X.toarray(), "Block 1 of X.*sparse and dense"),
        (lambda X: X[:, :5], "Block 1 of X.*5 features"),
    ],
)
def test_every_pass_over_blocks_is_checked(change, match):
    with pytest.raises(ValueError, match=match):
        VAEDensityEstimator(**OPTIONS, n_negative_samples=3).fit(Changing(change))
