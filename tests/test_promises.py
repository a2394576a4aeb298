"""The package's promises, one or more named tests each; the first stands in test_common.py."""

import copy
import inspect
import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import scipy
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.ensemble import IsolationForest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline

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
from skvae._torch import loop, objective, scoring
from skvae._torch.sparse import CSRBatch
from skvae.datasets import make_messages
from skvae.metrics import make_outlier_scorer

QUICK = {"max_iter": 3, "random_state": 0}


# 2: a score depends on nothing but the row.


@pytest.mark.parametrize("n_importance_samples", [1, 7])
@pytest.mark.parametrize("likelihood", [*LIKELIHOODS, {"poisson": [5], "categorical": [1, 2]}])
@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_promise_02_score_does_not_depend_on_batch_order_or_company(
    as_table, likelihood, n_importance_samples, binary_rows
):
    X = as_table(binary_rows)
    density = VAEDensityEstimator(
        likelihood=likelihood, n_importance_samples=n_importance_samples, **QUICK
    ).fit(X)
    scores = density.score_samples(X)
    assert scores.dtype == np.float64
    tolerance = 1e-12 * np.abs(scores).max()
    order = np.random.RandomState(0).permutation(X.shape[0])
    np.testing.assert_allclose(density.score_samples(X[order]), scores[order], 0, tolerance)
    single = [density.score_samples(X[[row]])[0] for row in range(20)]
    np.testing.assert_allclose(single, scores[:20], 0, tolerance)


def test_promise_02_scores_are_repeatable(binary_rows):
    density = VAEDensityEstimator(**QUICK).fit(binary_rows)
    scores = density.score_samples(binary_rows)
    for again in (density, copy.deepcopy(density), pickle.loads(pickle.dumps(density))):
        np.testing.assert_array_equal(again.score_samples(binary_rows), scores)


def test_promise_02_density_reads_its_number_of_draws_when_it_scores(binary_rows):
    density = VAEDensityEstimator(**QUICK).fit(binary_rows)
    elbo = density.score_samples(binary_rows)
    bound = density.set_params(n_importance_samples=100).score_samples(binary_rows)
    assert bound.mean() > elbo.mean()


def test_promise_02_detector_keeps_the_number_of_draws_of_its_fit(binary_rows):
    detector = VAEOutlierDetector(**QUICK).fit(binary_rows)
    scores = detector.score_samples(binary_rows)
    detector.set_params(n_importance_samples=100)
    np.testing.assert_array_equal(detector.score_samples(binary_rows), scores)


# 3: random_state decides everything, and nothing global is touched.


@pytest.mark.parametrize(
    "estimator", [AutoencoderTransformer, VAEDensityEstimator, VAEOutlierDetector]
)
def test_promise_03_same_seed_same_fit_to_the_bit(estimator, sparse_rows):
    first, second, other = (
        estimator(max_iter=3, random_state=seed).fit(sparse_rows) for seed in (0, 0, 1)
    )
    method = "transform" if estimator is AutoencoderTransformer else "score_samples"
    results = [getattr(fitted, method)(sparse_rows) for fitted in (first, second, other)]
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_promise_03_nothing_global_changes(binary_rows):
    def world():
        numpy_state = np.random.get_state()
        return (
            numpy_state[1].tolist(),
            numpy_state[2],
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            list(warnings.filters),
        )

    before = world()
    detector = VAEOutlierDetector(**QUICK).fit(binary_rows)
    detector.density_.sample(5, random_state=0)
    detector.predict(binary_rows)
    assert world() == before


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(lambda: default_dtype(torch.float64), id="float64"),
        pytest.param(lambda: default_dtype(torch.float16), id="float16"),
        pytest.param(lambda: torch.autocast("cpu", dtype=torch.bfloat16), id="autocast"),
        pytest.param(torch.inference_mode, id="inference_mode"),
        pytest.param(torch.no_grad, id="no_grad"),
        pytest.param(lambda: torch.device("meta"), id="default device"),
    ],
)
def test_promise_03_modes_of_pytorch_change_nothing(mode, real_rows, sparse_rows, tmp_path):
    def results():
        refined = VAEDensityEstimator(
            n_prior_components=2, n_refinement_steps=1, early_stopping=True, **QUICK
        ).fit(real_rows)
        detector = VAEOutlierDetector(**QUICK).fit(sparse_rows)
        yield refined.score_samples(real_rows)
        yield refined.sample(5, random_state=0)
        yield detector.score_samples(sparse_rows)
        yield AutoencoderTransformer(**QUICK).fit_transform(real_rows)
        yield refined.partial_fit(real_rows).score_samples(real_rows)
        yield detector.feature_contributions(sparse_rows).contributions.data
        yield VAEImputer(**QUICK).fit_transform(np.where(real_rows > 2, np.nan, real_rows))
        skvae.save(detector, tmp_path / "detector")
        loaded = skvae.load(tmp_path / "detector")
        yield loaded.score_samples(sparse_rows)
        yield pickle.loads(pickle.dumps(loaded)).score_samples(sparse_rows)

    expected = list(results())
    scoring.elbo_noise.cache_clear()
    with mode():
        found = list(results())
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(next(results()), expected[0])


