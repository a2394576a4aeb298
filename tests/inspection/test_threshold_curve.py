"""Precision, recall and F1 against the threshold."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from displays import SMALL, legend_labels
from matplotlib.cbook import pts_to_prestep
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_score, recall_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from skvae import (
    ConformalOutlierDetector,
    OutlierClassifier,
    VAEDensityEstimator,
    VAEOutlierDetector,
)
from skvae.inspection import ScoreDistributionDisplay, ThresholdCurveDisplay

IS_OUTLIER = np.random.RandomState(1).rand(200) < 0.2
MIXED = np.random.RandomState(2).randn(200, 3) * np.where(IS_OUTLIER, 3, 1)[:, None]


def metrics_below(threshold, scores, is_outlier):
    """Precision, recall and F1 of the rows that `predict` flags at a threshold."""
    flagged = np.asarray(scores) - threshold < 0
    return (
        precision_score(is_outlier, flagged, zero_division=1.0),
        recall_score(is_outlier, flagged),
        f1_score(is_outlier, flagged),
    )


def curves_at(threshold, display):
    """What the display has for any threshold: that of the next one."""
    at = np.searchsorted(display.thresholds, threshold)
    return display.precision[at], display.recall[at], display.f1[at]


SCORES = {
    "no ties": np.random.RandomState(3).randn(60),
    "ties": np.random.RandomState(3).randint(-4, 5, 60),
    "two values": np.arange(60) % 2,
    "one value": np.zeros(60),
    "single precision": np.random.RandomState(3).randn(60).astype(np.float32),
    "unsigned": np.random.RandomState(3).randint(0, 9, 60).astype(np.uint8),
    "zeros of both signs": np.where(np.arange(60) % 2, 0.0, -0.0) + (np.arange(60) < 9),
    "neighbours": 1e6 + np.spacing(1e6) * (np.arange(60) % 5),
}


@pytest.mark.parametrize("name", SCORES)
def test_curves_are_the_metrics_of_what_is_flagged_at_every_threshold(name):
    scores, is_outlier = SCORES[name], np.random.RandomState(4).rand(60) < 0.3
    display = ThresholdCurveDisplay.from_predictions(is_outlier, scores)
    distinct = np.unique(scores).astype(float)
    np.testing.assert_array_equal(display.thresholds, [*distinct, np.inf])
    between = (distinct[1:] + distinct[:-1]) / 2
    beside = [np.nextafter(distinct, np.inf), np.nextafter(distinct, -np.inf)]
    for threshold in np.concatenate([distinct, between, *beside, [-1e9, 1e9]]):
        expected = metrics_below(threshold, scores.astype(float), is_outlier)
        np.testing.assert_allclose(curves_at(threshold, display), expected, atol=1e-15)


@pytest.mark.parametrize("outliers", [[0], [59], [0, 59], range(59), range(1, 60)])
def test_few_and_many_outliers_at_either_end_have_curves(outliers):
    is_outlier = np.isin(np.arange(60), outliers)
    display = ThresholdCurveDisplay.from_predictions(is_outlier, np.arange(60.0))
    for threshold in np.arange(-0.5, 60):
        expected = metrics_below(threshold, np.arange(60.0), is_outlier)
        np.testing.assert_allclose(curves_at(threshold, display), expected, atol=1e-15)


def test_drawn_steps_are_the_curves():
    scores = SCORES["ties"]
    display = ThresholdCurveDisplay.from_predictions(scores < 0, scores, threshold=-1.5)
    curves = [display.precision, display.recall, display.f1]
    assert [line.get_label() for line in display.lines_] == ["precision", "recall", "F1"]
    for line, values in zip(display.lines_, curves, strict=True):
        np.testing.assert_array_equal(line.get_xydata().T, [display.thresholds, values])
        assert line.get_drawstyle() == "steps-pre"
        x, y = pts_to_prestep(*line.get_data())
        between = np.unique(scores)[:-1] + 0.5
        np.testing.assert_array_equal(np.interp(between, x, y), values[1:-1])
    assert list(display.threshold_line_.get_xdata()) == [-1.5, -1.5]
    assert legend_labels(display.ax_) == ["precision", "recall", "F1", "threshold"]
    assert display.ax_.get_xlabel() == "score below which a row is flagged"
    assert display.ax_.get_ylabel() == "precision, recall, F1"
    assert display.figure_ is display.ax_.figure


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_curves_up_to_infinity_can_be_written(kind, tmp_path):
    display = ThresholdCurveDisplay.from_predictions([1, 0, 0], [-3.0, 1.0, 2.0])
    display.figure_.savefig(tmp_path / f"curves.{kind}")
    assert display.ax_.get_xlim() == pytest.approx((-3.25, 2.25))


def test_perfect_scores_have_a_threshold_of_f1_one():
    display = ThresholdCurveDisplay.from_predictions([1, 1, 0, 0, 0], [-5, -4, 1, 2, 3])
    assert display.f1.max() == 1
    assert display.thresholds[display.f1.argmax()] == 1
    assert display.threshold_line_ is None
    assert legend_labels(display.ax_) == ["precision", "recall", "F1"]


DETECTORS = {
    "forest": IsolationForest(contamination=0.1, random_state=0),
    "neighbours": LocalOutlierFactor(novelty=True, contamination=0.1),
    "ellipse": EllipticEnvelope(contamination=0.1, random_state=0),
    "support vectors": OneClassSVM(nu=0.1),
    "vae": VAEOutlierDetector(0.1, **SMALL),
    "p-values": ConformalOutlierDetector(IsolationForest(random_state=0), random_state=0),
    "pipeline": make_pipeline(StandardScaler(), IsolationForest(random_state=0)),
    "pipeline of one": make_pipeline(IsolationForest(random_state=0)),
}


@pytest.mark.parametrize("name", DETECTORS)
def test_marked_threshold_is_that_of_predict(name):
    detector = DETECTORS[name].fit(MIXED[:100])
    rows, is_outlier = MIXED[100:], IS_OUTLIER[100:]
    display = ThresholdCurveDisplay.from_estimator(detector, rows, is_outlier)
    flagged = detector.predict(rows) == -1
    assert 0 < flagged.sum() < 100
    (threshold,) = set(display.threshold_line_.get_xdata())
    assert curves_at(threshold, display) == pytest.approx(
        (
            precision_score(is_outlier, flagged),
            recall_score(is_outlier, flagged),
            f1_score(is_outlier, flagged),
        )
    )


@pytest.mark.parametrize("name", ["forest", "vae", "p-values"])
def test_thresholds_can_be_given_to_the_detector(name):
    detector = DETECTORS[name].fit(MIXED)
    display = ThresholdCurveDisplay.from_estimator(detector, MIXED, IS_OUTLIER)
    for at in (0, 1, 17, int(display.f1.argmax()), -2, -1):
        detector.offset_ = display.thresholds[at]
        flagged = detector.predict(MIXED) == -1
        assert f1_score(IS_OUTLIER, flagged) == pytest.approx(display.f1[at])
        assert recall_score(IS_OUTLIER, flagged) == pytest.approx(display.recall[at])


class ByNorm(OutlierMixin, BaseEstimator):
    """Detector without `score_samples` and `offset_`."""

    def fit(self, X, y=None):
        self.radius_ = 3.0
        return self

    def decision_function(self, X):
        return self.radius_ - np.linalg.norm(X, axis=1)

    def predict(self, X):
        return np.where(self.decision_function(X) < 0, -1, 1)


def test_detector_of_decisions_alone_has_its_threshold_at_zero():
    detector = ByNorm().fit(MIXED)
    display = ThresholdCurveDisplay.from_estimator(detector, MIXED, IS_OUTLIER)
    assert display.threshold == 0
    assert curves_at(0, display)[2] == pytest.approx(
        f1_score(IS_OUTLIER, detector.predict(MIXED) == -1)
    )
    scores = ScoreDistributionDisplay.from_estimator(detector, MIXED)
    np.testing.assert_array_equal(scores.scores, detector.decision_function(MIXED))
    assert scores.threshold == 0


@pytest.mark.parametrize("estimator", [IsolationForest(random_state=0), ByNorm()])
@pytest.mark.parametrize("outlier", ["a", "z"])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_classifier_of_a_detector_has_the_curves_of_the_detector(estimator, outlier, in_pipeline):
    y = np.where(IS_OUTLIER, outlier, "m")
    classifier = OutlierClassifier(make_pipeline(StandardScaler(), estimator))
    if in_pipeline:
        classifier = make_pipeline(StandardScaler(), OutlierClassifier(estimator))
    classifier.fit(MIXED, y)
    display = ThresholdCurveDisplay.from_estimator(classifier, MIXED, y)
    flagged = classifier.predict(MIXED) == outlier
    assert 0 < flagged.sum() < 200
    assert curves_at(display.threshold, display) == pytest.approx(
        (
            precision_score(IS_OUTLIER, flagged),
            recall_score(IS_OUTLIER, flagged),
            f1_score(IS_OUTLIER, flagged),
        )
    )
    scores = ScoreDistributionDisplay.from_estimator(classifier, MIXED, y)
    assert scores.threshold == display.threshold
    assert set(scores.scores) == set(display.thresholds[:-1])


def test_given_label_goes_before_that_of_the_classifier():
    y = np.where(IS_OUTLIER, "spam", "ham")
    classifier = OutlierClassifier(IsolationForest(random_state=0)).fit(MIXED, y)
    display = ThresholdCurveDisplay.from_estimator(classifier, MIXED, y, pos_label="ham")
    assert display.precision[-1] == pytest.approx(np.mean(y == "ham"))


@pytest.mark.parametrize(
    ("coding", "pos_label"),
    [
        ([1, -1], None),
        ([0, 1], None),
        ([False, True], None),
        ([0.0, 1.0], None),
        (["ham", "spam"], "spam"),
        ([1, -1], -1),
        ([1, 0], 0),
        ([7, 3], 3),
    ],
)
def test_labels_have_any_coding(coding, pos_label):
    y = np.array(coding)[IS_OUTLIER.astype(int)]
    expected = ThresholdCurveDisplay.from_predictions(IS_OUTLIER, MIXED[:, 0])
    for labels in (y, y.tolist(), pd.Series(y, index=np.arange(200)[::-1])):
        display = ThresholdCurveDisplay.from_predictions(
            labels, pd.Series(MIXED[:, 0]), pos_label=pos_label
        )
        np.testing.assert_array_equal(display.f1, expected.f1)


def test_all_other_labels_are_inliers():
    y = np.where(IS_OUTLIER, "fraud", np.where(MIXED[:, 1] > 0, "shop", "web"))
    display = ThresholdCurveDisplay.from_predictions(y, MIXED[:, 0], pos_label="fraud")
    expected = ThresholdCurveDisplay.from_predictions(IS_OUTLIER, MIXED[:, 0])
    np.testing.assert_array_equal(display.f1, expected.f1)


def test_curves_are_drawn_on_given_axes():
    figure, (left, right) = plt.subplots(1, 2)
    forest = IsolationForest(random_state=0).fit(MIXED)
    by_estimator = ThresholdCurveDisplay.from_estimator(forest, MIXED, IS_OUTLIER, ax=left)
    by_scores = ThresholdCurveDisplay.from_predictions(IS_OUTLIER, MIXED[:, 0], ax=right)
    assert by_estimator.ax_ is left
    assert by_scores.ax_ is right
    assert by_scores.figure_ is figure
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize(
    ("y", "pos_label", "shown"),
    [
        (["ham", "spam", "ham"], None, r"labels \['ham', 'spam'\] do not .* by pos_label"),
        (["ham", "spam", "ham"], "fraud", r"label 'fraud'\) and inliers, got only"),
        (["ham", "ham", "ham"], "spam", r"\(label 'spam'\) and inliers, got only \['ham'\]"),
        ([0, 0, 0], None, r"got only \[0\]"),
        ([-1, -1, -1], None, r"got only \[-1\]"),
        ([0, 1, 2], None, r"labels \[0, 1, 2\] do not"),
    ],
)
def test_labels_without_outliers_and_inliers_are_refused(y, pos_label, shown):
    with pytest.raises(ValueError, match=shown):
        ThresholdCurveDisplay.from_predictions(y, [1.0, 2.0, 3.0], pos_label=pos_label)
    assert plt.get_fignums() == []


def test_scores_in_the_place_of_labels_are_refused_in_few_words():
    with pytest.raises(ValueError, match="do not say which of them means outlier") as refusal:
        ThresholdCurveDisplay.from_predictions(MIXED[:, 0], IS_OUTLIER)
    assert len(str(refusal.value)) < 500


def test_as_many_scores_as_labels_are_needed():
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[2, 3\]"):
        ThresholdCurveDisplay.from_predictions([0, 1], [1.0, 2.0, 3.0])
    forest = IsolationForest().fit(MIXED)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[200, 199\]"):
        ThresholdCurveDisplay.from_estimator(forest, MIXED[:199], IS_OUTLIER)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="contains NaN"):
        ThresholdCurveDisplay.from_predictions([0, 1], [np.nan, 1.0])


@pytest.mark.parametrize("display", [ThresholdCurveDisplay, ScoreDistributionDisplay])
def test_what_is_no_detector_is_refused(display):
    y = IS_OUTLIER
    strangers = [LogisticRegression().fit(MIXED, y), StandardScaler().fit(MIXED)]
    for stranger in [*strangers, VAEDensityEstimator(**SMALL).fit(MIXED)]:
        with pytest.raises(TypeError, match="(?s)Expected an outlier detector.*from_pred"):
            display.from_estimator(stranger, MIXED, y)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("display", [ThresholdCurveDisplay, ScoreDistributionDisplay])
def test_detectors_that_are_not_fitted_are_refused(display):
    forest = IsolationForest()
    for estimator in (forest, make_pipeline(forest), OutlierClassifier(forest)):
        with pytest.raises(NotFittedError):
            display.from_estimator(estimator, MIXED, IS_OUTLIER)
