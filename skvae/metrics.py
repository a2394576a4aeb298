"""Scorers for outlier detectors, whatever the coding of the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.utils import column_or_1d

__all__ = ["make_outlier_scorer"]

METRICS = ("f1", "average_precision", "roc_auc")


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
        which label means outlier, or does not hold both outliers and inliers.

    See Also
    --------
    skvae.OutlierClassifier : Makes scikit-learn's own scorers work.

    Notes
    -----
    ``cv=5`` on a detector is an unshuffled `KFold`, because a detector is no classifier to
    scikit-learn: pass ``cv=StratifiedKFold(5, shuffle=True, random_state=0)``.

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
        is_outlier = outlier_mask(y, self.outlier_label)
        if self.metric == "f1":
            flagged = np.asarray(estimator.predict(X)) == -1
            return float(f1_score(is_outlier, flagged, zero_division=0.0))
        score = {"average_precision": average_precision_score, "roc_auc": roc_auc_score}
        return float(score[self.metric](is_outlier, -estimator.decision_function(X)))

    def __repr__(self) -> str:
        return f"make_outlier_scorer({self.metric!r}, outlier_label={self.outlier_label!r})"


def outlier_mask(y: Any, outlier_label: Any) -> np.ndarray:
    """Which entries of y mean outlier, as booleans; see `make_outlier_scorer`."""
    y = column_or_1d(y)
    labels = set(np.unique(y).tolist())
    if outlier_label is None:
        if -1 in labels and labels <= {-1, 1}:
            outlier_label = -1
        elif 0 in labels and labels <= {0, 1}:
            outlier_label = 1
        else:
            raise ValueError(
                f"The labels {sorted(labels, key=str)} do not say which of them means outlier. "
                "Give outlier_label to make_outlier_scorer."
            )
    is_outlier = np.asarray(y == outlier_label)
    if is_outlier.all() or not is_outlier.any():
        raise ValueError(
            f"y must hold both outliers (label {outlier_label!r}) and inliers, got only "
            f"{sorted(labels, key=str)}. Split with StratifiedKFold: for a detector an integer cv "
            "does not stratify."
        )
    return is_outlier
