"""The tight minority cluster in a binary table, such as the spam among messages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import log_expit, logsumexp
from sklearn.utils.extmath import safe_sparse_dot

N_COMPONENTS = 6
N_STARTS = 10
MAX_ITER = 200

# Gain in the mean log-likelihood of a row, in nats, below which a start has converged.
TOL = 1e-3

# Fewer rows are no cluster, but copies of a row.
MIN_ROWS = 10
MIN_SHARE = 0.02

# Of more rows so many are looked at.
MAX_ROWS = 20_000

# How much likelier, in nats, a one in the cluster must be there than elsewhere, on average: twice.
MIN_DIVERGENCE = math.log(2)

# Components of this share of the cluster's divergence, or more, are groups of its kind.
ALIKE = 0.8


class IndependentBernoulli:
    """Log-probability of binary rows with independent features.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Values in [0, 1].
    weights : ndarray of shape (n_samples,)
        How much each row counts. Half a row of ones and half a row of zeros count beside them
        with a weight of 2, which is Laplace's rule of succession.
    """

    def __init__(self, X: Any, weights: np.ndarray):
        ones = _column_sums(X, weights) + 1
        zeros = weights.sum() + 2 - ones
        self.logits = np.log(ones / zeros)

    @classmethod
    def from_logits(cls, logits: np.ndarray) -> IndependentBernoulli:
        """Make one of the log-odds of a one in each feature, (n_features,)."""
        model = cls.__new__(cls)
        model.logits = logits
        return model

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


class MinorityCluster:
    """A small share of the rows that resemble each other, against all the others.

    Attributes
    ----------
    share : float
        Estimated share of the training rows.
    inside, outside : IndependentBernoulli
        The rows of the cluster, and the rest, which only a fit needs: a file does not hold them.
    """

    def __init__(self, X: Any, memberships: np.ndarray):
        self.share = float(memberships.mean())
        self.inside = IndependentBernoulli(X, memberships)
        self.outside = IndependentBernoulli(X, 1 - memberships)

    @classmethod
    def from_parts(cls, share: float, inside: IndependentBernoulli) -> MinorityCluster:
        """Make one that scores, of what a file holds."""
        cluster = cls.__new__(cls)
        cluster.share, cluster.inside = share, inside
        return cluster

    @property
    def prior_log_odds(self) -> float:
        """Log-odds, in nats, that a row does not belong to the cluster."""
        return math.log((1 - self.share) / self.share)

    def suspects(self, X: Any) -> np.ndarray:
        """The rows most like the cluster, as booleans: half as many again as it is estimated to be.

        Its outskirts are among them, which would teach a density of the other rows what it should
        not know.
        """
        log_odds = self.outside.log_prob(X) - self.inside.log_prob(X)
        n_suspects = min(round(1.5 * self.share * len(log_odds)), len(log_odds) - 1)
        mask = np.zeros(len(log_odds), dtype=bool)
        mask[np.argsort(log_odds, kind="stable")[:n_suspects]] = True
        return mask


def find_minority_cluster(X: Any, seed: int) -> MinorityCluster | None:
    """Find the tight minority cluster of a binary table, or None where there is none.

    A mixture of `N_COMPONENTS` Bernoulli products, smoothed by Laplace's rule, which empties those
    that are not needed, is fitted to at most `MAX_ROWS` rows by expectation maximisation from
    `N_STARTS` random starts, of which the likeliest is kept. Of the components with less than half
    of the rows, but not very few, the cluster is the one whose ones are the most unlike the others:
    by the Kullback-Leibler divergence of their distribution over the features. The length of a row
    plays no part in it: long messages are a component too, but their words are those of the short
    ones. Where a one is not, on average, at least twice as likely in the cluster as elsewhere, the
    table has no cluster; nor where it is one of several much alike, such as the topics of a corpus,
    which hold half of the rows together.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Values in [0, 1].
    seed : int
        Determines the starts.

    References
    ----------
    The mixture: A. Juan and E. Vidal, "On the use of Bernoulli mixture models for text
    classification", Pattern Recognition 35(12), 2002. The correction for chance: G. A. Miller,
    "Note on the bias of information estimates", Information Theory in Psychology, 1955.
    """
    rng = np.random.RandomState(seed)
    if X.shape[0] > MAX_ROWS:
        X = X[rng.permutation(X.shape[0])[:MAX_ROWS]]
    _, memberships = max((_fit_mixture(X, rng) for _ in range(N_STARTS)), key=lambda fit: fit[0])
    components = [column for column in memberships.T if column.sum() >= MIN_ROWS]
    divergences = np.array([_divergence(X, column) for column in components])
    shares = np.array([column.mean() for column in components])
    small = (shares >= MIN_SHARE) & (shares < 0.5)
    if not small.any():
        return None
    most = np.argmax(np.where(small, divergences, -np.inf))
    alike = shares[divergences >= ALIKE * divergences[most]].sum()
    if divergences[most] < MIN_DIVERGENCE or alike >= 0.5:
        return None
    return MinorityCluster(X, components[most])


def _fit_mixture(X: Any, rng: np.random.RandomState) -> tuple[float, np.ndarray]:
    """Mean log-likelihood, and the share of each component in each row, from one random start."""
    n_samples = X.shape[0]
    memberships = rng.dirichlet(np.ones(N_COMPONENTS), n_samples)
    previous = -np.inf
    for _ in range(MAX_ITER):
        n_rows = memberships.sum(axis=0)
        ones = np.asarray(safe_sparse_dot(X.T, memberships)) + 1
        log_zero = np.log((n_rows + 2 - ones) / (n_rows + 2))
        logits = np.log(ones / (n_rows + 2)) - log_zero
        log_shares = np.log((n_rows + 1) / (n_samples + N_COMPONENTS))
        joint = safe_sparse_dot(X, logits) + log_zero.sum(axis=0) + log_shares
        log_likelihood = logsumexp(joint, axis=1)
        memberships = np.exp(joint - log_likelihood[:, None])
        mean = float(log_likelihood.mean())
        if mean - previous < TOL:
            break
        previous = mean
    return mean, memberships


def _divergence(X: Any, memberships: np.ndarray) -> float:
    """How unlike those of the other rows the ones of the cluster are, in nats.

    The Kullback-Leibler divergence of their distributions over the features. Few ones diverge by
    chance: Miller and Madow's correction, (m - 1) / (2 n) for n ones in m features, is taken off.
    """
    inside, outside = _column_sums(X, memberships), _column_sums(X, 1 - memberships)
    p, q = (inside + 1) / (inside + 1).sum(), (outside + 1) / (outside + 1).sum()
    chance = max(np.count_nonzero(inside >= 0.5) - 1, 0) / (2 * max(inside.sum(), 1))
    return float(np.sum(p * np.log(p / q)) - chance)


def _column_sums(X: Any, weights: np.ndarray) -> np.ndarray:
    return np.asarray(safe_sparse_dot(X.T, weights)).ravel()
