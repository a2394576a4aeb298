"""
Two half-moons, three densities
===============================

In the plane a density can be looked at. Here :class:`~skvae.VAEDensityEstimator` is held against
scikit-learn's two estimators of densities, ``KernelDensity`` and ``GaussianMixture``, each with its
own best setting, on rows from two half-moons.
"""

# %%
# The rows
# --------
# Half of them are for training. The others judge.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KernelDensity

from skvae import VAEDensityEstimator

X, moon = make_moons(3000, noise=0.1, random_state=0)
train, test, _, moon_of_test = train_test_split(X, moon, test_size=0.5, random_state=0)

# %%
# Three densities
# ---------------
# The width of the kernels and the number of normal distributions are chosen by cross-validation, by
# the mean log-density of the rows left out. The autoencoder is scored by the importance-weighted
# bound with 100 draws, which is close to its log-density. It runs twice: with its defaults, and
# trained on 30 draws a row, with a second hidden layer and without weight decay.
kernels = GridSearchCV(KernelDensity(), {"bandwidth": np.geomspace(0.03, 0.3, 8)}, cv=3)
mixture = GridSearchCV(GaussianMixture(random_state=0), {"n_components": [4, 8, 12, 16]}, cv=3)
default = VAEDensityEstimator(n_components=2, n_importance_samples=100, random_state=0)
autoencoder = clone(default).set_params(n_training_draws=30, hidden_layer_sizes=(128, 128), alpha=0)
densities = {
    "KernelDensity": kernels,
    "GaussianMixture": mixture,
    "VAE, defaults": default,
    "VAE, 30 draws": autoencoder,
}
for name, density in densities.items():
    density.fit(train)
    score = density.score_samples(test).mean()
    print(f"{name:16} mean log-density of new rows {score:6.3f} nats")
print(f"kernels: width {kernels.best_params_['bandwidth']:.2f}")
print(f"mixture: {mixture.best_params_['n_components']} normal distributions")

# %%
# Contours
# --------
# Each shade is a nat. A kernel density is rough where rows are few, and a mixture shows what it is
# made of. The autoencoder bends one normal distribution into both moons. With one draw a row it
# does not get there: the encoder's normal distributions cannot say "either here or there", and the
# bound punishes a decoder that needs it. With more draws the encoder may be rough, and the density
# comes close to the other two.
across, up = np.meshgrid(np.linspace(-1.6, 2.6, 100), np.linspace(-1.2, 1.7, 80))
grid = np.c_[across.ravel(), up.ravel()]
figure, axes = plt.subplots(1, 4, figsize=(12, 2.6), sharey=True, layout="constrained")
for ax, (name, density) in zip(axes, densities.items(), strict=True):
    height = density.score_samples(grid).reshape(across.shape)
    ax.contourf(across, up, height, np.arange(-9, 1), cmap="Blues", extend="both")
    ax.scatter(*test[:400].T, s=1, color="0.3")
    ax.set(title=name, aspect="equal")
plt.show()

# %%
# New rows
# --------
# All three can make rows. Those of the autoencoder come from a latent normal distribution, so that
# it can also say which latent point belongs to a row.
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
left.scatter(*autoencoder.sample(1500, random_state=0).T, s=2)
left.set(title="drawn from the autoencoder", aspect="equal")
codes = autoencoder.transform(test)
right.scatter(*codes.T, s=2, c=moon_of_test, cmap="coolwarm")
right.set(title="where rows lie in the latent plane")
plt.show()

# %%
# In two columns nobody needs a network: kernels and mixtures are as good or better, and faster.
# That it can keep up is a check of the method. It is made for many columns, where a kernel density
# falls behind. What to take from here is that training draws matter where a row may come from
# several latent points.
