"""
A large vocabulary
==================

A step that counts the zeros of all words takes a time that grows with the vocabulary, although a
message has a dozen of them. ``n_negative_samples`` counts all words of a batch and a sample of the
others: the bound that is trained on is estimated without bias, and a step costs what the entries
do. Both ways are compared here by the bound of held-out rows, for which all zeros count.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp

from skvae import VAEDensityEstimator

# %%
# Made-up messages: each is about one of four topics, and a topic prefers words that are rare in the
# others.

N_ROWS, N_WORDS, N_TOPICS, LENGTH = 4000, 20_000, 4, 20
rng = np.random.default_rng(0)
ranks = np.stack([rng.permutation(N_WORDS) for _ in range(N_TOPICS)])
topics = rng.integers(N_TOPICS, size=N_ROWS)
places = (N_WORDS * rng.random((N_ROWS, LENGTH)) ** 6).astype(int)
columns = ranks[topics[:, None], places]
X = sp.csr_matrix(
    (np.ones(columns.size), columns.ravel(), np.arange(0, columns.size + 1, LENGTH)),
    shape=(N_ROWS, N_WORDS),
)
X.sum_duplicates()
X.data[:] = 1
train, test = X[:3600], X[3600:]
print(f"{N_ROWS} messages of {X.nnz / N_ROWS:.1f} words out of {N_WORDS}")

# %%
# The baseline has no latent variables: each word by itself, as often as it was in the training
# rows.

p = (np.asarray(train.sum(axis=0)).ravel() + 0.5) / (train.shape[0] + 1)
independent = (test @ np.log(p / (1 - p)) + np.log1p(-p).sum()).mean()
print(f"independent words   {independent:7.2f} nats")

# %%
# The same network, with and without the sample. A tenth of the training rows is held out to stop,
# and the bound of these rows after each epoch, for which all zeros count, is what the figure shows.

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for n_negative_samples, label in ((None, "all zeros"), (3000, "3000 zeros a step")):
    density = VAEDensityEstimator(
        n_negative_samples=n_negative_samples, max_iter=40, n_iter_no_change=8, random_state=0
    )
    start = time.perf_counter()
    density.fit(train)
    seconds = time.perf_counter() - start
    bounds = -np.array(density.validation_loss_curve_)
    axes.plot(np.linspace(0, seconds, len(bounds) + 1)[1:], bounds, marker=".", label=label)
    print(f"{label:19} {density.score(test):7.2f} nats in {seconds:.0f} s")
axes.set(xlabel="seconds of training", ylabel="bound of the rows held out, nats")
axes.legend()
plt.show()

# %%
# The sample reaches the bound of all zeros in less time, and the more so the larger the vocabulary
# is: at 100,000 words a step with all zeros takes many times as long. The default,
# ``n_negative_samples="auto"``, takes such a sample of sparse tables of 20,000 columns and more.
