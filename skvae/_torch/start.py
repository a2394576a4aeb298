"""Weights to start the training from: a network that is the best linear model of its columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor, nn

from .blocks import blocks, rows_per_block
from .factors import (
    MAX_COLUMNS,
    MAX_FACTORS,
    MAX_ROWS,
    MAX_TABLE_COLUMNS,
    Factors,
    factor_analysis,
    regression,
)
from .likelihoods import Likelihood
from .likelihoods.base import LinearColumns
from .networks import DTYPE, MLP, VAE, Linear
from .objective import encoder_inputs
from .sparse import CSRBatch, Table, as_batch

# Activations f for which f(x) - f(-x) is a multiple of x, and by what that has to be multiplied to
# be x: two units of a hidden layer can pass a value on.
CARRYING = {"identity": 0.5, "relu": 1.0, "softplus": 1.0, "silu": 1.0}

# Gain of the weights by which it reads what is missing: two units, one of them for a missing value,
# are to tell apart what the same sum of values means.
INDICATOR_GAIN = 3.0


@torch.no_grad()
def start_from_factors(
    network: VAE, likelihood: Likelihood, X: Table, generator: Generator
) -> bool:
    """Let a new network start from factor analysis of real values and counts, if it can."""
    if most_factors(network) == 0 or X.shape[1] > MAX_TABLE_COLUMNS:
        return False
    is_sample = X.shape[0] > MAX_ROWS
    if is_sample:
        X = X[torch.randperm(X.shape[0], generator=generator)[:MAX_ROWS].numpy()]
    linear = likelihood.linear_columns(X)
    n_columns = sum(len(part.columns) for part in linear)
    n_factors = min(most_factors(network), n_columns, MAX_FACTORS)
    if n_factors == 0 or n_columns > MAX_COLUMNS:
        return False
    values = torch.cat(
        [standardised(likelihood, rows, linear) for rows in blocks(X, rows_per_block(X.shape[1]))]
    )
    known = ~values.isnan().all(1)
    if not known.any():
        return False
    # Half as much again as the least, so that there is a gradient.
    min_variance = 1.5 * torch.cat([part.min_variance for part in linear])
    factors = factor_analysis(values[known], n_factors, min_variance)
    if is_sample:
        # What happens to be one value in the sample is not known to be constant.
        least, largest = values.nan_to_num(math.inf).amin(0), values.nan_to_num(-math.inf).amax(0)
        factors.variance[least >= largest] = 1.0
    read_linearly(network, factors, linear)
    write_linearly(network, factors, linear)
    if network.n_indicators and network.encoder.layers:
        read_gaps(network, likelihood, X[known.numpy()], factors, generator)
    return True


def standardised(likelihood: Likelihood, rows: Table, linear: Sequence[LinearColumns]) -> Tensor:
    """What the encoder reads of some columns, standardised, but NaN where values are missing."""
    x = likelihood.prepare(as_batch(rows), torch.float64)
    inputs = likelihood.inputs(x)
    x, inputs = (t.to_dense() if isinstance(t, CSRBatch) else t for t in (x, inputs))
    values = [
        ((inputs[:, part.inputs] - part.location) / part.scale).masked_fill(
            x[:, part.columns].isnan(), math.nan
        )
        for part in linear
    ]
    return torch.cat(values, 1)


def most_factors(network: VAE) -> int:
    """How many values it can pass on from the input to the code, and from there to the output.

    0 where the activation does not allow it.
    """
    layers: list[Linear] = [*network.encoder.layers[:], *network.decoder.layers[:]]
    if layers and network.encoder.activation not in CARRYING:
        return 0
    return min([network.n_components, *(layer.weight.shape[1] // 2 for layer in layers)])


def carry(layers: MLP, weight: Tensor) -> Tensor:
    """Give the first units of the layers the task to pass `x @ weight` on.

    Returns
    -------
    weight : Tensor of shape (n_out, n_values)
        What the output of the last layer has to be multiplied by, to have it again.
    """
    n_values = weight.shape[1]
    linear: list[Linear] = [*layers.layers[:]]
    for layer in linear:
        pairs = slice(2 * n_values)
        layer.weight[:, pairs] = torch.cat([weight, -weight], 1)
        weight = weight.new_zeros(layer.weight.shape[1], n_values)
        identity = torch.eye(n_values, dtype=DTYPE)
        weight[pairs] = CARRYING[layers.activation] * torch.cat([identity, -identity])
    return weight


def read_linearly(network: VAE, factors: Factors, linear: Sequence[LinearColumns]) -> None:
    """Let the first dimensions of the code be the factors; the others stay random."""
    n_columns, n_factors = factors.loadings.shape
    scale = torch.cat([part.scale for part in linear])
    inputs = torch.cat([part.inputs for part in linear])
    weight = torch.zeros(network.n_inputs, n_factors, dtype=torch.float64)
    weight[inputs] = factors.reader[:n_columns] / scale[:, None]
    if network.n_indicators:
        columns = torch.cat([part.columns for part in linear])
        first = network.n_inputs - network.n_indicators
        weight[first + columns] = factors.reader[n_columns:]
    network.mean.weight[:, :n_factors] = carry(network.encoder, weight.to(DTYPE))
    network.log_variance.weight[:, :n_factors] = 0
    # What is far from 0 and hardly varies is read from its location on: nothing else in the network
    # may see how far.
    location = torch.cat([part.location for part in linear])
    readers, _ = network.feature_layers()
    for reader in readers:
        reader.bias.sub_((location @ reader.weight[inputs].double()).to(DTYPE))
    network.mean.bias[:n_factors] += factors.reader_bias
    set_variance(network, factors, factors.unread)


def write_linearly(network: VAE, factors: Factors, linear: Sequence[LinearColumns]) -> None:
    """Let the outputs of these columns be those of the factors' model; others stay random."""
    n_factors = factors.loadings.shape[1]
    code = torch.eye(network.n_components, n_factors, dtype=DTYPE)
    passed_on = carry(network.decoder, code).T
    sizes = [len(part.columns) for part in linear]
    models = (value.split(sizes) for value in (factors.loadings, factors.mean, factors.variance))
    _, outputs = network.feature_layers()
    for part, *model in zip(linear, *models, strict=True):
        for output, (loadings, mean) in zip(
            outputs[part.first_output :], part.to_outputs(*model), strict=False
        ):
            output.weight[part.places] = loadings.to(DTYPE) @ passed_on
            output.bias[part.places] = mean.to(DTYPE)


