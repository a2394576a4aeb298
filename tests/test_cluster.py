"""The minority cluster of a binary table: its log-probabilities, and when there is one."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import bernoulli
from sklearn.feature_extraction.text import CountVectorizer

from skvae import _cluster
from skvae._cluster import IndependentBernoulli, MinorityCluster, find_minority_cluster
from skvae.datasets import fetch_sms_spam

N_WORDS = 300


def messages(n, rng, *, words, length):
    """CSR rows with about `length` ones each, drawn with the probabilities `words`."""
    expected = np.minimum(length * words / words.sum(), 0.9)
    return sp.csr_matrix((rng.uniform(size=(n, N_WORDS)) < expected).astype(float))


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.fixture
def common_words(rng):
    return rng.dirichlet(np.full(N_WORDS, 0.3))


@pytest.fixture
def contaminated(rng, common_words):
    """900 messages of two lengths, and 100 that prefer other words."""
    own_words = rng.dirichlet(np.full(N_WORDS, 0.1))
    parts = [
        messages(600, rng, words=common_words, length=6),
        messages(300, rng, words=common_words, length=18),
        messages(100, rng, words=own_words, length=12),
    ]
    return sp.vstack(parts, format="csr"), np.arange(1000) >= 900


@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_log_prob_is_that_of_independent_bernoullis(as_table, rng):
    X = (rng.uniform(size=(50, 6)) < 0.3).astype(float)
    weights = rng.uniform(size=50)
    model = IndependentBernoulli(as_table(X), weights)
    probability = (weights @ X + 1) / (weights.sum() + 2)
    expected = bernoulli(probability).logpmf(X).sum(axis=1)
    np.testing.assert_allclose(model.log_prob(as_table(X)), expected, rtol=1e-12)
    added = model.entries(as_table(X))
    if added.ndim == 1:
        added = sp.csr_matrix((added, X.nonzero()), shape=X.shape).toarray()
    np.testing.assert_allclose(added.sum(axis=1) + model.log_prob_of_zeros, expected, rtol=1e-12)


def test_planted_cluster_is_found(contaminated):
    X, in_cluster = contaminated
    cluster = find_minority_cluster(X, seed=0)
    assert cluster.share == pytest.approx(0.1, abs=0.01)
    log_odds = cluster.inside.log_prob(X) - cluster.outside.log_prob(X) - cluster.prior_log_odds
    assert np.mean((log_odds > 0) == in_cluster) > 0.99


def test_cluster_is_the_same_for_another_seed_and_a_dense_table(contaminated):
    X, _ = contaminated
    cluster = find_minority_cluster(X, seed=0)
    for other in (find_minority_cluster(X, seed=1), find_minority_cluster(X.toarray(), seed=0)):
        assert other.share == pytest.approx(cluster.share, abs=1e-3)
        np.testing.assert_allclose(other.inside.logits, cluster.inside.logits, atol=0.1)


def test_length_makes_no_cluster(rng, common_words):
    short = messages(800, rng, words=common_words, length=6)
    long = messages(200, rng, words=common_words, length=25)
    assert find_minority_cluster(sp.vstack([short, long], format="csr"), seed=0) is None


def test_independent_features_have_no_cluster(rng):
    X = (rng.uniform(size=(500, 20)) < rng.uniform(size=20)).astype(float)
    assert find_minority_cluster(X, seed=0) is None


def test_a_few_copies_are_no_cluster(rng, common_words):
    X = messages(500, rng, words=common_words, length=8)
    copies = sp.vstack([messages(1, rng, words=np.ones(N_WORDS), length=20)] * 8)
    assert find_minority_cluster(sp.vstack([X, copies], format="csr"), seed=0) is None


@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_one_group_of_several_is_no_cluster(n_groups):
    X = np.kron(np.eye(n_groups), np.ones((100, 3)))
    assert find_minority_cluster(X, seed=0) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (12, 1), (30, 3)])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_and_tiny_tables_have_no_cluster(shape, value):
    assert find_minority_cluster(np.full(shape, value), seed=0) is None


def test_large_tables_are_looked_at_in_part(contaminated, monkeypatch):
    X, in_cluster = contaminated
    monkeypatch.setattr(_cluster, "MAX_ROWS", 500)
    cluster = find_minority_cluster(X, seed=0)
    assert cluster.share == pytest.approx(0.1, abs=0.03)
    log_odds = cluster.inside.log_prob(X) - cluster.outside.log_prob(X) - cluster.prior_log_odds
    assert np.mean((log_odds > 0) == in_cluster) > 0.97


def test_suspects_are_the_likeliest_members_and_half_as_many_again(contaminated):
    X, in_cluster = contaminated
    cluster = MinorityCluster(X, in_cluster.astype(float))
    assert cluster.share == pytest.approx(0.1)
    suspects = cluster.suspects(X)
    assert suspects.sum() == 150
    assert suspects[in_cluster].all()
    ratio = cluster.inside.log_prob(X) - cluster.outside.log_prob(X)
    assert ratio[suspects].min() >= ratio[~suspects].max()


def test_suspects_leave_a_row_to_learn_from(contaminated):
    X, in_cluster = contaminated
    cluster = MinorityCluster(X, in_cluster.astype(float))
    assert cluster.suspects(X[-1:]).sum() == 0
    cluster.share = 0.9
    assert cluster.suspects(X[:10]).sum() == 9


@pytest.mark.shared_data
@pytest.mark.parametrize("seed", range(5))
def test_real_messages_have_a_cluster_of_spam_and_real_ham_has_none(seed, shared_data):
    messages, is_spam = fetch_sms_spam(path=shared_data / "SMSSpamCollection", return_X_y=True)
    half = np.random.RandomState(seed).permutation(len(messages))[::2]
    messages, is_spam = np.array(messages, dtype=object)[half], np.asarray(is_spam)[half] == 1
    vectorizer = CountVectorizer(binary=True, min_df=2, dtype=float)
    X = vectorizer.fit_transform(messages)
    cluster = find_minority_cluster(X, seed)
    flagged = cluster.inside.log_prob(X) - cluster.outside.log_prob(X) > cluster.prior_log_odds
    assert is_spam[flagged].mean() > 0.93
    assert flagged[is_spam].mean() > 0.7
    assert find_minority_cluster(vectorizer.fit_transform(messages[~is_spam]), seed) is None
