"""The minority cluster of a binary table: its log-probabilities, and when there is one."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit
from scipy.stats import bernoulli
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_union
from sklearn.preprocessing import OneHotEncoder

from skvae import _cluster
from skvae._cluster import IndependentBernoulli, MinorityCluster, find_minority_cluster
from skvae.datasets import fetch_sms_spam, make_messages
from skvae.text import StyleAnalyzer

N_WORDS = 300


def messages(n, rng, *, words, length):
    """CSR rows with about `length` ones each, drawn with the probabilities `words`."""
    expected = np.minimum(length * words / words.sum(), 0.9)
    return sp.csr_matrix((rng.uniform(size=(n, N_WORDS)) < expected).astype(float))


def members(cluster, X):
    """Rows that more likely belong to a cluster than not."""
    return cluster.inside.log_prob(X) - cluster.outside.log_prob(X) > cluster.prior_log_odds


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


@pytest.fixture
def long_rows(rng):
    """480 rows of about 60 to 600 ones, and 120 that prefer other features."""
    q = rng.dirichlet(np.full(2000, 0.5))
    p = 0.6 * q + 0.4 * rng.dirichlet(np.full(2000, 0.5))
    lengths = np.exp(rng.uniform(np.log(60), np.log(600), size=600))
    in_cluster = np.arange(600) >= 480
    expected = lengths[:, None] * np.where(in_cluster[:, None], p, q)
    return sp.csr_matrix((rng.uniform(size=(600, 2000)) < expected).astype(float)), in_cluster


@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_log_prob_is_that_of_independent_bernoullis(as_table, rng):
    X = (rng.uniform(size=(50, 6)) < 0.3).astype(float)
    weights = rng.uniform(size=50)
    model = IndependentBernoulli.fit(as_table(X), weights)
    probability = (weights @ X + 1) / (weights.sum() + 2)
    expected = bernoulli(probability).logpmf(X).sum(axis=1)
    np.testing.assert_allclose(model.log_prob(as_table(X)), expected, rtol=1e-12)
    added = model.entries(as_table(X))
    if added.ndim == 1:
        added = sp.csr_matrix((added, X.nonzero()), shape=X.shape).toarray()
    np.testing.assert_allclose(added.sum(axis=1) + model.log_prob_of_zeros, expected, rtol=1e-12)


@pytest.mark.parametrize(("rows", "share"), [("contaminated", 0.1), ("long_rows", 0.2)])
def test_planted_cluster_is_found(rows, share, request):
    X, in_cluster = request.getfixturevalue(rows)
    cluster = find_minority_cluster(X, seed=0)
    assert cluster.share == pytest.approx(share, abs=0.01)
    assert np.mean(members(cluster, X) == in_cluster) > 0.99


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


@pytest.mark.parametrize(("n_samples", "n_features"), [(500, 20), (120, 40), (100, 1000)])
@pytest.mark.parametrize("seed", range(3))
def test_independent_features_have_no_cluster(n_samples, n_features, seed):
    rng = np.random.RandomState(seed)
    few = np.full(n_features, 0.1)
    for probability in (few, rng.uniform(size=n_features)):
        X = (rng.uniform(size=(n_samples, n_features)) < probability).astype(float)
        assert find_minority_cluster(X, seed=0) is None


@pytest.mark.parametrize("share", [0.05, 0.2, 0.3, 0.45])
@pytest.mark.parametrize("n_samples", [300, 1000])
def test_cluster_is_found_whatever_its_share(share, n_samples, rng, common_words):
    own_words = 0.5 * common_words + 0.5 * rng.dirichlet(np.full(N_WORDS, 0.1))
    n_inside = round(share * n_samples)
    parts = [
        messages(n_samples - n_inside, rng, words=common_words, length=10),
        messages(n_inside, rng, words=own_words, length=20),
    ]
    X = sp.vstack(parts, format="csr")
    cluster = find_minority_cluster(X, seed=0)
    assert cluster.share == pytest.approx(share, abs=0.03)
    assert np.mean(members(cluster, X) == (np.arange(n_samples) >= n_samples - n_inside)) > 0.95


@pytest.mark.parametrize("seed", range(4))
def test_a_few_rows_with_words_of_their_own_are_found(seed):
    """Not every mixture shows all of them."""
    rng = np.random.RandomState(seed)
    common_words = rng.dirichlet(np.full(N_WORDS, 0.3))
    own_words = 0.8 * rng.dirichlet(np.full(N_WORDS, 0.1)) + 0.2 * common_words
    parts = [messages(170, rng, words=common_words, length=8)]
    parts += [messages(20, rng, words=own_words, length=8)]
    X = sp.vstack(parts, format="csr")
    cluster = find_minority_cluster(X, seed=0)
    log_odds = cluster.inside.log_prob(X) - cluster.outside.log_prob(X)
    assert roc_auc_score(np.arange(190) >= 170, log_odds) > 0.95


def test_two_kinds_of_outliers_are_one_cluster(rng, common_words):
    """What they have in common, a third of their words, makes them one."""
    shared = rng.dirichlet(np.full(N_WORDS, 0.1))
    kinds = [(shared + 2 * rng.dirichlet(np.full(N_WORDS, 0.1))) / 3 for _ in range(2)]
    parts = [messages(600, rng, words=common_words, length=12)]
    parts += [messages(200, rng, words=words, length=12) for words in kinds]
    cluster = find_minority_cluster(sp.vstack(parts, format="csr"), seed=0)
    assert cluster.share == pytest.approx(0.4, abs=0.02)


def rows_of_many_lengths(n, rng, words):
    """Messages of 3 to 24 words."""
    return [messages(n // 4, rng, words=words, length=length) for length in (3, 6, 12, 24)]


@pytest.mark.parametrize("seed", range(4))
def test_two_kinds_of_rows_of_many_lengths_are_told_apart_by_their_words(seed):
    """Products would be of short and of long rows, whatever their words."""
    rng = np.random.RandomState(seed)
    common_words = rng.dirichlet(np.full(N_WORDS, 0.3))
    own_words = 0.5 * common_words + 0.5 * rng.dirichlet(np.full(N_WORDS, 0.1))
    parts = rows_of_many_lengths(700, rng, common_words) + rows_of_many_lengths(300, rng, own_words)
    X = sp.vstack(parts, format="csr")
    cluster = find_minority_cluster(X, seed=0)
    assert cluster.share == pytest.approx(0.3, abs=0.03)
    assert np.mean(members(cluster, X) == (np.arange(1000) >= 700)) > 0.92


@pytest.mark.parametrize("seed", range(3))
def test_outliers_of_three_kinds_are_found_together(seed):
    """The likeliest division of the rows into two kinds has one of theirs, or none of them."""
    rng = np.random.RandomState(seed)
    common_words = rng.dirichlet(np.full(N_WORDS, 0.3))
    parts = rows_of_many_lengths(700, rng, common_words)
    for _ in range(3):
        words = 0.4 * common_words + 0.6 * rng.dirichlet(np.full(N_WORDS, 0.1))
        parts += rows_of_many_lengths(100, rng, words)
    X, is_outlier = sp.vstack(parts, format="csr"), np.arange(1000) >= 700

    def quality(cluster):
        log_odds = cluster.inside.log_prob(X) - cluster.outside.log_prob(X)
        return roc_auc_score(is_outlier, log_odds)

    divisions, gains = _cluster._divide(X, np.random.RandomState(0))
    likeliest = divisions[np.argmax(gains)]
    alone = _cluster._find_tight_kind([likeliest], 0, X)
    assert alone is None or quality(MinorityCluster.fit(X, alone.memberships)) < 0.9
    assert quality(find_minority_cluster(X, seed=0)) > 0.95


@pytest.mark.parametrize("n_samples", [50, 100, 1000])
def test_rows_of_many_votes_are_chosen_but_not_half_of_all(n_samples, rng):
    X = sp.csr_matrix((rng.uniform(size=(n_samples, 20)) < 0.3).astype(float))
    first = np.arange(n_samples) < 0.3 * n_samples
    votes = [first.astype(float), np.where(first, 0.4, 0.3), np.where(first, 0.4, 0.1)]
    np.testing.assert_array_equal(_cluster._agreed(votes, X).memberships, first)
    assert _cluster._agreed([0.5 * first], X).memberships.sum() == first.sum()
    assert _cluster._agreed([0.3 * first], X) is None
    # Where too many have a third of the votes, those with most.
    order = rng.permutation(n_samples)
    chosen = _cluster._agreed([0.5 + order / (2 * n_samples)], X).memberships
    assert 0.45 * n_samples < chosen.sum() < 0.48 * n_samples
    assert order[chosen == 1].min() > order[chosen == 0].max()
    assert _cluster._agreed([np.where(order < 0.49 * n_samples, 1.0, 0.0)], X) is None


def test_rows_of_many_votes_are_enough_or_no_cluster(rng):
    X = sp.csr_matrix((rng.uniform(size=(1000, 8)) < 0.4).astype(float))
    for n_rows, is_enough in ((19, False), (20, True)):
        votes = [(np.arange(1000) < n_rows).astype(float)]
        assert (_cluster._agreed(votes, X) is not None) == is_enough


def test_a_group_is_chosen_unless_a_kind_is_clearer_or_holds_it_and_more():
    def group(rows, evidence):
        return _cluster._Group(np.isin(np.arange(10), rows).astype(float), evidence)

    small, most, kind = group([0, 1], 1.0), group([0, 1, 2], 1.0), group(range(5), 1.1)
    assert _cluster._choose(most, kind) is most
    assert _cluster._choose(small, kind) is kind
    assert _cluster._choose(most, group(range(5), 2.0)).evidence == 2
    assert _cluster._choose(group([0, 1], 2.0), kind).evidence == 2
    assert _cluster._choose(most, None) is most
    assert _cluster._choose(None, kind) is kind
    assert _cluster._choose(None, None) is None


@pytest.mark.parametrize("seed", range(3))
def test_diverse_rows_are_no_tight_kind(seed):
    """A one of theirs gains by their own distribution, but is harder to predict than the others."""
    rng = np.random.RandomState(seed)
    plain = rng.dirichlet(np.full(N_WORDS, 0.3))
    diverse = 0.2 * plain + 0.8 / N_WORDS
    parts = [
        messages(700, rng, words=plain, length=12),
        messages(300, rng, words=diverse, length=12),
    ]
    X = sp.vstack(parts, format="csr")
    divisions, gains = _cluster._divide(X, rng)
    division = divisions[np.argmax(gains)]
    smaller, larger = sorted(division.ones(X), key=np.sum)
    assert _cluster._gain(smaller, larger) > _cluster.MIN_GAIN
    assert _cluster._find_tight_kind([division], 0, X) is None


@pytest.mark.parametrize("seed", range(3))
def test_topics_of_the_others_are_no_part_of_the_cluster(seed):
    messages, is_spam = make_messages(1000, random_state=seed)
    X = CountVectorizer(binary=True, min_df=2, dtype=float).fit_transform(messages)
    cluster = find_minority_cluster(X, seed)
    assert np.mean(members(cluster, X) == (np.asarray(is_spam) == 1)) > 0.99


def test_model_of_a_cluster_of_long_rows_has_rows_as_long_as_the_others(long_rows):
    X, in_cluster = long_rows
    cluster = find_minority_cluster(X, seed=0)
    inside, outside = (expit(model.logits) for model in (cluster.inside, cluster.outside))
    assert inside.sum() == pytest.approx(outside.sum(), rel=0.05)
    ones = np.array([X[rows].sum(axis=0).A1 + 1 for rows in (in_cluster, ~in_cluster)])
    ones /= ones.sum(axis=1, keepdims=True)
    tilt = cluster.inside.logits - cluster.outside.logits
    is_repeated = X.sum(axis=0).A1 >= 2
    np.testing.assert_allclose(tilt[is_repeated], np.log(ones[0] / ones[1])[is_repeated], atol=0.1)
    assert (tilt[~is_repeated] == 0).all()


@pytest.mark.parametrize("kept", [slice(0, 480), slice(470, 485), slice(360, 600)])
def test_long_rows_of_one_kind_few_of_another_or_two_halves_have_no_cluster(long_rows, kept):
    X, _ = long_rows
    assert find_minority_cluster(X[kept], seed=0) is None


def test_one_distribution_over_the_features_is_that_of_all_ones(rng):
    X = (rng.uniform(size=(30, 6)) < 0.4).astype(float)
    mixture = _cluster._fit_mixture(X, 1, rng, given_n_ones=True)
    p = (X.sum(axis=0) + 1) / (X.sum() + 6)
    assert mixture.likelihood == pytest.approx(np.mean(X @ np.log(p)))


@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_a_one_counts_where_the_rest_of_its_row_belongs(as_table, rng, monkeypatch):
    X = (rng.uniform(size=(30, 6)) < 0.4).astype(float)
    monkeypatch.setattr(_cluster, "ROWS_AT_A_TIME", 7)
    mixture = _cluster._fit_mixture(as_table(X), 6, rng)
    one = np.exp(mixture.log_one)
    likelihood = bernoulli(one).pmf(X[:, :, None])
    shares = np.exp(mixture.joint[:, 0]) / likelihood[0].prod(axis=0)
    expected = np.zeros((len(shares), 6))
    for j in range(6):
        posterior = shares * np.delete(likelihood, j, axis=1).prod(axis=1)
        posterior /= posterior.sum(axis=1, keepdims=True)
        expected[:, j] = X[:, j] @ posterior
    np.testing.assert_allclose(mixture.ones(as_table(X)), expected, rtol=1e-10)


def test_gain_is_the_divergence_of_many_ones_and_none_of_a_few_that_fall_by_chance(rng):
    p, q = rng.dirichlet(np.full(N_WORDS, 1.0), size=2)
    divergence = np.sum(p * np.log(p / q))
    assert _cluster._gain(1e8 * p, 1e8 * q) == pytest.approx(divergence, rel=1e-3)
    chance = [_cluster._gain(rng.multinomial(200, q), rng.multinomial(5000, q)) for _ in range(50)]
    assert np.mean(chance) < 0.02


def test_a_few_copies_are_no_cluster(rng, common_words):
    X = messages(500, rng, words=common_words, length=8)
    copies = sp.vstack([messages(1, rng, words=np.ones(N_WORDS), length=20)] * 8)
    assert find_minority_cluster(sp.vstack([X, copies], format="csr"), seed=0) is None


@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_one_group_of_several_is_no_cluster(n_groups, monkeypatch):
    monkeypatch.setattr(_cluster, "MIN_DISPERSION", 0)
    X = np.kron(np.eye(n_groups), np.ones((100, 3)))
    assert find_minority_cluster(X, seed=0) is None


@pytest.mark.parametrize("n_topics", [6, 8])
@pytest.mark.parametrize("seed", range(4))
def test_one_topic_of_several_is_no_cluster(n_topics, seed, monkeypatch):
    monkeypatch.setattr(_cluster, "MIN_DISPERSION", 0)
    rng = np.random.RandomState(seed)
    common_words = rng.dirichlet(np.full(N_WORDS, 0.3))
    topics = 0.5 * common_words + 0.5 * rng.dirichlet(np.full(N_WORDS, 0.1), size=n_topics)
    X = sp.vstack([messages(200, rng, words=topic, length=10) for topic in topics], format="csr")
    assert find_minority_cluster(X, seed) is None


def test_a_group_of_coded_categories_is_no_cluster(rng, monkeypatch):
    """It would be one among messages, but of categories each row has as many ones."""
    categories = rng.randint(4, size=(1000, 10))
    categories[:200] = rng.randint(2, size=(200, 10))
    X = OneHotEncoder(sparse_output=False).fit_transform(categories)
    assert find_minority_cluster(X, seed=0) is None
    monkeypatch.setattr(_cluster, "MIN_DISPERSION", 0)
    assert find_minority_cluster(X, seed=0) is not None


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (12, 1), (30, 3)])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_and_tiny_tables_have_no_cluster(shape, value):
    assert find_minority_cluster(np.full(shape, value), seed=0) is None


@pytest.mark.parametrize("rows", ["contaminated", "long_rows"])
def test_columns_that_tell_no_rows_apart_do_not_count(rows, request):
    X, _ = request.getfixturevalue(rows)
    n_samples, n_features = X.shape
    expected = find_minority_cluster(X, seed=0)
    once = sp.csr_matrix((np.ones(200), (np.arange(200), np.arange(200))), shape=(n_samples, 200))
    more = [sp.csr_matrix((n_samples, 5000)), once, sp.csr_matrix(np.ones((n_samples, 20)))]
    cluster = find_minority_cluster(sp.hstack([X, *more], format="csr"), seed=0)
    assert cluster.share == pytest.approx(expected.share, abs=1e-6)
    for found, alone in ((cluster.inside, expected.inside), (cluster.outside, expected.outside)):
        np.testing.assert_allclose(found.logits[:n_features], alone.logits, atol=1e-3)
    # A word that nobody has used says nothing.
    np.testing.assert_array_equal(
        cluster.inside.logits[n_features:], cluster.outside.logits[n_features:]
    )


def test_large_tables_are_looked_at_in_part(contaminated, monkeypatch):
    X, in_cluster = contaminated
    monkeypatch.setattr(_cluster, "MAX_ROWS", 500)
    cluster = find_minority_cluster(X, seed=0)
    assert cluster.share == pytest.approx(0.1, abs=0.03)
    assert np.mean(members(cluster, X) == in_cluster) > 0.97


def test_suspects_are_the_likeliest_members_and_a_quarter_more(contaminated):
    X, in_cluster = contaminated
    cluster = MinorityCluster.fit(X, in_cluster.astype(float))
    assert cluster.share == pytest.approx(0.1)
    suspects = cluster.suspects(X)
    assert suspects.sum() == 125
    assert suspects[in_cluster].all()
    ratio = cluster.inside.log_prob(X) - cluster.outside.log_prob(X)
    assert ratio[suspects].min() >= ratio[~suspects].max()


def test_suspects_leave_a_row_to_learn_from(contaminated):
    X, in_cluster = contaminated
    cluster = MinorityCluster.fit(X, in_cluster.astype(float))
    assert cluster.suspects(X[-1:]).sum() == 0
    cluster.share = 0.9
    assert cluster.suspects(X[:10]).sum() == 9


@pytest.mark.shared_data
@pytest.mark.parametrize("share", [0.08, 0.13, 0.3, 0.45])
@pytest.mark.parametrize("n_samples", [300, 1000])
def test_spam_is_found_among_few_messages_and_where_it_is_much(n_samples, share, shared_data):
    messages, is_spam = fetch_sms_spam(path=shared_data / "SMSSpamCollection", return_X_y=True)
    messages, is_spam = np.array(messages, dtype=object), np.asarray(is_spam) == 1
    rng = np.random.RandomState(0)
    n_spam = round(share * n_samples)
    rows = [rng.choice(np.flatnonzero(is_spam), n_spam, replace=False)]
    rows.append(rng.choice(np.flatnonzero(~is_spam), n_samples - n_spam, replace=False))
    rows = np.concatenate(rows)
    vectorizer = make_union(
        CountVectorizer(binary=True, min_df=2),
        CountVectorizer(binary=True, analyzer=StyleAnalyzer()),
    )
    X = vectorizer.fit_transform(messages[rows]).astype(float)
    cluster = find_minority_cluster(X, seed=0)
    log_odds = cluster.inside.log_prob(X) - cluster.outside.log_prob(X)
    assert roc_auc_score(is_spam[rows], log_odds) > 0.97
    assert 0.7 * share < cluster.share < 1.3 * share


@pytest.mark.shared_data
@pytest.mark.parametrize("seed", range(3))
def test_spam_is_found_by_its_words_where_it_is_every_other_message(seed, shared_data):
    messages, is_spam = fetch_sms_spam(path=shared_data / "SMSSpamCollection", return_X_y=True)
    messages, is_spam = np.array(messages, dtype=object), np.asarray(is_spam) == 1
    rng = np.random.RandomState(seed)
    rows = np.concatenate([rng.choice(np.flatnonzero(is_spam == k), 400, False) for k in (0, 1)])
    X = CountVectorizer(binary=True, min_df=2, dtype=float).fit_transform(messages[rows])
    cluster = find_minority_cluster(X, seed)
    log_odds = cluster.inside.log_prob(X) - cluster.outside.log_prob(X)
    assert roc_auc_score(is_spam[rows], log_odds) > 0.95


@pytest.mark.shared_data
@pytest.mark.parametrize("seed", range(5))
def test_real_messages_have_a_cluster_of_spam_and_real_ham_has_none(seed, shared_data):
    messages, is_spam = fetch_sms_spam(path=shared_data / "SMSSpamCollection", return_X_y=True)
    half = np.random.RandomState(seed).permutation(len(messages))[::2]
    messages, is_spam = np.array(messages, dtype=object)[half], np.asarray(is_spam)[half] == 1
    vectorizer = CountVectorizer(binary=True, min_df=2, dtype=float)
    X = vectorizer.fit_transform(messages)
    cluster = find_minority_cluster(X, seed)
    flagged = members(cluster, X)
    assert is_spam[flagged].mean() > 0.93
    assert flagged[is_spam].mean() > 0.7
    assert find_minority_cluster(vectorizer.fit_transform(messages[~is_spam]), seed) is None


def test_a_kind_of_very_few_long_rows_is_no_cluster():
    rng = np.random.RandomState(0)
    rates = np.tile([0.5, 0.05], 300)

    def table(n_rare):
        rare = np.arange(100)[:, None] < n_rare
        return (rng.uniform(size=(100, 600)) < np.where(rare, rates[::-1], rates)).astype(float)

    assert find_minority_cluster(table(20), 0).share == pytest.approx(0.2, abs=0.01)
    assert find_minority_cluster(table(8), 0) is None
