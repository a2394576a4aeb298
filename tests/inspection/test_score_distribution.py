"""Histograms of scores."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from displays import SMALL, X, Y, legend_labels
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAEOutlierDetector
from skvae.inspection import ScoreDistributionDisplay


def histograms(ax):
    return [container for container in ax.containers if len(container.patches)]


def test_scores_of_an_estimator_are_drawn_by_class_with_the_threshold(detector):
    display = ScoreDistributionDisplay.from_estimator(detector, X, Y, bins=7)
    np.testing.assert_array_equal(display.scores, detector.score_samples(X))
    assert [len(histogram.patches) for histogram in histograms(display.ax_)] == [7, 7]
    (line,) = display.ax_.get_lines()
    assert line.get_xdata() == [detector.offset_] * 2
    assert display.threshold_line_ is line
    assert display.bars_ == histograms(display.ax_)
    assert sorted(legend_labels(display.ax_)) == ["ham", "spam", "threshold"]
    assert display.ax_.get_xlabel() == "score"
    assert display.ax_.get_ylabel() == "density"


def test_classes_share_their_bins():
    display = ScoreDistributionDisplay.from_predictions(
        np.arange(20.0), y=np.arange(20) < 12, bins=5
    )
    first, second = (
        [patch.get_x() for patch in histogram.patches] for histogram in histograms(display.ax_)
    )
    np.testing.assert_allclose(first, second)
    assert legend_labels(display.ax_) == ["False", "True"]


def test_each_histogram_has_unit_area():
    scores = np.random.RandomState(0).randn(50)
    display = ScoreDistributionDisplay.from_predictions(scores, y=np.arange(50) % 3)
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


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 0, np.nan], "contains NaN"),
        (["a", "b", None], "a label is missing"),
        ([0, 1], "Got 2 labels for 3 samples"),
        (np.zeros((3, 2)), "1d array"),
    ],
)
def test_labels_that_are_not_one_a_row_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        ScoreDistributionDisplay.from_predictions([1.0, 2.0, 3.0], y=y)
    assert plt.get_fignums() == []


def test_scores_that_are_not_finite_are_refused_without_an_empty_figure():
    with pytest.raises(ValueError, match="scores contains NaN"):
        ScoreDistributionDisplay.from_predictions([1.0, np.nan, 3.0])
    assert plt.get_fignums() == []


def test_a_frozen_pipeline_is_scored_as_the_pipeline():
    pipeline = make_pipeline(StandardScaler(), VAEOutlierDetector(**SMALL)).fit(X)
    display = ScoreDistributionDisplay.from_estimator(FrozenEstimator(pipeline), X)
    np.testing.assert_array_equal(display.scores, pipeline.score_samples(X))


def test_scores_alone_have_no_legend_and_no_threshold():
    display = ScoreDistributionDisplay.from_predictions([1.0, 2.0, 3.0])
    assert display.ax_.get_legend() is None
    assert display.threshold_line_ is None
    assert len(display.ax_.get_lines()) == 0
    assert len(histograms(display.ax_)) == 1


def test_scores_are_drawn_on_given_axes(detector):
    figure, (left, right) = plt.subplots(1, 2)
    by_estimator = ScoreDistributionDisplay.from_estimator(detector, X, ax=left)
    by_scores = ScoreDistributionDisplay.from_predictions([1.0, 2.0], y=["a", "b"], ax=right)
    assert by_estimator.ax_ is left
    assert by_scores.ax_ is right
    assert by_scores.figure_ is figure
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("score", [-3e15, 1e300])
def test_large_scores_that_are_equal_are_drawn(score):
    display = ScoreDistributionDisplay.from_predictions([score] * 4)
    (bars,) = display.bars_
    (heights,) = np.nonzero([bar.get_height() for bar in bars])
    assert len(heights) == 1


@pytest.mark.parametrize("score", [-20.0, 0.001])
def test_scores_that_are_equal_up_to_rounding_are_drawn_as_equal_ones(score):
    scores = np.array([score, np.nextafter(score, -1), score])
    display = ScoreDistributionDisplay.from_predictions(scores)
    (bars,) = display.bars_
    assert sum(bar.get_height() * bar.get_width() for bar in bars) == pytest.approx(1)
    assert bars[0].get_x() == pytest.approx(score - 0.5)
