"""scikit-learn's own checks, and ours on docstrings, for every public estimator."""

import inspect

import numpy as np
import pytest
import scipy.sparse as sp
from numpydoc.docscrape import NumpyDocString
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.ensemble import IsolationForest
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

import skvae
from skvae import (
    AutoencoderTransformer,
    ConformalOutlierDetector,
    OutlierClassifier,
    VAEDensityEstimator,
    VAEImputer,
    VAEOutlierDetector,
    _autoencoder,
    _density,
    _outlier,
    _validation,
)
from skvae.inspection import ScoreDistributionDisplay
from skvae.metrics import make_outlier_scorer


class SeenBefore(OutlierMixin, BaseEstimator):
    """Takes the rows that it was fitted on for outliers: something to discover for "fdr"."""

    def fit(self, X, y=None):
        self.rows_ = {row.tobytes() for row in validate_data(self, X, dtype=float)}
        return self

    def score_samples(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=float, reset=False)
        return np.array([-1.0 if row.tobytes() in self.rows_ else 0.0 for row in X])


class OtherSigns(OutlierMixin, BaseEstimator):
    """Detector of PyOD's kind: 1 is an outlier, 0 an inlier, and far rows have a high decision."""

    def fit(self, X, y=None):
        self.threshold_ = 2.0
        return self

    def decision_function(self, X):
        return np.linalg.norm(X, axis=1)

    def predict(self, X):
        return (self.decision_function(X) > self.threshold_).astype(int)


@pytest.mark.parametrize(
    "use",
    [
        lambda X, y: OutlierClassifier(OtherSigns()).fit(X, y),
        lambda X, y: ConformalOutlierDetector(OtherSigns()).fit(X),
        lambda X, y: make_outlier_scorer("roc_auc")(OtherSigns().fit(X), X, y),
        lambda X, y: ScoreDistributionDisplay.from_estimator(OtherSigns().fit(X), X, y),
    ],
)
@pytest.mark.parametrize("order", ["any", "outliers first", "outliers last"])
def test_detectors_with_other_signs_are_refused(use, order):
    X = np.random.RandomState(0).randn(1500, 2)
    if order != "any":
        X = X[np.argsort(np.linalg.norm(X, axis=1))][:: -1 if order == "outliers first" else 1]
    y = (np.linalg.norm(X, axis=1) > 2).astype(int)
    with pytest.raises(TypeError, match="OtherSigns.* predicts .*0.*not -1 for an outlier"):
        use(X, y)


# Few epochs do for most variants: the defaults of all estimators are checked too. Detectors of
# counts need theirs, lest equal rows lie at the threshold, whose scores differ in the last bits.
QUICK = {"max_iter": 5}


@parametrize_with_checks(
    [
        AutoencoderTransformer(),
        AutoencoderTransformer(
            loss="squared_error", hidden_layer_sizes=(), code_activation="relu", **QUICK
        ),
        AutoencoderTransformer(early_stopping=True, **QUICK),
        VAEDensityEstimator(),
        VAEDensityEstimator(likelihood="gaussian", **QUICK),
        VAEDensityEstimator(likelihood={"gaussian": [0]}, **QUICK),
        VAEDensityEstimator(likelihood="spike_and_slab", **QUICK),
        VAEDensityEstimator(n_importance_samples=5, **QUICK),
        VAEDensityEstimator(n_prior_components=3, **QUICK),
        VAEDensityEstimator(early_stopping=True, hidden_layer_sizes=(16, 8), **QUICK),
        VAEImputer(),
        VAEImputer(add_indicator=True, likelihood={"gaussian": [0]}, **QUICK),
        VAEOutlierDetector(),
        VAEOutlierDetector(likelihood="gaussian", **QUICK),
        VAEOutlierDetector(likelihood={"spike_and_slab": [0]}, **QUICK),
        VAEOutlierDetector(contamination=0.1),
        VAEOutlierDetector(n_importance_samples=5, **QUICK),
        OutlierClassifier(IsolationForest(random_state=0)),
        OutlierClassifier(VAEOutlierDetector(random_state=0)),
        OutlierClassifier(IsolationForest(random_state=0), fit_on="inliers"),
        ConformalOutlierDetector(IsolationForest(random_state=0)),
        ConformalOutlierDetector(VAEOutlierDetector(max_iter=5, random_state=0)),
        ConformalOutlierDetector(SeenBefore(), control="fdr"),
        # The checks want outliers found in tables that have none: the level must allow it.
        ConformalOutlierDetector(
            IsolationForest(random_state=0), control="fdr", level=0.99, calibration_size=0.05
        ),
        ConformalOutlierDetector(
            VAEOutlierDetector(random_state=0), control="fdr", level=0.9, calibration_size=0.05
        ),
    ]
)
def test_promise_01_scikit_learn_checks_pass(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [
        AutoencoderTransformer(loss="binary_cross_entropy", **QUICK),
        VAEDensityEstimator(likelihood="bernoulli", **QUICK),
        VAEDensityEstimator(likelihood="bernoulli", n_importance_samples=5, **QUICK),
        VAEOutlierDetector(likelihood="bernoulli", contamination=0.1, **QUICK),
        VAEDensityEstimator(likelihood={"bernoulli": [0]}, **QUICK),
        VAEOutlierDetector(likelihood={"bernoulli": [0]}, contamination=0.1, **QUICK),
    ]
)
def test_promise_01_scikit_learn_checks_pass_in_the_unit_interval(estimator, check, monkeypatch):
    """The checks' tables hold real values; these configurations see them squashed into [0, 1)."""
    map_tables(monkeypatch, lambda values: np.abs(values) / (1 + np.abs(values)))
    check(estimator)


