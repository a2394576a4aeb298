"""What the displays share: places to draw, and what they ask of an estimator."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import is_outlier_detector
from sklearn.utils.validation import check_is_fitted

from .._meta import refuse_other_signs
from .._validation import check_labels


def import_pyplot() -> Any:
    """Import matplotlib's pyplot, or say how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Plots need matplotlib. Run: pip install 'skvae[plot]'") from error
    return plt


def check_count(value: Any, name: str, least: int) -> None:
    """Raise a ValueError if a number of things to show is no integer of at least `least`."""
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")


def axes_for(ax: Any) -> tuple[Any, Any]:
    """Axes to draw on and their figure."""
    if ax is None:
        _, ax = import_pyplot().subplots()
    return ax, ax.figure


def density_of(estimator: Any, *needed: str) -> Any:
    """Density inside a detector, or the estimator itself; it has the attributes that are needed.

    Raises
    ------
    TypeError
        If it has not.
    """
    check_is_fitted(estimator)
    density = getattr(estimator, "density_", estimator)
    if not all(hasattr(density, name) for name in needed):
        raise TypeError(
            f"Expected a fitted estimator with {' and '.join(needed)}, such as "
            f"VAEDensityEstimator, or a detector with a density_ that has them; got {estimator!r}. "
            "Of a pipeline pass the last step, and what the others make of X; of an "
            "OutlierClassifier or a search the fitted estimator inside it."
        )
    return density


def judge(estimator: Any, X: Any) -> tuple[np.ndarray, float, Any]:
    """Scores of rows, the score below which one is an outlier, and the label of outliers.

    The label is None where the estimator knows none.

    Raises
    ------
    TypeError
        If the estimator is no detector, pipeline ending in one, or `OutlierClassifier`.
    """
    check_is_fitted(estimator)
    if hasattr(estimator, "steps"):
        table = estimator[:-1].transform(X) if len(estimator.steps) > 1 else X
        return judge(estimator[-1], table)
    if hasattr(estimator, "outlier_label_"):
        scores, threshold, _ = judge(estimator.estimator_, X)
        return scores, threshold, estimator.outlier_label_
    if hasattr(estimator, "score_samples") and hasattr(estimator, "offset_"):
        # Some of scikit-learn's detectors have an array of one number.
        return estimator.score_samples(X), np.asarray(estimator.offset_).item(), None
    if hasattr(estimator, "decision_function") and is_outlier_detector(estimator):
        refuse_other_signs(estimator, X)
        return estimator.decision_function(X), 0.0, None
    raise TypeError(
        "Expected an outlier detector, an OutlierClassifier or a pipeline ending in one of them, "
        f"got {estimator!r}. Of a search or a tuned threshold pass the fitted estimator inside it; "
        "for scores of anything else there is from_predictions."
    )


def draw_threshold(ax: Any, threshold: float | None) -> Any:
    """Draw a line at the threshold, if there is one."""
    if threshold is None:
        return None
    return ax.axvline(threshold, color="black", linestyle="--", label="threshold")


def classes(y: Any, n_samples: int) -> list[tuple[Any, np.ndarray]]:
    """Label and rows of each class; without labels one class of all.

    Raises
    ------
    ValueError
        If a label is missing, or there are not as many as samples.
    """
    if y is None:
        return [(None, np.ones(n_samples, dtype=bool))]
    y = check_labels(y)
    if len(y) != n_samples:
        raise ValueError(f"Got {len(y)} labels for {n_samples} samples.")
    return [(label, y == label) for label in np.unique(y)]
