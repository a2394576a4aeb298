"""Any outlier detector as a binary classifier."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import BaseEstimator, OutlierMixin, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, get_scorer, roc_auc_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from skvae import ConformalOutlierDetector, OutlierClassifier, VAEOutlierDetector
from skvae._classifier import ScoreRanks
from skvae.datasets import make_messages
from skvae.metrics import make_outlier_scorer

DETECTORS = [
    IsolationForest(n_estimators=20, random_state=0),
    LocalOutlierFactor(novelty=True),
    OneClassSVM(nu=0.2),
    EllipticEnvelope(random_state=0),
    make_pipeline(StandardScaler(), IsolationForest(n_estimators=20, random_state=0)),
]


def name(value):
    return type(value).__name__


class FirstColumn(OutlierMixin, BaseEstimator):
    """Detector whose decision function is the first column; remembers what it was fitted on."""

    def fit(self, X, y=None, sample_weight=None):
        self.X_ = X
        self.y_ = y
        self.sample_weight_ = sample_weight
        return self

    def decision_function(self, X):
        return np.asarray(X, dtype=float)[:, 0]

    def predict(self, X):
        return np.where(self.decision_function(X) < 0, -1, 1)


def column(*values):
    return np.array(values, dtype=float)[:, None]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.RandomState(0)
    return np.r_[rng.randn(80, 2), 4 + rng.randn(20, 2)]


IS_OUTLIER = np.arange(100) >= 80


def labels(inlier, outlier):
    return np.where(IS_OUTLIER, outlier, inlier)


CODINGS = {
    "ints": (0, 1),
    "ints, outlier first": (1, 0),
    "scikit-learn": (1, -1),
    "strings": ("ham", "spam"),
    "strings, outlier first": ("ok", "bad"),
    "bools": (False, True),
    "bools, outlier first": (True, False),
    "floats": (2.0, 7.0),
}


# -- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", DETECTORS, ids=name)
@pytest.mark.parametrize("coding", CODINGS)
def test_predicts_what_the_detector_predicts_in_the_labels_of_the_data(rows, detector, coding):
    inlier, outlier = CODINGS[coding]
    classifier = OutlierClassifier(detector).fit(rows, labels(inlier, outlier))
    predicted = classifier.predict(rows)
    flagged = clone(detector).fit(rows).predict(rows) == -1
    assert 0 < flagged.sum() < len(rows)
    np.testing.assert_array_equal(predicted, np.where(flagged, outlier, inlier))
    assert predicted.dtype == classifier.classes_.dtype
    assert classifier.classes_.tolist() == sorted([inlier, outlier])
    assert classifier.outlier_label_ == outlier


@pytest.mark.parametrize("detector", DETECTORS, ids=name)
@pytest.mark.parametrize("coding", CODINGS)
def test_decision_above_zero_means_the_second_class(rows, detector, coding):
    classifier = OutlierClassifier(detector).fit(rows, labels(*CODINGS[coding]))
    above = classifier.decision_function(rows) > 0
    np.testing.assert_array_equal(classifier.predict(rows), classifier.classes_[above.astype(int)])


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(
    "table",
    [
        np.ones((40, 2)),
        np.repeat([[0.0, 1.0], [1.0, 0.0], [3.0, 2.0]], [20, 20, 3], axis=0),
        np.random.RandomState(0).randint(0, 2, (100, 3)).astype(float),
    ],
)
def test_decisions_and_probabilities_agree_where_a_detector_calls_zero_an_outlier(table, coding):
    inlier, outlier = CODINGS[coding]
    y = np.where(np.arange(len(table)) < 5, outlier, inlier)
    classifier = OutlierClassifier(OneClassSVM(kernel="linear", nu=0.5)).fit(table, y)
    predicted = classifier.predict(table)
    decided = classifier.decision_function(table) > 0
    probable = classifier.predict_proba(table)[:, 1] > 0.5
    for second in (decided, probable):
        np.testing.assert_array_equal(predicted, classifier.classes_[second.astype(int)])


@pytest.mark.parametrize("coding", CODINGS)
def test_decision_is_that_of_the_detector_with_the_sign_of_the_second_class(rows, coding):
    inlier, outlier = CODINGS[coding]
    classifier = OutlierClassifier(DETECTORS[0]).fit(rows, labels(inlier, outlier))
    sign = -1 if outlier == classifier.classes_[1] else 1
    np.testing.assert_array_equal(
        classifier.decision_function(rows), sign * classifier.estimator_.decision_function(rows)
    )


@pytest.mark.parametrize("detector", DETECTORS, ids=name)
@pytest.mark.parametrize("coding", CODINGS)
def test_probabilities_sum_to_one_and_follow_the_classes(rows, detector, coding):
    classifier = OutlierClassifier(detector).fit(rows, labels(*CODINGS[coding]))
    probabilities = classifier.predict_proba(rows)
    assert probabilities.shape == (100, 2)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(
        classifier.predict(rows), classifier.classes_[probabilities.argmax(axis=1)]
    )


@pytest.mark.parametrize("kind", [list, pd.Series, "object", "category"])
def test_labels_come_in_any_container(rows, kind):
    y = labels("ham", "spam")
    given = pd.Series(y).astype(kind) if isinstance(kind, str) else kind(y)
    classifier = OutlierClassifier(DETECTORS[0]).fit(rows, given)
    expected = OutlierClassifier(DETECTORS[0]).fit(rows, y)
    assert classifier.classes_.tolist() == ["ham", "spam"]
    np.testing.assert_array_equal(classifier.predict(rows), expected.predict(rows))


def test_rarer_label_is_the_outlier():
    assert OutlierClassifier(FirstColumn()).fit(column(1, 2, 3), [0, 1, 1]).outlier_label_ == 0
    assert OutlierClassifier(FirstColumn()).fit(column(1, 2, 3), [0, 0, 1]).outlier_label_ == 1


def test_minus_one_is_the_outlier_also_where_it_is_frequent():
    X, y = np.arange(9.0)[:, None], np.array([-1] * 6 + [1] * 3)
    assert OutlierClassifier(IsolationForest(random_state=0)).fit(X, y).outlier_label_ == -1


def test_in_a_tie_the_second_class_is_the_outlier():
    classifier = OutlierClassifier(FirstColumn()).fit(column(1, 2), ["spam", "ham"])
    assert classifier.outlier_label_ == classifier.classes_[1] == "spam"


@pytest.mark.parametrize("y", [[0, 1, 1], [False, True, True], ["a", "b", "b"]])
@pytest.mark.parametrize("second", [False, True])
def test_outlier_label_overrules_the_counts(y, second):
    outlier = np.unique(y)[int(second)].item()
    classifier = OutlierClassifier(FirstColumn(), outlier_label=outlier).fit(column(1, 2, 3), y)
    assert classifier.outlier_label_ == outlier
    assert classifier.predict(column(-1.0)) == [outlier]


@pytest.mark.parametrize("wrong", [10**30, (), [0, 1], (0, 1, 2), np.array([0, 1]), np.nan])
def test_outlier_label_that_is_no_label_at_all_is_refused(wrong):
    with pytest.raises(ValueError, match="outlier_label=.* is not among the labels of y, "):
        OutlierClassifier(FirstColumn(), outlier_label=wrong).fit(column(1, 2), [False, True])


def test_labels_that_were_numbered_are_told_from_others_with_the_remedy(rows):
    classifier = OutlierClassifier(FirstColumn(), outlier_label="spam")
    y = labels("ham", "spam")
    with pytest.raises(ValueError, match="1 for outliers, 0 for inliers, and outlier_label=1"):
        cross_val_predict(classifier, rows, y, cv=3, method="predict_proba")
    classifier.set_params(outlier_label=1)
    probabilities = cross_val_predict(classifier, rows, labels(0, 1), method="predict_proba")
    predicted = cross_val_predict(classifier, rows, labels(0, 1))
    np.testing.assert_array_equal(probabilities.argmax(axis=1), predicted)


def test_predicts_what_a_detector_that_judges_rows_together_predicts():
    rng = np.random.RandomState(0)
    training, y = rng.randn(600, 3), np.repeat([0, 1], [550, 50])
    training[550:] *= 5
    new = np.r_[rng.randn(300, 3), 6 * rng.randn(100, 3)]
    detector = ConformalOutlierDetector(
        DETECTORS[0], control="fdr", level=0.2, calibration_size=0.5, random_state=0
    )
    classifier = OutlierClassifier(detector, fit_on="inliers").fit(training, y)
    flagged = classifier.estimator_.predict(new) == -1
    assert flagged.sum() > 50
    np.testing.assert_array_equal(classifier.predict(new), flagged)


def test_labels_are_kept_from_the_detector():
    classifier = OutlierClassifier(FirstColumn()).fit(column(1, 2, 3), [0, 1, 1])
    assert classifier.estimator_.y_ is None


@pytest.mark.parametrize("outlier", [0, 1])
def test_zero_decision_is_an_inlier_as_for_the_detector(outlier):
    X = column(-1, -0.0, 0.0, 1, -np.finfo(float).tiny, np.finfo(float).tiny)
    y = [0, 1, 0, 1, 0, 1]
    classifier = OutlierClassifier(FirstColumn(), outlier_label=outlier).fit(X, y)
    inlier = 1 - outlier
    expected = [outlier, inlier, inlier, inlier, outlier, inlier]
    assert classifier.predict(X).tolist() == expected
    assert (classifier.decision_function(X) > 0).astype(int).tolist() == expected


# -- probabilities --------------------------------------------------------------------------------


@pytest.mark.parametrize("outlier", [0, 1])
def test_probability_is_a_half_where_the_prediction_changes(outlier):
    X = column(-2, -1, 0, 1, 2)
    classifier = OutlierClassifier(FirstColumn(), outlier_label=outlier).fit(X, [0, 0, 1, 1, 1])
    at_zero = classifier.predict_proba(column(0.0, -0.0, -np.finfo(float).tiny))
    np.testing.assert_allclose(at_zero, 0.5, rtol=1e-15)
    assert at_zero.argmax(axis=1).tolist() == [1 - outlier, 1 - outlier, outlier]
    fixed = FixedThresholdClassifier(classifier, pos_label=outlier).fit(X, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(fixed.predict(X), classifier.predict(X))
    beside = classifier.predict_proba(column(-1e-9, 1e-9))[:, outlier]
    assert beside[0] > 0.5 > beside[1]
    np.testing.assert_allclose(beside, 0.5, atol=1e-8)


@pytest.mark.parametrize("outlier", [0, 1])
@pytest.mark.parametrize("training", [(-2, -1, 1, 3), (1, 2, 3, 4), (-4, -3, -2, -1), (0, 0, 0, 0)])
def test_probabilities_are_strictly_monotone_far_beyond_the_training_rows(outlier, training):
    classifier = OutlierClassifier(FirstColumn(), outlier_label=outlier)
    classifier.fit(column(*training), [0, 1, 0, 1])
    far = np.logspace(-6, 6, 200)
    probabilities = classifier.predict_proba(np.r_[-far[::-1], 0, far][:, None])
    assert (np.diff(probabilities[:, outlier]) < 0).all()
    assert (np.diff(probabilities[:, 1 - outlier]) > 0).all()


def test_probabilities_of_rows_at_the_end_of_the_numbers():
    classifier = OutlierClassifier(FirstColumn(), outlier_label=0)
    classifier.fit(column(-1e-300, 1e-300), [0, 1])
    probabilities = classifier.predict_proba(column(-1e300, 1e300))
    np.testing.assert_array_equal(probabilities, [[1, 0], [0, 1]])


def test_ranking_by_probability_is_ranking_by_decision(rows):
    y = labels("ham", "spam")
    classifier = OutlierClassifier(DETECTORS[0]).fit(rows[::2], y[::2])
    decision = classifier.decision_function(rows[1::2])
    probability = classifier.predict_proba(rows[1::2])[:, 1]
    assert roc_auc_score(y[1::2], probability) == roc_auc_score(y[1::2], decision)
    np.testing.assert_array_equal(np.argsort(probability), np.argsort(decision))


def test_a_row_has_the_same_probability_in_any_company(rows):
    classifier = OutlierClassifier(DETECTORS[0]).fit(rows, labels(0, 1))
    together = classifier.predict_proba(rows)
    alone = np.vstack([classifier.predict_proba(row[None]) for row in rows[:5]])
    np.testing.assert_array_equal(together[:5], alone)


def test_ranks_spread_the_training_rows_evenly():
    ranks = ScoreRanks.of(np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0]))
    outlying = ranks.outlier_probability(np.array([-3.0, -2.0, -1.0]))
    np.testing.assert_allclose(outlying, 1 - np.array([1, 2, 3]) / 8)
    ordinary = ranks.outlier_probability(np.array([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(ordinary, np.array([4, 3, 2, 1]) / 10)


def test_median_of_the_flagged_rows_lies_half_way_to_one():
    flagged = -np.array([0.1, 0.2, 5.0, 90.0, 1000.0])
    ranks = ScoreRanks.of(np.r_[flagged, 1.0, 2.0])
    assert ranks.outlier_probability(np.array([-5.0]))[0] == pytest.approx(0.75)


def test_ranks_are_linear_between_training_rows():
    ranks = ScoreRanks.of(np.array([-2.0, -1.0, 1.0, 3.0]))
    at = ranks.outlier_probability(np.array([1.0, 2.0, 3.0]))
    assert at[1] == pytest.approx((at[0] + at[2]) / 2)


@pytest.mark.parametrize("sign", [1, -1])
def test_ranks_without_rows_on_one_side_cover_both_sides(sign):
    ranks = ScoreRanks.of(sign * np.array([1.0, 2.0, 3.0]))
    probabilities = ranks.outlier_probability(np.array([-1e6, -2, -1, 0, 1, 2, 1e6]))
    assert (np.diff(probabilities) < 0).all()
    assert probabilities[3] == np.nextafter(0.5, 0)
    assert 0 < probabilities[-1] < 0.01
    assert 0.99 < probabilities[0] < 1


def test_ties_among_training_rows_keep_the_ranks_strictly_monotone():
    ranks = ScoreRanks.of(np.array([-1.0, -1.0, -1.0, 0.0, 0.0, 2.0, 2.0]))
    grid = np.linspace(-3, 3, 301)
    assert (np.diff(ranks.outlier_probability(grid)) < 0).all()


def test_probabilities_do_not_jump_at_ties_among_training_rows():
    ranks = ScoreRanks.of(np.array([-1.0, -1.0, -1.0, 2.0, 2.0, 2.0]))
    for tie in (-1.0, 2.0):
        around = ranks.outlier_probability(tie + np.array([-1e-9, 0, 1e-9]))
        np.testing.assert_allclose(around, around[1], atol=1e-8)


def test_training_rows_that_are_equal_up_to_rounding_share_a_rank():
    rounding = 1e-15 * np.arange(100)
    exact, rounded = (
        ScoreRanks.of(np.concatenate([-1 - error, 2 + error, [-5.0, 7.0]]))
        for error in (0 * rounding, rounding)
    )
    for decision in (-1 - rounding, 2 + rounding, np.linspace(-6, 8, 99)):
        np.testing.assert_allclose(
            rounded.outlier_probability(decision), exact.outlier_probability(decision), atol=1e-9
        )


@pytest.mark.parametrize("far", [1e12, 1e308])
def test_one_wild_training_row_does_not_take_the_ranks_of_the_others(far):
    usual = np.r_[-np.arange(1.0, 6), np.arange(1.0, 40)]
    expected = ScoreRanks.of(np.r_[usual, -6.0, 40.0]).outlier_probability(usual)
    wild = ScoreRanks.of(np.r_[usual, -far, far]).outlier_probability(usual)
    np.testing.assert_allclose(wild, expected)


def test_ranks_of_zeros_alone_are_finite():
    probabilities = ScoreRanks.of(np.zeros(3)).outlier_probability(np.array([-1.0, 0.0, 1.0]))
    assert 1 > probabilities[0] > probabilities[1] == np.nextafter(0.5, 0) > probabilities[2] > 0


# -- rows to fit on -------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", DETECTORS, ids=name)
def test_fit_on_inliers_equals_the_detector_fitted_on_the_inliers(rows, detector):
    classifier = OutlierClassifier(detector, fit_on="inliers").fit(rows, labels("ham", "spam"))
    bare = clone(detector).fit(rows[~IS_OUTLIER])
    np.testing.assert_array_equal(
        classifier.decision_function(rows), -np.ravel(bare.decision_function(rows))
    )


def test_fit_on_inliers_follows_the_outlier_label(rows):
    y = labels("common", "rare")
    classifier = OutlierClassifier(FirstColumn(), fit_on="inliers", outlier_label="common")
    np.testing.assert_array_equal(classifier.fit(rows, y).estimator_.X_, rows[IS_OUTLIER])


@pytest.mark.parametrize("fit_on", ["all", "inliers"])
@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, pd.DataFrame, np.ndarray.tolist])
def test_rows_reach_the_detector_in_their_own_kind(rows, fit_on, kind):
    detector = IsolationForest(n_estimators=5, random_state=0)
    seen = []

    class Recorder(FirstColumn):
        def fit(self, X, y=None):
            seen.append(X)
            self.detector_ = clone(detector).fit(X)
            return self

        def decision_function(self, X):
            return self.detector_.decision_function(X)

    given = kind(rows)
    OutlierClassifier(Recorder(), fit_on=fit_on).fit(given, labels(0, 1))
    assert type(seen[0]) is type(given)
    assert (seen[0] is given) == (fit_on == "all")


def test_unknown_fit_on_is_refused(rows):
    with pytest.raises(ValueError, match="fit_on"):
        OutlierClassifier(FirstColumn(), fit_on="outliers").fit(rows, labels(0, 1))


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csc_matrix, sp.csr_array])
@pytest.mark.parametrize("fit_on", ["all", "inliers"])
def test_sparse_rows_give_the_same_as_dense_ones(rows, make, fit_on):
    y = labels(0, 1)
    classifier = OutlierClassifier(DETECTORS[0], fit_on=fit_on)
    dense = classifier.fit(rows, y).decision_function(rows)
    sparse = classifier.fit(make(rows), y).decision_function(make(rows))
    np.testing.assert_allclose(sparse, dense)


@pytest.mark.parametrize("fit_on", ["all", "inliers"])
def test_raw_messages_go_through_a_pipeline_of_words_and_autoencoder(fit_on):
    messages, is_spam = make_messages(120, spam_fraction=0.2, random_state=0)
    y = np.where(is_spam, "spam", "ham")
    pipeline = make_pipeline(
        CountVectorizer(binary=True), VAEOutlierDetector(0.2, max_iter=3, random_state=0)
    )
    classifier = OutlierClassifier(pipeline, fit_on=fit_on).fit(messages, y)
    predicted = classifier.predict(messages)
    assert set(predicted) == {"ham", "spam"}
    np.testing.assert_array_equal(
        predicted == "spam", classifier.estimator_.predict(messages) == -1
    )
    assert classifier.predict_proba(messages).shape == (120, 2)
    assert not hasattr(classifier, "n_features_in_")


# -- errors ---------------------------------------------------------------------------------------


def test_one_class_is_refused_with_the_remedy(rows):
    with pytest.raises(ValueError, match=r"y has one class, 7; .*fit the bare detector"):
        OutlierClassifier(FirstColumn()).fit(rows, np.full(100, 7))


def test_three_classes_are_refused(rows):
    with pytest.raises(ValueError, match=r"Only binary classification is supported.*3 classes"):
        OutlierClassifier(FirstColumn()).fit(rows, np.arange(100) % 3)


def test_missing_labels_are_refused(rows):
    with pytest.raises(ValueError, match=r"requires y to be passed.*bare detector"):
        OutlierClassifier(FirstColumn()).fit(rows, None)


@pytest.mark.parametrize(
    "y",
    [
        np.where(IS_OUTLIER, np.nan, 0.0),
        np.r_[np.nan, IS_OUTLIER[1:].astype(float)],
        np.r_[[np.nan], labels("ham", "spam")[1:].astype(object)],
    ],
    ids=["floats", "three floats", "objects"],
)
def test_labels_with_missing_values_are_refused(rows, y):
    with pytest.raises(ValueError, match=r"Input.* contains NaN"):
        OutlierClassifier(FirstColumn()).fit(rows, y)


def test_none_among_the_labels_is_refused(rows):
    y = labels("ham", "spam").astype(object)
    for missing in (None, pd.NA, pd.NaT):
        y[0] = missing
        with pytest.raises(ValueError, match="Input y contains NaN or None: a label is missing"):
            OutlierClassifier(FirstColumn()).fit(rows, y)
    with pytest.raises(ValueError, match="a label is missing"):
        OutlierClassifier(FirstColumn()).fit(rows, pd.Series(y, dtype="string"))


def test_texts_among_other_labels_are_refused(rows):
    y = np.array([0, "spam"] * (len(rows) // 2), dtype=object)
    for use in (
        lambda: OutlierClassifier(FirstColumn()).fit(rows, y),
        lambda: make_outlier_scorer("f1", outlier_label=0)(FirstColumn().fit(rows), rows, y),
    ):
        with pytest.raises(ValueError, match="Input y mixes texts with other labels"):
            use()


def test_continuous_labels_are_refused(rows):
    with pytest.raises(ValueError, match="continuous"):
        OutlierClassifier(FirstColumn()).fit(rows, np.linspace(0.1, 1, 100))


def test_as_many_labels_as_rows_are_needed(rows):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        OutlierClassifier(FirstColumn()).fit(rows, labels(0, 1)[:-1])


@pytest.mark.parametrize("outlier_label", ["eggs", 2])
@pytest.mark.parametrize("coding", ["ints", "strings", "bools"])
def test_outlier_label_that_does_not_occur_is_refused(rows, coding, outlier_label):
    classifier = OutlierClassifier(FirstColumn(), outlier_label=outlier_label)
    with pytest.raises(ValueError, match=r"outlier_label=.* is not among the labels of y"):
        classifier.fit(rows, labels(*CODINGS[coding]))


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), StandardScaler(), make_pipeline(LogisticRegression()), None, "forest"],
    ids=name,
)
def test_what_is_no_detector_is_refused(rows, estimator):
    with pytest.raises(TypeError):
        OutlierClassifier(estimator).fit(rows, labels(0, 1))


def test_class_in_the_place_of_a_detector_is_refused(rows):
    with pytest.raises(TypeError):
        OutlierClassifier(IsolationForest).fit(rows, labels(0, 1))


@pytest.mark.parametrize(
    "detector",
    [LocalOutlierFactor(), make_pipeline(StandardScaler(), LocalOutlierFactor())],
    ids=name,
)
def test_detector_that_cannot_judge_new_rows_is_refused_with_the_remedy(rows, detector):
    with pytest.raises(TypeError, match="set novelty=True"):
        OutlierClassifier(detector).fit(rows, labels(0, 1))


@pytest.mark.parametrize("wrong", ["one class", "unknown label", "no detector", "bad rows"])
def test_failed_fit_keeps_what_was_fitted(rows, wrong):
    y = labels("ham", "spam")
    classifier = OutlierClassifier(OneClassSVM()).fit(rows, y)
    before = classifier.predict_proba(rows)
    X, new_y = -rows, labels("a", "b")
    if wrong == "one class":
        new_y = np.full(100, "a")
    elif wrong == "unknown label":
        classifier.outlier_label = "c"
    elif wrong == "no detector":
        classifier.estimator = LogisticRegression()
    else:
        X = np.full_like(rows, np.nan)
    with pytest.raises((ValueError, TypeError)):
        classifier.fit(X, new_y)
    np.testing.assert_array_equal(classifier.predict_proba(rows), before)
    assert classifier.classes_.tolist() == ["ham", "spam"]
    assert classifier.outlier_label_ == "spam"


def test_first_fit_that_fails_leaves_nothing(rows):
    classifier = OutlierClassifier(FirstColumn())
    with pytest.raises(ValueError, match="one class"):
        classifier.fit(rows, np.zeros(100))
    assert set(vars(classifier)) == {"estimator", "fit_on", "outlier_label"}


@pytest.mark.parametrize("method", ["predict", "decision_function", "predict_proba"])
def test_unfitted_classifier_says_so(rows, method):
    with pytest.raises(NotFittedError):
        getattr(OutlierClassifier(IsolationForest()), method)(rows)


def test_unfitted_classifier_with_a_scoring_detector_says_so_for_score_samples(rows):
    with pytest.raises(NotFittedError):
        OutlierClassifier(IsolationForest()).score_samples(rows)


# -- with scikit-learn ----------------------------------------------------------------------------


def overlapping(n_samples=600):
    rng = np.random.RandomState(1)
    y = (rng.rand(n_samples) < 0.1).astype(int)
    return rng.randn(n_samples, 3) * (1 + 1.5 * y[:, None]), y


def test_f1_is_that_of_the_outliers(rows):
    y = labels(0, 1)
    classifier = OutlierClassifier(DETECTORS[0]).fit(rows, y)
    score = get_scorer("f1")(classifier, rows, y)
    flagged = classifier.estimator_.predict(rows) == -1
    assert score == f1_score(y, flagged)


def test_tuned_threshold_is_nearly_the_best_of_all_thresholds():
    X, y = overlapping()
    cv = StratifiedKFold(3)
    classifier = OutlierClassifier(IsolationForest(n_estimators=50, random_state=0))
    tuned = TunedThresholdClassifierCV(classifier, scoring="f1", cv=cv).fit(X, y)

    folds = []
    for train, test in cv.split(X, y):
        probability = clone(classifier).fit(X[train], y[train]).predict_proba(X[test])[:, 1]
        folds.append((y[test], probability))
    thresholds = np.unique(np.concatenate([probability for _, probability in folds]))
    best = max(
        np.mean([f1_score(truth, probability >= cut) for truth, probability in folds])
        for cut in thresholds
    )
    assert tuned.best_score_ > best - 0.05
    assert tuned.best_score_ > 0.3


def test_fixed_threshold_moves_the_number_of_flagged_rows(rows):
    y = labels(0, 1)
    classifier = OutlierClassifier(DETECTORS[0])
    flagged = [
        FixedThresholdClassifier(classifier, threshold=threshold, pos_label=1)
        .fit(rows, y)
        .predict(rows)
        .sum()
        for threshold in (0.25, 0.75, 0.95)
    ]
    assert flagged[0] > flagged[1] > flagged[2] > 0


@pytest.mark.parametrize("coding", ["strings", "strings, outlier first"])
def test_automatic_threshold_changes_no_prediction(rows, coding):
    y = labels(*CODINGS[coding])
    fixed = FixedThresholdClassifier(OutlierClassifier(DETECTORS[0]), pos_label=np.unique(y)[1])
    fixed.fit(rows, y)
    np.testing.assert_array_equal(fixed.predict(rows), fixed.estimator_.predict(rows))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated_probabilities_rank_the_outliers_first(rows, method):
    y = labels("ham", "spam")
    calibrated = CalibratedClassifierCV(
        OutlierClassifier(DETECTORS[0]), method=method, cv=StratifiedKFold(3)
    ).fit(rows, y)
    assert roc_auc_score(y, calibrated.predict_proba(rows)[:, 1]) > 0.95


def bins_of_equal_size(y, probability, n_bins=10):
    """Mean probability, share of outliers and the latter's standard error in each bin."""
    for rows in np.array_split(np.argsort(probability), n_bins):
        expected = probability[rows].mean()
        yield expected, y[rows].mean(), np.sqrt(expected * (1 - expected) / len(rows))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibrated_probabilities_come_true_on_new_rows(method):
    X, y = overlapping(8000)
    squares = (X**2).sum(axis=1)
    X, X_new, y, y_new = column(*-squares[:4000]), column(*-squares[4000:]), y[:4000], y[4000:]
    classifier = OutlierClassifier(FirstColumn())
    calibrated = CalibratedClassifierCV(classifier, method=method, cv=StratifiedKFold(5))
    probability = calibrated.fit(X, y).predict_proba(X_new)[:, 1]
    # Beside the error of the share there is that of the calibration, on as many rows.
    for expected, share, error in bins_of_equal_size(y_new, probability):
        assert abs(share - expected) < 3 * np.sqrt(2) * error + 0.02

    # By Bayes: outliers, one in ten, have 2.5 times the standard deviation in three features.
    ratio = 9 * 2.5**3 * np.exp(-squares[4000:] / 2 * (1 - 1 / 2.5**2))
    assert np.abs(probability - 1 / (1 + ratio)).mean() < 0.02

    ranks = classifier.fit(X, y).predict_proba(X_new)[:, 1]
    bins = list(bins_of_equal_size(y_new, ranks))
    assert max(abs(share - expected) / error for expected, share, error in bins) > 10