@parametrize_with_checks(
    [
        VAEDensityEstimator(likelihood="poisson", **QUICK),
        VAEDensityEstimator(likelihood="multinomial", **QUICK),
        VAEOutlierDetector(likelihood="negative_binomial"),
        VAEOutlierDetector(likelihood={"categorical": [0]}, contamination=0.1),
    ]
)
def test_promise_01_scikit_learn_checks_pass_on_counts(estimator, check, monkeypatch):
    """These configurations see the values of the checks' tables rounded to counts."""
    map_tables(monkeypatch, lambda values: np.floor(2 * np.abs(values)))
    check(estimator)


def map_tables(monkeypatch, function):
    """Let the estimators see a function of the values of each table."""

    def mapped(*args, **options):
        X = _validation.validate_table(*args, **options)
        values = function(X.data if sp.issparse(X) else X)
        return sp.csr_matrix((values, X.indices, X.indptr), X.shape) if sp.issparse(X) else values

    for module in (_autoencoder, _density, _outlier):
        monkeypatch.setattr(module, "validate_table", mapped)


ESTIMATORS = [
    AutoencoderTransformer,
    ConformalOutlierDetector,
    OutlierClassifier,
    VAEDensityEstimator,
    VAEImputer,
    VAEOutlierDetector,
]


def instance_of(estimator):
    wraps = "estimator" in inspect.signature(estimator).parameters
    return estimator(IsolationForest()) if wraps else estimator()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_tag_hides_a_check(estimator):
    tags = instance_of(estimator).__sklearn_tags__()
    assert not tags._skip_test
    assert not tags.no_validation
    assert not tags.non_deterministic


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_fitted_attribute_is_documented(estimator, binary_rows):
    instance = instance_of(estimator)
    y = np.arange(len(binary_rows)) < 20
    instance.set_params(**({"max_iter": 1} if "max_iter" in instance.get_params(False) else {}))
    instance.fit(binary_rows, y)
    fitted = {name for name in vars(instance) if name.endswith("_") and not name.startswith("_")}
    documented = {attribute.name for attribute in NumpyDocString(estimator.__doc__)["Attributes"]}
    assert fitted <= documented
    assert documented - {"feature_names_in_"} <= set(dir(instance))


class FewerParameters(VAEDensityEstimator):
    def __init__(self, max_iter=2):
        super().__init__(2, max_iter=max_iter, random_state=0)


class MoreParameters(VAEOutlierDetector):
    def __init__(self, contamination="auto", *, note="", max_iter=2):
        super().__init__(contamination, max_iter=max_iter, random_state=0)
        self.note = note


class MoreToFillIn(VAEImputer):
    def __init__(self, reg_covar=1e-3, *, max_iter=2):
        super().__init__(max_iter=max_iter, random_state=0)
        self.reg_covar = reg_covar


@pytest.mark.parametrize("kind", [FewerParameters, MoreParameters, MoreToFillIn])
def test_subclasses_may_have_other_parameters(kind, real_rows):
    subclassed, plain = kind().fit(real_rows), kind.__base__(max_iter=2, random_state=0)
    if kind is FewerParameters:
        plain.set_params(n_components=2)
    plain.fit(real_rows)
    method = "transform" if kind is MoreToFillIn else "score_samples"
    rows = np.where(np.eye(len(real_rows), 4), np.nan, real_rows)
    np.testing.assert_array_equal(getattr(subclassed, method)(rows), getattr(plain, method)(rows))


def test_public_names_are_reachable():
    for name in skvae.__all__:
        assert getattr(skvae, name) is not None
    assert set(skvae.__all__) <= set(dir(skvae))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        skvae.nothing  # noqa: B018
