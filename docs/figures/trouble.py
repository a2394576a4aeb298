"""Loss curves of a good learning rate, a low and a high one."""

import matplotlib.pyplot as plt
import numpy as np

from skvae import VAEDensityEstimator

rng = np.random.RandomState(0)
X = np.tanh(rng.randn(1000, 3) @ rng.randn(3, 20)) + 0.2 * rng.randn(1000, 20)
figure, ax = plt.subplots(figsize=(4.6, 2.8))
for name, rate in (("too low", 3e-5), ("default", 3e-3), ("too high", 0.15)):
    density = VAEDensityEstimator(
        learning_rate_init=rate, max_iter=40, early_stopping=False, random_state=0
    ).fit(X)
    curve = np.array(density.loss_curve_)
    print(f"{name}: last loss {curve[-1]:.1f}, highest after the fifth {curve[5:].max():.1f}")
    ax.plot(np.arange(1, len(curve) + 1), curve, label=f"{name}, {rate:g}")
ax.set(xlabel="epoch", ylabel="loss, nats", yscale="log")
ax.legend(title="learning_rate_init", fontsize=7)
