"""Density estimation with a variational autoencoder."""

from __future__ import annotations

import sys
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.utils import Bunch, Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._base import POSITIVE, TRAINING_CONSTRAINTS, NetworkEstimator
from ._compat import Interval, StrOptions
from ._likelihoods import LIKELIHOODS, columns_of_fit, has_real_values
from ._validation import Blocks, check_latent, is_blocks, named, restored_on_error, validate_table

if TYPE_CHECKING:
    from ._torch.density_model import ScoringOptions

# Sobol points, which scores are averaged over, have no more dimensions.
MAX_COMPONENTS = 21201

# Steps of n_refinement_steps="auto", and how many importance draws it takes them from, in all and
# for each latent dimension.
N_REFINEMENT_STEPS = 2
MIN_DRAWS_TO_REFINE = 400
MIN_DRAWS_A_COMPONENT = 50

# Steps that it takes for a row with missing values, which the encoder reads badly: there are so
# many ways for values to be missing. Their time grows with the cube of the latent dimensions.
N_GAP_REFINEMENT_STEPS = 4
MAX_COMPONENTS_TO_REFINE_GAPS = 64

# Fewest training rows of which early_stopping="auto" holds some out; of real values, of which few
# rows are learned by heart, fewer.
MIN_ROWS_TO_HOLD_OUT = 50
MIN_REAL_ROWS_TO_HOLD_OUT = 20

# Values, zeros among them, that it holds out at most, which are all looked at in each epoch, unless
# they are in so few rows.
MAX_VALUES_HELD_OUT = 10_000_000
MIN_ROWS_HELD_OUT = 100


def own_parameters(wrapper: BaseEstimator) -> dict[str, Any]:
    """Parameters of a density that an estimator around one has too."""
    names = VAEDensityEstimator().get_params(deep=False)
    return {name: getattr(wrapper, name) for name in names if hasattr(wrapper, name)}


