"""The training loop, in a few named steps."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from tqdm import tqdm

from .blocks import MAX_ROWS
from .checkpoint import Checkpoint
from .networks import Linear, Output
from .ranks import ALONE, Noise, Ranks
from .sparse import Table

# Span of the moving average of the weights that are validated.
AVERAGED_EPOCHS = 5

# How many times faster than others the weights decay that make a variance depend on the row.
VARIANCE_DECAY = 100

# Rows of a table, their noise and how far annealing has come, to the terms of their loss, each
# (n_rows,).
RowLosses = Callable[[Table, Noise, float], tuple[Tensor, ...]]


@dataclass
class Plateau:
    """Says when a loss has not fallen by at least `tol` for `patience` epochs."""

    tol: float
    patience: int
    best: float = math.inf
    n_stalled: int = 0

    @property
    def is_over(self) -> bool:
        """Whether to stop."""
        return self.n_stalled >= self.patience

    def update(self, loss: float) -> None:
        """Take the loss of one more epoch."""
        self.n_stalled = self.n_stalled + 1 if loss > self.best - self.tol else 0
        self.best = min(self.best, loss)


@dataclass
class History:
    """Losses of the epochs so far: the mean over rows of each term, and of the validation rows."""

    terms: list[tuple[float, ...]] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)

    def __deepcopy__(self, memo: dict[int, Any]) -> History:
        # Epochs that are over do not change, and thousands of `partial_fit` copy them all.
        return History(self.terms.copy(), self.validation.copy())


def make_optimizer(
    network: nn.Module,
    solver: str,
    learning_rate: float,
    alpha: float,
    variances: Iterable[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """Plain SGD or Adam; `alpha / 2` times the squared weights of layers, no biases, is added.

    For those of `variances` it is `VARIANCE_DECAY` times as much (Sluijterman et al., 2023).
    """
    layers = [layer for layer in network.modules() if isinstance(layer, (Linear, Output))]
    decay = dict.fromkeys((layer.weight for layer in layers), alpha)
    decay |= dict.fromkeys(variances, VARIANCE_DECAY * alpha)
    # The weights come first, whatever they are of: the optimiser's state goes by their places.
    parameters = [*decay, *(p for p in network.parameters() if p not in decay)]
    groups: list[dict[str, Any]] = [
        {"params": list(run), "weight_decay": weight_decay}
        for weight_decay, run in groupby(parameters, lambda p: decay.get(p, 0.0))
    ]
    solvers = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    return solvers[solver](groups, lr=learning_rate, fused=True)


def train_epoch(
    row_losses: RowLosses,
    tables: Iterable[Table],
    optimizer: torch.optim.Optimizer,
    generator: Generator,
    batch_size: int,
    progress: float = 1.0,
    ranks: Ranks = ALONE,
) -> tuple[float, ...]:
    """One pass over all rows; the mean of each term of the loss over the rows.

    The tables come one after the other, the rows of each in random order. A batch is worked off in
    pieces of at most `MAX_ROWS` rows, whose gradients add up. All ranks draw the same batches, and
    each works off the rows of its own.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    totals: Any = 0.0
    n_rows = 0
    for X, first, n_dealt in ranks.deal(tables):
        n_rows += n_dealt
        order = torch.randperm(n_dealt, generator=generator).numpy()
        for start in range(0, n_dealt, batch_size):
            batch = order[start : start + batch_size]
            optimizer.zero_grad()
            batch_totals: Any = 0.0
            for piece in np.split(batch, range(MAX_ROWS, len(batch), MAX_ROWS)):
                places = np.flatnonzero((first <= piece) & (piece < first + X.shape[0]))
                noise = Noise(generator, len(piece), torch.from_numpy(places))
                sums = [
                    term.sum() for term in row_losses(X[piece[places] - first], noise, progress)
                ]
                (torch.stack(sums).sum() / len(batch)).backward()
                batch_totals = batch_totals + np.array([term.item() for term in sums])
            totals = totals + ranks.add_up(parameters, batch_totals)
            optimizer.step()
            if not np.isfinite(totals).all():
                return tuple((totals / n_rows).tolist())
    return tuple((totals / n_rows).tolist())


class Bar(tqdm):
    """Progress bar without the thread that watches over slow ones, also where none is shown."""

    monitor_interval = 0


