"""Likelihoods: normalised, equal to torch.distributions, with the right gradients."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Generator

from skvae._torch.likelihoods import Bernoulli, Gaussian, choose_likelihood, column_moments
from skvae._torch.networks import Linear
from skvae._torch.sparse import as_batch


def random_outputs(likelihood, *shape, seed=0):
    generator = Generator().manual_seed(seed)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for _ in range(likelihood.n_outputs)
    ]


def fitted(likelihood, X):
    generator = Generator().manual_seed(0)
    heads = [Linear(2, X.shape[1], generator) for _ in range(likelihood.n_outputs)]
    likelihood.initialise(X, heads)
    return likelihood, heads


def prepared(likelihood, X):
    return likelihood.prepare(as_batch(X), torch.float64)


def test_bernoulli_sums_to_one_over_all_binary_vectors():
    X = np.array(list(itertools.product([0.0, 1.0], repeat=6)))
    likelihood = Bernoulli()
    logits = [random_outputs(likelihood, 6)[0].expand(64, 6)]
    total = likelihood.log_prob(logits, prepared(likelihood, X)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_bernoulli_equals_torch_distribution(binary_rows):
    likelihood = Bernoulli()
    outputs = random_outputs(likelihood, *binary_rows.shape)
    expected = torch.distributions.Bernoulli(logits=outputs[0])
    expected = expected.log_prob(torch.from_numpy(binary_rows)).sum(-1)
    found = likelihood.log_prob(outputs, prepared(likelihood, binary_rows))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_gaussian_equals_torch_distribution_in_the_units_of_the_table(real_rows):
    likelihood, _ = fitted(Gaussian(), real_rows)
    outputs = random_outputs(likelihood, *real_rows.shape)
    mean = likelihood.mean(outputs)
    deviation = likelihood.variance(outputs).sqrt() * torch.from_numpy(real_rows.std(axis=0))
    expected = torch.distributions.Normal(mean, deviation)
    expected = expected.log_prob(torch.from_numpy(real_rows)).sum(-1)
    found = likelihood.log_prob(outputs, prepared(likelihood, real_rows))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_gaussian_variance_never_falls_below_its_floor():
    outputs = [torch.zeros(3), torch.full((3,), -1e6)]
    assert (Gaussian().variance(outputs) >= Gaussian.MIN_VARIANCE).all()


@pytest.mark.parametrize("make", [Bernoulli, Gaussian])
def test_sparse_and_dense_rows_have_the_same_log_prob(make, sparse_rows):
    likelihood, _ = fitted(make(), sparse_rows)
    outputs = random_outputs(likelihood, 3, *sparse_rows.shape)
    dense = likelihood.log_prob(outputs, prepared(likelihood, sparse_rows.toarray()))
    sparse = likelihood.log_prob(outputs, prepared(likelihood, sparse_rows))
    torch.testing.assert_close(sparse, dense, rtol=0, atol=1e-10)


@pytest.mark.parametrize("make", [Bernoulli, Gaussian])
@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_gradient_is_right(make, as_table):
    X = as_table(np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]))
    likelihood, _ = fitted(make(), X)
    x = prepared(likelihood, X)
    outputs = [output.requires_grad_() for output in random_outputs(likelihood, 2, 3)]
    assert torch.autograd.gradcheck(lambda *outs: likelihood.log_prob(list(outs), x), outputs)


def test_bernoulli_starts_from_the_marginals(binary_rows):
    _, (head,) = fitted(Bernoulli(), binary_rows)
    expected = (binary_rows.sum(axis=0) + 0.5) / (len(binary_rows) + 1)
    np.testing.assert_allclose(torch.sigmoid(head.bias).detach(), expected, atol=1e-6)


def test_gaussian_starts_from_unit_variance(real_rows):
    likelihood, heads = fitted(Gaussian(), real_rows)
    variance = likelihood.variance([head.bias for head in heads])
    np.testing.assert_allclose(variance.detach(), 1, atol=1e-6)


def test_column_moments_of_sparse_rows_are_those_of_dense_ones():
    X = sp.random(50, 12, density=0.3, format="csr", random_state=np.random.RandomState(0))
    for sparse, dense in zip(column_moments(X), column_moments(X.toarray()), strict=True):
        np.testing.assert_allclose(sparse, dense, atol=1e-14)


@pytest.mark.parametrize("constant", [0.0, 3.0, 1e8 / 3])
def test_constant_column_is_not_scaled(constant):
    X = np.column_stack([np.full(20, constant), np.arange(20.0)])
    likelihood, _ = fitted(Gaussian(), X)
    assert likelihood.scale_[0] == 1
    assert likelihood.scale_[1] == pytest.approx(X[:, 1].std())


@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_gaussian_refuses_a_column_whose_variance_overflows(as_table):
    X = as_table(np.array([[1.0, 1e300], [2.0, -1e300], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="column 1 are so large"):
        fitted(Gaussian(), X)


@pytest.mark.parametrize("make", [Bernoulli, Gaussian])
def test_sample_has_the_moments_of_the_distribution(make, real_rows):
    likelihood, _ = fitted(
        make(), (real_rows > 7).astype(float) if make is Bernoulli else real_rows
    )
    outputs = [output.expand(40_000, 4) for output in random_outputs(likelihood, 4)]
    drawn = likelihood.sample(outputs, Generator().manual_seed(0)).numpy()
    mean = likelihood.mean(outputs)[0].numpy()
    if make is Bernoulli:
        variance = mean * (1 - mean)
    else:
        variance = (likelihood.variance(outputs)[0] * likelihood.scale_**2).numpy()
    assert (np.abs(drawn.mean(axis=0) - mean) < 4 * np.sqrt(variance / 40_000)).all()
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.05)


@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("wrong", [-0.5, 2.0])
def test_bernoulli_refuses_a_value_and_names_its_column(as_table, wrong):
    X = np.zeros((4, 5))
    X[2, 3] = wrong
    with pytest.raises(ValueError, match=f"column 3 has {wrong:g}.*likelihood='gaussian'"):
        Bernoulli().check(as_table(X))


@pytest.mark.parametrize(
    ("X", "name"),
    [
        (np.array([[0.0, 1.0]]), "bernoulli"),
        (np.array([[0.0, 0.5]]), "gaussian"),
        (np.array([[0.0, 2.0]]), "gaussian"),
        (sp.csr_matrix([[0.0, 1.0]]), "bernoulli"),
        (sp.csr_matrix([[0.0, 0.5]]), "gaussian"),
        (sp.csr_matrix((3, 4)), "bernoulli"),
    ],
)
def test_choice_by_the_data(X, name):
    assert choose_likelihood(X) == name


def test_sparse_counts_have_no_automatic_likelihood():
    with pytest.raises(ValueError, match=r"column 1 has 2.*CountVectorizer\(binary=True\)"):
        choose_likelihood(sp.csr_matrix([[1.0, 2.0, 0.0]]))
