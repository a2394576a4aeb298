"""Saved files: they come back equal to the bit, and whatever else a file holds is refused."""

import copy
import errno
import json
import os
import pickle
import signal
import stat
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from fuzz_load import Verbatim, build, parts
from make_fixtures import FOLDER, METHODS, SMALL, models, results, tables
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

import skvae
from skvae import (
    AutoencoderTransformer,
    ConformalOutlierDetector,
    OutlierClassifier,
    VAEDensityEstimator,
    VAEImputer,
    VAEOutlierDetector,
    _persistence,
)
from skvae._file import parse_json
from skvae._likelihoods import LIKELIHOODS
from skvae._persistence import KINDS, from_bytes, to_bytes
from skvae._torch import state

MODELS = models()
TABLES = tables()
ROOT = Path(__file__).parent.parent

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def plain(value):
    """Value of an attribute in a form that can be compared."""
    if isinstance(value, dict):
        return {key: plain(child) for key, child in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def assert_same(loaded, model, table):
    """The same results to the bit, parameters and public attributes."""
    assert type(loaded) is type(model)
    # As texts, because NaN differs from itself.
    assert str(results(loaded, TABLES[table])) == str(results(model, TABLES[table]))
    assert repr(loaded) == repr(model)
    public = [name for name in vars(model) if name.endswith("_") and name[0] != "_"]
    for name in public:
        if name not in ("density_", "estimator_", "indicator_"):
            assert plain(getattr(loaded, name)) == plain(getattr(model, name)), name
    missing = set(vars(model)) - set(vars(loaded))
    assert missing == set()


@pytest.fixture(params=MODELS)
def saved(request, tmp_path):
    """Model, name of its table, and the file it is saved in."""
    model, table = MODELS[request.param]
    skvae.save(model, tmp_path / "model")
    return model, table, tmp_path / "model"


# What is saved comes back.


def test_loaded_estimator_is_the_one_saved_to_the_bit(saved):
    model, table, path = saved
    loaded = skvae.load(path)
    assert_same(loaded, model, table)
    skvae.save(loaded, path.with_name("again"))
    assert path.with_name("again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("likelihood", [*LIKELIHOODS, {"poisson": [5], "categorical": [1, 2]}])
@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_every_likelihood_comes_back(likelihood, as_table, binary_rows, tmp_path):
    X = as_table(binary_rows)
    density = VAEDensityEstimator(likelihood=likelihood, **SMALL).fit(X)
    skvae.save(density, tmp_path / "model")
    loaded = skvae.load(tmp_path / "model")
    for n_draws in (1, 4):
        for each in (density, loaded):
            each.set_params(n_importance_samples=n_draws, n_refinement_steps=n_draws - 1)
        np.testing.assert_array_equal(loaded.score_samples(X), density.score_samples(X))
    samples = [each.sample(4, random_state=0) for each in (density, loaded)]
    assert type(samples[0]) is type(samples[1])
    np.testing.assert_array_equal(*(s.toarray() if sp.issparse(s) else s for s in samples))


@pytest.mark.parametrize("name", ["autoencoder", "learned_prior", "mixed", "multinomial"])
def test_no_attribute_of_a_model_is_forgotten(name):
    model = MODELS[name][0]._model
    loaded = from_bytes(to_bytes(MODELS[name][0]))._model
    assert vars(loaded).keys() == vars(model).keys()
    assert {n: p.requires_grad for n, p in loaded.network.named_parameters()} == {
        n: p.requires_grad for n, p in model.network.named_parameters()
    }
    for before, after in zip(model.network.modules(), loaded.network.modules(), strict=True):
        assert vars(after).keys() == vars(before).keys()
        assert not list(before.buffers())
    if name == "autoencoder":
        return
    pairs = [(model.likelihood, loaded.likelihood)]
    if name == "mixed":
        pairs += zip(model.likelihood.parts, loaded.likelihood.parts, strict=True)
    for before, after in pairs:
        assert type(after) is type(before)
        assert vars(after).keys() == vars(before).keys()


def test_contributions_come_back(tmp_path):
    model, table = MODELS["log_odds"]
    assert model.outlier_score_ == "log_odds"
    skvae.save(model, tmp_path / "model")
    loaded = skvae.load(tmp_path / "model")
    for each in (np.asarray, sp.csr_matrix):
        X = each(TABLES[table])
        expected, found = model.feature_contributions(X), loaded.feature_contributions(X)
        np.testing.assert_array_equal(found.baseline, expected.baseline)
        difference = found.contributions != expected.contributions
        assert not (difference.nnz if sp.issparse(difference) else difference.any())


def test_every_public_estimator_can_be_saved():
    estimators = {name for name in skvae.__all__ if name[0].isupper()}
    assert estimators == {type(model).__name__ for model, _ in MODELS.values()}
    assert set(KINDS) == estimators | {"FrozenEstimator"}


@pytest.mark.parametrize("output", [None, "default", "pandas"])
def test_set_output_is_kept(output, real_rows, tmp_path):
    names = pd.DataFrame(real_rows, columns=["a", "b", "c", "d"])
    imputer = VAEImputer(**SMALL).fit(names)
    if output is not None:
        imputer.set_output(transform=output)
    skvae.save(imputer, tmp_path / "model")
    loaded = skvae.load(tmp_path / "model")
    assert type(loaded.transform(names)) is type(imputer.transform(names))
    assert loaded.get_feature_names_out().tolist() == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1],
        [False, True],
        [-1.0, 2.0],
        ["ham", "spam"],
        np.array(["a", "b"], dtype=object),
        np.array([3, 200], dtype=np.uint8),
        np.array([0.0, 1.0], dtype=np.float32),
    ],
)
def test_labels_keep_their_type(labels, real_rows, tmp_path):
    y = np.asarray(labels)[(np.arange(len(real_rows)) > 180).astype(int)]
    classifier = OutlierClassifier(VAEOutlierDetector(**SMALL), outlier_label=y[-1])
    skvae.save(classifier.fit(real_rows, y), tmp_path / "model")
    loaded = skvae.load(tmp_path / "model")
    assert loaded.classes_.dtype == classifier.classes_.dtype
    assert loaded.outlier_label == loaded.outlier_label_ == y[-1]
    np.testing.assert_array_equal(loaded.predict(real_rows), classifier.predict(real_rows))


