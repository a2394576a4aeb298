"""The training of a density, epoch by epoch."""

from __future__ import annotations

import numpy as np

from ._base import axes_for, density_of


class LossCurveDisplay:
    """Training loss of a density over the epochs, with its two terms.

    Parameters
    ----------
    loss, reconstruction, kl : array-like of shape (n_epochs,)
        Minus the mean bound of each epoch, and the two terms it is the sum of, in nats.
    validation : array-like of shape (n_epochs,) or (0,), default=()
        Minus the mean importance-weighted bound of validation rows, in nats, if there were any.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The curves, in the order of the legend.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from skvae.inspection import LossCurveDisplay
    >>> display = LossCurveDisplay([3.0, 2.0], [2.5, 1.4], [0.5, 0.6]).plot()  # doctest: +SKIP
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

        Raises
        ------
        TypeError
            If `estimator` is none of these.
        """
        density = density_of(estimator, "loss_curve_", "reconstruction_curve_", "kl_curve_")
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
        self.ax_, self.figure_ = axes_for(ax)
        curves = {
            "negative bound": self.loss,
            "reconstruction": self.reconstruction,
            "KL divergence": self.kl,
            "validation": self.validation,
        }
        self.lines_ = [
            self.ax_.plot(np.arange(1, len(values) + 1), values, label=label)[0]
            for label, values in curves.items()
            if len(values)
        ]
        self.ax_.set(xlabel="epoch", ylabel="nats per row")
        self.ax_.legend()
        return self
