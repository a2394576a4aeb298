"""What every likelihood must do. A file for each one says which it is, and what is its own."""

import re
from abc import ABC, abstractmethod

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Generator

from skvae import VAEDensityEstimator, VAEOutlierDetector
from skvae._torch.sparse import CSRBatch, as_batch

AS_TABLE = pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])


def fitted(likelihood, X):
    """Likelihood that has seen a training table, and the decoder's first biases."""
    return likelihood, [torch.from_numpy(bias) for bias in likelihood.start(X)]


def random_outputs(biases, *shape, seed=0):
    """Outputs of a decoder that is not far from its start, (*shape, width of the output)."""
    generator = Generator().manual_seed(seed)
    return [
        bias + 0.5 * torch.randn(*shape, len(bias), generator=generator, dtype=torch.float64)
        for bias in biases
    ]


def prepared(likelihood, X):
    return likelihood.prepare(as_batch(X), torch.float64)


def log_prob(likelihood, outputs, X):
    return likelihood.log_prob(outputs, prepared(likelihood, X))


def with_missing(X):
    """Table without some of its values, and a row of none."""
    X = np.where(np.random.RandomState(1).uniform(size=X.shape) < 0.3, np.nan, X)
    X[2] = np.nan
    return X


def counts(n_rows=200):
    """Counts of five features, of which one is always 0, and an empty row."""
    rng = np.random.RandomState(0)
    rate = rng.gamma(2, 0.5, size=(n_rows, 1)) * np.array([0.3, 0.5, 2, 6, 0])
    X = rng.poisson(rate).astype(float)
    X[3] = 0
    return X


