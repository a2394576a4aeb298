"""p-values for any outlier detector, and the rates of false alarms that they keep."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from scipy.stats import false_discovery_control
from sklearn.base import BaseEstimator, OutlierMixin, clone, is_outlier_detector
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from sklearn.utils import get_tags

from skvae import ConformalOutlierDetector, OutlierClassifier, VAEOutlierDetector
from skvae._conformal import highest_discovery
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


class Closeness(OutlierMixin, BaseEstimator):
    """Scores a row by minus its distance from the mean, in standard deviations."""

    def fit(self, X, y=None, sample_weight=None):
        self.X_, self.y_, self.sample_weight_ = X, y, sample_weight
        self.mean_, self.scale_ = X.mean(axis=0), X.std(axis=0)
        return self

    def score_samples(self, X):
        return -np.linalg.norm((X - self.mean_) / self.scale_, axis=1)


class FirstColumn(OutlierMixin, BaseEstimator):
    """Scores a row by its first value; has nothing but a decision function."""

    def fit(self, X, y=None):
        self.X_ = X
        return self

    def decision_function(self, X):
        return np.asarray(X, dtype=float)[:, [0]]


def column(*values):
    return np.array(values, dtype=float)[:, None]


def calibrated_on(*scores, **parameters):
    """A detector whose calibration scores these are; a row is its own score."""
    detector = ConformalOutlierDetector(FrozenEstimator(FirstColumn().fit(None)), **parameters)
    return detector.fit(column(*scores))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.RandomState(0)
    return np.r_[rng.randn(180, 2), 5 + rng.randn(20, 2)]


IS_OUTLIER = np.arange(200) >= 180


def assert_mean_at_most(values, bound, message=""):
    """The values, one for each simulated data set, do not average more than the bound."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert np.mean(values) <= bound + 3 * error, message


def assert_mean_is(values, expected):
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values) - expected) <= 3.5 * error


# -- the formula ----------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", DETECTORS, ids=name)
def test_p_value_counts_the_calibration_rows_that_score_as_low(rows, detector):
    conformal = ConformalOutlierDetector(detector, random_state=0).fit(rows)
    own = conformal.calibration_scores_
    assert len(own) == 40
    for row, p_value in zip(rows, conformal.predict_pvalue(rows), strict=True):
        # A row has the same score in company up to rounding.
        score = conformal.estimator_.score_samples(row[None])[0]
        n_lower = sum(float(c) <= score + 1e-10 for c in own)
        assert p_value == (1 + n_lower) / (40 + 1)


@pytest.mark.parametrize("seed", range(5))
def test_p_values_with_many_ties_equal_a_count(seed):
    rng = np.random.RandomState(seed)
    own, new = rng.randint(-3, 4, size=17), rng.randint(-4, 5, size=50)
    expected = [(1 + sum(c <= s for c in own)) / 18 for s in new]
    np.testing.assert_array_equal(calibrated_on(*own).predict_pvalue(column(*new)), expected)


def test_equal_score_counts_as_low():
    conformal = calibrated_on(1, 2, 2, 3)
    p_values = conformal.predict_pvalue(column(0.9, 1, 1.5, 2, 2.5, 3, 4))
    np.testing.assert_array_equal(p_values, np.array([1, 2, 2, 4, 4, 5, 5]) / 5)


@pytest.mark.parametrize("scale", [1e-12, 1, 1e12])
def test_scores_that_differ_by_rounding_are_equal(scale):
    third = (0.1 + 0.2) * scale
    beside = 0.3 * scale
    assert third > beside
    for own, new in [(third, beside), (beside, third), (-third, -beside), (-beside, -third)]:
        assert calibrated_on(own).predict_pvalue(column(new)) == 1
    lower, higher = calibrated_on(third).predict_pvalue(column(0.299999 * scale, 0.300001 * scale))
    assert (lower, higher) == (0.5, 1)


def test_rounding_of_a_score_near_zero_is_that_of_its_terms():
    conformal = calibrated_on(-1, 0.1 + 0.2 - 0.3, 1)
    assert conformal.predict_pvalue(column(0.0)) == 0.75


def test_one_wild_calibration_score_does_not_make_the_others_equal():
    conformal = calibrated_on(-1e15, 1, 2, 3)
    p_values = conformal.predict_pvalue(column(-1e16, 0, 1, 2.5))
    np.testing.assert_array_equal(p_values, np.array([1, 2, 3, 4]) / 5)


def test_calibration_scores_are_those_of_the_rows_held_out_lowest_first(rows):
    conformal = ConformalOutlierDetector(Closeness(), random_state=0).fit(rows)
    fitted_on = {tuple(row) for row in conformal.estimator_.X_}
    held_out = np.array([row for row in rows if tuple(row) not in fitted_on])
    assert len(fitted_on) + len(held_out) == len(rows)
    expected = np.sort(Closeness().fit(conformal.estimator_.X_).score_samples(held_out))
    np.testing.assert_allclose(conformal.calibration_scores_, expected)


