"""Any outlier detector as a binary classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ._base import ROUNDING
from ._compat import StrOptions
from ._meta import DetectorWrapper
from ._validation import check_labels, restored_on_error


def _fitted_estimator_has(name):
    return lambda self: hasattr(getattr(self, "estimator_", self.estimator), name)


class OutlierClassifier(ClassifierMixin, DetectorWrapper):
    """Outlier detector as a binary classifier with the labels of the data.

    Labels only name the two classes, choose the rows to fit on, and serve those who tune; the
    detector itself never sees them. With it scikit-learn's tools for classifiers work on a
    detector: ``scoring="f1"``, `TunedThresholdClassifierCV`, `FixedThresholdClassifier`,
    `CalibratedClassifierCV`, ROC and precision-recall displays.

    ``scoring="f1"`` is the F1 of the label 1. With other labels than 0 and 1 name the outliers in
    the metric: ``make_scorer(f1_score, pos_label="spam")``.

    Parameters
    ----------
    estimator : estimator
        Outlier detector with scikit-learn's signs (`decision_function` is negative for outliers),
        or a pipeline that ends in one. X is handed to it as it is: dense, sparse or raw text.
    fit_on : {"all", "inliers"}, default="all"
        Rows to fit the detector on; "inliers" leaves out those labelled as outliers (novelty
        detection).
    outlier_label : label, default=None
        The label that means outlier; None for -1 among {-1, 1}, of other labels for the rarer of
        the two, in a tie `classes_[1]`: name it where they are about equally many. Tools that fit
        with 0 and 1 in the place of the labels (see Notes) need 0 for inliers and 1 for outliers in
        y if this is given.

    Attributes
    ----------
    estimator_ : estimator
        The fitted detector.
    classes_ : ndarray of shape (2,)
        The labels, sorted.
    outlier_label_ : label
        The label that means outlier.
    n_features_in_ : int
        Number of features seen in `fit`, if the detector knows it.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, if the detector knows them.

    See Also
    --------
    skvae.metrics.make_outlier_scorer : Scores a bare detector against labels.

    Notes
    -----
    The probability of the outlier class is 0.5 at the detector's threshold. On either side it
    follows the ranks of the training rows' decision values, interpolated: half-way between 0.5 and
    1 lies the median of the training rows that the detector flags. It is a way to make scores
    comparable [1]_, not calibrated (`CalibratedClassifierCV` is there for that [2]_), but evenly
    spread, so that a search over equally spaced thresholds, as in `TunedThresholdClassifierCV`,
    meets as many rows at each step.

    `cross_val_predict` with another `method` than "predict", `CalibratedClassifierCV` with
    ``ensemble=False``, `VotingClassifier`, `StackingClassifier`, `BaggingClassifier` and
    `OneVsRestClassifier` number the labels in their order and fit with the numbers. With
    ``outlier_label=None`` that changes nothing where outliers are the rarer ones; a label that is
    given is looked for among the numbers, where it may be missing or stand for the other class.

    References
    ----------
    .. [1] H.-P. Kriegel, P. Kröger, E. Schubert and A. Zimek, "Interpreting and Unifying Outlier
       Scores", SIAM International Conference on Data Mining, 2011.
    .. [2] B. Zadrozny and C. Elkan, "Transforming Classifier Scores into Accurate Multiclass
       Probability Estimates", KDD 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from skvae import OutlierClassifier
    >>> X = np.r_[np.random.RandomState(0).randn(95, 2), np.full((5, 2), 9.0)]
    >>> y = np.array(["ham"] * 95 + ["spam"] * 5)
    >>> classifier = OutlierClassifier(IsolationForest(random_state=0)).fit(X, y)
    >>> classifier.predict([[0.0, 0.0], [9.0, 9.0]])
    array(['ham', 'spam'], dtype='<U4')
    """

    _parameter_constraints = {
        "estimator": [BaseEstimator],
        "fit_on": [StrOptions({"all", "inliers"})],
        "outlier_label": "no_validation",
    }

    def __init__(self, estimator, *, fit_on="all", outlier_label=None):
        self.estimator = estimator
        self.fit_on = fit_on
        self.outlier_label = outlier_label

    def fit(self, X, y, **fit_params):
        """Fit the detector and name its two answers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what `estimator` takes
            Training rows.
        y : array-like of shape (n_samples,)
            Labels, of two kinds.
        **fit_params : dict
            Metadata for the detector's `fit`, if metadata routing is enabled.

        Returns
        -------
        self : OutlierClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If y does not have two classes, `outlier_label` is not one of them, the detector gives a
            row a decision that is not finite, or it takes a matrix of pairs and `fit_on` leaves
            rows out.
        TypeError
            If `estimator` is not an outlier detector with scikit-learn's signs, or X is a dict.
        """
        with restored_on_error(self):
            self._check_fit(X, fit_params)
            y = self._name_classes(X, y)
            inliers = np.flatnonzero(y != self.outlier_label_)
            self._fit_detector(X, fit_params, inliers if self.fit_on == "inliers" else None)
            self._refuse_detector(X, "decision_function")
            self._ranks = ScoreRanks.of(self._ask_detector("decision_function", X, finite=True))
        return self

    def _name_classes(self, X: Any, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Fit "
                "the bare detector if there are no labels."
            )
        y = check_labels(y, warn=True)
        check_classification_targets(y)
        check_consistent_length(X, y)
        if len(y) == 0:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        self.classes_, counts = np.unique(y, return_counts=True)
        if len(self.classes_) == 1:
            raise ValueError(
                f"y has one class, {self.classes_.tolist()[0]!r}; OutlierClassifier needs two, to "
                "tell outliers from inliers. Stratify the split, or fit the bare detector."
            )
        if len(self.classes_) > 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is multiclass: "
                f"y has {len(self.classes_)} classes. Say for each row whether it is an outlier."
            )
        labels = self.classes_.tolist()
        if self.outlier_label is None and labels == [-1, 1]:
            self.outlier_label_ = self.classes_[0]
        elif self.outlier_label is None:
            self.outlier_label_ = self.classes_[0 if counts[0] < counts[1] else 1]
        elif np.isscalar(self.outlier_label) and self.outlier_label in labels:
            self.outlier_label_ = self.classes_[labels.index(self.outlier_label)]
        else:
            numbered = " If a tool that was given other labels numbered them, number them "
            numbered += "yourself: 1 for outliers, 0 for inliers, and outlier_label=1."
            raise ValueError(
                f"outlier_label={self.outlier_label!r} is not among the labels of y, {labels}."
                + (numbered if labels == [0, 1] else "")
            )
        return y

    @property
    def _outlier_is_second(self) -> bool:
        return bool(self.outlier_label_ == self.classes_[1])

    def _detector_decision(self, X: Any) -> np.ndarray:
        """Decision of the detector: below 0 where it flags a row by it, above 0 elsewhere."""
        check_is_fitted(self)
        decision = self._ask_detector("decision_function", X)
        if (decision == 0).any():
            # An exact zero is an outlier to some detectors, and an inlier to most.
            tiny = np.finfo(float).tiny
            side = np.where(np.asarray(self.estimator_.predict(X)) == -1, -tiny, tiny)
            decision = np.where(decision == 0, side, decision)
        return decision

    def decision_function(self, X):
        """Confidence that a row belongs to ``classes_[1]``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what `estimator` takes
            Rows to judge.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            The detector's decision function, its sign changed if ``classes_[1]`` is the outlier.
            Above 0 means ``classes_[1]``; never 0 itself, but the smallest number on the side that
            the detector predicts.

        Raises
        ------
        ValueError
            If the detector's decision on a row is NaN.
        """
        decision = self._detector_decision(X)
        return -decision if self._outlier_is_second else decision

    def predict(self, X):
        """Label of each row, as the detector judges it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what `estimator` takes
            Rows to judge.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            `outlier_label_` where the detector predicts -1; so ``classes_[1]`` where
            `decision_function` is above 0. But a `ConformalOutlierDetector` that controls the
            false-discovery rate judges all rows of X together, and not by their decisions.
        """
        check_is_fitted(self)
        flagged = np.asarray(self.estimator_.predict(X)) == -1
        return self.classes_[(flagged == self._outlier_is_second).astype(int)]

    def predict_proba(self, X):
        """Probabilities from the ranks of the training scores; see Notes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what `estimator` takes
            Rows to judge.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, 2)
            Columns follow `classes_`.

        Raises
        ------
        ValueError
            If the detector's decision on a row is NaN.
        """
        decision = self._detector_decision(X)
        outlier = self._ranks.outlier_probability(decision)
        if self._outlier_is_second:
            return np.column_stack([1 - outlier, outlier])
        return np.column_stack([outlier, 1 - outlier])

    @available_if(_fitted_estimator_has("score_samples"))
    def score_samples(self, X):
        """Scores of the fitted detector; higher is more normal.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or what `estimator` takes
            Rows to score.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            ``estimator_.score_samples(X)``.
        """
        check_is_fitted(self)
        return self.estimator_.score_samples(X)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        # The detector does not learn from y: it cannot know which classes a data set means.
        tags.classifier_tags.poor_score = True
        return tags


@dataclass
class ScoreRanks:
    """Monotone map from a detector's decision values to probabilities of being an outlier.

    Parameters
    ----------
    scale : float
        Median distance of the training rows from the threshold, of those that are not at it.
    outliers, inliers : tuple of two ndarray of shape (n_distances,)
        Their distinct distances on either side of it, and half the shares beyond these.
    """

    scale: float
    outliers: tuple[np.ndarray, np.ndarray]
    inliers: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, decision: np.ndarray) -> ScoreRanks:
        """Map for the decision values of training rows, (n_samples,): negative for outliers."""
        sides = -decision[decision < 0], decision[decision > 0]
        distances = np.concatenate(sides)
        scale = float(np.median(distances)) if len(distances) else 1.0
        return cls(scale, *(cls._ranks(distances, scale) for distances in sides))

    def outlier_probability(self, decision: np.ndarray) -> np.ndarray:
        """Probability of being an outlier: 0.5 near 0, falling with the decision value.

        It is above 0.5 for a negative decision and below it for any other, if by one bit alone.
        """
        return np.where(
            decision < 0,
            np.maximum(1 - self._upper_tail(-decision, self.outliers), np.nextafter(0.5, 1)),
            np.minimum(self._upper_tail(decision, self.inliers), np.nextafter(0.5, 0)),
        )

    @staticmethod
    def _ranks(distances: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """Distinct distances from the threshold, and half the share of distances beyond each."""
        distances = np.sort(distances)
        # The last of those that are equal up to rounding, as the scores of equal rows are.
        is_last = np.diff(distances, append=np.inf) > ROUNDING * (distances + scale)
        n_within = np.concatenate([[0], np.flatnonzero(is_last) + 1])
        distinct = np.concatenate([[0.0], distances[is_last]])
        return distinct, 0.5 - 0.5 * n_within / (len(distances) + 1)

    def _upper_tail(self, distance: np.ndarray, ranks: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """From 0.5 at distance 0, linear between known distances, and on to 0 at infinity."""
        excess = np.maximum(distance - ranks[0][-1], 0)
        return np.interp(distance, *ranks) * (self.scale / (self.scale + excess))
