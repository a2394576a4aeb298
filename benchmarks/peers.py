"""The detectors that `spam.py` and `tabular.py` compare with, under scikit-learn's conventions.

``PEERS[name](seed)`` gives an unfitted detector with ``fit(X)`` and ``score_samples(X)``, where
higher is more normal. One that has a threshold of its own keeps it in ``offset_``. Those in
`SUPERVISED` take ``fit(X, y)``, with 1 for an outlier; those in `BINARY` take only zeros and ones.
All else is the library's default, and the cheap ones come first.
"""

import importlib
import warnings

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp
from sklearn.ensemble import IsolationForest
from sklearn.naive_bayes import BernoulliNB
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM


def dense(X):
    """Rows as a dense array of doubles."""
    return np.asarray(X.toarray() if sp.issparse(X) else X, dtype=np.float64)


class PyOD:
    """A detector of PyOD, with the sign turned round; its threshold flags a tenth of the rows.

    Its networks and its PCA standardise the columns themselves.
    """

    def __init__(self, module, name, **parameters):
        self.make = getattr(importlib.import_module(f"pyod.models.{module}"), name)
        self.parameters = parameters

    def fit(self, X):
        """Fit to dense rows; only DeepSVDD must be told how many features there are."""
        size = {"n_features": X.shape[1]} if self.make.__name__ == "DeepSVDD" else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.detector = self.make(**size, **self.parameters).fit(dense(X))
        self.offset_ = -self.detector.threshold_
        return self

    def score_samples(self, X):
        """Minus the anomaly score."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return -np.ravel(self.detector.decision_function(dense(X)))


class ZNorm:
    """Minus the squared norm of the z-scored row: nothing learned but means and variances."""

    def fit(self, X):
        """Learn means and variances; a constant column keeps its scale."""
        self.scaler = StandardScaler().fit(dense(X))
        return self

    def score_samples(self, X):
        """Minus the squared norm."""
        return -(self.scaler.transform(dense(X)) ** 2).sum(axis=1)


class Fewest:
    """Minus the sum of the row: for counts of digits, nothing learned."""

    def fit(self, X):
        """Learn nothing."""
        return self

    def score_samples(self, X):
        """Minus the sum."""
        return -dense(X).sum(axis=1)


class BernoulliMixture:
    """Mixture of independent Bernoullis by EM, the likeliest of several random starts.

    The score is the log-likelihood, or with `odds` the log-odds of the larger of two components
    against the smaller one. Probabilities are smoothed as in naive Bayes, by one row that has each
    feature and one that has none.
    """

    def __init__(self, n_components, *, odds=False, n_starts=10, max_iter=200, random_state=None):
        self.n_components = n_components
        self.odds = odds
        self.n_starts = n_starts
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X):
        """Keep the start of the highest likelihood."""
        X = sp.csr_matrix(X, dtype=np.float64)
        rng = np.random.default_rng(self.random_state)
        n_starts = self.n_starts if self.n_components > 1 else 1
        starts = [self._expectation_maximisation(X, rng) for _ in range(n_starts)]
        _, self.weights, self.probabilities = max(starts, key=lambda start: start[0])
        if self.odds:
            self.offset_ = 0.0
        return self

    def _expectation_maximisation(self, X, rng):
        shares = rng.dirichlet(np.ones(self.n_components), X.shape[0])
        last = -np.inf
        for _ in range(self.max_iter):
            sizes = shares.sum(axis=0)
            self.weights = (sizes + 1) / (sizes + 1).sum()
            self.probabilities = (X.T @ shares + 1) / (sizes + 2)
            joint = self._joint(X)
            total = logsumexp(joint, axis=1, keepdims=True)
            shares = np.exp(joint - total)
            if total.mean() < last + 1e-6:
                break
            last = total.mean()
        return total.mean(), self.weights, self.probabilities

    def _joint(self, X):
        """Joint log-density of each row and component."""
        absent = np.log1p(-self.probabilities)
        logits = np.log(self.probabilities) - absent
        return np.log(self.weights) + absent.sum(axis=0) + X @ logits

    def score_samples(self, X):
        """Log-likelihood or log-odds, in nats."""
        joint = self._joint(sp.csr_matrix(X, dtype=np.float64))
        if self.odds:
            larger = int(np.argmax(self.weights))
            return joint[:, larger] - joint[:, 1 - larger]
        return logsumexp(joint, axis=1)


class NaiveBayes:
    """Bernoulli naive Bayes, which has the labels: the ceiling."""

    offset_ = 0.0

    def fit(self, X, y):
        """Learn from labels, 1 for an outlier."""
        self.classifier = BernoulliNB().fit(X, y)
        return self

    def score_samples(self, X):
        """Log-odds of being an inlier."""
        joint = self.classifier.predict_joint_log_proba(X)
        return joint[:, 0] - joint[:, 1]


PEERS = {
    "znorm": lambda seed: ZNorm(),
    "digits": lambda seed: Fewest(),
    "naive-bayes": lambda seed: NaiveBayes(),
    "bernoulli": lambda seed: BernoulliMixture(1),
    "mixture-odds": lambda seed: BernoulliMixture(2, odds=True, random_state=seed),
    "mixture-density": lambda seed: BernoulliMixture(5, random_state=seed),
    "hbos": lambda seed: PyOD("hbos", "HBOS"),
    "ecod": lambda seed: PyOD("ecod", "ECOD"),
    "iforest": lambda seed: IsolationForest(random_state=seed),
    # Without the components of no variance, by which it would divide.
    "pca": lambda seed: PyOD("pca", "PCA", n_components=1 - 1e-6, random_state=seed),
    "knn": lambda seed: PyOD("knn", "KNN"),
    "lof": lambda seed: PyOD("lof", "LOF"),
    "mcd": lambda seed: PyOD("mcd", "MCD", random_state=seed),
    "ocsvm": lambda seed: OneClassSVM(),
    "pyod-ae": lambda seed: PyOD("auto_encoder", "AutoEncoder", random_state=seed, verbose=0),
    "pyod-vae": lambda seed: PyOD("vae", "VAE", random_state=seed, verbose=0),
    "pyod-svdd": lambda seed: PyOD("deep_svdd", "DeepSVDD", random_state=seed, verbose=0),
}
SUPERVISED = {"naive-bayes"}
BINARY = {"naive-bayes", "bernoulli", "mixture-odds", "mixture-density"}


def available(methods):
    """Those of the methods that can run here; says which cannot."""
    missing = [name for name in methods if name in PEERS and not _can_make(name)]
    if missing:
        print(f"Without {', '.join(missing)}: PyOD is not installed. Run: pip install pyod\n")
    return [name for name in methods if name not in missing]


def _can_make(name):
    try:
        PEERS[name](0)
    except ModuleNotFoundError as error:
        if error.name != "pyod":
            raise
        return False
    return True
