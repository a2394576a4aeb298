"""Training steps that cost what a batch's non-zeros do, and not what the vocabulary does.

The sum over features in an ELBO is split into the columns that have an entry in the batch, which
all count, and the others, whose zeros are estimated from a sample of columns: without bias, and so
are the gradients. Only the rows of the weights that belong to these columns are read and updated.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from .blocks import MAX_ROWS
from .networks import VAE
from .sparse import CSRBatch

# Least share of the steps that a row is taken to be part of: what Adam's second moment remembers.
MIN_SHARE = 1e-3

# Rows of zeros fill the rows of a step up to a multiple of this: the shapes of its temporaries are
# few, for the allocator to use their memory again and oneDNN its kernels.
ROWS_MULTIPLE = 512


class ColumnSampler:
    """Draws columns, half of the probability even and half in proportion to their means.

    What a zero adds to the loss is nearly its column's mean: with such probabilities most draws
    weigh much the same, and none is so improbable that its weight explodes.

    Parameters
    ----------
    means : Tensor of shape (n_features,)
        Mean of each column in training.
    n_draws : int
        Columns drawn a step, with replacement.
    """

    def __init__(self, means: Tensor, n_draws: int):
        self.n_draws = n_draws
        self.probabilities = (means / means.sum() + 1 / len(means)) / 2
        self.cumulative = self.probabilities.cumsum(0)

    def draw(self, used: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Columns to count and the weight of each: first those in use, then others that are drawn.

        Sums over all columns are estimated by weighted sums over these.
        """
        uniform = torch.rand(self.n_draws, generator=generator, dtype=torch.float64)
        # Rounding may leave the last sum below 1.
        drawn = torch.searchsorted(self.cumulative, uniform * self.cumulative[-1])
        drawn, n_times = drawn.unique(return_counts=True)
        others = ~torch.isin(drawn, used, assume_unique=True)
        drawn, n_times = drawn[others], n_times[others]
        weights = n_times / (self.n_draws * self.probabilities[drawn])
        return torch.cat([used, drawn]), torch.cat([weights.new_ones(len(used)), weights])


def rounded_up(n_rows: int) -> int:
    """The next multiple of `ROWS_MULTIPLE`."""
    return -(-n_rows // ROWS_MULTIPLE) * ROWS_MULTIPLE


@dataclass
class FeatureRows:
    """A parameter with a row for each feature, and those of its rows that a step trains.

    Attributes
    ----------
    whole : Parameter of shape (n_features, ...)
    layer, name : Module and str
        Where its rows take its place.
    share : Tensor of shape (n_features,)
        Share of the steps in which each row takes part, at least `MIN_SHARE`.
    decay : float
        Weight decay of all rows.
    parts : list of tuple of Tensor
        Columns of each piece of the batch, their rows, and the gradient of these.
    """

    whole: nn.Parameter
    layer: nn.Module
    name: str
    share: Tensor
    decay: float
    parts: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)

    def load(self, columns: Tensor, n_rows: int) -> None:
        """Let the layer have the rows of these columns, and zeros up to `n_rows` rows."""
        rows = self.whole.new_zeros(n_rows, *self.whole.shape[1:])
        torch.index_select(self.whole.detach(), 0, columns, out=rows[: len(columns)])
        setattr(self.layer, self.name, nn.Parameter(rows))

    def keep_gradient(self, columns: Tensor) -> None:
        """Put the gradient of the rows that the layer has aside, if there is one."""
        rows = getattr(self.layer, self.name)
        if rows.grad is not None:
            n_rows = len(columns)
            self.parts.append((columns, rows.detach()[:n_rows], rows.grad[:n_rows]))
            rows.grad = None

    def take(self) -> tuple[Tensor, Tensor]:
        """Columns of all pieces, each once, and the gradient of their rows with weight decay.

        The decay is divided by the share of the steps that a row takes part in, so that its mean
        over steps is that of a step that trains all rows.
        """
        columns, rows, gradient = self.parts[0]
        if len(self.parts) > 1:
            every = torch.cat([columns for columns, _, _ in self.parts])
            columns, places = every.unique(return_inverse=True)
            rows = self.whole.detach().index_select(0, columns)
            gradient = torch.zeros_like(rows)
            # Piece by piece, in which no column is twice: the order of sums is that of the pieces.
            each = places.split([len(columns) for columns, _, _ in self.parts])
            for part_places, (_, _, part) in zip(each, self.parts, strict=True):
                gradient.index_add_(0, part_places, part)
        self.parts = []
        if self.decay:
            share = self.share.index_select(0, columns).to(rows)
            gradient.addcdiv_(rows, share[:, None], value=self.decay)
        return columns, gradient


