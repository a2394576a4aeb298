"""KL divergence of a normal distribution from the standard normal one."""

import matplotlib.pyplot as plt
import numpy as np

mean, sd = np.meshgrid(np.linspace(-2.5, 2.5, 200), np.geomspace(0.05, 3.3, 200))
kl = 0.5 * (mean**2 + sd**2 - 1 - np.log(sd**2))
figure, ax = plt.subplots(figsize=(4.4, 3))
lines = ax.contour(mean, sd, kl, levels=[0.05, 0.25, 0.5, 1, 2, 3], cmap="viridis")
ax.clabel(lines, fontsize=7, manual=[(0, 1 + d) for d in (0.3, 0.6, 0.9, 1.2, 1.7, 2)])
ax.plot([0], [1], "k.")
ax.set(xlabel="mean of q", ylabel="standard deviation of q", title="KL divergence, nats")
