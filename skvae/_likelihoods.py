"""Names of the likelihoods, and the columns that a user gives to each."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ._compat import column_indices

LIKELIHOODS = (
    "bernoulli",
    "categorical",
    "contaminated_gaussian",
    "gaussian",
    "multinomial",
    "negative_binomial",
    "poisson",
    "spike_and_slab",
)


def resolve_likelihood(likelihood: Any, X: Any) -> str | dict[str, list[int]]:
    """Find the columns of each likelihood by index, given by index, name, mask or selector.

    Raises
    ------
    ValueError
        If a likelihood or a column is unknown, or a column is named twice.
    """
    if isinstance(likelihood, str):
        return likelihood
    unknown = sorted(set(likelihood) - set(LIKELIHOODS), key=str)
    if unknown:
        raise ValueError(
            f"likelihood names {unknown[0]!r}, which is none of {', '.join(LIKELIHOODS)}. Columns "
            "without a likelihood get that of likelihood='auto'."
        )
    resolved: dict[str, list[int]] = {}
    owner: dict[int, str] = {}
    for name, key in likelihood.items():
        if key is None:
            raise ValueError(f"likelihood gives no columns to {name!r}: None. Leave it out.")
        try:
            resolved[name] = sorted(column_indices(X, key))
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f"likelihood gives columns to {name!r} that X does not have, "
                f"{reprlib.repr(key)}: {error}"
            ) from error
        for column in resolved[name]:
            if column in owner:
                twice = f"to {owner[column]!r} and to {name!r}"
                if owner[column] == name:
                    twice = f"to {name!r} twice"
                raise ValueError(
                    f"likelihood gives column {column} {twice}. Name each column once."
                )
            owner[column] = name
    return resolved


def columns_of_fit(
    estimator: BaseEstimator, X: Any, before: str | dict[str, list[int]] | None
) -> str | dict[str, list[int]]:
    """Columns of each likelihood: those of the fit `before`, while the parameter is the same.

    Later rows may have other names and types, by which the columns were found.
    """
    if before is None or not is_of_fit(estimator):
        before = resolve_likelihood(estimator.likelihood, X)
    keep_in_mind(estimator)
    return before


def is_of_fit(estimator: BaseEstimator) -> bool:
    """Whether the parameter `likelihood` is the one that the last fit had, and says the same."""
    known, said = vars(estimator).get("_likelihood_of_fit", (None, None))
    return known is estimator.likelihood and said == _as_it_is_now(estimator.likelihood)


def keep_in_mind(estimator: BaseEstimator) -> None:
    """Let an estimator know which parameter `likelihood` its columns are of, and what it said."""
    estimator._likelihood_of_fit = estimator.likelihood, _as_it_is_now(estimator.likelihood)


def _as_it_is_now(likelihood: Any) -> Any:
    """What a parameter says, which is not changed by changing a dict in place."""
    if not isinstance(likelihood, Mapping):
        return likelihood
    return {
        name: tuple(np.ravel(key).tolist()) if isinstance(key, (list, np.ndarray)) else key
        for name, key in likelihood.items()
    }


def has_real_values(likelihood: str | Mapping[str, Any]) -> bool:
    """Whether there are columns of real values; `likelihood` is a name or the columns of each."""
    names = {likelihood} if isinstance(likelihood, str) else set(likelihood)
    return not names.isdisjoint({"gaussian", "contaminated_gaussian", "spike_and_slab"})