@dataclass
class Training:
    """All that epochs change, and a checkpoint holds.

    Attributes
    ----------
    network, optimizer, generator, plateau, history
    average : dict of str to Tensor
        Moving average of the weights, if rows are held out.
    best : dict of str to Tensor or None
        The average with the lowest loss of the validation rows so far, or the start.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    generator: Generator
    plateau: Plateau
    history: History = field(default_factory=History)
    average: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Tensor] | None = None

    def state(self) -> dict[str, Any]:
        """What `restore` goes on from."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "history": vars(self.history),
            "plateau": {"best": self.plateau.best, "n_stalled": self.plateau.n_stalled},
            "average": self.average,
            "best_state": self.best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state` gave."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.history = History(**state["history"])
        self.plateau = replace(self.plateau, **state["plateau"])
        device = next(self.network.parameters()).device
        self.average = {name: value.to(device) for name, value in state["average"].items()}
        self.best = state["best_state"]

    def validate_start(self, loss_of_validation_rows: Callable[[], float]) -> None:
        """Let the weights that training begins with be the best so far."""
        loss = loss_of_validation_rows()
        self.plateau.update(loss)
        self.best = copy.deepcopy(self.network.state_dict())

    def end_epoch(
        self,
        terms: tuple[float, ...],
        loss_of_validation_rows: Callable[[], float] | None,
        epoch: int,
    ) -> float:
        """Record the losses of an epoch, and give the one that says whether to stop."""
        loss = sum(terms)
        self.check_finite(loss, epoch)
        if loss_of_validation_rows is not None:
            loss = self.validate(loss_of_validation_rows, epoch)
            self.history.validation.append(loss)
        # Right after the other: Ctrl-C hardly ever parts them.
        self.history.terms.append(terms)
        return loss

    def validate(self, loss_of_validation_rows: Callable[[], float], epoch: int) -> float:
        """Loss of the validation rows with the moving average of the weights."""
        live = copy.deepcopy(self.network.state_dict())
        self.average = moving_average(self.average, live, epoch)
        self.network.load_state_dict(self.average)
        loss = loss_of_validation_rows()
        self.check_finite(loss, epoch)
        if loss < self.plateau.best:
            self.best = self.average
        self.network.load_state_dict(live)
        return loss

    def check_finite(self, loss: float, epoch: int) -> None:
        """Raise a ValueError that says what to try if the training has diverged."""
        # The extremes tell, and no temporary is as large as the weights.
        extremes = [x for p in self.network.parameters() for x in (p.min(), p.max())]
        weights_finite = bool(torch.stack(extremes).isfinite().all())
        if math.isfinite(loss) and weights_finite:
            return
        learning_rate = self.optimizer.param_groups[0]["lr"]
        solver = "" if isinstance(self.optimizer, torch.optim.Adam) else "solver='adam', "
        raise ValueError(
            f"The loss is not finite in epoch {epoch} (learning_rate_init={learning_rate:g}). Try "
            f"a smaller learning_rate_init (a tenth, say) or alpha, {solver}or rescaled data."
        )


def train(
    network: nn.Module,
    row_losses: RowLosses,
    tables: Iterable[Table],
    *,
    optimizer: torch.optim.Optimizer,
    generator: Generator,
    batch_size: int,
    max_iter: int,
    plateau: Plateau,
    anneals: bool = False,
    validate: Callable[[], float] | None = None,
    start_counts: bool = False,
    checkpoint: Checkpoint | None = None,
    ranks: Ranks = ALONE,
    interruptible: bool = True,
    verbose: bool = False,
) -> History:
    """Train in place for at most `max_iter` epochs on the sum of the terms of `row_losses`.

    An epoch is an iteration over `tables`. With a checkpoint the state is saved after each epoch,
    and training goes on from the one that was saved before. Of several ranks the first one saves
    it, and all go on from it.

    With `anneals` the terms are told which share of the epochs is over; otherwise 1.

    Training stops on a plateau of the loss; with `validate`, on a plateau of what that returns when
    the network has the moving average of its weights, and the best average comes back: with
    `start_counts` the weights of the start, if none is better. Ctrl-C stops early, with a warning,
    if the training is interruptible.

    Raises
    ------
    ValueError
        If the loss, that of the validation rows, or a weight is no longer finite; or if more epochs
        were saved than are wanted.
    """
    training = Training(network, optimizer, generator, plateau)
    saved = ranks.from_first(lambda: None if checkpoint is None else checkpoint.training)
    if saved is not None:
        training.restore(saved)
    n_done = len(training.history.terms)
    if n_done > max_iter:
        raise ValueError(
            f"The checkpoint is of {n_done} epochs, but max_iter={max_iter}. Raise it to go on, or "
            "remove the file to begin anew."
        )
    if validate is not None and start_counts and saved is None:
        training.validate_start(validate)
    epoch = n_done + 1
    bar = Bar(
        range(n_done + 1, max_iter + 1),
        initial=n_done,
        total=max_iter,
        disable=not verbose or ranks.rank > 0,
        unit="epoch",
    )
    try:
        for epoch in bar:
            if training.plateau.is_over:
                break
            progress = epoch / max_iter if anneals else 1.0
            terms = train_epoch(
                row_losses, tables, optimizer, generator, batch_size, progress, ranks
            )
            loss = training.end_epoch(terms, validate, epoch)
            bar.set_postfix(loss=f"{loss:.4g}")
            training.plateau.update(loss)
            if checkpoint is not None:
                checkpoint.save(training.state())
        if checkpoint is not None:
            checkpoint.remove()
    except KeyboardInterrupt:
        if not interruptible:
            raise
        training.check_finite(0.0, epoch)
        warnings.warn(
            f"Training was interrupted in epoch {epoch} of {max_iter}; the estimator "
            "keeps the weights it had reached.",
            stacklevel=2,
        )
    finally:
        bar.close()
        optimizer.zero_grad()  # frees the gradients, which are as large as the weights
    if training.best is not None:
        network.load_state_dict(training.best)
    return training.history


def moving_average(
    average: dict[str, Tensor], state: dict[str, Tensor], epoch: int
) -> dict[str, Tensor]:
    """Average of the weights after each epoch, the last `AVERAGED_EPOCHS` or so counting most.

    It is nearer to the minimum than the weights, which steps in noisy directions keep away from it
    (Polyak and Juditsky, 1992).
    """
    share = 1 / min(epoch, AVERAGED_EPOCHS)
    return {
        name: torch.lerp(average.get(name, value), value, share) for name, value in state.items()
    }
