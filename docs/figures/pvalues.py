"""p-values of new rows, normal ones and outliers."""

import matplotlib.pyplot as plt
import numpy as np

from skvae import ConformalOutlierDetector, VAEOutlierDetector

rng = np.random.RandomState(0)
weights = rng.randn(2, 8)


def rows(n, noise):
    """Rows of two factors with more or less noise."""
    return rng.randn(n, 2) @ weights + noise * rng.randn(n, 8)


detector = VAEOutlierDetector(n_components=2, max_iter=20, random_state=0)
conformal = ConformalOutlierDetector(detector, calibration_size=0.5, random_state=0)
conformal.fit(rows(2000, 0.5))
figure, ax = plt.subplots(figsize=(4.6, 2.8))
for name, noise in (("normal rows", 0.5), ("outliers", 1.0)):
    p_values = conformal.predict_pvalue(rows(2000, noise))
    print(f"{name}: {np.mean(p_values <= 0.05):.1%} with a p-value of at most 0.05")
    ax.hist(p_values, np.linspace(0, 1, 21), density=True, alpha=0.5, label=name)
ax.axhline(1, color="black", linestyle=":")
ax.set(xlabel="p-value", ylabel="density", yscale="log")
ax.legend()
