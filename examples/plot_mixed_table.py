"""
A table of mixed columns, and why a row is an outlier
=====================================================

Flats to let: their size and rent are real values, the number of replies to the advertisement is a
count, district and weekday are codes, and a balcony is there or not.
:class:`~skvae.VAEOutlierDetector` gives each column the distribution that suits it. The outliers
are flats of which each value is common, but not together. The flats are made up.
"""

# %%
# The flats
# ---------
# The rent follows from size and district, small flats in good districts have many replies, and good
# districts have balconies. The floor and the weekday of the advertisement have nothing to do with
# the rest. In one of 25 flats one thing was changed.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import VAEOutlierDetector
from skvae.inspection import ContributionsDisplay, top_contributions

COLUMNS = ["log size", "log rent", "replies", "district", "balcony", "floor", "weekday"]
rng = np.random.RandomState(0)


def make_flats(n):
    """Flats as they should be."""
    district = rng.randint(4, size=n)
    log_size = rng.normal(4.2, 0.35, size=n)
    rate = np.array([2.0, 2.3, 2.6, 2.9])[district]
    log_rent = rate + 0.95 * log_size + rng.normal(0, 0.08, size=n)
    replies = rng.poisson(np.exp(1.5 - 2.5 * (log_size - 4.2) + 0.4 * district))
    balcony = rng.uniform(size=n) < np.array([0.05, 0.3, 0.7, 0.95])[district]
    floor, weekday = rng.poisson(2, size=n), rng.randint(7, size=n)
    return np.c_[log_size, log_rent, replies, district, balcony, floor, weekday]


X = make_flats(4000)
is_outlier = np.zeros(4000, dtype=int)
changed = rng.choice(4000, 160, replace=False)
is_outlier[changed] = 1
others = make_flats(160)
# In a third of them the rent, the replies or the district is that of another flat.
for third, column in enumerate([1, 2, 3]):
    X[changed[third::3], column] = others[third::3, column]

# %%
# Detectors without labels
# ------------------------
# scikit-learn's detectors take real values only, so each code becomes a column of zeros and ones
# for them. "Each column alone" adds up how rare each value is by itself.
encode = make_column_transformer(
    (StandardScaler(), [0, 1, 2, 5]), (OneHotEncoder(), [3, 6]), remainder="passthrough"
)
detector = VAEOutlierDetector(
    likelihood={"poisson": [2, 5], "categorical": [3, 6]},  # the others: chosen by their values
    n_importance_samples=100,
    alpha=0.001,
    max_iter=60,
    random_state=0,
)
detectors = {
    "isolation forest": make_pipeline(encode, IsolationForest(random_state=0)),
    "nearest neighbours (LOF)": make_pipeline(encode, LocalOutlierFactor(novelty=True)),
    "VAE": detector,
}


def rarity(column):
    """Log of the share of each value among ten bins."""
    edges = np.quantile(column, np.linspace(0, 1, 11)[1:-1])
    place = np.digitize(column, np.unique(edges))
    return np.log(np.bincount(place)[place] / len(place))


scores = {"each column alone": sum(rarity(column) for column in X.T)}
for name, model in detectors.items():
    scores[name] = model.fit(X).score_samples(X)
print(f"{'':26} ROC AUC  average precision")
for name, score in scores.items():
    auc, precision = roc_auc_score(is_outlier, -score), average_precision_score(is_outlier, -score)
    print(f"{name:26} {auc:7.2f}  {precision:17.2f}")
print(f"likelihoods: { {name: c.tolist() for name, c in detector.density_.likelihood_.items()} }")

# %%
# Why?
# ----
# The score is a sum over columns. A column's part says how well its value fits what the whole row
# says; that of a count, or of a zero or one, is against a zero in its place, and the rest is in the
# baseline. The three oddest flats, with the two columns that speak most against each:
oddest = np.argsort(detector.score_samples(X))[:3]
explanation = detector.feature_contributions(X[oddest])
for row, reasons in zip(oddest, top_contributions(explanation, COLUMNS, n_features=2), strict=True):
    flat = ", ".join(f"{name} {value:.3g}" for name, value in zip(COLUMNS, X[row], strict=True))
    why = ", ".join(f"{name} {nats:.1f}" for name, nats in reasons)
    print(f"{flat}\n    {'changed' if is_outlier[row] else 'as made'}; because of {why} nats")

figure, axes = plt.subplots(1, 3, figsize=(11, 3), layout="constrained")
for ax, row in zip(axes, oddest, strict=True):
    ContributionsDisplay.from_estimator(detector, X[[row]], feature_names=COLUMNS, ax=ax)
plt.show()

# %%
# None of the changed values is rare by itself, so looking at each column alone finds next to
# nothing. The density knows what goes with what, and its score says which columns do not. Nearest
# neighbours are misled by the two columns that say nothing; in a table without these they are
# better than the density.
