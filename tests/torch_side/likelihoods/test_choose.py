"""Which likelihood describes which column."""

import numpy as np
import pytest
import scipy.sparse as sp
from skeleton import AS_TABLE

from skvae._likelihoods import LIKELIHOODS as NAMES
from skvae._torch.likelihoods import LIKELIHOODS, Mixed, choose_likelihoods, make_likelihood


def chosen(X):
    return {name: columns.tolist() for name, columns in choose_likelihoods(X).items()}


def test_every_likelihood_has_a_public_name():
    assert tuple(LIKELIHOODS) == NAMES


@AS_TABLE
@pytest.mark.parametrize(
    ("X", "expected"),
    [
        ([[0.0, 1.0]], {"bernoulli": [0, 1]}),
        ([[0.0, 0.0], [0.0, 0.0]], {"bernoulli": [0, 1]}),
        ([[1.0, 1.0]], {"bernoulli": [0, 1]}),
        ([[0.0, 0.5]], {"contaminated_gaussian": [0, 1]}),
        # Counts: more than half of them zeros, and not less.
        (
            [[0.0, 0.0], [3.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]],
            {"negative_binomial": [0, 1]},
        ),
        ([[0.0, 3.0, 2.0], [2.0, 0.0, 1.0], [1.0, 1.0, 0.0]], {"contaminated_gaussian": [0, 1, 2]}),
        # ... and ones the commonest of the others, unlike grey values.
        ([[0.0], [3.0], [0.0], [3.0], [0.0], [0.0], [1.0], [0.0]], {"spike_and_slab": [0]}),
        ([[0.0], [3.0], [0.0], [1.0], [0.0], [0.0], [1.0], [0.0]], {"negative_binomial": [0]}),
        # Neither zeros nor ones of other columns make a code or an age a count.
        (
            [[0.0, 0.0, 4.0], [0.0, 0.0, 2.0], [1.0, 0.0, 2.0], [0.0, 1.0, 1.0]],
            {"bernoulli": [0, 1], "contaminated_gaussian": [2]},
        ),
        (
            [[0.0, 1.0, 4.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 2.0]],
            {"bernoulli": [0, 1], "spike_and_slab": [2]},
        ),
        ([[0.0, 0.0, 0.0, -3.0]], {"contaminated_gaussian": [0, 1, 2, 3]}),
        ([[0.0, 0.0, 0.0, 2e8]], {"contaminated_gaussian": [0, 1, 2, 3]}),
        ([[0.0, 0.0, 0.0, 0.5]], {"contaminated_gaussian": [0, 1, 2, 3]}),
        # In any other table, column by column.
        (
            [[0.0, 2.5, 1.0, 0.0], [1.0, 3.0, 1.0, 0.0]],
            {"bernoulli": [0], "contaminated_gaussian": [1, 2, 3]},
        ),
        ([[0.0, 2.0], [1.0, 1.0]], {"bernoulli": [0], "contaminated_gaussian": [1]}),
        ([[0.0, 2.5], [1.0, 3.0], [0.5, 1.0]], {"contaminated_gaussian": [0, 1]}),
        # Most values of a column are the same.
        (
            [[0.0, 2.5, 1.0, 4.0], [0.0, 3.0, 0.0, 4.0], [0.5, 3.0, 0.0, 4.0]],
            {"bernoulli": [2], "contaminated_gaussian": [3], "spike_and_slab": [0, 1]},
        ),
    ],
)
def test_choice_by_the_data(as_table, X, expected):
    assert chosen(as_table(np.array(X))) == expected


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        ([[0.0, np.nan]], {"bernoulli": [0, 1]}),
        (
            [[0.0, 3.0], [np.nan, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]],
            {"negative_binomial": [0, 1]},
        ),
        # A missing value is no zero.
        (
            [[3.0, 0.0], [1.0, np.nan], [0.0, 1.0], [np.nan, 0.0]],
            {"bernoulli": [1], "contaminated_gaussian": [0]},
        ),
        ([[0.0, 2.5], [1.0, 3.0], [np.nan, 1.0]], {"bernoulli": [0], "contaminated_gaussian": [1]}),
        ([[0.0, 2.5], [np.nan, 3.0]], {"contaminated_gaussian": [0, 1]}),
        ([[0.5], [0.5], [1.5], [np.nan], [np.nan]], {"spike_and_slab": [0]}),
    ],
)
def test_choice_by_a_table_with_missing_values(X, expected):
    assert chosen(np.array(X)) == expected


def test_explicit_zeros_are_zeros():
    X = sp.csr_matrix([[7.0, 7.0, 7.0], [0.0, 0.0, 7.0], [0.0, 0.0, 7.0], *[[0.0] * 3] * 2])
    X.data[:] = [1, 0, 2, 0, 3]
    assert chosen(X) == {"bernoulli": [0], "contaminated_gaussian": [1], "spike_and_slab": [2]}
    X.data[:] = [1, 1, 2, 0, 1]
    assert chosen(X) == {"negative_binomial": [0, 1, 2]}
    X.data[:] = [0, 0, 1, 0, 0]
    assert chosen(X) == {"bernoulli": [0, 1, 2]}
    X = sp.csr_matrix([[1.0, 0.5], [1.0, 0.7]])
    X.data[0] = 0
    assert chosen(X) == {"bernoulli": [0], "contaminated_gaussian": [1]}


def describe(likelihood, X):
    described = make_likelihood(likelihood, X).describe()
    if isinstance(described, str):
        return described
    return {name: columns.tolist() for name, columns in described.items()}


@AS_TABLE
def test_unnamed_columns_are_described_as_by_auto(as_table):
    X = as_table(np.array([[0.0, 2.5, 4.0, 3.0], [1.0, 3.0, 1.0, 0.0]]))
    assert describe("auto", X) == {"bernoulli": [0], "contaminated_gaussian": [1, 2, 3]}
    expected = {"poisson": [3], "bernoulli": [0], "contaminated_gaussian": [1, 2]}
    assert describe({"poisson": [3]}, X) == expected
    assert describe({"contaminated_gaussian": [3]}, X) == describe("auto", X)
    expected = {"gaussian": [3], "bernoulli": [0], "contaminated_gaussian": [1, 2]}
    assert describe({"gaussian": [3]}, X) == expected
    assert describe({"gaussian": []}, X) == describe({}, X) == describe("auto", X)


def test_one_likelihood_for_all_columns_is_not_mixed():
    X = np.array([[0.0, 2.5], [1.0, 3.0]])
    assert describe({"gaussian": [0, 1]}, X) == describe("gaussian", X) == "gaussian"
    name = "contaminated_gaussian"
    assert describe({name: [0]}, X[:, 1:]) == describe("auto", X[:, 1:]) == name
    assert isinstance(make_likelihood({"gaussian": [1]}, X), Mixed)


def test_rest_is_judged_without_the_named_columns():
    X = np.array(
        [[0.0, 2.5, 1.0], [0.0, 3.0, 0.0], [1.0, 3.5, 0.0], [0.0, 2.5, 2.0], [0.0, 2.5, 0.0]]
    )
    assert describe({"contaminated_gaussian": [1]}, X) == {
        "contaminated_gaussian": [1],
        "negative_binomial": [0, 2],
    }
