"""Factor analysis: the linear model that a network for real values and counts starts from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Rows that it is fitted on, columns and factors that it is fitted to, and columns of the table that
# these are taken from, at most: it is to take little of the time of the training that it begins.
MAX_ROWS = 2000
MAX_COLUMNS = 1000
MAX_TABLE_COLUMNS = 20_000
MAX_FACTORS = 32

N_ITERATIONS = 100

# Signal-to-noise ratio of a complete row below which a factor is none.
MIN_STRENGTH = 0.01

# Weight decay of the regressions that read factors, in rows.
READER_DECAY = 0.1


def regression(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (n_inputs, n_targets) and bias (n_targets,) of targets regressed on inputs."""
    inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)
    decay = READER_DECAY * torch.eye(inputs.shape[1], dtype=inputs.dtype)
    solution = torch.linalg.solve(inputs.T @ inputs + decay, inputs.T @ targets)
    return solution[:-1], solution[-1]


class Factors(NamedTuple):
    """Model x = loadings z + mean + noise, and a linear guess at z given x.

    Attributes
    ----------
    loadings : Tensor of shape (n_columns, n_factors)
    mean, variance : Tensor of shape (n_columns,)
        Mean of x, and variance of the noise.
    reader : Tensor of shape (2 * n_columns, n_factors)
        What the posterior mean of z owes to each value, 0 where it is missing, and to its absence.
    reader_bias : Tensor of shape (n_factors,)
        What it owes to neither.
    unread : Tensor of shape (n_rows, n_factors)
        What it is beyond that in the rows of the fit: 0 where no values are missing.
    posterior_variance : Tensor of shape (n_factors,)
        Variance of z about its posterior mean.
    """

    loadings: Tensor
    mean: Tensor
    variance: Tensor
    reader: Tensor
    reader_bias: Tensor
    unread: Tensor
    posterior_variance: Tensor


def factor_analysis(x: Tensor, n_factors: int, min_variance: Tensor) -> Factors:
    """Fit factor analysis to standardised columns by EM (Rubin and Thayer, 1982).

    Missing values (NaN) are left out. The mean and covariance of z are free in each step, which
    takes fewer of them (Liu, Rubin and Wu, 1998). As if there were one row more of independent
    standard normal values, few rows leave their noise near 1 and their loadings small. The factors
    of a complete row are independent given the row.

    Parameters
    ----------
    x : Tensor of shape (n_rows, n_columns)
        In float64.
    n_factors : int
        Largest number of factors, at most n_columns; there are fewer where fewer explain the rows.
    min_variance : Tensor of shape (n_columns,)
        The noise has at least these variances.
    """
    observed = ~x.isnan()
    # Columns whose values are missing in the same rows are summed over together, and rows in which
    # the same are have one covariance.
    masks, mask_of = torch.unique(observed, dim=1, return_inverse=True)
    row_masks, row_mask_of = torch.unique(masks, dim=0, return_inverse=True)
    masks, row_masks = masks.double(), row_masks.double()
    observed, values = observed.double(), x.nan_to_num(0.0)
    n_values, squares = observed.sum(0), (values**2).sum(0)

    def posterior(loadings: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (n_rows, n_factors) and covariance (n_rows, n_factors, n_factors) of z."""
        scaled = loadings / variance[:, None]
        identity = torch.eye(loadings.shape[1], dtype=x.dtype)
        precisions = x.new_zeros(masks.shape[1], *identity.shape)
        precisions.index_add_(0, mask_of, scaled[:, :, None] * loadings[:, None])
        covariance = torch.linalg.inv(identity + torch.tensordot(row_masks, precisions, 1))
        covariance = covariance[row_mask_of]
        informed = (values - mean * observed) @ scaled
        return (covariance @ informed[..., None])[..., 0], covariance

    # Principal components of the correlations, which half of the variance is left to be noise of.
    pairs = (observed.T @ observed).clamp(min=1)
    eigenvalues, directions = torch.linalg.eigh(values.T @ values / pairs)
    # None is zero, or it would stay so.
    strengths = (eigenvalues[-n_factors:] - 0.5).clamp(min=1e-6).sqrt()
    loadings, variance = directions[:, -n_factors:] * strengths, torch.full_like(squares, 0.5)
    mean = torch.zeros_like(squares)
    prior = torch.eye(n_factors, dtype=x.dtype)
    for _ in range(N_ITERATIONS):
        z, covariance = posterior(loadings, mean, variance)
        moments = covariance + z[:, :, None] * z[:, None]
        # Each column is regressed on z, and on 1 for its mean.
        left = x.new_zeros(len(squares), n_factors + 1, n_factors + 1)
        left[:, :-1, :-1] = prior + torch.tensordot(masks.T, moments, 1)[mask_of]
        left[:, -1, :-1] = left[:, :-1, -1] = observed.T @ z
        left[:, -1, -1] = n_values.clamp(min=1)
        right = torch.cat([values.T @ z, values.sum(0)[:, None]], 1)
        solution = torch.linalg.solve(left, right[..., None])[..., 0]
        left_over = squares - (solution * right).sum(1)
        variance = ((left_over + 1) / (n_values + 1)).clamp(min=min_variance)
        # z may have any mean and covariance in this step; what it is to be is 0 and I.
        centre = z.mean(0)
        mean = solution[:, -1] + solution[:, :-1] @ centre
        spread = moments.mean(0) - torch.outer(centre, centre)
        loadings = solution[:, :-1] @ torch.linalg.cholesky(spread)
    strengths, rotation = torch.linalg.eigh(loadings.T @ (loadings / variance[:, None]))
    loadings = loadings @ rotation[:, strengths > MIN_STRENGTH]
    # Rounding alone would decide the sign of a factor: its largest loading is positive.
    largest = loadings.gather(0, loadings.abs().argmax(0, keepdim=True))
    loadings = torch.where(largest < 0, -loadings, loadings)

    z, covariance = posterior(loadings, mean, variance)
    inputs = torch.cat([values, 1 - observed], 1)
    if (observed == 1).all():
        # Rows have one covariance, and their means are linear in the values.
        direct = (loadings / variance[:, None]) @ covariance[0]
        reader, reader_bias = torch.cat([direct, torch.zeros_like(direct)]), -mean @ direct
    else:
        reader, reader_bias = regression(inputs, z)
    unread = z - inputs @ reader - reader_bias
    posterior_variance = covariance.diagonal(dim1=1, dim2=2).mean(0)
    return Factors(loadings, mean, variance, reader, reader_bias, unread, posterior_variance)
