"""Spam as outliers: the SMS Spam Collection, or any corpus of lines ``label<TAB>message``.

    python -m pip install -c constraints.txt -e ".[benchmarks]"
    python benchmarks/spam.py --csv spam.csv
    python benchmarks/spam.py --methods digits skvae --features words --seeds 0
    python benchmarks/spam.py --corpus FILE --outlier-label spam  # of mails: see mails.py
    python benchmarks/spam.py --sample 1200 0.3 --protocols unsupervised

Without ``--corpus`` it reads ``data/SMSSpamCollection`` in the folder that the variable
SKVAE_SHARED names, or where that is not set fetches the collection. Half of the messages are for
training, half for the test, stratified, five times. Protocols:

- unsupervised: fit without labels on the whole training half.
- novelty: fit on the ham of the training half only. Then the vocabulary comes from the ham only,
  too, and drops the words of the spam: a weakness of words and markers that hashing does not have.

F1 of the spam with three thresholds: *tuned*, of the best F1 on the labelled training half;
*known*, which flags the true share of spam among the scores of the training half, without its
labels otherwise; *auto*, the detector's own, where it has one. Naive Bayes has the labels of the
training half in either protocol and is the ceiling.

``--sample`` takes so many messages of the corpus, with this share of spam; give it a csv file of
its own.

The corpus repeats itself. What carries the suffix ``-unseen`` is measured without the test messages
that stand word for word in the training half.

With ``--csv`` a run goes on where the last one ended: rows already in the file are not computed
again. Delete the rows of a method there to have it measured anew.
"""

import argparse
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from peers import BINARY, PEERS, SUPERVISED, available
from results import Results, mean_and_sd, print_table
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_union

from skvae import VAEOutlierDetector
from skvae.datasets import fetch_sms_spam
from skvae.text import StyleAnalyzer, WordTokenizer

PROTOCOLS = ["unsupervised", "novelty"]
RULES = ["tuned", "known", "auto"]
COLUMNS = ["protocol", "features", "method", "seed", "rule", "auc", "ap", "f1"]
KEY = COLUMNS[:4]
UNSEEN = "-unseen"

HASHED = {"n_features": 4096, "binary": True, "norm": None, "alternate_sign": False}
MARKED = WordTokenizer(normalization=None, markers=True)
FEATURES = {
    "words": lambda: CountVectorizer(binary=True, min_df=2),
    "markers": lambda: CountVectorizer(binary=True, min_df=2, tokenizer=MARKED, token_pattern=None),
    "character-presence": lambda: CountVectorizer(analyzer="char", lowercase=False, binary=True),
    "character-counts": lambda: CountVectorizer(analyzer="char", lowercase=False),
    "hashed-words": lambda: HashingVectorizer(**HASHED),
    "hashed-trigrams": lambda: HashingVectorizer(analyzer="char", ngram_range=(3, 3), **HASHED),
    "style": lambda: CountVectorizer(binary=True, analyzer=StyleAnalyzer()),
    "words+style": lambda: make_union(FEATURES["words"](), FEATURES["style"]()),
}
DIGITS = CountVectorizer(analyzer="char", vocabulary=list("0123456789"))

METHODS = [name for name in PEERS if name not in {"pca", "knn", "lof", "mcd"}]
METHODS += ["skvae-elbo", "skvae"]
BINARY = BINARY | {"skvae-elbo", "skvae"}


def make_detector(method, protocol, seed):
    """Detector by name: "skvae" is the one that we recommend for messages.

    Its recommended features are words+style in the unsupervised protocol and style in the other.
    """
    if method == "skvae" and protocol == "unsupervised":
        return VAEOutlierDetector(random_state=seed)
    if method in {"skvae", "skvae-elbo"}:
        return VAEOutlierDetector(outlier_score="elbo", random_state=seed)
    return PEERS[method](seed)


def read_corpus(path, outlier_label):
    """Messages, and which are outliers."""
    if path is None and not os.environ.get("SKVAE_SHARED"):
        return fetch_sms_spam(return_X_y=True)
    path = path or Path(os.environ["SKVAE_SHARED"]) / "data" / "SMSSpamCollection"
    # Only a line feed ends a message: some hold other characters that `splitlines` breaks at.
    lines = Path(path).read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    labels, tabs, messages = zip(
        *(line.removesuffix("\r").partition("\t") for line in lines), strict=True
    )
    is_outlier = np.array([label == outlier_label for label in labels]).astype(int)
    if not all(tabs) or not 0 < is_outlier.sum() < len(lines):
        raise ValueError(
            f"{path} must hold a label, a tab and a message on each line, with {outlier_label!r} "
            "among other labels."
        )
    return list(messages), is_outlier


def sample(messages, is_outlier, n_messages, share):
    """Some of the messages, with a share of outliers, and which are outliers."""
    rng = np.random.default_rng(0)
    n_outliers = round(share * n_messages)
    rows = [
        rng.choice(np.flatnonzero(is_outlier == kind), n, replace=False)
        for kind, n in ((1, n_outliers), (0, n_messages - n_outliers))
    ]
    rows = np.concatenate(rows)
    return [messages[row] for row in rows], is_outlier[rows]


