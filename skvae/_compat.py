"""The only place that touches scikit-learn's private or moving API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._indexing import _get_column_indices
from sklearn.utils._metadata_requests import _raise_for_params
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _num_samples as num_samples

__all__ = [
    "DOCUMENTATION_URL",
    "DocumentationLink",
    "Interval",
    "StrOptions",
    "check_method_params",
    "column_indices",
    "num_samples",
    "output_container",
    "refuse_unrouted_metadata",
    "safe_indexing",
    "validate_params",
]

ParameterConstraints = dict[str, Sequence[Any]]

# Where the site of `docs/` is published; the only place that says so.
DOCUMENTATION_URL = "https://skvae.readthedocs.io/en/stable/"


class DocumentationLink:
    """Lets scikit-learn's HTML diagrams link an estimator to its page; goes before BaseEstimator.

    scikit-learn fills the template with the name of the class and its module up to the first
    private part, and leaves classes of other packages that inherit from it without a link.
    """

    _doc_link_module = "skvae"
    _doc_link_template = DOCUMENTATION_URL + "generated/{estimator_module}.{estimator_name}.html"


def validate_params(estimator: BaseEstimator, constraints: ParameterConstraints) -> None:
    """Raise scikit-learn's own error for a parameter of the wrong type or out of range."""
    validate_parameter_constraints(
        constraints, estimator.get_params(deep=False), caller_name=type(estimator).__name__
    )


def column_indices(X: Any, key: Any) -> list[int]:
    """Find the columns that `ColumnTransformer` would take: by index, name, mask or selector."""
    table = X if hasattr(X, "shape") else np.asarray(X)
    columns = _get_column_indices(table, key(table) if callable(key) else key)
    return [int(column) for column in np.atleast_1d(columns)]


def refuse_unrouted_metadata(estimator: BaseEstimator, metadata: dict[str, Any]) -> None:
    """Raise scikit-learn's own error for metadata when its metadata routing is switched off."""
    _raise_for_params(metadata, estimator, "fit")


def output_container(transformer: BaseEstimator) -> str | None:
    """What `set_output` was last told that `transform` returns; None if nothing."""
    return getattr(transformer, "_sklearn_output_config", {}).get("transform")
