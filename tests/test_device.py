"""Training and scoring on a GPU, where there is one."""

import pickle

import numpy as np
import pytest
import torch
import torch.distributed as dist

from skvae import AutoencoderTransformer, VAEDensityEstimator, VAEOutlierDetector
from skvae._likelihoods import LIKELIHOODS
from skvae._torch import sparse
from skvae._torch.device import scoring_device, training_device

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def test_auto_takes_what_there_is():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.backends.mps.is_available():
        pytest.skip("this machine has an mps device")
    assert training_device("auto").type == expected
    assert scoring_device("auto").type == expected
    assert training_device("cpu").type == scoring_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    ("estimator", "methods"),
    [
        (VAEDensityEstimator, ["transform", "inverse_transform", "score_samples", "sample"]),
        (VAEOutlierDetector, ["score_samples", "predict", "feature_contributions"]),
        (AutoencoderTransformer, ["transform", "inverse_transform", "reconstruction_error"]),
    ],
)
def test_an_unknown_device_is_refused_by_every_method(estimator, methods, sparse_rows):
    fitted = estimator(2, max_iter=1) if estimator is not VAEOutlierDetector else estimator()
    fitted.set_params(max_iter=1, random_state=0).fit(sparse_rows).set_params(device="gpu")
    arguments = {"inverse_transform": np.zeros((1, 2)), "sample": 1}
    for method in methods:
        with pytest.raises(ValueError, match=f"'device' parameter of {estimator.__name__} must be"):
            getattr(fitted, method)(arguments.get(method, sparse_rows))


def test_sparse_rows_train_alike_on_a_device_without_sums_of_segments(sparse_rows, monkeypatch):
    density = VAEDensityEstimator(max_iter=5, random_state=0)
    expected = density.fit(sparse_rows).score_samples(sparse_rows)

    def segment_reduce(*args, **kwargs):
        raise AssertionError("called on a device that does not have it")

    monkeypatch.setattr(sparse, "WITHOUT_SEGMENTS", ("cpu",))
    monkeypatch.setattr(torch, "segment_reduce", segment_reduce)
    found = density.fit(sparse_rows).score_samples(sparse_rows)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("estimator", [VAEDensityEstimator, VAEOutlierDetector])
def test_the_device_to_score_on_may_be_set_after_the_fit(estimator, sparse_rows):
    fitted = estimator(max_iter=2, random_state=0).fit(sparse_rows)
    expected = fitted.score_samples(sparse_rows)
    with pytest.warns(UserWarning, match="scoring on the CPU instead"):
        found = fitted.set_params(device="cuda").score_samples(sparse_rows)
    np.testing.assert_array_equal(found, expected)


@needs_cuda
@pytest.mark.parametrize("likelihood", [*LIKELIHOODS, {"poisson": [0, 3], "gaussian": [1]}])
@pytest.mark.parametrize(
    "scoring",
    [
        {"n_importance_samples": 1},
        {"n_importance_samples": 10},
        {"n_importance_samples": 10, "n_refinement_steps": 2},
    ],
    ids=lambda scoring: "-".join(map(str, scoring.values())),
)
@pytest.mark.parametrize("is_sparse", [False, True])
def test_gpu_and_cpu_score_alike(likelihood, scoring, is_sparse, sparse_rows):
    X = sparse_rows if is_sparse else sparse_rows.toarray()
    density = VAEDensityEstimator(likelihood=likelihood, device="cuda", **scoring)
    density.set_params(random_state=0, max_iter=20).fit(X)
    on_gpu = density.score_samples(X)
    decoded = density.inverse_transform(density.transform(X))
    drawn = density.sample(10, random_state=0)
    density.set_params(device="cpu")
    np.testing.assert_allclose(density.score_samples(X), on_gpu, atol=1e-6 * np.abs(on_gpu).max())
    np.testing.assert_allclose(density.inverse_transform(density.transform(X)), decoded, atol=1e-9)
    assert drawn.shape == density.sample(10, random_state=0).shape


@needs_cuda
def test_gpu_model_pickles_as_a_cpu_model_and_goes_on(sparse_rows):
    density = VAEDensityEstimator(device="cuda", random_state=0).partial_fit(sparse_rows)
    state = density._model.__getstate__()
    tensors = [*state["network"].parameters()]
    for moments in state["_optimizer_state"]["state"].values():
        tensors += moments.values()
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
    loaded = pickle.loads(pickle.dumps(density)).set_params(device="cpu")
    loaded.partial_fit(sparse_rows)
    loaded.set_params(device="cuda").partial_fit(sparse_rows)
    assert np.isfinite(loaded.score_samples(sparse_rows)).all()
    assert loaded.n_iter_ == 3


@needs_cuda
@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_gpu_and_cpu_reconstruct_alike(loss, sparse_rows):
    autoencoder = AutoencoderTransformer(loss=loss, device="cuda", random_state=0).fit(sparse_rows)
    errors = autoencoder.reconstruction_error(sparse_rows)
    autoencoder.set_params(device="cpu")
    np.testing.assert_allclose(autoencoder.reconstruction_error(sparse_rows), errors, rtol=1e-9)


@needs_cuda
@pytest.mark.parametrize("options", [{}, {"n_negative_samples": 10}, {"autoregressive": True}])
def test_fit_on_a_gpu_is_repeatable(options, sparse_rows):
    density = VAEDensityEstimator(device="cuda", random_state=0, max_iter=5, **options)
    scores = [density.fit(sparse_rows).score_samples(sparse_rows) for _ in range(3)]
    np.testing.assert_array_equal(scores[1], scores[0])
    np.testing.assert_array_equal(scores[2], scores[0])


@needs_cuda
def test_nccl_trains_as_no_group_does(sparse_rows):
    density = VAEDensityEstimator(
        device="cuda", random_state=0, max_iter=5, early_stopping=False, autoregressive=False
    )
    expected = density.fit(sparse_rows).score_samples(sparse_rows)
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        density.fit(sparse_rows, process_group=dist.group.WORLD)
    finally:
        dist.destroy_process_group()
    np.testing.assert_allclose(density.score_samples(sparse_rows), expected, rtol=1e-5)