def test_grid_search_by_f1_reaches_the_parameters_of_the_detector(rows):
    search = GridSearchCV(
        OutlierClassifier(IsolationForest(n_estimators=20, random_state=0)),
        {"estimator__contamination": [0.01, 0.2, 0.5]},
        scoring="f1",
        cv=3,
    ).fit(rows, labels(0, 1))
    assert search.best_params_ == {"estimator__contamination": 0.2}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_it_is_a_classifier_that_shows_the_input_tags_of_its_detector():
    detector = VAEOutlierDetector()
    classifier = OutlierClassifier(detector)
    assert is_classifier(classifier)
    tags = sklearn.utils.get_tags(classifier)
    assert tags.input_tags.sparse
    assert tags.input_tags == sklearn.utils.get_tags(detector).input_tags
    assert not tags.classifier_tags.multi_class


def test_sample_weight_reaches_a_detector_that_requests_it(rows):
    weight = np.linspace(1, 2, 100)
    with sklearn.config_context(enable_metadata_routing=True):
        detector = FirstColumn().set_fit_request(sample_weight=True)
        classifier = OutlierClassifier(detector).fit(rows, labels(0, 1), sample_weight=weight)
    np.testing.assert_array_equal(classifier.estimator_.sample_weight_, weight)


def test_sample_weight_reaches_a_detector_of_scikit_learn(rows):
    weight = np.where(rows[:, 0] > 0, 1.0, 0.1)
    with sklearn.config_context(enable_metadata_routing=True):
        detector = OneClassSVM().set_fit_request(sample_weight=True)
        classifier = OutlierClassifier(detector).fit(rows, labels(0, 1), sample_weight=weight)
    bare = OneClassSVM().fit(rows, sample_weight=weight)
    np.testing.assert_array_equal(classifier.decision_function(rows), -bare.decision_function(rows))


