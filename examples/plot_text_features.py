"""
Words, counts or characters?
============================

Three ways to make a table of messages, and what the same detector finds in each: which words a
message holds, how often it holds each word, and how often each character. The baselines are its
length and its number of digits.

Run it with ``--data FILE`` to read a file of messages ("ham" or "spam", a tab, the text, one a
line). Otherwise the messages are made up, and easier than real ones.
"""

# %%
# The messages
# ------------
import argparse

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score
from sklearn.model_selection import StratifiedKFold, TunedThresholdClassifierCV, train_test_split
from sklearn.pipeline import make_pipeline

from skvae import OutlierClassifier, VAEOutlierDetector
from skvae.datasets import fetch_sms_spam, make_messages

parser = argparse.ArgumentParser()
parser.add_argument("--data", help="file of messages: label, tab, text")
options, _ = parser.parse_known_args()

if options.data is None:
    messages, is_spam = make_messages(2000, random_state=0)
else:
    messages, is_spam = fetch_sms_spam(path=options.data, return_X_y=True)
print(f"{len(messages)} {'made-up ' if options.data is None else ''}messages")
train, test, y_train, y_test = train_test_split(
    messages, is_spam, test_size=0.5, stratify=is_spam, random_state=0
)

# %%
# Baselines
# ---------
# Whoever ranks messages by a number that a child could count finds a good part of the spam.
for name, count in {
    "length": [len(message) for message in test],
    "number of digits": [sum(map(str.isdigit, message)) for message in test],
}.items():
    print(f"{name:18} ROC AUC {roc_auc_score(y_test, count):.3f}")

# %%
# Three tables
# ------------
# Words that are there or not are zeros and ones, and take a Bernoulli decoder. Counts of words and
# of characters take a Poisson decoder. Characters keep their case. A vocabulary of characters is
# small, and hardly any message holds a character that it lacks.
tables = {
    "binary words": (CountVectorizer(binary=True, min_df=2), "bernoulli"),
    "word counts": (CountVectorizer(min_df=2), "poisson"),
    "character counts": (CountVectorizer(analyzer="char", lowercase=False, min_df=2), "poisson"),
}

# %%
# Each is fitted on all training messages, and on ham alone. The threshold is the detector's own, or
# the one that `TunedThresholdClassifierCV` finds best by F1 on the training half.
folds = StratifiedKFold(3, shuffle=True, random_state=0)
results = {}
for name, (vectorizer, likelihood) in tables.items():
    for fit_on in ("all", "inliers"):
        score = "auto" if fit_on == "all" else "elbo"
        detector = VAEOutlierDetector(
            likelihood=likelihood, outlier_score=score, max_iter=20, random_state=0
        )
        classifier = OutlierClassifier(make_pipeline(vectorizer, detector), fit_on=fit_on)
        tuned = TunedThresholdClassifierCV(classifier, scoring="f1", cv=folds)
        tuned.fit(train, y_train)
        own = tuned.estimator_
        results[name, fit_on] = [
            precision_recall_fscore_support(y_test, labels, average="binary", zero_division=0)[:3]
            for labels in (own.predict(test), tuned.predict(test))
        ] + [roc_auc_score(y_test, -own.score_samples(test)), own.estimator_[-1].outlier_score_]

print(f"{'':38}{'own threshold':18}{'tuned threshold':18}")
print(f"{'table':17}{'fitted on':10}{'score':10}" + " prec.  rec.   F1 " * 2 + "  ROC AUC")
for (name, fit_on), (own, tuned, auc, score) in results.items():
    figures = "".join(f" {value:5.2f}" for rates in (own, tuned) for value in rates)
    print(f"{name:17}{fit_on:10}{score:10}{figures}    {auc:.3f}")

# %%
# Precision and recall
# --------------------
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True, layout="constrained")
bars = ["precision", "recall", "precision, tuned", "recall, tuned"]
for ax, fit_on in zip(axes, ("all", "inliers"), strict=True):
    for place, (label, color) in enumerate(zip(bars, ["C0", "C1", "navy", "C3"], strict=True)):
        rule, rate = divmod(place, 2)
        heights = [results[name, fit_on][rule][rate] for name in tables]
        ax.bar(np.arange(3) + 0.2 * (place - 1.5), heights, 0.18, color=color, label=label)
    ax.set_xticks(range(3), tables)
    ax.set(title=f"fitted on {fit_on}", ylim=(0, 1.05))
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right")
plt.show()

# %%
# Which words are there is enough where spam is among the training messages: the detector finds the
# cluster that it forms, and scores the log-odds. Counts of words add little to that, since few
# words come twice in a message, and they lose the cluster, for which the table must be binary: what
# remains is a density, and that nearly measures the length. Counts of characters see runs of digits
# and capitals, and need no vocabulary. So they are the better table where all training messages are
# ham: words that ham never uses are missing from its vocabulary, and then spam looks short.
