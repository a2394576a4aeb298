"""Codes in a plane."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.sparse as sp
from displays import X, Y, legend_labels
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError

from skvae import VAEOutlierDetector
from skvae.inspection import LatentSpaceDisplay


def points(ax):
    return [np.asarray(collection.get_offsets()) for collection in ax.collections]


def widest(codes):
    return sorted(np.argsort(codes.var(axis=0))[-2:].tolist())


@pytest.mark.parametrize("kind", ["density", "detector"])
def test_codes_of_largest_variance_are_drawn_by_class(kind, request):
    estimator = request.getfixturevalue(kind)
    codes = getattr(estimator, "density_", estimator).transform(X)
    first, second = widest(codes)
    display = LatentSpaceDisplay.from_estimator(estimator, X, Y)
    for drawn, label in zip(points(display.ax_), ["ham", "spam"], strict=True):
        np.testing.assert_allclose(drawn, codes[label == Y][:, [first, second]])
    assert display.points_ == list(display.ax_.collections)
    assert legend_labels(display.ax_) == ["ham", "spam"]
    assert display.ax_.get_xlabel() == f"latent dimension {first}"
    assert display.ax_.get_ylabel() == f"latent dimension {second}"


def test_chosen_components_are_drawn_in_their_order(density):
    codes = density.transform(X)
    display = LatentSpaceDisplay.from_estimator(density, X, components=(2, 0))
    (drawn,) = points(display.ax_)
    np.testing.assert_allclose(drawn, codes[:, [2, 0]])
    assert display.ax_.get_xlabel() == "latent dimension 2"
    assert display.ax_.get_ylabel() == "latent dimension 0"
    assert display.ax_.get_legend() is None


def test_any_transformer_has_a_latent_space():
    pca = PCA(4).fit(X)
    display = LatentSpaceDisplay.from_estimator(pca, X)
    np.testing.assert_allclose(points(display.ax_)[0], pca.transform(X)[:, :2])


def test_codes_may_be_lists():
    display = LatentSpaceDisplay([[0.0, 1.0], [1.0, 0.0]], ["ham", "spam"]).plot()
    assert [drawn.tolist() for drawn in points(display.ax_)] == [[[0.0, 1.0]], [[1.0, 0.0]]]


def test_sparse_codes_are_drawn():
    display = LatentSpaceDisplay(sp.csr_array([[0.0, 2.0], [1.0, 0.0]])).plot()
    assert points(display.ax_)[0].tolist() == [[0.0, 2.0], [1.0, 0.0]]


@pytest.mark.parametrize("codes", [[0.1, 0.2, 0.3], [[0.0, np.nan], [1.0, 2.0]]])
def test_codes_that_are_no_finite_table_are_refused_without_an_empty_figure(codes):
    with pytest.raises(ValueError, match="Expected 2D array|codes contains NaN"):
        LatentSpaceDisplay(codes).plot()
    assert not plt.get_fignums()


def test_codes_are_drawn_on_given_axes(density):
    figure, ax = plt.subplots()
    display = LatentSpaceDisplay.from_estimator(density, X, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


def test_latent_space_of_one_dimension_is_refused_without_an_empty_figure():
    with pytest.raises(ValueError, match="one dimension"):
        LatentSpaceDisplay(X[:, :1]).plot()
    assert plt.get_fignums() == []


@pytest.mark.parametrize("components", [(0, 7), (0,), (0, 1, 2), (-1, 0), (0, 0), 1, (1.0, 0)])
def test_components_that_are_not_two_of_the_dimensions_are_refused(components):
    with pytest.raises(ValueError, match="components must be two of the .* dimensions"):
        LatentSpaceDisplay(X).plot(components=components)
    assert plt.get_fignums() == []


def test_too_few_labels_leave_no_empty_figure():
    with pytest.raises(ValueError, match="Got 1 labels for"):
        LatentSpaceDisplay(X, ["ham"]).plot()
    assert plt.get_fignums() == []


def test_an_estimator_that_is_no_transformer_is_refused():
    with pytest.raises(TypeError, match="Expected a fitted estimator with transform"):
        LatentSpaceDisplay.from_estimator(IsolationForest().fit(X), X)


def test_latent_space_of_an_unfitted_estimator_is_refused():
    with pytest.raises(NotFittedError):
        LatentSpaceDisplay.from_estimator(VAEOutlierDetector(), X)