def test_moved_threshold_and_changed_scoring_are_kept(real_rows, tmp_path):
    detector = VAEOutlierDetector(**SMALL).fit(real_rows)
    detector.offset_ -= 3
    detector.density_.set_params(n_importance_samples=3)
    skvae.save(detector, tmp_path / "model")
    loaded = skvae.load(tmp_path / "model")
    np.testing.assert_array_equal(
        loaded.decision_function(real_rows), detector.decision_function(real_rows)
    )


def test_frozen_detector_is_one_object_before_and_after():
    loaded = from_bytes(to_bytes(MODELS["frozen"][0]))
    assert loaded.estimator is loaded.estimator_
    assert isinstance(loaded.estimator, FrozenEstimator)


def test_loaded_meta_estimator_can_be_cloned_and_fitted():
    model, table = MODELS["classifier"]
    loaded = clone(from_bytes(to_bytes(model)))
    y = np.arange(40) >= 36
    again = clone(model).fit(TABLES[table], y).predict_proba(TABLES[table])
    np.testing.assert_array_equal(loaded.fit(TABLES[table], y).predict_proba(TABLES[table]), again)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_training_goes_on_with_a_new_optimiser(solver, binary_rows):
    density = VAEDensityEstimator(solver=solver, random_state=0).partial_fit(binary_rows)
    data = to_bytes(density)
    loaded, other = from_bytes(data), from_bytes(data)
    assert loaded._model._optimizer_state is None
    assert loaded._model.n_rows_seen == len(binary_rows)
    before = loaded.score(binary_rows)
    for _ in range(5):
        loaded.partial_fit(binary_rows)
    assert loaded.n_iter_ == 6
    assert loaded.score(binary_rows) > before
    for _ in range(5):
        other.partial_fit(binary_rows)
    np.testing.assert_array_equal(
        other.score_samples(binary_rows), loaded.score_samples(binary_rows)
    )


def test_training_goes_on_with_other_draws_each_time(binary_rows):
    density = VAEDensityEstimator(**SMALL).partial_fit(binary_rows)
    states = set()
    for _ in range(3):
        density = from_bytes(to_bytes(density))
        states.add(density._model.generator.initial_seed())
        density.partial_fit(binary_rows)
    assert len(states) == 3


@pytest.mark.parametrize("estimator", [AutoencoderTransformer, VAEOutlierDetector])
def test_warm_start_goes_on_after_loading(estimator, real_rows):
    model = estimator(warm_start=True, **SMALL).fit(real_rows)
    loaded = from_bytes(to_bytes(model)).fit(real_rows)
    assert loaded.n_iter_ == 2 * SMALL["max_iter"]
    changed = "was made with activation='relu'; the parameters now say activation='tanh'"
    with pytest.raises(ValueError, match=changed):
        from_bytes(to_bytes(model)).set_params(activation="tanh").fit(real_rows)


# What is in the parameters.


def test_numbers_of_numpy_are_saved_as_numbers(real_rows):
    density = VAEDensityEstimator(
        np.int64(2),
        hidden_layer_sizes=np.array([3]),
        alpha=np.float32(0.01),
        early_stopping=np.bool_(False),
        activation=np.str_("tanh"),
        max_iter=2,
        random_state=np.int32(0),
    ).fit(real_rows)
    loaded = from_bytes(to_bytes(density)).get_params()
    assert loaded["hidden_layer_sizes"] == (3,)
    assert loaded["alpha"] == np.float32(0.01)
    np.testing.assert_array_equal(
        from_bytes(to_bytes(density)).score_samples(real_rows), density.score_samples(real_rows)
    )


@pytest.mark.parametrize("one", [True, np.int32(1)])
def test_one_gaussian_in_the_prior_is_saved_however_it_is_written(one, real_rows):
    density = VAEDensityEstimator(n_prior_components=one, **SMALL).fit(real_rows)
    loaded = from_bytes(to_bytes(density))
    np.testing.assert_array_equal(loaded.score_samples(real_rows), density.score_samples(real_rows))


@pytest.mark.parametrize(
    ("key", "saved_as"),
    [
        (["a", "c"], ["a", "c"]),
        ("c", "c"),
        (np.array([0, 2]), [0, 2]),
        ([True, False, True, False], [True, False, True, False]),
        (-1, -1),
        (slice("a", "b"), [0, 1]),
        (make_column_selector("a|c"), [0, 2]),
        (lambda table: [1], [1]),
    ],
)
def test_columns_of_likelihoods_are_saved_as_given_or_by_index(key, saved_as, real_rows):
    X = pd.DataFrame(real_rows, columns=["a", "b", "c", "d"])
    for make in (VAEDensityEstimator, VAEOutlierDetector, VAEImputer):
        model = make(likelihood={"gaussian": key}, **SMALL).fit(X)
        assert from_bytes(to_bytes(model)).likelihood == {"gaussian": saved_as}
    conformal = ConformalOutlierDetector(VAEOutlierDetector(likelihood={"gaussian": key}, **SMALL))
    loaded = from_bytes(to_bytes(conformal.fit(X)))
    assert loaded.estimator.likelihood == {"gaussian": saved_as}


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"random_state": np.random.RandomState(0)}, "random_state=RandomState"),
        ({"likelihood": {"poisson": lambda table: [1]}}, "likelihood="),
        ({"alpha": np.inf}, "alpha=inf"),
    ],
)
def test_parameter_without_a_form_in_a_file_is_refused_by_name(
    parameters, name, real_rows, tmp_path
):
    model = VAEDensityEstimator(**SMALL).fit(real_rows).set_params(**parameters)
    with pytest.raises(TypeError, match=f"cannot be saved with {name}.*set_params"):
        skvae.save(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [object, "M8[D]", np.longdouble])
