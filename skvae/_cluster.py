"""The tight minority cluster in a binary table, such as the spam among messages."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import log_expit
from sklearn.utils import gen_batches

# Mixtures of each sort, from random starts, and the components of one of products.
N_STARTS = 20
N_COMPONENTS = 6
MAX_ITER = 200

# Gain in the mean log-likelihood of a row, in nats, below which a start has converged.
TOL = 1e-3

# Fewer rows are no cluster, but copies of a row.
MIN_ROWS = 10
MIN_SHARE = 0.02

# Less than half, and not by the smoothing alone.
MAX_SHARE = 0.48

# Of more rows so many are looked at.
MAX_ROWS = 20_000

# Rows of which each one is weighed at a time, or fewer if they have more ones than this.
ROWS_AT_A_TIME = 1000
ONES_AT_A_TIME = 200_000

# How much likelier, in nats, a one in the cluster must be there than elsewhere, on average: half as
# likely again.
MIN_GAIN = math.log(1.5)

# How many times the gain of a kind must be what its ones are harder to predict than those of the
# other rows, in nats.
MIN_GAIN_OF_DIVERSITY = 1.5

# Share of the mixtures of a sort that must show a cluster, and share of the votes that a row of it
# must have: of all mixtures, or of divisions that are clear by themselves.
MIN_SHARE_OF_MIXTURES = 0.2
MIN_SHARE_OF_VOTES = 1 / 3
MIN_SHARE_OF_CLEAR_VOTES = 2 / 3

# Share of a kind that a group must hold to be the same cluster.
MIN_SHARE_HELD = 0.5

# How much likelier, in nats, a row must be on average by two kinds of rows than by one, for a
# cluster of long rows: so much that hardly any is of both.
MIN_DIVISION = 7.0

# Divisions with this share of the largest such gain, or more, are as good.
ALIKE_DIVISION = 0.97

# A cluster's ones are taken for so many more that fall like all others, until its own say more.
N_PRIOR_ONES = 100

# Variance of the number of ones in a row, as a share of what independent features give it, below
# which the columns code categories.
MIN_DISPERSION = 0.5

# Components with this share of the cluster's mean gain, or more, are groups of its kind; so a group
# with this share of another's evidence is about as clear.
ALIKE = 0.8


@dataclass
class IndependentBernoulli:
    """Log-probability of binary rows with independent features.

    Attributes
    ----------
    logits : ndarray of shape (n_features,)
        Log-odds of a one.
    """

    logits: np.ndarray

    @classmethod
    def fit(cls, X: Any, weights: np.ndarray) -> IndependentBernoulli:
        """Learn from rows that count by their weights, (n_samples,).

        One 1 and one 0 more of each feature count beside them, which is Laplace's rule of
        succession.
        """
        ones = X.T @ weights + 1
        zeros = weights.sum() + 2 - ones
        return cls(np.log(ones / zeros))

    @property
    def log_prob_of_zeros(self) -> float:
        """Log-probability of a row of zeros."""
        return float(log_expit(-self.logits).sum())

    def log_prob(self, X: Any) -> np.ndarray:
        """Log-probability of each row in nats, (n_samples,)."""
        return X @ self.logits + self.log_prob_of_zeros

    def entries(self, X: Any) -> np.ndarray:
        """What each entry of X adds to `log_prob`: those that a CSR matrix stores, in its order."""
        return X.data * self.logits[X.indices] if sp.issparse(X) else X * self.logits


@dataclass
class MinorityCluster:
    """A small share of the rows that resemble each other, against all the others.

    Attributes
    ----------
    share : float
        Estimated share of the training rows.
    inside : IndependentBernoulli
        The rows of the cluster.
    outside : IndependentBernoulli or None
        The others, which only a fit needs: a file does not hold them.
    """

    share: float
    inside: IndependentBernoulli
    outside: IndependentBernoulli | None = None

    @classmethod
    def fit(cls, X: Any, memberships: np.ndarray) -> MinorityCluster:
        """Learn from rows with probabilities of belonging to it, (n_samples,)."""
        inside = IndependentBernoulli.fit(X, memberships)
        outside = IndependentBernoulli.fit(X, 1 - memberships)
        return cls(float(memberships.mean()), inside, outside)

    @property
    def prior_log_odds(self) -> float:
        """Log-odds, in nats, that a row does not belong to the cluster."""
        return math.log((1 - self.share) / self.share)

    def among(self, X: Any, columns: np.ndarray) -> MinorityCluster:
        """The same for all columns of X, of which it knows some: the others say nothing of it.

        They have the probabilities that a density starts from.
        """
        assert self.outside is not None  # it was fitted
        ones = np.asarray(X.sum(axis=0)).ravel() + 0.5
        everywhere = np.log(ones / (X.shape[0] + 1 - ones))

        def widened(product: IndependentBernoulli) -> IndependentBernoulli:
            logits = everywhere.copy()
            logits[columns] = product.logits
            return IndependentBernoulli(logits)

        return MinorityCluster(self.share, widened(self.inside), widened(self.outside))

    def suspects(self, X: Any) -> np.ndarray:
        """The rows most like the cluster, as booleans: a quarter more than it is estimated to have.

        Its outskirts are among them, which would teach a density of the other rows what it should
        not know.
        """
        assert self.outside is not None  # it was fitted
        log_odds = self.outside.log_prob(X) - self.inside.log_prob(X)
        n_suspects = min(round(1.25 * self.share * len(log_odds)), len(log_odds) - 1)
        mask = np.zeros(len(log_odds), dtype=bool)
        mask[np.argsort(log_odds, kind="stable")[:n_suspects]] = True
        return mask


def find_minority_cluster(X: Any, seed: int) -> MinorityCluster | None:
    """Find the tight minority cluster of a binary table, or None where there is none.

    Mixtures of two sorts are fitted to at most `MAX_ROWS` rows by expectation maximisation from
    random starts: of `N_COMPONENTS` Bernoulli products, smoothed by Laplace's rule, which empties
    those that are not needed; and of two distributions over the features, given the number of ones
    of a row, which tell two kinds of rows apart by what their ones are. In each one the cluster is
    the group of components, or the smaller kind, with less than half of the rows but not very few,
    whose ones gain most by a distribution over the features of their own, for their number. The
    length of a row plays no part in it: long messages are a component too, but their words are
    those of the short ones. There is no cluster where a one is not, on average, half as likely
    again in it as elsewhere; nor where the group is one of several much alike, such as the topics
    of a corpus, which hold half of the rows together.

    To the likelihood there are many mixtures that are nearly as good. So those of a sort have a
    vote each, and the rows on which many of them agree are the cluster: of the sort for which there
    is more evidence.

    Products would part long rows, as e-mails are, by their length. Of these, which are looked for
    first, the smaller one of two kinds is the cluster. Rows are long where there is hardly a doubt
    of which kind each one is. Only the divisions that are about as likely as the likeliest have a
    vote, and most of them must agree. The model of the cluster then has rows as long as the others.

    Rows that all have nearly as many ones are no messages, but categories or bins, one column for
    each: groups among these are the table's ordinary ones, and not looked for. Nor do columns count
    that all rows but one have, or none but one, such as those of a vocabulary that is fixed or
    hashed: they tell no rows apart, but smoothing would make them.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Values in [0, 1].
    seed : int
        Determines the starts.

    References
    ----------
    The mixtures: A. Juan and E. Vidal, "On the use of Bernoulli mixture models for text
    classification", Pattern Recognition 35(12), 2002; K. Nigam, A. McCallum, S. Thrun and T.
    Mitchell, "Text classification from labeled and unlabeled documents using EM", Machine Learning
    39, 2000 (of distributions over words). Prediction of each one by the others: S. Geisser, "The
    predictive sample reuse method with applications", Journal of the American Statistical
    Association 70(350), 1975. The votes: A. L. N. Fred and A. K. Jain, "Combining multiple
    clusterings using evidence accumulation", IEEE Transactions on Pattern Analysis and Machine
    Intelligence 27(6), 2005.
    """
    X = sp.csr_matrix(X)  # most values of such a table are zero, however it is stored
    if X.shape[0] > MAX_ROWS:
        X = X[np.random.RandomState(seed).permutation(X.shape[0])[:MAX_ROWS]]
    ones = np.asarray(X.sum(axis=0)).ravel()
    columns = np.flatnonzero((ones >= 2) & (ones <= X.shape[0] - 2))
    cluster = _find_cluster(X[:, columns], seed) if len(columns) else None
    return None if cluster is None else cluster.among(X, columns)


def _find_cluster(X: Any, seed: int) -> MinorityCluster | None:
    """The cluster of a table whose columns tell rows apart."""
    frequencies = np.asarray(X.mean(axis=0)).ravel()
    n_ones = np.asarray(X.sum(axis=1)).ravel()
    if n_ones.var() < MIN_DISPERSION * (frequencies * (1 - frequencies)).sum():
        return None
    divisions, gains = _divide(X, np.random.RandomState(seed))
    clear = gains >= max(MIN_DIVISION, ALIKE_DIVISION * gains.max())
    if clear.any():
        return _find_smaller_kind(list(itertools.compress(divisions, clear)), X)
    rng = np.random.RandomState(seed)
    starts = (_fit_mixture(X, N_COMPONENTS, rng) for _ in range(N_STARTS))
    found = [groups for groups in (_tight_components(start, X) for start in starts) if groups]
    clusters = [memberships for memberships, is_topic in found if not is_topic]
    if len(clusters) < len(found) / 2:
        return None  # the topics of a corpus
    enough = len(clusters) >= MIN_SHARE_OF_MIXTURES * N_STARTS
    group = _agreed(clusters, X) if enough else None
    chosen = _choose(group, _find_tight_kind(divisions, int(np.argmax(gains)), X))
    return None if chosen is None else MinorityCluster.fit(X, chosen.memberships)


@dataclass
class _Group:
    """Rows that may be the cluster.

    Attributes
    ----------
    memberships : ndarray of shape (n_samples,)
        1 for its rows, 0 for the others.
    evidence : float
        Square of the gain over its standard error, but for a constant.
    """

    memberships: np.ndarray
    evidence: float


def _choose(group: _Group | None, kind: _Group | None) -> _Group | None:
    """The one for which there is clearly more evidence, a group of products or a kind.

    Where both are about as clear it is the group, which knows more of the rows, their length; but
    not if it is only a small part of the kind.
    """
    if group is None or kind is None:
        return group or kind
    if min(group.evidence, kind.evidence) < ALIKE * max(group.evidence, kind.evidence):
        return group if group.evidence > kind.evidence else kind
    held = group.memberships @ kind.memberships / kind.memberships.sum()
    return group if held >= MIN_SHARE_HELD else kind


def _agreed(memberships: list[np.ndarray], X: Any) -> _Group | None:
    """The rows that many mixtures have in their cluster, if they may be one."""
    votes = np.mean(memberships, axis=0)
    too_few = np.quantile(votes, 1 - MAX_SHARE, method="higher")
    chosen = ((votes >= MIN_SHARE_OF_VOTES) & (votes > too_few)).astype(float)
    if not _may_be_cluster(chosen):
        return None
    inside, outside = _ones_of(chosen, X)
    return _Group(chosen, _gain(inside, outside) ** 2 * inside.sum())


def _may_be_cluster(memberships: np.ndarray) -> bool:
    """Whether rows with these memberships, (n_samples,), are enough and not too many."""
    n_samples = len(memberships)
    return max(MIN_ROWS, MIN_SHARE * n_samples) <= memberships.sum() < MAX_SHARE * n_samples


def _ones_of(memberships: np.ndarray, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Number of ones of each feature in rows with these memberships, and in the others."""
    inside = X.T @ memberships
    return inside, np.asarray(X.sum(axis=0)).ravel() - inside


