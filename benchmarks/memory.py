"""Peak memory of one epoch on a large sparse table, measured in a fresh process.

    python benchmarks/memory.py
    python benchmarks/memory.py --rows 40000 --words 100000

Prints the resident memory after the imports, with the table, and at its peak, after a fit of one
epoch (with the threshold's pass over all rows) and a second pass of scores.
"""

import argparse
import resource
import sys
import time

import numpy as np
import scipy.sparse as sp

from skvae import VAEOutlierDetector


def peak_megabytes():
    """Peak resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def make_table(n_rows, n_words, n_stored, random_state=0):
    """Binary CSR rows with `n_stored` words each, long-tailed over the vocabulary."""
    rng = np.random.default_rng(random_state)
    columns = (n_words * rng.random((n_rows, n_stored)) ** 3).astype(np.int32)
    indptr = np.arange(0, n_rows * n_stored + 1, n_stored)
    X = sp.csr_matrix((np.ones(columns.size), columns.ravel(), indptr), (n_rows, n_words))
    X.sum_duplicates()
    X.data[:] = 1.0
    return X


def main():
    """Fit, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--words", type=int, default=50_000)
    parser.add_argument("--stored", type=int, default=15, help="words in a row")
    options = parser.parse_args()

    import torch  # noqa: F401  (so that its import is not counted to the fit)

    print(f"after the imports {peak_megabytes():8.0f} MB")
    X = make_table(options.rows, options.words, options.stored)
    print(f"with the table    {peak_megabytes():8.0f} MB   {X.shape[0]} x {X.shape[1]}")
    start = time.perf_counter()
    detector = VAEOutlierDetector(max_iter=1, random_state=0).fit(X)
    print(f"after the fit     {peak_megabytes():8.0f} MB   {time.perf_counter() - start:.0f} s")
    start = time.perf_counter()
    detector.score_samples(X)
    print(f"after the scores  {peak_megabytes():8.0f} MB   {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
