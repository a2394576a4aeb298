"""One number for each point of the plane: principal component analysis and an autoencoder."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from skvae import AutoencoderTransformer

rng = np.random.RandomState(0)
# A horseshoe with a gap near its top.
angle = np.concatenate([rng.uniform(-0.5, 1.2, 200), rng.uniform(1.9, 3.6, 200)])
X = np.c_[np.cos(angle), np.sin(angle)] + 0.05 * rng.randn(400, 2)
in_gap = np.array([[np.cos(1.55), np.sin(1.55)]])

pca = PCA(n_components=1).fit(X)
autoencoder = AutoencoderTransformer(
    n_components=1,
    hidden_layer_sizes=(64, 64),
    activation="tanh",
    batch_size=32,
    max_iter=200,
    random_state=0,
).fit(X)

figure, axes = plt.subplots(1, 2, figsize=(7, 3), sharex=True, sharey=True)
for ax, name, model in zip(axes, ["PCA", "autoencoder"], [pca, autoencoder], strict=True):
    back = model.inverse_transform(model.transform(X))
    error = ((X - back) ** 2).sum(axis=1).mean()
    error_in_gap = ((in_gap - model.inverse_transform(model.transform(in_gap))) ** 2).sum()
    print(f"{name}: mean squared error {error:.3f}, of the point in the gap {error_in_gap:.3f}")
    ax.scatter(*X.T, s=5, color="0.6", label="rows")
    ax.scatter(*back.T, s=5, color="C0", label="what came back")
    ax.plot(*in_gap.T, "r*", markersize=10, label="a row in the gap")
    ax.set(title=f"{name}, one number a row", aspect="equal")
axes[1].legend(loc="center", fontsize=7)
