"""The logarithm lies below its tangent at 1: all that Gibbs' inequality needs."""

import matplotlib.pyplot as plt
import numpy as np

t = np.linspace(0.05, 3, 300)
figure, ax = plt.subplots(figsize=(4, 2.6))
ax.plot(t, t - 1, label="t - 1")
ax.plot(t, np.log(t), label="log t")
ax.plot([1], [0], "ko", markersize=4)
ax.set(xlabel="t", ylim=(-3, 2.2))
ax.legend()
