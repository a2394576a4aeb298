"""Which likelihood describes which column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp

from ..blocks import blocks
from ..sparse import Table
from .base import ROWS_AT_A_TIME, Likelihood, stored_values
from .bernoulli import Bernoulli, LenientBernoulli
from .categorical import Categorical
from .contaminated_gaussian import ContaminatedGaussian
from .counts import not_a_count
from .gaussian import Gaussian
from .mixed import Mixed
from .multinomial import Multinomial
from .negative_binomial import NegativeBinomial
from .poisson import Poisson
from .spike_and_slab import SpikeAndSlab, spiked_columns

LIKELIHOODS: dict[str, type[Likelihood]] = {
    likelihood.name: likelihood
    for likelihood in (
        Bernoulli,
        Categorical,
        ContaminatedGaussian,
        Gaussian,
        Multinomial,
        NegativeBinomial,
        Poisson,
        SpikeAndSlab,
    )
}


def is_binary(X: Table) -> bool:
    """Whether every value is 0 or 1, or missing."""
    values = stored_values(X)
    return bool(np.all((values == 0) | (values == 1) | np.isnan(values)))


def in_unit_interval(X: Table) -> bool:
    """Whether every value lies in [0, 1]."""
    values = stored_values(X)
    return bool(np.all((values >= 0) & (values <= 1)))


def is_count(X: Table) -> bool:
    """Whether the values are counts: zeros and ones, and columns with larger ones.

    In these more than half are 0, and 1 is the commonest of the others. Grey values of pixels and
    codes are integers, too, and so is an age beside answers of yes or no.
    """
    values = stored_values(X)
    if any(not_a_count(some).any() for some in blocks(values, ROWS_AT_A_TIME)):
        return False
    is_larger = values > 1
    columns = np.unique(X.indices[is_larger]) if sp.issparse(X) else is_larger.any(axis=0)
    counts = X[:, columns]
    values = stored_values(counts)
    n_values = np.prod(counts.shape, dtype=float) - np.count_nonzero(np.isnan(values))
    positive, n_each = np.unique(values[values > 0], return_counts=True)
    return n_each.sum() < n_values / 2 and positive[n_each.argmax()] == 1


def binary_columns(X: Table) -> np.ndarray:
    """Which columns hold both 0 and 1 and nothing else, (n_features,) of bool."""
    n_rows, n_features = X.shape
    if sp.issparse(X):
        ones = np.bincount(X.indices[X.data == 1], minlength=n_features)
        others = np.bincount(X.indices[(X.data != 0) & (X.data != 1)], minlength=n_features)
        return (ones > 0) & (others == 0) & (ones < n_rows)
    is_one, is_zero = X == 1, X == 0
    both = is_one.any(axis=0) & is_zero.any(axis=0)
    return both & (is_one | is_zero | np.isnan(X)).all(axis=0)


def choose_likelihoods(X: Table) -> dict[str, np.ndarray]:
    """Choose by the data: name of a likelihood -> columns that it describes.

    A table of zeros and ones is Bernoulli, one of counts negative binomial. Of any other table the
    columns with both 0 and 1 and nothing else are Bernoulli, those with a value that most rows have
    are a spike and a slab, and the others contaminated Gaussian.
    """
    everything = np.arange(X.shape[1])
    if is_binary(X):
        return {"bernoulli": everything}
    if is_count(X):
        return {"negative_binomial": everything}
    binary = binary_columns(X)
    spiked = np.zeros_like(binary)
    spiked[~binary] = spiked_columns(X[:, ~binary])
    groups = {
        "bernoulli": everything[binary],
        "contaminated_gaussian": everything[~binary & ~spiked],
        "spike_and_slab": everything[spiked],
    }
    return {name: columns for name, columns in groups.items() if len(columns)}


def make_likelihood(likelihood: str | Mapping[str, Sequence[int]], X: Table) -> Likelihood:
    """Make the likelihood of a training table.

    Parameters
    ----------
    likelihood : str or mapping from str to sequence of int
        Name of a likelihood, "auto", or the columns of each name; those that no name has are
        described as by "auto".
    X : ndarray or CSR matrix
    """
    if isinstance(likelihood, str) and likelihood != "auto":
        return LIKELIHOODS[likelihood]()
    named = {} if isinstance(likelihood, str) else likelihood
    parts = {LIKELIHOODS[name]: np.asarray(columns, int) for name, columns in named.items()}
    taken = np.concatenate([np.empty(0, int), *parts.values()])
    rest = np.setdiff1d(np.arange(X.shape[1]), taken)
    if len(rest):
        chosen = choose_likelihoods(X[:, rest] if len(taken) else X)
        mixed = len(taken) > 0 or len(chosen) > 1
        for name, columns in chosen.items():
            make = LenientBernoulli if mixed and name == "bernoulli" else LIKELIHOODS[name]
            parts[make] = np.union1d(parts.get(make, np.empty(0, int)), rest[columns])
    parts = {make: columns for make, columns in parts.items() if len(columns)}
    return next(iter(parts))() if len(parts) == 1 else Mixed(parts)