def test_decision_function_stands_in_for_scores():
    conformal = ConformalOutlierDetector(FirstColumn(), calibration_size=3, random_state=0)
    conformal.fit(column(1, 2, 3, 4, 5, 6))
    assert conformal.calibration_scores_.shape == (3,)
    assert set(conformal.calibration_scores_) <= {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("detector", DETECTORS, ids=name)
def test_p_value_does_not_depend_on_company_or_order(rows, detector):
    conformal = ConformalOutlierDetector(detector, random_state=0, control="fdr").fit(rows)
    together = conformal.predict_pvalue(rows)
    order = np.random.RandomState(0).permutation(len(rows))
    np.testing.assert_array_equal(conformal.predict_pvalue(rows[order]), together[order])
    alone = np.concatenate([conformal.predict_pvalue(row[None]) for row in rows])
    np.testing.assert_array_equal(alone, together)


def test_p_value_does_not_depend_on_batches_of_a_network(rows):
    detector = VAEOutlierDetector(max_iter=3, random_state=0)
    conformal = ConformalOutlierDetector(detector, random_state=0).fit(rows)
    alone = np.concatenate([conformal.predict_pvalue(row[None]) for row in rows])
    np.testing.assert_array_equal(alone, conformal.predict_pvalue(rows))


# -- the promise: p-values of normal rows ---------------------------------------------------------

LEVELS = [0.02, 0.05, 0.1, 0.25, 0.5, 0.9]


def normal_p_values(n_repeats=400, n_rows=100, calibration_size=39):
    rng = np.random.RandomState(0)
    detector = ConformalOutlierDetector(
        Closeness(), calibration_size=calibration_size, random_state=rng
    )
    return np.array(
        [
            detector.fit(rng.randn(n_rows, 3)).predict_pvalue(rng.randn(50, 3))
            for _ in range(n_repeats)
        ]
    )


@pytest.fixture(scope="module")
def p_values():
    return normal_p_values()


@pytest.mark.parametrize("level", LEVELS)
def test_p_values_of_normal_rows_keep_every_level(p_values, level):
    assert_mean_at_most((p_values <= level).mean(axis=1), level)


@pytest.mark.parametrize("level", LEVELS)
def test_p_values_of_normal_rows_use_the_level_up_to_their_step(p_values, level):
    attainable = np.floor(level * 40 + 1e-9) / 40
    assert_mean_is((p_values <= level).mean(axis=1), attainable)


def test_p_values_hold_although_the_detector_has_learned_its_rows_by_heart():
    """The nearest neighbour of a training row is itself; held-out rows show what new ones do."""

    class Neighbour(Closeness):
        def score_samples(self, X):
            return -np.linalg.norm(X[:, None] - self.X_[None], axis=2).min(axis=1)

    rng = np.random.RandomState(0)
    rates = []
    for _ in range(200):
        conformal = ConformalOutlierDetector(Neighbour(), level=0.2, random_state=rng)
        conformal.fit(rng.randn(70, 2))
        rates.append((conformal.predict(rng.randn(50, 2)) == -1).mean())
    assert_mean_is(rates, 0.2)


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_flags_of_normal_rows_keep_the_level(level):
    rng = np.random.RandomState(1)
    conformal = ConformalOutlierDetector(Closeness(), level=level, random_state=rng)
    rates = [
        (conformal.fit(rng.randn(195, 2)).predict(rng.randn(50, 2)) == -1).mean()
        for _ in range(300)
    ]
    assert_mean_is(rates, level)


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_rate_with_given_calibration_rows_is_off_by_what_the_docstring_says(level):
    """Scores are uniform, so that an even grid of rows shows the rate."""
    rng = np.random.RandomState(0)
    grid = column(*np.linspace(0, 1, 2001))
    rates = [
        (calibrated_on(*rng.rand(99), level=level).predict(grid) == -1).mean() for _ in range(400)
    ]
    assert np.std(rates) == pytest.approx(np.sqrt(level * (1 - level) / 99), rel=0.15)


def shares_of_low_p_values(detector, X, levels, *, n_splits, max_rows=800):
    """Shares of held-out rows with p-values of at most the levels, a row for each random split."""
    rng = np.random.RandomState(0)
    conformal = ConformalOutlierDetector(detector, calibration_size=0.5, random_state=rng)
    shares = []
    for _ in range(n_splits):
        fitted, held_out = np.array_split(X[rng.permutation(len(X))[:max_rows]], 2)
        p_values = conformal.fit(fitted).predict_pvalue(held_out)
        shares.append([(p_values <= level).mean() for level in levels])
    return np.array(shares)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("detector", "n_splits", "every"),
    [
        (make_pipeline(VarianceThreshold(), Closeness()), 100, 1),
        (IsolationForest(n_estimators=5, max_samples=16, random_state=0), 50, 2),
    ],
    ids=["closeness", "forest"],
)
def test_p_values_of_normal_rows_of_real_tables_keep_every_level(
    shared_data, detector, n_splits, every
):
    """The p-values of a split share its calibration rows: one split is one value, not many."""
    files = sorted((shared_data / "adbench").glob("*.npz"))[::every]
    assert files
    levels = [0.01, 0.05, 0.1, 0.2]
    at_highest = []
    for file in files:
        with np.load(file) as data:
            X = data["X"][data["y"] == 0].astype(float)
        shares = shares_of_low_p_values(detector, X, levels, n_splits=n_splits)
        for level, values in zip(levels, shares.T, strict=True):
            assert_mean_at_most(values, level, f"{file.stem} at {level}")
        at_highest.append(shares[:, -1].mean())
    # Ties and few rows make it less, but not much.
    assert np.mean(at_highest) > 0.75 * levels[-1]


