"""Categorical codes."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from skeleton import (
    AS_TABLE,
    LikelihoodTests,
    decoded_means,
    fitted,
    log_prob,
    prepared,
    random_outputs,
)
from torch import Generator
from torch.distributions import Categorical as TorchCategorical

from skvae import VAEDensityEstimator
from skvae._torch.likelihoods import Categorical

CODES = [[0, 4, 9], [1, 2], [0, 1, 2, 3]]


def log_known(n_rows):
    """Log-probability that a code is a known one."""
    return math.log(n_rows / (n_rows + 1))


class TestCategorical(LikelihoodTests):
    make = Categorical

    def table(self):
        rng = np.random.RandomState(0)
        columns = [rng.choice(codes, size=150) for codes in CODES]
        return np.column_stack(columns).astype(float)

    def reference(self, likelihood, outputs, X):
        columns = []
        for codes, logits, x in zip(CODES, outputs[0].split([3, 2, 4], -1), X.T, strict=True):
            position = torch.from_numpy(np.searchsorted(codes, x))
            columns.append(TorchCategorical(logits=logits).log_prob(position).numpy())
        return np.column_stack(columns) + log_known(150)

    def test_samples_have_the_moments_of_the_distribution(self, X):
        likelihood, biases = fitted(Categorical(), X)
        outputs = random_outputs(biases)
        drawn = likelihood.sample([outputs[0].expand(40_000, 9)], Generator().manual_seed(0))
        found = np.concatenate(
            [
                [(column == code).mean() for code in codes]
                for codes, column in zip(CODES, drawn.numpy().T, strict=True)
            ]
        )
        expected = likelihood.mean(outputs).exp().log().numpy() / math.exp(log_known(150))
        assert (np.abs(found - expected) < 4 * np.sqrt(expected / 40_000)).all()

    def two_groups(self, rng, second):
        p = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
        columns = [
            [rng.choice([0.0, 2.0, 7.0], p=p[int(group)]) for group in second] for _ in range(10)
        ]
        return np.column_stack(columns)

    def as_means(self, X):
        return (X[:, :, None] == [0, 2, 7]).reshape(len(X), -1)

    def test_known_codes_and_one_unknown_sum_to_one(self, X):
        likelihood, biases = fitted(Categorical(), X)
        support = np.column_stack([np.array([*CODES[0], 77.0])] * 3)
        support[:, 1:] = np.nan
        outputs = [random_outputs(biases)[0].expand(4, 9)]
        total = log_prob(likelihood, outputs, support).exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-12)

    def test_unknown_code_has_the_documented_probability(self, X):
        likelihood, biases = fitted(Categorical(), X)
        rows = np.array([[5.0, np.nan, np.nan], [5.0, 0.0, 1e9]])
        found = log_prob(likelihood, random_outputs(biases, 2), rows)
        np.testing.assert_allclose(found, [-math.log(151), -3 * math.log(151)], rtol=1e-14)
        assert (likelihood.inputs(prepared(likelihood, rows)) == 0).all()

    def test_encoder_reads_one_hot_codes(self):
        X = np.array([[0.0, 3.0], [7.0, 3.0], [0.0, np.nan]])
        likelihood, _ = fitted(Categorical(), X)
        expected = [[1, 0, 1], [0, 1, 1], [1, 0, 0]]
        assert likelihood.inputs(prepared(likelihood, X)).tolist() == expected

    def test_starts_from_the_frequencies(self):
        X = np.array([[0.0, 3.0], [7.0, 3.0], [0.0, np.nan], [0.0, 3.0]])
        likelihood, biases = fitted(Categorical(), X)
        np.testing.assert_allclose(likelihood.mean(biases), [0.6, 0.2, 0.8], rtol=1e-12)

    def test_likeliest_code_is_the_row_of_the_table(self):
        likelihood, _ = fitted(Categorical(), np.array([[0.0, 3.0], [7.0, 4.0]]))
        probabilities = torch.tensor([[0.1, 0.9, 0.8, 0.2], [0.7, 0.3, 0.1, 0.9]])
        assert likelihood.to_table(probabilities).tolist() == [[7, 3], [0, 4]]

    def test_inverse_transform_gives_codes_of_training(self):
        second = np.arange(300) % 2 == 0
        X = self.two_groups(np.random.RandomState(0), second)
        density, _ = decoded_means("categorical", X)
        decoded = density.inverse_transform(density.transform(X))
        assert decoded.shape == X.shape
        assert set(np.unique(decoded)) <= {0.0, 2.0, 7.0}
        assert (decoded == X).mean() > 0.7

    def test_column_of_missing_values_alone(self):
        X = np.column_stack([np.full(10, np.nan), np.arange(10) % 3])
        density = VAEDensityEstimator(likelihood="categorical", max_iter=1, random_state=0).fit(X)
        scores = density.score_samples([[np.nan, 1.0], [5.0, 1.0]])
        assert np.isfinite(scores).all()
        assert scores[0] - scores[1] == pytest.approx(math.log(11), abs=0.5)

    @AS_TABLE
    @pytest.mark.parametrize("wrong", [-1.0, 0.5])
    def test_what_is_no_code_is_refused(self, as_table, wrong):
        X = np.zeros((4, 5))
        X[2, 3] = wrong
        with pytest.raises(
            ValueError, match=f"takes codes.* column 3 has {wrong:g}.* OrdinalEncoder"
        ):
            Categorical().check(as_table(X))
        with pytest.raises(ValueError, match="column 13 has"):
            Categorical(np.arange(10, 15)).check(as_table(X))

    @AS_TABLE
    def test_too_many_codes_are_refused(self, as_table):
        X = np.column_stack([np.arange(1001.0) % 1000, np.arange(1001.0)])
        with pytest.raises(ValueError, match="at most 1000 .*column 1 has 1001.* Merge"):
            Categorical().start(as_table(X))
        with pytest.raises(ValueError, match="column 8 has 1001"):
            Categorical(np.array([3, 8])).start(as_table(X))
        Categorical().start(as_table(X[:, :1]))

    def test_large_codes_are_told_apart_in_single_precision(self):
        X = np.array([[2.0**24], [2.0**24 + 1]])
        likelihood, _ = fitted(Categorical(), X)
        x = likelihood.prepare(torch.from_numpy(X), torch.float32)
        assert x.tolist() == [[0], [1]]

    def test_sparse_samples(self):
        X = sp.csr_matrix(self.table())
        density = VAEDensityEstimator(likelihood="categorical", max_iter=1, random_state=0).fit(X)
        assert density.sample(5, random_state=0).format == "csr"
