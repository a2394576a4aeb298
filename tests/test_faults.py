"""What `docs/promises.md` says of interrupted fits, full memory, divergence and threads."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.feature_extraction.text import CountVectorizer

import skvae
from skvae import (
    AutoencoderTransformer,
    OutlierClassifier,
    VAEDensityEstimator,
    VAEImputer,
    VAEOutlierDetector,
    _validation,
)
from skvae._torch import loop, model
from skvae._torch.likelihoods import bernoulli
from skvae.datasets import make_messages

LONG = os.environ.get("SKVAE_FUZZ") == "long"

TINY = {"hidden_layer_sizes": (4,), "n_components": 2, "max_iter": 3, "random_state": 0}

# Where a line may be the one that Ctrl-C interrupts.
INTERRUPTED = (str(Path(skvae.__file__).parent), str(Path(torch.optim.__file__).parent))


def same_state(estimator, before):
    return vars(estimator).keys() == before.keys() and all(
        vars(estimator)[name] is value for name, value in before.items()
    )


# Ctrl-C.


def run_with_interrupt(call, at):
    """Call a function with a KeyboardInterrupt at a line, by number; say whether it came."""
    n_lines = 0

    def trace(frame, kind, argument):
        nonlocal n_lines
        if not frame.f_code.co_filename.startswith(INTERRUPTED):
            return None
        if kind == "line":
            n_lines += 1
            if n_lines == at:
                raise KeyboardInterrupt
        return trace

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(outer)
    return n_lines >= at


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
@pytest.mark.filterwarnings("ignore:Training was interrupted")
def test_an_interrupt_at_any_line_leaves_a_whole_estimator(as_table, early_stopping, binary_rows):
    X = as_table(binary_rows[:20])
    options = TINY | {"early_stopping": early_stopping, "batch_size": 10, "warm_start": True}
    fitted = VAEDensityEstimator(**options).fit(X)
    n_kept = n_trained = 0
    at, step = 1, 3 if LONG else 499
    for again in (False, True):
        while True:
            density = copy.deepcopy(fitted) if again else VAEDensityEstimator(**options)
            before = vars(density).copy()
            if not run_with_interrupt(lambda density=density: density.fit(X), at):
                break
            at += step
            if same_state(density, before):
                n_kept += 1
            else:
                n_trained += 1
                assert len(density.loss_curve_) == density.n_iter_
            if again or not same_state(density, before):
                assert np.isfinite(density.score_samples(X)).all()
                pickle.loads(pickle.dumps(density)).fit(X)
                density.partial_fit(X)
        at = 1
    assert n_kept > 0
    assert n_trained > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fit_of_another_thread_does_not_go_on_in_a_child():
    density = VAEDensityEstimator(**TINY)
    fitting, over = threading.Event(), threading.Event()

    def fit():
        with _validation.restored_on_error(density):
            fitting.set()
            over.wait()

    thread = threading.Thread(target=fit)
    thread.start()
    fitting.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        with _validation.restored_on_error(density):
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    over.set()
    thread.join()
    assert status == 0


def test_an_interrupt_of_a_chunk_ends_the_stream(binary_rows, monkeypatch):
    density = VAEDensityEstimator(**TINY).partial_fit(binary_rows)
    before = vars(density).copy()
    calls = []

    def interrupted(*args):
        calls.append(len(calls) + 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        density.partial_fit(binary_rows)
    assert calls == [1]
    assert same_state(density, before)


def test_an_interrupt_after_the_last_epoch_names_it(binary_rows, monkeypatch):
    average = loop.moving_average
    epochs = []

    def interrupted(*args):
        epochs.append(args[2])
        if epochs[-1] == 3:
            raise KeyboardInterrupt
        return average(*args)

    monkeypatch.setattr(loop, "moving_average", interrupted)
    density = VAEDensityEstimator(**TINY | {"early_stopping": True})
    with pytest.warns(UserWarning, match="interrupted in epoch 3 of 3"):
        density.fit(binary_rows)
    # An epoch without its validation loss does not count: curves have one length.
    assert density.n_iter_ == len(density.loss_curve_) == len(density.validation_loss_curve_) == 2


def test_an_interrupt_in_the_backward_pass_is_one(sparse_rows, monkeypatch):
    """PyTorch calls this function of ours from its own code."""

    def interrupted(*args):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(bernoulli.BernoulliTerms, "backward", staticmethod(interrupted))
    density = VAEDensityEstimator(**TINY)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.warns(UserWarning, match="interrupted in epoch 1 of 3"):
            density.fit(sparse_rows)
    finally:
        signal.signal(signal.SIGINT, before)
    assert density.loss_curve_ == []
    assert np.isfinite(density.score_samples(sparse_rows)).all()


def test_an_interrupt_amid_the_optimizers_first_step_does_not_keep_its_state(
    binary_rows, monkeypatch
):
    step = torch.optim.Adam.step

    def interrupted(optimizer, *args):
        optimizer.state[optimizer.param_groups[0]["params"][0]]["step"] = torch.tensor(0.0)
        raise KeyboardInterrupt

    density = VAEDensityEstimator(**TINY, warm_start=True)
    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
    with pytest.warns(UserWarning, match="interrupted in epoch 1"):
        density.fit(binary_rows)
    monkeypatch.setattr(torch.optim.Adam, "step", step)
    assert density.fit(binary_rows).n_iter_ == 3


def test_gradients_that_are_switched_off_do_not_keep_a_fit_from_training(real_rows):
    """As Ctrl-C leaves them for the whole process if it comes in PyTorch's own code."""
    expected = VAEDensityEstimator(**TINY).fit(real_rows).score(real_rows)
    with torch.no_grad():
        assert VAEDensityEstimator(**TINY).fit(real_rows).score(real_rows) == expected
        assert not torch.is_grad_enabled()


