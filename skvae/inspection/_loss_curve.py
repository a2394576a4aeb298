"""The training of a network, epoch by epoch."""

from __future__ import annotations

import numpy as np

from ._base import axes_for, density_of


class LossCurveDisplay:
    """Training loss over the epochs, that of a density with its two terms.

    Parameters
    ----------
    loss : array-like of shape (n_epochs,)
        Mean loss of the rows in each epoch: of a density minus the bound, in nats.
    reconstruction, kl : array-like of shape (n_epochs,) or (0,), default=()
        The two terms that minus the bound is the sum of, in nats.
    validation : array-like of shape (n_epochs,) or (0,), default=()
        Mean loss of the validation rows, if there were any: of a density minus the
        importance-weighted bound, in nats.

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

    def __init__(self, loss, reconstruction=(), kl=(), validation=()):
        self.loss = loss
        self.reconstruction = reconstruction
        self.kl = kl
        self.validation = validation

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Plot the curves of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted `VAEDensityEstimator` or `AutoencoderTransformer`, or detector or imputer with a
            fitted `density_`.
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
        names = ("loss_curve_", "validation_loss_curve_")
        fitted = density_of(estimator, *names)
        loss, validation = (getattr(fitted, name) for name in names)
        reconstruction = getattr(fitted, "reconstruction_curve_", ())
        return cls(loss, reconstruction, getattr(fitted, "kl_curve_", ()), validation).plot(ax=ax)

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
            "negative bound" if len(self.kl) else "training": self.loss,
            "reconstruction": self.reconstruction,
            "KL divergence": self.kl,
            "validation": self.validation,
        }
        self.lines_ = [
            self.ax_.plot(np.arange(1, len(values) + 1), values, label=label)[0]
            for label, values in curves.items()
            if len(values)
        ]
        self.ax_.set(xlabel="epoch", ylabel="nats per row" if len(self.kl) else "loss per row")
        self.ax_.legend()
        return self