# -- the promise: false discoveries ---------------------------------------------------------------


def false_discoveries(control, *, n_repeats=300, level=0.2):
    """Share of flagged rows that are normal, and share of outliers flagged, for each data set."""
    rng = np.random.RandomState(0)
    conformal = ConformalOutlierDetector(
        Closeness(), calibration_size=200, control=control, level=level, random_state=rng
    )
    normal = np.arange(100) < 90
    shares, powers = [], []
    for _ in range(n_repeats):
        X = rng.randn(100, 2) * np.where(normal, 1, 4)[:, None]
        flagged = conformal.fit(rng.randn(260, 2)).predict(X) == -1
        shares.append((flagged & normal).sum() / max(flagged.sum(), 1))
        powers.append(flagged[~normal].mean())
    return shares, powers


def test_false_discovery_rate_keeps_its_level_with_outliers_present():
    shares, powers = false_discoveries("fdr")
    # What Benjamini and Hochberg's procedure keeps is the level times the share of normal rows.
    assert_mean_at_most(shares, 0.2 * 0.9)
    assert np.mean(shares) > 0.1
    assert np.mean(powers) > 0.5


def test_false_positive_rate_says_nothing_of_false_discoveries():
    shares, _ = false_discoveries("fpr", n_repeats=50)
    assert np.mean(shares) > 0.5


def test_without_outliers_there_is_seldom_any_discovery():
    rng = np.random.RandomState(0)
    conformal = ConformalOutlierDetector(
        Closeness(), calibration_size=199, control="fdr", level=0.2, random_state=rng
    )
    any_discovery = [
        (conformal.fit(rng.randn(220, 2)).predict(rng.randn(10, 2)) == -1).any() for _ in range(300)
    ]
    assert_mean_at_most(any_discovery, 0.2)
    assert np.mean(any_discovery) > 0.1


def by_hand(p_values, level):
    """Reject the k smallest p-values, for the largest k whose k-th is at most k / m * level."""
    m = len(p_values)
    ordered = sorted(p_values)
    k = max((i for i in range(1, m + 1) if ordered[i - 1] <= level * i / m), default=0)
    return np.array([k > 0 and p <= ordered[k - 1] for p in p_values])


@pytest.mark.parametrize("level", [0.03, 0.17, 0.43])
def test_discoveries_are_those_of_benjamini_and_hochberg(level):
    rng = np.random.RandomState(0)
    n_flagged = 0
    for _ in range(50):
        conformal = calibrated_on(*rng.randn(150), control="fdr", level=level)
        X = column(*rng.randn(30) - 4 * (rng.rand(30) < 0.3))
        p_values, flagged = conformal.predict_pvalue(X), conformal.predict(X) == -1
        np.testing.assert_array_equal(flagged, by_hand(p_values, level))
        np.testing.assert_array_equal(flagged, false_discovery_control(p_values) <= level)
        n_flagged += flagged.sum()
    assert n_flagged > 50


def test_a_larger_p_value_below_its_line_takes_the_smaller_ones_along():
    """p-values 0.03 and 0.04 at 0.05: 0.03 > 0.05 / 2, but 0.04 <= 0.05."""
    conformal = calibrated_on(*range(99), control="fdr")
    X = column(1.5, 2.5)
    np.testing.assert_allclose(conformal.predict_pvalue(X), [0.03, 0.04])
    assert conformal.predict(X).tolist() == [-1, -1]
    assert conformal.predict(column(1.5, 50)).tolist() == [1, 1]


@pytest.mark.parametrize("n_rows", [1, 2, 7])
def test_p_values_on_the_line_are_discoveries_whatever_the_rounding(n_rows):
    for rank in range(1, 100):
        ranks = np.full(n_rows, rank)
        assert highest_discovery(ranks, 99, rank / 100) == rank
        assert highest_discovery(ranks, 99, np.nextafter(rank / 100, 0)) == 0


def test_what_is_said_of_a_row_depends_on_the_others_for_discoveries_only():
    X = column(0.5, 1000)
    company = np.r_[X, column(*range(1000, 1050))]
    by_rate, by_discovery = (
        calibrated_on(*range(99), control=control) for control in ("fpr", "fdr")
    )
    assert by_rate.predict(X)[0] == by_rate.predict(company)[0] == -1
    assert by_discovery.predict(X)[0] == -1
    assert by_discovery.predict(company)[0] == 1


# -- calibration rows that are not normal ---------------------------------------------------------