def test_sample_weight_follows_the_rows_that_are_fitted_on(rows):
    weight = np.linspace(1, 2, 100)
    with sklearn.config_context(enable_metadata_routing=True):
        detector = FirstColumn().set_fit_request(sample_weight=True)
        classifier = OutlierClassifier(detector, fit_on="inliers")
        classifier.fit(rows, labels(0, 1), sample_weight=weight)
    np.testing.assert_array_equal(classifier.estimator_.sample_weight_, weight[~IS_OUTLIER])


def test_sample_weight_reaches_the_score_that_requests_it(rows):
    weight = np.where(IS_OUTLIER, 9.0, 1.0)
    detector = LocalOutlierFactor(novelty=True)  # whose `fit` takes none
    cv = StratifiedKFold(5, shuffle=True, random_state=0)
    with sklearn.config_context(enable_metadata_routing=True):
        classifier = OutlierClassifier(detector).set_score_request(sample_weight=True)
        weighted = cross_val_score(
            classifier, rows, labels(0, 1), params={"sample_weight": weight}, cv=cv
        )
    expected = []
    for train, test in cv.split(rows, labels(0, 1)):
        fitted = OutlierClassifier(detector).fit(rows[train], labels(0, 1)[train])
        expected.append(fitted.score(rows[test], labels(0, 1)[test], weight[test]))
    np.testing.assert_allclose(weighted, expected)