class LikelihoodTests(ABC):
    """Tests of the likelihood `make`."""

    make: type

    @abstractmethod
    def table(self):
        """Training rows, dense and complete."""

    @abstractmethod
    def reference(self, likelihood, outputs, X):
        """Log-probability of each value by another library, as wide as X."""

    def variance(self, likelihood, outputs):
        """Variance of each feature by its formula, unless the test that asks is overridden."""
        raise NotImplementedError

    @abstractmethod
    def two_groups(self, rng, second):
        """Rows from two distributions; `second` (bool) says which are from the second one."""

    def as_means(self, X):
        """Rows in the form in which the likelihood gives means."""
        return X

    @pytest.fixture
    def X(self):
        return self.table()

    def test_equals_another_library(self, X):
        likelihood, biases = fitted(self.make(), X)
        outputs = random_outputs(biases, len(X))
        expected = self.reference(likelihood, outputs, X).sum(-1)
        np.testing.assert_allclose(log_prob(likelihood, outputs, X), expected, rtol=0, atol=1e-10)

    def test_sparse_and_dense_rows_have_the_same_log_prob(self, X):
        likelihood, biases = fitted(self.make(), sp.csr_matrix(X))
        outputs = random_outputs(biases, 3, len(X))
        dense = log_prob(likelihood, outputs, X)
        sparse = log_prob(likelihood, outputs, sp.csr_matrix(X))
        torch.testing.assert_close(sparse, dense, rtol=0, atol=1e-10)

    def test_explicit_zeros_change_nothing(self, X):
        likelihood, biases = fitted(self.make(), X)
        outputs = random_outputs(biases, len(X))
        stored = sp.csr_matrix(np.ones_like(X))
        stored.data = X.ravel().copy()
        expected = log_prob(likelihood, outputs, sp.csr_matrix(X))
        torch.testing.assert_close(
            log_prob(likelihood, outputs, stored), expected, rtol=0, atol=1e-10
        )

    def test_sparse_and_dense_tables_start_alike(self, X):
        for sparse, dense in zip(
            self.make().start(sp.csr_matrix(X)), self.make().start(X), strict=True
        ):
            np.testing.assert_allclose(sparse, dense, atol=1e-12)

    @AS_TABLE
    def test_one_baseline_a_row_and_one_entry_a_value(self, as_table, X):
        likelihood, biases = fitted(self.make(), X)
        table = as_table(X[:7])
        baseline, entries = likelihood.terms(
            random_outputs(biases, 3, 7), prepared(likelihood, table)
        )
        assert baseline.shape == (3, 7)
        written_out = not isinstance(prepared(likelihood, table), CSRBatch)
        assert entries.shape == ((3, *X[:7].shape) if written_out else (3, table.nnz))

    @AS_TABLE
    def test_gradient_is_right(self, as_table, X):
        likelihood, biases = fitted(self.make(), X)
        x = prepared(likelihood, as_table(X[:3]))
        outputs = [output.requires_grad_() for output in random_outputs(biases, 3)]
        assert torch.autograd.gradcheck(lambda *outs: likelihood.log_prob(list(outs), x), outputs)

    def test_missing_values_are_integrated_out(self, X):
        likelihood, biases = fitted(self.make(), X)
        outputs = random_outputs(biases, len(X))
        holes = with_missing(X)
        expected = np.where(np.isnan(holes), 0, self.reference(likelihood, outputs, X)).sum(-1)
        np.testing.assert_allclose(
            log_prob(likelihood, outputs, holes), expected, rtol=0, atol=1e-10
        )

    def test_gradient_is_right_with_missing_values(self, X):
        likelihood, biases = fitted(self.make(), X)
        x = prepared(likelihood, with_missing(X)[:3])
        outputs = [output.requires_grad_() for output in random_outputs(biases, 3)]
        assert torch.autograd.gradcheck(lambda *outs: likelihood.log_prob(list(outs), x), outputs)

    def test_missing_values_leave_a_training_table_usable(self, X):
        holes = with_missing(X)
        likelihood, biases = fitted(self.make(), holes)
        assert all(bias.isfinite().all() for bias in biases)
        assert likelihood.inputs(prepared(likelihood, holes)).isfinite().all()
        empty = likelihood.is_empty(prepared(likelihood, holes))
        np.testing.assert_array_equal(empty, np.isnan(holes).all(axis=1))

    def test_encoder_reads_the_same_of_sparse_and_dense_rows(self, X):
        likelihood, _ = fitted(self.make(), X)
        dense = likelihood.inputs(prepared(likelihood, X))
        sparse = likelihood.inputs(prepared(likelihood, sp.csr_matrix(X)))
        sparse = sparse.to_dense() if isinstance(sparse, CSRBatch) else sparse
        assert dense.shape == (len(X), likelihood.n_inputs(X.shape[1]))
        torch.testing.assert_close(sparse, dense)

    def test_samples_have_the_moments_of_the_distribution(self, X):
        likelihood, biases = fitted(self.make(), X)
        outputs = random_outputs(biases)
        many = [output.expand(40_000, len(output)) for output in outputs]
        drawn = likelihood.sample(many, Generator().manual_seed(0)).numpy()
        variance = np.asarray(self.variance(likelihood, outputs))
        error = np.abs(drawn.mean(axis=0) - likelihood.mean(outputs).numpy())
        assert (error <= 4 * np.sqrt(variance / 40_000)).all()
        np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.07, atol=2e-3)

    def test_samples_come_from_the_given_generator_alone(self, X):
        likelihood, biases = fitted(self.make(), X)
        outputs = random_outputs(biases, 2, 50)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        first, again, other = (
            likelihood.sample(outputs, Generator().manual_seed(seed)) for seed in (0, 0, 1)
        )
        assert torch.equal(torch.get_rng_state(), before[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])
        assert first.shape == (2, 50, X.shape[1])
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        likelihood.check(first.reshape(100, -1).numpy())

    @AS_TABLE
    def test_contributions_add_up_to_the_score(self, as_table, X):
        table = as_table(X[X.sum(axis=1) > 0])
        detector = VAEOutlierDetector(likelihood=self.make.name, max_iter=2, random_state=0)
        explanation = detector.fit(table).feature_contributions(table)
        total = np.asarray(explanation.contributions.sum(axis=1)).ravel()
        total = total + explanation.baseline + explanation.latent
        np.testing.assert_allclose(total, detector.score_samples(table), rtol=0, atol=1e-9)
        assert explanation.contributions.shape == table.shape
        if sp.issparse(table):
            np.testing.assert_array_equal(explanation.contributions.indices, table.indices)
            np.testing.assert_array_equal(explanation.contributions.indptr, table.indptr)

    def test_fit_recovers_the_means_of_two_groups(self):
        second = np.arange(900) % 3 == 0
        X = self.two_groups(np.random.RandomState(0), second)
        density, found = decoded_means(self.make.name, X)
        assert density.likelihood_ == self.make.name
        assert_means_of_groups(found, self.as_means(X), second)