class VAEDensityEstimator(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, NetworkEstimator
):
    """Density of a table, learned by a variational autoencoder.

    A Gaussian encoder q(z|x) and a decoder p(x|z) are trained together to raise the evidence lower
    bound (ELBO) on log p(x) [1]_. Dense and sparse tables are taken; a sparse one is never made
    dense beyond a batch of rows.

    Scores are in nats per row, all constants included, higher for more normal rows. They are
    computed in float64 with draws that are the same for every row and every call, so that a row's
    score depends on nothing but the row.

    Parameters
    ----------
    n_components : int, default=8
        Number of latent dimensions, at most 21201. Beyond a few hundred scoring is slow: its draws
        are made by a decomposition that grows with the cube of their number.
    hidden_layer_sizes : array-like of int of shape (n_layers,), default=(128,)
        Sizes of the encoder's hidden layers; the decoder mirrors them. () for none.
    activation : {"identity", "relu", "tanh", "logistic", "softplus", "elu", "silu"}, \
            default="relu"
        Activation of the hidden layers.
    likelihood : {"auto", "bernoulli", "categorical", "contaminated_gaussian", "gaussian", \
            "multinomial", "negative_binomial", "poisson", "spike_and_slab"} or dict, default="auto"
        Distribution of a feature given z. A dict gives columns to each, by index, name, mask or
        selector: ``{"categorical": [0, 3], "gaussian": make_column_selector("size")}``. Columns
        that it does not name are described as by "auto".

        - "auto": a table of nothing but 0 and 1 is Bernoulli; one of counts, such that in columns
          with larger ones more than half are 0 and 1 the commonest of the others, negative
          binomial. Of any other table the columns with both 0 and 1 and nothing else are Bernoulli,
          those of which 50 to 99 % are one value a spike and a slab, and the others contaminated
          Gaussian; in such a Bernoulli column all other values together have probability
          1 / (n_samples + 1).
        - "bernoulli": 0, 1, or a probability in between. Any other value is a ValueError that names
          the column; so is a 2 later in a table of nothing but 0 and 1.
        - "gaussian": real values, with a mean and a variance for each row and feature. Columns are
          standardised inside; the density is in the units of X. The variance is at least
          `reg_covar`.
        - "contaminated_gaussian": the same, but a hundredth of the values comes from a normal
          distribution of twice the column's scale, or more, whatever z is [8]_. So a value that
          does not fit makes a row improbable only so far, and does not bend the network. Columns
          are standardised by what is left of them without a hundredth at either end, and the
          encoder reads no value as further than 5 from their middle. The variance is at least that
          of a value rounded to the steps in which the column goes, a twelfth of their square [11]_:
          of the differences between neighbouring values in training it is the median. Where
          no rows are held out `fit` starts from half of the values, and comes down to a hundredth
          in the last of `max_iter` epochs. Scores are of a hundredth, whenever it stops: with more
          epochs raise `n_iter_no_change` too, since the loss may rise while the share falls.
        - "poisson": counts, integers from 0 to 1e8, whose variance is their mean.
        - "negative_binomial": counts whose variance m + m² / r is larger than their mean m; r is at
          most 2981, so that large counts that spread by less than 2 % are better "gaussian".
        - "multinomial": a row's counts given their sum, of which it says nothing. An empty row
          scores 0. Takes no missing values.
        - "spike_and_slab": real values of which many are the same, the column's middle value:
          rainfall, spending, dark pixels. A probability of that value for each row and feature, and
          of the others a mean and a variance; a hundredth is contaminated as above, in that
          probability too [10]_.
        - "categorical": codes, integers from 0, at most 1000 different ones a column. The codes
          that a column lacks in training have probability 1 / (n_samples + 1) together; with
          `OrdinalEncoder` set ``unknown_value`` to a number that no category has.
    init : {"factor_analysis", "random"}, default="factor_analysis"
        What the training starts from. "factor_analysis": the best linear model of the real values
        (but those of a spike and a slab) and of the logarithms of counts, with a factor for each
        latent dimension [9]_; a better density of tables whose columns depend on each other
        linearly, from fewer epochs. It is made from at most 2000 rows, drawn at random, for at most
        1000 columns of real values, and of counts with a mean of at least 1, in tables of at most
        20,000 columns, and 32 factors. All other weights are random, and with hidden layers of the
        activations "tanh", "logistic" or "elu" all are. "random" may be better for counts whose
        rows fall into groups.
    autoregressive : bool or "auto", default="auto"
        Let each Bernoulli feature depend on those before it too: its logit gains a weighted sum of
        them, as in a fully visible belief network [3]_. The density is better for it where features
        depend on each other beyond what z says, and seldom worse, since Adam shrinks weights by
        what chance would make of them. "auto" does so for complete Bernoulli tables of at most 2000
        features, unless `n_negative_samples` is a number; True raises a ValueError for others.
    n_prior_components : int, default=1
        Number of Gaussians in the prior of z. 1 is N(0, I); more are a mixture whose weights, means
        and variances are learned [7]_: mostly a better density, 32 for example.
    n_training_draws : int, default=1
        Draws of z for each row in a training step. 1 trains on the ELBO; more, on the
        importance-weighted bound [2]_ with doubly reparameterised gradients [4]_: a better density,
        for a time that grows with it.
    reg_covar : float, default=1e-4
        Smallest variance of a real value given z, in units of its column's, in (0, 1); that of a
        column that is constant in training is at least 0.001, and that of a contaminated Gaussian
        what the column's steps allow, if that is more. A smaller one is for columns that others
        tell almost exactly, a larger one makes a coarser density.
    n_negative_samples : int, "auto" or None, default="auto"
        Features without an entry in the batch whose zeros count in a training step, drawn at
        random: the bound and its gradient are estimated without bias [6]_, and a step costs what
        the non-zeros do, not what the vocabulary does. For sparse 0/1 tables, and counts with a
        Poisson or negative binomial likelihood. None counts all zeros; "auto" draws 3,000 of them
        where X is sparse and has at least 20,000 features. Scores count all zeros whatever is set
        here.
    n_importance_samples : int, default=1
        Draws of z from which a row is scored. 1 scores the ELBO: an average over ``2 * max(8,
        n_components)`` fixed draws, in which the KL divergence from N(0, I) is exact. A larger
        number scores the importance-weighted bound [2]_, which is tighter. Read when scoring: it
        can be set after the fit.
    n_refinement_steps : int or "auto", default="auto"
        Natural-gradient steps that fit mean and covariance of q(z|x) to each row before it is
        scored, starting from the encoder's, on draws other than those that score it [5]_. "auto"
        takes 4 for a row with missing values, if there are at most 64 latent dimensions. For others
        it takes 2 where `n_importance_samples` is at least 400, and at least 50 times
        `n_components`, so that most of the time goes to these draws, and otherwise none. Read when
        scoring.
    solver : {"adam", "sgd"}, default="adam"
        Optimiser; "sgd" is plain, without momentum.
    alpha : float, default=0.001
        Half of it times the sum of squared weights (not biases) is added to the training loss, in
        nats; a hundred times as much of the weights that give the variances of Gaussian features.
    batch_size : int or "auto", default="auto"
        Rows in a training step; the last step of an epoch takes what is left. "auto" takes a
        thirtieth of the training rows, or more if so few have less than eight non-zeros of a
        feature, on average; at least 32 and at most 128, and 128 in `partial_fit`.
    learning_rate_init : float, default=0.003
        Learning rate.
    max_iter : int, default=200
        Largest number of epochs.
    tol : float, default=1e-4
        Training stops when the loss (see `early_stopping`) has not become better than the best one
        by at least `tol` nats in any of `n_iter_no_change` epochs in a row.
    n_iter_no_change : int, default=20
        See `tol`.
    early_stopping : bool or "auto", default="auto"
        Hold out `validation_fraction` of the rows, stop on minus their importance-weighted bound
        with 8 draws instead of the loss of the training rows, and keep the best moving average of
        the weights over about five epochs; if none is better, what the training began with, where
        that was fitted to the rows before. "auto" does so with at least 50 rows, or 20 if there
        are columns of real values, and holds out no more than ten million values, zeros among them,
        or 100 rows where these have more.
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
    likelihood_ : str or dict of str to ndarray of int of shape (n_columns,)
        The likelihood used, or the columns of each.
    loss_curve_ : list of float
        Minus the mean bound of the training rows in each epoch, in nats: the sum of the next two.
        While the share of contaminated values comes down, that of the epoch's share.
    reconstruction_curve_ : list of float
        Mean of -log p(x|z) in each epoch, in nats; with several draws, what is left of the loss.
    kl_curve_ : list of float
        Mean KL divergence of q(z|x) from the prior in each epoch, in nats.
    validation_loss_curve_ : list of float
        Minus the mean importance-weighted bound of the validation rows after each epoch, in nats,
        with 8 draws and the moving average of the weights; empty if there are none.
    n_iter_ : int
        Number of epochs trained.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, if X had string names.

    See Also
    --------
    VAEOutlierDetector : Flags the rows of low density.
    AutoencoderTransformer : Codes without a density.

    References
    ----------
    .. [1] D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    .. [2] Y. Burda, R. Grosse and R. Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016.
    .. [3] B. J. Frey, G. E. Hinton and P. Dayan, "Does the wake-sleep algorithm produce good
       density estimators?", NeurIPS 1995.
    .. [4] G. Tucker, D. Lawson, S. Gu and C. J. Maddison, "Doubly Reparameterized Gradient
       Estimators for Monte Carlo Objectives", ICLR 2019.
    .. [5] M. E. Khan and D. Nielsen, "Fast yet Simple Natural-Gradient Descent for Variational
       Inference in Complex Models", ISITA 2018.
    .. [6] A. Botev, B. Zheng and D. Barber, "Complementary Sum Sampling for Likelihood
       Approximation in Large Scale Classification", AISTATS 2017.
    .. [7] J. M. Tomczak and M. Welling, "VAE with a VampPrior", AISTATS 2018.
    .. [8] S. Eduardo, A. Nazabal, C. K. I. Williams and C. Sutton, "Robust Variational Autoencoders
       for Outlier Detection and Repair of Mixed-Type Data", AISTATS 2020.
    .. [9] D. B. Rubin and D. T. Thayer, "EM Algorithms for ML Factor Analysis", Psychometrika 47,
       1982.
    .. [10] T. J. Mitchell and J. J. Beauchamp, "Bayesian Variable Selection in Linear Regression",
       Journal of the American Statistical Association 83, 1988.
    .. [11] W. F. Sheppard, "On the Calculation of the most Probable Values of
       Frequency-Constants, for Data arranged according to Equidistant Division of a Scale",
       Proceedings of the London Mathematical Society 29, 1898.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAEDensityEstimator
    >>> X = np.tile([[1, 1, 0, 0], [0, 0, 1, 1]], (100, 1))
    >>> density = VAEDensityEstimator(n_components=1, random_state=0).fit(X)
    >>> density.likelihood_
    'bernoulli'
    >>> seen, unseen = density.score_samples([[1, 1, 0, 0], [1, 0, 1, 0]])
    >>> bool(seen > unseen)
    True
    """

    _column_likelihoods: str | dict[str, list[int]]
    _parameter_constraints = NetworkEstimator._parameter_constraints | {
        "likelihood": [StrOptions({"auto", *LIKELIHOODS}), dict],
        "init": [StrOptions({"factor_analysis", "random"})],
        "autoregressive": ["boolean", StrOptions({"auto"})],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "batch_size": [StrOptions({"auto"}), *TRAINING_CONSTRAINTS["batch_size"]],
        "n_components": [Interval(Integral, 1, MAX_COMPONENTS, closed="both")],
        "n_prior_components": [POSITIVE],
        "n_training_draws": [POSITIVE],
        "reg_covar": [Interval(Real, 0, 1, closed="neither")],
        "n_negative_samples": [POSITIVE, StrOptions({"auto"}), None],
        "n_importance_samples": [POSITIVE],
        "n_refinement_steps": [
            Interval(Integral, 0, sys.maxsize, closed="both"),
            StrOptions({"auto"}),
        ],
    }

    def __init__(
        self,
        n_components=8,
        *,
        hidden_layer_sizes=(128,),
        activation="relu",
        likelihood="auto",
        init="factor_analysis",
        autoregressive="auto",
        n_prior_components=1,
        n_training_draws=1,
        reg_covar=1e-4,
        n_negative_samples="auto",
        n_importance_samples=1,
        n_refinement_steps="auto",
        solver="adam",
        alpha=0.001,
        batch_size="auto",
        learning_rate_init=3e-3,
        max_iter=200,
        tol=1e-4,
        n_iter_no_change=20,
        early_stopping="auto",
        validation_fraction=0.1,
        warm_start=False,
        random_state=None,
        verbose=False,
        device="cpu",
    ):
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.likelihood = likelihood
        self.init = init
        self.autoregressive = autoregressive
        self.n_prior_components = n_prior_components
        self.n_training_draws = n_training_draws
        self.reg_covar = reg_covar
        self.n_negative_samples = n_negative_samples
        self.n_importance_samples = n_importance_samples
        self.n_refinement_steps = n_refinement_steps
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

    def fit(self, X, y=None, *, X_val=None, checkpoint=None, process_group=None):
        """Learn the density of the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), or iterable of those
            Training rows; NaN in a dense one is a missing value. An iterable gives them in blocks,
            which need not be in memory at once: it is iterated over for the first of them, then to
            check all, and then once an epoch, so it must begin anew each time (a generator does
            not). Rows are shuffled within a block. The first block fixes likelihood and scale, and
            `early_stopping="auto"` holds nothing out.
        y : Ignored
            Present for API consistency.
        X_val : {array-like, sparse matrix} of shape (n_val_samples, n_features), default=None
            Rows that stop the training as `early_stopping` does, in place of rows split off from X.
        checkpoint : str or Path, default=None
            File for the state of the training after each epoch. If it is there when `fit` begins,
            the training goes on from it, to the same result; when it is done, the file is removed.
            It is refused where shape or sum of X (of its first block) or `X_val` have changed, or
            parameters other than `max_iter`, `verbose` and `device`.
        process_group : torch.distributed.ProcessGroup, default=None
            Processes that call `fit` together, each on rows of its own; all of them end with the
            same model. A batch of `batch_size` rows is drawn from the rows of all, and the first
            process fixes likelihood, scale and seed and writes the checkpoint. As with blocks,
            nothing is held out: `X_val` may be each process's own share. Needs
            ``n_negative_samples=None`` or "auto", which then counts all zeros.

        Returns
        -------
        self : VAEDensityEstimator
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or value is not allowed, `checkpoint` is of another training, the
            training diverges, or another process of the group has an error before it begins. The
            estimator is then as it was before.
        TypeError
            If X can be iterated over once only, or `process_group` is none that this process is in.
        OSError
            If `checkpoint` is in a folder that does not exist, or is one.
        """
        with restored_on_error(self):
            self._fit(X, X_val, checkpoint=checkpoint, process_group=process_group)
        return self

    def partial_fit(self, X, y=None):
        """Train for one epoch on a chunk of rows.

        All rows are trained on, whatever `early_stopping` says. The first chunk fixes likelihood
        and scale.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : VAEDensityEstimator
            The estimator after one more epoch.

        Raises
        ------
        ValueError
            As in `fit`; the estimator is then as it was before.
        TypeError
            If X is an iterator or gives several tables.
        """
        with restored_on_error(self):
            self._fit(X, None, partial=True)
        return self

    def _fit(
        self,
        X,
        X_val,
        *,
        partial=False,
        checkpoint=None,
        process_group=None,
        leaves_far_rows_out=False,
    ):
        from ._torch.ranks import Ranks

        ranks = Ranks(process_group)
        blocks = None
        with ranks.together():
            self._validate_parameters()
            in_blocks = not partial and is_blocks(X)
            in_parts = in_blocks or process_group is not None
            if in_parts and self.early_stopping != "auto" and self.early_stopping and X_val is None:
                raise ValueError(
                    "early_stopping=True holds rows out of a table, but X comes in blocks or to "
                    "several processes. Pass the rows that stop the training as X_val, or set "
                    "early_stopping=False."
                )
            if in_blocks:
                blocks = Blocks(self, X)
                X = next(iter(X), None)
                if X is None:
                    raise ValueError("X is an iterable of blocks without a single block.")
            with named(Blocks.name(0) if in_blocks else None):
                table = validate_table(self, X, reset=not self._goes_on(partial), allow_nan=True)
            before = self._column_likelihoods if self._goes_on(partial) else None
            self._column_likelihoods = columns_of_fit(self, X, before)
            if X_val is not None:
                with named("X_val"):
                    X_val = validate_table(self, X_val, reset=False, allow_nan=True)
        self._train(
            table,
            X_val,
            hold_out=not partial and not in_parts and self._holds_out(table),
            partial=partial,
            blocks=blocks,
            checkpoint=checkpoint,
            ranks=ranks,
            leaves_far_rows_out=leaves_far_rows_out,
        )
        self._sparse_in = sp.issparse(table)

    def _keep(self, model: Any) -> None:
        super()._keep(model)
        self.likelihood_ = model.likelihood.describe()
        terms = model.history.terms
        self.reconstruction_curve_ = [reconstruction for reconstruction, _ in terms]
        self.kl_curve_ = [kl for _, kl in terms]

    def _holds_out(self, X: Any) -> bool:
        """Whether `early_stopping` holds out rows of X."""
        from ._torch.likelihoods import make_likelihood

        if self.early_stopping != "auto":
            return bool(self.early_stopping)
        if not MIN_REAL_ROWS_TO_HOLD_OUT <= X.shape[0] < MIN_ROWS_TO_HOLD_OUT:
            return bool(X.shape[0] >= MIN_ROWS_TO_HOLD_OUT)
        return has_real_values(make_likelihood(self._column_likelihoods, X).describe())

    def _n_held_out(self, X: Any) -> int:
        n_rows = super()._n_held_out(X)
        if self.early_stopping != "auto":
            return n_rows
        return min(n_rows, max(MIN_ROWS_HELD_OUT, MAX_VALUES_HELD_OUT // X.shape[1]))

    def _architecture(self) -> dict[str, Any]:
        auto = self.autoregressive == "auto"
        return super()._architecture() | {
            "likelihood": self._column_likelihoods,
            # NumPy's booleans are not False or True.
            "autoregressive": self.autoregressive if auto else bool(self.autoregressive),
            "n_prior_components": int(self.n_prior_components),
            "reg_covar": float(self.reg_covar),
        }

    def _training_options(self, max_iter: int, batch_size: int) -> Any:
        return replace(
            super()._training_options(max_iter, batch_size),
            n_training_draws=self.n_training_draws,
            n_negative_samples=self.n_negative_samples,
        )

    def _make_model(self, X, X_train, seed):
        from ._torch.density_model import DensityModel

        architecture = self._architecture()
        if self.autoregressive == "auto" and isinstance(self.n_negative_samples, Integral):
            architecture["autoregressive"] = False  # zeros can be sampled without only
        model = DensityModel(X, seed=seed, **architecture)
        if self.init == "factor_analysis":
            model.start_from_factors(X_train)
        return model

    def score_samples(self, X):
        """Bound on log p(x) of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Nats; for Gaussian features a log-density in the units of X, for others a
            log-probability. Higher is more normal.

        Raises
        ------
        ValueError
            If X has another number of features, or a value the likelihood does not allow.
        """
        check_is_fitted(self)
        return self._score_samples(validate_table(self, X, reset=False, allow_nan=True))

    def _score_samples(self, X: Any, **changes: Any) -> np.ndarray:
        return self._model.score_samples(X, self._scoring_options(**changes))

    def _scoring_options(
        self,
        *,
        n_importance_samples: int | None = None,
        device: str | None = None,
        lowers_spikes: bool = False,
    ) -> ScoringOptions:
        """How rows are scored, with what a wrapper says in the place of the density's own."""
        from ._torch.density_model import ScoringOptions

        self._validate_parameters()
        n_draws = n_importance_samples or self.n_importance_samples
        n_steps = n_gap_steps = self.n_refinement_steps
        if n_steps == "auto":
            n_components = self._n_features_out
            least = max(MIN_DRAWS_TO_REFINE, MIN_DRAWS_A_COMPONENT * n_components)
            n_steps = N_REFINEMENT_STEPS if n_draws >= least else 0
            refines_gaps = n_components <= MAX_COMPONENTS_TO_REFINE_GAPS
            n_gap_steps = N_GAP_REFINEMENT_STEPS if refines_gaps else n_steps
        device = device or self.device
        return ScoringOptions(n_draws, n_steps, n_gap_steps, device, lowers_spikes)

    def score(self, X, y=None):
        """Mean of `score_samples` over the rows, for cross-validation.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to score.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        score : float
            Nats per row.

        Raises
        ------
        ValueError
            If X has another number of features, or a value that the likelihood does not allow.
        """
        return float(np.mean(self.score_samples(X)))

    def _impute(self, X: np.ndarray, **changes: Any) -> np.ndarray:
        """Mean of each value given those that its row has; X is clean, and NaN where missing."""
        return self._model.impute(X, self._scoring_options(**changes))

    def _feature_contributions(self, X: Any, **changes: Any) -> Bunch:
        """See `VAEOutlierDetector.feature_contributions`; X is clean."""
        options = self._scoring_options(**changes)
        baseline, entries, latent = self._model.contributions(X, options)
        if sp.issparse(X):
            entries = sp.csr_matrix((entries, X.indices.copy(), X.indptr.copy()), shape=X.shape)
        return Bunch(contributions=entries, baseline=baseline, latent=latent)

    def transform(self, X):
        """Posterior mean of z for each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Mean of the encoder's q(z|x), which `n_refinement_steps` does not change.

        Raises
        ------
        ValueError
            If X has another number of features, or a value that the likelihood does not allow.
        """
        check_is_fitted(self)
        self._validate_parameters()
        return self._model.encode(validate_table(self, X, reset=False, allow_nan=True), self.device)

    def inverse_transform(self, X):
        """Mean of p(x|z) for each latent point.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Latent points.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Means in the units of X; of Bernoulli features the probability of a one, of categorical
            ones the likeliest code. Multinomial rows have the mean length of the training rows.
            Dense, also after a sparse fit.

        Raises
        ------
        ValueError
            If X has not one column for each latent dimension, or a value that is not finite.
        """
        check_is_fitted(self)
        self._validate_parameters()
        return self._model.decode(check_latent(X, self._n_features_out), self.device)

    def sample(self, n_samples=1, random_state=None):
        """Draw rows from the model: z from the prior, then x from the decoder.

        Multinomial rows have the mean length of the training rows, rounded; codes are among those
        of the training rows.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Determines the draws.

        Returns
        -------
        X : {ndarray, CSR matrix} of shape (n_samples, n_features)
            CSR if the model was fitted on a sparse matrix.

        Raises
        ------
        ValueError
            If `n_samples` is no integer of at least 1.
        """
        check_is_fitted(self)
        self._validate_parameters()
        if not POSITIVE.is_satisfied_by(n_samples):
            raise ValueError(f"n_samples must be an integer of at least 1, got {n_samples!r}.")
        seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
        return self._model.sample(int(n_samples), seed, self.device, sparse=self._sparse_in)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.likelihood != "multinomial"
        return tags
