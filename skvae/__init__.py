"""Variational autoencoders that behave exactly like scikit-learn."""

from ._density import VAEDensityEstimator
__version__ = "0.1.0.dev0"
