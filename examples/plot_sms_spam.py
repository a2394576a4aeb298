"""
Spam from raw text, without labels
==================================

Raw messages become binary bags of words, a variational autoencoder learns how likely a bag is, and
the messages of low density are called spam. The detector never sees a label: labels serve to
measure it, and where it says so, to choose a threshold or a setting.

Run it with ``--data FILE`` to read a file of messages ("ham" or "spam", a tab, the text, one a
line); otherwise the SMS Spam Collection is fetched. Without a network it runs on made-up messages,
and says so.
"""

# %%
# The messages
# ------------
# Half of them are for training, half are held out and looked at only to report.
import argparse
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    train_test_split,
)
from sklearn.pipeline import make_pipeline

from skvae import OutlierClassifier, VAEOutlierDetector
from skvae.datasets import fetch_sms_spam, make_messages
from skvae.inspection import (
    LatentSpaceDisplay,
    LossCurveDisplay,
    ScoreDistributionDisplay,
    top_contributions,
)

parser = argparse.ArgumentParser()
parser.add_argument("--data", help="file of messages: label, tab, text")
parser.add_argument("--figure", default="sms_spam.png", help="where to save the figure")
options, _ = parser.parse_known_args()

try:
    messages, is_spam = fetch_sms_spam(path=options.data, return_X_y=True)
    print(f"{len(messages)} messages, {is_spam.sum()} of them spam")
except (OSError, ImportError) as error:
    if options.data is not None:
        raise
    print(
        f"{error}\nGoing on with made-up messages: the figures below say nothing about real ones."
    )
    messages, is_spam = make_messages(3000, random_state=0)

train, test, y_train, y_test = train_test_split(
    messages, is_spam, test_size=0.5, stratify=is_spam, random_state=0
)


def report(name, labels, scores):
    """Print how well flags and scores find the spam among the held-out messages."""
    precision, recall, f1, _ = precision_recall_fscore_support(
        y_test, labels, average="binary", zero_division=0
    )
    auc = roc_auc_score(y_test, -scores)
    print(f"{name:38} {precision:9.2f} {recall:7.2f} {f1:5.2f} {auc:8.3f}", flush=True)


# %%
# Fit without labels
# ------------------
# ``early_stopping`` ends the training by the density of held-out messages, not by any label. The
# detector's own threshold is Tukey's fence of the training scores.
start = time.perf_counter()
pipeline = make_pipeline(
    CountVectorizer(binary=True), VAEOutlierDetector(early_stopping=True, random_state=0)
).fit(train)
vectorizer, detector = pipeline
print(
    f"fitted {len(train)} messages x {len(vectorizer.vocabulary_)} words "
    f"in {time.perf_counter() - start:.0f} s, {detector.n_iter_} epochs\n"
)
scores = pipeline.score_samples(test)
print(f"{'held-out messages':38} precision  recall    F1  ROC AUC")
report("own threshold", pipeline.predict(test) == -1, scores)

# %%
# On a bag of words the score falls with every word, so it nearly measures the length of a message;
# and the more a model learns of messages that contain spam, the less spam stands out. Training on,
# without a look at held-out messages, shows it:
long_training = make_pipeline(CountVectorizer(binary=True), VAEOutlierDetector(random_state=0))
long_training.fit(train)
report(
    f"own threshold, {long_training[-1].n_iter_} epochs",
    long_training.predict(test) == -1,
    long_training.score_samples(test),
)

# %%
# A threshold by cross-validation
# -------------------------------
# :class:`~skvae.OutlierClassifier` gives the detector the labels' names, and scikit-learn's own
# tool then picks the threshold of the best F1 on the training half: one fit a fold.
folds = StratifiedKFold(3, shuffle=True, random_state=0)
tuned = TunedThresholdClassifierCV(OutlierClassifier(pipeline), scoring="f1", cv=folds)
tuned.fit(train, y_train)
report("threshold tuned by F1", tuned.predict(test), tuned.estimator_.score_samples(test))

# %%
# A grid search by F1
# -------------------
search = GridSearchCV(
    OutlierClassifier(pipeline),
    {
        "estimator__vaeoutlierdetector__contamination": [0.134, 0.25],
        "estimator__vaeoutlierdetector__n_components": [2, 8],
    },
    scoring="f1",
    cv=folds,
    n_jobs=2,
).fit(train, y_train)
report("grid search by F1", search.predict(test), search.best_estimator_.score_samples(test))
for name, value in search.best_params_.items():
    print(f"    {name.rpartition('__')[2]} = {value}")

# %%
# Why?
# ----
# The score is a sum over words, so each can be asked for its part. The ten most suspicious of the
# held-out messages, with the words that made them so:
most_suspicious = np.argsort(scores)[:10]
suspects = [test[row] for row in most_suspicious]
explanation = detector.feature_contributions(vectorizer.transform(suspects))
tops = top_contributions(explanation, vectorizer.get_feature_names_out(), n_features=4)
print("\nmost suspicious, with the words (nats) that made it so")
for row, message, words in zip(most_suspicious, suspects, tops, strict=True):
    reasons = ", ".join(f"{word} {nats:.1f}" for word, nats in words)
    print(f"{'spam' if y_test[row] else 'ham ':4} {scores[row]:8.1f}  {message[:50]!r}: {reasons}")

# %%
# Figures
# -------
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
names = np.array(["ham", "spam"])[y_test]
LossCurveDisplay.from_estimator(detector, ax=left)
left.set_title("negative ELBO and its two terms")
ScoreDistributionDisplay.from_estimator(pipeline, test, names, ax=middle)
middle.set_title("scores of held-out messages")
LatentSpaceDisplay.from_estimator(detector, vectorizer.transform(test), names, ax=right)
right.set_title("latent space")
figure.savefig(options.figure)
