"""What three decoders say of a value, for a few outputs of the network."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm, poisson

figure, axes = plt.subplots(1, 3, figsize=(8, 2.5))
bernoulli, gaussian, counts = axes
for offset, logit in ((-0.25, -2), (0, 0), (0.25, 1)):
    p = 1 / (1 + np.exp(-logit))
    bernoulli.bar([offset, 1 + offset], [1 - p, p], width=0.22, label=f"l = {logit}")
bernoulli.set(xticks=[0, 1], title="Bernoulli", ylabel="p(x|z)")
x = np.linspace(-4, 4, 300)
for mean, sd in ((-1, 0.5), (0, 1), (1, 2)):
    gaussian.plot(x, norm.pdf(x, mean, sd), label=f"m = {mean}, s = {sd}")
gaussian.set(title="Gaussian")
k = np.arange(13)
for log_rate in (-1, 1, 2):
    counts.plot(k, poisson.pmf(k, np.exp(log_rate)), "o-", markersize=3, label=f"l = {log_rate}")
counts.set(title="Poisson")
for ax in axes:
    ax.set_xlabel("x")
    ax.legend(fontsize=7)
