"""Multinomial counts."""

import itertools
import math

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
import torch
from skeleton import AS_TABLE, CountTests, fitted, log_prob, prepared, random_outputs
from torch import Generator

from skvae import VAEDensityEstimator, VAEOutlierDetector
from skvae._torch.likelihoods import Multinomial

QUICK = {"likelihood": "multinomial", "max_iter": 3, "random_state": 0}


def empty_rows():
    """Rows of which two are empty: one stores nothing, the other a zero."""
    return sp.csr_matrix(
        (np.array([2.0, 1.0, 0.0, 3.0]), np.array([0, 2, 1, 1]), np.array([0, 2, 2, 3, 4])), (4, 3)
    )


class TestMultinomial(CountTests):
    make = Multinomial

    def reference(self, likelihood, outputs, X):
        p = torch.softmax(outputs[0], -1).numpy()
        p /= p.sum(axis=-1, keepdims=True)
        return scipy.stats.multinomial(X.sum(axis=1), p).logpmf(X)[:, None]

    def variance(self, likelihood, outputs):
        p = torch.softmax(outputs[0], -1)
        return round(likelihood.length_) * p * (1 - p)

    def two_groups(self, rng, second):
        p = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1]])
        return np.array([rng.multinomial(20, p[int(group)]) for group in second]).astype(float)

    def table(self):
        # Of a mean length that is a whole number, as the samples' length is.
        X = super().table()
        X[0, 3] += -X.sum() % len(X)
        return X

    test_missing_values_are_integrated_out = None
    test_gradient_is_right_with_missing_values = None
    test_missing_values_leave_a_training_table_usable = None

    def test_missing_values_are_refused(self, X):
        X[5, 2] = np.nan
        with pytest.raises(ValueError, match="no missing values .*column 2 has nan.* Fill"):
            Multinomial().check(X)

    @pytest.mark.parametrize("length", [0, 1, 6])
    def test_rows_of_a_length_sum_to_one(self, length):
        X = np.array(list(itertools.product(range(length + 1), repeat=3)), float)
        X = X[X.sum(axis=1) == length]
        likelihood, _ = fitted(Multinomial(), np.ones((1, 3)))
        logits = torch.tensor([0.3, -2.0, 1.0], dtype=torch.float64).expand(len(X), 3)
        total = log_prob(likelihood, [logits], X).exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-12)

    @AS_TABLE
    def test_baseline_is_the_factorial_of_the_length(self, as_table, X):
        likelihood, biases = fitted(Multinomial(), X)
        x = prepared(likelihood, as_table(X))
        baseline, _ = likelihood.terms(random_outputs(biases, 2, len(X)), x)
        expected = [math.log(math.factorial(int(length))) for length in X.sum(axis=1)]
        np.testing.assert_allclose(baseline, [expected, expected], rtol=1e-13)

    def test_large_counts_are_exact(self):
        X = np.array([[10_000.0, 170.0]])
        likelihood, _ = fitted(Multinomial(), X)
        found = log_prob(likelihood, [torch.zeros(1, 2, dtype=torch.float64)], X).item()
        expected = math.log(math.comb(10_170, 170)) - 10_170 * math.log(2)
        assert found == pytest.approx(expected, rel=1e-11)

    def test_starts_from_the_means_of_the_columns(self, X):
        likelihood, biases = fitted(Multinomial(), X)
        expected = (X.sum(axis=0) + 0.5) / (X.sum() + 2.5) * X.sum() / len(X)
        np.testing.assert_allclose(likelihood.mean(biases), expected, rtol=1e-12)

    def test_samples_have_the_rounded_mean_length(self):
        X = np.array([[3.0, 1.0], [2.0, 1.0], [1.0, 0.0]])
        likelihood, biases = fitted(Multinomial(), X)
        assert likelihood.length_ == pytest.approx(8 / 3)
        drawn = likelihood.sample([biases[0].expand(50, 2)], Generator().manual_seed(0))
        assert (drawn.sum(-1) == 3).all()
        assert likelihood.mean(biases).sum().item() == pytest.approx(8 / 3)

    @AS_TABLE
    def test_empty_rows_are_found(self, as_table):
        X = as_table(empty_rows().toarray()) if as_table is np.asarray else empty_rows()
        likelihood, _ = fitted(Multinomial(), X)
        assert likelihood.is_empty(prepared(likelihood, X)).tolist() == [False, True, True, False]

    @pytest.mark.parametrize("as_table", [sp.csr_matrix.toarray, sp.csr_matrix])
    def test_empty_rows_score_exactly_zero(self, as_table):
        X = as_table(empty_rows())
        density = VAEDensityEstimator(**QUICK).fit(X)
        assert density.score_samples(X)[1:3].tolist() == [0, 0]
        assert (density.score_samples(X)[[0, 3]] < -0.1).all()
        density.set_params(n_importance_samples=10)
        assert density.score_samples(X)[1:3].tolist() == [0, 0]
        density.set_params(n_refinement_steps=3)
        assert density.score_samples(X)[1:3].tolist() == [0, 0]

    @pytest.mark.parametrize("outlier_score", ["auto", "elbo"])
    @pytest.mark.parametrize("as_table", [sp.csr_matrix.toarray, sp.csr_matrix])
    def test_detector_refuses_empty_rows(self, as_table, outlier_score):
        message = (
            "Row 1 of X has no counts.*perfectly normal. Remove it, or use likelihood='poisson'"
        )
        X = as_table(empty_rows())
        detector = VAEOutlierDetector(outlier_score=outlier_score, **QUICK)
        with pytest.raises(ValueError, match=message):
            detector.fit(X)
        assert not hasattr(detector, "density_")
        detector.fit(X[[0, 3]])
        for method in (detector.score_samples, detector.predict, detector.feature_contributions):
            with pytest.raises(ValueError, match=message):
                method(X)

    def test_detector_refuses_empty_rows_also_where_a_dict_names_all_columns(self):
        detector = VAEOutlierDetector(likelihood={"multinomial": [0, 1, 2]}, max_iter=1)
        with pytest.raises(ValueError, match="Row 1 of X has no counts"):
            detector.fit(empty_rows())
