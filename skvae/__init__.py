"""Variational autoencoders that behave exactly like scikit-learn.

Importing this package imports neither torch nor matplotlib: the names below are loaded when they
are first used, and torch by the first `fit` or `load`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import datasets, inspection, metrics, text
    from ._autoencoder import AutoencoderTransformer
    from ._classifier import OutlierClassifier
    from ._conformal import ConformalOutlierDetector
    from ._density import VAEDensityEstimator
    from ._imputer import VAEImputer
    from ._outlier import VAEOutlierDetector
    from ._persistence import load, save

__version__ = "0.1.0.dev0"

__all__ = [
    "AutoencoderTransformer",
    "ConformalOutlierDetector",
    "OutlierClassifier",
    "VAEDensityEstimator",
    "VAEImputer",
    "VAEOutlierDetector",
    "datasets",
    "inspection",
    "load",
    "metrics",
    "save",
    "text",
]

_HOME = {
    "AutoencoderTransformer": "._autoencoder",
    "ConformalOutlierDetector": "._conformal",
    "OutlierClassifier": "._classifier",
    "VAEDensityEstimator": "._density",
    "VAEImputer": "._imputer",
    "VAEOutlierDetector": "._outlier",
    "load": "._persistence",
    "save": "._persistence",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name], __name__), name)
    return importlib.import_module(f".{name}", __name__)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