def test_promise_03_no_thread_is_left_behind(real_rows):
    before = threading.active_count()
    VAEDensityEstimator(**QUICK).fit(real_rows)
    assert threading.active_count() == before


# 4: contamination means what it says.


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("contamination", [0.01, 0.1, 0.137, 0.5])
def test_promise_04_contamination_is_the_share_of_training_rows_flagged(
    contamination, early_stopping, real_rows
):
    detector = VAEOutlierDetector(contamination, early_stopping=early_stopping, **QUICK)
    labels = detector.fit_predict(real_rows)
    assert (labels == -1).sum() == round(contamination * len(real_rows))
    np.testing.assert_array_equal(detector.predict(real_rows), labels)


def test_promise_04_equal_rows_are_judged_alike():
    X = np.repeat(np.random.RandomState(0).randn(20, 3), 10, axis=0)
    labels = VAEOutlierDetector(0.17, **QUICK).fit_predict(X).reshape(20, 10)
    assert (labels == labels[:, :1]).all()


def test_promise_04_auto_flags_some_but_not_all_of_blobs():
    X, _ = make_blobs(n_samples=300, random_state=0)
    share = (VAEOutlierDetector(random_state=0).fit_predict(X) == -1).mean()
    assert 0 < share < 0.2


def test_promise_04_auto_flags_none_where_no_row_stands_out():
    X = np.tile([[0.0, 1.0, 1.0]], (50, 1))
    detector = VAEOutlierDetector(**QUICK).fit(X)
    assert (detector.predict(X) == 1).all()
    assert (detector.predict(X[:1]) == 1).all()


# 5: sparse in, sparse through.


def no_densifying(*args, **kwargs):
    raise AssertionError("a sparse table was made dense")


def test_promise_05_sparse_rows_are_never_made_dense(sparse_rows, monkeypatch):
    dense = sparse_rows.toarray()
    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, no_densifying)
    monkeypatch.setattr(CSRBatch, "to_dense", no_densifying)
    detector = VAEOutlierDetector(**QUICK).fit(sparse_rows)
    np.testing.assert_allclose(
        detector.score_samples(sparse_rows), detector.score_samples(dense), rtol=1e-12
    )
    detector.feature_contributions(sparse_rows)
    AutoencoderTransformer(**QUICK).fit(sparse_rows).reconstruction_error(sparse_rows)


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial", "multinomial"])
def test_promise_05_sparse_counts_are_never_made_dense(likelihood, sparse_rows, monkeypatch):
    counts = sparse_rows[sparse_rows.getnnz(axis=1) > 0] * 3
    dense = counts.toarray()
    for name in ("toarray", "todense"):
        monkeypatch.setattr(sp.csr_matrix, name, no_densifying)
    monkeypatch.setattr(CSRBatch, "to_dense", no_densifying)
    detector = VAEOutlierDetector(likelihood=likelihood, **QUICK).fit(counts)
    np.testing.assert_allclose(
        detector.score_samples(counts), detector.score_samples(dense), rtol=1e-12
    )
    contributions = detector.feature_contributions(counts).contributions
    np.testing.assert_array_equal(contributions.indices, counts.indices)
    assert detector.density_.sample(5, random_state=0).format == "csr"


