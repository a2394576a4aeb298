"""Missing values: left out of every score, and filled in by their mean given the others."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from scipy.special import expit, logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from skvae import (
    AutoencoderTransformer,
    VAEDensityEstimator,
    VAEImputer,
    VAEOutlierDetector,
)

QUICK = {"max_iter": 3, "random_state": 0}
nan = np.nan


def with_holes(X, share=0.3, seed=0):
    return np.where(np.random.RandomState(seed).uniform(size=X.shape) < share, nan, X)


@pytest.fixture(scope="module")
def gaussian_imputer():
    """Imputer whose density is Gaussian: linear, the variance the same for all z."""
    rng = np.random.RandomState(0)
    X = (rng.randn(500, 2) @ rng.randn(2, 5) + rng.randn(500, 5)) * [1, 2, 1, 0.5, 1] + 3
    X = with_holes(X)
    imputer = VAEImputer(
        2,
        hidden_layer_sizes=(),
        likelihood="gaussian",
        max_iter=30,
        n_importance_samples=2**14,
        random_state=0,
    ).fit(X)
    model = imputer.density_._model
    state = model.scorer("cpu").state_dict()
    state["outputs.1.weight"].zero_()
    # A posterior that is wrong, but wide enough: the weights have to make up for it.
    state["mean.weight"].zero_()
    state["mean.bias"].fill_(0.3)
    state["log_variance.weight"].zero_()
    state["log_variance.bias"].fill_(0.5)
    loadings = (state["outputs.0.weight"].T * model.likelihood.scale_).numpy()
    mean = (state["outputs.0.bias"] * model.likelihood.scale_ + model.likelihood.location_).numpy()
    variance = torch.nn.functional.softplus(state["outputs.1.bias"]) + model.likelihood.min_variance
    noise = np.diag((variance * model.likelihood.scale_**2).numpy())
    return X, imputer, mean, loadings.T @ loadings + noise


@pytest.fixture(scope="module")
def bernoulli_imputer():
    """Imputer of bits with one latent dimension, and log p(x, x_j = 1) by quadrature."""
    rng = np.random.RandomState(0)
    X = with_holes((rng.uniform(size=(500, 6)) < expit(4 * rng.randn(500, 1))) * 1.0)
    imputer = VAEImputer(
        1, hidden_layer_sizes=(16,), max_iter=50, n_importance_samples=2**12, random_state=0
    ).fit(X)
    axis = np.linspace(-9, 9, 2001)
    p = imputer.density_.inverse_transform(axis[:, None])
    log_weight = norm.logpdf(axis) + np.log(axis[1] - axis[0])

    def joint(rows):
        ones, zeros = np.nan_to_num(rows), np.nan_to_num(1 - rows)
        return ones @ np.log(p).T + zeros @ np.log1p(-p).T + log_weight

    return X, imputer, joint, p


# -- scores ---------------------------------------------------------------------------------------


def test_gaussian_score_is_the_marginal_density_of_what_is_there(gaussian_imputer):
    X, imputer, mean, covariance = gaussian_imputer
    rows = X[:40]
    expected = [
        multivariate_normal(mean[there], covariance[np.ix_(there, there)]).logpdf(row[there])
        for row, there in zip(rows, ~np.isnan(rows), strict=True)
        if there.any()
    ]
    rows = rows[~np.isnan(rows).all(axis=1)]
    np.testing.assert_allclose(imputer.density_.score_samples(rows), expected, atol=0.02)


def test_bernoulli_score_is_the_marginal_probability_of_what_is_there(bernoulli_imputer):
    X, imputer, joint, _ = bernoulli_imputer
    expected = logsumexp(joint(X[:100]), axis=1)
    np.testing.assert_allclose(imputer.density_.score_samples(X[:100]), expected, atol=0.02)


def test_marginal_probabilities_sum_to_one(bernoulli_imputer, all_binary):
    _, imputer, _, _ = bernoulli_imputer
    rows = np.full((8, 6), nan)
    rows[:, :3] = np.unique(all_binary[:, :3], axis=0)
    assert np.exp(imputer.density_.score_samples(rows)).sum() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("n_importance_samples", [1, 7])
@pytest.mark.parametrize("table", ["binary_rows", "real_rows"])
def test_nothing_is_known_of_an_empty_row(table, n_importance_samples, request):
    X = request.getfixturevalue(table)
    detector = VAEOutlierDetector(n_importance_samples=n_importance_samples, **QUICK)
    detector.fit(with_holes(X))
    empty = np.full((1, X.shape[1]), nan)
    np.testing.assert_allclose(detector.density_.score_samples(empty), 0, atol=1e-12)
    np.testing.assert_array_equal(detector.density_.transform(empty), 0)
    likelihood = detector.density_._model.likelihood
    scales = likelihood.scale_.numpy() if table == "real_rows" else np.ones(1)
    unit = -np.log(scales).sum()
    assert detector.score_samples(empty) == pytest.approx(unit, abs=1e-12)
    explanation = detector.feature_contributions(empty)
    assert explanation.baseline == pytest.approx(unit, abs=1e-12)
    for part in (explanation.contributions, explanation.latent):
        np.testing.assert_allclose(part, 0, atol=1e-12)


@pytest.mark.parametrize("n_importance_samples", [1, 7])
@pytest.mark.parametrize("table", ["binary_rows", "real_rows"])
def test_contributions_of_missing_values_are_zero_and_the_others_sum_up(
    table, n_importance_samples, request
):
    X = with_holes(request.getfixturevalue(table))
    detector = VAEOutlierDetector(n_importance_samples=n_importance_samples, **QUICK).fit(X)
    parts = detector.feature_contributions(X)
    assert (parts.contributions[np.isnan(X)] == 0).all()
    total = parts.baseline + parts.contributions.sum(axis=1) + parts.latent
    np.testing.assert_allclose(total, detector.score_samples(X), atol=1e-9)


@pytest.mark.parametrize("table", ["binary_rows", "real_rows"])
def test_values_may_be_missing_for_the_first_time_when_a_row_is_scored(table, request):
    X = request.getfixturevalue(table)
    density = VAEDensityEstimator(autoregressive=False, **QUICK).fit(X)
    scores = density.score_samples(with_holes(X))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("init", ["factor_analysis", "random"])
def test_missing_is_not_taken_for_the_mean(init):
    rng = np.random.RandomState(0)
    X = rng.randn(600, 1) + 0.3 * rng.randn(600, 2)
    density = VAEDensityEstimator(1, init=init, early_stopping=False, random_state=0)
    density.fit(with_holes(X))
    mean = np.nanmean(with_holes(X), axis=0)
    at_mean, missing, known = density.transform(
        [[mean[0], mean[1] + 2], [nan, mean[1] + 2], mean + 2]
    )
    # Two values that contradict each other place a row half-way, one alone nearly where it says.
    assert at_mean / known == pytest.approx(0.5, abs=0.15)
    assert missing / known == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (8,)])
def test_what_was_never_missing_in_training_reads_as_its_middle_when_it_is(hidden_layer_sizes):
    rng = np.random.RandomState(0)
    X = rng.randn(100, 1) + rng.randn(100, 3)
    X[:30, 0] = nan
    density = VAEDensityEstimator(hidden_layer_sizes=hidden_layer_sizes, **QUICK).fit(X)
    middle = density._model.likelihood.location_.numpy()
    assert middle[2] == pytest.approx(X[:, 2].mean(), abs=0.1)
    codes = density.transform([[1.0, 2.0, nan], [1.0, 2.0, middle[2]]])
    np.testing.assert_allclose(codes[0], codes[1], rtol=1e-9)
    first = density.transform([[nan, 2.0, 1.0], [middle[0], 2.0, 1.0]])
    assert np.abs(first[0] - first[1]).max() > 1e-3


def test_dense_rows_with_holes_train_a_density_of_sparse_rows(binary_rows):
    density = VAEDensityEstimator(autoregressive=False, **QUICK).fit(with_holes(binary_rows))
    np.testing.assert_allclose(
        density.score_samples(sp.csr_matrix(binary_rows)),
        density.score_samples(binary_rows),
        rtol=1e-12,
    )


def test_autoregressive_density_refuses_missing_values(binary_rows):
    X = with_holes(binary_rows)
    with pytest.raises(ValueError, match="values are missing.*autoregressive='auto'"):
        VAEDensityEstimator(autoregressive=True, **QUICK).fit(X)
    density = VAEDensityEstimator(autoregressive=True, **QUICK).fit(binary_rows)
    for method in (density.score_samples, density.transform):
        with pytest.raises(ValueError, match="Fit with autoregressive=False"):
            method(X)


# -- training -------------------------------------------------------------------------------------


def test_a_row_without_values_changes_no_gradient(real_rows):
    """Full batches of plain descent: the mean loss is diluted by empty rows, and no more."""
    options = {"solver": "sgd", "batch_size": 1000, "max_iter": 1, "autoregressive": False}
    density = VAEDensityEstimator(learning_rate_init=1e-9, random_state=0, **options)
    empty = np.full_like(real_rows, nan)
    loss = density.fit(real_rows).loss_curve_[0]
    padded = clone(density).fit(np.r_[real_rows, empty]).loss_curve_[0]
    assert padded == pytest.approx(loss / 2, rel=0.05)


@pytest.mark.parametrize("table", ["binary_rows", "real_rows"])
def test_every_way_to_train_takes_missing_values(table, request):
    X = with_holes(request.getfixturevalue(table))
    density = VAEDensityEstimator(warm_start=True, **QUICK)
    density.fit(X).fit(X)
    density.partial_fit(X)
    density.set_params(early_stopping=True).fit(X)
    density.fit(X[:100], X_val=X[100:])
    assert np.isfinite(density.score_samples(X)).all()
    assert density.n_iter_ == 13
    expected = "bernoulli" if table == "binary_rows" else "contaminated_gaussian"
    assert density.likelihood_ == expected


def test_location_and_scale_are_those_of_what_is_there(real_rows):
    X = with_holes(real_rows)
    density = VAEDensityEstimator(likelihood="gaussian", early_stopping=False, **QUICK).fit(X)
    likelihood = density._model.likelihood
    np.testing.assert_allclose(likelihood.location_, np.nanmean(X, axis=0))
    np.testing.assert_allclose(likelihood.scale_, np.nanstd(X, axis=0))


@pytest.mark.parametrize("table", ["binary_rows", "real_rows"])
def test_column_without_values(table, request):
    X = request.getfixturevalue(table).copy()
    X[:, 1] = nan
    detector = VAEOutlierDetector(**QUICK).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()
    assert (detector.feature_contributions(X).contributions[:, 1] == 0).all()


def test_sparse_tables_may_not_have_missing_values(sparse_rows):
    holed = sp.csr_matrix(sparse_rows, copy=True)
    holed.data[0] = nan
    for estimator in (VAEDensityEstimator(**QUICK), VAEOutlierDetector(**QUICK)):
        with pytest.raises(ValueError, match="NaN.*toarray"):
            estimator.fit(holed)
        estimator.fit(sparse_rows)
        with pytest.raises(ValueError, match="NaN.*toarray"):
            estimator.score_samples(holed)


@pytest.mark.parametrize("dtype", ["Float64", "Int64", object])
def test_missing_values_of_pandas(dtype, binary_rows):
    X = with_holes(binary_rows)
    frame = pd.DataFrame(X).astype("Float64").astype(dtype)
    frame.columns = frame.columns.astype(str)
    if dtype is object:
        frame = frame.where(frame.notna(), None)
    density = VAEDensityEstimator(**QUICK).fit(frame)
    expected = VAEDensityEstimator(**QUICK).fit(X).score_samples(X)
    np.testing.assert_array_equal(density.score_samples(frame), expected)


def test_detector_flags_rows_with_missing_values(real_rows):
    X = with_holes(np.r_[real_rows, real_rows[:10] + 500])
    X[-10:, :3] = real_rows[:10, :3] + 500
    detector = VAEOutlierDetector(contamination=0.05, random_state=0).fit(X)
    assert detector.predict(X)[-10:].mean() < 0


def test_log_odds_need_complete_rows(binary_rows):
    X = with_holes(binary_rows)
    assert VAEOutlierDetector(**QUICK).fit(X).outlier_score_ == "elbo"
    with pytest.raises(ValueError, match="log_odds.*missing values"):
        VAEOutlierDetector(outlier_score="log_odds", **QUICK).fit(X)


def test_log_odds_refuse_rows_with_missing_values():
    rng = np.random.RandomState(0)
    cluster = np.r_[np.full(10, 0.05), np.full(10, 0.8)]
    X = np.r_[rng.uniform(size=(270, 20)) < cluster[::-1] / 2, rng.uniform(size=(30, 20)) < cluster]
    detector = VAEOutlierDetector(**QUICK).fit(X.astype(float))
    assert detector.outlier_score_ == "log_odds"
    for method in ("score_samples", "predict", "feature_contributions"):
        with pytest.raises(ValueError, match="outlier_score='elbo'"):
            getattr(detector, method)(with_holes(X))


def test_autoencoder_refuses_missing_values(real_rows):
    with pytest.raises(
        ValueError, match="Input X contains NaN.\nAutoencoderTransformer does not accept"
    ):
        AutoencoderTransformer(**QUICK).fit(with_holes(real_rows))


# -- VAEImputer -----------------------------------------------------------------------------------


def test_gaussian_values_are_filled_in_by_their_conditional_mean(gaussian_imputer):
    X, imputer, mean, covariance = gaussian_imputer
    rows = X[:40]
    expected = rows.copy()
    for row, there in zip(expected, ~np.isnan(rows), strict=True):
        gain = covariance[np.ix_(~there, there)] @ np.linalg.inv(covariance[np.ix_(there, there)])
        row[~there] = mean[~there] + gain @ (row[there] - mean[there])
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(imputer.transform(rows) / scale, expected / scale, atol=0.02)


def test_bits_are_filled_in_by_their_conditional_probability(bernoulli_imputer):
    X, imputer, joint, p = bernoulli_imputer
    log_joint = joint(X[:100])
    posterior = np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))
    expected = np.where(np.isnan(X[:100]), posterior @ p, X[:100])
    np.testing.assert_allclose(imputer.transform(X[:100]), expected, atol=0.02)


def test_missing_codes_become_the_likeliest():
    rng = np.random.RandomState(0)
    code = rng.randint(3, size=300)
    X = np.c_[code, (code + 1) % 3, rng.randn(300) + 5 * code]
    imputer = VAEImputer(2, likelihood={"categorical": [0, 1]}, max_iter=200, random_state=0)
    filled = imputer.fit(with_holes(X, 0.2)).transform(np.where([1, 0, 0], nan, X))
    np.testing.assert_array_equal(filled[:, 0], code)


def test_values_that_are_there_come_back_and_the_table_is_not_changed(real_rows):
    X = with_holes(real_rows)
    X.flags.writeable = False
    filled = VAEImputer(**QUICK).fit(X).transform(X)
    there = ~np.isnan(X)
    assert filled[there].tobytes() == X[there].tobytes()
    assert np.isfinite(filled).all()


def test_complete_rows_pass_through(real_rows):
    imputer = VAEImputer(**QUICK).fit(with_holes(real_rows))
    filled = imputer.transform(real_rows)
    np.testing.assert_array_equal(filled, real_rows)
    assert not np.shares_memory(filled, real_rows)
    np.testing.assert_array_equal(VAEImputer(**QUICK).fit(real_rows).transform(real_rows), filled)


def test_a_row_is_filled_in_by_itself(real_rows):
    X = with_holes(real_rows)
    imputer = VAEImputer(**QUICK).fit(X)
    filled = imputer.transform(X)
    np.testing.assert_array_equal(imputer.transform(X), filled)
    alone = np.concatenate([imputer.transform(row[None]) for row in X[:20]])
    np.testing.assert_allclose(alone, filled[:20], rtol=1e-12)
    np.testing.assert_array_equal(VAEImputer(**QUICK).fit_transform(X), filled)


def test_number_of_draws_is_read_when_values_are_filled_in(real_rows):
    X = with_holes(real_rows)
    imputer = VAEImputer(**QUICK).fit(X)
    filled = imputer.transform(X)
    for n_importance_samples in (1, 10):
        few = imputer.set_params(n_importance_samples=n_importance_samples).transform(X)
        assert not np.array_equal(few, filled)
        np.testing.assert_allclose(few, filled, atol=4 * X[~np.isnan(X)].std())


@pytest.mark.parametrize(
    "make",
    [
        lambda dates: dates[:, None].tolist(),
        lambda dates: [[date] for date in dates],
        lambda dates: dates[:, None].astype(object),
        lambda dates: [[date - dates[0]] for date in dates],
        lambda dates: pd.DataFrame({"day": pd.Categorical(dates)}),
        lambda dates: pd.DataFrame({"day": pd.Series(dates).dt.date}),
        lambda dates: pd.DataFrame({"day": dates}, dtype=object),
    ],
)
def test_dates_as_objects_and_categories_are_refused(make):
    dates = np.array(["2020-01-01", "2021-06-01", "NaT"] * 20, dtype="datetime64[ns]")
    with pytest.raises(ValueError, match="dates or durations.*Make numbers of them"):
        VAEImputer(max_iter=1).fit(make(dates.astype("datetime64[us]")))


def test_objects_and_categories_that_are_no_numbers_are_named():
    days = pd.DataFrame({"day": pd.period_range("2020", periods=40)})
    with pytest.raises(TypeError, match="no number: .*Period.* Write numbers"):
        VAEImputer(max_iter=1).fit(days)
    n = pd.Series(range(40), dtype="Int64")
    frame = pd.DataFrame({"n": n, "kind": pd.Categorical(["x", "y"] * 20)})
    with pytest.raises(ValueError, match="text in column 'kind'.*OrdinalEncoder"):
        VAEImputer(max_iter=1).fit(frame)


def test_dates_whose_missing_ones_have_a_number_are_refused():
    dates = np.array(["2020-01-01", "2021-06-01", "NaT"] * 20, dtype="datetime64[ns]")
    frame = pd.DataFrame({"size": np.arange(60.0), "day": dates})
    for X in (dates[:, None], frame[["day"]], frame[["day"]] - frame["day"][0]):
        with pytest.raises(ValueError, match="dates or durations.*Make numbers of them"):
            VAEImputer(**QUICK).fit(X)
    for X in (frame, pl.DataFrame(frame), pl.DataFrame({"t": dates - dates[0]})):
        with pytest.raises(ValueError, match="dates or durations.*Make numbers of them"):
            VAEDensityEstimator(**QUICK).fit(X)


def test_a_table_need_not_say_the_types_of_its_columns(real_rows):
    class Named(np.ndarray):
        columns = ("a", "b", "c", "d")

    imputer = VAEImputer(**QUICK).fit(real_rows.view(Named))
    np.testing.assert_array_equal(imputer.transform(real_rows), real_rows)


def test_draws_set_after_the_fit_fill_in_as_those_set_before(real_rows):
    X = with_holes(real_rows)
    # So many components that steps are taken for the sake of the draws alone.
    size = {"n_components": 66, "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
    before = VAEImputer(n_importance_samples=3400, **size).fit(X).transform(X[:5])
    imputer = VAEImputer(n_importance_samples=10, **size).fit(X)
    few = imputer.transform(X[:5])
    after = imputer.set_params(n_importance_samples=3400).transform(X[:5])
    np.testing.assert_array_equal(after, before)
    assert not np.allclose(few, before, rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0, -1234.5])
def test_constant_column_is_filled_with_its_value(value, real_rows):
    X = with_holes(real_rows)
    X[:, 2] = value
    X[:5, 2] = nan
    imputer = VAEImputer(**QUICK).fit(X)
    assert (imputer.transform(X)[:, 2] == value).all()
    X[7, 2] = 3.0
    assert imputer.transform(X)[7, 2] == 3.0


def test_column_without_values_is_filled_with_zeros_and_says_nothing(real_rows):
    X = with_holes(real_rows)
    X[:, 1] = nan
    imputer = VAEImputer(**QUICK).fit(X)
    filled = imputer.transform(X)
    assert (filled[:, 1] == 0).all()
    X[:, 1] = 1e6
    late = imputer.transform(X)
    assert (late[:, 1] == 1e6).all()
    others = [0, 2, 3]
    np.testing.assert_allclose(late[:, others], filled[:, others], rtol=1e-12)


def test_table_without_values():
    filled = VAEImputer(**QUICK).fit_transform(np.full((3, 2), nan))
    np.testing.assert_array_equal(filled, np.zeros((3, 2)))


def test_indicator_is_that_of_the_simple_imputer(real_rows):
    X = pd.DataFrame(with_holes(real_rows), columns=list("abcd"))
    X["b"] = 1.0
    ours, theirs = (
        imputer.set_output(transform="pandas").fit(X)
        for imputer in (VAEImputer(add_indicator=True, **QUICK), SimpleImputer(add_indicator=True))
    )
    names = [*"abcd", "missingindicator_a", "missingindicator_c", "missingindicator_d"]
    assert ours.get_feature_names_out().tolist() == names
    assert theirs.get_feature_names_out().tolist() == names
    # A value that is missing from a column that was complete has no indicator.
    X.loc[:5, "b"] = nan
    ours, theirs = ours.transform(X), theirs.transform(X)
    assert ours.columns.tolist() == names
    assert ours.iloc[:, 4:].equals(theirs.iloc[:, 4:])


def test_imputer_in_a_pipeline(real_rows):
    X, y = with_holes(real_rows[:, :3]), real_rows[:, 3]
    pipeline = make_pipeline(VAEImputer(random_state=0), LinearRegression())
    assert pipeline.fit(X, y).score(X, y) > 0.3


def test_imputer_has_a_density(real_rows):
    X = pd.DataFrame(with_holes(real_rows), columns=list("abcd"))
    imputer = VAEImputer(**QUICK).fit(X)
    assert imputer.density_.feature_names_in_.tolist() == list("abcd")
    assert imputer.n_iter_ == len(imputer.density_.loss_curve_) == 3
    assert np.isfinite(imputer.density_.score_samples(X)).all()


def test_imputer_does_not_depend_on_what_comes_before(binary_rows):
    imputer = VAEImputer(**QUICK).fit(binary_rows)
    assert imputer.density_._model.network.autoregression is None
    assert np.isfinite(imputer.transform(with_holes(binary_rows))).all()


def test_failed_fit_leaves_the_imputer_as_it_was(real_rows):
    X = with_holes(real_rows)
    imputer = VAEImputer(**QUICK).fit(X)
    filled = imputer.transform(X)
    with pytest.raises(ValueError, match="learning_rate_init"):
        imputer.set_params(learning_rate_init=1e30).fit(X[:, :2])
    np.testing.assert_array_equal(imputer.transform(X), filled)


def test_imputer_refuses_wrong_input(real_rows):
    imputer = VAEImputer(**QUICK).fit(real_rows)
    with pytest.raises(ValueError, match="expecting 4 features"):
        imputer.transform(real_rows[:, :2])
    with pytest.raises(TypeError, match="Sparse data was passed"):
        imputer.transform(sp.csr_matrix(real_rows))
    with pytest.raises(ValueError, match="n_importance_samples"):
        imputer.set_params(n_importance_samples=0).transform(real_rows)


@pytest.mark.parametrize("row", [[-1.0, 0.5], [-1.0, np.nan]])
def test_imputer_refuses_values_outside_the_likelihood(row):
    imputer = VAEImputer(likelihood="poisson", **QUICK).fit([[0.0, 1.0], [3.0, 2.0]])
    with pytest.raises(ValueError, match="column 0 has -1"):
        imputer.transform([row])


def test_imputes_better_than_means(real_rows):
    X = with_holes(real_rows)
    errors = [
        ((imputer.fit_transform(X) - real_rows) / real_rows.std(axis=0))[np.isnan(X)]
        for imputer in (VAEImputer(early_stopping=False, random_state=0), SimpleImputer())
    ]
    ours, means = ((error**2).mean() for error in errors)
    assert ours < 0.7 * means