def test_an_interrupt_of_a_diverged_epoch_does_not_keep_its_weights(real_rows, monkeypatch):
    train_epoch = loop.train_epoch

    def diverged(row_losses, X, optimizer, *args):
        train_epoch(row_losses, X, optimizer, *args)
        with torch.no_grad():
            optimizer.param_groups[0]["params"][0].fill_(torch.nan)
        raise KeyboardInterrupt

    density = VAEDensityEstimator(**TINY).fit(real_rows)
    before = vars(density).copy()
    monkeypatch.setattr(loop, "train_epoch", diverged)
    with pytest.raises(ValueError, match="not finite in epoch 1"):
        density.fit(real_rows)
    assert same_state(density, before)


def test_a_second_interrupt_gives_up_the_fit(binary_rows, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    detector = VAEOutlierDetector(**TINY).fit(binary_rows)
    before = vars(detector).copy()
    monkeypatch.setattr(loop, "train_epoch", interrupted)
    monkeypatch.setattr("skvae._outlier.threshold", interrupted)
    with (
        pytest.warns(UserWarning, match="interrupted in epoch 1"),
        pytest.raises(KeyboardInterrupt),
    ):
        detector.fit(binary_rows)
    assert same_state(detector, before)


# Ends of the process.

RUN = [sys.executable, "-W", "error", "-c"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_terminated_fit_ends_the_process_and_leaves_nothing_behind(tmp_path):
    code = (
        "import os, signal\n"
        "from skvae import VAEOutlierDetector\n"
        "from skvae._torch import loop\n"
        "train_epoch = loop.train_epoch\n"
        "def terminated(*args):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return train_epoch(*args)\n"
        "loop.train_epoch = terminated\n"
        "VAEOutlierDetector(random_state=0).fit([[0.0], [1.0]])\n"
        "print('still there')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(skvae.__file__).parents[1])}
    result = subprocess.run([*RUN, code], capture_output=True, cwd=tmp_path, env=environment)
    assert result.returncode == -signal.SIGTERM
    assert result.stdout == result.stderr == b""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit of address space")
def test_full_memory_raises_and_leaves_the_estimator_as_it_was():
    calls = [
        "estimator.set_params(hidden_layer_sizes=(40_000, 40_000)).fit(X)",
        "estimator.set_params(n_training_draws=10**8).partial_fit(X)",
        "estimator.set_params(n_importance_samples=10**9).score_samples(X)",
        "estimator.sample(10**9)",
        "estimator.fit(np.broadcast_to(1.0, (10**4, 10**5)))",
    ]
    code = (
        "import resource, numpy as np\n"
        "from skvae import VAEDensityEstimator\n"
        "X = np.random.RandomState(0).randn(50, 3)\n"
        "estimator = VAEDensityEstimator(max_iter=2, random_state=0).partial_fit(X)\n"
        "scores, state = estimator.score_samples(X), set(vars(estimator))\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, resource.RLIM_INFINITY))\n"
        "parameters = estimator.get_params()\n"
        f"for call in {calls!r}:\n"
        "    try:\n"
        "        eval(call)\n"
        "    except (MemoryError, RuntimeError) as error:\n"
        "        print(type(error).__name__, error, sep=': ')\n"
        "    estimator.set_params(**parameters)\n"
        "    assert set(vars(estimator)) == state\n"
        "    assert np.array_equal(estimator.score_samples(X), scores)\n"
        "assert np.isfinite(estimator.partial_fit(X).score_samples(X)).all()\n"
    )
    result = subprocess.run([*RUN, code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    errors = result.stdout.splitlines()
    assert len(errors) == len(calls)
    assert all("allocate" in error for error in errors)


# Divergence.


@pytest.mark.parametrize(
    "estimator", [AutoencoderTransformer, VAEDensityEstimator, VAEImputer, VAEOutlierDetector]
)
def test_a_divergent_fit_says_so_and_changes_nothing(estimator, real_rows):
    fitted = estimator(**TINY).fit(real_rows)
    before, tame = vars(fitted).copy(), fitted.get_params(deep=False)
    wild = {"solver": "sgd", "learning_rate_init": 1e3, "max_iter": 50}
    with pytest.raises(ValueError, match=r"\(learning_rate_init=1000\).*smaller.*'adam'"):
        fitted.set_params(**wild).fit(real_rows)
    assert same_state(fitted.set_params(**tame), before)


def test_divergence_on_validation_rows_is_one(real_rows):
    with pytest.raises(ValueError, match="not finite in epoch 1.*rescaled data") as error:
        VAEDensityEstimator(**TINY).fit(real_rows, X_val=real_rows * 1e30)
    assert "adam" not in str(error.value)  # which is there


# Threads.


def in_threads(function, arguments):
    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(function, arguments))


@pytest.mark.parametrize("fails", [False, True])
def test_two_fits_of_one_estimator_take_turns(fails, real_rows, monkeypatch):
    """Also where the first one fails, and gives back what was there before it."""
    density = VAEDensityEstimator(**TINY)
    train_epoch = loop.train_epoch
    epochs, second_trains = [], threading.Event()
    second = threading.Thread(target=lambda: density.fit(real_rows[:, :2]))

    def recorded(*args):
        epochs.append(2 if threading.current_thread() is second else 1)
        if epochs[-1] == 2:
            second_trains.set()
        elif len(epochs) == 1:
            second.start()
            second_trains.wait(0.3)  # in vain, if fits take turns
            if fails:
                raise ValueError("the first fit fails")
        return train_epoch(*args)

    monkeypatch.setattr(loop, "train_epoch", recorded)
    try:
        density.fit(real_rows)
    except ValueError:
        assert fails
    second.join()
    assert epochs == [1] * (1 if fails else 3) + [2] * 3
    expected = VAEDensityEstimator(**TINY).fit(real_rows[:, :2])
    assert vars(density).keys() == vars(expected).keys()
    np.testing.assert_array_equal(
        density.score_samples(real_rows[:, :2]), expected.score_samples(real_rows[:, :2])
    )


def test_no_chunk_is_lost_among_threads(real_rows):
    density = VAEDensityEstimator(**TINY).partial_fit(real_rows)
    in_threads(density.partial_fit, np.array_split(real_rows, 8))
    assert density.n_iter_ == 9
    assert density._model.n_rows_seen == 2 * len(real_rows)


def test_fits_in_threads_are_those_of_one_after_the_other(real_rows):
    def fit(seed):
        detector = VAEOutlierDetector(**TINY | {"random_state": seed}).fit(real_rows)
        return detector.decision_function(real_rows)

    np.testing.assert_array_equal(in_threads(fit, range(6)), list(map(fit, range(6))))


METHODS = {
    "score_samples": lambda detector, X: detector.score_samples(X),
    "predict": lambda detector, X: detector.predict(X),
    "contributions": lambda detector, X: detector.feature_contributions(X).contributions,
    "codes": lambda detector, X: detector.density_.transform(X),
    "samples": lambda detector, X: detector.density_.sample(5, random_state=0),
}


def test_scores_in_threads_are_those_of_one_after_the_other(real_rows, monkeypatch):
    """All threads find no float64 copy of the network, and make one at the same time."""
    detector = VAEOutlierDetector(**TINY).fit(real_rows)
    calls = list(METHODS.values()) * 4
    expected = [method(copy.deepcopy(detector), real_rows) for method in calls]
    detector = copy.deepcopy(detector)  # has no float64 copy yet
    everybody = threading.Barrier(len(calls))
    local = threading.local()
    deepcopy = copy.deepcopy

    def together(*args):
        if not hasattr(local, "met"):
            local.met = True
            everybody.wait()
        return deepcopy(*args)

    monkeypatch.setattr(model.copy, "deepcopy", together)
    results = in_threads(lambda method: method(detector, real_rows), calls)
    for result, alone in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, alone)


def test_a_detector_scores_by_the_fit_before_until_the_next_is_over(monkeypatch):
    messages, _ = make_messages(300, random_state=0)
    X = CountVectorizer(binary=True).fit_transform(messages)
    detector = VAEOutlierDetector(max_iter=2, random_state=0).fit(X)
    before, seen = detector.score_samples(X), []
    fit = VAEDensityEstimator._fit

    def score_and_fit(*arguments, **options):
        seen.append((detector.score_samples(X), detector.outlier_score_))
        return fit(*arguments, **options)

    monkeypatch.setattr(VAEDensityEstimator, "_fit", score_and_fit)
    detector.set_params(outlier_score="elbo").fit(X)
    ((meanwhile, score),) = seen
    np.testing.assert_array_equal(meanwhile, before)
    assert (score, detector.outlier_score_) == ("log_odds", "elbo")


def test_scores_in_threads_of_a_classifier(real_rows):
    y = np.arange(len(real_rows)) % 5 == 0
    classifier = OutlierClassifier(VAEOutlierDetector(**TINY)).fit(real_rows, y)
    expected = pickle.loads(pickle.dumps(classifier)).predict_proba(real_rows)
    for result in in_threads(classifier.predict_proba, [real_rows] * 8):
        np.testing.assert_array_equal(result, expected)


def test_scores_while_chunks_are_learned_are_those_before_or_after_one(real_rows):
    density = VAEDensityEstimator(**TINY).partial_fit(real_rows)
    seen, expected, done = [], [density.score(real_rows)], threading.Event()

    def watch():
        while not done.is_set():
            seen.append(density.score(real_rows))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for _ in range(30):
            density.partial_fit(real_rows)
            expected.append(density.score(real_rows))
    finally:
        done.set()
        thread.join()
    assert set(seen) <= set(expected)


def test_warnings_filters_are_left_alone_by_threads(real_rows):
    before = list(warnings.filters)
    in_threads(lambda seed: VAEDensityEstimator(**TINY).fit(real_rows), range(4))
    assert list(warnings.filters) == before