def test_promise_05_gaussian_writes_out_at_most_512_rows(monkeypatch):
    sizes = []
    to_dense = CSRBatch.to_dense

    def recording(batch):
        sizes.append(len(batch))
        return to_dense(batch)

    monkeypatch.setattr(CSRBatch, "to_dense", recording)
    X = sp.random(1500, 5, density=0.3, format="csr", random_state=np.random.RandomState(0))
    VAEDensityEstimator(batch_size=1500, max_iter=1, random_state=0).fit(X).score_samples(X)
    assert max(sizes) == 512


@pytest.mark.skipif(sys.platform == "win32", reason="there is no resource module")
def test_promise_05_memory_does_not_grow_with_rows_times_features():
    code = (
        "import resource, scipy.sparse as sp\n"
        "from skvae import VAEOutlierDetector\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "X = sp.random(3000, 20_000, density=5e-4, format='csr', random_state=0)\n"
        "X.data[:] = 1\n"
        "options = {'hidden_layer_sizes': (8,), 'max_iter': 1, 'random_state': 0}\n"
        "detector = VAEOutlierDetector(**options).fit(X[:300])\n"
        "before = peak()\n"
        "detector.score_samples(X)\n"
        "VAEOutlierDetector(**options).fit(X)\n"
        "print(before, peak() - before)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    before, growth = (int(number) for number in result.stdout.split())
    # A dense copy of X would take 480 MB, which is more than the process had before.
    assert growth < 0.3 * before


@pytest.mark.parametrize(
    "convert",
    [
        sp.csc_matrix,
        sp.coo_matrix,
        sp.lil_matrix,
        sp.csr_array,
        lambda X: X.astype(bool),
        lambda X: X.astype(np.int64),
        lambda X: X.astype(np.float32),
    ],
)
def test_promise_05_any_sparse_format_and_type_gives_the_same_scores(convert, sparse_rows):
    expected = VAEDensityEstimator(**QUICK).fit(sparse_rows).score_samples(sparse_rows)
    X = convert(sparse_rows)
    scores = VAEDensityEstimator(**QUICK).fit(X).score_samples(X)
    np.testing.assert_array_equal(scores, expected)


def test_promise_05_long_indices_duplicates_and_explicit_zeros_are_read_right(sparse_rows):
    density = VAEDensityEstimator(**QUICK).fit(sparse_rows)
    expected = density.score_samples(sparse_rows)
    X = sparse_rows.copy()
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    np.testing.assert_array_equal(density.score_samples(X), expected)
    halves = sp.csr_matrix(
        (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), X.indptr * 2), X.shape
    )
    before = halves.copy()
    np.testing.assert_allclose(density.score_samples(halves), expected, rtol=1e-12)
    np.testing.assert_array_equal(halves.data, before.data)
    zeros = sparse_rows.tolil()
    zeros[0] = 1.0
    zeros = zeros.tocsr()
    zeros.data[: zeros.shape[1]] = sparse_rows[0].toarray()[0]
    np.testing.assert_allclose(density.score_samples(zeros), expected, rtol=1e-12)
    contributions = VAEOutlierDetector(**QUICK).fit(sparse_rows).feature_contributions(zeros)
    np.testing.assert_array_equal(contributions.contributions.indices, zeros.indices)


@pytest.mark.parametrize(("kind", "value"), [(bool, True), (np.uint8, 129)])
@pytest.mark.parametrize("as_sparse", [sp.csr_matrix, sp.csc_matrix])
def test_promise_05_entries_that_stand_twice_are_summed_in_their_type(
    sparse_rows, kind, value, as_sparse
):
    X = as_sparse(sparse_rows)
    twice = as_sparse(
        (np.full(2 * X.nnz, value, kind), np.repeat(X.indices, 2), X.indptr * 2), X.shape
    )
    assert set(np.unique(twice.toarray())) == {0, 1 if kind is bool else 2}
    density = VAEDensityEstimator(likelihood="poisson", **QUICK).fit(twice)
    np.testing.assert_allclose(
        density.score_samples(twice), density.score_samples(twice.toarray()), rtol=1e-12
    )


def test_promise_05_samples_are_as_sparse_as_the_training_table(sparse_rows):
    density = VAEDensityEstimator(**QUICK)
    sparse = density.fit(sparse_rows).sample(700, random_state=0)
    assert sparse.format == "csr"
    dense = density.fit(sparse_rows.toarray()).sample(700, random_state=0)
    assert isinstance(dense, np.ndarray)
    assert sparse.shape == dense.shape == (700, 40)