def test_sample_weight_that_is_not_requested_is_refused(rows):
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(ValueError, match="sample_weight"),
    ):
        OutlierClassifier(FirstColumn()).fit(rows, labels(0, 1), sample_weight=np.ones(100))


def test_sample_weight_without_metadata_routing_is_refused(rows):
    with pytest.raises(ValueError, match=r"enable_metadata_routing=True.*sample_weight"):
        OutlierClassifier(FirstColumn()).fit(rows, labels(0, 1), sample_weight=np.ones(100))


def test_a_wrapper_of_nothing_can_be_shown():
    assert "OutlierClassifier" in OutlierClassifier(None)._repr_html_()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_decisions_that_are_not_finite_are_refused(value, rows):
    rows = np.where(np.arange(len(rows))[:, np.newaxis] == 3, value, rows)
    with pytest.raises(ValueError, match="1 of 100 rows a decision_function that is not finite"):
        OutlierClassifier(FirstColumn()).fit(rows, labels(0, 1))


def test_new_rows_without_a_decision_have_no_probability(rows):
    classifier = OutlierClassifier(FirstColumn()).fit(rows, labels(0, 1))
    with pytest.raises(ValueError, match="gives 1 of 2 rows a decision_function that is NaN"):
        classifier.predict_proba(column(0.0, np.nan))
    np.testing.assert_array_equal(
        classifier.predict_proba(column(-np.inf, np.inf)), [[0, 1], [1, 0]]
    )


