"""Whatever the input: a finite result, or an error that says what is wrong with it.

A short form runs by default, the same examples each time. The long form draws new ones:
``SKVAE_FUZZ=long pytest tests/test_fuzz.py --hypothesis-show-statistics``.
"""

import os
import traceback
import warnings
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.svm import OneClassSVM

import skvae
from skvae import (
    AutoencoderTransformer,
    ConformalOutlierDetector,
    OutlierClassifier,
    VAEDensityEstimator,
    VAEImputer,
    VAEOutlierDetector,
)
from skvae._likelihoods import LIKELIHOODS

# scikit-learn's own, which do no harm.
pytestmark = [
    pytest.mark.filterwarnings("ignore:X .* feature names"),
    pytest.mark.filterwarnings("ignore:pandas.DataFrame with sparse columns"),
]

LONG = os.environ.get("SKVAE_FUZZ") == "long"

FUZZ = settings(
    max_examples=3000 if LONG else 60,
    derandomize=not LONG,
    print_blob=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

TINY = {"n_components": 1, "hidden_layer_sizes": (3,), "max_iter": 1, "random_state": 0}

ESTIMATORS = [
    AutoencoderTransformer(**TINY),
    VAEDensityEstimator(**TINY),
    VAEImputer(n_training_draws=2, n_importance_samples=4, **TINY),
    VAEOutlierDetector(**TINY),
    ConformalOutlierDetector(VAEOutlierDetector(**TINY), random_state=0),
    OutlierClassifier(VAEOutlierDetector(**TINY)),
]
NAMES = [type(estimator).__name__ for estimator in ESTIMATORS]


# Outcomes.


def is_deliberate(error):
    """Whether an error was raised on purpose: by scikit-learn, or by a statement of ours."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    if Path(skvae.__file__).parent in Path(last.filename).parents:
        return last.line.startswith("raise")
    return "torch" not in Path(last.filename).parts


def content(X):
    """All that can be read of a table."""
    if sp.issparse(X) and X.format in ("csr", "csc"):
        return X.indptr.tolist(), X.indices.tolist(), repr(X.data.tolist())
    if sp.issparse(X):
        X = X.tocoo()
        return X.row.tolist(), X.col.tolist(), repr(X.data.tolist())
    return repr(np.asarray(X, dtype=object).tolist()) if hasattr(X, "shape") else repr(X)


def outcome(call, X, *arguments):
    """What a call returns, or None if it is refused as it should be; X stays as it was."""
    before = content(X)
    try:
        result = call(X, *arguments)
    except (TypeError, ValueError) as error:
        if not is_deliberate(error):
            raise
        result = None
        event(f"{call.__name__}: {type(error).__name__}")
    else:
        event(f"{call.__name__}: done")
    assert content(X) == before
    return result


def assert_finite(result):
    if result is None:  # refused
        return
    values = result.data if sp.issparse(result) else np.asarray(result)
    assert np.isfinite(values).all()


METHODS = (
    "score_samples",
    "decision_function",
    "predict_pvalue",
    "predict_proba",
    "reconstruction_error",
    "transform",
)


def use(estimator, X):
    """Call whatever there is of methods that take a table."""
    for name in METHODS:
        if hasattr(estimator, name):
            assert_finite(outcome(getattr(estimator, name), X))
    if hasattr(estimator, "predict"):
        labels = outcome(estimator.predict, X)
        assert labels is None or set(labels) <= set(getattr(estimator, "classes_", [-1, 1]))
    if hasattr(estimator, "feature_contributions"):
        explanation = outcome(estimator.feature_contributions, X)
        if explanation is not None:
            contributions = explanation.contributions
            parts = [explanation.baseline, explanation.latent, contributions.sum(axis=1)]
            parts = [np.asarray(part).ravel() for part in parts]
            largest = max(abs(contributions).max(), *(np.abs(part).max() for part in parts))
            total, scores = np.sum(parts, axis=0), estimator.score_samples(X)
            np.testing.assert_allclose(total, scores, atol=1e-9 * largest)
    if hasattr(estimator, "inverse_transform"):
        codes = outcome(estimator.transform, X)
        if codes is not None:
            assert_finite(outcome(estimator.inverse_transform, codes))
    if hasattr(estimator, "sample"):
        assert_finite(estimator.sample(2, random_state=0))


# Tables.

EXTREMES = [
    0.0, -0.0, 1.0, -1.0, 2.0, 5e-324, -2.3e-308, 1e-200, 1e-160, 1e8, 1e9, 1e16, 1e20, 3.4e38,
    1e100, 1e150, -1e154, 1e300, 1.7e308, -1.7e308, np.nan, np.inf, -np.inf,
]  # fmt: skip

KINDS = {
    "binary": st.sampled_from([0.0, 1.0]),
    "counts": st.sampled_from([0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 7.0]),
    "reals": st.floats(-5, 5),
    "shares": st.floats(0, 1),
    "missing": st.sampled_from([0.0, 1.0, np.nan]),
    "large": st.floats(-1e200, 1e200),
    "constant": None,
    "any": st.one_of(st.sampled_from(EXTREMES), st.floats()),
}


@st.composite
def columns(draw, n_rows, kinds):
    kind = draw(st.sampled_from(kinds))
    if kind == "constant":
        return np.full(n_rows, draw(st.sampled_from(EXTREMES)))
    values = st.lists(KINDS[kind], min_size=n_rows, max_size=n_rows)
    return np.array(draw(values), dtype=float)


@st.composite
def arrays(draw, n_columns=None):
    """Arrays of float64, of one kind of column or several."""
    n_rows = draw(st.integers(1, 12))
    if n_columns is None:
        n_columns = draw(st.integers(1, 4))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3))
    return np.column_stack([draw(columns(n_rows, kinds)) for _ in range(n_columns)])


def whole(values):
    return np.nan_to_num(values).clip(-(2.0**62), 2.0**62).round()


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


def masked(values):
    return np.ma.masked_array(values, mask=values > 0)


def cast(dtype):
    def convert(values):
        with np.errstate(over="ignore", invalid="ignore"):
            return values.astype(dtype)

    return convert


DENSE = {
    "C": np.asarray,
    "Fortran": np.asfortranarray,
    "strided": lambda values: np.repeat(values, 2, axis=1)[:, ::2],
    "reversed": lambda values: values[::-1, ::-1].copy()[::-1, ::-1],
    "broadcast": lambda values: np.broadcast_to(values[:1], values.shape),
    "read-only": read_only,
    "masked": masked,
    "big-endian": cast(">f8"),
    "half": cast(np.float16),
    "single": cast(np.float32),
    "long double": cast(np.longdouble),
    "complex": cast(complex),
    "int64": lambda values: whole(values).astype(np.int64),
    "uint8": lambda values: whole(values).clip(0, 255).astype(np.uint8),
    "bool": lambda values: whole(values) > 0,
    "strings of numbers": cast(str),
    "objects": cast(object),
    "list": np.ndarray.tolist,
    "one dimension": np.ravel,
    "three dimensions": lambda values: values[None],
    "no rows": lambda values: values[:0],
    "no columns": lambda values: values[:, :0],
}


def raw_csr(values, entries, index_type=np.int32, make=sp.csr_matrix):
    """CSR matrix of the entries that a function makes of each row, in their order."""
    rows = [entries(row) for row in values]
    X = make(values.shape)
    X.data = np.array([value for row in rows for _, value in row], dtype=float)
    X.indices = np.array([column for row in rows for column, _ in row], dtype=index_type)
    X.indptr = np.cumsum([0, *map(len, rows)]).astype(index_type)
    return X


def halves(row):
    """Every entry twice, by halves: sums in place of the values."""
    return [(column, value / 2) for column, value in enumerate(row) if value] * 2


def doubled(row):
    """Every entry twice: ones become twos, and large values overflow."""
    return [(column, value) for column, value in enumerate(row) if value] * 2


def everything_backwards(row):
    """Unsorted, zeros among them."""
    return list(enumerate(row))[::-1]


def locked(X):
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    return X


def broken(values):
    X = raw_csr(values, everything_backwards)
    X.indices[0] = values.shape[1]
    return X


SPARSE = {
    "csr": sp.csr_matrix,
    "csc": sp.csc_matrix,
    "coo": sp.coo_matrix,
    "lil": sp.lil_matrix,
    "dok": sp.dok_matrix,
    "bsr": sp.bsr_matrix,
    "dia": sp.dia_matrix,
    "csr_array": sp.csr_array,
    "coo_array": sp.coo_array,
    "single": lambda values: sp.csr_matrix(cast(np.float32)(values)),
    "int64": lambda values: sp.csr_matrix(whole(values).astype(np.int64)),
    "bool": lambda values: sp.csr_matrix(whole(values) > 0),
    "complex": lambda values: sp.csr_matrix(values.astype(complex)),
    "zeros, unsorted": lambda values: raw_csr(values, everything_backwards),
    "duplicates": lambda values: raw_csr(values, halves),
    "duplicates that change the values": lambda values: raw_csr(values, doubled),
    "64-bit indices": lambda values: raw_csr(values, everything_backwards, np.int64),
    "64-bit duplicates": lambda values: raw_csr(values, halves, np.int64, sp.csr_array),
    "read-only": lambda values: locked(sp.csr_matrix(values)),
    "read-only duplicates": lambda values: locked(raw_csr(values, doubled)),
    "broken": broken,
}

ODD_THINGS = [
    None, "a", "", "1.5", b"1", "nan", 1j, Decimal("1.5"), 10**400, pd.NA, pd.NaT, [], {}, object(),
    np.datetime64("2020-01-01"), True,
]  # fmt: skip

ODD_COLUMNS = [
    lambda n: ["a"] * n,
    lambda n: [None] * n,
    lambda n: [True] * n,
    lambda n: pd.array([1, None] * n, dtype="Int64")[:n],
    lambda n: pd.array([True, None] * n, dtype="boolean")[:n],
    lambda n: pd.Categorical([1, 2] * n)[:n],
    lambda n: pd.Categorical(["a", "b"] * n)[:n],
    lambda n: pd.date_range("2020", periods=n),
    lambda n: pd.arrays.SparseArray([0.0, 1.0] * n)[:n],
]

ODD_NAMES = [["a"] * 4, [0, 1, 2, 3], ["a", 1, "b", 2.5], [("a", "b")] * 4, [None] * 4]


@st.composite
def objects(draw, values):
    X = values.astype(object)
    X[draw(st.integers(0, len(X) - 1)), 0] = draw(st.sampled_from(ODD_THINGS))
    return X


@st.composite
def frames(draw, values):
    X = pd.DataFrame(values, columns=list("abcd"[: values.shape[1]]))
    odd = draw(st.sampled_from(["nothing", "column", "names"]))
    if odd == "column":
        X["a"] = draw(st.sampled_from(ODD_COLUMNS))(len(X))
    elif odd == "names":
        X.columns = draw(st.sampled_from(ODD_NAMES))[: values.shape[1]]
    return X


@st.composite
def polars_frames(draw, values):
    X = pl.DataFrame(values, schema=list("abcd"[: values.shape[1]]))
    odd = draw(st.sampled_from([None, [None], ["a"], [True], [[1.0]]]))
    if odd is not None:
        X = X.with_columns(pl.Series("a", odd * len(X)))
    return X


@st.composite
def tables(draw, n_columns=None):
    """Tables of every type that somebody may pass, and some that nobody should."""
    values = draw(arrays(n_columns))
    family = draw(st.sampled_from(["dense", "dense", "sparse", "sparse", "frame", "objects"]))
    if family == "objects":
        return draw(objects(values))
    if family == "frame":
        return draw(frames(values))
    return draw(st.sampled_from(list((DENSE if family == "dense" else SPARSE).values())))(values)


LIKELIHOOD_VALUES = st.one_of(
    st.just("auto"),
    st.sampled_from(LIKELIHOODS),
    st.dictionaries(st.sampled_from(LIKELIHOODS), st.lists(st.integers(0, 3), max_size=2)),
)


@st.composite
def configured(draw, estimator):
    """The estimator with a likelihood or a loss, and a prior, or with a detector that has one."""
    inner = estimator.estimator if "estimator" in estimator.get_params() else estimator
    if isinstance(inner, AutoencoderTransformer):
        losses = ["auto", "squared_error", "binary_cross_entropy"]
        changed = {"loss": draw(st.sampled_from(losses))}
    else:
        changed = {"likelihood": draw(LIKELIHOOD_VALUES)}
    if isinstance(inner, VAEDensityEstimator):
        changed["n_prior_components"] = draw(st.sampled_from([1, 3]))
    wrapped = clone(inner).set_params(**changed)
    return wrapped if inner is estimator else clone(estimator).set_params(estimator=wrapped)


def fitted(estimator, X):
    """The estimator, fitted, or None where it refuses; then it is as it was."""
    before = set(vars(estimator))
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    y = [np.arange(n_rows) % 2] if isinstance(estimator, OutlierClassifier) else []
    result = outcome(estimator.fit, X, *y)
    if result is None:
        assert set(vars(estimator)) == before
    return result


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=NAMES)
@FUZZ
@given(data=st.data())
def test_any_table_is_fitted_or_refused(estimator, data):
    estimator = data.draw(configured(estimator))
    X = data.draw(tables())
    if fitted(estimator, X) is not None:
        use(estimator, X)
        n_columns = getattr(estimator, "n_features_in_", 1)
        use(estimator, data.draw(tables(n_columns)))


@FUZZ
@given(data=st.data())
def test_any_polars_frame_is_fitted_or_refused(data):
    estimator = data.draw(st.sampled_from(ESTIMATORS).flatmap(configured))
    X = data.draw(arrays().flatmap(polars_frames))
    if fitted(estimator, X) is not None:
        use(estimator, X)


@FUZZ
@given(data=st.data())
def test_any_chunk_is_learned_or_refused(data):
    density = VAEDensityEstimator(likelihood=data.draw(LIKELIHOOD_VALUES), **TINY)
    n_columns = data.draw(st.integers(1, 3))
    for _ in range(3):
        X = data.draw(tables(n_columns))
        if outcome(density.partial_fit, X) is not None:
            use(density, X)


@FUZZ
@given(data=st.data())
def test_any_validation_rows_are_used_or_refused(data):
    density = VAEDensityEstimator(likelihood=data.draw(LIKELIHOOD_VALUES), **TINY)
    X, X_val = data.draw(arrays(2)), data.draw(tables(2))

    def fit(X_val):
        return density.fit(X, X_val=X_val)

    if outcome(fit, X_val) is not None:
        assert_finite(density.validation_loss_curve_)


@FUZZ
@given(data=st.data())
def test_any_labels_are_learned_or_refused(data):
    X = data.draw(arrays(2))
    labels = st.sampled_from([0, 1, -1, 2, 0.5, np.nan, np.inf, "a", "b", "", None, True, 10**30])
    pool = data.draw(st.lists(labels, min_size=1, max_size=3))
    y = data.draw(st.lists(st.sampled_from(pool), min_size=len(X), max_size=len(X)))
    y = data.draw(st.sampled_from([list, np.array, pd.Series, lambda y: np.array(y, object)]))(y)
    classifier = OutlierClassifier(
        VAEOutlierDetector(**TINY),
        fit_on=data.draw(st.sampled_from(["all", "inliers"])),
        outlier_label=data.draw(st.one_of(st.none(), labels)),
    )
    if outcome(classifier.fit, X, y) is not None:
        use(classifier, X)


# Parameters.

WILD = [
    None, True, False, -1, 0, 1, 2, 3, 10**30, -(10**30), 0.5, -0.5, 1.0, 1e-300, 1e30, 1e300,
    np.nan, np.inf, -np.inf, np.int64(2), np.uint8(1), np.float32(0.5), np.float64(np.nan),
    np.bool_(True), Decimal("0.5"), 1j, "", "auto", "adam", "sgd", "relu", "gaussian", "weibull",
    "elbo", "fdr", b"auto", (), [], {}, (2,), [2, 1], (2.5,), (0,), (-1,), (None,), ("a",),
    (10**30,), (True,), [[2]], [[2], [1, 1]], {2: 1}, {2}, range(1, 3), np.array(2), np.array([2]),
    np.array([[2]]), np.array([2.5]), np.array(["a"]), slice(2), object(), len, int,
    {"gaussian": [0]}, {"gaussian": "a"}, {"gaussian": None}, {"gaussian": [[0]]}, {None: [0]},
    {"poisson": [0], "gaussian": [0]}, {"gaussian": slice(0, 2)}, {"gaussian": [0.5]},
    {"gaussian": 10**30}, {"categorical": [True, False, False]}, {"bernoulli": []},
    np.random.RandomState(0), np.random.default_rng(0), VAEOutlierDetector, LinearRegression(),
    OneClassSVM(),
]  # fmt: skip


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=NAMES)
@FUZZ
@given(data=st.data())
def test_any_parameters_are_taken_or_named(estimator, data):
    names = sorted(estimator.get_params(deep=False))
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    changed = {name: data.draw(st.sampled_from(WILD)) for name in chosen}
    estimator = clone(estimator)
    for name, value in changed.items():
        setattr(estimator, name, value)
    before = set(vars(estimator))
    rng = np.random.RandomState(0)
    X = np.column_stack([rng.randint(3, size=20), rng.randn(20), rng.randint(2, size=20)])
    try:
        estimator.fit(X, np.arange(20) % 3 == 0)
    except (TypeError, ValueError) as error:
        if not is_deliberate(error) or not any(name in str(error) for name in chosen):
            raise
        event(f"refused: {type(error).__name__}")
        assert set(vars(estimator)) == before
    else:
        event("fitted")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a device that this machine lacks
            use(estimator, X)