# 6: __init__ assigns, fitted state ends in an underscore.


@pytest.mark.parametrize(
    "estimator", [AutoencoderTransformer, VAEDensityEstimator, VAEOutlierDetector]
)
def test_promise_06_init_assigns_and_fitted_state_ends_in_an_underscore(estimator, binary_rows):
    marks = {name: object() for name in inspect.signature(estimator).parameters}
    assert vars(estimator(**marks)) == marks
    fitted = estimator(**QUICK).fit(binary_rows)
    state = {name for name in vars(fitted) if name not in marks and not name.startswith("_")}
    assert all(name.endswith("_") for name in state)


# 7: every row counts, and small or odd tables work.


@pytest.mark.parametrize("n_rows", [1, 2, 5])
@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("likelihood", [*LIKELIHOODS, {"poisson": [0]}])
def test_promise_07_fewer_rows_than_batch_size(n_rows, n_features, likelihood):
    X = np.eye(5)[:n_rows, :n_features]
    density = VAEDensityEstimator(likelihood=likelihood, batch_size=128, **QUICK).fit(X)
    assert np.isfinite(density.score_samples(X)).all()
    assert np.isfinite(AutoencoderTransformer(**QUICK).fit(X).reconstruction_error(X)).all()


def test_promise_07_word_unseen_in_training_has_a_moderate_score(sparse_rows):
    seen = sparse_rows[[0]].tolil()
    unseen = seen.copy()
    unseen[0, 7] = 1
    for likelihood in LIKELIHOODS:
        density = VAEDensityEstimator(likelihood=likelihood, random_state=0).fit(sparse_rows)
        drop = density.score_samples(seen.tocsr()) - density.score_samples(unseen.tocsr())
        assert 0 < drop[0] < 1000


def test_promise_05_room_for_more_entries_does_not_count():
    """SciPy writes as many entries as there are into room for those that count."""
    X = sp.csr_matrix(np.random.RandomState(0).poisson(0.3, (50, 6)).astype(float))
    for table in (X, X.tocsc()):
        roomy = table.copy()
        roomy.data = np.append(roomy.data, np.ones(500))
        roomy.indices = np.append(roomy.indices, np.zeros(500, roomy.indices.dtype))
        densities = [VAEDensityEstimator(**QUICK).fit(rows) for rows in (table, roomy)]
        scores = [density.score_samples(roomy) for density in densities]
        np.testing.assert_array_equal(*scores)
        assert len(roomy.data) == len(table.data) + 500


def test_promise_07_constant_column_does_not_blow_up(real_rows):
    X = np.column_stack([real_rows, np.full(len(real_rows), 5.0)])
    density = VAEDensityEstimator(**QUICK).fit(X)
    moved = X[:1] + [0, 0, 0, 0, 1]
    assert abs(density.score_samples(moved) - density.score_samples(X[:1]))[0] < 1000


def test_promise_07_a_single_row_may_be_read_backwards():
    """NumPy calls it contiguous with strides below 0, which PyTorch refuses."""
    X = np.array([[0.5, 2.0, 3.0]])
    for estimator in (VAEDensityEstimator(**QUICK), AutoencoderTransformer(**QUICK)):
        codes = estimator.fit(X[::-1]).transform(X[::-1])
        np.testing.assert_array_equal(codes, estimator.fit(X).transform(X))


# 8: the KL divergence counts, and the curve is the negative ELBO.


def test_promise_08_kl_counts_by_default(binary_rows, monkeypatch):
    options = {
        "random_state": 0,
        "learning_rate_init": 1e-2,
        "max_iter": 40,
        "early_stopping": False,
    }
    counted = VAEDensityEstimator(**options).fit(binary_rows)
    kl = objective.kl_divergence
    monkeypatch.setattr(objective, "kl_divergence", lambda *q: 0 * kl(*q))
    ignored = VAEDensityEstimator(**options).fit(binary_rows)

    def divergence(density):
        codes = density.transform(binary_rows)
        return np.mean(codes**2)

    assert divergence(counted) < divergence(ignored) / 10


