"""Held-out bound over the number of latent dimensions and over the width of the network."""

import matplotlib.pyplot as plt
import numpy as np

from skvae import VAEDensityEstimator

rng = np.random.RandomState(0)
# Four hidden numbers, bent, behind twenty columns.
hidden = rng.randn(3000, 4)
X = np.c_[np.sin(2 * hidden), hidden**2] @ rng.randn(8, 20) + 0.5 * rng.randn(3000, 20)
train, test = X[:2000], X[2000:]


def bound(**parameters):
    """Bound of the rows held out, in nats."""
    density = VAEDensityEstimator(max_iter=40, random_state=0, **parameters).fit(train)
    return density.set_params(n_importance_samples=50).score(test)


figure, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True)
components = [1, 2, 4, 8, 16]
widths = [8, 32, 128, 512]
by_components = [bound(n_components=n) for n in components]
by_width = [bound(hidden_layer_sizes=(n,)) for n in widths]
axes[0].plot(components, by_components, "o-")
axes[0].set(xlabel="n_components", ylabel="bound of held-out rows, nats", xscale="log")
axes[0].set_xticks(components, components)
axes[1].plot(widths, by_width, "o-", color="C1")
axes[1].set(xlabel="width of the hidden layer", xscale="log")
axes[1].set_xticks(widths, widths)
for ax in axes:
    ax.minorticks_off()
print("components:", dict(zip(components, np.round(by_components, 1).tolist(), strict=True)))
print("width:", dict(zip(widths, np.round(by_width, 1).tolist(), strict=True)))