def test_outliers_that_score_low_among_the_calibration_rows_make_every_p_value_larger(rows):
    detector = FrozenEstimator(Closeness().fit(rows[:100]))
    clean = ConformalOutlierDetector(detector).fit(rows[100:180])
    mixed = ConformalOutlierDetector(detector).fit(np.r_[rows[100:170], rows[190:]])
    assert rows[190:].shape == (10, 2)
    before, after = clean.predict_pvalue(rows), mixed.predict_pvalue(rows)
    assert (after >= before).all()
    assert (after > before).mean() > 0.5


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_contaminated_p_values_are_conservative_and_lose_power(share):
    rng = np.random.RandomState(0)

    def draw(n_samples, share):
        return rng.randn(n_samples, 2) * np.where(rng.rand(n_samples) < share, 5, 1)[:, None]

    alarms, powers = {}, {}
    for contamination in (0, share):
        conformal = ConformalOutlierDetector(Closeness(), level=0.1, random_state=rng)
        alarms[contamination], powers[contamination] = [], []
        for _ in range(150):
            conformal.fit(draw(200, contamination))
            alarms[contamination].append((conformal.predict(draw(100, 0)) == -1).mean())
            powers[contamination].append((conformal.predict(draw(100, 1)) == -1).mean())
    assert_mean_at_most(alarms[share], 0.1)
    assert np.mean(alarms[share]) < np.mean(alarms[0]) - 0.01
    assert np.mean(powers[share]) < np.mean(powers[0]) - 0.01


def test_outliers_that_score_high_among_the_calibration_rows_break_the_level():
    rng = np.random.RandomState(0)
    conformal = calibrated_on(*rng.randn(100), *(rng.randn(300) + 100), level=0.1)
    assert (conformal.predict(column(*rng.randn(2000))) == -1).mean() > 0.3


# -- threshold, scores and decisions --------------------------------------------------------------


@pytest.mark.parametrize("n_calibration", [1, 2, 7, 18, 19, 20, 99, 100, 333])
def test_decision_is_negative_where_the_p_value_is_at_most_the_level(n_calibration):
    X = column(*np.linspace(-2, n_calibration + 1, 200), *range(n_calibration), -1e300, 1e300)
    grid = np.arange(1, n_calibration + 1) / (n_calibration + 1)
    levels = {0.01, 0.05, 0.1, 0.3, 0.999, *grid, *np.nextafter(grid, 0), *np.nextafter(grid, 1)}
    conformal = calibrated_on(*range(n_calibration))
    p_values = conformal.predict_pvalue(X)
    for level in sorted(levels)[:: 1 + n_calibration // 20]:
        conformal.set_params(level=level).fit(column(*range(n_calibration)))
        flagged = p_values <= level
        np.testing.assert_array_equal(conformal.decision_function(X) < 0, flagged)
        np.testing.assert_array_equal(conformal.predict(X) == -1, flagged)


def test_offset_is_the_highest_p_value_that_is_flagged():
    assert calibrated_on(*range(99), level=0.1).offset_ == 0.1
    assert calibrated_on(*range(99), level=0.109).offset_ == 0.1
    assert calibrated_on(*range(18)).offset_ == 0
    assert calibrated_on(*range(99), level=0.999).offset_ == 0.99


@pytest.mark.parametrize("control", ["fpr", "fdr"])
@pytest.mark.parametrize("detector", [*DETECTORS, Closeness()], ids=name)
def test_decision_is_score_minus_offset_and_agrees_with_predict_on_the_rows_of_fit(
    rows, detector, control
):
    conformal = ConformalOutlierDetector(
        detector, calibration_size=0.5, control=control, level=0.3, random_state=0
    ).fit(rows[40:])
    X = rows[40:]
    decision = conformal.decision_function(X)
    np.testing.assert_array_equal(decision, conformal.score_samples(X) - conformal.offset_)
    np.testing.assert_array_equal(conformal.predict(X), np.where(decision < 0, -1, 1))


def test_threshold_of_discoveries_is_that_of_the_rows_of_fit():
    class SeenBefore(FirstColumn):
        """Takes the rows that it was fitted on for outliers."""

        def fit(self, X, y=None):
            self.rows_ = X
            return self

        def decision_function(self, X):
            return -np.isin(X, self.rows_).astype(float)

    X = column(*range(200))
    conformal = ConformalOutlierDetector(SeenBefore(), control="fdr", random_state=0).fit(X)
    assert conformal.offset_ == 1 / 41
    seen = np.isin(X, conformal.estimator_.rows_).ravel()
    assert seen.sum() == 160
    np.testing.assert_array_equal(conformal.predict(X) == -1, seen)
    np.testing.assert_array_equal(conformal.decision_function(X) < 0, seen)


@pytest.mark.parametrize("detector", DETECTORS, ids=name)
def test_scores_are_p_values_less_than_one_step_lower_in_the_order_of_the_detector(rows, detector):
    conformal = ConformalOutlierDetector(detector, random_state=0).fit(rows)
    scores, p_values = conformal.score_samples(rows), conformal.predict_pvalue(rows)
    assert (scores < p_values).all()
    assert (scores > p_values - 1 / 41).all()
    bare = conformal.estimator_.score_samples(rows)
    assert (np.diff(scores[np.argsort(bare, kind="stable")]) >= 0).all()
    distinct = len(np.unique(np.round(bare, 9)))
    assert len(np.unique(scores)) >= 0.9 * distinct


def test_scores_go_on_falling_far_below_the_calibration_rows():
    conformal = calibrated_on(*np.random.RandomState(0).randn(50))
    far = np.logspace(0.5, 7, 200)
    assert (conformal.predict_pvalue(column(*-far)) == 1 / 51).all()
    assert (np.diff(conformal.score_samples(column(*-far))) < 0).all()
    assert (np.diff(conformal.score_samples(column(*far))) > 0).all()


def test_equal_calibration_scores_give_finite_scores_in_order():
    for value in (0.0, 5.0, -1e6):
        conformal = calibrated_on(value, *np.nextafter(value, [-9e9, 9e9]), value)
        scores = conformal.score_samples(column(value - 2000, value - 1000, value, value + 1))
        assert np.isfinite(scores).all()
        assert (np.diff(scores) > 0).all()


@pytest.mark.parametrize("control", ["fpr", "fdr"])
@pytest.mark.parametrize("n_calibration", [1, 18])
def test_too_few_calibration_rows_for_the_level_flag_nothing(control, n_calibration):
    conformal = calibrated_on(*range(n_calibration), control=control)
    X = column(-1e300, -np.inf, -1e15, -1, 0, 5)
    assert (conformal.predict(X) == 1).all()
    decision = conformal.decision_function(X)
    assert np.isfinite(decision).all()
    assert (decision > 0).all()
    assert decision[3] > decision[2]


@pytest.mark.parametrize("control", ["fpr", "fdr"])
def test_nineteen_calibration_rows_are_enough_for_the_default_level(control):
    assert calibrated_on(*range(19), control=control).predict(column(-1)) == -1


def test_number_of_calibration_rows_that_discoveries_need():
    """To flag k of m rows m / (k * level) - 1 are needed: 2 of 10 at 0.05 need 99."""
    X = column(-1, -2, *[1000] * 8)
    assert (calibrated_on(*range(98), control="fdr").predict(X) == 1).all()
    assert (calibrated_on(*range(99), control="fdr").predict(X) == -1).sum() == 2


def test_level_and_control_are_read_by_fit():
    X = column(*range(99))
    conformal = calibrated_on(*range(99))
    before = conformal.predict(X)
    conformal.set_params(level=0.5, control="fdr")
    np.testing.assert_array_equal(conformal.predict(X), before)
    conformal = calibrated_on(*range(99), level=0.5, control="fdr")
    new = column(*range(-20, 40))
    before = conformal.predict(new)
    conformal.set_params(level=0.01, control="fpr")
    np.testing.assert_array_equal(conformal.predict(new), before)


def test_fit_predict_is_fit_and_then_predict(rows):
    conformal = ConformalOutlierDetector(DETECTORS[0], random_state=0)
    np.testing.assert_array_equal(conformal.fit_predict(rows), conformal.fit(rows).predict(rows))


# -- the split ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calibration_size", "expected"),
    [(0.2, 20), (0.994, 99), (0.001, 1), (0.156, 16), (1, 1), (99, 99), (np.int64(7), 7)],
)
def test_calibration_size_is_a_share_or_a_number(rows, calibration_size, expected):
    conformal = ConformalOutlierDetector(FirstColumn(), calibration_size=calibration_size)
    conformal.fit(rows[:100])
    assert len(conformal.calibration_scores_) == expected
    assert len(conformal.estimator_.X_) == 100 - expected


