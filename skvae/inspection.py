"""Look into a fitted model: displays, and the features behind a score."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import check_is_fitted

__all__ = [
    "LatentSpaceDisplay",
    "LossCurveDisplay",
    "ScoreDistributionDisplay",
    "top_contributions",
]


def top_contributions(explanation, feature_names=None, *, n_features=5):
    """Name the features that make each row most of an outlier.

    Parameters
    ----------
    explanation : Bunch
        What `VAEOutlierDetector.feature_contributions` returned for n_samples rows.
    feature_names : array-like of str of shape (n_features_in,), default=None
        Names of the columns, such as ``vectorizer.get_feature_names_out()``; None for their
        indices.
    n_features : int, default=5
        Largest number of features to name in a row.

    Returns
    -------
    tops : list of list of tuple (name, contribution)
        For each row its lowest contributions, in nats, the lowest first; of a sparse row only
        stored features are named.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.utils import Bunch
    >>> from skvae.inspection import top_contributions
    >>> explanation = Bunch(contributions=np.array([[-1.0, 2.0, -3.0]]))
    >>> top_contributions(explanation, ["win", "the", "prize"], n_features=2)
    [[('prize', -3.0), ('win', -1.0)]]
    """
    contributions = explanation.contributions
    if feature_names is None:
        feature_names = np.arange(contributions.shape[1])
    feature_names = np.asarray(feature_names)
    tops = []
    for row in range(contributions.shape[0]):
        if sp.issparse(contributions):
            stored = slice(*contributions.indptr[row : row + 2])
            columns, values = contributions.indices[stored], contributions.data[stored]
        else:
            columns, values = np.arange(contributions.shape[1]), contributions[row]
        lowest = np.argsort(values, kind="stable")[:n_features]
        names = feature_names[columns[lowest]].tolist()
        tops.append(list(zip(names, values[lowest].tolist(), strict=True)))
    return tops


class LossCurveDisplay:
    """Training loss of a density over the epochs, with its two terms.

    Parameters
    ----------
    loss, reconstruction, kl : array-like of shape (n_epochs,)
        Mean negative ELBO of each epoch, and the two terms it is the sum of, in nats.
    validation : array-like of shape (n_epochs,) or (0,)
        Mean negative ELBO of validation rows, if there were any.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from skvae.inspection import LossCurveDisplay
    >>> LossCurveDisplay([3.0, 2.0], [2.5, 1.4], [0.5, 0.6]).plot()  # doctest: +SKIP
    """

    def __init__(self, loss, reconstruction, kl, validation=()):
        self.loss = loss
        self.reconstruction = reconstruction
        self.kl = kl
        self.validation = validation

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Plot the curves of a fitted `VAEDensityEstimator` or `VAEOutlierDetector`.

        Parameters
        ----------
        estimator : estimator
            Fitted density, or detector with a fitted `density_`.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.
        """
        density = _density_of(estimator)
        return cls(
            density.loss_curve_,
            density.reconstruction_curve_,
            density.kl_curve_,
            density.validation_loss_curve_,
        ).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : LossCurveDisplay
            Itself.
        """
        self.ax_, self.figure_ = _axes(ax)
        curves = {
            "negative ELBO": self.loss,
            "reconstruction": self.reconstruction,
            "KL divergence": self.kl,
            "validation": self.validation,
        }
        for label, values in curves.items():
            if len(values):
                self.ax_.plot(np.arange(1, len(values) + 1), values, label=label)
        self.ax_.set(xlabel="epoch", ylabel="nats per row")
        self.ax_.legend()
        return self


class ScoreDistributionDisplay:
    """Histogram of a detector's scores by class, with its threshold.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Scores, higher for more normal rows.
    y : array-like of shape (n_samples,), default=None
        Labels.
    threshold : float, default=None
        Score below which a row is an outlier.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from skvae.inspection import ScoreDistributionDisplay
    >>> display = ScoreDistributionDisplay.from_predictions(
    ...     [-30, -20, -25], ["spam", "ham", "ham"], threshold=-28
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
            Fitted outlier detector with `score_samples` and `offset_`, or a pipeline ending in one.
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
        """
        detector = estimator[-1] if hasattr(estimator, "steps") else estimator
        scores = estimator.score_samples(X)
        return cls.from_predictions(scores, y, threshold=detector.offset_, bins=bins, ax=ax)

    @classmethod
    def from_predictions(cls, scores, y=None, *, threshold=None, bins=50, ax=None):
        """Plot scores that are already there.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            Scores, higher for more normal rows.
        y : array-like of shape (n_samples,), default=None
            Labels.
        threshold : float, default=None
            Score below which a row is an outlier.
        bins : int, default=50
            Number of bins.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : ScoreDistributionDisplay
            The display, drawn.
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
        """
        self.ax_, self.figure_ = _axes(ax)
        scores = np.asarray(self.scores)
        edges = np.histogram_bin_edges(scores, bins)
        for label, mask in _classes(self.y, len(scores)):
            self.ax_.hist(scores[mask], edges, density=True, alpha=0.5, label=label)
        if self.threshold is not None:
            self.ax_.axvline(self.threshold, color="black", linestyle="--", label="threshold")
        self.ax_.set(xlabel="score", ylabel="density")
        if self.y is not None or self.threshold is not None:
            self.ax_.legend()
        return self


class LatentSpaceDisplay:
    """Scatter plot of two latent dimensions, coloured by class.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_components)
        Latent codes.
    y : array-like of shape (n_samples,), default=None
        Labels.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from skvae.inspection import LatentSpaceDisplay
    >>> LatentSpaceDisplay([[0.0, 1.0], [1.0, 0.0]], ["ham", "spam"]).plot()  # doctest: +SKIP
    """

    def __init__(self, codes, y=None):
        self.codes = codes
        self.y = y

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, components=None, ax=None):
        """Encode rows and plot them.

        Parameters
        ----------
        estimator : estimator
            Fitted transformer, or detector with a fitted `density_`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to encode.
        y : array-like of shape (n_samples,), default=None
            Labels.
        components : tuple of two int, default=None
            Dimensions to show; None for the two of largest variance.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : LatentSpaceDisplay
            The display, drawn.
        """
        codes = np.asarray(_density_of(estimator).transform(X))
        return cls(codes, y).plot(components=components, ax=ax)

    def plot(self, *, components=None, ax=None):
        """Draw the codes.

        Parameters
        ----------
        components : tuple of two int, default=None
            Dimensions to show; None for the two of largest variance.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : LatentSpaceDisplay
            Itself.
        """
        codes = np.asarray(self.codes)
        if codes.shape[1] < 2:
            raise ValueError("A latent space of one dimension has no plane to show.")
        self.ax_, self.figure_ = _axes(ax)
        if components is None:
            components = np.sort(np.argsort(-codes.var(axis=0), kind="stable")[:2])
        first, second = components
        for label, mask in _classes(self.y, len(codes)):
            self.ax_.scatter(codes[mask, first], codes[mask, second], s=6, alpha=0.5, label=label)
        self.ax_.set(xlabel=f"latent dimension {first}", ylabel=f"latent dimension {second}")
        if self.y is not None:
            self.ax_.legend()
        return self


def _density_of(estimator: Any) -> Any:
    """Density inside a detector, or the estimator itself."""
    check_is_fitted(estimator)
    return getattr(estimator, "density_", estimator)


def _classes(y: Any, n_samples: int) -> list[tuple[Any, np.ndarray]]:
    """Label and rows of each class; without labels one class of all."""
    if y is None:
        return [(None, np.ones(n_samples, dtype=bool))]
    y = np.asarray(y)
    return [(label, y == label) for label in np.unique(y)]


def _axes(ax: Any) -> tuple[Any, Any]:
    """Axes to draw on and their figure."""
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("Plots need matplotlib. Run: pip install 'skvae[plot]'") from error
        _, ax = plt.subplots()
    return ax, ax.figure
