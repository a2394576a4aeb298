"""The model of the densities: a variational autoencoder with its likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from torch import Generator, Tensor, nn

from .blocks import blocks, rows_per_block
from .device import plain_modes
from .likelihoods import (
    Bernoulli,
    Likelihood,
    has_missing,
    make_likelihood,
)
from .loop import RowLosses
from .model import Model, TrainingOptions, finite
from .networks import MAX_SPARSE_SHARE, VAE
from .objective import elbo_terms, importance_weighted_terms, posterior, without_far_rows
from .ranks import Noise
from .sampling import RowTraining
from .scoring import (
    Posterior,
    Summary,
    bound_and_averages,
    elbo_noise,
    encoded,
    importance_noise,
    log_density,
    refine,
)
from .sparse import Batch, CSRBatch, Table, as_batch, csr_batch, repeat_for, sum_entries
from .start import start_from_factors


@dataclass(frozen=True)
class ScoringOptions:
    """How to score: what the estimator's parameters come to."""

    n_importance_samples: int = 1
    n_refinement_steps: int = 0
    # Steps for rows with missing values, at least as many.
    n_gap_refinement_steps: int = 0
    device: str = "cpu"
    # Lower spikes, for a detector: see `Likelihood.spike_heights`.
    lowers_spikes: bool = False

    @property
    def importance_weighted(self) -> bool:
        """Whether draws are weighted; one draw asks for the ELBO."""
        return self.n_importance_samples > 1


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


