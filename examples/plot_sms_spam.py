"""
Spam from raw text, without labels
==================================

Raw messages become binary rows, a variational autoencoder learns what is normal, and the messages
that resemble a tight cluster of others more than that are called spam. The detector never sees a
label: labels serve to measure it, and where it says so, to choose a threshold or a setting.

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
from sklearn.pipeline import FeatureUnion, make_pipeline

from skvae import OutlierClassifier, VAEOutlierDetector
from skvae.datasets import fetch_sms_spam, make_messages
from skvae.inspection import (
    ContributionsDisplay,
    LossCurveDisplay,
    ScoreDistributionDisplay,
    top_contributions,
)
from skvae.text import StyleAnalyzer

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
# Density alone
# -------------
# On a bag of words the density falls with every word, so it nearly measures the length of a
# message; and what is frequent in the training messages is dense, wanted or not.
def words():
    """Which words a message holds, of those that two messages hold."""
    return CountVectorizer(binary=True, min_df=2)


def vae(**parameters):
    """Detector of few epochs: more take longer and find the same."""
    return VAEOutlierDetector(max_iter=20, random_state=0, **parameters)


print(f"{'held-out messages':38} precision  recall    F1  ROC AUC")
density = make_pipeline(words(), vae(outlier_score="elbo")).fit(train)
report("words, ELBO", density.predict(test) == -1, density.score_samples(test))

# %%
# Against a cluster
# -----------------
# Spam is not scattered: it is a tight minority cluster. By default the detector looks for one,
# learns the density of the other messages, and scores the log-odds of the two. The threshold is 0,
# where both are equally probable: nobody has to guess the share of spam.
by_words = make_pipeline(words(), vae()).fit(train)
report("words", by_words.predict(test) == -1, by_words.score_samples(test))

# %%
# How a message is written says as much as its words: runs of digits and of capitals, currency signs
# and URLs need no vocabulary.
style = CountVectorizer(binary=True, analyzer=StyleAnalyzer())
features = FeatureUnion([("words", words()), ("style", style)], verbose_feature_names_out=False)
pipeline = make_pipeline(features, vae())
start = time.perf_counter()
pipeline.fit(train)
seconds = time.perf_counter() - start
scores = pipeline.score_samples(test)
report("words and style", pipeline.predict(test) == -1, scores)
detector = pipeline[-1]
n_features = len(features.get_feature_names_out())
print(
    f"    {len(train)} messages x {n_features} features fitted in {seconds:.0f} s, "
    f"{detector.n_iter_} epochs, score: {detector.outlier_score_}"
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
        "estimator__vaeoutlierdetector__contamination": ["auto", 0.2],
        "estimator__vaeoutlierdetector__outlier_score": ["auto", "elbo"],
    },
    scoring="f1",
    cv=folds,
    n_jobs=2,
).fit(train, y_train)
report("grid search by F1", search.predict(test), search.best_estimator_.score_samples(test))
for name, value in search.best_params_.items():
    print(f"    {name.rpartition('__')[2]} = {value}")

# %%
# Trained on normal messages only
# -------------------------------
# Then there is no cluster of spam to find, and the density is the score. Words that ham never uses
# are missing from its vocabulary, but the style of a message needs none.
novelty = OutlierClassifier(make_pipeline(style, vae(outlier_score="elbo")), fit_on="inliers")
novelty = TunedThresholdClassifierCV(novelty, scoring="f1", cv=folds).fit(train, y_train)
scores_by_style = novelty.estimator_.score_samples(test)
report("style, fitted on ham, tuned by F1", novelty.predict(test), scores_by_style)

# %%
# Why?
# ----
# The score is a sum over words, so each can be asked for its part. The ten most suspicious of the
# held-out messages, with the words that made them so:
most_suspicious = np.argsort(scores)[:10]
suspects = [test[row] for row in most_suspicious]
explanation = detector.feature_contributions(features.transform(suspects))
tops = top_contributions(explanation, features.get_feature_names_out(), n_features=4)
print("\nmost suspicious, with the features (nats) that made it so")
for row, message, reasons in zip(most_suspicious, suspects, tops, strict=True):
    why = ", ".join(f"{name} {nats:.1f}" for name, nats in reasons)
    print(f"{'spam' if y_test[row] else 'ham ':4} {scores[row]:8.1f}  {message[:50]!r}: {why}")

# %%
# Figures
# -------
figure, axes = plt.subplots(2, 2, figsize=(12, 8), layout="constrained")
(loss, distribution), (text, bars) = axes
LossCurveDisplay.from_estimator(detector, ax=loss)
loss.set_title("negative ELBO of the other messages, and its two terms")
names = np.array(["ham", "spam"])[y_test]
ScoreDistributionDisplay.from_estimator(pipeline, test, names, ax=distribution)
distribution.set_title("scores of held-out messages")
analyzer = features.named_transformers["words"].build_analyzer()
explained = ContributionsDisplay.from_estimator(
    pipeline, suspects[:1], text=suspects[0], analyzer=analyzer, ax=text
)
text.set_title("the most suspicious message")
explained.plot(kind="bars", ax=bars)
figure.savefig(options.figure)