def set_variance(network: VAE, factors: Factors, unread: Tensor) -> None:
    """Make q as wide as the posterior is about a mean of which so much is not read."""
    variance = factors.posterior_variance + (unread**2).mean(0)
    network.log_variance.bias[: len(variance)] = variance.log()


def read_gaps(
    network: VAE, likelihood: Likelihood, X: np.ndarray, factors: Factors, generator: Generator
) -> None:
    """Let the code read of rows with missing values what is left after a linear reading.

    The hidden units that pass no factor on read what is missing, and the code reads them.
    """
    n_factors, n_indicators = factors.loadings.shape[1], network.n_indicators
    others = slice(2 * n_factors, None)
    (reader,), _ = network.feature_layers()
    weight = torch.empty_like(reader.weight)
    nn.init.xavier_uniform_(weight, gain=INDICATOR_GAIN, generator=generator)
    has_gaps = torch.from_numpy(np.isnan(X).any(axis=0))
    weight[-n_indicators:][~has_gaps] = 0
    reader.weight[-n_indicators:, others] = weight[-n_indicators:, others]

    hidden = torch.cat(
        [
            network.encoder(
                encoder_inputs(network, likelihood, likelihood.prepare(as_batch(rows), DTYPE))
            )
            for rows in blocks(X, rows_per_block(network.n_inputs))
        ]
    )[:, others].double()
    coefficients, bias = regression(hidden, factors.unread)
    network.mean.weight[others, :n_factors] = coefficients.to(DTYPE)
    network.mean.bias[:n_factors] += bias
    set_variance(network, factors, factors.unread - hidden @ coefficients - bias)