def _tight_components(mixture: _Mixture, X: Any) -> tuple[np.ndarray, bool] | None:
    """Memberships of the group of components that is most a cluster, if one is.

    And whether it is one of several much alike, a topic.
    """
    memberships, _ = _memberships(mixture.joint)
    n_rows = memberships.sum(axis=1)
    kept = n_rows >= MIN_ROWS
    n_rows, memberships = n_rows[kept], memberships[kept]
    ones = mixture.ones(X)[kept]
    total = ones.sum(axis=0)
    candidates = []
    for mask in itertools.product([False, True], repeat=len(n_rows)):
        group = np.array(mask, dtype=bool)
        share = n_rows[group].sum() / X.shape[0]
        if MIN_SHARE <= share < MAX_SHARE:
            inside = ones[group].sum(axis=0)
            gain = _gain(inside, total - inside)
            if gain >= MIN_GAIN:
                candidates.append((gain**2 * inside.sum(), gain, group))
    if not candidates:
        return None
    _, gain, group = max(candidates, key=lambda candidate: candidate[0])
    # Of the other components all but the largest, each against the rest of them.
    outside = ones[~group].sum(axis=0)
    smaller = np.flatnonzero(~group)[np.argsort(n_rows[~group])][:-1]
    alike = [i for i in smaller if _gain(ones[i], outside - ones[i]) >= ALIKE * gain]
    is_topic = n_rows[group].sum() + n_rows[alike].sum() >= MAX_SHARE * X.shape[0]
    return memberships[group].sum(axis=0), bool(is_topic)


