"""
Digits: drawn again, made up, and a walk between them
=====================================================

:class:`~skvae.VAEDensityEstimator` learns the density of small images of digits, black or white in
each pixel. It can then draw an image again from its code, make up new ones, and show what lies
between two digits. Two baselines say what each pixel alone gives, and what eight groups of images
give.
"""

# %%
# The images
# ----------
# Eight by eight pixels, 1 where there is more ink than half. A row of zeros and ones has a
# probability, so that three densities can be compared in nats.
import matplotlib.pyplot as plt
import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import VAEDensityEstimator

digits = load_digits()
X = (digits.data > 8).astype(float)
train, test, _, test_digit = train_test_split(X, digits.target, test_size=0.3, random_state=0)

# %%
# How good is the density?
# ------------------------
# In the first baseline each pixel is one with its own share, whatever the others are. The second
# has such shares for each of eight groups of images, found by k-means. Shares are smoothed by half
# an image of each kind.


def log_probability(images, shares):
    """Log-probability of images whose pixels are independent, in nats."""
    return images @ np.log(shares) + (1 - images) @ np.log1p(-shares)


def shares_of(images):
    """Share of ones in each pixel."""
    return (images.sum(axis=0) + 0.5) / (len(images) + 1)


group = KMeans(8, n_init=5, random_state=0).fit_predict(train)
by_group = [
    np.log(np.mean(group == k)) + log_probability(test, shares_of(train[group == k]))
    for k in range(8)
]
density = VAEDensityEstimator(n_importance_samples=100, random_state=0).fit(train)
scores = {
    "each pixel alone": log_probability(test, shares_of(train)),
    "eight groups": logsumexp(by_group, axis=0),
    "VAE, 8 latent dimensions": density.score_samples(test),
}
for name, score in scores.items():
    print(f"{name:25} mean log-probability of new images {score.mean():6.2f} nats")

# %%
# Drawn again, and made up
# ------------------------
# Above, new images and what comes back from their codes: the probability of ink in each pixel.
# Below are images that the density made up, and images of the first baseline.


def show(axes, images, label):
    """Draw a line of images."""
    for ax, image in zip(axes, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    axes[0].set_ylabel(label, rotation=0, ha="right", va="center")


rng = np.random.RandomState(0)
figure, axes = plt.subplots(4, 12, figsize=(9, 3), layout="constrained")
show(axes[0], test, "new images")
show(axes[1], density.inverse_transform(density.transform(test[:12])), "drawn again")
show(axes[2], density.sample(12, random_state=1), "made up")
show(axes[3], rng.uniform(size=(12, 64)) < shares_of(train), "each pixel alone")
plt.show()

# %%
# A plane of digits
# -----------------
# With two latent dimensions the codes can be seen. Without the autoregressive part, in which each
# pixel also looks at those before it, all that an image is must be in its code. Codes follow a
# normal distribution, so a grid of its quantiles passes through regions of equal probability.
plane = VAEDensityEstimator(
    n_components=2,
    hidden_layer_sizes=(256,),
    autoregressive=False,
    n_importance_samples=100,
    random_state=0,
).fit(train)
print(f"VAE, 2 latent dimensions  mean log-probability {plane.score(test):6.2f} nats")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
codes = plane.transform(test)
points = left.scatter(*codes.T, c=test_digit, cmap="tab10", s=8)
figure.colorbar(points, ax=left, label="digit")
left.set(xlabel="latent dimension 0", ylabel="latent dimension 1", title="codes of new images")
quantiles = norm.ppf(np.linspace(0.03, 0.97, 14))
grid = np.array([[first, second] for second in quantiles[::-1] for first in quantiles])
tiles = np.pad(
    plane.inverse_transform(grid).reshape(14, 14, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1))
)
right.imshow(tiles.transpose(0, 2, 1, 3).reshape(140, 140), cmap="gray_r")
right.set(xticks=[], yticks=[], title="what lies at each point of the plane")
plt.show()

# %%
# A walk
# ------
# From a seven to a six in equal steps between their codes. On the way are images of other
# digits. In the mean of the two images, the second line, both shine through.
start, end = test[test_digit == 7][0], test[test_digit == 6][0]
steps = np.linspace(0, 1, 12)[:, None]
walk = (1 - steps) * plane.transform([start]) + steps * plane.transform([end])
figure, axes = plt.subplots(2, 12, figsize=(9, 1.7), layout="constrained")
show(axes[0], plane.inverse_transform(walk), "between codes")
show(axes[1], (1 - steps) * start + steps * end, "between images")
plt.show()

# %%
# The density is better than both baselines, by the one figure that they share. Two latent
# dimensions are enough to look at, but not for a good density: compare the figures above.
