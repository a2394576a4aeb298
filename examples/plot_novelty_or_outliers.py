"""
Novelty detection or outlier detection?
=======================================

*Outlier detection* learns from rows that hold the outliers, *novelty detection* from rows known to
be normal. The first needs no labels, the second is easier. Here malignant tumours are to be found
among benign ones, and :class:`~skvae.OutlierClassifier` does both with one parameter.
"""

# %%
# The rows
# --------
# Thirty measurements of cells of each tumour. Two fifths are held out to judge by. Of the malignant
# tumours in the other part only some are taken, to see what their share does.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from skvae import OutlierClassifier, VAEOutlierDetector
from skvae.inspection import ScoreDistributionDisplay

cancer = load_breast_cancer()
names = np.array(cancer.target_names)[cancer.target]
train, test, y_train, y_test = train_test_split(
    cancer.data, names, test_size=0.4, stratify=names, random_state=0
)


def with_share(share):
    """Training rows of which a share is malignant."""
    benign = np.flatnonzero(y_train == "benign")
    malignant = np.flatnonzero(y_train == "malignant")
    rows = np.r_[benign, malignant[: round(share / (1 - share) * len(benign))]]
    return train[rows], y_train[rows]


# %%
# Both ways, at several shares
# ----------------------------
# ``fit_on="all"`` hands all rows to the detector, ``fit_on="inliers"`` those with the label of the
# inliers. Labels go no further. The baseline is scikit-learn's isolation forest.
detectors = {
    "VAE": VAEOutlierDetector(random_state=0),
    "forest": IsolationForest(random_state=0),
}
shares = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3]
results = {}
for name, detector in detectors.items():
    for fit_on in ("inliers", "all"):
        classifier = OutlierClassifier(detector, fit_on=fit_on, outlier_label="malignant")
        results[name, fit_on] = [
            roc_auc_score(
                y_test == "malignant", -classifier.fit(*with_share(share)).score_samples(test)
            )
            for share in shares
        ]
print("ROC AUC of new rows    " + " ".join(f"{share:5.0%}" for share in shares) + " malignant")
for (name, fit_on), aucs in results.items():
    print(f"{name + ', ' + fit_on:22} " + " ".join(f"{auc:5.3f}" for auc in aucs))

figure, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
for (name, fit_on), aucs in results.items():
    color = "C0" if name == "VAE" else "C1"
    line = "--" if fit_on == "all" else "-"
    ax.plot(shares, aucs, f"{color}{line}", marker="o", label=f"{name}, fitted on {fit_on}")
ax.set(xlabel="share of malignant tumours in training", ylabel="ROC AUC of new rows")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# What happens to the scores
# --------------------------
# Fitted on benign tumours only, the density of malignant ones is low, often far below the edge of
# the figure, where they are piled up. Fitted on both, the network has learned them too: they
# resemble each other enough to be worth it.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for ax, fit_on in zip(axes, ["inliers", "all"], strict=True):
    classifier = OutlierClassifier(detectors["VAE"], fit_on=fit_on, outlier_label="malignant")
    scores = classifier.fit(*with_share(0.3)).score_samples(test)
    shown = np.maximum(scores, -100)  # malignant ones are much lower yet
    ScoreDistributionDisplay.from_predictions(shown, y=y_test, bins=30, ax=ax)
    ax.set_title(f"fitted on {fit_on}")
plt.show()

# %%
# Where normal rows are known, train on them: there the density is better than the forest, and the
# share does not matter. Where they are not, one or two in a hundred do no harm, because rows that
# are far out are not trained on. Of more a flexible density learns what it should flag, and a
# forest, which looks at few rows at a time, holds out longer.
