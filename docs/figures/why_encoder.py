"""Estimates of log p(x) from draws of the prior and of the posterior, in a linear model."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

rng = np.random.RandomState(0)
N_LATENT, N_FEATURES, NOISE = 8, 30, 0.3
weights = rng.randn(N_LATENT, N_FEATURES)
x = rng.randn(N_LATENT) @ weights + NOISE * rng.randn(N_FEATURES)

# With x = z W + noise everything is normal, and log p(x) and p(z|x) are known.
log_p = multivariate_normal(
    np.zeros(N_FEATURES), weights.T @ weights + NOISE**2 * np.eye(N_FEATURES)
).logpdf(x)
covariance = np.linalg.inv(np.eye(N_LATENT) + weights @ weights.T / NOISE**2)
mean = covariance @ weights @ x / NOISE**2


def estimates(n_draws, n_repeats, center, spread):
    """Log of the mean of p(x|z) p(z) / q(z) over draws of z from a normal q."""
    z = center + rng.randn(n_repeats, n_draws, N_LATENT) @ np.linalg.cholesky(spread).T
    q = multivariate_normal(center, spread)
    log_weights = norm.logpdf(x, z @ weights, NOISE).sum(axis=-1)
    log_weights += norm.logpdf(z).sum(axis=-1) - q.logpdf(z).reshape(n_repeats, n_draws)
    return logsumexp(log_weights, axis=1) - np.log(n_draws)


figure, ax = plt.subplots(figsize=(5, 3))
draws = [1, 10, 100, 1000, 10000]
prior = [estimates(n, 20, np.zeros(N_LATENT), np.eye(N_LATENT)) for n in draws]
# An encoder is never exact: twice the variance, and a little beside.
rough = [estimates(n, 20, mean + 0.05, 2 * covariance) for n in draws]
for name, values in (("z from the prior", prior), ("z from q(z|x)", rough)):
    lower, middle, upper = np.quantile(values, [0.1, 0.5, 0.9], axis=1)
    ax.plot(draws, middle - log_p, "o-", label=name)
    ax.fill_between(draws, lower - log_p, upper - log_p, alpha=0.2)
    print(f"{name}: " + ", ".join(f"{v - log_p:.1f}" for v in middle) + " nats from log p(x)")
ax.axhline(0, color="black", linestyle="--", label="log p(x)")
ax.set(xscale="log", xlabel="draws", ylabel="estimate less log p(x), nats", ylim=(-4000, 3))
ax.set_yscale("symlog", linthresh=1)
ax.legend(fontsize=7, loc="center right")
