"""Thousands of calls: memory stays flat, and scores do not drift.

``SKVAE_FUZZ=long pytest tests/test_long_runs.py`` makes the 10,000 and 100,000 calls.
"""

import copy
import ctypes
import os
import pickle
import sys

import numpy as np
import pytest

from skvae import VAEDensityEstimator, VAEOutlierDetector

LONG = os.environ.get("SKVAE_FUZZ") == "long"

TINY = {"hidden_layer_sizes": (4,), "n_components": 2, "random_state": 0}

# Kilobytes by which a process may grow for reasons of its own.
SLACK = 4096


class Allocated(ctypes.Structure):
    """The GNU C library's `struct mallinfo2`; `uordblks` are the bytes in use."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
        ]
    ] + [("keepcost", ctypes.c_size_t)]


def resident():
    """Kilobytes of memory that the process has in use."""
    if not sys.platform.startswith("linux"):
        return 0
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def grown(call, n_calls):
    """Kilobytes by which the process grows over many calls, after the first few."""
    for _ in range(100):
        call()
    before = resident()
    for _ in range(n_calls):
        call()
    return resident() - before


def test_partial_fit_again_and_again(real_rows):
    X, X_new = real_rows[:32], real_rows[100:]
    density = VAEDensityEstimator(learning_rate_init=1e-3, **TINY)
    n_calls = 10_000 if LONG else 200
    curve = []

    def call():
        density.partial_fit(X)
        if density.n_iter_ % (n_calls // 10) == 0:
            curve.append(density.score(X_new))

    # A chunk's three losses, each in the history and on a curve, take 0.3 kB.
    assert grown(call, n_calls) < SLACK + 0.4 * n_calls
    assert density.n_iter_ == len(density.loss_curve_) == n_calls + 100
    assert np.isfinite(curve).all()
    assert curve[-1] > curve[0]
    if LONG:  # It has learned what there is to learn: the scores of new rows stay where they are.
        assert np.ptp(curve[len(curve) // 2 :]) < 1


def test_copying_a_model_does_not_walk_through_its_history(real_rows):
    """Each chunk needs a copy, in case that it fails."""
    density = VAEDensityEstimator(**TINY)
    n_events = []
    for _ in range(3):
        for _ in range(10):
            density.partial_fit(real_rows[:5])
        events = []
        sys.setprofile(lambda *event, events=events: events.append(None))
        try:
            copy.deepcopy(density._model)
        finally:
            sys.setprofile(None)
        n_events.append(len(events))
    assert n_events[0] == n_events[1] == n_events[2]


def test_a_copy_of_a_model_gives_its_memory_back(real_rows):
    """PyTorch does not, of a generator that is copied; what is resident shows it only later."""
    allocated = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if allocated is None:
        pytest.skip("the C library does not say what is allocated")
    allocated.restype = Allocated
    model = VAEDensityEstimator(**TINY).partial_fit(real_rows)._model
    for n_copies in (50, 200):
        before = allocated().uordblks
        for _ in range(n_copies):
            copy.deepcopy(model)
            pickle.loads(pickle.dumps(model))
    assert allocated().uordblks - before < 200 * 1000


@pytest.mark.parametrize("method", ["predict", "feature_contributions"])
def test_small_calls_again_and_again(method, real_rows):
    detector = VAEOutlierDetector(max_iter=3, **TINY).fit(real_rows)
    call = getattr(detector, method)
    scores = detector.score_samples(real_rows)
    n_calls = 100_000 if LONG and method == "predict" else 300
    assert grown(lambda: call(real_rows[:2]), n_calls) < SLACK
    np.testing.assert_array_equal(detector.score_samples(real_rows), scores)
