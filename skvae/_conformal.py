"""p-values for any outlier detector."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state, indexable
from sklearn.utils.validation import check_is_fitted

from ._base import ROUNDING
from ._compat import (
    Interval,
    ParameterConstraints,
    StrOptions,
    num_samples,
    safe_indexing,
)
from ._meta import DetectorWrapper
from ._validation import restored_on_error


class ConformalOutlierDetector(OutlierMixin, DetectorWrapper):
    """Outlier detector with p-values, that keeps to a rate of false alarms.

    Fits a detector to some of the rows and scores the others, the calibration rows. The p-value of
    a new row is the share of calibration rows, the new one counted among them, that score as low
    or lower [1]_. Whatever the detector and the data, a normal row has a p-value of at most a with
    a probability of at most a, if the calibration rows are normal rows too.

    Parameters
    ----------
    estimator : estimator
        Outlier detector with scikit-learn's signs (high scores are normal), or a pipeline that ends
        in one. X is handed to it as it is: dense, sparse or raw text. A `FrozenEstimator` is left
        as it is, and then all rows of `fit`, which should not be those that it learned from, are
        calibration rows.
    calibration_size : int or float, default=0.2
        Number of calibration rows, or their share of the rows in (0, 1): the nearest whole number
        of them, and at least one.
    control : {"fpr", "fdr"}, default="fpr"
        What `predict` keeps below `level`. "fpr" is the false-positive rate, the share of normal
        rows that are flagged. "fdr" is the false-discovery rate, the share of flagged rows that are
        normal, by Benjamini and Hochberg's procedure [3]_ on the rows that are passed together;
        what is said of one then depends on the others.
    level : float, default=0.05
        The largest rate allowed, in (0, 1). Like `control` read by `fit`.
    random_state : int, RandomState instance or None, default=None
        Determines which rows are calibration rows; the detector has its own.

    Attributes
    ----------
    estimator_ : estimator
        The fitted detector.
    calibration_scores_ : ndarray of shape (n_calibration,)
        What `estimator_` gives the calibration rows, lowest first: its `score_samples`, or its
        `decision_function` if it has no other.
    offset_ : float
        Threshold on `score_samples`, in [0, 1); ``decision_function`` is ``score_samples`` minus
        it. It is the highest p-value that is flagged, for "fdr" among the rows of `fit`, or 0 if
        none is.
    n_features_in_ : int
        Number of features seen in `fit`, if the detector knows it.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, if the detector knows them.

    See Also
    --------
    OutlierClassifier : With ``fit_on="inliers"`` it leaves labelled outliers out of the calibration
        rows of this detector.
    scipy.stats.false_discovery_control : Adjusts p-values for other procedures.

    Notes
    -----
    The lowest p-value there can be is 1 / (n_calibration + 1). With fewer than 1 / level - 1
    calibration rows, 19 at the default level, no row is ever flagged. To flag k of m rows "fdr"
    needs m / (k * level) - 1 of them.

    The rate is kept on average over calibration rows drawn anew. With those there are, the
    false-positive rate is off by about ``sqrt(level * (1 - level) / n_calibration)`` [2]_. The
    false-discovery rate too is a mean, over calibration rows and the rows judged [2]_.

    Outliers among the calibration rows that score low make p-values larger: there are no more false
    alarms, but more outliers are missed. Outliers that score higher than normal rows make p-values
    smaller, and these no longer hold.

    Rows that the detector was fitted on have no valid p-value, mostly a larger one than a new row
    would have. `fit_predict` judges such rows.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random World", Springer,
       2005, section 2.2.
    .. [2] S. Bates, E. Candès, L. Lei, Y. Romano and M. Sesia, "Testing for outliers with conformal
       p-values", Annals of Statistics 51(1), 2023.
    .. [3] Y. Benjamini and Y. Hochberg, "Controlling the False Discovery Rate: A Practical and
       Powerful Approach to Multiple Testing", Journal of the Royal Statistical Society B 57(1),
       1995.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from skvae import ConformalOutlierDetector
    >>> X = np.random.RandomState(0).randn(495, 2)
    >>> detector = ConformalOutlierDetector(IsolationForest(random_state=0), random_state=0).fit(X)
    >>> detector.predict_pvalue([[0.0, 0.0], [9.0, 9.0]])
    array([0.94, 0.01])
    >>> detector.predict([[0.0, 0.0], [9.0, 9.0]])
    array([ 1, -1])
    """

    _parameter_constraints: ParameterConstraints = {
        "estimator": [BaseEstimator],
        "calibration_size": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
        ],
        "control": [StrOptions({"fpr", "fdr"})],
        "level": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, estimator, *, calibration_size=0.2, control="fpr", level=0.05, random_state=None
    ):
        self.estimator = estimator
        self.calibration_size = calibration_size
        self.control = control
        self.level = level
        self.random_state = random_state

    def fit(self, X, y=None, **fit_params):
        """Fit the detector to some rows and score the others.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what `estimator` takes
            Training rows; at least two.
        y : Ignored
            Present for API consistency.
        **fit_params : dict
            Metadata for the detector's `fit`, if metadata routing is enabled. What has an entry for
            each row is cut to the rows fitted on.

        Returns
        -------
        self : ConformalOutlierDetector
            The fitted detector.

        Raises
        ------
        ValueError
            If a parameter is not allowed, no row is left to fit on, the detector takes a matrix of
            pairs and is not frozen, or it gives a calibration row a score that is not finite. This
            detector is then as it was before.
        TypeError
            If `estimator` is not an outlier detector with scikit-learn's signs, or cannot score new
            rows; or X is a dict.
        """
        with restored_on_error(self):
            self._check_fit(X, fit_params)
            (rows,) = indexable(X)
            fitted_on, held_out = self._split(num_samples(rows))
            self._fit_detector(rows, fit_params, fitted_on)
            held_out_rows = safe_indexing(rows, held_out)
            self._refuse_detector(held_out_rows, "score_samples", "decision_function")
            self.calibration_scores_ = np.sort(self._detector_scores(held_out_rows, finite=True))
            self._control, self._level = self.control, self.level
            self.offset_ = self._highest_flagged(X) / (len(self.calibration_scores_) + 1)
        return self

    def _split(self, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows to fit on and rows to calibrate on."""
        if isinstance(self.estimator, FrozenEstimator):
            return np.arange(n_samples), np.arange(n_samples)
        n_calibration = self.calibration_size
        if not isinstance(n_calibration, Integral):
            n_calibration = max(1, round(n_calibration * n_samples))
        if n_calibration >= n_samples:
            raise ValueError(
                f"calibration_size={self.calibration_size} leaves no row to fit the estimator on: "
                f"n_samples={n_samples}. Give more rows, or make calibration_size smaller."
            )
        order = check_random_state(self.random_state).permutation(n_samples)
        return np.sort(order[n_calibration:]), np.sort(order[:n_calibration])

    def _detector_scores(self, X: Any, *, finite: bool = False) -> np.ndarray:
        own = hasattr(self.estimator_, "score_samples")
        method = "score_samples" if own else "decision_function"
        return self._ask_detector(method, X, finite=finite)

    def _ranks(self, scores: np.ndarray) -> np.ndarray:
        """p-values in units of 1 / (n_calibration + 1): whole numbers from 1."""
        size = np.abs(self.calibration_scores_)
        lowered = self.calibration_scores_ - ROUNDING * (size + np.median(size))
        return 1 + np.searchsorted(lowered, scores, side="right")

    def _highest_flagged(self, X: Any) -> int:
        """Rank up to which rows are flagged, 0 for none; only "fdr" looks at the rows."""
        n = len(self.calibration_scores_)
        if self._control == "fpr":
            return int(np.count_nonzero(np.arange(1, n + 1) / (n + 1) <= self._level))
        return highest_discovery(self._ranks(self._detector_scores(X)), n, self._level)

    def predict_pvalue(self, X):
        """p-value of each row: small ones speak against a normal row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what `estimator` takes
            Rows to judge; new ones, that the detector was not fitted on.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            1 + the number of calibration scores that are as low as the row's or lower, over
            n_calibration + 1. Scores that differ by no more than rounding count as equal. Each row
            is judged by itself, whatever `control` says.

        Raises
        ------
        ValueError
            If the detector refuses X, or gives a row NaN for a score.
        """
        check_is_fitted(self)
        ranks = self._ranks(self._detector_scores(X))
        return ranks / (len(self.calibration_scores_) + 1)

    def score_samples(self, X):
        """p-values, made to differ where the detector's scores do.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what `estimator` takes
            Rows to score.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Higher is more normal. Below the p-value by less than 1 / (n_calibration + 1), and in
            the order of the detector's scores, which ``estimator_`` gives in their own unit.

        Raises
        ------
        ValueError
            If the detector refuses X, or gives a row NaN for a score.
        """
        check_is_fitted(self)
        scores, own = self._detector_scores(X), self.calibration_scores_
        center = np.median(own)
        scale = np.median(np.abs(own - center)) + ROUNDING * np.median(np.abs(own)) or 1.0
        # Between 0.25 and 0.75, so that rounding never takes it across the threshold.
        with np.errstate(over="ignore"):
            within_rank = 0.5 - np.arctan((scores - center) / scale) / (2 * np.pi)
        return (self._ranks(scores) - within_rank) / (len(own) + 1)

    def decision_function(self, X):
        """``score_samples(X) - offset_``: negative for outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what `estimator` takes
            Rows to score.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            With ``control="fpr"`` negative where `predict` says -1, and never where there are too
            few calibration rows to flag any. With "fdr" the threshold is that of the rows of `fit`,
            while `predict` finds one for the rows it is given.

        Raises
        ------
        ValueError
            If the detector refuses X, or gives a row NaN for a score.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Say which rows are outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what `estimator` takes
            Rows to judge. With ``control="fdr"`` the label of a row depends on the others: pass all
            among which the rate is to be kept together.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            -1 for an outlier, 1 for an inlier.

        Raises
        ------
        ValueError
            If the detector refuses X, or gives a row NaN for a score.
        """
        check_is_fitted(self)
        if self._control == "fpr":
            return np.where(self.decision_function(X) < 0, -1, 1)
        ranks = self._ranks(self._detector_scores(X))
        last = highest_discovery(ranks, len(self.calibration_scores_), self._level)
        return np.where(ranks <= last, -1, 1)


def highest_discovery(ranks: np.ndarray, n_calibration: int, level: float) -> int:
    """Highest rank that Benjamini and Hochberg's procedure rejects, 0 for none.

    Parameters
    ----------
    ranks : ndarray of shape (n_samples,)
        p-values in units of 1 / (n_calibration + 1).
    n_calibration : int
    level : float
        The false-discovery rate allowed.
    """
    ranks = np.sort(ranks)
    position = np.arange(1, len(ranks) + 1)
    # Whole numbers up to the one division, so that no rounding parts what is equal.
    rejected = ranks * len(ranks) / (position * (n_calibration + 1)) <= level
    return int(ranks[rejected].max(initial=0))
