"""Rows, and what a model makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array, check_consistent_length, indexable

from .._compat import num_samples, safe_indexing
from ._base import check_count, density_of, import_pyplot


class ReconstructionDisplay:
    """Rows beside their reconstructions: as images, or feature by feature.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        The rows; NaN for a missing value, which is left out.
    reconstructions : array-like of shape (n_rows, n_features)
        What a model makes of them.

    Attributes
    ----------
    images_ : ndarray of matplotlib AxesImage of shape (2, n_rows), or None
        The rows and their reconstructions, if they were drawn as images.
    stairs_ : ndarray of matplotlib StepPatch of shape (2, n_rows), or None
        The rows and their reconstructions, if they were drawn feature by feature.
    axes_ : ndarray of matplotlib Axes of shape (2, n_rows) or (n_rows,)
        Where they were drawn: a row above its reconstruction as images, else both in one.
    figure_ : matplotlib Figure or SubFigure
        The figure of `axes_`.

    Examples
    --------
    >>> from skvae.inspection import ReconstructionDisplay
    >>> display = ReconstructionDisplay.from_predictions(
    ...     [[0, 1, 1, 0]], [[0.1, 0.9, 0.7, 0.2]], image_shape=(2, 2)
    ... )  # doctest: +SKIP
    """

    def __init__(self, X, reconstructions):
        self.X = X
        self.reconstructions = reconstructions

    @classmethod
    def from_estimator(cls, estimator, X, *, image_shape=None, n_rows=10, figure=None):
        """Encode and decode rows with a fitted model and plot them.

        Parameters
        ----------
        estimator : estimator
            Fitted transformer with `inverse_transform`, such as `AutoencoderTransformer` or
            `VAEDensityEstimator`, or a detector with a fitted `density_`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, of which the first are shown.
        image_shape : tuple of two int, default=None
            Height and width of the image that a row is; None to draw it feature by feature.
        n_rows : int, default=10
            Largest number of rows to show. The others are neither encoded nor made dense.
        figure : matplotlib Figure or SubFigure, default=None
            Where to draw; None for a new one.

        Returns
        -------
        display : ReconstructionDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `estimator` cannot encode and decode.
        ValueError
            If X is not what `estimator` takes, `image_shape` does not fit its features, or `n_rows`
            is no integer of at least 1.
        """
        model = density_of(estimator, "transform", "inverse_transform")
        rows = _first_rows(X, n_rows)
        reconstructions = model.inverse_transform(model.transform(rows))
        return cls.from_predictions(
            rows, reconstructions, image_shape=image_shape, n_rows=n_rows, figure=figure
        )

    @classmethod
    def from_predictions(cls, X, reconstructions, *, image_shape=None, n_rows=10, figure=None):
        """Plot reconstructions that are already there.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, of which the first are shown.
        reconstructions : {array-like, sparse matrix} of shape (n_samples, n_features)
            What a model makes of them.
        image_shape : tuple of two int, default=None
            Height and width of the image that a row is; None to draw it feature by feature.
        n_rows : int, default=10
            Largest number of rows to show.
        figure : matplotlib Figure or SubFigure, default=None
            Where to draw; None for a new one.

        Returns
        -------
        display : ReconstructionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the rows and their reconstructions differ in number or in features, `image_shape`
            does not fit them, or `n_rows` is no integer of at least 1.
        """
        check_consistent_length(X, reconstructions)
        given, returned = (_dense(_first_rows(table, n_rows)) for table in (X, reconstructions))
        if given.shape[1] != returned.shape[1]:
            raise ValueError(
                f"X has {given.shape[1]} features, but its reconstructions have "
                f"{returned.shape[1]}."
            )
        return cls(given, returned).plot(image_shape=image_shape, figure=figure)

    def plot(self, *, image_shape=None, figure=None):
        """Draw the rows and their reconstructions.

        Parameters
        ----------
        image_shape : tuple of two int, default=None
            Height and width of the image that a row is; None to draw it feature by feature.
        figure : matplotlib Figure or SubFigure, default=None
            Where to draw; None for a new one.

        Returns
        -------
        display : ReconstructionDisplay
            Itself.

        Raises
        ------
        ValueError
            If `image_shape` does not fit the features.
        """
        tables = np.array([self.X, self.reconstructions], dtype=float)
        _, n_rows, n_features = tables.shape
        shape = np.asarray(image_shape)
        is_size = shape.shape == (2,) and shape.dtype.kind in "iu" and bool((shape > 0).all())
        if image_shape is not None and not (is_size and shape.prod() == n_features):
            raise ValueError(
                f"image_shape={image_shape!r} is not the height and width of an image of "
                f"{n_features} pixels, as many as a row has features."
            )
        if figure is None:
            size = (6.4, 1 + n_rows) if image_shape is None else (1 + n_rows, 2.4)
            figure = import_pyplot().figure(figsize=size, layout="constrained")
        self.figure_ = figure
        self.images_ = self.stairs_ = None
        if image_shape is None:
            self._plot_stairs(tables)
        else:
            self._plot_images(tables.reshape(2, n_rows, *image_shape))
        return self

    def _plot_images(self, tables):
        self.axes_ = self.figure_.subplots(*tables.shape[:2], squeeze=False)
        self.images_ = np.empty(tables.shape[:2], dtype=object)
        # One scale for all, so that what is lost shows.
        scale = {"vmin": np.nanmin(tables), "vmax": np.nanmax(tables)}
        for place, ax in np.ndenumerate(self.axes_):
            self.images_[place] = ax.imshow(tables[place], cmap="gray_r", **scale)
            ax.set(xticks=[], yticks=[])
        for ax, label in zip(self.axes_[:, 0], ("given", "reconstructed"), strict=True):
            ax.set_ylabel(label)

    def _plot_stairs(self, tables):
        _, n_rows, n_features = tables.shape
        self.axes_ = self.figure_.subplots(n_rows, sharex=True, squeeze=False)[:, 0]
        self.stairs_ = np.empty((2, n_rows), dtype=object)
        edges = np.arange(n_features + 1) - 0.5
        for row, ax in enumerate(self.axes_):
            given, reconstructed = tables[:, row]
            self.stairs_[:, row] = (
                ax.stairs(given, edges, fill=True, color="silver", label="given"),
                ax.stairs(reconstructed, edges, baseline=None, label="reconstructed"),
            )
        self.axes_[0].legend()
        self.axes_[-1].set_xlabel("feature")


def _first_rows(table: Any, n_rows: int) -> Any:
    """First rows of a table of any kind, in that kind; CSR of a sparse one."""
    check_count(n_rows, "n_rows", least=1)
    (table,) = indexable(table)
    return safe_indexing(table, np.arange(min(n_rows, num_samples(table))))


def _dense(rows: Any) -> np.ndarray:
    """Rows as a clean dense array."""
    rows = check_array(rows, accept_sparse=True, ensure_all_finite="allow-nan")
    return rows.toarray() if sp.issparse(rows) else rows