def test_labels_without_a_form_in_a_file_are_refused(dtype, real_rows, tmp_path):
    y = (np.arange(len(real_rows)) % 10 == 0).astype(int)
    classifier = OutlierClassifier(VAEOutlierDetector(**SMALL)).fit(real_rows, y)
    classifier.classes_ = classifier.classes_.astype(dtype)
    with pytest.raises(ValueError, match=r"classes_=.* cannot be saved\. Fit with labels that are"):
        skvae.save(classifier, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_names_may_hold_what_separates_values(real_rows, tmp_path):
    names = [f'{"," * 60_000}"[{{\\{column}' for column in range(4)]
    density = VAEDensityEstimator(**SMALL).fit(pd.DataFrame(real_rows, columns=names))
    skvae.save(density, tmp_path / "model")
    assert skvae.load(tmp_path / "model").feature_names_in_.tolist() == names


def test_changed_parameter_that_fit_would_refuse_is_refused(real_rows):
    model = VAEDensityEstimator(**SMALL).fit(real_rows).set_params(solver="lbfgs")
    with pytest.raises(ValueError, match="cannot be saved: .*solver"):
        skvae.save(model, "/nowhere/model")


@pytest.mark.parametrize(
    "make",
    [
        lambda X, y: IsolationForest().fit(X),
        lambda X, y: make_pipeline(MaxAbsScaler(), VAEOutlierDetector(**SMALL)).fit(X),
        lambda X, y: ConformalOutlierDetector(IsolationForest()).fit(X),
        lambda X, y: ConformalOutlierDetector(FrozenEstimator(IsolationForest().fit(X))).fit(X),
        lambda X, y: OutlierClassifier(
            make_pipeline(MaxAbsScaler(), VAEOutlierDetector(**SMALL))
        ).fit(X, y),
        lambda X, y: type("Mine", (VAEOutlierDetector,), {})(**SMALL).fit(X),
        lambda X, y: type("VAEOutlierDetector", (VAEOutlierDetector,), {})(**SMALL).fit(X),
        lambda X, y: X,
    ],
)
def test_what_is_not_ours_is_refused_with_a_hint(make, real_rows, tmp_path):
    model = make(real_rows, np.arange(len(real_rows)) > 180)
    with pytest.raises(TypeError, match="skops"):
        skvae.save(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_changed_detector_of_a_meta_estimator_is_refused():
    model = copy.deepcopy(MODELS["conformal"][0])
    with pytest.raises(TypeError, match="Fit again"):
        to_bytes(model.set_params(estimator=IsolationForest()))


@pytest.mark.parametrize("model", [model for model, _ in MODELS.values()], ids=list(MODELS))
def test_unfitted_estimator_is_refused(model, tmp_path):
    with pytest.raises(NotFittedError):
        skvae.save(clone(model, safe=False), tmp_path / "model")


def test_what_is_frozen_is_saved_without_its_frame(real_rows, tmp_path):
    with pytest.raises(TypeError, match="save its attribute estimator"):
        skvae.save(FrozenEstimator(VAEOutlierDetector(**SMALL).fit(real_rows)), tmp_path / "model")


def test_an_offset_may_be_an_array_of_one_number(real_rows, tmp_path):
    detector = VAEOutlierDetector(**SMALL).fit(real_rows)
    detector.offset_ = np.quantile(detector.score_samples(real_rows), [0.3])
    skvae.save(detector, tmp_path / "model")
    loaded = skvae.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(real_rows), detector.predict(real_rows))
    for offset in ("-3", [1.0, 2.0], None):
        detector.offset_ = offset
        with pytest.raises(ValueError, match="offset_=.* is no finite number"):
            skvae.save(detector, tmp_path / "model")


@pytest.mark.parametrize("spoil", ["offset", "weight", "name"])
def test_what_could_not_be_loaded_is_not_saved(spoil, real_rows, tmp_path):
    detector = VAEOutlierDetector(**SMALL).fit(real_rows)
    skvae.save(detector, tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    if spoil == "offset":
        detector.offset_ = np.nan
    elif spoil == "weight":
        with torch.no_grad():
            detector.density_._model.network.mean.weight[0] = torch.nan
    else:
        detector.density_.feature_names_in_ = np.array(["a", "b"], dtype=object)
    with pytest.raises(ValueError, match="cannot be saved"):
        skvae.save(detector, tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == before


@pytest.mark.parametrize(
    ("estimator", "module", "limit", "match"),
    [
        (VAEDensityEstimator(**SMALL), _persistence, "MAX_FEATURES", "n_features_in"),
        (
            VAEDensityEstimator(likelihood={"gaussian": [0], "poisson": [1]}, **SMALL),
            state,
            "MAX_DENSE_COLUMNS",
            "columns of several kinds, where 3 are allowed",
        ),
        (VAEImputer(**SMALL), _persistence, "MAX_DENSE_COLUMNS", "imputes 4 columns"),
    ],
)
def test_more_features_than_memory_allows_are_refused(
    estimator, module, limit, match, real_rows, monkeypatch, tmp_path
):
    model = estimator.fit(abs(real_rows).round())
    data = to_bytes(model)
    monkeypatch.setattr(module, limit, 4)
    assert from_bytes(data).n_features_in_ == 4
    monkeypatch.setattr(module, limit, 3)
    with pytest.raises(ValueError, match=match):
        from_bytes(data)
    with pytest.raises(ValueError, match="cannot be saved"):
        skvae.save(model, tmp_path / "model")


# Files of earlier versions.


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (path.parent, path.stem)
        for path in sorted((Path(__file__).parent / "fixtures").glob("*/*.safetensors"))
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_earlier_files_load_and_score_as_they_did(folder, name):
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))[name]
    found = results(skvae.load(folder / f"{name}.safetensors"), TABLES[expected["table"]][:5])
    assert list(found) == list(expected["results"])
    for method, values in found.items():
        values, wanted = np.array(values), np.array(expected["results"][method])
        if wanted.dtype.kind == "U":
            np.testing.assert_array_equal(values, wanted)
        else:
            np.testing.assert_allclose(values, wanted, rtol=1e-9, atol=1e-9)


def test_files_are_small_and_cover_all_that_is_compared():
    files = list(FOLDER.glob("*.safetensors"))
    assert {path.stem for path in files} == set(MODELS)
    assert max(path.stat().st_size for path in files) < 10_000
    expected = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
    assert {m for model in expected.values() for m in model["results"]} == set(METHODS)


# Pickles and copies.


@pytest.mark.parametrize("how", ["pickle", "joblib", "cloudpickle", "deepcopy"])
@pytest.mark.parametrize("name", MODELS)
def test_pickles_and_copies_come_back(name, how, tmp_path):
    model, table = MODELS[name]
    if how == "joblib":
        joblib.dump(model, tmp_path / "model")
        loaded = joblib.load(tmp_path / "model")
    elif how == "deepcopy":
        loaded = copy.deepcopy(model)
    else:
        loaded = pickle.loads({"pickle": pickle, "cloudpickle": cloudpickle}[how].dumps(model))
    assert_same(loaded, model, table)


@pytest.mark.parametrize("make", [AutoencoderTransformer, VAEDensityEstimator, VAEOutlierDetector])
@pytest.mark.parametrize("size", [lambda m: len(pickle.dumps(m)), lambda m: len(to_bytes(m))])
def test_no_rows_are_saved(size, make, real_rows):
    parameters = SMALL | {"batch_size": 50, "n_iter_no_change": 100, "early_stopping": False}
    few = make(**parameters).fit(real_rows)
    few_scored = copy.deepcopy(few)
    many = make(**parameters).fit(np.tile(real_rows, (20, 1)))
    few_scored.transform(real_rows) if hasattr(few, "transform") else few.predict(real_rows)
    assert size(few_scored) == size(few)
    assert abs(size(many) - size(few)) < 100


def test_optimiser_is_in_a_pickle_only_where_training_goes_on_and_never_in_a_file(real_rows):
    parameters = SMALL | {"hidden_layer_sizes": (50,), "max_iter": 1, "early_stopping": False}
    plain_fit = VAEDensityEstimator(**parameters).fit(real_rows)
    partial = VAEDensityEstimator(**parameters).partial_fit(real_rows)
    assert len(pickle.dumps(partial)) > 2 * len(pickle.dumps(plain_fit))
    assert abs(len(to_bytes(partial)) - len(to_bytes(plain_fit))) < 100


def test_no_field_tells_what_scores_do_not_need(binary_rows):
    density = VAEDensityEstimator(autoregressive=False, **SMALL).fit(binary_rows)
    header, document, _ = parts(to_bytes(density))
    assert document["estimator"]["n_rows_seen"] == 0
    assert not any("outside" in name for name in parts(to_bytes(MODELS["log_odds"][0]))[0])
    assert header.keys() >= {"likelihood.0.marginals"}


@needs_cuda
@pytest.mark.parametrize("how", ["pickle", "file"])
def test_model_from_a_gpu_loads_without_one(how, binary_rows):
    density = VAEDensityEstimator(device="cuda", **SMALL).fit(binary_rows)
    loaded = from_bytes(to_bytes(density)) if how == "file" else pickle.loads(pickle.dumps(density))
    assert {p.device.type for p in loaded._model.network.parameters()} == {"cpu"}
    density.set_params(device="cpu")
    loaded.set_params(device="cpu")
    np.testing.assert_array_equal(
        loaded.score_samples(binary_rows), density.score_samples(binary_rows)
    )


def test_naming_save_and_load_imports_neither_torch_nor_safetensors():
    code = (
        "import sys, skvae\n"
        "skvae.save, skvae.load\n"
        "assert not {'torch', 'safetensors'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Writing.


def test_file_of_any_name_is_replaced_where_a_link_leads_with_its_mode(tmp_path):
    target, link = tmp_path / ("x" * 250), tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    skvae.save(MODELS["detector"][0], str(link))
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert_same(skvae.load(link), *MODELS["detector"])
    assert set(tmp_path.iterdir()) == {target, link}


def test_new_file_has_the_usual_mode(tmp_path):
    skvae.save(MODELS["detector"][0], tmp_path / "model")
    (tmp_path / "usual").write_bytes(b"")
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt()])
def test_failed_save_leaves_the_old_file_alone(function, error, tmp_path, monkeypatch):
    skvae.save(MODELS["detector"][0], tmp_path / "model")
    before = (tmp_path / "model").read_bytes()

    def fail(*arguments):
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        skvae.save(MODELS["mixed"][0], tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model").read_bytes() == before


def test_folder_that_is_not_there_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder to write to: '.*nowhere.model'"):
        skvae.save(MODELS["detector"][0], tmp_path / "nowhere" / "model")


@pytest.mark.parametrize("path", ["model/", "."])
def test_folder_in_the_place_of_a_file_is_an_oserror(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IsADirectoryError, match=f"cannot be written as a file: '{path}'"):
        skvae.save(MODELS["detector"][0], path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
def test_kill_at_any_moment_leaves_a_whole_file(tmp_path):
    path = tmp_path / "model"
    code = (
        "import sys, itertools\n"
        "from skvae import _file\n"
        "contents = [open(name, 'rb').read() for name in sys.argv[2:]]\n"
        "print('ready', flush=True)\n"
        "for data in itertools.cycle(contents):\n"
        "    with _file.replaced(sys.argv[1]) as file:\n"
        "        file.write(data)\n"
    )
    files = [str(FOLDER / f"{name}.safetensors") for name in ("detector", "mixed")]
    whole = {Path(name).read_bytes() for name in files}
    # The first kill may come before the first file is whole: this one is there then.
    path.write_bytes(min(whole))
    rng = np.random.RandomState(0)
    for _ in range(8):
        command = [sys.executable, "-c", code, str(path), *files]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert path.read_bytes() in whole
        skvae.load(path)


# Refusals.

DATA = to_bytes(MODELS["detector"][0])


def refusal(data, tmp_path):
    """Message of the refusal of a file."""
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(ValueError, match="model' cannot be loaded: ") as caught:
        skvae.load(tmp_path / "model")
    return str(caught.value).split("cannot be loaded: ")[1]


def test_any_changed_byte_is_refused():
    for place in range(len(DATA)):
        changed = bytearray(DATA)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(ValueError, match="^it "):
            from_bytes(bytes(changed))


def test_any_truncation_or_addition_is_refused(tmp_path):
    for size in range(len(DATA)):
        with pytest.raises(ValueError, match="^it "):
            from_bytes(DATA[:size])
    with pytest.raises(ValueError, match="^it "):
        from_bytes(DATA + b"\0")
    assert "truncated" in refusal(DATA[:1000], tmp_path)
    assert "truncated" in refusal(DATA[:50], tmp_path)
    assert "changed or damaged" in refusal(DATA[:-1], tmp_path)
    assert "no file of skvae.save" in refusal(b"", tmp_path)


def test_foreign_files_are_refused(tmp_path):
    from safetensors.numpy import save

    for foreign in (pickle.dumps([1]), b"PK\3\4" * 100, save({"a": np.ones(3)}), bytes(1000)):
        assert refusal(foreign, tmp_path).startswith("it is no file of skvae.save")


def test_large_foreign_file_is_refused_by_its_first_bytes(tmp_path):
    with open(tmp_path / "model", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="no file of skvae.save"):
        skvae.load(tmp_path / "model")
    with open(tmp_path / "model", "r+b") as file:
        file.write(struct.pack("<Q", 2**39) + DATA[8:])
    with pytest.raises(ValueError, match="its header has 549755813888 bytes"):
        skvae.load(tmp_path / "model")


def test_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        skvae.load(tmp_path / "model")


def test_parameter_of_a_later_version_has_its_default(tmp_path):
    header, document, body = parts(DATA)
    del document["estimator"]["density"]["params"]["n_refinement_steps"]
    (tmp_path / "model").write_bytes(build(header, document, body))
    assert_same(skvae.load(tmp_path / "model"), *MODELS["detector"])


def test_newer_format_says_that_skvae_is_too_old(tmp_path):
    header, document, body = parts(DATA)
    document |= {"format": 2, "skvae": "7.1", "news": [1]}
    header["more"] = {"dtype": "BF16", "shape": [1, 2, 3], "news": None}
    message = refusal(build(header, document, body), tmp_path)
    assert message.startswith("it was written by skvae '7.1' in format 2; this version reads")
    assert "Update skvae" in message


def set_in(value, path, new):
    """Set, or with None delete, what lies at a path in a parsed JSON value."""
    *path, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    for key in path:
        value = value[key]
    if new is None:
        del value[last]
    else:
        value[last] = new


# Paths into documents ("d/") and headers ("h/") of a file, new values (None: taken out), and what
# the refusal says. A slash in the name of a field does not occur.
HOSTILE = [
    ("detector", "d/format", None, "does not say in which format"),
    ("detector", "d/format", "1", "does not say in which format"),
    ("detector", "d/skvae", 5, "does not say in which format"),
    ("detector", "d/more", 5, "has the fields"),
    ("detector", "d/estimator", 5, "its document is 5, not an object"),
    ("detector", "d/estimator", {str(i): i for i in range(101)}, "has 101 fields"),
    ("detector", "d/estimator/more", 5, "'more', which nothing reads"),
    ("detector", "d/estimator/class", "os.system", "class is 'os.system', not one of"),
    ("detector", "d/estimator/class", "FrozenEstimator", "class is 'FrozenEstimator'"),
    ("detector", "d/estimator/class", ["VAEImputer"], "class is "),
    ("detector", "d/estimator/class", "ConformalOutlierDetector", "estimator is missing"),
    ("detector", "d/estimator/params", [], "params is [], not an object"),
    ("detector", "d/estimator/params/__class__", "x", "params has '__class__', which is no param"),
    ("conformal", "d/estimator/params/estimator", "x", "params has 'estimator', which is no param"),
    ("detector", "d/estimator/params/alpha", [1], "params.alpha is [1]"),
    ("detector", "d/estimator/params/alpha", -1, "'alpha' parameter"),
    ("detector", "d/estimator/params/alpha", Verbatim("1e999"), "'1e999' is too large"),
    ("detector", "d/estimator/params/alpha", Verbatim("NaN"), "document holds NaN"),
    ("detector", "d/estimator/params/alpha", Verbatim("9" * 5000), "is too large"),
    ("detector", "d/estimator/params/random_state", 2**63, "is too large"),
    ("detector", "d/estimator/params/random_state", -1, "'random_state' parameter"),
    ("detector", "d/estimator/params/alpha", Verbatim("[" * 100_000), "nested too deeply"),
    ("detector", "d/estimator/params/alpha", Verbatim("1," * 200_000), "more than 200000 values"),
    ("detector", "d/estimator/params/hidden_layer_sizes", ["x"], "hidden_layer_sizes is ['x']"),
    ("detector", "d/estimator/params/likelihood", {"x": [1]}, "gives [1] to 'x'"),
    ("detector", "d/estimator/params/likelihood", {"poisson": [[1]]}, "gives [[1]] to 'poisson'"),
    ("detector", "d/estimator/offset", "0", "offset is '0', not a number"),
    ("detector", "d/estimator/offset", True, "offset is True, not a number"),
    ("detector", "d/estimator/cluster", {"share": 0.1}, "which only Bernoulli features have"),
    ("detector", "d/estimator/density/class", "VAEImputer", "density.class is 'VAEImputer'"),
    ("detector", "d/estimator/density/output", "x", "density.output is 'x'"),
    ("detector", "d/estimator/density/n_features_in", 5, "(4,), not float64 and (5,)"),
    ("detector", "d/estimator/density/n_features_in", 2**31, "from 1 to 16777216"),
    ("detector", "d/estimator/density/n_features_in", 4.0, "n_features_in is 4.0, not"),
    ("detector", "d/estimator/density/n_features_in", True, "n_features_in is True, not"),
    ("detector", "d/estimator/density/feature_names_in", "abcd", "not a list of strings"),
    ("detector", "d/estimator/density/feature_names_in", [1, 2, 3, 4], "not a list of strings"),
    ("detector", "d/estimator/density/feature_names_in", ["a"], "1 feature names for 4"),
    ("detector", "d/estimator/density/sparse_in", 1, "sparse_in is 1, not one of"),
    ("detector", "d/estimator/density/noise_seed", -1, "noise_seed is -1"),
    ("detector", "d/estimator/density/noise_seed", 2**32, "noise_seed is 4294967296"),
    ("detector", "d/estimator/density/n_rows_seen", -1, "n_rows_seen is -1"),
    ("detector", "d/estimator/density/indicators", 1, "indicators is 1, not one of"),
    ("detector", "d/estimator/density/indicators", True, "(4, 3), not float32 and (8, 3)"),
    ("detector", "d/estimator/density/autoregression", True, "which only Bernoulli features have"),
    ("detector", "d/estimator/density/likelihood", {}, "likelihood is {}, not a list"),
    ("detector", "d/estimator/density/likelihood", [], "no likelihood, or one twice"),
    ("detector", "d/estimator/density/likelihood", [{"name": "x"}], "name is 'x', not one of"),
    ("detector", "d/estimator/density/likelihood/0/name", "poisson", "means is missing"),
    ("detector", "d/estimator/density/architecture/n_components", 0, "from 1 to"),
    ("detector", "d/estimator/density/architecture/n_components", 2**30, "not float32 and"),
    ("detector", "d/estimator/density/architecture/n_prior_components", 0, "from 1 to"),
    ("detector", "d/estimator/density/architecture/n_prior_components", 2**30, "logits is missing"),
    ("detector", "d/estimator/density/architecture/activation", "exec", "activation is 'exec'"),
    ("detector", "d/estimator/density/architecture/likelihood", "x", "likelihood is 'x'"),
    ("detector", "d/estimator/density/architecture/likelihood", {"x": []}, "gives [] to 'x'"),
    ("detector", "d/estimator/density/architecture/autoregressive", 2, "autoregressive is 2"),
    ("detector", "d/estimator/density/architecture/hidden_layer_sizes", [2**30], "not float32 and"),
    (
        "detector",
        "d/estimator/density/architecture/hidden_layer_sizes",
        [2**30 + 1],
        "not a list of",
    ),
    ("detector", "d/estimator/density/architecture/hidden_layer_sizes", [0], "not a list of"),
    ("detector", "d/estimator/density/architecture/hidden_layer_sizes", [1] * 501, "at most 500"),
    ("detector", "h/density.network.mean.weight", None, "or do not fill the file"),
    ("detector", "h/density.network.mean.weight/dtype", "F64", "does not fit its data_offsets"),
    ("detector", "h/density.network.mean.weight/dtype", "BF16", "has the dtype 'BF16', not one of"),
    ("detector", "h/density.network.mean.weight/dtype", {}, "has the dtype {}, not one of"),
    ("detector", "h/density.network.mean.weight/shape", [2, 3], "(2, 3), not float32 and (3, 2)"),
    ("detector", "h/density.network.mean.weight/shape", [6], "(6,), not float32 and (3, 2)"),
    ("detector", "h/density.network.mean.weight/shape", [1, 3, 2], "has the shape [1, 3, 2]"),
    ("detector", "h/density.network.mean.weight/shape", [0, 10**12], "has the shape [0, 1000"),
    ("detector", "h/density.network.mean.weight/shape", [-3, -2], "has the shape [-3, -2]"),
    ("detector", "h/density.network.mean.weight/shape", [3.0, 2], "has the shape [3.0, 2]"),
    ("detector", "h/density.network.mean.weight/data_offsets", [0, 24], "overlap"),
    ("detector", "h/density.network.mean.weight/data_offsets", [24, 0], "does not fit"),
    ("detector", "h/density.network.mean.weight/data_offsets", [24], "has the data_offsets [24]"),
    ("detector", "h/density.network.mean.weight/more", 1, "or more than these"),
    ("detector", "h/density.network.mean.weight", [], "has no dtype"),
    ("detector", "h/__metadata__", {}, "a key twice"),
    ("detector", "h/" + "x" * 10_000, {}, "array 'xxx"),
    ("detector", "h/more", Verbatim("1" + ',"x":1' * 3), "a key twice"),
    ("detector", "h/more", Verbatim("[" * 100_000), "nested too deeply"),
    ("detector", "h/more", Verbatim("[],[]"), "its header is no JSON"),
    ("detector", "h/more", Verbatim("1" * 2**24), "at most 8388608 are allowed"),
    ("mixed", "d/estimator/likelihood/0/unknown", 0, "unknown is 0, not a number from"),
    ("mixed", "d/estimator/likelihood/2/unknown", 1, "unknown is 1, not a number from"),
    ("mixed", "d/estimator/likelihood/3", None, "do not describe each of 6 columns"),
    (
        "mixed",
        "d/estimator/likelihood/1/name",
        "contaminated_gaussian",
        "no likelihood, or one twice",
    ),
    ("multinomial", "d/estimator/likelihood/0/length", 1e10, "length is 10000000000.0"),
    ("log_odds", "d/estimator/cluster/share", 0, "share is 0, not a number"),
    ("log_odds", "d/estimator/cluster/share", 0.75, "share is 0.75, not a number"),
    ("log_odds", "d/estimator/cluster", None, "cluster is missing"),
    ("log_odds", "d/estimator/cluster", 7, "cluster is 7, not an object"),
    ("imputer", "d/estimator/has_indicator", False, "'indicator', which nothing reads"),
    ("cross_entropy", "d/estimator/out_activation", "relu", "another output than the logistic"),
    ("cross_entropy", "d/estimator/loss", "hinge", "loss is 'hinge', not one of"),
    ("cross_entropy", "d/estimator/architecture/loss", "hinge", "loss is 'hinge', not one of"),
    ("conformal", "d/estimator/estimator/class", "VAEImputer", "estimator.class is 'VAEImputer'"),
    ("conformal", "d/estimator/template/class", "VAEImputer", "template.class is 'VAEImputer'"),
    ("conformal", "d/estimator/template/params/alpha", "x", "'alpha' parameter"),
    ("conformal", "d/estimator/control", "none", "control is 'none', not one of"),
    ("conformal", "d/estimator/level", 0, "level is 0, not a number"),
    ("classifier", "d/estimator/classes", ["spam", "ham"], "two different labels of the type str"),
    ("classifier", "d/estimator/classes", ["ham", "ham"], "two different labels of the type str"),
    ("classifier", "d/estimator/classes", ["a", "b", "c"], "two different labels of the type str"),
    ("classifier", "d/estimator/classes", [["a"], ["b"]], "two different labels of the type str"),
    ("classifier", "d/estimator/classes", ["a", "b\0"], "labels that the type str can hold"),
    ("classifier", "d/estimator/class_type", "int8", "two different labels of the type int8"),
    ("classifier", "d/estimator/class_type", "<U1000000000", "class_type is '<U1000000000'"),
    ("classifier", "d/estimator/outlier_class", 2, "outlier_class is 2"),
    ("classifier", "d/estimator/ranks/scale", 0, "scale is 0, not a number"),
]


@pytest.mark.parametrize(("name", "path", "new", "message"), HOSTILE)
def test_hostile_field_is_refused_with_a_reason(name, path, new, message, tmp_path):
    header, document, body = parts(to_bytes(MODELS[name][0]))
    part, path = path.split("/", 1)
    target = document if part == "d" else header
    set_in(target, path, new)
    assert message in refusal(build(header, document, body), tmp_path)


# Arrays with one value changed: model, array, place, value, and what the refusal says.
HOSTILE_VALUES = [
    (
        "detector",
        "density.network.mean.weight",
        0,
        np.nan,
        "mean.weight holds values that are not f",
    ),
    (
        "detector",
        "density.network.mean.bias",
        1,
        -np.inf,
        "mean.bias holds values that are not fin",
    ),
    ("detector", "density.training_losses", 0, np.nan, "training_losses holds values that are not"),
    (
        "detector",
        "density.likelihood.0.location",
        0,
        np.inf,
        "location holds values that are not f",
    ),
    ("detector", "density.likelihood.0.scale", 0, 0, "scale holds values that are not from"),
    ("autoregressive", "likelihood.0.marginals", 0, 1, "marginals holds values that are not from"),
    ("autoregressive", "network.autoregression.weight", 0, 1, "depend on itself"),
    ("autoregressive", "network.autoregression.weight", 20, 1, "depend on itself or on one after"),
    ("negative_binomial", "likelihood.0.means", 0, -1, "means holds values that are not from"),
    ("mixed", "likelihood.0.columns", 0, 6, "columns holds values that are not from 0 to 5"),
    ("mixed", "likelihood.0.columns", 0, -1, "columns holds values that are not from 0 to 5"),
    ("mixed", "likelihood.0.columns", 0, 5, "do not describe each of 6 columns once"),
    ("mixed", "likelihood.0.codes", 0, 0.5, "not integers in ascending order"),
    ("mixed", "likelihood.0.codes", 0, 3, "not integers in ascending order"),
    ("mixed", "likelihood.0.n_codes", 0, 0, "n_codes holds values that are not from 1 to 1000"),
    ("mixed", "likelihood.0.n_codes", 0, 2**62, "n_codes holds values that are not from 1 to 1000"),
    ("mixed", "likelihood.0.n_codes", 0, 5, "codes has float64 and (4,), not float64 and (5,)"),
    ("imputer", "indicator", 0, 4, "indicator holds values that are not from 0 to 3"),
    ("imputer", "indicator", 1, 0, "indicator are not in ascending order"),
    ("conformal", "calibration_scores", 0, 1e9, "not in ascending order"),
    ("classifier", "ranks.inliers_distances", 1, 0, "ranks of its inliers are not in order"),
    ("classifier", "ranks.inliers_shares", 1, 0.5, "ranks of its inliers are not in order"),
]


@pytest.mark.parametrize(("name", "array", "place", "value", "message"), HOSTILE_VALUES)
def test_hostile_value_in_an_array_is_refused_with_a_reason(
    name, array, place, value, message, tmp_path
):
    header, document, body = parts(to_bytes(MODELS[name][0]))
    start, end = header[array]["data_offsets"]
    kind = {"F32": "f4", "F64": "f8", "I64": "i8"}[header[array]["dtype"]]
    values = np.frombuffer(body[start:end], kind).copy()
    values[place] = value
    body = body[:start] + values.tobytes() + body[end:]
    assert message in refusal(build(header, document, body), tmp_path)


def test_renamed_array_is_missing(tmp_path):
    header, document, body = parts(DATA)
    header["../mean.weight"] = header.pop("density.network.mean.weight")
    message = "array density.network.mean.weight is missing"
    assert message in refusal(build(header, document, body), tmp_path)


def test_columns_of_a_likelihood_out_of_order_are_refused(tmp_path):
    header, document, body = parts(to_bytes(MODELS["mixed"][0]))
    name = next(n for n, e in header.items() if n.endswith("columns") and e["shape"] == [2])
    start, end = header[name]["data_offsets"]
    body = body[:start] + body[start + 8 : end] + body[start : start + 8] + body[end:]
    assert "are not in ascending order" in refusal(build(header, document, body), tmp_path)


def test_duplicate_keys_are_refused(tmp_path):
    header, document, body = parts(DATA)
    for key in ('"format"', '"\\u0066ormat"'):
        changed = json.dumps(document, separators=(",", ":"))
        changed = changed.replace('"format":1', f'"format":1,{key}:1')
        assert "a key twice" in refusal(build(header, changed, body), tmp_path)


def test_nested_estimators_are_refused_before_python_gives_up(real_rows):
    detector = VAEOutlierDetector(**SMALL).fit(real_rows)
    for _ in range(7):
        detector = FrozenEstimator(detector)
    with pytest.raises(ValueError, match="cannot be saved: .*nested more than"):
        skvae.save(ConformalOutlierDetector(detector).fit(real_rows), "/nowhere/model")


def test_no_signature_is_promised(tmp_path):
    header, document, body = parts(DATA)
    document["estimator"]["offset"] = 1e9
    (tmp_path / "model").write_bytes(build(header, document, body))
    assert (skvae.load(tmp_path / "model").predict(TABLES["real"]) == -1).all()


def test_files_that_a_guided_fuzzer_found_are_refused(tmp_path):
    path = tmp_path / "model"
    with zipfile.ZipFile(ROOT / "tests" / "fixtures" / "refused.zip") as files:
        names = files.namelist()
        for name in names:
            path.write_bytes(files.read(name))
            with pytest.raises(ValueError, match=str(path)):
                skvae.load(path)
    assert len(names) > 50


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_thousands_of_mutated_files_are_refused_or_score(tmp_path):
    command = [sys.executable, str(ROOT / "tests" / "fuzz_load.py"), "--count", "3000"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [*command, "--keep", str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for outcome in ("bytes: refused", "document: refused", "numbers: another model"):
        assert outcome in result.stdout


def test_a_backslash_does_not_hide_values_from_the_count():
    text = json.dumps({"a": "\\", "b": [0] * 200_001, "c": "\\"})
    with pytest.raises(ValueError, match="more than"):
        parse_json(text, "document")


@pytest.mark.parametrize("make", [VAEDensityEstimator, VAEImputer])
@pytest.mark.parametrize("changed", [{"gaussian": slice(1, 3)}, {"poisson": slice(0, 2)}])
def test_columns_that_are_set_after_the_fit_are_not_taken_for_those_of_the_fit(
    make, changed, tmp_path
):
    X = np.random.RandomState(0).randn(60, 3)
    estimator = make(likelihood={"gaussian": slice(0, 2)}, max_iter=1, random_state=0).fit(X)
    skvae.save(estimator, tmp_path / "as_fitted")
    loaded = skvae.load(tmp_path / "as_fitted")
    assert loaded.likelihood == {"gaussian": [0, 1]}
    skvae.save(loaded, tmp_path / "again")
    given = estimator.likelihood
    estimator.set_params(likelihood=changed)
    with pytest.raises(TypeError, match="likelihood"):
        skvae.save(estimator, tmp_path / "changed")
    given["gaussian"] = slice(1, 3)  # in place
    estimator.set_params(likelihood=given)
    with pytest.raises(TypeError, match="likelihood"):
        skvae.save(estimator, tmp_path / "changed")
