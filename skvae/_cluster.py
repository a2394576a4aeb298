"""The tight minority cluster in a binary table, such as the spam among messages."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import log_expit, logsumexp, softmax
from sklearn.utils import gen_batches
from sklearn.utils.extmath import safe_sparse_dot

N_COMPONENTS = 6
N_STARTS = 10
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
# likely again, and twice as likely in a mixture that is smoothed half as much, by which the topics
# of ham are components too.
MIN_GAIN = math.log(1.5)
MIN_GAIN_OF_SMALLER = math.log(2)

# How many times the gain of a kind must be what its ones are harder to predict than those of the
# other rows, in nats.
MIN_GAIN_OF_DIVERSITY = 1.5

# How much likelier, in nats, a row must be on average by two kinds of rows than by one, for a
# cluster of long rows: so much that hardly any is of both.
MIN_DIVISION = 8.0

# Of so many divisions those with this share of the largest such gain, or more, are as good.
N_DIVISIONS = 20
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
        ones = np.asarray(safe_sparse_dot(X.T, weights)).ravel() + 1
        zeros = weights.sum() + 2 - ones
        return cls(np.log(ones / zeros))

    @property
    def log_prob_of_zeros(self) -> float:
        """Log-probability of a row of zeros."""
        return float(log_expit(-self.logits).sum())

    def log_prob(self, X: Any) -> np.ndarray:
        """Log-probability of each row in nats, (n_samples,)."""
        return safe_sparse_dot(X, self.logits) + self.log_prob_of_zeros

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

    Two mixtures are fitted to at most `MAX_ROWS` rows by expectation maximisation from random
    starts, of which the likeliest is kept: of `N_COMPONENTS` Bernoulli products, smoothed by
    Laplace's rule, which empties those that are not needed; and of two distributions over the
    features, given the number of ones of a row, which tell two kinds of rows apart by what their
    ones are. The cluster is the group of components, with less than half of the rows but not very
    few, whose ones gain most by a distribution over the features of their own, for their number: a
    group of products, unless a kind gains clearly more. The length of a row plays no part in it:
    long messages are a component too, but their words are those of the short ones. There is no
    cluster where a one is not, on average, half as likely again in it as elsewhere; nor where the
    best group of products is one of several much alike, such as the topics of a corpus, which hold
    half of the rows together. Then a mixture of products is tried that is smoothed half as much and
    so has smaller components, in whose cluster a one must be twice as likely.

    Products would part long rows, as e-mails are, by their length. Of these, which are looked for
    first, the smaller one of two kinds is the cluster. Rows are long where there is hardly a doubt
    of which kind each one is. Where several starts are about as likely, the one with the smallest
    cluster counts: long rows can be divided in more than one way, and what is sought is rare. The
    model of the cluster then has rows as long as the others.

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
    Association 70(350), 1975.
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
    kind = _find_tight_kind(divisions[np.argmax(gains)], X)
    rng = np.random.RandomState(seed)
    group = _choose(_find_group(_fit_products(X, 1.0, rng), X, MIN_GAIN), kind)
    if group is None:
        group = _choose(_find_group(_fit_products(X, 0.5, rng), X, MIN_GAIN_OF_SMALLER), None)
    return None if group is None else MinorityCluster.fit(X, group.memberships)


@dataclass
class _Group:
    """Components that may be a cluster.

    Attributes
    ----------
    evidence : float
        Square of the gain over its standard error, but for a constant.
    memberships : ndarray of shape (n_samples,)
        Probability of each row to belong to it.
    is_topic : bool
        Whether it is one of several much alike.
    """

    evidence: float
    memberships: np.ndarray
    is_topic: bool


def _choose(group: _Group | None, kind: _Group | None) -> _Group | None:
    """The group of products, or a kind that there is clearly more evidence for; None for topics.

    Where both are about as clear, products know more of the rows: their length.
    """
    if group is not None and group.is_topic:
        return None
    if kind is not None and (group is None or group.evidence < ALIKE * kind.evidence):
        return kind
    return group


def _find_group(mixture: _Mixture, X: Any, min_gain: float) -> _Group | None:
    """The group of components that is most a cluster, if any is."""
    memberships = softmax(mixture.joint, axis=1)
    n_rows = memberships.sum(axis=0)
    kept = n_rows >= MIN_ROWS
    n_rows, memberships = n_rows[kept], memberships[:, kept]
    ones = mixture.ones(X)[kept]
    total = ones.sum(axis=0)
    candidates = []
    for mask in itertools.product([False, True], repeat=len(n_rows)):
        group = np.array(mask, dtype=bool)
        share = n_rows[group].sum() / X.shape[0]
        if MIN_SHARE <= share < MAX_SHARE:
            inside = ones[group].sum(axis=0)
            gain = _gain(inside, total - inside)
            if gain >= min_gain:
                candidates.append((gain**2 * inside.sum(), gain, group))
    if not candidates:
        return None
    evidence, gain, group = max(candidates, key=lambda candidate: candidate[0])
    # Of the other components all but the largest, each against the rest of them.
    outside = ones[~group].sum(axis=0)
    smaller = np.flatnonzero(~group)[np.argsort(n_rows[~group])][:-1]
    alike = [i for i in smaller if _gain(ones[i], outside - ones[i]) >= ALIKE * gain]
    n_alike = n_rows[group].sum() + n_rows[alike].sum()
    is_topic = bool(n_alike >= MAX_SHARE * X.shape[0])
    return _Group(evidence, memberships[:, group].sum(axis=1), is_topic)


def _fit_products(X: Any, smoothing: float, rng: np.random.RandomState) -> _Mixture:
    """Mixture of Bernoulli products."""
    starts = (_fit_mixture(X, N_COMPONENTS, smoothing, rng) for _ in range(N_STARTS))
    return max(starts, key=lambda start: start.likelihood)


def _find_tight_kind(division: _Mixture, X: Any) -> _Group | None:
    """The smaller one of two kinds of rows, if it is a cluster.

    Any rows can be divided into plain and diverse ones. In a cluster a one gains at least
    `MIN_GAIN_OF_DIVERSITY` times what it is harder to predict than those of the other rows.
    """
    memberships = softmax(division.joint, axis=1)
    n_rows = memberships.sum(axis=0)
    smaller = int(np.argmin(n_rows))
    n_least = max(MIN_ROWS, MIN_SHARE * X.shape[0])
    if not n_least <= n_rows[smaller] < MAX_SHARE * X.shape[0]:
        return None
    ones = division.ones(X)
    inside, outside = ones[smaller], ones[1 - smaller]
    own, others = _distributions(inside, outside)
    gain = _mean_log(inside, own) - _mean_log(inside, others)
    diversity = _mean_log(outside, others) - _mean_log(inside, own)
    if gain < max(MIN_GAIN, MIN_GAIN_OF_DIVERSITY * diversity):
        return None
    return _Group(gain**2 * inside.sum(), memberships[:, smaller], is_topic=False)


def _divide(X: Any, rng: np.random.RandomState) -> tuple[list[_Mixture], np.ndarray]:
    """Divisions of the rows into two kinds, and by how much a row is likelier than by one kind."""
    starts = [_fit_mixture(X, 2, 1.0, rng, given_n_ones=True) for _ in range(N_DIVISIONS)]
    one_kind = _fit_mixture(X, 1, 1.0, rng, given_n_ones=True)
    return starts, np.array([start.likelihood for start in starts]) - one_kind.likelihood


def _find_smaller_kind(divisions: list[_Mixture], X: Any) -> MinorityCluster | None:
    """The smallest kind of all divisions, with rows as long as those of the other kind."""
    memberships = np.stack([softmax(division.joint, axis=1) for division in divisions])
    n_rows = memberships.sum(axis=1)
    enough = n_rows >= max(MIN_ROWS, MIN_SHARE * X.shape[0])
    n_rows = np.where(enough & (n_rows < MAX_SHARE * X.shape[0]), n_rows, np.inf)
    i, smaller = np.unravel_index(np.argmin(n_rows), n_rows.shape)
    if np.isinf(n_rows[i, smaller]):
        return None
    of_cluster = memberships[i][:, smaller]
    outside = IndependentBernoulli.fit(X, 1 - of_cluster)
    log_one = divisions[i].log_one
    tilt = log_one[:, smaller] - log_one[:, 1 - smaller]
    inside = IndependentBernoulli(outside.logits + tilt)
    return MinorityCluster(float(of_cluster.mean()), inside, outside)


@dataclass
class _Mixture:
    """Fitted mixture of Bernoulli products, or of draws of as many ones as the row has.

    Attributes
    ----------
    likelihood : float
        Mean log-likelihood of a row.
    joint : ndarray of shape (n_samples, n_components)
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
            rest = softmax(self.joint[rows][part.row] - self.log_one[part.col], axis=1)
            for count, weights in zip(counts, rest.T, strict=True):
                count += np.bincount(part.col, part.data * weights, minlength=X.shape[1])
        return counts


