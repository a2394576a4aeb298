"""Scores that a fitted variational autoencoder could give a row, compared on tables.

    python benchmarks/scores.py FOLDER
    python benchmarks/scores.py FOLDER --max-rows 500 --seeds 0 1 --sets wine Pima

Sets and protocols are those of ``tabular.py``; sets of more rows than ``--max-rows`` are sampled.
All scores but the last three come from the same fit, to all rows (``outlier_score="elbo"``), with
the default settings:

- elbo: the score of such a detector.
- reconstruction: E_q[log p(x|z)] alone (An and Cho, 2015).
- latent: minus the KL divergence of q(z|x) from the prior, what the first has and this has not.
- regret: how much the ELBO rises when q is fitted to the row alone, by 10 steps of the
  natural gradient; minus that, so that higher is more normal (Xiao, Yan and Amit, 2020).
- trimmed: the ELBO of a second fit without the tenth of the rows of the lowest ELBO.
- halves: the lower of the ELBOs of two fits, each to a random half of the rows, of which one at
  least has not seen the row.
- ensemble: the mean ELBO of four fits.

And how near the share that ``contamination="auto"`` flags comes to the true one.
"""

import argparse
from functools import partial

import numpy as np
from results import print_table
from sklearn.metrics import average_precision_score, roc_auc_score
from tabular import PROTOCOLS, load, set_files, split

from skvae import VAEOutlierDetector
from skvae._torch.scoring import encoded, log_density, refine

REGRET_STEPS = 10
N_FITS = 4
of_all_rows = partial(VAEOutlierDetector, outlier_score="elbo")


def regret(detector, rows):
    """Rise of the ELBO when mean and variance of q are fitted to each row."""
    model = detector.density_._model
    network = model.scorer("cpu")
    x = model._prepare(rows, network)
    q = encoded(network, model.likelihood, x)
    noise = model._noise(1)
    fitted = refine(network, model.likelihood, x, q, noise, REGRET_STEPS)
    after, before = (
        log_density(network, model.likelihood, x, q, noise, importance_weighted=False)
        for q in (fitted, q)
    )
    return (after - before).numpy()


def by_halves(train, test, seed):
    """Lower ELBO of two fits to half of the rows each."""
    order = np.random.default_rng(seed).permutation(len(train))
    fits = [of_all_rows(random_state=seed).fit(train[half]) for half in np.array_split(order, 2)]
    return np.min([fit.score_samples(test) for fit in fits], axis=0)


def scores(detector, train, test, seed):
    """Each score of the test rows; higher is more normal."""
    explanation = detector.feature_contributions(test)
    elbo = detector.score_samples(test)
    fitted = detector.score_samples(train)
    densest = np.argsort(fitted, kind="stable")[round(0.1 * len(train)) :]
    others = [
        of_all_rows(random_state=1000 + N_FITS * seed + number).fit(train)
        for number in range(N_FITS - 1)
    ]
    return {
        "elbo": elbo,
        "reconstruction": explanation.contributions.sum(axis=1) + explanation.baseline,
        "latent": explanation.latent,
        "regret": -regret(detector, np.ascontiguousarray(test)),
        "halves": by_halves(train, test, seed),
        "trimmed": detector.fit(train[densest]).score_samples(test),
        "ensemble": np.mean([elbo, *(other.score_samples(test) for other in others)], axis=0),
    }


def main():
    """Print the mean area under the ROC curve and average precision of each score."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="folder of .npz files with X and y")
    parser.add_argument("--max-rows", type=int, default=1000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--sets", nargs="+", help="parts of the files' names")
    options = parser.parse_args()
    for protocol in PROTOCOLS:
        found, ratios = {}, []
        for file in set_files(options.folder, options.sets):
            for seed in options.seeds:
                X, y = load(file, seed, options.max_rows)
                train, test, y = split(X, y, protocol, seed)
                if not y.any():
                    print(f"{file.stem} is left out: no anomaly in the sample")
                    continue
                detector = of_all_rows(random_state=seed).fit(train)
                ratios.append(np.mean(detector.predict(test) == -1) / y.mean())
                for name, score in scores(detector, train, test, seed).items():
                    pair = roc_auc_score(y, -score), average_precision_score(y, -score)
                    found.setdefault(name, []).append(pair)
        table = [[name, *np.round(100 * np.mean(found[name], axis=0), 2)] for name in found]
        print_table(f"{protocol}: percent, mean over sets and seeds", ["score", "AUC", "AP"], table)
        print("\nshare that 'auto' flags, over the true share: ", end="")
        print(f"median {np.median(ratios):.2f}, quartiles {np.quantile(ratios, [0.25, 0.75])}")


if __name__ == "__main__":
    main()