def test_rows_fitted_on_keep_their_order():
    X = np.arange(100.0)[:, None]
    conformal = ConformalOutlierDetector(Closeness(), random_state=0).fit(X)
    assert (np.diff(conformal.estimator_.X_[:, 0]) > 0).all()


def test_random_state_decides_the_split(rows):
    first, again, other = (
        ConformalOutlierDetector(Closeness(), random_state=seed).fit(rows) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.calibration_scores_, again.calibration_scores_)
    assert not np.array_equal(first.estimator_.X_, other.estimator_.X_)
    state = np.random.get_state()[1].tolist()
    ConformalOutlierDetector(Closeness(), random_state=0).fit(rows)
    assert np.random.get_state()[1].tolist() == state


def test_every_row_is_held_out_equally_often():
    X = np.arange(10.0)[:, None]
    conformal = ConformalOutlierDetector(FirstColumn(), calibration_size=3)
    rng = np.random.RandomState(0)
    held_out = np.zeros((1000, 10))
    for repeat in held_out:
        repeat[conformal.set_params(random_state=rng).fit(X).calibration_scores_.astype(int)] = 1
    for share in held_out.T:
        assert_mean_is(share, 0.3)


def test_labels_are_not_looked_at(rows):
    plain = ConformalOutlierDetector(Closeness(), random_state=0).fit(rows)
    labelled = ConformalOutlierDetector(Closeness(), random_state=0).fit(rows, IS_OUTLIER)
    np.testing.assert_array_equal(labelled.calibration_scores_, plain.calibration_scores_)
    assert labelled.estimator_.y_ is None


