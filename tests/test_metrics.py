"""Scorers that judge detectors by their outliers."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.ensemble import IsolationForest
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    get_scorer,
    roc_auc_score,
)
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae.metrics import make_outlier_scorer

METRICS = ["f1", "average_precision", "roc_auc"]


class FirstColumn(OutlierMixin, BaseEstimator):
    """Detector whose decision function is the first column of X."""

    def fit(self, X, y=None):
        return self

    def decision_function(self, X):
        return np.asarray(X)[:, 0]

    def predict(self, X):
        return np.where(self.decision_function(X) < 0, -1, 1)


DECISION = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0, 5.0])
IS_OUTLIER = np.array([1, 0, 1, 0, 0, 1, 0, 0], dtype=bool)
X = DECISION[:, None]

# Flagged are rows 0, 1 and 2, of which two are outliers; three outliers there are.
F1 = 2 * (2 / 3) * (2 / 3) / (2 / 3 + 2 / 3)
# Outliers come first, third and sixth.
AVERAGE_PRECISION = (1 / 1 + 2 / 3 + 3 / 6) / 3
# Of the 15 pairs of an outlier and an inlier, the outlier is below in 5 + 4 + 2.
ROC_AUC = 11 / 15
EXPECTED = {"f1": F1, "average_precision": AVERAGE_PRECISION, "roc_auc": ROC_AUC}

CODINGS = {
    "scikit-learn": (np.where(IS_OUTLIER, -1, 1), None),
    "scikit-learn as floats": (np.where(IS_OUTLIER, -1.0, 1.0), None),
    "benchmark": (IS_OUTLIER.astype(int), None),
    "boolean": (IS_OUTLIER, None),
    "list": (IS_OUTLIER.astype(int).tolist(), None),
    "series": (pd.Series(IS_OUTLIER.astype(int), index=range(10, 18)), None),
    "strings": (np.where(IS_OUTLIER, "spam", "ham"), "spam"),
    "objects": (np.where(IS_OUTLIER, "spam", "ham").astype(object), "spam"),
    "three labels": (np.where(IS_OUTLIER, 9, np.arange(8) % 2), 9),
    "one is normal": (np.where(IS_OUTLIER, 0, 1), 0),
    "true is normal": (~IS_OUTLIER, False),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("coding", CODINGS)
def test_every_coding_of_the_labels_gives_the_value_by_hand(metric, coding):
    y, outlier_label = CODINGS[coding]
    score = make_outlier_scorer(metric, outlier_label=outlier_label)(FirstColumn(), X, y)
    assert score == pytest.approx(EXPECTED[metric])
    assert type(score) is float


def test_scores_are_those_of_scikit_learn_metrics():
    rng = np.random.RandomState(0)
    y = rng.rand(200) < 0.2
    rows = rng.randn(200, 1) - y[:, None]
    decision = rows[:, 0]
    expected = {
        "f1": f1_score(y, decision < 0),
        "average_precision": average_precision_score(y, -decision),
        "roc_auc": roc_auc_score(y, -decision),
    }
    for metric, value in expected.items():
        assert make_outlier_scorer(metric)(FirstColumn(), rows, y) == value


def test_f1_is_that_of_the_outliers():
    y = np.where(IS_OUTLIER, -1, 1)
    predicted = FirstColumn().predict(X)
    theirs = get_scorer("f1")(FirstColumn(), X, y)
    ours = make_outlier_scorer("f1")(FirstColumn(), X, y)
    assert theirs == f1_score(y, predicted, pos_label=1)
    assert ours == f1_score(y, predicted, pos_label=-1)
    assert ours < theirs


def test_f1_is_zero_without_a_warning_where_nothing_is_flagged():
    assert make_outlier_scorer("f1")(FirstColumn(), X + 10, IS_OUTLIER) == 0.0


def test_a_detector_that_ranks_outliers_lowest_is_perfect():
    decision = np.where(IS_OUTLIER, -1.0, 1.0)[:, None]
    for metric in METRICS:
        assert make_outlier_scorer(metric)(FirstColumn(), decision, IS_OUTLIER) == 1.0


@pytest.mark.parametrize("metric", ["accuracy", "F1", "", None, f1_score])
def test_unknown_metric_is_refused(metric):
    with pytest.raises(ValueError, match=r"metric must be one of .*'roc_auc'"):
        make_outlier_scorer(metric)


@pytest.mark.parametrize(
    "labels", [("ham", "spam"), (1, 2), (0, 1, 2), (-1, 0, 1), (0, -1), (1,), (2.5, 1)]
)
def test_labels_that_leave_open_what_is_an_outlier_are_refused(labels):
    y = np.resize(labels, len(X))
    with pytest.raises(ValueError, match="Give outlier_label to make_outlier_scorer"):
        make_outlier_scorer("f1")(FirstColumn(), X, y)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("label", "outlier_label"), [(0, None), (-1, None), ("a", "a"), (3, 4)])
def test_labels_of_one_class_are_refused_with_the_remedy(metric, label, outlier_label):
    scorer = make_outlier_scorer(metric, outlier_label=outlier_label)
    with pytest.raises(ValueError, match=r"both outliers .* and inliers.*StratifiedKFold"):
        scorer(FirstColumn(), X, np.full(len(X), label))


@pytest.mark.parametrize("coding", ["benchmark", "strings", "boolean"])
def test_outlier_label_that_does_not_occur_is_refused(coding):
    with pytest.raises(ValueError, match="label 'eggs'"):
        make_outlier_scorer("f1", outlier_label="eggs")(FirstColumn(), X, CODINGS[coding][0])


def test_labels_of_two_columns_are_refused():
    with pytest.raises(ValueError, match="1d array"):
        make_outlier_scorer("f1")(FirstColumn(), X, np.column_stack([IS_OUTLIER, IS_OUTLIER]))


def test_scorer_can_be_pickled():
    scorer = make_outlier_scorer("roc_auc", outlier_label=0)
    again = pickle.loads(pickle.dumps(scorer))
    y = (~IS_OUTLIER).astype(int)
    assert again(FirstColumn(), X, y) == scorer(FirstColumn(), X, y)


def test_repr_is_the_call_that_made_it():
    scorer = make_outlier_scorer("f1", outlier_label="spam")
    assert repr(scorer) == "make_outlier_scorer('f1', outlier_label='spam')"


@pytest.fixture(scope="module")
def table():
    rng = np.random.RandomState(0)
    rows = np.r_[rng.randn(90, 2), 6 + rng.randn(10, 2)]
    return rows, np.repeat(["ham", "spam"], [90, 10])


def test_grid_search_in_two_processes_finds_the_right_contamination(table):
    rows, y = table
    search = GridSearchCV(
        IsolationForest(n_estimators=20, random_state=0),
        {"contamination": [0.01, 0.1, 0.4]},
        scoring=make_outlier_scorer("f1", outlier_label="spam"),
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
        n_jobs=2,
    ).fit(rows, y)
    assert search.best_params_ == {"contamination": 0.1}
    assert search.best_score_ > 0.8


def test_cross_validate_takes_several_scorers(table):
    rows, y = table
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    detector = IsolationForest(n_estimators=20, random_state=0)
    scorers = {metric: make_outlier_scorer(metric, outlier_label="spam") for metric in METRICS}
    together = cross_validate(detector, rows, y, scoring=scorers, cv=cv)
    for metric in METRICS:
        alone = cross_val_score(detector, rows, y, scoring=scorers[metric], cv=cv)
        np.testing.assert_array_equal(together[f"test_{metric}"], alone)


def test_scorers_work_with_metadata_routing_enabled(table):
    rows, y = table
    scorers = {metric: make_outlier_scorer(metric, outlier_label="spam") for metric in METRICS}
    with sklearn.config_context(enable_metadata_routing=True):
        results = cross_validate(
            IsolationForest(n_estimators=5, random_state=0),
            rows,
            y,
            scoring=scorers,
            cv=StratifiedKFold(3),
            params={},
        )
    assert np.isfinite(results["test_f1"]).all()


def test_a_pipeline_is_scored_like_its_detector(table):
    rows, y = table
    detector = IsolationForest(n_estimators=20, random_state=0)
    pipeline = make_pipeline(StandardScaler(), detector).fit(rows)
    scaled = pipeline[:-1].transform(rows)
    for metric in METRICS:
        scorer = make_outlier_scorer(metric, outlier_label="spam")
        assert scorer(pipeline, rows, y) == scorer(pipeline[-1], scaled, y)
