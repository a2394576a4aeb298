"""Trained models: arrays in, arrays out. The estimators hold one and never see a tensor."""

from __future__ import annotations

import copy
import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Generator, Tensor, nn

from .checkpoint import Checkpoint
from .device import keep_freed_memory, scoring_device, training_device
from .factors import MAX_COLUMNS, MAX_FACTORS, MAX_ROWS, Factors, factor_analysis
from .likelihoods import (
    Bernoulli,
    Likelihood,
    RealValues,
    check_unit_interval,
    has_missing,
    in_unit_interval,
    is_binary,
    make_likelihood,
)
from .loop import History, Plateau, RowLosses, make_optimizer, train
from .networks import ACTIVATIONS, VAE, Autoencoder, EncoderDecoder
from .objective import (
    Posterior,
    elbo_noise,
    elbo_terms,
    encoder_inputs,
    expected_mean,
    expected_terms,
    importance_noise,
    importance_weighted_terms,
    log_density,
    posterior,
    refine,
    rows_per_block,
    squared_error,
)
from .ranks import ALONE, Noise, Ranks
from .sampling import RowTraining
from .sparse import Batch, CSRBatch, Table, as_batch, csr_batch, sum_entries


@dataclass(frozen=True)
class TrainingOptions:
    """How to train: the estimator's parameters of the same names, and the ranks that do so."""

    solver: str
    alpha: float
    batch_size: int
    learning_rate_init: float
    max_iter: int
    tol: float
    n_iter_no_change: int
    verbose: bool
    device: str
    n_training_draws: int = 1
    n_negative_samples: int | str | None = None
    ranks: Ranks = ALONE


# Largest number of features that may depend on those before them: the weight has its square.
MAX_AUTOREGRESSIVE_FEATURES = 2000

# Fewest features of which n_negative_samples="auto" samples the zeros, and columns that it samples.
MIN_FEATURES_TO_SAMPLE = 20_000
N_ZEROS_SAMPLED = 3000

# Draws from which the rows that stop the training are scored.
N_VALIDATION_DRAWS = 8

# Coordinates of draws for different rows; the rows after these have the same again.
N_VALIDATION_NOISES = 2**15

# Rows drawn at each latent point for the mean of an autoregressive model.
N_MEAN_DRAWS = 64


def use_autoregression(wanted: bool | str, likelihood: Likelihood, X: Table) -> bool:
    """Whether features depend on those before them; a ValueError where they cannot."""
    reasons = {
        f"the likelihood is {likelihood.name}, not bernoulli": not isinstance(
            likelihood, Bernoulli
        ),
        f"X has {X.shape[1]} features": X.shape[1] > MAX_AUTOREGRESSIVE_FEATURES,
        "values are missing": has_missing(X),
    }
    against = next((reason for reason, holds in reasons.items() if holds), None)
    if against is not None and wanted is True:
        raise ValueError(
            "autoregressive=True is for complete Bernoulli tables of at most "
            f"{MAX_AUTOREGRESSIVE_FEATURES} features, but {against}. Use autoregressive='auto', "
            "which can do without."
        )
    return wanted is not False and against is None


def n_zeros_sampled(
    options: TrainingOptions, likelihood: Likelihood, network: VAE, X: Table
) -> int | None:
    """Columns of zeros to sample a step, None for all of them; a ValueError where none can be."""
    wanted = options.n_negative_samples
    reasons = {
        "X is dense": not sp.issparse(X),
        f"the likelihood is {likelihood.name}": likelihood.column_means() is None,
        "features depend on those before them": network.autoregression is not None,
        "n_training_draws is larger than 1, which trains on a bound that a sample would bias": (
            options.n_training_draws > 1
        ),
        "several processes train together": options.ranks.size > 1,
    }
    against = next((reason for reason, holds in reasons.items() if holds), None)
    if wanted == "auto":
        large = X.shape[1] >= MIN_FEATURES_TO_SAMPLE
        return N_ZEROS_SAMPLED if large and against is None else None
    if wanted is not None and against is not None:
        raise ValueError(
            f"n_negative_samples={wanted} is for the ELBO of sparse tables with a Bernoulli, "
            f"Poisson or negative binomial likelihood, but {against}. Use "
            "n_negative_samples='auto', which can do without."
        )
    return None if wanted is None else int(wanted)


