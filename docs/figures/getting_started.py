"""Scores of made-up messages, ham and spam."""

import matplotlib.pyplot as plt
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

from skvae import VAEOutlierDetector
from skvae.datasets import make_messages
from skvae.inspection import ScoreDistributionDisplay

messages, is_spam = make_messages(2000, random_state=0)
words = CountVectorizer(binary=True, min_df=2)
pipeline = make_pipeline(words, VAEOutlierDetector(max_iter=20, random_state=0)).fit(messages)
_, ax = plt.subplots(figsize=(5, 3))
ScoreDistributionDisplay.from_estimator(pipeline, messages, is_spam, ax=ax)
