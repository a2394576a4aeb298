"""The density of a bag of words falls with every word."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr
from sklearn.feature_extraction.text import CountVectorizer

from skvae import VAEOutlierDetector
from skvae.datasets import make_messages

messages, is_spam = make_messages(1500, random_state=0)
X = CountVectorizer(binary=True, min_df=2).fit_transform(messages)
n_words = np.asarray(X.sum(axis=1)).ravel()
figure, axes = plt.subplots(1, 2, figsize=(7, 2.8), sharex=True)
for ax, score in zip(axes, ["elbo", "log_odds"], strict=True):
    detector = VAEOutlierDetector(outlier_score=score, max_iter=20, random_state=0).fit(X)
    scores = detector.score_samples(X)
    print(f"{score}: rank correlation with the length {spearmanr(n_words, scores).statistic:.2f}")
    for label, name in enumerate(["ham", "spam"]):
        ax.scatter(n_words[is_spam == label], scores[is_spam == label], s=4, label=name)
    ax.set(title=f'outlier_score="{score}"', xlabel="words in the message")
axes[0].set_ylabel("score, nats")
axes[0].legend()
