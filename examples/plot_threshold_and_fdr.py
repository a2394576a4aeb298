"""
Thresholds and false discoveries
================================

One detector, one ranking of the rows, and five places to draw the line: by a rule, by a guessed
share of outliers, tuned by F1, and by p-values that keep to a rate of false alarms or of false
discoveries. The rows are made up.
"""

# %%
# The rows
# --------
# Two factors behind ten columns; outliers have the same factors and more noise. Training rows have
# labels, which only the tuned threshold and the p-values use.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV

from skvae import ConformalOutlierDetector, OutlierClassifier, VAEOutlierDetector

rng = np.random.RandomState(0)
weights = rng.randn(2, 10)


def make_rows(n, share):
    """Rows and whether each is an outlier."""
    is_outlier = rng.uniform(size=n) < share
    noise = np.where(is_outlier, rng.uniform(1, 3, size=n), 0.7)
    return rng.randn(n, 2) @ weights + noise[:, None] * rng.randn(n, 10), is_outlier


X, y = make_rows(6000, 0.05)

# %%
# Five lines
# ----------
# A float ``contamination`` flags this share of the training rows. The tuned threshold is that of
# the best F1 in cross-validation. The p-values compare a row with normal rows that were put aside.
detector = VAEOutlierDetector(n_components=2, max_iter=15, random_state=0)
folds = StratifiedKFold(3, shuffle=True, random_state=0)
p_values = ConformalOutlierDetector(detector, calibration_size=0.7, random_state=0)
guess = clone(detector).set_params(contamination=0.1)
by_labels = OutlierClassifier(detector, outlier_label=True)
tuned = TunedThresholdClassifierCV(by_labels, scoring="f1", cv=folds)
discoveries = clone(p_values).set_params(control="fdr", level=0.1)
fitted = {
    'contamination="auto"': detector.fit(X),
    "contamination=0.1, a guess": guess.fit(X),
    "tuned by F1": tuned.fit(X, y),
    "p-value at most 0.05": p_values.fit(X[~y]),
    "false discoveries at most 0.1": discoveries.fit(X[~y]),
}


def flags(model, table):
    """Whether each row is flagged: classifiers say True, detectors -1."""
    labels = model.predict(table)
    return labels if labels.dtype == bool else labels == -1


# %%
# The same rules where outliers are fewer or more
# -----------------------------------------------
# The share of outliers among new rows is seldom that of the training rows. Each rule judges ten
# tables of 1000 new rows, for several shares.
shares = [0.005, 0.02, 0.05, 0.1, 0.2]
rates = {name: [] for name in fitted}
for share in shares:
    tables = [make_rows(1000, share) for _ in range(10)]
    for name, model in fitted.items():
        counts = []
        for table, is_outlier in tables:
            flagged = flags(model, table)
            true, false = (flagged & is_outlier).sum(), (flagged & ~is_outlier).sum()
            counts.append(
                [
                    false / max(true + false, 1),  # discoveries that are false
                    true / max(is_outlier.sum(), 1),  # outliers found
                    2 * true / (true + false + is_outlier.sum()) if true else 0,  # F1
                ]
            )
        rates[name].append(np.mean(counts, axis=0))

print("mean over ten tables of 1000 rows  " + " ".join(f"{share:6.1%}" for share in shares))
for place, title in enumerate(["share of alarms that are false", "share of outliers found", "F1"]):
    print(title)
    for name, values in rates.items():
        print(f"    {name:30}" + " ".join(f"{value[place]:6.2f}" for value in values))

figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
for place, (ax, title) in enumerate(
    zip(axes, ["alarms that are false", "outliers found", "F1"], strict=True)
):
    for name, values in rates.items():
        ax.plot(shares, [value[place] for value in values], "o-", label=name)
    ax.set(xscale="log", xlabel="share of outliers among new rows", title=title, ylim=(-0.03, 1.03))
    ax.set_xticks(shares, [f"{share:.1%}" for share in shares])
    ax.minorticks_off()
axes[0].axhline(0.1, color="0.7", linestyle=":")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()

# %%
# A fixed line flags the same share of normal rows, whatever the others are. Where outliers are
# rare, most of what it flags is then normal. The false-discovery rate moves the line with the rows
# that are judged together: false alarms stay near its level at every share, on average over the
# calibration rows. The price is paid where outliers are very few: a handful among 1000 rows is
# found only if there are calibration rows by the thousand. Where outliers are as common as they
# were in training, the tuned line is as good as any by F1; it is what labels are good for.
