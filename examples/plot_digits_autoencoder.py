"""
Digits through eight numbers
============================

An autoencoder squeezes the 64 pixels of scikit-learn's digits into a code of eight numbers and
draws them again. Principal component analysis with as many components is the baseline: on images
that neither has seen, the autoencoder loses less.
"""

# %%
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skvae import AutoencoderTransformer

X = load_digits().data / 16
train, test = train_test_split(X, random_state=0)

autoencoder = AutoencoderTransformer(n_components=8, random_state=0).fit(train)
pca = PCA(n_components=8).fit(train)

# %%
# The error is the squared difference, summed over pixels, averaged over the held-out images.
reconstructions = {
    "autoencoder": autoencoder.inverse_transform(autoencoder.transform(test)),
    "PCA": pca.inverse_transform(pca.transform(test)),
}
for name, reconstruction in reconstructions.items():
    error = ((reconstruction - test) ** 2).sum(axis=1).mean()
    print(f"{name:12} held-out reconstruction error {error:.2f}")

# %%
# Originals above, what came back below.
rows = {"original": test, **reconstructions}
figure, axes = plt.subplots(len(rows), 10, figsize=(10, 3.4), layout="constrained")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name)
plt.show()
