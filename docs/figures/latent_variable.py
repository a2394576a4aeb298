"""A density that is an average of simple ones: one latent number, a curve, and some noise."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm


def decoder(z):
    """Mean of p(x|z): a point of the plane for each z."""
    return np.stack([1.5 * z, np.sin(2 * z) + 0.3 * z**2], axis=-1)


NOISE = 0.2
rng = np.random.RandomState(0)
z = rng.randn(400)
x = decoder(z) + NOISE * rng.randn(400, 2)

# The integral over z as a sum on a fine grid.
nodes = np.linspace(-4, 4, 801)
across, up = np.meshgrid(np.linspace(-5, 5, 160), np.linspace(-2, 4, 120))
points = np.stack([across, up], axis=-1)
density = sum(
    weight * norm.pdf(points, mean, NOISE).prod(axis=-1)
    for weight, mean in zip(norm.pdf(nodes) * 0.01, decoder(nodes), strict=True)
)

figure, axes = plt.subplots(1, 3, figsize=(8, 2.4))
axes[0].hist(z, 30, density=True, color="0.85")
axes[0].plot(nodes, norm.pdf(nodes))
axes[0].set(title="p(z): always normal", xlabel="z", xlim=(-4, 4))
few = np.linspace(-2, 2, 9)
axes[1].plot(*decoder(nodes).T, color="0.7")
for mean in decoder(few):
    axes[1].add_patch(plt.Circle(mean, 2 * NOISE, color="C0", alpha=0.4))
axes[1].set(title="p(x|z) for nine values of z")
axes[2].contourf(across, up, density, density.max() * np.linspace(0.02, 1, 10), cmap="Blues")
axes[2].scatter(*x.T, s=1, color="0.4")
axes[2].set(title="p(x), and rows drawn from it")
for ax in axes[1:]:
    ax.set(xlim=(-5, 5), ylim=(-2, 4), aspect="equal")
