"""Searching and scoring on a cluster, through dask alone."""

import dask.array as array
import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from dask import distributed
from sklearn.model_selection import GridSearchCV

from skvae import VAEDensityEstimator


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=":0",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def X():
    return (np.random.RandomState(0).uniform(size=(120, 8)) < 0.3).astype(float)


def test_a_search_gives_the_same_scores_on_a_cluster(client, X):
    search = GridSearchCV(
        VAEDensityEstimator(max_iter=3, random_state=0), {"n_components": [1, 3]}, cv=2
    )
    here = search.fit(sp.csr_matrix(X)).cv_results_["mean_test_score"]
    with joblib.parallel_backend("dask", client=client):
        there = search.fit(sp.csr_matrix(X)).cv_results_["mean_test_score"]
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-5)


def test_blocks_of_a_dask_array_are_scored_where_they_lie(client, X):
    density = VAEDensityEstimator(max_iter=3, random_state=0).fit(X)
    rows = array.from_array(X, chunks=(50, 8))
    scores = rows.map_blocks(density.score_samples, drop_axis=1, dtype=float)
    assert scores.numblocks == (3,)
    np.testing.assert_allclose(scores.compute(), density.score_samples(X), rtol=1e-12)
