"""Scorers that judge detectors by their outliers, and thresholds from them."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    get_scorer,
    make_scorer,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    PredefinedSplit,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import OutlierClassifier
from skvae.metrics import make_outlier_scorer, plateau_threshold, recall_at_fpr_score

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
    with pytest.raises(ValueError, match="Say it by outlier_label"):
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


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "estimator", [OutlierClassifier(FirstColumn()), LogisticRegression(), StandardScaler()]
)
def test_what_is_no_outlier_detector_is_refused(estimator, metric):
    scorer = make_outlier_scorer(metric)
    with pytest.raises(TypeError, match="judges bare outlier detectors.*scikit-learn's own"):
        scorer(estimator, X, IS_OUTLIER)


def test_missing_labels_are_refused():
    y = np.where(np.arange(len(X)) == 0, np.nan, IS_OUTLIER)
    scorer = make_outlier_scorer("f1", outlier_label=1)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        scorer(FirstColumn(), X, y)
    for missing in (None, pd.NA):
        y = pd.Series([missing, *["ham"] * 7])
        with pytest.raises(ValueError, match="a label is missing"):
            scorer(FirstColumn(), X, y)


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


# -- recall at a false-positive rate --------------------------------------------------------------

# Of five outliers three are flagged, and of the ten inliers two.
TRUTH = np.repeat([1, 0], [5, 10])
FLAGGED = np.r_[1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]

LABELS = {
    "benchmark": (0, 1),
    "scikit-learn": (1, -1),
    "strings": ("ham", "spam"),
    "strings, outlier first": ("ok", "bad"),
    "booleans": (False, True),
    "one is normal": (1, 0),
}


@pytest.mark.parametrize("coding", LABELS)
@pytest.mark.parametrize("kind", [np.asarray, list, pd.Series])
@pytest.mark.parametrize("max_fpr", [0.2, 0.5, 1, np.float32(0.9)])
def test_recall_where_the_rate_is_allowed(coding, kind, max_fpr):
    y_true, y_pred = (kind(np.where(y, *LABELS[coding][::-1])) for y in (TRUTH, FLAGGED))
    score = recall_at_fpr_score(y_true, y_pred, max_fpr=max_fpr, pos_label=LABELS[coding][1])
    assert score == 0.6
    assert type(score) is float


def test_labels_may_be_a_column():
    y_true = [[0], [1], [0], [1]]
    y_pred = [[0], [1], [0], [0]]
    for kind in (list, np.array):
        assert recall_at_fpr_score(kind(y_true), kind(y_pred), max_fpr=0.1) == 0.5


@pytest.mark.parametrize("max_fpr", [0, 0.1, 0.1999])
def test_rate_that_is_not_allowed_costs_the_penalty_and_the_excess(max_fpr):
    score = recall_at_fpr_score(TRUTH, FLAGGED, max_fpr=max_fpr)
    assert score == pytest.approx(-1e6 - (0.2 - max_fpr), rel=1e-12)
    assert type(score) is float


@pytest.mark.parametrize("n_inliers", [3, 7, 10, 30, 49, 1000])
def test_rate_that_equals_the_limit_is_allowed(n_inliers):
    y_true = np.repeat([1, 0], [1, n_inliers])
    for n_flagged in range(n_inliers + 1):
        y_pred = np.arange(1 + n_inliers) <= n_flagged
        limit = n_flagged / n_inliers
        assert recall_at_fpr_score(y_true, y_pred.astype(int), max_fpr=limit) == 1.0


def test_every_allowed_score_is_above_every_other_and_those_fall_with_the_excess():
    nothing_found = recall_at_fpr_score([1, 0, 0, 0], [0, 0, 0, 0], max_fpr=0.1)
    too_many = [
        recall_at_fpr_score([1, 0, 0, 0], [1, 1, second, third], max_fpr=0.1)
        for second, third in [(0, 0), (1, 0), (1, 1)]
    ]
    assert nothing_found == 0.0
    assert nothing_found > too_many[0] > too_many[1] > too_many[2]
    assert np.isfinite(too_many).all()


def test_without_a_limit_it_is_the_recall():
    rng = np.random.RandomState(0)
    y_true, y_pred = rng.rand(2, 50) < 0.3
    assert recall_at_fpr_score(y_true, y_pred, max_fpr=1) == recall_score(y_true, y_pred)


def test_all_labels_but_that_of_the_outliers_are_negative():
    y_true = np.array(["spam", "spam", "ham", "news", "news", "ham"])
    y_pred = np.array(["spam", "news", "ham", "spam", "ham", "news"])
    score = recall_at_fpr_score(y_true, y_pred, max_fpr=0.25, pos_label="spam")
    assert score == 0.5
    assert recall_at_fpr_score(y_true, y_pred, max_fpr=0.24, pos_label="spam") < -1e5


@pytest.mark.parametrize("max_fpr", [-0.01, 1.01, np.nan, "0.1", None, [0.1]])
def test_rates_outside_the_unit_interval_are_refused(max_fpr):
    with pytest.raises(ValueError, match=r"max_fpr must be a number in \[0, 1\]"):
        recall_at_fpr_score(TRUTH, FLAGGED, max_fpr=max_fpr)


@pytest.mark.parametrize("label", [0, 1])
def test_labels_of_one_kind_have_no_rates(label):
    with pytest.raises(ValueError, match=r"both outliers .* and inliers"):
        recall_at_fpr_score(np.full(15, label), FLAGGED, max_fpr=0.1, pos_label=1)


def test_strings_need_the_label_of_the_outliers():
    with pytest.raises(ValueError, match="'ham', 'spam'.*Say it by pos_label"):
        recall_at_fpr_score(["ham", "spam"], ["ham", "spam"], max_fpr=0.1)


@pytest.mark.parametrize(("inlier", "outlier"), [(1, -1), (0, 1), (False, True)])
def test_common_codings_of_the_labels_say_which_are_outliers(inlier, outlier):
    y_true = np.array([inlier] * 20 + [outlier] * 10)
    y_pred = np.where(np.arange(30) < 23, inlier, outlier)  # no false alarm, 7 of 10 found
    assert recall_at_fpr_score(y_true, y_pred, max_fpr=0.02) == 0.7
    assert recall_at_fpr_score(y_true, np.flip(y_pred), max_fpr=0.02) < -1e5


@pytest.mark.parametrize(
    ("y_true", "y_pred", "pos_label", "message"),
    [
        (["a", "b"], ["a", "b"], None, "do not say which.*by pos_label"),
        ([0, 1], ["0", "1"], 1, "Mix of label input types"),
        ([0, 1], [0, np.nan], 1, "Input y_pred contains NaN"),
        (["a", "b"], ["a", None], "b", "Input y_pred contains NaN or None"),
        ([0, 1], [-1, 1], 1, "y_pred holds -1, .*OutlierClassifier"),
        ([-1, 1], [1, 0], -1, "y_pred holds 0, .*OutlierClassifier"),
        (["a", "b"], ["a", "b"], 1, "say it by pos_label"),
    ],
)
def test_predictions_that_say_nothing_of_the_labels_are_refused(y_true, y_pred, pos_label, message):
    with pytest.raises(ValueError, match=message):
        recall_at_fpr_score(y_true, y_pred, max_fpr=0.1, pos_label=pos_label)


def test_as_many_predictions_as_labels_are_needed():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        recall_at_fpr_score(TRUTH, FLAGGED[:-1], max_fpr=0.1)


FOREST = IsolationForest(n_estimators=10, random_state=0)
FOLDS = StratifiedKFold(4, shuffle=True, random_state=0)


def overlapping(seed, inlier=0, outlier=1):
    """Rows of one cloud within a wider one; the first column is low where a row lies far out."""
    rng = np.random.RandomState(seed)
    is_outlier = rng.rand(500) < 0.15
    rows = rng.randn(500, 3) * (1 + 1.5 * is_outlier[:, None])
    distances = np.linalg.norm(rows, axis=1)
    return np.column_stack([2.5 - distances, rows]), np.where(is_outlier, outlier, inlier)


def out_of_fold(classifier, rows, y):
    """Truths and probabilities of ``classes_[1]`` in each fold."""
    return [
        (y[test], clone(classifier).fit(rows[train], y[train]).predict_proba(rows[test])[:, 1])
        for train, test in FOLDS.split(rows, y)
    ]


@pytest.mark.parametrize(
    ("detector", "coding", "seed"),
    [
        *((FirstColumn(), coding, seed) for coding in LABELS for seed in range(3)),
        (FOREST, "strings", 0),
    ],
)
@pytest.mark.parametrize("max_fpr", [0.02, 0.1])
def test_tuned_threshold_keeps_the_limit_in_the_folds_together(detector, coding, seed, max_fpr):
    inlier, outlier = LABELS[coding]
    rows, y = overlapping(seed, inlier, outlier)
    classifier = OutlierClassifier(detector, outlier_label=outlier)
    scoring = make_scorer(recall_at_fpr_score, max_fpr=max_fpr, pos_label=outlier)
    tuned = TunedThresholdClassifierCV(classifier, scoring=scoring, cv=FOLDS).fit(rows, y)

    folds = out_of_fold(classifier, rows, y)
    truths = np.concatenate([truth == outlier for truth, _ in folds])
    probability = np.concatenate([probability for _, probability in folds])
    if outlier != np.unique(y)[1]:
        probability = 1 - probability

    def rates(threshold):
        flagged = probability >= threshold
        return flagged[~truths].mean(), flagged[truths].mean()

    fpr, recall = rates(tuned.best_threshold_)
    assert fpr <= max_fpr
    # A threshold for each fold may find more, but not much more.
    allowed = [rates(cut) for cut in np.unique(probability)]
    most = max(recall for fpr, recall in allowed if fpr <= max_fpr)
    assert 0.0 < tuned.best_score_ <= 1.0
    assert recall > 0.5 * most > 0


@pytest.mark.parametrize("n_folds", [3, 20])
def test_recall_in_the_other_folds_does_not_make_up_for_one_that_breaks_the_limit(n_folds):
    """Every outlier lies beyond the inliers, but for the inliers of the first fold."""
    rng = np.random.RandomState(0)
    y = np.tile(np.repeat([1, 0], [5, 45]), n_folds)
    fold = np.repeat(np.arange(n_folds), 50)
    decision = np.where((y == 1) | (fold == 0), -5.0, 5.0) + rng.rand(len(y))
    decision[(y == 0) & (fold == 0)] -= 1
    decision[np.flatnonzero(y)[::5]] -= 2
    rows = decision[:, None]
    max_fpr = 0.5 / n_folds
    tuned = TunedThresholdClassifierCV(
        OutlierClassifier(FirstColumn()),
        scoring=make_scorer(recall_at_fpr_score, max_fpr=max_fpr),
        cv=PredefinedSplit(fold),
    ).fit(rows, y)
    flagged = np.zeros(len(y), dtype=bool)
    for train, test in PredefinedSplit(fold).split():
        classifier = OutlierClassifier(FirstColumn()).fit(rows[train], y[train])
        flagged[test] = classifier.predict_proba(rows[test])[:, 1] >= tuned.best_threshold_
    assert flagged[y == 0].mean() <= max_fpr
    assert flagged[y == 1].mean() == pytest.approx(tuned.best_score_, abs=0.1)


def test_limit_that_no_threshold_keeps_shows_in_the_best_score():
    rows, y = overlapping(0)
    rows[np.flatnonzero(y == 0)[:60], 0] -= 100
    scoring = make_scorer(recall_at_fpr_score, max_fpr=0.0)
    tuned = TunedThresholdClassifierCV(OutlierClassifier(FirstColumn()), scoring=scoring, cv=FOLDS)
    tuned.fit(rows, y)
    assert tuned.best_score_ < 0


def test_grid_search_finds_the_most_recall_within_the_limit():
    rows, y = overlapping(0, "ham", "spam")
    contaminations = [0.01, 0.05, 0.1, 0.3]
    search = GridSearchCV(
        OutlierClassifier(FOREST),
        {"estimator__contamination": contaminations},
        scoring=make_scorer(recall_at_fpr_score, max_fpr=0.1, pos_label="spam"),
        cv=FOLDS,
    ).fit(rows, y)
    scores = dict(zip(contaminations, search.cv_results_["mean_test_score"], strict=True))
    assert search.best_params_ == {"estimator__contamination": 0.1}
    assert 0 <= scores[0.01] < scores[0.05] < scores[0.1]
    assert scores[0.3] < -1e5


def test_a_bare_detector_is_scored_by_its_own_labels():
    rows, y = overlapping(0, 1, -1)
    scorer = make_scorer(recall_at_fpr_score, max_fpr=0.5, pos_label=-1)
    detector = clone(FOREST).fit(rows)
    expected = recall_score(y, detector.predict(rows), pos_label=-1)
    assert scorer(detector, rows, y) == expected > 0


# -- middle of the plateau ------------------------------------------------------------------------


def curve(scores, thresholds=None):
    if thresholds is None:
        thresholds = np.arange(len(scores)) / 10
    return {"thresholds": thresholds, "scores": np.asarray(scores)}


@pytest.mark.parametrize(
    ("scores", "tolerance", "first", "last"),
    [
        ([0.1, 0.5, 0.9, 0.5, 0.1], 0.0, 2, 2),
        ([0.1, 0.9, 0.9, 0.9, 0.1], 0.0, 1, 3),
        ([0.1, 0.88, 0.9, 0.89, 0.1], 0.0, 2, 2),
        ([0.1, 0.88, 0.9, 0.89, 0.1], 0.015, 2, 3),
        ([0.1, 0.88, 0.9, 0.89, 0.1], 0.025, 1, 3),
        ([0.1, 0.88, 0.9, 0.89, 0.1], 10, 0, 4),
        ([0.9, 0.89, 0.1, 0.1, 0.1], 0.02, 0, 1),
        ([0.1, 0.1, 0.1, 0.89, 0.9], 0.02, 3, 4),
        ([0.5, 0.5, 0.5, 0.5], 0.0, 0, 3),
        ([0.9, 0.1], 0.02, 0, 0),
        # A wider plateau nearby is not that of the best score; of two as good the first counts.
        ([0.89, 0.89, 0.89, 0.1, 0.9, 0.1], 0.02, 4, 4),
        ([0.1, 0.9, 0.1, 0.9, 0.9], 0.02, 1, 1),
        # What is not allowed takes no part.
        ([-1e6, -2e5, 0.7, 0.69, 0.6, 0.1], 0.02, 2, 3),
    ],
)
def test_threshold_is_half_way_between_the_ends_of_the_best_plateau(scores, tolerance, first, last):
    results = curve(scores)
    middle = (results["thresholds"][first] + results["thresholds"][last]) / 2
    chosen = plateau_threshold(results, tolerance=tolerance)
    assert chosen == pytest.approx(middle)
    assert type(chosen) is float


def test_middle_is_that_of_the_thresholds_not_of_their_indices():
    results = curve([0.1, 0.9, 0.9, 0.9, 0.1], thresholds=[-9.0, -4.0, 0.0, 1.0, 2.0])
    assert plateau_threshold(results) == -1.5


def test_arrays_may_be_lists_and_others_are_ignored():
    results = {"thresholds": [0, 1, 2], "scores": [0, 1, 0], "splits": "anything"}
    assert plateau_threshold(results) == 1.0


@pytest.mark.parametrize("tolerance", [-0.01, np.nan, "0.1", None])
def test_tolerances_that_are_no_distance_are_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance must be a number of at least 0"):
        plateau_threshold(curve([0.1, 0.9, 0.1]), tolerance=tolerance)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"thresholds": [0.1]}, r"got \['thresholds'\].*store_cv_results=True"),
        (curve([]), "minimum of 1 is required"),
        (curve([0.1, np.nan]), "scores contains NaN"),
        (curve([0.1, 0.2], [np.nan, 0.2]), "thresholds contains NaN"),
        (curve([0.1, 0.2], [0.1, 0.2, 0.3]), "inconsistent numbers of samples"),
        (curve([0.1, 0.2], [0.2, 0.1]), "rising order"),
        (curve([0.1, 0.2], [0.2, 0.2]), "rising order"),
        (curve([[0.1, 0.2], [0.3, 0.4]]), "1d array"),
    ],
)
def test_what_is_no_curve_is_refused(results, message):
    with pytest.raises(ValueError, match=message):
        plateau_threshold(results)


@pytest.mark.parametrize("coding", ["strings", "strings, outlier first"])
def test_threshold_of_the_plateau_is_as_good_as_the_tuned_one(coding):
    inlier, outlier = LABELS[coding]
    rows, y = overlapping(0, inlier, outlier)
    classifier = OutlierClassifier(FOREST, outlier_label=outlier)
    tuned = TunedThresholdClassifierCV(
        classifier,
        scoring=make_scorer(f1_score, pos_label=outlier),
        cv=FOLDS,
        store_cv_results=True,
    ).fit(rows, y)
    threshold = plateau_threshold(tuned.cv_results_)
    fixed = FixedThresholdClassifier(classifier, threshold=threshold, pos_label=outlier)
    new_rows, truth = overlapping(1, inlier, outlier)
    scores = [
        f1_score(truth, model.predict(new_rows), pos_label=outlier)
        for model in (fixed.fit(rows, y), tuned)
    ]
    assert threshold != tuned.best_threshold_
    assert scores[0] > scores[1] - 0.03
    assert scores[0] > 0.4


def test_plateau_within_a_limit_keeps_the_limit():
    rows, y = overlapping(0)
    classifier = OutlierClassifier(FirstColumn())
    tuned = TunedThresholdClassifierCV(
        classifier,
        scoring=make_scorer(recall_at_fpr_score, max_fpr=0.05),
        cv=FOLDS,
        store_cv_results=True,
    ).fit(rows, y)
    threshold = plateau_threshold(tuned.cv_results_)
    assert threshold >= tuned.best_threshold_
    folds = out_of_fold(classifier, rows, y)
    assert all((chance[truth == 0] >= threshold).mean() <= 0.05 for truth, chance in folds)