def test_promise_08_loss_curve_is_the_sum_of_its_unweighted_terms(binary_rows):
    density = VAEDensityEstimator(max_iter=20, random_state=0).fit(binary_rows)
    terms = np.add(density.reconstruction_curve_, density.kl_curve_)
    np.testing.assert_allclose(density.loss_curve_, terms)
    assert density.loss_curve_[-1] == pytest.approx(-density.score(binary_rows), rel=0.05)


# 9: a diverging fit stops with an error that helps.


def test_promise_09_divergence_names_epoch_rate_and_remedy(real_rows):
    density = VAEDensityEstimator(solver="sgd", learning_rate_init=1e4, **QUICK)
    with pytest.raises(ValueError, match=r"epoch [12] \(learning_rate_init=10000\).*smaller"):
        density.fit(real_rows)


# 10: pickles load anywhere, and importing is cheap.


def test_promise_10_import_does_not_load_torch():
    code = (
        "import sys, skvae\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
        "detector = skvae.VAEOutlierDetector(max_iter=1)\n"
        "assert 'torch' not in sys.modules\n"
        "detector.fit([[0.0], [1.0]])\n"
        "assert 'torch' in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_promise_10_pickle_holds_the_optimiser_only_where_training_goes_on(binary_rows):
    def size(density):
        return len(pickle.dumps(density))

    fitted = VAEDensityEstimator(**QUICK).fit(binary_rows)
    weights = sum(p.numel() for p in fitted._model.network.parameters()) * 4
    assert size(fitted) < weights + 20_000
    assert size(clone(fitted).partial_fit(binary_rows)) > 2.5 * weights
    assert size(clone(fitted).set_params(warm_start=True).fit(binary_rows)) > 2.5 * weights


def test_promise_10_model_of_a_missing_device_scores_with_a_warning(binary_rows):
    if torch.cuda.is_available():
        pytest.skip("this machine has the device that must be missing")
    density = VAEDensityEstimator(**QUICK).fit(binary_rows)
    scores = density.score_samples(binary_rows)
    loaded = pickle.loads(pickle.dumps(density.set_params(device="cuda")))
    with pytest.warns(UserWarning, match="device='cuda' was asked for"):
        np.testing.assert_array_equal(loaded.score_samples(binary_rows), scores)
    with pytest.raises(ValueError, match="device='cuda' was asked for.*device='auto'"):
        loaded.fit(binary_rows)


# 11: joblib's processes work after a fit in the parent.


def test_promise_11_two_jobs_agree_with_one():
    messages, y = make_messages(200, spam_fraction=0.2, random_state=0)
    y = np.where(y == 1, -1, 1)
    pipeline = Pipeline(
        [("words", CountVectorizer(binary=True)), ("detector", VAEOutlierDetector(**QUICK))]
    ).fit(messages)
    search = GridSearchCV(
        pipeline,
        {"detector__contamination": [0.1, 0.3], "detector__n_components": [2, 4]},
        scoring=make_outlier_scorer("f1"),
        cv=StratifiedKFold(2),
        error_score="raise",
    )
    one, two = (clone(search).set_params(n_jobs=n_jobs).fit(messages, y) for n_jobs in (1, 2))
    assert one.best_params_ == two.best_params_
    np.testing.assert_array_equal(one.predict(messages), two.predict(messages))
    one_scores, two_scores = one.score_samples(messages), two.score_samples(messages)
    np.testing.assert_allclose(two_scores, one_scores, atol=1e-5 * np.abs(one_scores).max())


def test_promise_11_scoring_in_processes_gives_the_same_scores(sparse_rows):
    density = VAEDensityEstimator(**QUICK).fit(sparse_rows)
    halves = [sparse_rows[:60], sparse_rows[60:]]
    parts = joblib.Parallel(n_jobs=2)(joblib.delayed(density.score_samples)(X) for X in halves)
    expected = density.score_samples(sparse_rows)
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-12)