def _find_tight_kind(divisions: list[_Mixture], likeliest: int, X: Any) -> _Group | None:
    """The rows that many divisions have in their smaller kind, if that is a cluster.

    To the likelihood there are many ways to divide rows that are nearly as good. Each one finds
    some of what is unlike the others, and all together find more of it than the likeliest.
    """
    kinds = [_smaller_kind(division) for division in divisions]
    if not _is_tight(kinds[likeliest], divisions[likeliest], X):
        n_tight = sum(map(_is_tight, kinds, divisions, itertools.repeat(X)))
        if n_tight < MIN_SHARE_OF_MIXTURES * len(divisions):
            return None
    return _agreed([memberships for memberships, _ in kinds], X)


def _smaller_kind(division: _Mixture) -> tuple[np.ndarray, int]:
    """Memberships of the smaller one of two kinds, (n_samples,), and which one it is."""
    memberships, _ = _memberships(division.joint)
    smaller = int(np.argmin(memberships.sum(axis=1)))
    return memberships[smaller], smaller


def _is_tight(kind: tuple[np.ndarray, int], division: _Mixture, X: Any) -> bool:
    """Whether the smaller kind of a division is a cluster.

    Any rows can be divided into plain and diverse ones. In a cluster a one gains at least
    `MIN_GAIN_OF_DIVERSITY` times what it is harder to predict than those of the other rows.
    """
    memberships, smaller = kind
    if not _may_be_cluster(memberships):
        return False
    ones = division.ones(X)
    inside, outside = ones[smaller], ones[1 - smaller]
    own, others = _distributions(inside, outside)
    gain = _mean_log(inside, own) - _mean_log(inside, others)
    diversity = _mean_log(outside, others) - _mean_log(inside, own)
    return gain >= max(MIN_GAIN, MIN_GAIN_OF_DIVERSITY * diversity)