def test_frozen_detector_is_left_as_it_is_and_all_rows_calibrate_it(rows):
    fitted = IsolationForest(n_estimators=20, random_state=0).fit(rows[:100])
    conformal = ConformalOutlierDetector(FrozenEstimator(fitted), calibration_size=1)
    conformal.fit(rows[100:])
    assert conformal.estimator_.estimator is fitted
    assert len(conformal.calibration_scores_) == 100
    scores = np.sort(fitted.score_samples(rows[100:]))
    np.testing.assert_array_equal(conformal.calibration_scores_, scores)
    assert conformal.n_features_in_ == 2


def test_a_matrix_of_pairs_is_not_cut(rows):
    X = rows[:60]
    kernel, detector = rbf_kernel(X), OneClassSVM(kernel="precomputed")
    some = np.arange(60) % 10 == 0
    for estimator in (
        ConformalOutlierDetector(detector),
        OutlierClassifier(detector, fit_on="inliers"),
    ):
        with pytest.raises(ValueError, match="all pairs of rows"):
            estimator.fit(kernel, some)
    frozen = FrozenEstimator(clone(detector).fit(kernel))
    assert len(ConformalOutlierDetector(frozen).fit(kernel).predict_pvalue(kernel)) == 60
    of_all = OutlierClassifier(detector, outlier_label=True).fit(kernel, some).predict(kernel)
    np.testing.assert_array_equal(of_all, clone(detector).fit(kernel).predict(kernel) == -1)


def test_frozen_detector_that_is_not_fitted_says_so(rows):
    with pytest.raises(NotFittedError):
        ConformalOutlierDetector(FrozenEstimator(IsolationForest())).fit(rows)


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calibration_size", "n_samples"), [(5, 5), (6, 5), (0.2, 1), (0.9, 4), (1, 1), (0.996, 100)]
)
def test_split_that_leaves_no_row_to_fit_on_is_refused(rows, calibration_size, n_samples):
    conformal = ConformalOutlierDetector(Closeness(), calibration_size=calibration_size)
    message = rf"calibration_size={calibration_size} leaves no row.*n_samples={n_samples}\. Give"
    with pytest.raises(ValueError, match=message):
        conformal.fit(rows[:n_samples])


@pytest.mark.parametrize(
    "parameters",
    [
        {"calibration_size": 0},
        {"calibration_size": 1.0},
        {"calibration_size": 1.5},
        {"calibration_size": -3},
        {"calibration_size": "half"},
        {"control": "fwer"},
        {"level": 0.0},
        {"level": 1.0},
        {"level": None},
        {"random_state": "chance"},
    ],
)
def test_wrong_parameters_are_named(rows, parameters):
    (parameter,) = parameters
    with pytest.raises(ValueError, match=f"'{parameter}' parameter"):
        ConformalOutlierDetector(Closeness(), **parameters).fit(rows)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(LogisticRegression()),
        FrozenEstimator(LogisticRegression()),
        IsolationForest,
        None,
    ],
    ids=name,
)
def test_what_is_no_detector_is_refused(rows, estimator):
    with pytest.raises(TypeError, match="must be an outlier detector|parameter of"):
        ConformalOutlierDetector(estimator).fit(rows)


@pytest.mark.parametrize(
    "detector",
    [LocalOutlierFactor(), make_pipeline(StandardScaler(), LocalOutlierFactor())],
    ids=name,
)
def test_detector_that_cannot_score_new_rows_is_refused_with_the_remedy(rows, detector):
    with pytest.raises(TypeError, match="set novelty=True"):
        ConformalOutlierDetector(detector).fit(rows)


def test_one_text_is_no_list_of_texts():
    pipeline = make_pipeline(CountVectorizer(), IsolationForest())
    with pytest.raises(ValueError, match="one text; pass a list"):
        ConformalOutlierDetector(pipeline).fit("see you later")


def test_no_table_at_all_is_refused():
    with pytest.raises(ValueError, match="X is None; pass a table"):
        ConformalOutlierDetector(IsolationForest()).fit(None)
    for fit_on in ("all", "inliers"):
        with pytest.raises(ValueError, match="X is None; pass a table"):
            OutlierClassifier(IsolationForest(), fit_on=fit_on).fit(None, [0, 1, 1])


def test_calibration_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="gives 2 of 4 rows a decision_function that is not"):
        calibrated_on(1, -np.inf, np.inf, 2)
    with pytest.raises(ValueError, match="gives 1 of 3 rows a decision_function that is not"):
        calibrated_on(1, np.nan, 2)


def test_new_rows_may_score_minus_infinity_but_not_nan():
    conformal = calibrated_on(*range(19))
    assert conformal.predict_pvalue(column(-np.inf)) == 0.05
    assert conformal.predict(column(-np.inf)) == -1
    for method in ("predict_pvalue", "score_samples", "decision_function", "predict"):
        with pytest.raises(ValueError, match="gives 1 of 2 rows a decision_function that is NaN"):
            getattr(conformal, method)(column(1, np.nan))


