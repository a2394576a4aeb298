"""Fixtures of the tests of the displays."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
from displays import SMALL, X

from skvae import VAEDensityEstimator, VAEOutlierDetector


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def density():
    return VAEDensityEstimator(**SMALL, early_stopping=False).fit(X)


@pytest.fixture(scope="module")
def detector():
    return VAEOutlierDetector(**SMALL).fit(X)