def _divide(X: Any, rng: np.random.RandomState) -> tuple[list[_Mixture], np.ndarray]:
    """Divisions of the rows into two kinds, and by how much a row is likelier than by one kind."""
    starts = [_fit_mixture(X, 2, rng, given_n_ones=True) for _ in range(N_STARTS)]
    one_kind = _fit_mixture(X, 1, rng, given_n_ones=True)
    return starts, np.array([start.likelihood for start in starts]) - one_kind.likelihood


def _find_smaller_kind(divisions: list[_Mixture], X: Any) -> MinorityCluster | None:
    """The rows that most divisions have in their smaller kind, as long as those of the other kind.

    That is, their model is: it must not tell short rows from long ones.
    """
    kinds = [memberships for memberships, _ in map(_smaller_kind, divisions)]
    kinds = [of_kind for of_kind in kinds if _may_be_cluster(of_kind)]
    if not kinds:
        return None
    chosen = (np.mean(kinds, axis=0) >= MIN_SHARE_OF_CLEAR_VOTES).astype(float)
    if not _may_be_cluster(chosen):
        return None
    outside = IndependentBernoulli.fit(X, 1 - chosen)
    log_one = [np.log((ones + 1) / (ones + 1).sum()) for ones in _ones_of(chosen, X)]
    inside = IndependentBernoulli(outside.logits + log_one[0] - log_one[1])
    return MinorityCluster(float(chosen.mean()), inside, outside)


