"""Rows beside their reconstructions."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from displays import SMALL, X, legend_labels
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AutoencoderTransformer, VAEDensityEstimator, VAEOutlierDetector
from skvae.inspection import ReconstructionDisplay


def drawn_images(display):
    return np.array([[image.get_array() for image in line] for line in display.images_])


def drawn_stairs(display):
    return np.array([[stairs.get_data().values for stairs in line] for line in display.stairs_])


@pytest.fixture(scope="module")
def autoencoder():
    return AutoencoderTransformer(**SMALL).fit(X)


@pytest.mark.parametrize("kind", ["autoencoder", "density", "detector"])
def test_rows_are_drawn_with_what_the_model_makes_of_them(kind, request):
    estimator = request.getfixturevalue(kind)
    model = getattr(estimator, "density_", estimator)
    display = ReconstructionDisplay.from_estimator(estimator, X, n_rows=3)
    expected = [X[:3], model.inverse_transform(model.transform(X[:3]))]
    np.testing.assert_allclose(drawn_stairs(display), expected)
    assert display.axes_.shape == (3,)
    assert display.images_ is None
    for row, ax in enumerate(display.axes_):
        assert list(ax.patches) == list(display.stairs_[:, row])
        np.testing.assert_array_equal(
            display.stairs_[0, row].get_data().edges, [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
        )
    assert legend_labels(display.axes_[0]) == ["given", "reconstructed"]
    assert display.axes_[-1].get_xlabel() == "feature"
    assert display.figure_ is display.axes_[0].figure


def test_images_are_drawn_above_their_reconstructions(autoencoder):
    wide = np.hstack([X, X[:, :1]])
    pca = PCA(2).fit(wide)
    display = ReconstructionDisplay.from_estimator(pca, wide, image_shape=(2, 3), n_rows=4)
    back = pca.inverse_transform(pca.transform(wide))
    np.testing.assert_allclose(drawn_images(display)[0], wide[:4].reshape(4, 2, 3))
    np.testing.assert_allclose(drawn_images(display)[1], back[:4].reshape(4, 2, 3))
    assert display.axes_.shape == (2, 4)
    assert display.stairs_ is None
    for ax, image in zip(display.axes_.flat, display.images_.flat, strict=True):
        assert list(ax.images) == [image]
    assert [ax.get_ylabel() for ax in display.axes_[:, 0]] == ["given", "reconstructed"]
    display.figure_.canvas.draw()
    for above, below in display.axes_.T:
        assert above.get_position().y0 > below.get_position().y1
        assert above.get_position().x0 == pytest.approx(below.get_position().x0)


def test_images_share_one_scale():
    display = ReconstructionDisplay([[0.0, 4.0], [1.0, np.nan]], [[-2.0, 1.0], [1.0, 1.0]])
    display.plot(image_shape=(1, 2))
    assert {image.get_clim() for image in display.images_.flat} == {(-2.0, 4.0)}


def test_default_is_ten_rows(density):
    assert ReconstructionDisplay.from_estimator(density, X).axes_.shape == (10,)
    assert ReconstructionDisplay.from_estimator(density, X, n_rows=12).axes_.shape == (12,)
    assert ReconstructionDisplay.from_predictions(X, X).axes_.shape == (10,)
    assert ReconstructionDisplay.from_predictions(X[:4], X[:4]).axes_.shape == (4,)
    assert ReconstructionDisplay.from_predictions(X, X, n_rows=12).axes_.shape == (12,)
    images = ReconstructionDisplay.from_predictions(X, X, image_shape=(1, 5))
    assert images.axes_.shape == (2, 10)


@pytest.mark.parametrize(
    "make", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array, sp.coo_array]
)
def test_sparse_rows_are_made_dense_where_they_are_shown(make):
    class Spy(PCA):
        def transform(self, X):
            self.seen = X
            return super().transform(X.toarray())

    rows = sp.random(40, 6, 0.4, format="csr", random_state=0)
    spy = Spy(2).fit(rows.toarray())
    display = ReconstructionDisplay.from_estimator(spy, make(rows), n_rows=2)
    assert sp.issparse(spy.seen)
    assert spy.seen.shape == (2, 6)
    np.testing.assert_array_equal(drawn_stairs(display)[0], rows[:2].toarray())


def test_sparse_rows_of_a_detector_are_reconstructed():
    rows = sp.random(40, 6, 0.4, format="csr", random_state=0)
    detector = VAEOutlierDetector(**SMALL).fit(rows)
    density = detector.density_
    display = ReconstructionDisplay.from_estimator(detector, rows, n_rows=3)
    back = density.inverse_transform(density.transform(rows[:3]))
    np.testing.assert_allclose(drawn_stairs(display), [rows[:3].toarray(), back])
    again = ReconstructionDisplay.from_predictions(rows, sp.csr_matrix(back[np.arange(40) % 3]))
    np.testing.assert_allclose(drawn_stairs(again)[1], back[np.arange(10) % 3])


def test_pipeline_gives_rows_back_in_their_own_units():
    frame = pd.DataFrame(X * 1000 + 5000, columns=list("abcde"))
    density = VAEDensityEstimator(**SMALL)
    pipeline = make_pipeline(StandardScaler(), density).set_output(transform="pandas").fit(frame)
    display = ReconstructionDisplay.from_estimator(pipeline, frame, n_rows=2)
    given, back = drawn_stairs(display)
    np.testing.assert_array_equal(given, frame[:2])
    codes = pipeline.transform(frame[:2])
    np.testing.assert_allclose(back, pipeline.inverse_transform(codes))
    assert np.abs(back - 5000).max() < 5000


def test_missing_values_are_left_out_and_what_the_model_has_for_them_is_drawn():
    rows = X.copy()
    rows[0, 2] = np.nan
    density = VAEDensityEstimator(**SMALL).fit(rows)
    display = ReconstructionDisplay.from_estimator(density, rows, n_rows=1)
    given, back = drawn_stairs(display)[:, 0]
    np.testing.assert_array_equal(np.isnan(given), [False, False, True, False, False])
    assert np.isfinite(back).all()
    display.figure_.canvas.draw()


def test_one_row_of_one_feature_is_drawn():
    display = ReconstructionDisplay.from_predictions([[2.0]], [[1.5]])
    assert drawn_stairs(display).tolist() == [[[2.0]], [[1.5]]]
    images = ReconstructionDisplay.from_predictions([[2.0]], [[2.0]], image_shape=(1, 1))
    images.figure_.canvas.draw()
    assert drawn_images(images).tolist() == [[[[2.0]]], [[[2.0]]]]


@pytest.mark.parametrize("image_shape", [None, (1, 5)])
def test_reconstructions_are_drawn_in_a_given_figure(image_shape, density):
    figure = plt.figure(layout="constrained")
    left, right = figure.subfigures(1, 2)
    for part in (left, right):
        display = ReconstructionDisplay.from_estimator(
            density, X, image_shape=image_shape, n_rows=2, figure=part
        )
        assert display.figure_ is part
        assert list(display.axes_.flat) == part.axes
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize(
    "image_shape", [(2, 3), (5,), 5, (1, 5, 1), (0, 5), "15", (-1, -5), (1.0, 5.0)]
)
def test_images_of_another_size_are_refused_without_an_empty_figure(image_shape):
    with pytest.raises(ValueError, match="not the height and width of an image of 5 pixels"):
        ReconstructionDisplay.from_predictions(X, X, image_shape=image_shape)
    assert plt.get_fignums() == []


def test_as_many_reconstructions_as_rows_and_features_are_needed():
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[40, 39\]"):
        ReconstructionDisplay.from_predictions(X, X[1:])
    with pytest.raises(ValueError, match="X has 5 features, but its reconstructions have 4"):
        ReconstructionDisplay.from_predictions(X, X[:, 1:])
    assert plt.get_fignums() == []


@pytest.mark.parametrize("n_rows", [0, -1, 2.5])
def test_no_less_than_one_row_can_be_shown(n_rows, density):
    with pytest.raises(ValueError, match="n_rows must be an integer of at least 1"):
        ReconstructionDisplay.from_estimator(density, X, n_rows=n_rows)
    with pytest.raises(ValueError, match="n_rows must be an integer of at least 1"):
        ReconstructionDisplay.from_predictions(X, X, n_rows=n_rows)


@pytest.mark.parametrize(
    "estimator",
    [IsolationForest(), make_pipeline(StandardScaler(), IsolationForest()), LocalOutlierFactor()],
    ids=["detector", "pipeline", "neighbours"],
)
def test_what_cannot_reconstruct_is_refused(estimator):
    with pytest.raises(TypeError, match="transform and inverse_transform"):
        ReconstructionDisplay.from_estimator(estimator.fit(X), X)


def test_reconstructions_by_an_unfitted_estimator_are_refused():
    with pytest.raises(NotFittedError):
        ReconstructionDisplay.from_estimator(AutoencoderTransformer(), X)