def assert_means_of_groups(found, rows, second):
    """Check that what was found is on average what the rows of either group are."""
    for group in (~second, second):
        expected = rows[group].mean(axis=0)
        np.testing.assert_allclose(found[group].mean(axis=0), expected, rtol=0.3, atol=0.2)


def decoded_means(likelihood, X):
    """Fitted density, and the mean of p(x|z) at the code of each row."""
    density = VAEDensityEstimator(
        2,
        likelihood=likelihood,
        autoregressive=False,
        n_training_draws=1,
        hidden_layer_sizes=(32,),
        learning_rate_init=5e-3,
        max_iter=100,
        n_iter_no_change=100,
        early_stopping=False,
        random_state=0,
    ).fit(X)
    model = density._model
    codes = torch.from_numpy(density.transform(X))
    return density, model.likelihood.mean(model.scorer("cpu").decode(codes)).numpy()


def outputs_at(model, codes):
    """Decoder outputs of a fitted model at some codes, as arrays."""
    return [output.numpy() for output in model.scorer("cpu").decode(torch.from_numpy(codes))]


class CountTests(LikelihoodTests):
    """Tests of a likelihood of counts."""

    def table(self):
        return counts()

    @AS_TABLE
    @pytest.mark.parametrize("wrong", [-1.0, 2.5, 2e8])
    def test_what_is_no_count_is_refused(self, as_table, wrong):
        X = np.zeros((4, 5))
        X[2, 3] = wrong
        with pytest.raises(
            ValueError,
            match=f"'{self.make.name}' takes counts.*3 has {re.escape(f'{wrong:g}')}. Round",
        ):
            self.make().check(as_table(X))
        with pytest.raises(ValueError, match="column 13 has"):
            self.make(np.arange(10, 15)).check(as_table(X))

    @AS_TABLE
    def test_encoder_reads_the_logarithm_of_one_more(self, as_table, X):
        likelihood, _ = fitted(self.make(), X)
        x = likelihood.inputs(prepared(likelihood, as_table(X)))
        x = x.to_dense() if isinstance(x, CSRBatch) else x
        np.testing.assert_allclose(x, np.log1p(X))

    def test_sparse_rows_stay_sparse(self, X):
        likelihood, _ = fitted(self.make(), sp.csr_matrix(X))
        assert isinstance(likelihood.inputs(prepared(likelihood, sp.csr_matrix(X))), CSRBatch)

    @AS_TABLE
    @pytest.mark.parametrize("extreme", [-1e6, 1e6])
    def test_nothing_overflows_in_single_precision(self, as_table, extreme):
        X = np.full((3, 2000), 1e8)
        likelihood, biases = fitted(self.make(), X)
        x = likelihood.prepare(as_batch(as_table(X)), torch.float32)
        outputs = [torch.full((3, 2000), extreme, requires_grad=True) for _ in biases]
        total = likelihood.log_prob(outputs, x).sum()
        total.backward()
        assert total.isfinite()
        assert all(output.grad.isfinite().all() for output in outputs)
        assert likelihood.mean(outputs).isfinite().all()
