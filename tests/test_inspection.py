"""Displays, and the features behind a score."""

import subprocess
import sys

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from skvae import VAEDensityEstimator, VAEOutlierDetector
from skvae.inspection import (
    LatentSpaceDisplay,
    LossCurveDisplay,
    ScoreDistributionDisplay,
    top_contributions,
)

SMALL = {"n_components": 3, "hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0}
X = np.random.RandomState(0).randn(40, 5)
Y = np.repeat(["ham", "spam"], [30, 10])


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def density():
    return VAEDensityEstimator(**SMALL).fit(X)


@pytest.fixture(scope="module")
def detector():
    return VAEOutlierDetector(**SMALL).fit(X)


def legend_labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# -- top_contributions ----------------------------------------------------------------------------

DENSE = np.array([[-1.0, 2.0, -3.0, 0.0], [5.0, -0.5, 4.0, 6.0]])
NAMES = ["win", "the", "prize", "a"]


def test_lowest_contributions_come_first():
    assert top_contributions(Bunch(contributions=DENSE), n_features=2) == [
        [(2, -3.0), (0, -1.0)],
        [(1, -0.5), (2, 4.0)],
    ]


def test_features_are_named():
    assert top_contributions(Bunch(contributions=DENSE), NAMES, n_features=1) == [
        [("prize", -3.0)],
        [("the", -0.5)],
    ]


@pytest.mark.parametrize(
    "names",
    [NAMES, tuple(NAMES), np.array(NAMES), np.array(NAMES, dtype=object)],
    ids=["list", "tuple", "array of str", "array of objects"],
)
def test_names_come_in_any_kind_of_sequence(names):
    tops = top_contributions(Bunch(contributions=DENSE), names, n_features=1)
    assert tops == [[("prize", -3.0)], [("the", -0.5)]]
    assert type(tops[0][0][0]) is str


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csr_array])
def test_of_sparse_rows_only_stored_features_are_named(make):
    contributions = make(
        (np.array([1.0, -2.0, 0.0]), np.array([0, 3, 1]), np.array([0, 2, 2, 3])), shape=(3, 4)
    )
    assert top_contributions(Bunch(contributions=contributions), NAMES) == [
        [("a", -2.0), ("win", 1.0)],
        [],
        [("the", 0.0)],
    ]


def test_indices_of_sparse_rows_are_columns():
    contributions = sp.csr_matrix([[0.0, 0.0, -1.0, -2.0]])
    assert top_contributions(Bunch(contributions=contributions)) == [[(3, -2.0), (2, -1.0)]]


def test_asking_for_more_features_than_there_are_gives_all():
    tops = top_contributions(Bunch(contributions=DENSE), n_features=100)
    assert [len(row) for row in tops] == [4, 4]
    assert [value for _, value in tops[0]] == sorted(DENSE[0])


def test_default_is_five_features():
    tops = top_contributions(Bunch(contributions=np.zeros((1, 9))))
    assert tops == [[(column, 0.0) for column in range(5)]]


def test_values_and_indices_are_plain_numbers():
    ((name, value),) = top_contributions(Bunch(contributions=DENSE[:1]), n_features=1)[0]
    assert type(name) is int
    assert type(value) is float


def test_contributions_of_a_detector_are_named_by_its_vectorizer():
    messages = ["win a prize now", "see you later", "see you now"] * 5
    vectorizer = CountVectorizer(binary=True)
    words = vectorizer.fit_transform(messages)
    detector = VAEOutlierDetector(**SMALL).fit(words)
    explanation = detector.feature_contributions(words[:2])
    tops = top_contributions(explanation, vectorizer.get_feature_names_out(), n_features=3)
    assert {name for name, _ in tops[0]} == {"win", "prize", "now"}
    assert {name for name, _ in tops[1]} == {"see", "you", "later"}
    assert tops[0] == sorted(tops[0], key=lambda pair: pair[1])


def test_contributions_of_dense_rows_are_named_by_column(detector):
    explanation = detector.feature_contributions(X[:3])
    tops = top_contributions(explanation, n_features=1)
    lowest = explanation.contributions.argmin(axis=1)
    assert [row[0][0] for row in tops] == lowest.tolist()


# -- loss curves ----------------------------------------------------------------------------------


def lines(ax):
    return {line.get_label(): line.get_xydata() for line in ax.get_lines()}


