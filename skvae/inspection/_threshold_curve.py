"""What each threshold of a detector would flag, against labels."""

from __future__ import annotations

import numpy as np
from scipy.stats import hmean
from sklearn.metrics import precision_recall_curve
from sklearn.utils import column_or_1d

from ..metrics import outlier_mask
from ._base import axes_for, draw_threshold, judge


class ThresholdCurveDisplay:
    """Precision, recall and F1 of the outliers against the threshold.

    At each threshold the rows whose score lies below it are flagged, as `predict` does it.

    Parameters
    ----------
    thresholds : array-like of shape (n_thresholds,)
        The distinct scores in rising order, and infinity.
    precision, recall, f1 : array-like of shape (n_thresholds,)
        Those of the rows flagged at each threshold. At the lowest no row is flagged, and the
        precision is 1, as in `sklearn.metrics.precision_recall_curve`.
    threshold : float, default=None
        The detector's own threshold, in the unit of the scores.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The curves of precision, recall and F1.
    threshold_line_ : matplotlib Line2D, or None
        The line at the detector's own threshold, if it was given.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    See Also
    --------
    ScoreDistributionDisplay : The scores that are cut by the threshold.
    skvae.metrics.plateau_threshold : The middle of the thresholds that are nearly the best.

    Notes
    -----
    A threshold between two of `thresholds` flags the same rows as the upper one: the curves are
    steps.

    The threshold of the highest F1 is chosen by the very rows that judge it, and looks better on
    them than it will on others; `TunedThresholdClassifierCV` keeps the two apart.

    Examples
    --------
    >>> from skvae.inspection import ThresholdCurveDisplay
    >>> display = ThresholdCurveDisplay.from_predictions(
    ...     ["spam", "ham", "ham"], [-30, -20, -25], threshold=-28, pos_label="spam"
    ... )  # doctest: +SKIP
    """

    def __init__(self, thresholds, precision, recall, f1, *, threshold=None):
        self.thresholds = thresholds
        self.precision = precision
        self.recall = recall
        self.f1 = f1
        self.threshold = threshold

    @classmethod
    def from_estimator(cls, estimator, X, y, *, pos_label=None, ax=None):
        """Score rows with a fitted detector and plot what each threshold makes of them.

        Parameters
        ----------
        estimator : estimator
            Fitted outlier detector with scikit-learn's signs, or an `OutlierClassifier` of one, or
            a pipeline ending in either.
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what `estimator` takes
            Rows to score.
        y : array-like of shape (n_samples,)
            Labels.
        pos_label : label, default=None
            The label that means outlier; None for that of the `OutlierClassifier`, or as in
            `from_predictions`.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : ThresholdCurveDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `estimator` is none of these.
        ValueError
            As in `from_predictions`.
        """
        scores, threshold, outlier_label = judge(estimator, X)
        if pos_label is None:
            pos_label = outlier_label
        return cls.from_predictions(y, scores, threshold=threshold, pos_label=pos_label, ax=ax)

    @classmethod
    def from_predictions(cls, y_true, scores, *, threshold=None, pos_label=None, ax=None):
        """Plot scores that are already there.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Labels; all but `pos_label` count as inliers.
        scores : array-like of shape (n_samples,)
            Scores, higher for more normal rows.
        threshold : float, default=None
            Threshold to mark, in the unit of the scores.
        pos_label : label, default=None
            The label that means outlier; None for -1 among {-1, 1}, and 1 or True among {0, 1}.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : ThresholdCurveDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there are not both outliers and inliers, the labels leave open which of them means
            outlier, a score is not finite, or the lengths differ.
        """
        is_outlier, _ = outlier_mask(y_true, pos_label, "pos_label")
        scores = column_or_1d(scores).astype(float)
        precision, recall, negated = precision_recall_curve(is_outlier, -scores)
        # What that curve flags up to a score, `predict` flags below the next higher one.
        thresholds = np.append(-negated[::-1], np.inf)
        precision, recall = precision[::-1], recall[::-1]
        f1 = hmean([precision, recall], axis=0)
        return cls(thresholds, precision, recall, f1, threshold=threshold).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : ThresholdCurveDisplay
            Itself.
        """
        self.ax_, self.figure_ = axes_for(ax)
        curves = {"precision": self.precision, "recall": self.recall, "F1": self.f1}
        self.lines_ = [
            self.ax_.plot(self.thresholds, values, drawstyle="steps-pre", label=label)[0]
            for label, values in curves.items()
        ]
        self.threshold_line_ = draw_threshold(self.ax_, self.threshold)
        self.ax_.set(xlabel="score below which a row is flagged", ylabel="precision, recall, F1")
        self.ax_.legend()
        return self