class DensityModel(Model):
    """A variational autoencoder with its likelihood."""

    network: VAE

    def __init__(
        self,
        X: Table,
        *,
        likelihood: str | Mapping[str, Sequence[int]],
        autoregressive: bool | str,
        n_components: int,
        n_prior_components: int = 1,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        reg_covar: float,
        seed: int,
    ):
        self.likelihood = make_likelihood(likelihood, X)
        self.likelihood.set_min_variance(reg_covar)
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

    def start_from_factors(self, X: Table) -> None:
        """Let a new model start from factor analysis of the rows that it is to be trained on."""
        self.starts_fitted = start_from_factors(self.network, self.likelihood, X, self.generator)

    def check(self, X: Table) -> None:
        self.likelihood.check(X)
        if self.network.autoregression is not None and has_missing(X):
            raise ValueError(
                "X has missing values, but the model was fitted on rows without any, and its "
                "features depend on those before them. Fit with autoregressive=False."
            )

    def variance_weights(self) -> list[nn.Parameter]:
        _, outputs = self.network.feature_layers()
        return [outputs[place].weight for place in self.likelihood.variance_outputs()]

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
            batch_size = min(options.batch_size, X.shape[0])
            return self._sampled_row_losses(n_zeros, batch_size, optimizer)
        network, likelihood, n_draws = self.network, self.likelihood, options.n_training_draws

        def row_losses(rows: Table, noise: Noise, progress: float) -> tuple[Tensor, ...]:
            x, annealed = self._prepare(rows, network), likelihood.in_training(progress)
            if n_draws == 1:
                terms = elbo_terms(network, annealed, x, noise)
            else:
                terms = importance_weighted_terms(network, annealed, x, n_draws, noise)
            if options.leaves_far_rows_out:
                return without_far_rows(terms, likelihood.log_units(x))
            return terms

        return row_losses

    def compact(self, X: Table) -> Table:
        # For a product with as many weights as pairs of features.
        if self.network.autoregression is None or sp.issparse(X):
            return X
        return sp.csr_matrix(X) if np.count_nonzero(X) < MAX_SPARSE_SHARE * X.size else X

    def log_units(self, X: Table) -> np.ndarray:
        likelihood = self.likelihood
        return self._by_blocks(
            lambda rows: likelihood.log_units(likelihood.prepare(as_batch(rows), torch.float64)), X
        )

    def optimizer_kind(self, X: Table, options: TrainingOptions) -> str:
        by_rows = n_zeros_sampled(options, self.likelihood, self.network, X) is not None
        return f"{options.solver} by rows" if by_rows else options.solver

    def _sampled_row_losses(
        self, n_zeros: int, batch_size: int, optimizer: torch.optim.Optimizer
    ) -> RowLosses:
        """Losses estimated from a sample of the zeros; the optimiser's steps train the rest."""
        means = self.likelihood.column_means()
        assert means is not None
        training = RowTraining(self.network, means, n_zeros, optimizer, batch_size)
        optimizer.register_step_post_hook(lambda optimizer, *_: training.update(optimizer))

        def row_losses(rows: Table, noise: Noise, progress: float) -> tuple[Tensor, ...]:
            batch = self._prepare(rows, self.network)
            assert isinstance(batch, CSRBatch)  # the first table is sparse
            network, x = training.restrict(batch, noise.generator)
            return elbo_terms(network, self.likelihood, x, noise)

        return row_losses

    def make_validation_losses(self, X: Table, n_before: int) -> Callable[[], np.ndarray]:
        # Draws of its own for each row: what a few shared draws have in common would not average
        # out over the rows, and would choose the epoch.
        network, likelihood = self.network, self.likelihood
        generator = Generator().manual_seed(self.noise_seed)
        n_rows = max(1, N_VALIDATION_NOISES // network.n_components)
        shape = (N_VALIDATION_DRAWS, n_rows, network.n_components)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)

        def losses() -> np.ndarray:
            start = n_before

            def bound(rows: Table) -> Tensor:
                nonlocal start
                x = self._prepare(rows, network)
                q = encoded(network, likelihood, x)
                own = noise[:, torch.arange(start, start + rows.shape[0]) % n_rows]
                start += rows.shape[0]
                return log_density(network, likelihood, x, q, own, importance_weighted=True)

            return -self._by_blocks(bound, X, N_VALIDATION_DRAWS)

        return losses

    @plain_modes()
    def score_samples(self, X: Table, options: ScoringOptions) -> np.ndarray:
        """Bound on log p(x) of each row, in nats; spikes lowered if that is asked for."""
        self.check(X)
        network, noise = self.scorer(options.device), self._noise(options.n_importance_samples)

        def bound(rows: Table) -> Tensor:
            x, q = self._posterior(rows, network, options)
            weighted = options.importance_weighted
            scores = log_density(
                network, self.likelihood, x, q, noise, importance_weighted=weighted
            )
            heights = self._spike_heights(x, options)
            return scores if heights is None else scores - heights.sum(-1)

        return finite(self._by_blocks(bound, X, self._row_size(noise, options)), X)

    @plain_modes()
    def contributions(
        self, X: Table, options: ScoringOptions
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Split each row's score into its baseline, its entries (in CSR order) and the rest."""
        self.check(X)
        network, noise = self.scorer(options.device), self._noise(options.n_importance_samples)
        likelihood, parts = self.likelihood, []

        def terms(x: Batch, at_zero: Batch, outputs: list[Tensor]) -> Summary:
            baseline, entries = likelihood.terms(outputs, x)
            log_prob = baseline + sum_entries(entries, x)
            if at_zero is not x:
                _, entries_at_zero = likelihood.terms(outputs, at_zero)
                baseline = baseline + entries_at_zero.sum(-1)
                entries = entries - entries_at_zero
            return Summary(log_prob, [baseline, entries], [lambda of_rows: of_rows, repeat_for(x)])

        for rows in blocks(
            X, rows_per_block(self.network.n_features, self._row_size(noise, options))
        ):
            x, q = self._posterior(rows, network, options)
            # Entries of a sparse row say what a value changes against a zero in its place.
            written_out = sp.issparse(rows) and not isinstance(x, CSRBatch)
            at_zero = self._prepare(np.zeros(rows.shape), network) if written_out else x
            bound, (baseline, entries) = bound_and_averages(
                network,
                likelihood,
                x,
                q,
                noise,
                partial(terms, x, at_zero),
                importance_weighted=options.importance_weighted,
            )
            latent = bound - baseline - sum_entries(entries, x)
            heights = self._spike_heights(x, options)
            if heights is not None:
                if written_out:
                    of_zeros = self._spike_heights(at_zero, options)
                    assert of_zeros is not None
                    baseline, heights = baseline - of_zeros.sum(-1), heights - of_zeros
                entries = entries - heights
            if written_out:
                stored = csr_batch(rows).to(entries.device)
                entries = entries[stored.rows, stored.columns]
            parts.append([part.cpu().numpy() for part in (baseline, entries, latent)])
        baselines, all_entries, latents = map(np.concatenate, zip(*parts, strict=True))
        return baselines, all_entries, finite(latents, X)

    @plain_modes()
    def impute(self, X: np.ndarray, options: ScoringOptions) -> np.ndarray:
        """Mean of each value, missing or not, given the values that its row has; X is checked."""
        network, noise = self.scorer(options.device), self._noise(options.n_importance_samples)

        def mean_of(x: Batch, outputs: list[Tensor]) -> Summary:
            mean = self.likelihood.mean(outputs)
            return Summary(self.likelihood.log_prob(outputs, x), [mean], [repeat_for(mean)])

        def means(rows: Table) -> Tensor:
            x, q = self._posterior(rows, network, options)
            _, (mean,) = bound_and_averages(
                network,
                self.likelihood,
                x,
                q,
                noise,
                partial(mean_of, x),
                importance_weighted=options.importance_weighted,
            )
            return self.likelihood.to_table(mean)

        return finite(self._by_blocks(means, X, self._row_size(noise, options)), X)

    @plain_modes()
    def encode(self, X: Table, device: str) -> np.ndarray:
        """Posterior means, (n_rows, n_components)."""
        self.check(X)
        network = self.scorer(device)
        codes = self._by_blocks(
            lambda rows: posterior(network, self.likelihood, self._prepare(rows, network))[0], X
        )
        return finite(codes, X)

    @plain_modes()
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

    @plain_modes()
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

    def _spike_heights(self, x: Batch, options: ScoringOptions) -> Tensor | None:
        """What scores of values are to be lowered by; None: nothing."""
        return self.likelihood.spike_heights(x) if options.lowers_spikes else None

    def _prepare(self, rows: Table, network: VAE) -> Batch:
        weight = network.mean.weight
        return self.likelihood.prepare(as_batch(rows), weight.dtype).to(weight.device)

    def _noise(self, n_importance_samples: int) -> Tensor:
        n_components = self.network.n_components
        if n_importance_samples == 1:
            return elbo_noise(self.noise_seed, n_components)
        return importance_noise(self.noise_seed, n_importance_samples, n_components)

    def _row_size(self, noise: Tensor, options: ScoringOptions) -> int:
        """Number of values that a row takes while it is scored, beside its features."""
        # A refined q has a matrix for each row.
        matrix = self.network.n_components**2 if options.n_gap_refinement_steps else 0
        return max(len(noise), matrix)

    def _posterior(
        self, rows: Table, network: VAE, options: ScoringOptions
    ) -> tuple[Batch, Posterior]:
        """Prepare a batch, and give its q(z|x), the encoder's or refined."""
        x = self._prepare(rows, network)
        q = encoded(network, self.likelihood, x)

        def refined(x: Batch, q: Posterior, n_steps: int) -> Posterior:
            # Other draws than those that score the rows.
            others = elbo_noise(self.noise_seed + 1, network.n_components)
            return refine(network, self.likelihood, x, q, others, n_steps)

        if options.n_refinement_steps > 0:
            q = refined(x, q, options.n_refinement_steps)
        n_more = options.n_gap_refinement_steps - options.n_refinement_steps
        if n_more > 0 and isinstance(x, Tensor) and (gaps := x.isnan().any(-1)).any():
            q = q.put(gaps, refined(x[gaps], q.of(gaps), n_more))
        return x, q

    def _decoder(self, device: str) -> Callable[[np.ndarray], list[Tensor]]:
        network = self.scorer(device)
        return lambda z: network.decode(as_batch(z).to(network.mean.weight.device))