class Corpus:
    """The messages, their splits, and how methods do on them."""

    def __init__(self, messages, is_outlier):
        self.messages = np.array(messages, dtype=object)
        self.y = np.asarray(is_outlier)
        self.vectors = lru_cache(maxsize=None)(self._vectors)

    def split(self, seed):
        """Numbers of the messages of the two halves."""
        return train_test_split(
            np.arange(len(self.y)), stratify=self.y, test_size=0.5, random_state=seed
        )

    def _vectors(self, features, protocol, seed):
        """Both halves as tables, with the vocabulary of the messages that are fitted on."""
        train, test = self.split(seed)
        vectorizer = DIGITS if features == "digits" else FEATURES[features]()
        vectorizer.fit(self.messages[self.fitted_on(protocol, train)])
        return vectorizer.transform(self.messages[train]), vectorizer.transform(self.messages[test])

    def fitted_on(self, protocol, train):
        """Numbers of the messages that a protocol lets a detector see."""
        return train if protocol == "unsupervised" else train[self.y[train] == 0]

    def measure(self, protocol, features, method, seed):
        """Rows of results of a method."""
        train, test = self.split(seed)
        X_train, X_test = self.vectors(features, protocol, seed)
        detector = make_detector(method, protocol, seed)
        if method in SUPERVISED:
            detector.fit(X_train, self.y[train])
        else:
            detector.fit(X_train[np.isin(train, self.fitted_on(protocol, train))])
        thresholds = self.thresholds(detector, detector.score_samples(X_train), train)
        y, scores = self.y[test], detector.score_samples(X_test)
        unseen = ~np.isin(self.messages[test], self.messages[train])
        return [
            {
                **dict(zip(KEY, (protocol, features + suffix, method, seed), strict=True)),
                "rule": rule,
                "auc": float(roc_auc_score(y[kept], -scores[kept])),
                "ap": float(average_precision_score(y[kept], -scores[kept])),
                "f1": float(f1_score(y[kept], scores[kept] < threshold, zero_division=0)),
            }
            for suffix, kept in {"": np.full(len(y), True), UNSEEN: unseen}.items()
            for rule, threshold in thresholds.items()
        ]

    def thresholds(self, detector, scores, train):
        """Thresholds by rule, from the scores of the training half."""
        y = self.y[train]
        found = {"tuned": best_threshold(y, scores), "known": share_threshold(scores, y.mean())}
        return found | ({"auto": detector.offset_} if hasattr(detector, "offset_") else {})


def best_threshold(y, scores):
    """Threshold of the best F1 of the outliers, half way to the next score above."""
    precision, recall, edges = precision_recall_curve(y, -scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    edge = -edges[np.argmax(f1[:-1])]
    above = scores[scores > edge]
    return (edge + above.min()) / 2 if len(above) else np.inf


def share_threshold(scores, share):
    """Threshold with a share of the scores below it, up to ties."""
    return np.sort(scores)[round(share * len(scores))]


def features_of(method, features):
    """Those features that a method can take."""
    if method == "digits":
        return ["digits"]
    return [name for name in features if method not in BINARY or name != "character-counts"]


def print_summary(frame, protocol, *, unseen):
    """Print means and standard deviations over the seeds, best tuned F1 first."""
    frame = frame[frame.features.str.endswith(UNSEEN) == unseen]
    columns = {"ROC AUC": (frame.rule == "tuned", "auc"), "AP": (frame.rule == "tuned", "ap")}
    columns |= {f"F1 {rule}": (frame.rule == rule, "f1") for rule in RULES}
    groups = {
        name: frame[rows].groupby(["method", "features"])[value]
        for name, (rows, value) in columns.items()
    }
    order = groups["F1 tuned"].mean().sort_values(ascending=False).index
    table = []
    for run in order:
        cells = []
        for group in groups.values():
            if run not in group.groups:
                cells.append("")
            else:
                cells.append(mean_and_sd(group.mean()[run], group.std()[run], 3))
        method, features = run
        method += " (labels)" if method in SUPERVISED else ""
        table.append([method, features.removesuffix(UNSEEN), *cells, groups["AP"].size()[run]])
    title = f"{protocol}, mean ± sd over seeds"
    title += ", without test messages that stand in the training half" if unseen else ""
    print_table(title, ["method", "features", *columns, "seeds"], table)


def main():
    """Run what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", help="file of messages: label, tab, text")
    parser.add_argument("--outlier-label", default="spam")
    parser.add_argument(
        "--sample",
        nargs=2,
        type=float,
        metavar=("N", "SHARE"),
        help="some messages, and spam's share",
    )
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=PROTOCOLS)
    parser.add_argument("--features", nargs="+", choices=list(FEATURES), default=list(FEATURES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--csv", help="file to go on with, or to begin")
    parser.add_argument("--report", action="store_true", help="only print what the file holds")
    options = parser.parse_args()

    results = Results(options.csv, COLUMNS, KEY)
    methods = options.methods if options.report else run_missing(options, results)
    frame = results.frame()
    frame = frame[frame.seed.isin(options.seeds)]
    frame = frame[frame.method.isin(methods)]
    for unseen in (False, True):
        for protocol in [name for name in options.protocols if name in set(frame.protocol)]:
            print_summary(frame[frame.protocol == protocol], protocol, unseen=unseen)


def run_missing(options, results):
    """Run what is not among the results, and give the methods that can run here."""
    messages, is_outlier = read_corpus(options.corpus, options.outlier_label)
    if options.sample is not None:
        messages, is_outlier = sample(
            messages, is_outlier, int(options.sample[0]), options.sample[1]
        )
    corpus = Corpus(messages, is_outlier)
    print(f"{len(corpus.y)} messages, {corpus.y.sum()} of them {options.outlier_label}")
    methods = available(options.methods)
    for method in methods:
        for protocol in options.protocols:
            for seed in options.seeds:
                for features in features_of(method, options.features):
                    run = dict(zip(KEY, (protocol, features, method, seed), strict=True))
                    if run in results:
                        continue
                    try:
                        results.add(corpus.measure(**run))
                    except ValueError as error:
                        print(f"{method} failed on {features}, {protocol}, seed {seed}: {error}")
    return methods


if __name__ == "__main__":
    main()
