"""
Probabilities that mean what they say
=====================================

:class:`~skvae.OutlierClassifier` spreads the ranks of a detector's scores between 0 and 1: good to
search a threshold in, but no probabilities that come true. Where there are labels, scikit-learn's
``CalibratedClassifierCV`` learns the way from scores to probabilities: of the rows given 0.3, three
out of ten are outliers. The rows here are made up.
"""

# %%
# Rows from two factors behind ten features. An outlier has the same factors and more noise, some of
# them hardly more, so that nobody could tell for sure.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import StratifiedKFold, train_test_split

from skvae import OutlierClassifier, VAEOutlierDetector

rng = np.random.RandomState(0)
n_samples = 3000
is_outlier = rng.uniform(size=n_samples) < 0.2
noise = np.where(is_outlier, rng.uniform(1, 3, size=n_samples), 1)
X = rng.randn(n_samples, 2) @ rng.randn(2, 10) + noise[:, None] * rng.randn(n_samples, 10)
X_train, X_test, y_train, y_test = train_test_split(
    X, is_outlier, test_size=0.5, stratify=is_outlier, random_state=0
)

# %%
# The detector sees no label; the calibration needs them. Each fold fits a detector and calibrates
# it on rows that it has not seen.
classifier = OutlierClassifier(VAEOutlierDetector(n_components=2, max_iter=30, random_state=0))
folds = StratifiedKFold(3, shuffle=True, random_state=0)
classifiers = {
    "ranks of the scores": classifier,
    "calibrated, sigmoid": CalibratedClassifierCV(classifier, method="sigmoid", cv=folds),
    "calibrated, isotonic": CalibratedClassifierCV(classifier, method="isotonic", cv=folds),
}
probabilities = {
    name: fitted.fit(X_train, y_train).predict_proba(X_test)[:, 1]
    for name, fitted in classifiers.items()
}

# %%
# The Brier score is the mean squared difference between probability and truth. The last line always
# says the share of outliers.
base_rate = np.full(len(y_test), y_train.mean())
for name, probability in {**probabilities, "share of outliers": base_rate}.items():
    print(f"{name:22} Brier score {brier_score_loss(y_test, probability):.3f}")

# %%
# Probabilities that come true lie on the diagonal. The bins hold equally many held-out rows.
figure, ax = plt.subplots(figsize=(5.5, 5), layout="constrained")
for name, probability in probabilities.items():
    CalibrationDisplay.from_predictions(
        y_test, probability, n_bins=10, strategy="quantile", name=name, ax=ax
    )
ax.set(
    xlabel="probability given to rows",
    ylabel="share of outliers among them",
    title="reliability on held-out rows",
)
plt.show()