# 12: wrong input is refused with advice, and nothing is lost.


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 0}, "'n_components' parameter"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must hold integers"),
        ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes must hold integers"),
        ({"hidden_layer_sizes": np.array(3)}, "hidden_layer_sizes must hold integers"),
        ({"hidden_layer_sizes": (10**30,)}, "hidden_layer_sizes must hold integers"),
        ({"n_components": 30_000}, "'n_components' parameter"),
        ({"max_iter": 10**30}, "'max_iter' parameter"),
        ({"n_importance_samples": 10**30}, "'n_importance_samples' parameter"),
        ({"activation": "cosine"}, "'activation' parameter"),
        ({"likelihood": "weibull"}, "'likelihood' parameter"),
        ({"likelihood": 3}, "'likelihood' parameter"),
        ({"likelihood": {"weibull": [0]}}, "likelihood names 'weibull'"),
        ({"likelihood": {"poisson": [8]}}, "columns to 'poisson' that X does not have"),
        ({"likelihood": {"poisson": [[0]]}}, "columns to 'poisson' that X does not have"),
        ({"n_importance_samples": 0}, "'n_importance_samples' parameter"),
        ({"learning_rate_init": 0.0}, "'learning_rate_init' parameter"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
        ({"device": "tpu"}, "'device' parameter"),
        ({"contamination": 0.6}, "'contamination' parameter"),
        ({"contamination": 0.0}, "'contamination' parameter"),
    ],
)
def test_promise_12_wrong_parameters_are_named(parameters, message, binary_rows):
    with pytest.raises(ValueError, match=message):
        VAEOutlierDetector(**parameters).fit(binary_rows)


def test_promise_12_true_is_the_integer_one_as_elsewhere_in_scikit_learn(binary_rows):
    density = VAEDensityEstimator(n_components=True, hidden_layer_sizes=(True,), **QUICK)
    assert density.fit(binary_rows).transform(binary_rows).shape == (300, 1)


def test_promise_12_sample_refuses_a_size_that_no_table_has(binary_rows):
    density = VAEDensityEstimator(**QUICK).fit(binary_rows)
    with pytest.raises(ValueError, match="n_samples must be an integer"):
        density.sample(10**30)


@pytest.mark.parametrize("estimator", [VAEDensityEstimator, VAEImputer])
def test_promise_12_an_integer_too_large_for_a_float_is_a_value_error(estimator):
    with pytest.raises(ValueError, match="X holds a number too large for float64"):
        estimator(**QUICK).fit(np.array([[10**400], [1]], dtype=object))


@pytest.mark.parametrize("as_table", [sp.csr_matrix, sp.csc_array])
@pytest.mark.parametrize(
    "wrong", ["index", "negative index", "start", "order", "end", "length", "rows"]
)
def test_promise_12_broken_sparse_tables_are_refused(wrong, as_table, sparse_rows):
    """SciPy lets them be made, and then crashes or reads what lies beside the arrays."""
    X = as_table(sparse_rows)
    if wrong == "index":
        X.indices[3] = 1000
    elif wrong == "negative index":
        X.indices[3] = -1
    elif wrong == "start":
        X.indptr[0] = 1
    elif wrong == "order":
        X.indptr[5] = X.indptr[-1] + 1
    elif wrong == "end":
        X.indptr[-1] += 1
    elif wrong == "length":
        X.data = X.data[:-1]
    else:
        X.indptr = X.indptr[:-1]
    detector = VAEOutlierDetector(**QUICK)
    for estimator in (detector, OutlierClassifier(detector), ConformalOutlierDetector(detector)):
        with pytest.raises(ValueError, match="X is a broken CS[RC] matrix"):
            estimator.fit(X, np.arange(X.shape[0]) % 5 == 0)


@pytest.mark.parametrize("estimator", [VAEDensityEstimator, VAEOutlierDetector, VAEImputer])
def test_promise_12_text_and_pandas_na_are_refused_with_a_remedy(estimator):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"amount": np.arange(30.0), "city": ["Rome", "Oslo", "Bonn"] * 10})
    with pytest.raises(ValueError, match="text in column 'city'.* OrdinalEncoder"):
        estimator().fit(table)
    with pytest.raises(ValueError, match="holds text: .* OrdinalEncoder"):
        estimator().fit(table.to_numpy())
    table = pd.DataFrame({"amount": [1.0, pd.NA] * 15}, dtype=object)
    with pytest.raises(ValueError, match=r"pandas\.NA .* numpy\.nan"):
        estimator().fit(table)


