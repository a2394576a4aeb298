"""Metrics and thresholds for outlier detectors, whatever the coding of the labels."""

from __future__ import annotations

import reprlib
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import is_outlier_detector
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import unique_labels

from ._meta import refuse_other_signs
from ._validation import check_labels

__all__ = ["make_outlier_scorer", "plateau_threshold", "recall_at_fpr_score"]

METRICS = ("f1", "average_precision", "roc_auc")

# Taken off where the false-positive rate is too high. One fold of hundreds of thousands that pays
# it outweighs all the recall of the others; an infinite one would make interpolated scores NaN.
PENALTY = 1e6


def make_outlier_scorer(metric, *, outlier_label=None):
    """Make a scorer that judges a bare outlier detector against labels.

    scikit-learn's own scorers mistake a detector: with labels -1 and 1, ``scoring="f1"`` is the F1
    of the inliers, and with 0 and 1 it fails. The scorers made here always mean the outliers.

    Parameters
    ----------
    metric : {"f1", "average_precision", "roc_auc"}
        "f1" compares `predict` with the labels; the others rank rows by `decision_function`.
    outlier_label : label, default=None
        The label in y that means outlier. None reads it off the labels where their coding is
        common: -1 among {-1, 1} (scikit-learn's), 1 or True among {0, 1} (benchmark sets').

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y)`` returns a float, higher is better; for `GridSearchCV` and
        `cross_val_score`.

    Raises
    ------
    ValueError
        By the call of `make_outlier_scorer` if `metric` is unknown; by the scorer if y leaves open
        which label means outlier, does not hold both outliers and inliers, or misses a label.
    TypeError
        By the scorer, if the estimator is no outlier detector with scikit-learn's signs, such as an
        `OutlierClassifier` or one of PyOD's.

    See Also
    --------
    skvae.OutlierClassifier : Makes scikit-learn's own scorers work, which may need `pos_label`.

    Notes
    -----
    Not for `TunedThresholdClassifierCV`: it takes scorers of scikit-learn's own, and tunes
    classifiers, which these judge better.

    ``cv=5`` on a detector is an unshuffled `KFold`, because a detector is no classifier to
    scikit-learn: pass ``cv=StratifiedKFold(5, shuffle=True, random_state=0)``.

    "roc_auc" counts false alarms among the inliers, "average_precision" among the alarms: where
    outliers are rare the second falls much further [1]_.

    References
    ----------
    .. [1] J. Davis and M. Goadrich, "The Relationship Between Precision-Recall and ROC Curves",
       ICML 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from skvae.metrics import make_outlier_scorer
    >>> X = np.r_[np.random.RandomState(0).randn(95, 2), np.full((5, 2), 9.0)]
    >>> y = np.array(["ham"] * 95 + ["spam"] * 5)
    >>> detector = IsolationForest(random_state=0).fit(X)
    >>> scorer = make_outlier_scorer("roc_auc", outlier_label="spam")
    >>> float(scorer(detector, X, y))
    1.0
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {METRICS}, got {metric!r}.")
    return _OutlierScorer(metric, outlier_label)


class _OutlierScorer:
    """See `make_outlier_scorer`; a class so that it can be pickled."""

    def __init__(self, metric: str, outlier_label: Any):
        self.metric = metric
        self.outlier_label = outlier_label

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        if not is_outlier_detector(estimator):
            raise TypeError(
                f"make_outlier_scorer judges bare outlier detectors, not {estimator!r}. For a "
                "classifier, OutlierClassifier among them, use scikit-learn's own scorers."
            )
        is_outlier, _ = outlier_mask(y, self.outlier_label)
        refuse_other_signs(estimator, X)
        if self.metric == "f1":
            flagged = np.asarray(estimator.predict(X)) == -1
            return float(f1_score(is_outlier, flagged))
        score = {"average_precision": average_precision_score, "roc_auc": roc_auc_score}
        return float(score[self.metric](is_outlier, -estimator.decision_function(X)))

    def __repr__(self) -> str:
        return f"make_outlier_scorer({self.metric!r}, outlier_label={self.outlier_label!r})"


def outlier_mask(
    y: Any, outlier_label: Any, parameter: str = "outlier_label"
) -> tuple[np.ndarray, Any]:
    """Which entries of y mean outlier, as booleans, and the label; see `make_outlier_scorer`.

    `parameter` is what the user knows the label by.
    """
    y = check_labels(y)
    labels = set(np.unique(y).tolist())
    shown = reprlib.repr(sorted(labels, key=str))
    if outlier_label is None:
        if -1 in labels and labels <= {-1, 1}:
            outlier_label = -1
        elif 0 in labels and labels <= {0, 1}:
            outlier_label = 1
        else:
            raise ValueError(
                f"The labels {shown} do not say which of them means outlier. Say it by {parameter}."
            )
    is_outlier = np.asarray(y == outlier_label)
    if is_outlier.all() or not is_outlier.any():
        raise ValueError(
            f"y must hold both outliers (label {outlier_label!r}) and inliers, got only {shown}. "
            f"If another label means outlier, say it by {parameter}. If this is a part of the "
            "rows, split them with StratifiedKFold: for a detector an integer cv does not stratify."
        )
    return is_outlier, outlier_label


def recall_at_fpr_score(y_true, y_pred, *, max_fpr, pos_label=None):
    """Recall, where the false-positive rate is allowed.

    To tune by it is to find as many outliers as possible while at most a share `max_fpr` of the
    inliers is flagged, the Neyman-Pearson criterion [1]_. For `TunedThresholdClassifierCV` and
    `GridSearchCV`: ``make_scorer(recall_at_fpr_score, max_fpr=0.01, pos_label="spam")``.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels; all but `pos_label` count as negative.
    y_pred : array-like of shape (n_samples,)
        Predicted labels.
    max_fpr : float
        Largest false-positive rate allowed, in [0, 1]: false positives over all negatives.
    pos_label : label, default=None
        The label of the outliers; None for -1 among {-1, 1}, and 1 or True among {0, 1}.

    Returns
    -------
    score : float
        The recall, in [0, 1], where the false-positive rate is at most `max_fpr`; otherwise -1e6
        less the excess of the rate.

    Raises
    ------
    ValueError
        If `max_fpr` is not in [0, 1], `y_true` leaves open which label means outlier or does not
        hold both kinds of rows, a label is missing, the lengths differ, or `y_pred` holds -1 where
        `y_true` has 0 and 1, or 0 where that has -1 and 1: predictions of a bare detector.

    See Also
    --------
    sklearn.metrics.roc_curve : All pairs of the two rates.

    Notes
    -----
    `TunedThresholdClassifierCV` averages the score over the folds and interpolates it between the
    thresholds of each. The penalty is so high that a threshold which breaks the limit in one fold
    loses against any that keeps it in all, and so the limit holds for the folds taken together. A
    `best_score_` below 0 says that no threshold kept it in all.

    The limit holds for the rows seen, which is no guarantee for new ones [2]_: set `max_fpr` lower
    if it must not be passed.

    References
    ----------
    .. [1] C. Scott and R. Nowak, "A Neyman-Pearson approach to statistical learning", IEEE
       Transactions on Information Theory 51(11), 2005.
    .. [2] X. Tong, Y. Feng and J. J. Li, "Neyman-Pearson classification algorithms and NP receiver
       operating characteristics", Science Advances 4(2), 2018.

    Examples
    --------
    >>> from skvae.metrics import recall_at_fpr_score
    >>> y_true = ["ham", "ham", "ham", "ham", "spam", "spam"]
    >>> y_pred = ["ham", "ham", "ham", "spam", "ham", "spam"]
    >>> recall_at_fpr_score(y_true, y_pred, max_fpr=0.25, pos_label="spam")
    0.5
    >>> recall_at_fpr_score(y_true, y_pred, max_fpr=0.05, pos_label="spam")
    -1000000.2
    """
    if not isinstance(max_fpr, Real) or not 0 <= float(max_fpr) <= 1:
        raise ValueError(f"max_fpr must be a number in [0, 1], got {max_fpr!r}.")
    y_true, y_pred = check_labels(y_true, "y_true"), check_labels(y_pred, "y_pred")
    is_outlier, pos_label = outlier_mask(y_true, pos_label, "pos_label")
    check_consistent_length(is_outlier, y_pred)
    unique_labels(y_true, y_pred)  # refuses strings among numbers
    for detectors, others in ((-1, 0), (0, -1)):
        if np.isin(detectors, y_pred) and np.isin(y_true, [others, 1]).all():
            raise ValueError(
                f"y_pred holds {detectors}, as a bare detector's predictions may, but y_true has "
                f"{others} and 1. Give both the same labels; OutlierClassifier does."
            )
    flagged = y_pred == pos_label
    fpr = float(flagged[~is_outlier].mean())
    if fpr > max_fpr:
        return -PENALTY - (fpr - float(max_fpr))
    return float(flagged[is_outlier].mean())


def plateau_threshold(cv_results, *, tolerance=0.02):
    """Middle of the plateau round the best threshold.

    `TunedThresholdClassifierCV` takes the single threshold of the highest mean score. Where the
    scores hardly differ, noise decides which one that is, and it may lie at the edge of a cliff.

    Parameters
    ----------
    cv_results : dict
        ``cv_results_`` of a `TunedThresholdClassifierCV` fitted with ``store_cv_results=True``:
        "thresholds", in rising order, and their mean "scores", both of shape (n_thresholds,).
    tolerance : float, default=0.02
        How far below the best score a threshold still counts as equally good, in units of the
        score. The default suits an F1 from about a hundred outliers; see Notes.

    Returns
    -------
    threshold : float
        For ``FixedThresholdClassifier(classifier, threshold=threshold)``, with the `pos_label` and
        the `response_method` of the search if it was given any, in the units of the thresholds,
        such as a probability: half-way between the ends of the run of neighbouring
        thresholds that holds the best one and whose scores are all within `tolerance` of the best.
        Where several thresholds are the best, the first counts.

    Raises
    ------
    ValueError
        If `cv_results` lacks one of the two arrays, they differ in length, hold NaN or are not in
        order; or if `tolerance` is negative.

    Notes
    -----
    A good `tolerance` is the noise of the best score: by how much it changes when the rows are
    dealt to the folds anew. It shrinks with the square root of the number of outliers. A wider one
    gives a steadier threshold, but ends up at worse ones where the curve is lopsided.

    References
    ----------
    The standard error as the measure of "equally good" is that of the one-standard-error rule: L.
    Breiman, J. H. Friedman, R. A. Olshen and C. J. Stone, "Classification and Regression Trees",
    Wadsworth, 1984, chapter 3.

    Examples
    --------
    >>> from skvae.metrics import plateau_threshold
    >>> thresholds = [0.1, 0.3, 0.5, 0.7, 0.9]
    >>> scores = [0.2, 0.79, 0.80, 0.79, 0.79]
    >>> plateau_threshold({"thresholds": thresholds, "scores": scores})
    0.6
    """
    if not isinstance(tolerance, Real) or not float(tolerance) >= 0:
        raise ValueError(f"tolerance must be a number of at least 0, got {tolerance!r}.")
    if not {"thresholds", "scores"} <= set(cv_results):
        raise ValueError(
            f"cv_results must hold 'thresholds' and 'scores', got {sorted(cv_results)}. Fit "
            "TunedThresholdClassifierCV with store_cv_results=True."
        )
    thresholds, scores = (
        column_or_1d(check_array(cv_results[key], ensure_2d=False, dtype=float, input_name=key))
        for key in ("thresholds", "scores")
    )
    check_consistent_length(thresholds, scores)
    if (np.diff(thresholds) <= 0).any():
        raise ValueError(
            "The thresholds must be in rising order, each above the one before. A classifier that "
            "gives all rows the same probability has but one."
        )
    best = int(scores.argmax())
    (worse,) = np.nonzero(scores < scores[best] - tolerance)
    after = int(np.searchsorted(worse, best))
    first = worse[after - 1] + 1 if after > 0 else 0
    last = worse[after] - 1 if after < len(worse) else len(scores) - 1
    return float((thresholds[first] + thresholds[last]) / 2)