class RowTraining:
    """Trains a network by the rows of its weights that belong to the columns of each batch.

    `restrict` gives a network of these columns alone, which shares all other weights with the whole
    one, and the batch in its terms; after the optimiser's step, `update` moves the rows. Adam's
    moments of a row are those over the steps in which it took part. Over all steps, in the others
    of which its gradient is zero, the second moment is smaller by the share of these steps; that is
    the one that steps are scaled by, as if all rows were trained.

    Parameters
    ----------
    network : VAE
    means : Tensor of shape (n_features,)
        Mean of each column in training.
    n_draws : int
        Columns drawn for their zeros, a step of at most `MAX_ROWS` rows.
    optimizer : Optimizer
        Adam or SGD of all parameters of the network; keeps the state of the rows.
    batch_size : int
        Rows in a step.
    """

    def __init__(
        self,
        network: VAE,
        means: Tensor,
        n_draws: int,
        optimizer: torch.optim.Optimizer,
        batch_size: int,
    ):
        self.sampler = ColumnSampler(means, n_draws)
        in_use = 1 - torch.exp(-batch_size * means)
        # Each piece of a batch has draws of its own.
        n_drawn = n_draws * math.ceil(batch_size / MAX_ROWS)
        drawn = 1 - torch.exp(n_drawn * torch.log1p(-self.sampler.probabilities))
        counted = in_use + drawn - in_use * drawn
        groups = optimizer.param_groups
        decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}

        # A copy that shares every parameter, until rows take the place of some.
        memo = {id(parameter): parameter for parameter in network.parameters()}
        self.network = copy.deepcopy(network, memo)
        readers, writers = self.network.feature_layers()

        def rows_of(layer: nn.Module, name: str, share: Tensor) -> FeatureRows:
            whole = getattr(layer, name)
            share = share.clamp(min=MIN_SHARE).to(whole.device)
            return FeatureRows(whole, layer, name, share, decay[id(whole)])

        self.inputs = [rows_of(layer, "weight", in_use) for layer in readers]
        self.outputs = [
            rows_of(layer, name, counted) for layer in writers for name in ("weight", "bias")
        ]
        self.used = self.columns = torch.empty(0)

    def restrict(self, x: CSRBatch, generator: Generator) -> tuple[VAE, CSRBatch]:
        """Network of the columns that are in use or drawn, and the batch in its columns."""
        self._keep_gradients()
        self.used, places = x.columns.unique(return_inverse=True)
        columns, weights = self.sampler.draw(self.used.cpu(), generator)
        self.columns = columns.to(self.used)
        for part in self.inputs:
            part.load(self.used, rounded_up(len(self.used)))
        n_features = rounded_up(len(columns))
        for part in self.outputs:
            part.load(self.columns, n_features)
        # Columns that only fill up weigh nothing.
        weights = F.pad(weights, (0, n_features - len(columns))).to(x.values)
        return self.network, replace(
            x, columns=places, n_features=n_features, column_weights=weights
        )

    @torch.no_grad()
    def update(self, optimizer: torch.optim.Optimizer) -> None:
        """Move the rows that took part in the step, as the optimiser moves a parameter.

        It is not kept: its hook holds this object, and what holds itself is freed late.
        """
        self._keep_gradients()
        for part in [*self.inputs, *self.outputs]:
            columns, gradient = part.take()
            if isinstance(optimizer, torch.optim.Adam):
                gradient = self._adam_direction(part, columns, gradient, optimizer)
            rate = optimizer.param_groups[0]["lr"]
            part.whole.index_add_(0, columns, gradient, alpha=-rate)

    def _keep_gradients(self) -> None:
        """Put the gradients of the latest piece of the batch aside, if there is one."""
        for parts, columns in ((self.inputs, self.used), (self.outputs, self.columns)):
            for part in parts:
                part.keep_gradient(columns)

    def _adam_direction(
        self, part: FeatureRows, columns: Tensor, gradient: Tensor, optimizer: torch.optim.Adam
    ) -> Tensor:
        """What Adam subtracts from the rows, but for the learning rate; advances their moments."""
        whole, state = part.whole, optimizer.state[part.whole]
        group = optimizer.param_groups[0]
        decays, epsilon = group["betas"], group["eps"]
        if not state:
            shape = (len(whole), *[1] * (whole.ndim - 1))
            state["step"] = whole.new_zeros(shape)
            state["exp_avg"] = torch.zeros_like(whole)
            state["exp_avg_sq"] = torch.zeros_like(whole)
        step, mean, square = (
            state[name].index_select(0, columns) for name in ("step", "exp_avg", "exp_avg_sq")
        )
        step += 1
        mean.lerp_(gradient, 1 - decays[0])
        square.lerp_(gradient.square_(), 1 - decays[1])
        for name, rows in (("step", step), ("exp_avg", mean), ("exp_avg_sq", square)):
            state[name].index_copy_(0, columns, rows)
        share = part.share.index_select(0, columns).to(square)
        square.mul_(share.view_as(step)).div_(1 - decays[1] ** step)
        deviation = square.sqrt_().add_(epsilon)
        return mean.div_(1 - decays[0] ** step).div_(deviation)
