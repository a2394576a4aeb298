"""Fixtures that several test files use."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from joblib.externals.loky import get_reusable_executor

# A program that needs what the tests do not.
collect_ignore = ["fuzz_load_guided.py"]


@pytest.fixture(autouse=True, scope="module")
def no_idle_workers():
    """Stop joblib's processes after each file: none is to wait for what another file left."""
    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.fixture
def shared_data():
    """Folder of the real data sets, from the variable SKVAE_SHARED."""
    folder = os.environ.get("SKVAE_SHARED")
    if not folder:
        pytest.skip("SKVAE_SHARED does not name the folder of the benchmark data")
    data = Path(folder) / "data"
    if not data.is_dir():
        pytest.skip(f"SKVAE_SHARED={folder} holds no folder 'data'")
    return data


@pytest.fixture
def binary_rows():
    """Binary rows of eight features in three overlapping clusters."""
    rng = np.random.RandomState(0)
    profiles = rng.uniform(0.05, 0.95, size=(3, 8))
    return (rng.uniform(size=(300, 8)) < profiles[rng.randint(3, size=300)]).astype(float)


@pytest.fixture
def real_rows():
    """Correlated real rows of four features on different scales."""
    rng = np.random.RandomState(0)
    return rng.randn(200, 2) @ rng.randn(2, 4) * [1, 10, 0.1, 5] + rng.randn(200, 4) * 0.3 + 7


@pytest.fixture
def sparse_rows():
    """CSR matrix of zeros and ones, with an empty row and an empty column."""
    X = sp.random(120, 40, density=0.1, format="csr", random_state=np.random.RandomState(0))
    X.data[:] = 1.0
    dense = X.toarray()
    dense[3] = 0
    dense[:, 7] = 0
    return sp.csr_matrix(dense)


@pytest.fixture
def all_binary():
    """Every binary vector of length 8."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=8)))
