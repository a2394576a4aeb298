"""Variational autoencoders that behave exactly like scikit-learn."""

from ._density import VAEDensityEstimator
from ._outlier import VAEOutlierDetector
from ._classifier import OutlierClassifier
__version__ = "0.1.0.dev0"
