"""Filling in missing values by a density."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from ._compat import DocumentationLink, validate_params
from ._density import VAEDensityEstimator, own_parameters
from ._likelihoods import columns_of_fit
from ._validation import restored_on_error, validate_numbers


class VAEImputer(OneToOneFeatureMixin, TransformerMixin, DocumentationLink, BaseEstimator):
    """Fills in missing values (NaN) by their mean given the values that the row has.

    Fits a `VAEDensityEstimator` to the values that are there, and averages what its decoder says of
    those that are not over draws of z, each weighted by how well it explains the row [1]_:

        sum_k w_k E[x_missing | z_k],  w_k proportional to p(x_observed|z_k) p(z_k) / q(z_k|x).

    The encoder's q(z|x) is fitted to each row before, by four natural-gradient steps if there are
    at most 64 latent dimensions; see `n_refinement_steps` of `VAEDensityEstimator`.

    Values that are there come back as they are. A row's result depends on nothing but the row.

    Parameters
    ----------
    n_components : int, default=16
        Number of latent dimensions, at most 21201.
    hidden_layer_sizes : array-like of int of shape (n_layers,), default=(128,)
        Sizes of the encoder's hidden layers; the decoder mirrors them. () for none.
    activation : {"identity", "relu", "tanh", "logistic", "softplus", "elu", "silu"}, \
            default="relu"
        Activation of the hidden layers.
    likelihood : str or dict, default="auto"
        Distribution of a feature given z; see `VAEDensityEstimator`. A missing code of a
        "categorical" column becomes the likeliest one, any other value a mean: of a column of
        zeros and ones the probability of a one.
    n_training_draws : int, default=10
        Draws of z for each row in a training step: more than 1 train on the importance-weighted
        bound, as in [1]_.
    n_importance_samples : int, default=256
        Draws of z that are weighted and averaged for a row with missing values. 1 averages without
        weights over the draws that score the ELBO. Read when values are filled in: it can be set
        after the fit.
    solver : {"adam", "sgd"}, default="adam"
        Optimiser; "sgd" is plain, without momentum.
    alpha : float, default=0.005
        Half of it times the sum of squared weights (not biases) is added to the training loss, in
        nats; a hundred times as much of the weights that give the variances of Gaussian features.
    batch_size : int or "auto", default=128
        Rows in a training step; the last step of an epoch takes what is left. "auto" takes fewer of
        small tables, see `VAEDensityEstimator`.
    learning_rate_init : float, default=0.003
        Learning rate.
    max_iter : int, default=500
        Largest number of epochs.
    tol : float, default=1e-4
        Training stops when the loss has not become better than the best one by at least `tol` nats
        in any of `n_iter_no_change` epochs in a row.
    n_iter_no_change : int, default=50
        See `tol`.
    early_stopping : bool or "auto", default="auto"
        Stop on the loss of rows held out of the training instead, and keep the best moving average
        of the weights over about five epochs. "auto" does so with at least 50 rows, or 20 if there
        are columns of real values.
    validation_fraction : float, default=0.1
        Share of rows held out by `early_stopping`.
    add_indicator : bool, default=False
        Append a column that says where values were missing for each column that had missing values
        in `fit`, as `sklearn.impute.SimpleImputer` does.
    random_state : int, RandomState instance or None, default=None
        Determines initialisation, shuffling, noise and the validation split.
    verbose : bool or int, default=False
        Show a progress bar.
    device : {"auto", "cpu", "cuda", "mps"}, default="cpu"
        Where to train and compute; "auto" takes a GPU where there is one.

    Attributes
    ----------
    density_ : VAEDensityEstimator
        The density of the rows: scores, loss curves and samples come from there.
    indicator_ : sklearn.impute.MissingIndicator or None
        What `add_indicator` appends; None without it.
    n_iter_ : int
        Number of epochs trained.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, if X had string names.

    See Also
    --------
    VAEDensityEstimator : Scores rows with missing values by the values that they have.
    sklearn.impute.IterativeImputer : Predicts each column from the others, by default linearly.

    Notes
    -----
    Values are taken to be missing at random: whether one is may depend on the values that the row
    has, but not on the one that is missing.

    The training starts from factor analysis of real values and counts, but for columns of which
    most values are the same; see `init` of `VAEDensityEstimator`.

    A column with one value only in `fit` is filled with it; one without any value is filled with 0,
    and says nothing about the others.

    References
    ----------
    .. [1] P.-A. Mattei and J. Frellsen, "MIWAE: Deep Generative Modelling and Imputation of
       Incomplete Data Sets", ICML 2019, equations 10 to 12.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAEImputer
    >>> X = np.tile([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], (100, 1))
    >>> X[:20, 0] = np.nan
    >>> imputer = VAEImputer(n_components=1, max_iter=50, random_state=0).fit(X)
    >>> imputer.transform([[np.nan, 1, 0], [np.nan, 0, 1]]).round()
    array([[1., 1., 0.],
           [0., 0., 1.]])
    """

    density_: VAEDensityEstimator

    _parameter_constraints = VAEDensityEstimator._parameter_constraints | {
        "add_indicator": ["boolean"],
    }

    def __init__(
        self,
        n_components=16,
        *,
        hidden_layer_sizes=(128,),
        activation="relu",
        likelihood="auto",
        n_training_draws=10,
        n_importance_samples=256,
        solver="adam",
        alpha=0.005,
        batch_size=128,
        learning_rate_init=3e-3,
        max_iter=500,
        tol=1e-4,
        n_iter_no_change=50,
        early_stopping="auto",
        validation_fraction=0.1,
        add_indicator=False,
        random_state=None,
        verbose=False,
        device="cpu",
    ):
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.likelihood = likelihood
        self.n_training_draws = n_training_draws
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
        self.add_indicator = add_indicator
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def fit(self, X, y=None):
        """Learn the density of the values that are there.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows; NaN is a missing value.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : VAEImputer
            The fitted imputer.

        Raises
        ------
        ValueError
            If a parameter or value is not allowed, or the training diverges. The imputer is then as
            it was before.
        """
        with restored_on_error(self):
            validate_params(self, self._parameter_constraints)
            table = validate_numbers(self, X, reset=True, allow_nan=True)
            likelihood = columns_of_fit(self, X, None)
            # A smaller variance than this fills in no better.
            parameters = {"reg_covar": 1e-3} | own_parameters(self)
            parameters |= {"likelihood": likelihood, "autoregressive": False}
            self.density_ = VAEDensityEstimator(**parameters).fit(table)
            if hasattr(self, "feature_names_in_"):
                self.density_.feature_names_in_ = self.feature_names_in_
            self.n_iter_ = self.density_.n_iter_
            self.indicator_ = None
            if self.add_indicator:
                self.indicator_ = MissingIndicator(error_on_new=False).fit(table)
            self._without_values = np.isnan(table).all(axis=0)
            lowest, highest = np.fmin.reduce(table), np.fmax.reduce(table)
            self._is_constant = self._without_values | (lowest == highest)
            self._constants = np.where(self._without_values, 0.0, lowest)[self._is_constant]
        return self

    def transform(self, X):
        """Fill in the missing values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; NaN is a missing value, in whichever column.

        Returns
        -------
        X_filled : ndarray of shape (n_samples, n_features) or \
                (n_samples, n_features + n_features_with_missing)
            The rows without a missing value, the indicator's columns behind them with
            `add_indicator`.

        Raises
        ------
        ValueError
            If X has another number of features, or a value the likelihood does not allow.
        """
        check_is_fitted(self)
        validate_params(self, self._parameter_constraints)
        X = validate_numbers(self, X, reset=False, allow_nan=True)
        X_filled = X.copy()
        missing = np.isnan(X)
        rows = missing.any(axis=1)
        observed = np.where(self._without_values, np.nan, X)
        self.density_._model.check(observed)
        if rows.any():
            means = self.density_._impute(
                observed[rows],
                n_importance_samples=self.n_importance_samples,
                device=self.device,
            )
            means[:, self._is_constant] = self._constants
            X_filled[missing] = means[missing[rows]]
        if self.indicator_ is None:
            return X_filled
        return np.hstack([X_filled, self.indicator_.transform(X)])

    def get_feature_names_out(self, input_features=None):
        """Names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str of shape (n_features,), default=None
            Names of the columns of X; if None, those of `fit`, or else x0, x1 and so on.

        Returns
        -------
        feature_names_out : ndarray of str of shape (n_features_out,)
            The same names, and those of the indicator's columns.
        """
        names = super().get_feature_names_out(input_features)
        if self.indicator_ is None:
            return names
        return np.concatenate([names, self.indicator_.get_feature_names_out(names)])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