@pytest.mark.parametrize("wrong", ["rows", "level", "size", "detector", "scores"])
def test_failed_fit_keeps_what_was_fitted(rows, wrong):
    conformal = ConformalOutlierDetector(OneClassSVM(), random_state=0).fit(rows)
    before, state = conformal.decision_function(rows), set(vars(conformal))
    X, parameters = -rows, {}
    if wrong == "rows":
        X = np.full_like(rows, np.nan)
    elif wrong == "level":
        parameters = {"level": 2.0}
    elif wrong == "size":
        parameters = {"calibration_size": 200}
    elif wrong == "detector":
        parameters = {"estimator": LogisticRegression()}
    else:
        parameters = {"estimator": FirstColumn()}
        X = np.full_like(rows, np.nan)
    with pytest.raises((ValueError, TypeError)):
        conformal.set_params(**parameters).fit(X)
    np.testing.assert_array_equal(conformal.decision_function(rows), before)
    assert set(vars(conformal)) == state


def test_first_fit_that_fails_leaves_nothing(rows):
    conformal = ConformalOutlierDetector(FirstColumn())
    with pytest.raises(ValueError, match="not finite"):
        conformal.fit(rows * np.nan)
    assert set(vars(conformal)) == set(conformal.get_params(deep=False))


@pytest.mark.parametrize(
    "method", ["predict_pvalue", "score_samples", "decision_function", "predict"]
)
def test_unfitted_detector_says_so(rows, method):
    with pytest.raises(NotFittedError):
        getattr(ConformalOutlierDetector(IsolationForest()), method)(rows)


# -- with scikit-learn ----------------------------------------------------------------------------


def test_it_is_a_detector_that_shows_the_input_tags_of_its_detector():
    for detector in (IsolationForest(), VAEOutlierDetector(), EllipticEnvelope()):
        conformal = ConformalOutlierDetector(detector)
        assert is_outlier_detector(conformal)
        assert get_tags(conformal).input_tags == get_tags(detector).input_tags
    assert get_tags(ConformalOutlierDetector(IsolationForest())).input_tags.allow_nan


def test_missing_values_reach_a_detector_that_takes_them(rows):
    X = np.where(np.random.RandomState(0).rand(*rows.shape) < 0.1, np.nan, rows)
    conformal = ConformalOutlierDetector(DETECTORS[0], random_state=0).fit(X)
    assert np.isfinite(conformal.predict_pvalue(X)).all()


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array])
@pytest.mark.parametrize("control", ["fpr", "fdr"])
def test_sparse_rows_give_the_same_as_dense_ones(rows, make, control):
    conformal = ConformalOutlierDetector(DETECTORS[0], control=control, random_state=0)
    dense = conformal.fit(rows).predict_pvalue(rows)
    sparse = conformal.fit(make(rows)).predict_pvalue(make(rows))
    np.testing.assert_array_equal(sparse, dense)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, pd.DataFrame, np.ndarray.tolist])
def test_rows_reach_the_detector_in_their_own_kind(rows, kind):
    seen = []

    class Recorder(FirstColumn):
        def fit(self, X, y=None):
            seen.append(type(X))
            self.detector_ = clone(DETECTORS[0]).fit(X)
            return self

        def decision_function(self, X):
            seen.append(type(X))
            return self.detector_.decision_function(X)

    given = kind(rows)
    ConformalOutlierDetector(Recorder()).fit(given)
    assert seen == [type(given)] * 2


def test_columns_of_a_data_frame_are_remembered(rows):
    frame = pd.DataFrame(rows, columns=["length", "links"])
    conformal = ConformalOutlierDetector(DETECTORS[0])
    assert not hasattr(conformal, "n_features_in_")
    conformal.fit(frame)
    assert conformal.n_features_in_ == 2
    assert conformal.feature_names_in_.tolist() == ["length", "links"]
    with pytest.raises(ValueError, match="feature names"):
        conformal.predict_pvalue(frame[["links", "length"]])


def test_raw_messages_go_through_a_pipeline_of_words_and_autoencoder():
    messages, _ = make_messages(120, spam_fraction=0.2, random_state=0)
    pipeline = make_pipeline(
        CountVectorizer(binary=True), VAEOutlierDetector(max_iter=3, random_state=0)
    )
    conformal = ConformalOutlierDetector(pipeline, level=0.2, random_state=0).fit(messages)
    p_values = conformal.predict_pvalue(messages)
    np.testing.assert_array_equal(conformal.predict(messages) == -1, p_values <= 0.2)
    assert len(np.unique(p_values)) > 10


def test_it_works_as_the_last_step_of_a_pipeline(rows):
    conformal = ConformalOutlierDetector(DETECTORS[0], level=0.2, random_state=0)
    pipeline = make_pipeline(StandardScaler(), conformal).fit(rows)
    scaled = StandardScaler().fit_transform(rows)
    np.testing.assert_array_equal(pipeline.predict(rows), conformal.fit(scaled).predict(scaled))


