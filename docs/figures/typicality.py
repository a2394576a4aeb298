"""Where the rows of a normal distribution lie, and how dense its middle is."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

rng = np.random.RandomState(0)
figure, axes = plt.subplots(1, 2, figsize=(7, 2.6))
for ax, d in zip(axes, [2, 100], strict=True):
    scores = norm.logpdf(rng.randn(5000, d)).sum(axis=1)
    middle = norm.logpdf(np.zeros(d)).sum()
    below = (scores < middle).mean()
    gap = (middle - scores.max()) / scores.std()
    print(f"{d} columns: the middle is denser than {below:.0%} of the rows, and lies")
    print(f"    {gap:.1f} standard deviations above the densest of them")
    ax.hist(scores, 40, density=True, color="0.8", label="rows drawn")
    ax.axvline(middle, color="C3", label="the middle")
    ax.set(title=f"{d} columns", xlabel="log-density, nats")
axes[0].legend(loc="upper left", fontsize=7)
