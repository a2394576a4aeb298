"""The plain autoencoder as a transformer."""

from __future__ import annotations

from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ._base import ACTIVATIONS, NetworkEstimator
from ._compat import StrOptions
from ._validation import check_latent, restored_on_error, validate_table


class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, NetworkEstimator):
    """Codes learned by an autoencoder: a nonlinear counterpart of principal components.

    An encoder maps a row to a code, a decoder maps the code back, and both are trained to lose
    little on the way [1]_. With ``hidden_layer_sizes=()``, ``code_activation="relu"``,
    ``out_activation="logistic"``, ``loss="squared_error"`` and ``solver="sgd"`` it is the textbook
    autoencoder z = relu(x W + b), y = sigmoid(z W' + b'), trained by gradient descent on the sum
    over features, averaged over rows, of (x - y)^2; over all rows at once if `batch_size` is at
    least their number. Weights start from Xavier's uniform distribution [2]_, biases from 0.

    Columns are taken as they are: scale them before.

    Parameters
    ----------
    n_components : int, default=8
        Size of the code.
    hidden_layer_sizes : array-like of int of shape (n_layers,), default=(128,)
        Sizes of the encoder's hidden layers; the decoder mirrors them. () for none.
    activation : {"identity", "relu", "tanh", "logistic", "softplus", "elu", "silu"}, \
            default="relu"
        Activation of the hidden layers.
    code_activation : {"identity", "relu", "tanh", "logistic", "softplus", "elu", "silu"}, \
            default="identity"
        Activation of the code.
    out_activation : {"auto", "identity", "relu", "tanh", "logistic", "softplus", "elu", "silu"}, \
            default="auto"
        Activation of the output. "auto" is "logistic" if all training values lie in [0, 1],
        otherwise "identity".
    loss : {"auto", "squared_error", "binary_cross_entropy"}, default="auto"
        Loss, summed over features and averaged over rows. Binary cross entropy needs values in
        [0, 1] and a logistic output, and is in nats. "auto" takes it if every training value is 0
        or 1 and `out_activation` is "auto" or "logistic", otherwise the squared error.
    solver : {"adam", "sgd"}, default="adam"
        Optimiser; "sgd" is plain, without momentum.
    alpha : float, default=0.0
        Half of it times the sum of squared weights (not biases) is added to the training loss,
        in its units.
    batch_size : int, default=128
        Rows in a training step; the last step of an epoch takes what is left.
    learning_rate_init : float, default=0.003
        Learning rate.
    max_iter : int, default=100
        Largest number of epochs.
    tol : float, default=1e-4
        Training stops when the loss (see `early_stopping`) has not become better than the best one
        by at least `tol`, in its units, in any of `n_iter_no_change` epochs in a row.
    n_iter_no_change : int, default=10
        See `tol`.
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the rows, stop on their loss instead of that of the
        training rows, and keep the best moving average of the weights over about five epochs.
    validation_fraction : float, default=0.1
        Share of rows held out by `early_stopping`.
    warm_start : bool, default=False
        Let `fit` continue from where the last one ended, with its optimiser.
    random_state : int, RandomState instance or None, default=None
        Determines initialisation, shuffling and the validation split.
    verbose : bool or int, default=False
        Show a progress bar.
    device : {"auto", "cpu", "cuda", "mps"}, default="cpu"
        Where to train and compute; "auto" takes a GPU where there is one.

    Attributes
    ----------
    loss_ : str
        The loss used.
    out_activation_ : str
        The output activation used.
    loss_curve_ : list of float
        Mean loss of the training rows in each epoch, in nats or in squared units of X.
    validation_loss_curve_ : list of float
        Mean loss of the validation rows after each epoch, in the same units, with the moving
        average of the weights; empty if there are none.
    n_iter_ : int
        Number of epochs trained.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, if X had string names.

    See Also
    --------
    VAEDensityEstimator : Learns a density as well.
    sklearn.decomposition.PCA : The linear counterpart.

    References
    ----------
    .. [1] G. E. Hinton and R. R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural
       Networks", Science 313, 2006.
    .. [2] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward
       neural networks", AISTATS 2010.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skvae import AutoencoderTransformer
    >>> X = load_digits().data[:200] / 16
    >>> autoencoder = AutoencoderTransformer(n_components=4, max_iter=5, random_state=0)
    >>> autoencoder.fit_transform(X).shape
    (200, 4)
    >>> autoencoder.loss_, autoencoder.out_activation_
    ('squared_error', 'logistic')
    """

    _parameter_constraints = NetworkEstimator._parameter_constraints | {
        "code_activation": [StrOptions(ACTIVATIONS)],
        "out_activation": [StrOptions(ACTIVATIONS | {"auto"})],
        "loss": [StrOptions({"auto", "squared_error", "binary_cross_entropy"})],
    }

    def __init__(
        self,
        n_components=8,
        *,
        hidden_layer_sizes=(128,),
        activation="relu",
        code_activation="identity",
        out_activation="auto",
        loss="auto",
        solver="adam",
        alpha=0.0,
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
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.code_activation = code_activation
        self.out_activation = out_activation
        self.loss = loss
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
        """Learn to encode and decode the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : AutoencoderTransformer
            The fitted transformer.

        Raises
        ------
        ValueError
            If a parameter or value is not allowed, or the training diverges. The estimator is then
            as it was before.
        """
        with restored_on_error(self):
            self._validate_parameters()
            table = validate_table(self, X, reset=not self._goes_on())
            self._train(table, None, hold_out=self.early_stopping)
        return self

    def _keep(self, model):
        super()._keep(model)
        self.loss_ = model.loss
        self.out_activation_ = model.out_activation

    def _architecture(self):
        names = ("code_activation", "out_activation", "loss")
        return super()._architecture() | {name: getattr(self, name) for name in names}

    def _make_model(self, X, X_train, seed):
        from ._torch.autoencoder_model import AutoencoderModel

        return AutoencoderModel(X, seed=seed, **self._architecture())

    def transform(self, X):
        """Code of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Codes.

        Raises
        ------
        ValueError
            If X has another number of features, or a missing value.
        """
        check_is_fitted(self)
        self._validate_parameters()
        return self._model.encode(validate_table(self, X, reset=False), self.device)

    def inverse_transform(self, X):
        """Rows that the codes stand for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Reconstructions; dense, also after a sparse fit.

        Raises
        ------
        ValueError
            If X has not one column for each latent dimension, or a value that is not finite.
        """
        check_is_fitted(self)
        self._validate_parameters()
        return self._model.decode(check_latent(X, self._n_features_out), self.device)

    def reconstruction_error(self, X):
        """Loss of each row: higher is worse.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to reconstruct.

        Returns
        -------
        errors : ndarray of shape (n_samples,)
            Squared error, or binary cross entropy in nats, summed over features.

        Raises
        ------
        ValueError
            If X has another number of features, a missing value, or with binary cross entropy one
            outside [0, 1].
        """
        check_is_fitted(self)
        self._validate_parameters()
        X = validate_table(self, X, reset=False)
        return self._model.reconstruction_error(X, self.device)
