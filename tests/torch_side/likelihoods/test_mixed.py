"""Columns of different kinds in one table."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from skeleton import (
    AS_TABLE,
    assert_means_of_groups,
    decoded_means,
    fitted,
    log_prob,
    prepared,
    random_outputs,
    with_missing,
)
from torch import Generator

from skvae import VAEDensityEstimator, VAEOutlierDetector
from skvae._torch.likelihoods import LIKELIHOODS, LenientBernoulli, Mixed, make_likelihood

# Deliberately out of order, and two columns that are apart.
COLUMNS = {
    "multinomial": [7, 1, 4],
    "gaussian": [0],
    "categorical": [3, 8],
    "bernoulli": [2],
    "poisson": [6],
    "negative_binomial": [5],
}


def rows(n_rows=120):
    rng = np.random.RandomState(0)
    group = rng.uniform(size=n_rows) < 0.5
    X = np.empty((n_rows, 9))
    X[:, 0] = rng.randn(n_rows) + 3 * group
    X[:, [7, 1, 4]] = [rng.multinomial(9, [0.2, 0.3, 0.5]) for _ in range(n_rows)]
    X[:, 2] = rng.uniform(size=n_rows) < np.where(group, 0.9, 0.1)
    X[:, 3] = np.where(group, 5, rng.choice([0, 2], size=n_rows))
    X[:, 8] = rng.randint(3, size=n_rows)
    X[:, 6] = rng.poisson(np.where(group, 8, 1))
    X[:, 5] = rng.poisson(rng.gamma(2, 2, size=n_rows))
    return X


def mixed(names=tuple(COLUMNS)):
    """Mixed likelihood of some kinds, and where their columns are in `rows`."""
    columns = np.sort(np.concatenate([COLUMNS[name] for name in names]))
    places = {LIKELIHOODS[name]: np.searchsorted(columns, COLUMNS[name]) for name in names}
    return Mixed(places), columns


ALL_PAIRS = pytest.mark.parametrize(
    "names", [*itertools.combinations(COLUMNS, 2), tuple(COLUMNS)], ids="-".join
)


@ALL_PAIRS
def test_is_the_sum_of_its_parts(names):
    table = rows() if "multinomial" in names else with_missing(rows())
    likelihood, columns = mixed(names)
    likelihood, biases = fitted(likelihood, table[:, columns])
    outputs = random_outputs(biases, 2, len(table))
    baseline, entries = likelihood.terms(outputs, prepared(likelihood, table[:, columns]))
    assert baseline.shape == (2, len(table))
    assert entries.shape == (2, len(table), len(columns))
    total, start = 0, 0
    for name in names:
        part, part_biases = fitted(LIKELIHOODS[name](), table[:, COLUMNS[name]])
        part_outputs = outputs[start : start + len(part_biases)]
        start += len(part_biases)
        x = prepared(part, table[:, COLUMNS[name]])
        total = total + part.log_prob(part_outputs, x)
        # Entries are where the user's columns are.
        of_part = entries[..., np.searchsorted(columns, COLUMNS[name])]
        torch.testing.assert_close(of_part, part.terms(part_outputs, x)[1], rtol=0, atol=1e-12)
    assert start == len(outputs)
    torch.testing.assert_close(baseline + entries.sum(-1), total, rtol=0, atol=1e-10)


@ALL_PAIRS
def test_sparse_and_dense_rows_have_the_same_log_prob(names):
    likelihood, columns = mixed(names)
    X = rows()[:, columns]
    likelihood, biases = fitted(likelihood, X)
    for sparse, dense in zip(mixed(names)[0].start(sp.csr_matrix(X)), biases, strict=True):
        np.testing.assert_allclose(sparse, dense, atol=1e-12)
    outputs = random_outputs(biases, len(X))
    dense = log_prob(likelihood, outputs, X)
    torch.testing.assert_close(
        log_prob(likelihood, outputs, sp.csr_matrix(X)), dense, rtol=0, atol=1e-10
    )


@ALL_PAIRS
def test_encoder_reads_what_the_parts_give(names):
    likelihood, columns = mixed(names)
    X = rows()[:, columns]
    likelihood, _ = fitted(likelihood, X)
    read = likelihood.inputs(prepared(likelihood, X))
    parts = []
    for name in names:
        part, _ = fitted(LIKELIHOODS[name](), rows()[:, COLUMNS[name]])
        parts.append(part.inputs(prepared(part, rows()[:, COLUMNS[name]])))
    assert read.shape == (len(X), likelihood.n_inputs(X.shape[1]))
    torch.testing.assert_close(read, torch.cat(parts, -1))


def test_variances_are_the_outputs_that_change_no_mean():
    likelihood, biases = fitted(mixed()[0], rows())
    (place,) = likelihood.variance_outputs()
    outputs = random_outputs(biases, len(rows()))
    changed = [output + (number == place) for number, output in enumerate(outputs)]
    assert torch.equal(likelihood.mean(changed), likelihood.mean(outputs))
    x = prepared(likelihood, rows())
    differs = likelihood.terms(changed, x)[1] != likelihood.terms(outputs, x)[1]
    assert differs.all(0).nonzero()[:, 0].tolist() == COLUMNS["gaussian"]
    assert differs.any(0).sum() == 1


def test_linear_columns_are_where_it_says():
    likelihood, biases = fitted(mixed()[0], rows())
    found = likelihood.linear_columns(rows())
    x = prepared(likelihood, rows())
    names = ("multinomial", "gaussian", "poisson", "negative_binomial")
    assert [part.columns.tolist() for part in found] == [COLUMNS[name] for name in names]
    for part, name in zip(found, names, strict=True):
        read = likelihood.inputs(x)[:, part.inputs]
        values = x[:, part.columns]
        expected = values if name == "gaussian" else values.log1p()
        torch.testing.assert_close(read, expected, rtol=0, atol=0)
        assert len(biases[part.first_output]) == len(COLUMNS[name])


def test_weight_decay_makes_variances_alike_before_it_makes_means_alike():
    rng = np.random.RandomState(0)
    group = np.repeat([0, 1], 200)
    X = np.column_stack([4 * group + rng.randn(400) * (1 + group), group])
    model = VAEDensityEstimator(alpha=0.03, max_iter=60, random_state=0).fit(X)._model
    mean, variance = (output.weight.detach().abs().max() for output in model.network.outputs[1:])
    assert model.likelihood.variance_outputs() == [2]
    assert 10 * variance < mean


def test_sums_to_one():
    names = ("categorical", "bernoulli", "poisson")
    X = np.array([[0.0, 2.0, 4.0, 1.0], [1.0, 5.0, 2.0, 1.0]])
    likelihood = Mixed(
        {LIKELIHOODS[n]: np.array(c) for n, c in zip(names, ([1, 3], [0], [2]), strict=True)}
    )
    likelihood, biases = fitted(likelihood, X)
    support = np.array(list(itertools.product([0.0, 1.0], [2.0, 5.0, 9.0], range(60), [1.0, 3.0])))
    outputs = [bias.expand(len(support), -1) for bias in random_outputs(biases)]
    assert log_prob(likelihood, outputs, support).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_gradient_is_right():
    likelihood, biases = fitted(mixed()[0], rows())
    x = prepared(likelihood, rows()[:2])
    outputs = [output.requires_grad_() for output in random_outputs(biases, 2)]
    assert torch.autograd.gradcheck(lambda *outs: likelihood.log_prob(list(outs), x), outputs)


def test_row_is_empty_only_if_every_part_is():
    likelihood = Mixed(
        {LIKELIHOODS["multinomial"]: np.array([0, 2]), LIKELIHOODS["gaussian"]: np.array([1])}
    )
    X = np.array([[0.0, 1.5, 0.0], [0.0, np.nan, 0.0], [1.0, np.nan, 0.0], [2.0, 1.0, 1.0]])
    likelihood, _ = fitted(likelihood, X)
    assert likelihood.is_empty(prepared(likelihood, X)).tolist() == [False, True, False, False]


def test_means_come_back_as_rows_of_the_table():
    X = rows()
    likelihood, biases = fitted(mixed()[0], X)
    mean = likelihood.to_table(likelihood.mean(biases)).numpy()
    numbers = [0, 1, 4, 5, 6, 7]
    np.testing.assert_allclose(mean[numbers], X.mean(axis=0)[numbers], atol=0.01)
    for column in (3, 8):
        codes, counts = np.unique(X[:, column], return_counts=True)
        assert mean[column] == codes[counts.argmax()]


def test_samples_are_rows_of_the_table():
    X = rows()
    likelihood, biases = fitted(mixed()[0], X)
    many = [bias.expand(20_000, -1) for bias in biases]
    drawn = likelihood.sample(many, Generator().manual_seed(0)).numpy()
    np.testing.assert_allclose(drawn.mean(axis=0), X.mean(axis=0), rtol=0.05, atol=0.05)
    likelihood.check(drawn)
    assert (drawn[:, [1, 4, 7]].sum(axis=1) == 9).all()
    assert set(np.unique(drawn[:, 3])) == {0.0, 2.0, 5.0}


@pytest.mark.parametrize(
    ("name", "column", "wrong"),
    [
        ("multinomial", 4, 0.5),
        ("multinomial", 4, np.nan),
        ("categorical", 8, -1),
        ("bernoulli", 2, 2),
        ("poisson", 6, 0.5),
        ("negative_binomial", 5, -1),
    ],
)
def test_errors_name_the_column_of_the_table(name, column, wrong):
    X = rows()
    X[4, column] = wrong
    with pytest.raises(ValueError, match=f"column {column} has {wrong:g}"):
        VAEDensityEstimator(likelihood=COLUMNS, max_iter=1).fit(X)


@AS_TABLE
@pytest.mark.parametrize("n_importance_samples", [1, 20])
def test_contributions_add_up_to_the_score(as_table, n_importance_samples):
    X = as_table(rows())
    detector = VAEOutlierDetector(
        likelihood=COLUMNS, n_importance_samples=n_importance_samples, max_iter=2, random_state=0
    ).fit(X)
    explanation = detector.feature_contributions(X)
    total = np.asarray(explanation.contributions.sum(axis=1)).ravel()
    total = total + explanation.baseline + explanation.latent
    np.testing.assert_allclose(total, detector.score_samples(X), rtol=0, atol=1e-9)
    assert explanation.contributions.shape == X.shape


def test_fit_recovers_the_parameters_of_two_groups():
    rng = np.random.RandomState(0)
    second = np.arange(900) % 3 == 0
    X = np.column_stack(
        [
            np.where(second, 3, -1) + 0.5 * rng.randn(900),
            rng.uniform(size=900) < np.where(second, 0.9, 0.1),
            rng.poisson(np.where(second, 2, 8)),
            np.where(rng.uniform(size=900) < 0.8, second, 2),
            rng.poisson(rng.gamma(5, np.where(second, 12, 3) / 5)),
        ]
    )
    likelihood = {"poisson": [2], "categorical": [3], "negative_binomial": [4]}
    density, found = decoded_means(likelihood, X)
    assert list(density.likelihood_) == [*likelihood, "bernoulli", "contaminated_gaussian"]
    means = np.column_stack([X[:, 2], *(X[:, 3] == code for code in range(3)), X[:, [4, 1, 0]]])
    assert_means_of_groups(found, means, second)
    decoded = density.inverse_transform(density.transform(X))
    assert (decoded[:, 3] == np.where(second, 1, 0)).mean() > 0.95


def test_binary_columns_beside_those_that_are_named_take_any_value():
    rng = np.random.RandomState(0)
    X = np.column_stack([rng.randn(50), rng.rand(50, 2) < 0.5])
    assert LenientBernoulli in map(type, make_likelihood({"gaussian": [0]}, X).parts)
