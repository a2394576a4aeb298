"""Displays where matplotlib is not installed."""

import subprocess
import sys

import numpy as np
import pytest

from skvae.inspection import (
    ContributionsDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ReconstructionDisplay,
    ScoreDistributionDisplay,
    ThresholdCurveDisplay,
)


@pytest.mark.parametrize(
    "display",
    [
        LossCurveDisplay([1.0], [0.5], [0.5]),
        ScoreDistributionDisplay([1.0, 2.0]),
        LatentSpaceDisplay(np.eye(2)),
        ThresholdCurveDisplay([1.0, np.inf], [1.0, 0.5], [0.0, 1.0], [0.0, 0.7]),
        ReconstructionDisplay(np.eye(2), np.eye(2)),
        ContributionsDisplay([-1.0], ["a"]),
        ContributionsDisplay([], [], words=[("win", -1.0)]),
    ],
    ids=lambda display: type(display).__name__,
)
def test_missing_matplotlib_error_names_the_extra(monkeypatch, display):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'skvae\[plot\]'"):
        display.plot()


def test_import_needs_no_matplotlib():
    code = (
        "import sys\n"
        "sys.modules['matplotlib'] = sys.modules['matplotlib.pyplot'] = None\n"
        "import skvae.inspection\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