@pytest.mark.parametrize("as_table", [sp.coo_matrix, sp.bsr_matrix])
def test_promise_12_broken_tables_of_other_formats_are_refused(as_table, sparse_rows):
    X = as_table(sparse_rows)
    columns = X.col if X.format == "coo" else X.indices
    columns[3] = 1000
    with pytest.raises(ValueError, match="X is a broken CSR matrix"):
        VAEOutlierDetector(**QUICK).fit(X)


@pytest.mark.parametrize("as_table", [sp.coo_array, sp.csr_array])
def test_promise_12_a_sparse_vector_is_refused_as_a_dense_one(as_table):
    row = sp.coo_array(np.array([1.0, 0.0, 1.0]))
    if as_table is sp.csr_array:
        if tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 15):
            pytest.skip("CSR arrays have two dimensions before SciPy 1.15")
        row = row.tocsr()
    with pytest.raises(ValueError, match=r"Expected 2D input, got a sparse array of shape \(3,\)"):
        VAEOutlierDetector(**QUICK).fit(row)


# A value so large that a score overflows.
FAR = 1e200


@pytest.mark.parametrize(
    "score",
    [
        lambda density, X: density.score_samples(X),
        lambda density, X: density.set_params(n_importance_samples=5).score_samples(X),
        lambda density, X: density.set_params(n_refinement_steps=2).score_samples(X),
        lambda density, X: density._feature_contributions(X),
        lambda density, X: density.transform(X * 1e108),
        lambda density, X: density.inverse_transform(np.c_[np.zeros(3), np.full(3, 1.5e308)]),
    ],
)
def test_promise_12_results_that_overflow_name_the_column(score, real_rows):
    density = VAEDensityEstimator(2, likelihood="gaussian", **QUICK).fit(real_rows)
    X = real_rows[:3].copy()
    X[1, 1] = -FAR
    for parameter in density._model.network.parameters():
        parameter.data *= 1e9
    with pytest.raises(ValueError, match=r"overflows: column 1 has -?[12](\.5)?e\+\d+.*rescale"):
        score(density, X)


def test_promise_12_results_of_sparse_rows_that_overflow_name_the_column(sparse_rows):
    X = sparse_rows.tolil()
    X[3, 9] = FAR
    density = VAEDensityEstimator(likelihood="gaussian", **QUICK).fit(sparse_rows)
    with pytest.raises(ValueError, match=r"overflows: column 9 has 1e\+200"):
        density.score_samples(X.tocsr())


def test_promise_12_errors_and_fillings_that_overflow_name_the_column(real_rows):
    X = real_rows[:3].copy()
    X[1, 1], X[1, 2] = -FAR, np.nan
    autoencoder = AutoencoderTransformer(**QUICK).fit(real_rows)
    with pytest.raises(ValueError, match=r"overflows: column 1 has -1e\+200"):
        autoencoder.reconstruction_error(np.nan_to_num(X))
    with pytest.raises(ValueError, match=r"overflows: column 1 has -1e\+200"):
        VAEImputer(**QUICK).fit(real_rows).transform(X)


@pytest.mark.parametrize("failing", ["value", "parameter", "divergence", "validation rows"])
def test_promise_12_failed_fit_keeps_the_fitted_state(failing, binary_rows):
    density = VAEDensityEstimator(likelihood="bernoulli", **QUICK).fit(binary_rows)
    scores, state = density.score_samples(binary_rows), set(vars(density))
    X, X_val, parameters = binary_rows[:, :3], None, {}
    if failing == "value":
        X = X + 0.5
    elif failing == "parameter":
        parameters = {"max_iter": 0}
    elif failing == "divergence":
        parameters = {"solver": "sgd", "learning_rate_init": 1e9}
    else:
        X_val = X * 2
    with pytest.raises(ValueError, match=r"\[0, 1\]|max_iter|not finite"):
        density.set_params(**parameters).fit(X, X_val=X_val)
    density.set_params(max_iter=3, solver="adam", learning_rate_init=1e-3)
    assert set(vars(density)) == state
    assert density.n_features_in_ == 8
    np.testing.assert_array_equal(density.score_samples(binary_rows), scores)


def test_promise_12_failed_partial_fit_keeps_the_fitted_state(binary_rows):
    density = VAEDensityEstimator(**QUICK).partial_fit(binary_rows)
    scores = density.score_samples(binary_rows)
    with pytest.raises(ValueError, match="not finite"):
        density.set_params(learning_rate_init=1e30).partial_fit(binary_rows)
    density.set_params(learning_rate_init=1e-3)
    np.testing.assert_array_equal(density.score_samples(binary_rows), scores)