@dataclass
class _Mixture:
    """Fitted mixture of Bernoulli products, or of draws of as many ones as the row has.

    Attributes
    ----------
    likelihood : float
        Mean log-likelihood of a row.
    joint : ndarray of shape (n_components, n_samples)
        Log-probability of each row with each component.
    log_one : ndarray of shape (n_features, n_components)
        Log-probability of a one.
    """

    likelihood: float
    joint: np.ndarray
    log_one: np.ndarray

    def ones(self, X: Any) -> np.ndarray:
        """Number of ones of each feature in each component, (n_components, n_features).

        A one counts where the rest of its row belongs. If it had a say itself, chance would make
        components of rows that have nothing but a feature in common.
        """
        counts = np.zeros(self.log_one.shape[::-1])
        n_rows = min(ROWS_AT_A_TIME, int(ONES_AT_A_TIME * X.shape[0] / max(X.sum(), 1)))
        for rows in gen_batches(X.shape[0], max(1, n_rows)):
            part = sp.coo_matrix(X[rows])
            rest, _ = _memberships(self.joint[:, rows][:, part.row] - self.log_one[part.col].T)
            for count, weights in zip(counts, rest, strict=True):
                count += np.bincount(part.col, part.data * weights, minlength=X.shape[1])
        return counts


def _fit_mixture(
    X: Any,
    n_components: int,
    rng: np.random.RandomState,
    *,
    given_n_ones: bool = False,
) -> _Mixture:
    """Fit from one random start.

    Each feature of a component counts one 1 and one 0 more. Given the number of ones in a row, a
    component is a distribution over the features from which they are drawn.
    """
    n_samples = X.shape[0]
    memberships = rng.dirichlet(np.ones(n_components), n_samples).T
    previous = -np.inf
    for _ in range(MAX_ITER):
        n_rows = memberships.sum(axis=1)
        ones = X.T @ memberships.T + 1
        log_shares = np.log((n_rows + 1) / (n_samples + n_components))
        if given_n_ones:
            log_one = np.log(ones / ones.sum(axis=0))
            joint = X @ log_one
        else:
            total = n_rows + 2
            log_zero = np.log((total - ones) / total)
            log_one = np.log(ones / total)
            joint = X @ (log_one - log_zero) + log_zero.sum(axis=0)
        joint = np.ascontiguousarray((joint + log_shares).T)
        memberships, log_likelihood = _memberships(joint)
        mean = float(log_likelihood.mean())
        if mean - previous < TOL:
            break
        previous = mean
    return _Mixture(mean, joint, log_one)


def _memberships(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the components, (n_components, n_rows), and log-likelihoods, (n_rows,).

    Components come first: sums over few values in a row of memory are slow.
    """
    largest = joint.max(axis=0)
    odds = np.exp(joint - largest)
    total = odds.sum(axis=0)
    return odds / total, largest + np.log(total)


def _gain(inside: np.ndarray, outside: np.ndarray) -> float:
    """Nats that a group's one gains by the group's distribution over the features, on average.

    Parameters
    ----------
    inside, outside : ndarray of shape (n_features,)
        Number of ones of each feature, in the group and in the other rows.
    """
    own, others = _distributions(inside, outside)
    return _mean_log(inside, own) - _mean_log(inside, others)


def _distributions(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distributions over the features of the ones of a group, and of those of the other rows.

    The latter is by Laplace's rule, q. The group's is (n_j - 1 + N q_j) / (n - 1 + N) of n ones,
    n_j of them in feature j, and N = `N_PRIOR_ONES`: each one is predicted by the others, so
    nothing is gained by chance.
    """
    q = (outside + 1) / (outside + 1).sum()
    n = max(inside.sum(), 1)
    return (np.maximum(inside - 1, 0) + N_PRIOR_ONES * q) / (n - 1 + N_PRIOR_ONES), q


def _mean_log(ones: np.ndarray, distribution: np.ndarray) -> float:
    """Mean log-probability of a one."""
    return float(ones @ np.log(distribution) / max(ones.sum(), 1))