@pytest.mark.parametrize("control", ["fpr", "fdr"])
@pytest.mark.parametrize("fit_on", ["all", "inliers"])
def test_it_works_in_a_classifier(rows, control, fit_on):
    y = np.where(IS_OUTLIER, "spam", "ham")
    conformal = ConformalOutlierDetector(Closeness(), control=control, random_state=0)
    classifier = OutlierClassifier(conformal, fit_on=fit_on).fit(rows, y)
    flagged = classifier.predict(rows) == "spam"
    np.testing.assert_array_equal(flagged, classifier.estimator_.decision_function(rows) < 0)
    if control == "fpr":
        np.testing.assert_array_equal(flagged, classifier.estimator_.predict_pvalue(rows) <= 0.05)
    assert ((classifier.predict_proba(rows)[:, 1] > 0.5) == flagged).all()


def test_labels_keep_outliers_out_of_the_calibration_rows(rows):
    conformal = ConformalOutlierDetector(Closeness(), random_state=0)
    kept = OutlierClassifier(conformal, fit_on="inliers").fit(rows, IS_OUTLIER)
    mixed = OutlierClassifier(conformal).fit(rows, IS_OUTLIER)
    assert len(kept.estimator_.calibration_scores_) == 36
    assert kept.predict(rows)[IS_OUTLIER].mean() > mixed.predict(rows)[IS_OUTLIER].mean() + 0.1


def test_too_few_calibration_rows_in_a_classifier_flag_nothing(rows):
    conformal = ConformalOutlierDetector(Closeness(), calibration_size=5, random_state=0)
    classifier = OutlierClassifier(conformal).fit(rows, IS_OUTLIER)
    assert not classifier.predict(rows).any()
    assert np.isfinite(classifier.predict_proba(rows)).all()


def test_a_dict_of_columns_is_no_table():
    with pytest.raises(TypeError, match="dict; pass a table"):
        ConformalOutlierDetector(IsolationForest()).fit({"a": [1, 2, 3], "b": [3, 4, 5]})


def test_two_jobs_agree_with_one(rows):
    search = GridSearchCV(
        ConformalOutlierDetector(DETECTORS[0], random_state=0),
        {"level": [0.05, 0.2], "control": ["fpr", "fdr"], "estimator__n_estimators": [5, 10]},
        scoring=make_outlier_scorer("f1"),
        cv=StratifiedKFold(2),
        error_score="raise",
    )
    y = np.where(IS_OUTLIER, -1, 1)
    one, two = (clone(search).set_params(n_jobs=n_jobs).fit(rows, y) for n_jobs in (1, 2))
    for key in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(one.cv_results_[key], two.cv_results_[key])
    p_values = [fitted.best_estimator_.predict_pvalue(rows) for fitted in (one, two)]
    np.testing.assert_array_equal(*p_values)
    assert len(set(one.cv_results_["mean_test_score"])) > 1


@pytest.mark.parametrize("control", ["fpr", "fdr"])
def test_pickle_predicts_the_same(rows, control):
    conformal = ConformalOutlierDetector(DETECTORS[0], control=control, level=0.3, random_state=0)
    again = pickle.loads(pickle.dumps(conformal.fit(rows)))
    np.testing.assert_array_equal(again.predict_pvalue(rows), conformal.predict_pvalue(rows))
    np.testing.assert_array_equal(again.predict(rows), conformal.predict(rows))


def test_clone_is_unfitted_and_has_the_same_parameters(rows):
    conformal = ConformalOutlierDetector(
        DETECTORS[0], calibration_size=30, control="fdr", level=0.1, random_state=3
    ).fit(rows)
    copy = clone(conformal)
    assert set(vars(copy)) == set(conformal.get_params(deep=False))
    for parameter in ("calibration_size", "control", "level", "random_state"):
        assert getattr(copy, parameter) == getattr(conformal, parameter)
    assert copy.estimator is not conformal.estimator


def test_fit_leaves_the_given_detector_unfitted(rows):
    detector = IsolationForest(n_estimators=5)
    ConformalOutlierDetector(detector).fit(rows)
    assert not hasattr(detector, "estimators_")


def test_sample_weight_follows_the_rows_that_are_fitted_on(rows):
    weight = rows[:, 0] + 100
    with sklearn.config_context(enable_metadata_routing=True):
        detector = Closeness().set_fit_request(sample_weight=True)
        conformal = ConformalOutlierDetector(detector, random_state=0)
        conformal.fit(rows, sample_weight=weight)
    np.testing.assert_array_equal(
        conformal.estimator_.sample_weight_, conformal.estimator_.X_[:, 0] + 100
    )
    assert len(conformal.estimator_.sample_weight_) == 160


def test_sample_weight_that_is_not_requested_is_refused(rows):
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(ValueError, match="sample_weight"),
    ):
        ConformalOutlierDetector(Closeness()).fit(rows, sample_weight=np.ones(200))


def test_sample_weight_without_metadata_routing_is_refused(rows):
    with pytest.raises(ValueError, match=r"enable_metadata_routing=True.*sample_weight"):
        ConformalOutlierDetector(Closeness()).fit(rows, sample_weight=np.ones(200))


def test_a_score_far_below_close_ones_is_finite():
    rows = np.linspace(0, 1e-9, 100)[:, None]
    detector = ConformalOutlierDetector(FirstColumn(), random_state=0).fit(rows)
    assert np.isfinite(detector.score_samples([[-1e308]])).all()
