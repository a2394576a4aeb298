"""The training loop: every row is used, pieces add up, it stops when it should."""

import numpy as np
import pytest
import torch
from torch import Generator, nn

from skvae._torch import loop
from skvae._torch.loop import (
    VARIANCE_DECAY,
    Plateau,
    make_optimizer,
    moving_average,
    train,
    train_epoch,
)
from skvae._torch.networks import Linear


def linear_problem(n_rows, learning_rate=0.01):
    """Least squares with one linear layer, and a record of the rows each call was given."""
    network = Linear(2, 1, Generator().manual_seed(0)).double()
    X = np.random.RandomState(0).randn(n_rows, 2)
    seen = []

    def row_losses(rows, *_):
        seen.append(rows)
        x = torch.from_numpy(rows)
        return ((network(x)[:, 0] - x[:, 0] - 1) ** 2,)

    return network, X, row_losses, make_optimizer(network, "sgd", learning_rate, 0.0), seen


@pytest.mark.parametrize(("n_rows", "batch_size"), [(10, 3), (3, 10), (1, 1), (1200, 1000)])
def test_every_row_is_trained_on_once_an_epoch(n_rows, batch_size):
    _, X, row_losses, optimizer, seen = linear_problem(n_rows)
    train_epoch(row_losses, [X], optimizer, Generator().manual_seed(0), batch_size)
    assert max(len(rows) for rows in seen) <= 512
    used = np.concatenate(seen)
    np.testing.assert_array_equal(np.sort(used, axis=0), np.sort(X, axis=0))


def test_pieces_of_a_batch_add_up_to_one_step(monkeypatch):
    weights = []
    for max_rows in (512, 7):
        monkeypatch.setattr(loop, "MAX_ROWS", max_rows)
        network, X, row_losses, optimizer, _ = linear_problem(100)
        train_epoch(row_losses, [X], optimizer, Generator().manual_seed(0), 50)
        weights.append(network.weight.detach().clone())
    torch.testing.assert_close(*weights, rtol=1e-12, atol=1e-12)


def trained(network, X, row_losses, optimizer, **options):
    """Losses of the epochs of a training in batches of 10 rows."""
    generator = Generator().manual_seed(0)
    return train(
        network,
        row_losses,
        [X],
        optimizer=optimizer,
        generator=generator,
        batch_size=10,
        **options,
    )


def run(n_rows=50, max_iter=500, plateau=None, validate=None):
    network, *problem, _ = linear_problem(n_rows)
    plateau = plateau or Plateau(1e-6, 5)
    history = trained(network, *problem, max_iter=max_iter, plateau=plateau, validate=validate)
    return network, history


def test_training_stops_on_a_plateau():
    _, history = run()
    assert 5 < len(history.terms) < 500


def test_plateau_counts_epochs_without_improvement():
    plateau = Plateau(tol=0.1, patience=2)
    for loss in (5, 4, 3.95, 3.5, 3.45):
        plateau.update(loss)
        assert not plateau.is_over
    plateau.update(3.44)
    assert plateau.is_over


@pytest.mark.parametrize("anneals", [False, True])
def test_annealing_is_told_how_far_it_has_come(anneals):
    network, X, row_losses, optimizer, _ = linear_problem(10)
    seen = []

    def recording(rows, noise, progress):
        seen.append(progress)
        return row_losses(rows)

    plateau = Plateau(0.0, 9)
    trained(network, X, recording, optimizer, max_iter=4, plateau=plateau, anneals=anneals)
    assert seen == ([0.25, 0.5, 0.75, 1] if anneals else [1] * 4)


def test_the_curve_is_the_mean_over_rows_of_each_term():
    network, X, row_losses, _, _ = linear_problem(50)
    still = make_optimizer(network, "sgd", 1e-300, 0.0)

    def two_terms(rows, *_):
        (loss,) = row_losses(rows)
        return loss, 2 * loss

    terms = train_epoch(two_terms, [X], still, Generator().manual_seed(0), 20)
    mean = row_losses(X)[0].mean().item()
    assert terms == pytest.approx((mean, 2 * mean))


def test_validation_brings_back_the_best_epoch():
    states, losses = [], iter([3.0, 1.0, 2.0, 2.0, 2.0])
    network, X, row_losses, optimizer, _ = linear_problem(50)

    def validate():
        states.append(network.weight.detach().clone())
        return next(losses)

    plateau = Plateau(0.0, 3)
    history = trained(
        network, X, row_losses, optimizer, max_iter=50, plateau=plateau, validate=validate
    )
    assert history.validation == [3.0, 1.0, 2.0, 2.0, 2.0]
    assert torch.equal(network.weight, states[1])


@pytest.mark.parametrize("start_counts", [True, False])
def test_validation_brings_back_the_start_if_that_counts_and_nothing_is_better(start_counts):
    states, losses = [], iter([1.0] * start_counts + [3.0, 2.0, 2.0, 2.0])
    network, X, row_losses, optimizer, _ = linear_problem(50)
    start = network.weight.detach().clone()

    def validate():
        states.append(network.weight.detach().clone())
        return next(losses)

    history = trained(
        network,
        X,
        row_losses,
        optimizer,
        max_iter=4,
        plateau=Plateau(0.0, 9),
        validate=validate,
        start_counts=start_counts,
    )
    assert history.validation == [3.0, 2.0, 2.0, 2.0]
    assert torch.equal(network.weight, start if start_counts else states[1])


def test_the_average_is_of_five_epochs_then_moves():
    average = {}
    seen = []
    for epoch in range(1, 8):
        average = moving_average(average, {"weight": torch.tensor(float(epoch))}, epoch)
        seen.append(average["weight"].item())
    assert seen[:5] == pytest.approx([1, 1.5, 2, 2.5, 3])
    assert seen[5:] == pytest.approx([3 + 3 / 5, 3.6 + 3.4 / 5])


def test_no_gradient_is_left_behind():
    network, _ = run(max_iter=1)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_decay_spares_the_biases():
    network = Linear(2, 1, Generator().manual_seed(0))
    with torch.no_grad():
        network.bias.fill_(1.0)
    before = network.weight.detach().clone()
    optimizer = make_optimizer(network, "sgd", 0.1, alpha=0.5)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(network.weight.detach(), before * (1 - 0.1 * 0.5))
    assert network.bias.item() == 1.0


def test_decay_of_variances_is_faster():
    generator = Generator().manual_seed(0)
    mean, variance, last = network = nn.Sequential(*(Linear(2, 1, generator) for _ in range(3)))
    before = [layer.weight.detach().clone() for layer in network]
    optimizer = make_optimizer(network, "sgd", 0.1, alpha=0.02, variances=[variance.weight])
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for layer, weight, decay in zip(
        network, before, [0.02, 0.02 * VARIANCE_DECAY, 0.02], strict=True
    ):
        torch.testing.assert_close(layer.weight.detach(), weight * (1 - 0.1 * decay))
    # Where the state of an optimiser of before was kept, it is by these places.
    places = [p for group in optimizer.param_groups for p in group["params"]]
    assert [id(p) for p in places[:3]] == [id(layer.weight) for layer in (mean, variance, last)]


def test_a_loss_that_falls_by_just_tol_has_not_stalled():
    plateau = Plateau(tol=0.5, patience=2)
    for loss in (2.0, 1.5, 1.0):
        plateau.update(loss)
        assert plateau.n_stalled == 0