def test_a_frozen_detector_stays_as_it_is(rows):
    detector = IsolationForest(n_estimators=20, random_state=0).fit(rows)
    classifier = OutlierClassifier(FrozenEstimator(detector)).fit(rows[50:], labels(0, 1)[50:])
    np.testing.assert_array_equal(
        classifier.decision_function(rows), -detector.decision_function(rows)
    )


def test_pickle_predicts_the_same(rows):
    classifier = OutlierClassifier(DETECTORS[0]).fit(rows, labels("ham", "spam"))
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict(rows), classifier.predict(rows))
    np.testing.assert_array_equal(again.predict_proba(rows), classifier.predict_proba(rows))


def test_clone_is_unfitted_and_has_the_same_parameters(rows):
    classifier = OutlierClassifier(DETECTORS[0], fit_on="inliers", outlier_label="spam")
    copy = clone(classifier.fit(rows, labels("ham", "spam")))
    assert not hasattr(copy, "estimator_")
    assert copy.get_params(deep=False).keys() == classifier.get_params(deep=False).keys()
    assert (copy.fit_on, copy.outlier_label) == ("inliers", "spam")
    assert copy.estimator is not classifier.estimator


def test_fit_leaves_the_given_detector_unfitted(rows):
    detector = IsolationForest(n_estimators=5)
    classifier = OutlierClassifier(detector).fit(rows, labels(0, 1))
    assert not hasattr(detector, "estimators_")
    assert classifier.estimator is detector


