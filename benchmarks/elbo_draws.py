"""Spread of the mean ELBO over seeds, for different draws of z.

    python benchmarks/elbo_draws.py

Fits a small density to three synthetic binary tables and scores them with independent draws, Sobol
points, and the antithetic draws of mean 0 and covariance I that the package uses: the same number
of each. The last column is the deviation from a mean over many more draws.

    python benchmarks/elbo_draws.py --tables 1    # the smallest table only
"""

import argparse
from functools import partial

import numpy as np
import torch

from skvae import VAEDensityEstimator
from skvae._torch.scoring import elbo_noise, encoded, importance_noise, log_density
from skvae._torch.sparse import as_batch


def make_table(n_rows, n_features, n_factors, seed):
    """Binary rows from a logistic factor model."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n_rows, n_factors)) @ rng.normal(size=(n_factors, n_features)) - 1
    return (rng.random((n_rows, n_features)) < 1 / (1 + np.exp(-logits))).astype(float)


def independent_noise(seed, n_draws, n_components):
    """Independent standard normal draws."""
    draws = np.random.default_rng(seed).normal(size=(n_draws, n_components))
    return torch.from_numpy(draws)


# Features, factors, and latent dimensions of the density.
TABLES = [(16, 3, 4), (64, 5, 8), (256, 8, 16)]

DRAWS = {
    "independent": independent_noise,
    "Sobol": importance_noise,
    "matched": lambda seed, n_draws, n_components: elbo_noise(seed, n_components),
}


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", type=int, default=len(TABLES))
    options = parser.parse_args()
    print(f"{'table':>12} {'latent':>6} {'draws':12} {'sd of mean':>10} {'bias':>8}")
    for n_features, n_factors, n_components in TABLES[: options.tables]:
        X = make_table(2000, n_features, n_factors, seed=0)
        density = VAEDensityEstimator(n_components, max_iter=30, random_state=0).fit(X)
        x = as_batch(X[:400])
        network, likelihood = density._model.scorer("cpu"), density._model.likelihood
        q = encoded(network, likelihood, x)
        score = partial(log_density, network, likelihood, x, q, importance_weighted=False)
        n_draws = len(elbo_noise(0, n_components))
        many = [score(importance_noise(seed, 1024, n_components)).mean() for seed in range(10)]
        for name, draw in DRAWS.items():
            means = [score(draw(seed, n_draws, n_components)).mean() for seed in range(20)]
            print(
                f"{len(X)} x {n_features:>4} {n_components:6} {name:12} {np.std(means):10.4f} "
                f"{np.mean(means) - np.mean(many):8.4f}"
            )


if __name__ == "__main__":
    main()