def finite(results: np.ndarray, X: Table) -> np.ndarray:
    """Pass on the results of the rows of X; a ValueError names the column if one has overflowed."""
    overflowed = ~np.isfinite(results.reshape(len(results), -1)).all(axis=1)
    if overflowed.any():
        row = X[[int(np.argmax(overflowed))]]
        values = np.nan_to_num(row.toarray() if sp.issparse(row) else row).ravel()
        column = int(np.argmax(np.abs(values)))
        raise ValueError(
            f"A result overflows: column {column} has {values[column]:g}, too far from the rows of "
            "the fit. Remove such rows, or rescale or clip the column before the fit."
        )
    return results


def blocks(X: Table, n_rows: int) -> Iterator[Table]:
    """Consecutive rows of a table, `n_rows` at a time."""
    return (X[start : start + n_rows] for start in range(0, X.shape[0], n_rows))


class Model(ABC):
    """A network with what it takes to train it on, score with it, and pickle it.

    The network trains in float32 on the device asked for; everything is scored by a copy in
    float64, made when it is first needed. A pickle holds CPU tensors, and no copy.
    """

    def __init__(self, network: EncoderDecoder, generator: Generator):
        self.network = network
        self.generator = generator
        self.history = History()
        self.n_rows_seen = 0
        self._optimizer_state: dict[str, Any] | None = None
        self._scorer: tuple[str, EncoderDecoder] | None = None

    @abstractmethod
    def check(self, X: Table) -> None:
        """Raise a ValueError that names the column of a value the model has no loss for."""

    @abstractmethod
    def make_row_losses(
        self, X: Table, options: TrainingOptions, optimizer: torch.optim.Optimizer
    ) -> RowLosses:
        """Make the function that gives the terms of the training loss of each row of a batch.

        X is the training table, or its first block.
        """

    @abstractmethod
    def make_validation_loss(self, X: Table, n_before: int) -> Callable[[], float]:
        """Make the function that gives the mean loss of rows that are not trained on.

        It takes the same draws at each call. `n_before` is the number of such rows that the ranks
        before this one have.
        """

    def train(
        self,
        X: Table,
        X_val: Table | None,
        options: TrainingOptions,
        *,
        blocks: Iterable[Table],
        n_rows: int,
        partial: bool,
        keep_optimizer: bool,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Train on the rows of all blocks; `X_val` stops the training if given.

        The training begins wherever the network is. An epoch is an iteration over the blocks, of
        which X is the first or the only one, and which have `n_rows` rows in all. With `partial`
        they are a chunk of the training rows. Each of several ranks has blocks and `X_val` of its
        own, and the same network.
        """
        ranks = options.ranks
        n_rows = sum(ranks.gather(n_rows))
        keep_freed_memory()
        self.network.to(training_device(options.device))
        self.n_rows_seen = n_rows + (self.n_rows_seen if partial else 0)
        optimizer = self.make_optimizer(options)
        row_losses = self.make_row_losses(X, options, optimizer)
        kind = self.optimizer_kind(X, options)
        if self._optimizer_state is not None and self._optimizer_state["kind"] == kind:
            groups = optimizer.state_dict()["param_groups"]
            state = self._optimizer_state["state"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        history = train(
            self.network,
            row_losses,
            blocks,
            optimizer=optimizer,
            generator=self.generator,
            batch_size=options.batch_size,
            max_iter=options.max_iter,
            plateau=Plateau(options.tol, options.n_iter_no_change),
            # Held-out rows know best when to stop, and a trained network has begun already.
            anneals=X_val is None and not self.history.terms,
            validate=None if X_val is None else self._make_validate(X_val, ranks),
            checkpoint=checkpoint,
            ranks=ranks,
            # A stream of chunks is to end, and processes of a group may be anywhere.
            interruptible=not partial and ranks.size == 1,
            verbose=options.verbose,
        )
        self.history.terms += history.terms
        self.history.validation += history.validation
        self._scorer = None
        self._optimizer_state = None
        # Interrupted in the first epoch of all, the optimiser may be half set up.
        if keep_optimizer and self.history.terms:
            state = optimizer.state_dict()["state"]
            self._optimizer_state = {"kind": kind, "state": state}

    def _make_validate(self, X_val: Table, ranks: Ranks) -> Callable[[], float]:
        """Make the function that gives the mean loss of the validation rows of all ranks."""
        n_rows = X_val.shape[0]
        loss = self.make_validation_loss(X_val, ranks.number_before(n_rows))
        return lambda: ranks.mean(loss(), n_rows)

    def make_optimizer(self, options: TrainingOptions) -> torch.optim.Optimizer:
        """Make the optimiser of the network's parameters."""
        return make_optimizer(
            self.network,
            options.solver,
            options.learning_rate_init,
            options.alpha,
            self.variance_weights(),
        )

    def variance_weights(self) -> list[nn.Parameter]:
        """Weights that make the variance of a feature depend on the row."""
        return []

    def optimizer_kind(self, X: Table, options: TrainingOptions) -> str:
        """Name of what the optimiser's state means: another kind cannot go on from it."""
        return options.solver

    def digest(self) -> str:
        """Text that tells this state of the training from all others."""
        sha = hashlib.sha256(self.generator.get_state().numpy().tobytes())
        for tensor in self.network.state_dict().values():
            sha.update(tensor.cpu().numpy().tobytes())
        return sha.hexdigest()

    @torch.inference_mode(False)
    def scorer(self, device: str) -> Any:
        """Float64 copy of the network on the device to score on."""
        # Threads may make a copy each; none sees one that is half made, or another's device.
        scorer = self._scorer
        if scorer is None or scorer[0] != device:
            network = copy.deepcopy(self.network).to(scoring_device(device))
            scorer = self._scorer = (device, network.double().requires_grad_(False))
        return scorer[1]

    @torch.inference_mode(False)
    @torch.no_grad()
    def _by_blocks(
        self, function: Callable[[Table], Tensor], X: Table, n_draws: int = 1
    ) -> np.ndarray:
        """Apply a function to a few rows at a time, so that memory does not grow with X."""
        keep_freed_memory()
        # Filled in place, for the reason given in `log_density`.
        results = np.empty(0)
        start = 0
        for rows in blocks(X, rows_per_block(self.network.n_features, n_draws)):
            block = function(rows).cpu().numpy()
            if start == 0:
                results = np.empty((X.shape[0], *block.shape[1:]))
            results[start : start + len(block)] = block
            start += len(block)
        return results

    def __getstate__(self) -> dict[str, Any]:
        # As its state, because PyTorch loses memory with every generator that it copies or pickles.
        state = vars(self) | {"_scorer": None, "generator": self.generator.get_state()}
        if next(self.network.parameters()).device.type != "cpu":
            state["network"] = copy.deepcopy(self.network).cpu()
        if self._optimizer_state is not None:
            moments = {
                index: {name: value.cpu() for name, value in parameter.items()}
                for index, parameter in self._optimizer_state["state"].items()
            }
            state["_optimizer_state"] = self._optimizer_state | {"state": moments}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        generator = Generator()
        generator.set_state(state["generator"])
        vars(self).update(state | {"generator": generator})


class DensityModel(Model):
    """A variational autoencoder with its likelihood."""

    network: VAE

    def __init__(
        self,
        X: Table,
        *,
        likelihood: str | Mapping[str, Sequence[int]],
        init: str = "random",
        autoregressive: bool | str,
        n_components: int,
        n_prior_components: int = 1,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        seed: int,
    ):
        self.likelihood = make_likelihood(likelihood, X)
        self.likelihood.check(X)
        biases = self.likelihood.start(X)
        generator = Generator().manual_seed(seed)
        # Rows are scored with draws from this seed, whatever else the generator is used for.
        self.noise_seed = int(torch.randint(2**31 - 1, (), generator=generator))
        network = VAE(
            self.likelihood.n_inputs(X.shape[1]),
            n_components,
            hidden_layer_sizes,
            activation,
            biases,
            generator,
            n_indicators=X.shape[1] if has_missing(X) else 0,
            autoregressive=use_autoregression(autoregressive, self.likelihood, X),
            n_prior_components=n_prior_components,
        )
        super().__init__(network, generator)
        if init == "factor_analysis":
            self._start_from_factors(X)

    def _start_from_factors(self, X: Table) -> None:
        """Let the network start from factor analysis of the real values, where it can."""
        real = self.likelihood.real_values()
        n_columns = sum(len(part.columns) for part in real)
        n_factors = min(self.network.most_factors(), n_columns, MAX_FACTORS)
        if n_factors == 0 or n_columns > MAX_COLUMNS:
            return
        if X.shape[0] > MAX_ROWS:
            X = X[torch.randperm(X.shape[0], generator=self.generator)[:MAX_ROWS].numpy()]
        values = torch.cat(
            [self._real_values(rows, real) for rows in blocks(X, rows_per_block(X.shape[1]))]
        )
        known = ~values.isnan().all(1)
        if not known.any():
            return
        # Half as much again as the least, so that there is a gradient.
        min_variance = 1.5 * max(part.min_variance for part in real)
        factors = factor_analysis(values[known], n_factors, min_variance)
        if factors.loadings.shape[1] > 0:
            self.network.start_from(factors, real)
            if self.network.n_indicators and self.network.encoder.layers:
                self._start_reading_gaps(X[known.numpy()], factors)

    @torch.no_grad()
    def _start_reading_gaps(self, X: np.ndarray, factors: Factors) -> None:
        """Let the encoder start from more than a linear reading of rows with missing values."""
        network = self.network
        network.connect_indicators(factors, np.isnan(X).any(axis=0), self.generator)
        hidden = [
            network.encoder(encoder_inputs(network, self.likelihood, self._prepare(rows, network)))
            for rows in blocks(X, rows_per_block(network.n_inputs))
        ]
        network.read_rest(factors, torch.cat(hidden))

    def _real_values(self, rows: Table, real: Sequence[RealValues]) -> Tensor:
        """Values of some columns as the encoder reads them, but NaN where they are missing."""
        x = self.likelihood.prepare(as_batch(rows), torch.float64)
        inputs = self.likelihood.inputs(x)
        assert isinstance(x, Tensor)  # real values are written out
        assert isinstance(inputs, Tensor)
        columns = torch.cat([part.columns for part in real])
        places = torch.cat([part.inputs() for part in real])
        return inputs[:, places].masked_fill(x[:, columns].isnan(), math.nan)

    def check(self, X: Table) -> None:
        self.likelihood.check(X)
        if self.network.autoregression is not None and has_missing(X):
            raise ValueError(
                "X has missing values, but the model was fitted on rows without any, and its "
                "features depend on those before them. Fit with autoregressive=False."
            )

    def variance_weights(self) -> list[nn.Parameter]:
        _, outputs = self.network.feature_layers()
        return [outputs[real.mean_output + 1].weight for real in self.likelihood.real_values()]

    def make_optimizer(self, options: TrainingOptions) -> torch.optim.Optimizer:
        optimizer = super().make_optimizer(options)
        autoregression = self.network.autoregression
        if autoregression is not None and options.solver == "adam":
            # Adam's steps are in units of the gradient's spread over batches, in which a mean over
            # all rows has a standard error of sqrt(batch_size / n_rows): a weight shrinks unless
            # its gradient is more than that.
            error = math.sqrt(min(1.0, options.batch_size / self.n_rows_seen))
            threshold = options.learning_rate_init * error
            optimizer.register_step_post_hook(lambda *_: autoregression.shrink(threshold))
        return optimizer

    def make_row_losses(
        self, X: Table, options: TrainingOptions, optimizer: torch.optim.Optimizer
    ) -> RowLosses:
        n_zeros = n_zeros_sampled(options, self.likelihood, self.network, X)
        if n_zeros is not None:
            return self._sampled_row_losses(n_zeros, options, optimizer)
        network, likelihood, n_draws = self.network, self.likelihood, options.n_training_draws
        if n_draws == 1:
            return lambda rows, noise, progress: elbo_terms(
                network, likelihood.in_training(progress), self._prepare(rows, network), noise
            )
        return lambda rows, noise, progress: importance_weighted_terms(
            network,
            likelihood.in_training(progress),
            self._prepare(rows, network),
            n_draws,
            noise,
        )

    def optimizer_kind(self, X: Table, options: TrainingOptions) -> str:
        by_rows = n_zeros_sampled(options, self.likelihood, self.network, X) is not None
        return f"{options.solver} by rows" if by_rows else options.solver

    def _sampled_row_losses(
        self, n_zeros: int, options: TrainingOptions, optimizer: torch.optim.Optimizer
    ) -> RowLosses:
        """Losses estimated from a sample of the zeros; the optimiser's steps train the rest."""
        means = self.likelihood.column_means()
        assert means is not None
        training = RowTraining(self.network, means, n_zeros, optimizer, options.batch_size)
        optimizer.register_step_post_hook(lambda *_: training.update())

        def row_losses(rows: Table, noise: Noise, progress: float) -> tuple[Tensor, ...]:
            batch = self._prepare(rows, self.network)
            assert isinstance(batch, CSRBatch)  # the first table is sparse
            network, x = training.restrict(batch, noise.generator)
            return elbo_terms(network, self.likelihood, x, noise)

        return row_losses

    def make_validation_loss(self, X: Table, n_before: int) -> Callable[[], float]:
        # Draws of its own for each row: what a few shared draws have in common would not average
        # out over the rows, and would choose the epoch.
        network, likelihood = self.network, self.likelihood
        generator = Generator().manual_seed(self.noise_seed)
        n_rows = max(1, N_VALIDATION_NOISES // network.n_components)
        shape = (N_VALIDATION_DRAWS, n_rows, network.n_components)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)

        def loss() -> float:
            start = n_before

            def bound(rows: Table) -> Tensor:
                nonlocal start
                x = self._prepare(rows, network)
                q = posterior(network, likelihood, x)
                own = noise[:, torch.arange(start, start + rows.shape[0]) % n_rows]
                start += rows.shape[0]
                return log_density(network, likelihood, x, q, own, importance_weighted=True)[0]

            return -float(np.mean(self._by_blocks(bound, X, N_VALIDATION_DRAWS)))

        return loss

    def score_samples(
        self, X: Table, *, n_importance_samples: int, n_refinement_steps: int = 0, device: str
    ) -> np.ndarray:
        """Bound on log p(x) of each row, in nats."""
        self.check(X)
        network = self.scorer(device)
        noise = self._noise(n_importance_samples)

        def bound(rows: Table) -> Tensor:
            x = self._prepare(rows, network)
            q = self._posterior(x, network, n_refinement_steps)
            return log_density(
                network, self.likelihood, x, q, noise, importance_weighted=n_importance_samples > 1
            )[0]

        return finite(self._by_blocks(bound, X, len(noise)), X)

    def contributions(
        self, X: Table, *, n_importance_samples: int, n_refinement_steps: int = 0, device: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Split each row's score into its baseline, its entries (in CSR order) and the rest."""
        self.check(X)
        network = self.scorer(device)
        noise = self._noise(n_importance_samples)
        parts = []
        for rows in blocks(X, rows_per_block(self.network.n_features, len(noise))):
            x = self._prepare(rows, network)
            q = self._posterior(x, network, n_refinement_steps)
            score, weights = log_density(
                network, self.likelihood, x, q, noise, importance_weighted=n_importance_samples > 1
            )
            baseline, entries = expected_terms(network, self.likelihood, x, q, x, noise, weights)
            latent = score - baseline - sum_entries(entries, x)
            if sp.issparse(rows) and not isinstance(x, CSRBatch):
                # Entries of a sparse row say what a value changes against a zero in its place.
                zero = self._prepare(np.zeros(rows.shape), network)
                _, at_zero = expected_terms(network, self.likelihood, x, q, zero, noise, weights)
                baseline = baseline + at_zero.sum(-1)
                stored = csr_batch(rows).to(at_zero.device)
                entries = (entries - at_zero)[stored.rows, stored.columns]
            parts.append([part.cpu().numpy() for part in (baseline, entries, latent)])
        baselines, all_entries, latents = map(np.concatenate, zip(*parts, strict=True))
        return baselines, all_entries, finite(latents, X)

    def impute(self, X: np.ndarray, *, n_importance_samples: int, device: str) -> np.ndarray:
        """Mean of each value, missing or not, given the values that its row has; X is checked."""
        network = self.scorer(device)
        noise = self._noise(n_importance_samples)

        def means(rows: Table) -> Tensor:
            x = self._prepare(rows, network)
            q = posterior(network, self.likelihood, x)
            _, weights = log_density(
                network, self.likelihood, x, q, noise, importance_weighted=n_importance_samples > 1
            )
            mean = expected_mean(network, self.likelihood, x, q, noise, weights)
            return self.likelihood.to_table(mean)

        return finite(self._by_blocks(means, X, len(noise)), X)

    def encode(self, X: Table, device: str) -> np.ndarray:
        """Posterior means, (n_rows, n_components)."""
        self.check(X)
        network = self.scorer(device)
        codes = self._by_blocks(
            lambda rows: posterior(network, self.likelihood, self._prepare(rows, network))[0], X
        )
        return finite(codes, X)

    def decode(self, Z: np.ndarray, device: str) -> np.ndarray:
        """Mean of p(x|z) in the units of the table, (n_rows, n_features)."""
        decode = self._decoder(device)
        autoregression = self.scorer(device).autoregression
        if autoregression is None:
            means = self._by_blocks(
                lambda z: self.likelihood.to_table(self.likelihood.mean(decode(z))), Z
            )
            return finite(means, Z)
        generator = Generator().manual_seed(self.noise_seed)
        shape = (N_MEAN_DRAWS, 1, self.network.n_features)
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64)

        def mean(z: np.ndarray) -> Tensor:
            (logits,) = decode(z)
            return autoregression.sample(logits, uniform.to(logits))[1].mean(0)

        return finite(self._by_blocks(mean, Z, N_MEAN_DRAWS * self.network.n_features), Z)

    def sample(self, n_samples: int, seed: int, device: str, *, sparse: bool) -> Table:
        """Rows drawn from the model, as an array or CSR matrix."""
        generator = Generator().manual_seed(seed)
        shape = (n_samples, self.network.n_components)
        Z = torch.randn(shape, generator=generator, dtype=torch.float64)
        if self.network.prior is not None:
            Z = self.network.prior.sample(Z, generator)
        decode = self._decoder(device)
        autoregression = self.scorer(device).autoregression

        def draw(z: np.ndarray) -> Table:
            outputs = decode(z)
            if autoregression is None:
                rows = self.likelihood.sample(outputs, generator)
            else:
                uniform = torch.rand(outputs[0].shape, generator=generator, dtype=torch.float64)
                rows = autoregression.sample(outputs[0], uniform.to(outputs[0]))[0]
            return sp.csr_matrix(rows.cpu().numpy()) if sparse else rows.cpu().numpy()

        drawn = [draw(z) for z in blocks(Z.numpy(), rows_per_block(self.network.n_features))]
        return sp.vstack(drawn, format="csr") if sparse else np.concatenate(drawn)

    def _prepare(self, rows: Table, network: VAE) -> Batch:
        weight = network.mean.weight
        return self.likelihood.prepare(as_batch(rows), weight.dtype).to(weight.device)

    def _noise(self, n_importance_samples: int) -> Tensor:
        n_components = self.network.n_components
        if n_importance_samples == 1:
            return elbo_noise(self.noise_seed, n_components)
        return importance_noise(self.noise_seed, n_importance_samples, n_components)

    def _posterior(self, x: Batch, network: VAE, n_refinement_steps: int) -> Posterior:
        """q(z|x), the encoder's or refined for each row."""
        q = posterior(network, self.likelihood, x)
        if n_refinement_steps == 0:
            return q
        # Other draws than those that score the rows.
        noise = elbo_noise(self.noise_seed + 1, network.n_components)
        return refine(network, self.likelihood, x, q, noise, n_refinement_steps)

    def _decoder(self, device: str) -> Callable[[np.ndarray], list[Tensor]]:
        network = self.scorer(device)
        return lambda z: network.decode(as_batch(z).to(network.mean.weight.device))


class AutoencoderModel(Model):
    """A plain autoencoder with its loss and output activation."""

    network: Autoencoder

    def __init__(
        self,
        X: Table,
        *,
        loss: str,
        n_components: int,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        code_activation: str,
        out_activation: str,
        seed: int,
    ):
        self.loss = loss
        if loss == "auto":
            self.loss = "binary_cross_entropy" if is_binary(X) else "squared_error"
        self.out_activation = out_activation
        if out_activation == "auto":
            bounded = self.loss == "binary_cross_entropy" or in_unit_interval(X)
            self.out_activation = "logistic" if bounded else "identity"
        if self.loss == "binary_cross_entropy" and self.out_activation != "logistic":
            raise ValueError(
                "Binary cross entropy needs out_activation='logistic' (or 'auto'), got "
                f"{out_activation!r}. With another output use loss='squared_error'."
            )
        self.check(X)
        generator = Generator().manual_seed(seed)
        network = Autoencoder(
            X.shape[1], n_components, hidden_layer_sizes, activation, code_activation, generator
        )
        super().__init__(network, generator)

    def check(self, X: Table) -> None:
        if self.loss == "binary_cross_entropy":
            check_unit_interval(X, "Binary cross entropy", "loss='squared_error'")

    def make_row_losses(
        self, X: Table, options: TrainingOptions, optimizer: torch.optim.Optimizer
    ) -> RowLosses:
        return lambda rows, *_: (self._row_errors(rows, self.network),)

    def make_validation_loss(self, X: Table, n_before: int) -> Callable[[], float]:
        return lambda: float(np.mean(self._errors(X, self.network)))

    def reconstruction_error(self, X: Table, device: str) -> np.ndarray:
        """Loss of each row, (n_rows,)."""
        self.check(X)
        return finite(self._errors(X, self.scorer(device)), X)

    def encode(self, X: Table, device: str) -> np.ndarray:
        """Codes, (n_rows, n_components)."""
        network = self.scorer(device)
        return finite(
            self._by_blocks(lambda rows: network.encode(self._prepare(rows, network)), X), X
        )

    def decode(self, Z: np.ndarray, device: str) -> np.ndarray:
        """Reconstructions from codes, (n_rows, n_features)."""
        network = self.scorer(device)
        activate = ACTIVATIONS[self.out_activation]
        rows = self._by_blocks(lambda z: activate(network.decode(self._prepare(z, network))), Z)
        return finite(rows, Z)

    def _prepare(self, rows: Table, network: Autoencoder) -> Batch:
        weight = network.output.weight
        return as_batch(rows).to(weight.dtype).to(weight.device)

    def _row_errors(self, rows: Table, network: Autoencoder) -> Tensor:
        x = self._prepare(rows, network)
        output = network.decode(network.encode(x))
        if self.loss == "binary_cross_entropy":
            return -Bernoulli().log_prob([output], x)
        return squared_error(ACTIVATIONS[self.out_activation](output), x)

    def _errors(self, X: Table, network: Autoencoder) -> np.ndarray:
        return self._by_blocks(lambda rows: self._row_errors(rows, network), X)