@pytest.mark.parametrize("kind", ["density", "detector"])
def test_loss_curves_of_an_estimator_are_drawn(kind, request):
    estimator = request.getfixturevalue(kind)
    density = getattr(estimator, "density_", estimator)
    display = LossCurveDisplay.from_estimator(estimator)
    drawn = lines(display.ax_)
    assert list(drawn) == ["negative ELBO", "reconstruction", "KL divergence"]
    curves = [density.loss_curve_, density.reconstruction_curve_, density.kl_curve_]
    for data, curve in zip(drawn.values(), curves, strict=True):
        np.testing.assert_array_equal(data, np.column_stack([[1, 2, 3, 4], curve]))
    assert legend_labels(display.ax_) == list(drawn)
    assert display.ax_.get_xlabel() == "epoch"
    assert display.ax_.get_ylabel() == "nats per row"
    assert display.figure_ is display.ax_.figure


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


def test_loss_curves_of_an_unfitted_estimator_are_refused():
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(VAEDensityEstimator())


# -- scores ---------------------------------------------------------------------------------------


def histograms(ax):
    return [container for container in ax.containers if len(container.patches)]


def test_scores_of_an_estimator_are_drawn_by_class_with_the_threshold(detector):
    display = ScoreDistributionDisplay.from_estimator(detector, X, Y, bins=7)
    np.testing.assert_array_equal(display.scores, detector.score_samples(X))
    assert [len(histogram.patches) for histogram in histograms(display.ax_)] == [7, 7]
    (line,) = display.ax_.get_lines()
    assert line.get_xdata() == [detector.offset_] * 2
    assert sorted(legend_labels(display.ax_)) == ["ham", "spam", "threshold"]
    assert display.ax_.get_xlabel() == "score"
    assert display.ax_.get_ylabel() == "density"


def test_classes_share_their_bins():
    display = ScoreDistributionDisplay.from_predictions(np.arange(20.0), np.arange(20) < 12, bins=5)
    first, second = (
        [patch.get_x() for patch in histogram.patches] for histogram in histograms(display.ax_)
    )
    np.testing.assert_allclose(first, second)
    assert legend_labels(display.ax_) == ["False", "True"]


def test_each_histogram_has_unit_area():
    scores = np.random.RandomState(0).randn(50)
    display = ScoreDistributionDisplay.from_predictions(scores, np.arange(50) % 3)
    areas = [
        sum(patch.get_width() * patch.get_height() for patch in histogram.patches)
        for histogram in histograms(display.ax_)
    ]
    np.testing.assert_allclose(areas, [1, 1, 1])


def test_pipeline_is_scored_whole_with_the_threshold_of_its_detector():
    pipeline = make_pipeline(StandardScaler(), VAEOutlierDetector(**SMALL)).fit(X)
    display = ScoreDistributionDisplay.from_estimator(pipeline, X)
    np.testing.assert_array_equal(display.scores, pipeline.score_samples(X))
    assert display.threshold == pipeline[-1].offset_
    assert legend_labels(display.ax_) == ["threshold"]
    assert [len(histogram.patches) for histogram in histograms(display.ax_)] == [50]


def test_scores_alone_have_no_legend_and_no_threshold():
    display = ScoreDistributionDisplay.from_predictions([1.0, 2.0, 3.0])
    assert display.ax_.get_legend() is None
    assert len(display.ax_.get_lines()) == 0
    assert len(histograms(display.ax_)) == 1


def test_scores_are_drawn_on_given_axes(detector):
    figure, (left, right) = plt.subplots(1, 2)
    by_estimator = ScoreDistributionDisplay.from_estimator(detector, X, ax=left)
    by_scores = ScoreDistributionDisplay.from_predictions([1.0, 2.0], ["a", "b"], ax=right)
    assert by_estimator.ax_ is left
    assert by_scores.ax_ is right
    assert by_scores.figure_ is figure
    assert plt.get_fignums() == [figure.number]


# -- latent space ---------------------------------------------------------------------------------


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


def test_latent_space_of_an_unfitted_estimator_is_refused():
    with pytest.raises(NotFittedError):
        LatentSpaceDisplay.from_estimator(VAEOutlierDetector(), X)


# -- without matplotlib ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "display",
    [
        LossCurveDisplay([1.0], [0.5], [0.5]),
        ScoreDistributionDisplay([1.0, 2.0]),
        LatentSpaceDisplay(np.eye(2)),
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