def _fit_mixture(
    X: Any,
    n_components: int,
    smoothing: float,
    rng: np.random.RandomState,
    *,
    given_n_ones: bool = False,
) -> _Mixture:
    """Fit from one random start.

    Each feature of a component counts so many ones and zeros more, its `smoothing`. Given the
    number of ones in a row, a component is a distribution over the features from which they are
    drawn.
    """
    n_samples = X.shape[0]
    memberships = rng.dirichlet(np.ones(n_components), n_samples)
    previous = -np.inf
    for _ in range(MAX_ITER):
        n_rows = memberships.sum(axis=0)
        ones = np.asarray(safe_sparse_dot(X.T, memberships)) + smoothing
        log_shares = np.log((n_rows + 1) / (n_samples + n_components))
        if given_n_ones:
            log_one = np.log(ones / ones.sum(axis=0))
            joint = safe_sparse_dot(X, log_one) + log_shares
        else:
            total = n_rows + 2 * smoothing
            log_zero = np.log((total - ones) / total)
            log_one = np.log(ones / total)
            joint = safe_sparse_dot(X, log_one - log_zero) + log_zero.sum(axis=0) + log_shares
        log_likelihood = logsumexp(joint, axis=1)
        memberships = np.exp(joint - log_likelihood[:, None])
        mean = float(log_likelihood.mean())
        if mean - previous < TOL:
            break
        previous = mean
    return _Mixture(mean, joint, log_one)


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
