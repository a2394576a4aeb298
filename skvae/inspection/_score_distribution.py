"""Scores of a detector, by class."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_array, column_or_1d

from .._base import ROUNDING
from ._base import axes_for, classes, draw_threshold, judge


class ScoreDistributionDisplay:
    """Histogram of a detector's scores by class, with its threshold.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Scores, higher for more normal rows.
    y : array-like of shape (n_samples,), default=None
        Labels.
    threshold : float, default=None
        Score below which a row is an outlier, in the unit of the scores.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        The histogram of each class, in the order of the legend.
    threshold_line_ : matplotlib Line2D, or None
        The line at the threshold, if there is one.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    See Also
    --------
    ThresholdCurveDisplay : What each threshold would flag.

    Examples
    --------
    >>> from skvae.inspection import ScoreDistributionDisplay
    >>> display = ScoreDistributionDisplay.from_predictions(
    ...     [-30, -20, -25], y=["spam", "ham", "ham"], threshold=-28
    ... )  # doctest: +SKIP
    """

    def __init__(self, scores, y=None, *, threshold=None):
        self.scores = scores
        self.y = y
        self.threshold = threshold

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, bins=50, ax=None):
        """Score rows with a fitted detector and plot them.

        Parameters
        ----------
        estimator : estimator
            Fitted outlier detector with scikit-learn's signs, or an `OutlierClassifier` of one, or
            a pipeline ending in either.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to score.
        y : array-like of shape (n_samples,), default=None
            Labels.
        bins : int, default=50
            Number of bins.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : ScoreDistributionDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `estimator` is none of these.
        ValueError
            If a label is missing, there are not as many as rows, or a score is not finite.
        """
        scores, threshold, _ = judge(estimator, X)
        return cls.from_predictions(scores, y=y, threshold=threshold, bins=bins, ax=ax)

    @classmethod
    def from_predictions(cls, scores, *, y=None, threshold=None, bins=50, ax=None):
        """Plot scores that are already there.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            Scores, higher for more normal rows.
        y : array-like of shape (n_samples,), default=None
            Labels.
        threshold : float, default=None
            Score below which a row is an outlier, in the unit of the scores.
        bins : int, default=50
            Number of bins.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : ScoreDistributionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If a label is missing, there are not as many as rows, or a score is not finite.
        """
        return cls(scores, y, threshold=threshold).plot(bins=bins, ax=ax)

    def plot(self, *, bins=50, ax=None):
        """Draw the histogram.

        Parameters
        ----------
        bins : int, default=50
            Number of bins, the same for all classes.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : ScoreDistributionDisplay
            Itself.

        Raises
        ------
        ValueError
            If a label is missing, there are not as many as rows, or a score is not finite.
        """
        scores = column_or_1d(check_array(self.scores, ensure_2d=False, input_name="scores"))
        limits = None
        if np.ptp(scores) <= ROUNDING * np.abs(scores).max():
            # Those that NumPy gives equal scores; between scores equal up to rounding is no bin.
            margin = max(0.5, ROUNDING * np.abs(scores[0]))
            limits = scores[0] - margin, scores[0] + margin
        edges = np.histogram_bin_edges(scores, bins, limits)
        of_class = classes(self.y, len(scores))
        self.ax_, self.figure_ = axes_for(ax)
        self.bars_ = [
            self.ax_.hist(scores[mask], edges, density=True, alpha=0.5, label=label)[2]
            for label, mask in of_class
        ]
        self.threshold_line_ = draw_threshold(self.ax_, self.threshold)
        self.ax_.set(xlabel="score", ylabel="density")
        if self.y is not None or self.threshold is not None:
            self.ax_.legend()
        return self
