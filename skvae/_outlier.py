"""Outlier detection by density: alone, or against a cluster of outliers."""

from __future__ import annotations

import copy
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._base import ROUNDING
from ._cluster import MinorityCluster, find_minority_cluster
from ._compat import DocumentationLink, Interval, StrOptions, validate_params
from ._density import VAEDensityEstimator, own_parameters
from ._likelihoods import columns_of_fit, has_real_values
from ._validation import restored_on_error, validate_table

# So few columns of real values gain latent variables too little: from random weights that decay as
# fast as others they are lost.
MAX_NARROW_COLUMNS = 2


class VAEOutlierDetector(OutlierMixin, DocumentationLink, BaseEstimator):
    """Outlier detector that learns what is normal with a variational autoencoder.

    Fits a `VAEDensityEstimator` without labels and calls those rows outliers whose score lies below
    `offset_`. The training rows may hold the outliers that are sought: real values are described by
    a Gaussian that takes a share of them for contaminated, and binary ones looked through for a
    cluster (see `likelihood` and `outlier_score`).

    Parameters
    ----------
    contamination : "auto" or float, default="auto"
        Where to put the threshold. A float in (0, 0.5] is the share of the training rows to flag:
        the nearest whole number of them, or fewer, where it would part rows that score the same.
        "auto" flags, with the score "log_odds", what more probably belongs to the cluster of
        outliers than not (a threshold of 0), and with "elbo" what lies below Tukey's lower fence
        [1]_ of the training scores, the first quartile minus 1.5 times the interquartile range.
        Either may flag no row at all.
    outlier_score : {"auto", "elbo", "log_odds"}, default="auto"
        What to score; higher is more normal.

        - "elbo": bound on log p(x) [2]_. The one for training rows that are all normal: all of them
          are trained on.
        - "log_odds": for binary rows whose outliers are a tight cluster, as spam is among messages,
          or the smaller one of two kinds of long rows, such as e-mails. The cluster is found by
          mixtures of Bernoulli products and of distributions over words [3]_ and modelled by one
          product, the autoencoder learns the rows that do not resemble it, and the score is the
          log-odds of the two: a likelihood ratio [4]_, in which the length of a message all but
          cancels out. A ValueError if there is no such cluster.
        - "auto": "log_odds" for binary rows among which there is such a cluster, otherwise the
          bound; of real values it is then that of a density of the rows that are not far out, see
          Notes.
    n_components : int, default=8
        Number of latent dimensions, at most 21201.
    hidden_layer_sizes : array-like of int of shape (n_layers,), default=(128,)
        Sizes of the encoder's hidden layers; the decoder mirrors them. () for none.
    activation : {"identity", "relu", "tanh", "logistic", "softplus", "elu", "silu"}, \
            default="relu"
        Activation of the hidden layers.
    likelihood : {"auto", "bernoulli", "categorical", "contaminated_gaussian", "gaussian", \
            "multinomial", "negative_binomial", "poisson", "spike_and_slab"} or dict, default="auto"
        Distribution of a feature given z, or the columns of each; see `VAEDensityEstimator`. With
        "multinomial", which says nothing about a row's length, a row without counts is a
        ValueError: it would look perfectly normal.
    init : {"auto", "factor_analysis", "random"}, default="auto"
        What the training starts from; see `VAEDensityEstimator`. "auto" is "random" where there are
        columns of real values, and otherwise "factor_analysis", which concerns counts then. With
        real values "factor_analysis" may be better where the training rows hold no outliers, and
        begins with what these share where they do. A table of one or two columns starts from it,
        too: from random weights its latent variables would not find groups, or a ring.
    reg_covar : float, default=1e-3
        Smallest variance of a real value given z, in units of its column's, in (0, 1); that of a
        column that is constant in training is at least 0.001.
    n_negative_samples : int, "auto" or None, default="auto"
        Features without an entry in the batch whose zeros count in a training step, drawn at
        random: the bound and its gradient are estimated without bias [5]_, and a step costs what
        the non-zeros do, not what the vocabulary does. For sparse 0/1 tables, and counts with a
        Poisson or negative binomial likelihood. None counts all zeros; "auto" draws 3,000 of them
        where X is sparse and has at least 20,000 features. Scores count all zeros whatever is set
        here.
    n_importance_samples : int, default=1
        Draws of z from which a row is scored; 1 is the ELBO, and many are from a q(z|x) that is
        fitted to the row, see `n_refinement_steps` of `VAEDensityEstimator`. Read by `fit`, because
        `offset_` belongs to it.
    solver : {"adam", "sgd"}, default="adam"
        Optimiser; "sgd" is plain, without momentum.
    alpha : "auto" or float, default="auto"
        Half of it times the sum of squared weights (not biases) is added to the training loss, in
        nats; a hundred times as much of the weights that give the variances of Gaussian features.
        More of it makes a coarser density, which learns less of what the rows should not hold.
        "auto" is 0.03 for binary rows; if `outlier_score="elbo"` says that they hold no outliers to
        learn, 25 over their number, but at least 0.01 and at most 0.03. It is 0.0001 for one or two
        columns of real values, of which the loss is small, and 0.01 for others. With the score
        "log_odds" and more than 25 ones in a row, on average, it grows with their number, because
        the loss does.
    batch_size : int or "auto", default=128
        Rows in a training step; the last step of an epoch takes what is left. "auto" takes fewer of
        small tables, see `VAEDensityEstimator`.
    learning_rate_init : float, default=0.003
        Learning rate.
    max_iter : int, default=100
        Largest number of epochs.
    tol : float, default=1e-4
        Training stops when the loss has not become better than the best one by at least `tol` nats
        in any of `n_iter_no_change` epochs in a row.
    n_iter_no_change : int, default=10
        See `tol`.
    early_stopping : bool, default=False
        Stop on the loss of rows held out of the training instead, and keep the best moving average
        of the weights over about five epochs. `offset_` is set from all rows.
    validation_fraction : float, default=0.1
        Share of rows held out by `early_stopping`.
    warm_start : bool, default=False
        Let `fit` continue from where the last one ended, with its optimiser, likelihood and scale.
    random_state : int, RandomState instance or None, default=None
        Determines initialisation, shuffling, noise and the validation split.
    verbose : bool or int, default=False
        Show a progress bar.
    device : {"auto", "cpu", "cuda", "mps"}, default="cpu"
        Where to train and score; "auto" takes a GPU where there is one.

    Attributes
    ----------
    outlier_score_ : str
        The score used.
    density_ : VAEDensityEstimator
        The density of the rows, with "log_odds" of those that do not resemble the cluster: latent
        space, loss curves and samples come from there.
    offset_ : float
        Threshold on `score_samples`, in nats; ``decision_function`` is ``score_samples`` minus it.
        Set it to move the threshold without a new fit.
    n_iter_ : int
        Number of epochs trained.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, if X had string names.

    See Also
    --------
    OutlierClassifier : Turns a detector into a classifier with the labels of your data.
    skvae.metrics.make_outlier_scorer : Scores a detector against labels.

    Notes
    -----
    Low density is not the same as unusual. On a bag of words the bound falls with every word, so
    that long messages come first; and what is frequent in the training rows is dense, wanted or
    not. "log_odds" is the answer to both.

    Where there are columns of real values, "auto" leaves rows that are far out out of the training
    step [6]_: at most a tenth of the batch, those whose loss is beyond Tukey's outer fence [1]_,
    its third quartile plus 3 times the interquartile range. A small group that stands apart is then
    not learned, however alike its rows are. Nor do they count in the loss curves of `density_`.

    A missing value is left out of a row's density, and so is the unit that a real value would bring
    into it. A detector compares rows, so its score has the scale of the column in the place of a
    missing real value: which rows are outliers does not depend on units. Nor is a value more normal
    for the height of a spike (see `likelihood`), which says how narrow that is taken to be: in nats
    above a slab's, the score has half of it.

    References
    ----------
    .. [1] J. W. Tukey, "Exploratory Data Analysis", Addison-Wesley, 1977, chapter 2.
    .. [2] D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014, equation 3.
    .. [3] A. Juan and E. Vidal, "On the use of Bernoulli mixture models for text classification",
       Pattern Recognition 35(12), 2002; K. Nigam et al., "Text classification from labeled and
       unlabeled documents using EM", Machine Learning 39, 2000.
    .. [4] J. Ren et al., "Likelihood Ratios for Out-of-Distribution Detection", NeurIPS 2019,
       equation 2, with the cluster in the place of the background.
    .. [5] A. Botev, B. Zheng and D. Barber, "Complementary Sum Sampling for Likelihood
       Approximation in Large Scale Classification", AISTATS 2017.
    .. [6] Y. Shen and S. Sanghavi, "Learning with Bad Training Data via Iterative Trimmed Loss
       Minimization", ICML 2019, with a fence in the place of the share.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAEOutlierDetector
    >>> X = np.tile([[1, 1, 0, 0], [0, 0, 1, 1]], (100, 1))
    >>> detector = VAEOutlierDetector(n_components=1, random_state=0).fit(X)
    >>> detector.predict([[1, 1, 0, 0], [1, 0, 1, 0]])
    array([ 1, -1])
    """

    density_: VAEDensityEstimator
    _cluster: MinorityCluster | None

    _parameter_constraints = VAEDensityEstimator._parameter_constraints | {
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "outlier_score": [StrOptions({"auto", "elbo", "log_odds"})],
        "early_stopping": ["boolean"],
        "init": [StrOptions({"auto", "factor_analysis", "random"})],
        "alpha": [StrOptions({"auto"}), *VAEDensityEstimator._parameter_constraints["alpha"]],
    }

    def __init__(
        self,
        contamination="auto",
        *,
        outlier_score="auto",
        n_components=8,
        hidden_layer_sizes=(128,),
        activation="relu",
        likelihood="auto",
        init="auto",
        reg_covar=1e-3,
        n_negative_samples="auto",
        n_importance_samples=1,
        solver="adam",
        alpha="auto",
        batch_size=128,
        learning_rate_init=3e-3,
        max_iter=100,
        tol=1e-4,
        n_iter_no_change=10,
        early_stopping=False,
        validation_fraction=0.1,
        warm_start=False,
        random_state=None,
        verbose=False,
        device="cpu",
    ):
        self.contamination = contamination
        self.outlier_score = outlier_score
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.likelihood = likelihood
        self.init = init
        self.reg_covar = reg_covar
        self.n_negative_samples = n_negative_samples
        self.n_importance_samples = n_importance_samples
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def fit(self, X, y=None):
        """Learn the density of the rows and the threshold.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows, outliers among them; NaN in a dense one is a missing value.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : VAEOutlierDetector
            The fitted detector.

        Raises
        ------
        ValueError
            If a parameter or value is not allowed, `outlier_score="log_odds"` finds no cluster of
            outliers, or the training diverges. The detector is then as it was before.
        """
        from ._torch.likelihoods import make_likelihood

        with restored_on_error(self):
            validate_params(self, self._parameter_constraints)
            resume = self.warm_start and hasattr(self, "density_")
            clean = validate_table(self, X, reset=not resume, allow_nan=True)
            before = self.density_._column_likelihoods if resume else None
            likelihood = columns_of_fit(self, X, before)
            if resume:
                model = self.density_._model.likelihood
            else:
                model = make_likelihood(likelihood, clean)
            model.check(clean)
            refuse_empty(clean, model.describe())
            search = self.outlier_score != "elbo"
            cluster = self._find_cluster(clean, model) if search else None
            is_real = has_real_values(model.describe())
            is_narrow = is_real and clean.shape[1] <= MAX_NARROW_COLUMNS
            init = self.init
            if init == "auto":
                init = "random" if is_real and not is_narrow else "factor_analysis"
            alpha = self.alpha
            if alpha == "auto":
                alpha = 1e-4 if is_narrow else 0.01
                if model.name == "bernoulli":
                    alpha = self._alpha_of_binary_rows(clean, cluster)
            chosen = {"likelihood": likelihood, "alpha": alpha, "init": init}
            usual = clean if cluster is None else clean[~cluster.suspects(clean)]
            density = copy.copy(self.density_) if resume else VAEDensityEstimator()
            density.set_params(**own_parameters(self) | chosen, autoregressive=False)
            density.__dict__.pop("feature_names_in_", None)  # rows without names come next
            density._fit(usual, None, leaves_far_rows_out=search and is_real)
            if hasattr(self, "feature_names_in_"):
                density.feature_names_in_ = self.feature_names_in_
            # Not before: other threads may score meanwhile.
            self.density_, self._cluster = density, cluster
            self.outlier_score_ = "elbo" if cluster is None else "log_odds"
            self.n_iter_ = density.n_iter_
            if self._cluster is not None and self.contamination == "auto":
                self.offset_ = 0.0
            else:
                self.offset_ = threshold(self._score_samples(clean), self.contamination)
        return self

    def _alpha_of_binary_rows(self, X: Any, cluster: MinorityCluster | None) -> float:
        """What alpha="auto" is for binary rows, of which the cluster is not to be learned."""
        n_rows = X.shape[0]
        if self.outlier_score == "elbo":
            return min(0.03, max(0.01, 25 / n_rows))
        return 0.03 if cluster is None else 0.03 * max(1.0, float(X.sum()) / (25 * n_rows))

    def _find_cluster(self, X: Any, model: Any) -> MinorityCluster | None:
        """The cluster that "log_odds" needs; None means the score "elbo"."""
        from ._torch.likelihoods import has_missing

        cluster = None
        obstacle = f"the likelihood of this one is {model.name}"
        if has_missing(X):
            obstacle = "this one has missing values"
        elif model.name == "bernoulli":
            obstacle = "none was found"
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
            cluster = find_minority_cluster(X, seed)
        if cluster is None and self.outlier_score == "log_odds":
            raise ValueError(
                "outlier_score='log_odds' needs a tight cluster of outliers in a binary table, but "
                f"{obstacle}. Use outlier_score='auto', which looks for one and can do without."
            )
        return cluster

    def score_samples(self, X):
        """Score of each row; see `outlier_score`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Nats; higher is more normal. With "elbo" the same as ``density_.score_samples(X)`` for
            complete rows without spikes, see Notes; with "log_odds" the log-odds of a normal row.

        Raises
        ------
        ValueError
            If X has another number of features, a value that the likelihood does not allow, an
            empty row with "multinomial", or a missing value with the score "log_odds".
        """
        return self._score_samples(self._validate(X))

    def _validate(self, X: Any) -> Any:
        """Clean rows to score, by parameters that are allowed."""
        check_is_fitted(self)
        validate_params(self, self._parameter_constraints)
        return validate_table(self, X, reset=False, allow_nan=True)

    def _score_samples(self, X: Any) -> np.ndarray:
        self._check(X)
        scores = self.density_._score_samples(X, device=self.device, lowers_spikes=True)
        scores -= self._units_of_missing(X)
        if self._cluster is not None:
            scores += self._cluster.prior_log_odds - self._cluster.inside.log_prob(X)
        return scores

    def _units_of_missing(self, X: Any) -> np.ndarray:
        """What the log-density of each row would owe to the units of the values that it lacks."""
        units = np.zeros(X.shape[0])
        if not sp.issparse(X):
            gaps = np.isnan(X).any(axis=1)
            model, rows = self.density_._model, X[gaps]
            units[gaps] = model.log_units(np.nan_to_num(rows)) - model.log_units(rows)
        return units

    def _check(self, X: Any) -> None:
        """Raise a ValueError if a row has no score."""
        refuse_empty(X, self.density_.likelihood_)
        if self._cluster is not None:
            refuse_missing(X)

    def decision_function(self, X):
        """``score_samples(X) - offset_``: negative for outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            Nats above the threshold.

        Raises
        ------
        ValueError
            If X has another number of features, a value that the likelihood does not allow, an
            empty row with "multinomial", or a missing value with the score "log_odds".
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Say which rows are outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to judge.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            -1 for an outlier, 1 for an inlier.

        Raises
        ------
        ValueError
            If X has another number of features, a value that the likelihood does not allow, an
            empty row with "multinomial", or a missing value with the score "log_odds".
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def feature_contributions(self, X):
        """What each feature adds to a row's score.

        `score_samples` is ``baseline + np.ravel(contributions.sum(axis=1)) + latent``, to rounding;
        `ravel` is for sparse rows. With importance weights every term is the weighted mean over the
        draws. Where 0 is far from all values of a column, such as one of dates, pass dense rows:
        what such a value changes against a zero, and the baseline, which loses as much, are so
        large that rounding takes the rest.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to explain.

        Returns
        -------
        explanation : Bunch
            contributions : {ndarray, CSR matrix} of shape (n_samples, n_features)
                Nats; a negative one makes the row more of an outlier. For sparse X a CSR matrix
                with the same stored entries: what each changes against a zero in its place, but
                for multinomial ones, x log p - log x!. For dense Bernoulli features and counts
                likewise (0 where x is 0), for dense Gaussian features their log-density, for
                categorical ones their log-probability. So for unknown values of a binary column
                among others, in a sparse row too, whose baseline then lacks that column.
                With "log_odds" less what the same entries add to the cluster's log-probability.
            baseline : ndarray of shape (n_samples,)
                Score of a row of zeros, but for `latent`, where contributions are relative to it;
                log N! for multinomial rows of N counts; else 0. Of a row with missing real values
                less the logarithms of their columns' scales.
            latent : ndarray of shape (n_samples,)
                Minus the KL divergence, or its importance-weighted counterpart.

        Raises
        ------
        ValueError
            If X has another number of features, a value that the likelihood does not allow, an
            empty row with "multinomial", or a missing value with the score "log_odds".

        References
        ----------
        The decomposition is that of the ELBO (Kingma and Welling, 2014, equation 3) over features
        that are independent given z.
        """
        X = self._validate(X)
        self._check(X)
        explanation = self.density_._feature_contributions(
            X, device=self.device, lowers_spikes=True
        )
        explanation.baseline -= self._units_of_missing(X)
        if self._cluster is not None:
            inside = self._cluster.inside
            entries = explanation.contributions
            values = entries.data if sp.issparse(entries) else entries
            values -= inside.entries(X)
            explanation.baseline += self._cluster.prior_log_odds - inside.log_prob_of_zeros
        return explanation

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.likelihood != "multinomial"
        return tags


def refuse_missing(X: Any) -> None:
    """Raise a ValueError if a value is missing: the cluster has no probability for such a row."""
    if not sp.issparse(X) and np.isnan(X).any():
        raise ValueError(
            "X has missing values, but the detector was fitted on rows without any, and scores "
            "log-odds against a cluster. Fit it with outlier_score='elbo', or fill them in."
        )


def refuse_empty(X: Any, likelihood: Any) -> None:
    """Raise a ValueError if a row has no counts and the likelihood is given their number.

    The likelihood is a name, or the columns of each.
    """
    if likelihood == "multinomial":
        counts = X
    elif not isinstance(likelihood, str) and "multinomial" in likelihood:
        counts = X[:, likelihood["multinomial"]]
    else:
        return
    empty = np.flatnonzero(np.asarray(counts.sum(axis=1)).ravel() == 0)
    if len(empty):
        raise ValueError(
            f"Row {empty[0]} of X has no counts. likelihood='multinomial' says nothing about a "
            "row's length, so it would look perfectly normal. Remove it, or use "
            "likelihood='poisson' or 'negative_binomial', which do."
        )


def threshold(scores: np.ndarray, contamination: Any) -> float:
    """Score below which a row is an outlier, from the training scores.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
    contamination : "auto" or float
        "auto" for Tukey's lower fence, or the share of the scores to lie below the threshold.
    """
    usual = np.median(np.abs(scores))

    def just_below(score: float) -> float:
        # The threshold must not part equal rows.
        return float(score - ROUNDING * (abs(score) + usual))

    if contamination == "auto":
        lower, upper = np.quantile(scores, [0.25, 0.75])
        return just_below(lower - 1.5 * (upper - lower))
    n_outliers = round(contamination * len(scores))
    scores = np.sort(scores)
    if n_outliers == 0:
        return just_below(scores[0])
    last_outlier, first_inlier = scores[n_outliers - 1 : n_outliers + 1]
    if just_below(first_inlier) <= last_outlier:
        return just_below(last_outlier)
    return float((last_outlier + first_inlier) / 2)
