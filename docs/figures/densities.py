"""A normal distribution where it does not fit, and a kernel density in many dimensions."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import multivariate_normal, norm
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

rng = np.random.RandomState(0)
x = np.concatenate([rng.normal(-2, 0.4, 300), rng.gamma(2.0, 0.8, 200)])
grid = np.linspace(-4, 6, 400)

figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
left.hist(x, 50, density=True, color="0.85")
left.plot(grid, norm.pdf(grid, x.mean(), x.std()), label="normal")
kernel = KernelDensity(bandwidth=0.25).fit(x[:, None])
left.plot(grid, np.exp(kernel.score_samples(grid[:, None])), label="kernels")
left.set(xlabel="x", ylabel="density", title="one column")
left.legend()

# Two factors behind d columns: nothing but the number of columns changes.
dimensions = [2, 4, 8, 16, 32]
shortfall = []
for d in dimensions:
    weights = rng.randn(2, d)
    truth = multivariate_normal(np.zeros(d), weights.T @ weights + 0.25 * np.eye(d))
    train, test = truth.rvs(500, random_state=rng), truth.rvs(500, random_state=rng)
    widths = {"bandwidth": np.geomspace(0.1, 3, 20)}
    kernel = GridSearchCV(KernelDensity(), widths, cv=3).fit(train).best_estimator_
    shortfall.append(truth.logpdf(test).mean() - kernel.score_samples(test).mean())
    print(f"{d:2} columns: kernel density {shortfall[-1]:.1f} nats below the truth")
right.plot(dimensions, shortfall, "o-")
right.set(
    xlabel="columns, of 2 factors",
    ylabel="nats a row below the truth",
    title="kernel density, best width",
)
