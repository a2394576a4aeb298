"""Loss curves."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from displays import SMALL, X, legend_labels
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from skvae import AutoencoderTransformer, VAEDensityEstimator
from skvae.inspection import LossCurveDisplay


def lines(ax):
    return {line.get_label(): line.get_xydata() for line in ax.get_lines()}


@pytest.mark.parametrize("kind", ["density", "detector"])
def test_loss_curves_of_an_estimator_are_drawn(kind, request):
    estimator = request.getfixturevalue(kind)
    density = getattr(estimator, "density_", estimator)
    display = LossCurveDisplay.from_estimator(estimator)
    drawn = lines(display.ax_)
    assert list(drawn) == ["negative bound", "reconstruction", "KL divergence"]
    curves = [density.loss_curve_, density.reconstruction_curve_, density.kl_curve_]
    for data, curve in zip(drawn.values(), curves, strict=True):
        np.testing.assert_array_equal(data, np.column_stack([[1, 2, 3, 4], curve]))
    assert legend_labels(display.ax_) == list(drawn)
    assert display.ax_.get_xlabel() == "epoch"
    assert display.ax_.get_ylabel() == "nats per row"
    assert display.figure_ is display.ax_.figure
    assert display.lines_ == list(display.ax_.get_lines())


def test_validation_curve_is_drawn_where_there_is_one():
    density = VAEDensityEstimator(**SMALL, early_stopping=True).fit(X)
    display = LossCurveDisplay.from_estimator(density)
    np.testing.assert_array_equal(
        lines(display.ax_)["validation"][:, 1], density.validation_loss_curve_
    )
    assert legend_labels(display.ax_)[-1] == "validation"


def test_loss_curves_are_drawn_from_numbers_on_given_axes():
    figure, ax = plt.subplots()
    display = LossCurveDisplay([3.0, 2.0], [2.5, 1.4], [0.5, 0.6], np.array([4.0, 3.0])).plot(ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert len(ax.get_lines()) == 4
    assert plt.get_fignums() == [figure.number]


def test_curves_of_an_autoencoder_are_its_losses():
    transformer = AutoencoderTransformer(max_iter=3, early_stopping=True).fit(X)
    display = LossCurveDisplay.from_estimator(transformer)
    drawn = lines(display.ax_)
    assert list(drawn) == ["training", "validation"]
    np.testing.assert_array_equal(drawn["training"][:, 1], transformer.loss_curve_)
    np.testing.assert_array_equal(drawn["validation"][:, 1], transformer.validation_loss_curve_)
    assert display.ax_.get_ylabel() == "loss per row"


@pytest.mark.parametrize("estimator", [make_pipeline(VAEDensityEstimator(**SMALL)), PCA()])
def test_estimators_without_curves_are_refused(estimator):
    with pytest.raises(TypeError, match="(?s)with loss_curve_ and .*pass the last step"):
        LossCurveDisplay.from_estimator(estimator.fit(X))


def test_loss_curves_of_an_unfitted_estimator_are_refused():
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(VAEDensityEstimator())
