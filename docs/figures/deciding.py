"""Precision, recall and F1 of new rows over the threshold, and three ways to choose it."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import f1_score, precision_recall_curve
from sklearn.model_selection import TunedThresholdClassifierCV

from skvae import OutlierClassifier, VAEOutlierDetector

rng = np.random.RandomState(0)
y = (rng.uniform(size=4000) < 0.1).astype(int)
noise = np.where(y == 1, rng.uniform(1, 3, size=4000), 0.5)
X = rng.randn(4000, 2) @ rng.randn(2, 8) + noise[:, None] * rng.randn(4000, 8)
X, X_new, y, y_new = X[:2000], X[2000:], y[:2000], y[2000:]

detector = VAEOutlierDetector(n_components=2, max_iter=20, random_state=0)
tuned = TunedThresholdClassifierCV(OutlierClassifier(detector), scoring="f1", cv=3).fit(X, y)
fitted = tuned.estimator_.estimator_
train_scores, scores = fitted.score_samples(X), fitted.score_samples(X_new)
thresholds = {
    "auto": fitted.offset_,
    "the share, if known": np.quantile(train_scores, y.mean()),
    "tuned by F1": scores[tuned.predict(X_new) == 1].max(),
}

figure, ax = plt.subplots(figsize=(5.5, 3.2))
precision, recall, minus_threshold = precision_recall_curve(y_new, -scores)
f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
for name, values in (("precision", precision), ("recall", recall), ("F1", f1)):
    ax.plot(-minus_threshold, values[:-1], label=name, linewidth=2.5 if name == "F1" else 1)
for style, (name, threshold) in zip(("--", "-.", ":"), thresholds.items(), strict=True):
    print(f"{name}: F1 of new rows {f1_score(y_new, scores <= threshold):.2f}")
    ax.axvline(threshold, color="black", linestyle=style, label=name)
ax.set(xlabel="threshold on the score, nats", xlim=np.quantile(scores, [0.02, 0.9]))
ax.legend(fontsize=7)
