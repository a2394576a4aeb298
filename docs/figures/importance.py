"""The importance-weighted bound over the number of draws, in a linear model with a rough q."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

rng = np.random.RandomState(0)
N_LATENT, N_FEATURES, NOISE = 4, 10, 0.5
weights = rng.randn(N_LATENT, N_FEATURES)
x = rng.randn(N_LATENT) @ weights + NOISE * rng.randn(N_FEATURES)

# With x = z W + noise everything is normal, and log p(x) and p(z|x) are known.
marginal = weights.T @ weights + NOISE**2 * np.eye(N_FEATURES)
log_p = multivariate_normal(np.zeros(N_FEATURES), marginal).logpdf(x)
covariance = np.linalg.inv(np.eye(N_LATENT) + weights @ weights.T / NOISE**2)
mean = covariance @ weights @ x / NOISE**2

# q has the variances of the posterior, but not its correlations.
center, spread = mean + 0.1, np.sqrt(np.diag(covariance))
z = center + spread * rng.randn(200_000, N_LATENT)
log_weights = norm.logpdf(x, z @ weights, NOISE).sum(axis=1)
log_weights += (norm.logpdf(z) - norm.logpdf(z, center, spread)).sum(axis=1)

draws = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500])
bounds = [(logsumexp(log_weights.reshape(-1, n), axis=1) - np.log(n)).mean() for n in draws]
for n, bound in zip(draws, bounds, strict=True):
    print(f"{n:3} draws: {log_p - bound:.2f} nats below log p(x)")

figure, ax = plt.subplots(figsize=(4.4, 2.8))
ax.plot(draws, bounds, "o-", label="mean of the bound")
ax.axhline(log_p, color="black", linestyle="--", label="log p(x)")
ax.annotate("ELBO", (1, bounds[0]), (8, -2), textcoords="offset points")
ax.set(xscale="log", xlabel="draws K", ylabel="nats")
ax.legend(loc="lower right")
