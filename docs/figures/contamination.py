"""How well the bound ranks outliers of two kinds, the more of them are in the training rows."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from skvae import VAEOutlierDetector

rng = np.random.RandomState(0)
factors = rng.randn(3, 10)


def rows(n):
    """Normal rows: three factors and some noise."""
    return rng.randn(n, 3) @ factors + 0.3 * rng.randn(n, 10)


outliers = {
    "scattered": lambda n: 2 * rng.randn(n, 10),
    "clustered": lambda n: 2 * np.tile([1, -1], 5) + 0.3 * rng.randn(n, 10),
}
shares = [0, 0.02, 0.05, 0.1, 0.2, 0.3]
test = rows(500)
figure, ax = plt.subplots(figsize=(4.6, 2.8))
for name, draw in outliers.items():
    new = draw(500)
    aucs = []
    for share in shares:
        n_out = round(share * 1000)
        train = np.r_[rows(1000 - n_out), draw(n_out)]
        detector = VAEOutlierDetector(max_iter=40, random_state=0).fit(train)
        scores = detector.score_samples(np.r_[test, new])
        aucs.append(roc_auc_score(np.repeat([0, 1], 500), -scores))
    print(f"{name}: " + ", ".join(f"{a:.2f}" for a in aucs))
    ax.plot(shares, aucs, "o-", label=name)
ax.axhline(0.5, color="0.7", linestyle=":")
ax.set(xlabel="share of outliers among the training rows", ylabel="ROC AUC of new rows")
ax.legend()
