"""Rows in the latent space."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array

from ._base import axes_for, classes, density_of


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
    points_ : list of matplotlib PathCollection
        The rows of each class, in the order of the legend.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from skvae.inspection import LatentSpaceDisplay
    >>> display = LatentSpaceDisplay(
    ...     [[0.0, 1.0], [1.0, 0.0]], ["ham", "spam"]
    ... ).plot()  # doctest: +SKIP
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

        Raises
        ------
        TypeError
            If `estimator` is no transformer and has no fitted `density_`.
        ValueError
            If a label is missing, there are not as many as rows, the codes have one dimension, or
            `components` are not two of them.
        """
        codes = density_of(estimator, "transform").transform(X)
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

        Raises
        ------
        ValueError
            If a label is missing, there are not as many as rows, the codes have one dimension, or
            `components` are not two of them.
        """
        codes = check_array(self.codes, accept_sparse=True, input_name="codes")
        codes = codes.toarray() if sp.issparse(codes) else codes
        if codes.shape[1] < 2:
            raise ValueError("A latent space of one dimension has no plane to show.")
        if components is None:
            components = np.sort(np.argsort(-codes.var(axis=0), kind="stable")[:2])
        dimensions = range(codes.shape[1])
        chosen = [d for d in np.ravel(components) if isinstance(d, Integral) and d in dimensions]
        if len(set(chosen)) != 2 or np.size(components) != 2:
            raise ValueError(
                f"components must be two of the {len(dimensions)} dimensions, counted from 0, got "
                f"{components!r}."
            )
        first, second = chosen
        of_class = classes(self.y, len(codes))
        self.ax_, self.figure_ = axes_for(ax)
        self.points_ = [
            self.ax_.scatter(codes[mask, first], codes[mask, second], s=6, alpha=0.5, label=label)
            for label, mask in of_class
        ]
        self.ax_.set(xlabel=f"latent dimension {first}", ylabel=f"latent dimension {second}")
        if self.y is not None:
            self.ax_.legend()
        return self