def test_columns_of_a_data_frame_are_remembered(rows):
    frame = pd.DataFrame(rows, columns=["length", "links"])
    classifier = OutlierClassifier(DETECTORS[0]).fit(frame, labels(0, 1))
    assert classifier.n_features_in_ == 2
    assert classifier.feature_names_in_.tolist() == ["length", "links"]
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frame[["links", "length"]])


def test_columns_without_names_are_counted_only(rows):
    classifier = OutlierClassifier(DETECTORS[0])
    assert not hasattr(classifier, "n_features_in_")
    classifier.fit(rows, labels(0, 1))
    assert classifier.n_features_in_ == 2
    assert not hasattr(classifier, "feature_names_in_")


def test_score_samples_are_those_of_the_detector_where_it_has_them(rows):
    y = labels(0, 1)
    classifier = OutlierClassifier(DETECTORS[0]).fit(rows, y)
    np.testing.assert_array_equal(
        classifier.score_samples(rows), classifier.estimator_.score_samples(rows)
    )
    assert not hasattr(OutlierClassifier(FirstColumn()).fit(rows, y), "score_samples")


def test_score_is_the_accuracy_in_the_labels_of_the_data(rows):
    y = labels("ham", "spam")
    classifier = OutlierClassifier(DETECTORS[0]).fit(rows, y)
    assert classifier.score(rows, y) == np.mean(classifier.predict(rows) == y)