def test_promise_12_failed_detector_fit_keeps_threshold_and_density(binary_rows):
    detector = VAEOutlierDetector(0.1, **QUICK).fit(binary_rows)
    labels, density = detector.predict(binary_rows), detector.density_
    with pytest.raises(ValueError, match="infinity"):
        detector.fit(binary_rows + np.inf)
    assert detector.density_ is density
    np.testing.assert_array_equal(detector.predict(binary_rows), labels)


# 13: silent by default, a bar on request, and Ctrl-C keeps what was learned.


def test_promise_13_silent_by_default_and_a_bar_on_request(binary_rows, capfd):
    VAEDensityEstimator(**QUICK).fit(binary_rows)
    assert capfd.readouterr() == ("", "")
    VAEDensityEstimator(verbose=1, **QUICK).fit(binary_rows)
    out, err = capfd.readouterr()
    assert out == ""
    assert "3/3" in err
    assert "loss=" in err


def test_promise_13_interrupt_keeps_the_weights_so_far(binary_rows, monkeypatch):
    train_epoch = loop.train_epoch
    epochs = itertools.count(1)

    def interrupted(*args):
        if next(epochs) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return train_epoch(*args)

    monkeypatch.setattr(loop, "train_epoch", interrupted)
    density = VAEDensityEstimator(random_state=0)
    # Python leaves SIGINT alone where its parent ignores it, as a shell does for background jobs.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.warns(UserWarning, match="interrupted in epoch 5 of 200"):
            density.fit(binary_rows)
    finally:
        signal.signal(signal.SIGINT, before)
    assert density.n_iter_ == 4
    assert np.isfinite(density.score_samples(binary_rows)).all()


# 14: the likelihood is chosen by the data, and said.


@pytest.mark.parametrize(
    ("X", "likelihood"),
    [
        ([[0, 1], [1, 1]], "bernoulli"),
        ([[0.2, 0.5], [1, 1]], "contaminated_gaussian"),
        ([[0, 2], [3, 1]], "contaminated_gaussian"),
        ([[0, 3, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 0, 0]], "negative_binomial"),
    ],
)
@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_promise_14_likelihood_follows_the_training_values(as_table, X, likelihood):
    assert VAEDensityEstimator(**QUICK).fit(as_table(X)).likelihood_ == likelihood


@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_promise_14_likelihood_is_chosen_by_the_column_in_a_mixed_table(as_table):
    X = as_table([[0, 0.5, 7], [1, 1, 7], [1, 0, 0]])
    chosen = VAEDensityEstimator(**QUICK).fit(X).likelihood_
    assert {name: columns.tolist() for name, columns in chosen.items()} == {
        "bernoulli": [0],
        "contaminated_gaussian": [1],
        "spike_and_slab": [2],
    }


def test_promise_14_first_chunk_fixes_likelihood_and_scale(real_rows):
    density = VAEDensityEstimator(**QUICK).partial_fit(real_rows)
    scale = density._model.likelihood.scale_
    density.partial_fit(real_rows * 100)
    assert torch.equal(density._model.likelihood.scale_, scale)
    assert density.partial_fit(np.ones((3, 4))).likelihood_ == "contaminated_gaussian"


# 15: OutlierClassifier's sign and probabilities follow classes_.


@pytest.mark.parametrize("outlier_label", ["a", "b"])
def test_promise_15_positive_decision_means_the_second_class(outlier_label, real_rows):
    y = np.array(["a", "b"])[np.arange(len(real_rows)) % 2]
    classifier = OutlierClassifier(
        IsolationForest(contamination=0.2, random_state=0), outlier_label=outlier_label
    ).fit(real_rows, y)
    decision = classifier.decision_function(real_rows)
    labels = classifier.predict(real_rows)
    flagged = classifier.estimator_.predict(real_rows) == -1
    np.testing.assert_array_equal(labels == outlier_label, flagged)
    np.testing.assert_array_equal(decision > 0, labels == "b")
    probabilities = classifier.predict_proba(real_rows)
    np.testing.assert_array_equal(probabilities[:, 1] > 0.5, labels == "b")
