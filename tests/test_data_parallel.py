"""Two processes that train one model together, started by torchrun on this machine."""

import subprocess
import sys
from pathlib import Path

import data_parallel
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from data_parallel import CASES, N_FIRST, OPTIONS, arguments, in_float64, table

from skvae import VAEDensityEstimator
from skvae._torch.ranks import ALONE, Noise

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=needs_cuda)])
def found(request, tmp_path_factory):
    """Results of both ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", data_parallel.__file__, str(folder), request.param]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1], timeout=300)
    return [np.load(folder / f"{rank}.npy", allow_pickle=True).item() for rank in (0, 1)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_does(case, found):
    X = table(case)
    shards = [arguments(case, rows) for rows in (X[:N_FIRST], X[N_FIRST:])]
    stack = sp.vstack if sp.issparse(X) else np.concatenate
    if case == "blocks":
        (first, second), last = shards[0]["X"], shards[1]["X"]
        union = {"X": [stack([first, last], format="csr"), second]}
        n_start = first.shape[0]
    else:
        union = {name: stack([part[name] for part in shards]) for name in shards[0]}
        n_start = shards[0]["X"].shape[0]
    with in_float64(n_start):
        density = VAEDensityEstimator(**OPTIONS | CASES[case]).fit(**union)
    expected = data_parallel.results(density, case)
    for rank in found:
        assert rank[case].keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(rank[case][name], values, rtol=0, atol=1e-6)


def test_no_case_is_without_training(found):
    for case in CASES:
        loss = found[0][case]["loss"]
        assert len(loss) == 1 or loss[-1] < loss[0] - 0.01
    assert 3 < len(found[0]["validation"]["loss"]) < 60


def test_both_processes_have_the_same_model(found):
    for case in [*CASES, "seed of the first rank", "resumed"]:
        for name in ("scores", "loss"):
            np.testing.assert_array_equal(*[rank[case][name] for rank in found])


def test_a_resumed_training_has_all_epochs(found):
    assert len(found[0]["resumed"]["loss"]) == OPTIONS["max_iter"]


def test_all_processes_refuse_what_one_cannot_do(found):
    for rank in found:
        assert "several processes train together" in rank["errors"]["sample"]
        assert "because the parameter n_components differs: " in rank["errors"]["parameter"]
        assert "X_val" in rank["errors"]["hold out"]
        assert "because whether there is X_val differs: " in rank["errors"]["X_val"]
        assert "because the name of feature 1 differs: " in rank["errors"]["names"]
        assert "because the name of feature 0 differs: " in rank["errors"]["no names"]
        assert "not finite in epoch" in rank["errors"]["diverged"]


@pytest.mark.parametrize(
    ("wrong", "rank", "message"),
    [
        ("value", 1, "ValueError: Input X contains infinity"),
        ("parameter", 1, "InvalidParameterError: The 'alpha' parameter"),
        ("later block", 1, "ValueError: Block 1 of X, counted from 0: X has 5 features"),
        ("likelihood", 1, "ValueError: The Bernoulli likelihood takes values in [0, 1]"),
        ("X_val", 1, "ValueError: X_val: Input X contains infinity"),
        ("start", 0, "ValueError: The values of column 0 are so large"),
        ("checkpoint", 0, "FileNotFoundError: "),
        ("device", 1, "ValueError: device='"),
    ],
)
def test_what_one_process_refuses_is_an_error_in_all(wrong, rank, message, found):
    own, other = (found[place]["spoilt"][wrong] for place in (rank, 1 - rank))
    kind, _, start = message.partition(": ")
    assert own.startswith(start)
    assert other == (
        f"The processes of process_group cannot train, because rank {rank} has a {kind}: {own}"
    )


def test_a_group_trains_on_after_errors(found):
    for rank in found:
        for name, values in rank["zeros and ones"].items():
            np.testing.assert_array_equal(rank["after errors"][name], values)


@pytest.mark.parametrize("group", ["gloo", object()])
def test_what_is_no_group_of_this_process_is_refused(group):
    with pytest.raises(TypeError, match="process_group must be a group"):
        VAEDensityEstimator().fit(np.eye(4), process_group=group)


def test_noise_of_some_rows_is_that_of_all():
    like = torch.zeros(())
    whole = Noise(torch.Generator().manual_seed(0)).draw((3, 5, 2), like)
    places = torch.tensor([4, 1])
    part = Noise(torch.Generator().manual_seed(0), 5, places).draw((3, 2, 2), like)
    assert torch.equal(part, whole[:, places])


def test_alone_is_a_group_of_one():
    assert (ALONE.rank, ALONE.size) == (0, 1)
    assert ALONE.gather("x") == ["x"]
    assert ALONE.mean(2.5, 7) == 2.5
    assert ALONE.number_before(7) == 0
    assert [dealt[1:] for dealt in ALONE.deal([np.ones((3, 1)), np.ones((2, 1))])] == [
        (0, 3),
        (0, 2),
    ]
