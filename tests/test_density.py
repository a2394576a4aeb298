"""VAEDensityEstimator: what it learns, how it goes on, and what its methods return."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.stats import multivariate_normal, norm
from sklearn.compose import make_column_selector
from sklearn.model_selection import GridSearchCV

from skvae import VAEDensityEstimator, VAEImputer, VAEOutlierDetector, _density
from skvae._torch import model
from skvae._torch.density_model import DensityModel
from skvae._torch.loop import Training
from skvae._torch.networks import Autoregression

QUICK = {"max_iter": 3, "random_state": 0}


def test_rows_like_the_training_rows_are_denser(real_rows):
    density = VAEDensityEstimator(learning_rate_init=1e-2, random_state=0).fit(real_rows)
    shuffled = real_rows.copy()
    rng = np.random.RandomState(0)
    for column in shuffled.T:
        rng.shuffle(column)
    assert density.score(real_rows) > density.score(shuffled) + 1


def test_beats_the_independent_density_on_dependent_bits():
    rng = np.random.RandomState(0)
    X = (rng.uniform(size=(2000, 6)) < np.where(rng.uniform(size=(2000, 1)) < 0.5, 0.1, 0.9)) * 1.0
    train, test = X[:1000], X[1000:]
    p = (train.sum(axis=0) + 0.5) / 1001
    independent = (test * np.log(p) + (1 - test) * np.log1p(-p)).sum(axis=1).mean()
    density = VAEDensityEstimator(2, learning_rate_init=5e-3, random_state=0).fit(train)
    assert density.score(test) > independent + 0.3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_very_long_row_does_not_drown_the_loss_of_the_others(seed):
    X = (np.random.RandomState(seed).uniform(size=(200, 5000)) < 0.001) * 1.0
    X[0] = 1
    density = VAEDensityEstimator(max_iter=20, random_state=seed).fit(sp.csr_matrix(X))
    assert max(density.kl_curve_) < 500  # in the mean over the rows


def test_rescaled_column_shifts_scores_by_the_log_of_the_scale(real_rows):
    scale = np.array([1024.0, 1.0, 1 / 64, 1.0])
    scores = VAEDensityEstimator(**QUICK).fit(real_rows).score_samples(real_rows)
    scaled = VAEDensityEstimator(**QUICK).fit(real_rows * scale).score_samples(real_rows * scale)
    np.testing.assert_allclose(scaled, scores - np.log(scale).sum(), rtol=1e-10)


@pytest.mark.parametrize("wanted", [False, True])
def test_booleans_of_numpy_are_those_of_python(wanted, binary_rows):
    density = VAEDensityEstimator(autoregressive=np.bool_(wanted), **QUICK).fit(binary_rows)
    assert (density._model.network.autoregression is not None) == wanted
    held_out = VAEDensityEstimator(early_stopping=np.bool_(wanted), **QUICK).fit(binary_rows)
    assert bool(held_out.validation_loss_curve_) == wanted


def test_score_is_the_mean_over_rows(binary_rows):
    density = VAEDensityEstimator(**QUICK).fit(binary_rows)
    assert density.score(binary_rows) == density.score_samples(binary_rows).mean()
    assert isinstance(density.score(binary_rows), float)


def test_fitted_attributes(binary_rows):
    X = pd.DataFrame(binary_rows, columns=list("abcdefgh"))
    density = VAEDensityEstimator(early_stopping=False, **QUICK).fit(X)
    assert density.likelihood_ == "bernoulli"
    assert density.n_iter_ == len(density.loss_curve_) == 3
    assert density.n_features_in_ == 8
    assert density.feature_names_in_.tolist() == list("abcdefgh")
    assert density.validation_loss_curve_ == []


def test_transform_and_inverse_transform(binary_rows, real_rows):
    for X in (binary_rows, real_rows):
        density = VAEDensityEstimator(
            3, autoregressive=False, learning_rate_init=1e-2, early_stopping=False, random_state=0
        ).fit(X)
        codes = density.transform(X)
        assert codes.shape == (len(X), 3)
        decoded = density.inverse_transform(codes)
        assert decoded.shape == X.shape
        assert ((decoded - X) ** 2).mean() < 0.9 * X.var(axis=0).mean()
    names = density.get_feature_names_out()
    assert names.tolist() == [f"vaedensityestimator{i}" for i in range(3)]
    frame = density.set_output(transform="pandas").transform(X)
    assert frame.columns.tolist() == names.tolist()


def test_inverse_transform_refuses_codes_of_another_width(binary_rows):
    density = VAEDensityEstimator(3, **QUICK).fit(binary_rows)
    with pytest.raises(ValueError, match="X has 2 columns.*3 components"):
        density.inverse_transform(np.zeros((1, 2)))


def test_samples_follow_the_random_state(binary_rows):
    density = VAEDensityEstimator(**QUICK).fit(binary_rows)
    first, again, other = (density.sample(20, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert set(np.unique(first)) == {0.0, 1.0}


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3"])
def test_sample_refuses_a_wrong_number(n_samples, binary_rows):
    with pytest.raises(ValueError, match="n_samples must be an integer"):
        VAEDensityEstimator(**QUICK).fit(binary_rows).sample(n_samples)


def test_early_stopping_keeps_the_best_epoch(binary_rows):
    density = VAEDensityEstimator(
        max_iter=300, early_stopping=True, learning_rate_init=1e-2, random_state=0
    ).fit(binary_rows)
    assert density.n_iter_ < 300
    assert len(density.validation_loss_curve_) == density.n_iter_


def test_given_validation_rows_stop_the_training(binary_rows):
    train, X_val = binary_rows[:200], binary_rows[200:]
    density = VAEDensityEstimator(max_iter=300, learning_rate_init=1e-2, random_state=0)
    density.fit(train, X_val=X_val)
    assert density.n_iter_ < 300
    assert len(density.validation_loss_curve_) == density.n_iter_


def test_draws_of_the_validation_loss_average_out_over_the_rows(binary_rows):
    model = VAEDensityEstimator(**QUICK).fit(binary_rows)._model

    def spread(rows):
        losses = []
        for model.noise_seed in range(100):
            losses.append(model.make_validation_losses(rows, 0)().mean())
        return np.std(losses)

    one_row = binary_rows[:1]
    assert spread(np.repeat(one_row, 100, axis=0)) == pytest.approx(spread(one_row) / 10, rel=0.5)


def test_validation_rows_are_checked(binary_rows):
    density = VAEDensityEstimator(likelihood="bernoulli", **QUICK)
    with pytest.raises(ValueError, match="column 0 has 3"):
        density.fit(binary_rows, X_val=np.full((2, 8), 3.0))
    with pytest.raises(ValueError, match="features"):
        density.fit(binary_rows, X_val=binary_rows[:, :4])


@pytest.mark.parametrize(
    ("n_rows", "max_values", "n_validated"),
    [(49, 10**7, 0), (50, 10**7, 5), (1500, 960, 120), (1500, 8, 100)],
)
def test_early_stopping_is_automatic_from_50_rows(
    n_rows, max_values, n_validated, binary_rows, monkeypatch
):
    monkeypatch.setattr(_density, "MAX_VALUES_HELD_OUT", max_values)
    binary_rows = np.resize(binary_rows, (n_rows, 8))
    seen = []
    make_validation_losses = DensityModel.make_validation_losses

    def make(model, X, n_before):
        losses = make_validation_losses(model, X, n_before)
        return lambda: seen.append(len(X)) or losses()

    monkeypatch.setattr(DensityModel, "make_validation_losses", make)
    density = VAEDensityEstimator(**QUICK).fit(binary_rows)
    assert len(density.validation_loss_curve_) == len(seen) == (3 if n_validated else 0)
    assert set(seen) <= {n_validated}
    density.set_params(early_stopping=False).fit(binary_rows)
    assert density.validation_loss_curve_ == []


@pytest.mark.parametrize("estimator", [VAEDensityEstimator, VAEOutlierDetector, VAEImputer])
@pytest.mark.parametrize("value", [2.0, 0.5, np.nan])
@pytest.mark.parametrize("row", range(0, 250, 50))
def test_value_may_be_in_a_row_that_is_held_out(row, value, estimator, binary_rows):
    X = np.resize(binary_rows, (250, 8))
    X[row, 0] = value
    held_out = estimator(early_stopping=True, validation_fraction=0.5, **QUICK).fit(X)
    density = getattr(held_out, "density_", held_out)
    everything = VAEDensityEstimator(**QUICK | {"early_stopping": False}).fit(X)
    np.testing.assert_equal(density.likelihood_, everything.likelihood_)


def test_codes_are_those_of_all_rows_also_with_rows_held_out():
    codes = np.arange(300.0)[:, np.newaxis]
    density = VAEDensityEstimator(likelihood="categorical", early_stopping=True, **QUICK)
    unseen = density.fit(codes).score_samples([[300.0], [301.0]])
    assert unseen[0] == unseen[1]
    assert not np.isin(density.score_samples(codes), unseen).any()


@pytest.mark.parametrize(
    ("n_rows", "kind", "holds_out"),
    [
        (19, "real", False),
        (20, "real", True),
        (20, "binary", False),
        (20, "mixed", True),
        (20, "counts", False),
    ],
)
def test_auto_holds_rows_out_where_there_are_enough(n_rows, kind, holds_out, binary_rows):
    rng = np.random.RandomState(0)
    tables = {"real": rng.randn(n_rows, 3), "binary": np.resize(binary_rows, (n_rows, 8))}
    tables["mixed"] = np.c_[tables["real"], tables["binary"]]
    tables["counts"] = rng.poisson(9.0, (n_rows, 3))
    likelihood = "poisson" if kind == "counts" else "auto"
    density = VAEDensityEstimator(likelihood=likelihood, max_iter=2, random_state=0)
    density.fit(tables[kind])
    assert len(density.validation_loss_curve_) == (density.n_iter_ if holds_out else 0)


@pytest.mark.parametrize(
    ("n_components", "n_draws", "n_steps"), [(2, 399, 0), (2, 400, 2), (10, 499, 0), (10, 500, 2)]
)
def test_posteriors_are_refined_where_there_are_many_draws(
    n_components, n_draws, n_steps, binary_rows
):
    options = {"n_components": n_components, "n_importance_samples": n_draws, **QUICK}
    by_default = VAEDensityEstimator(**options).fit(binary_rows)
    scores = by_default.score_samples(binary_rows[:5])
    by_default.set_params(n_refinement_steps=n_steps)
    np.testing.assert_array_equal(by_default.score_samples(binary_rows[:5]), scores)
    by_default.set_params(n_refinement_steps=2 - n_steps)
    assert (by_default.score_samples(binary_rows[:5]) != scores).any()
    # Of the latent dimensions that were fitted, whatever a next fit is to have.
    by_default.set_params(n_refinement_steps="auto", n_components=9 if n_components == 2 else 2)
    np.testing.assert_array_equal(by_default.score_samples(binary_rows[:5]), scores)


def batch_sizes(monkeypatch):
    """Batch sizes of the trainings from now on."""
    train, seen = model.train, []

    def train_and_tell(*arguments, batch_size, **options):
        seen.append(batch_size)
        return train(*arguments, batch_size=batch_size, **options)

    monkeypatch.setattr(model, "train", train_and_tell)
    return seen


@pytest.mark.parametrize(("n_rows", "batch_size"), [(20, 32), (1500, 50), (9000, 128)])
def test_an_epoch_of_few_rows_has_smaller_batches(n_rows, batch_size, monkeypatch):
    seen = batch_sizes(monkeypatch)
    X = np.resize(np.eye(3), (n_rows, 3))
    density = VAEDensityEstimator(max_iter=1, early_stopping=False).fit(X)
    density.set_params(batch_size=7).fit(X)
    density.set_params(batch_size="auto").fit([X[:10], X[10:]])
    density.partial_fit(X)
    assert seen == [batch_size, 7, batch_size, 128]


@pytest.mark.parametrize(("n_nonzero", "batch_size"), [(300, 32), (60, 40), (10, 128), (0, 128)])
def test_a_batch_has_some_nonzeros_of_a_feature(n_nonzero, batch_size, monkeypatch):
    seen = batch_sizes(monkeypatch)
    X = np.zeros((100, 3))
    X.flat[:n_nonzero] = 1
    stored = sp.csr_matrix(X + 1)
    stored.data -= 1
    for table in (X, sp.csr_matrix(X), stored, [X[:7], X[7:]]):
        VAEDensityEstimator(max_iter=1, early_stopping=False).fit(table)
    assert seen == [batch_size] * 4


def test_start_knows_nothing_of_the_rows_held_out(monkeypatch):
    seen = []
    monkeypatch.setattr(DensityModel, "start_from_factors", lambda self, X: seen.append(X))
    X = np.random.RandomState(0).randn(60, 3)
    density = VAEDensityEstimator(max_iter=1, random_state=0).fit(X)
    assert len(density.validation_loss_curve_) == 1
    (rows,) = seen
    assert rows.shape == (54, 3)
    assert np.isin(rows[:, 0], X[:, 0]).all()


def test_wide_table_of_few_rows_is_not_learned_by_heart():
    rng = np.random.RandomState(0)
    loadings = rng.randn(2, 40)
    X, rows = (rng.randn(n, 2) @ loadings + 0.3 * rng.randn(n, 40) for n in (30, 200))
    density = VAEDensityEstimator(random_state=0).fit(X)
    independent = norm.logpdf(rows, X.mean(axis=0), X.std(axis=0)).sum(axis=1).mean()
    assert density.score(rows) > independent + 10


def test_early_stopping_needs_a_row_to_train_on():
    with pytest.raises(ValueError, match="=True .* leaves no row to train on: n_samples=1"):
        VAEDensityEstimator(early_stopping=True).fit([[1.0, 0.0]])
    with pytest.raises(ValueError, match="='auto' with validation_fraction=0.99.* leaves no row"):
        VAEDensityEstimator(validation_fraction=0.99).fit(np.eye(50))


def test_partial_fit_learns(binary_rows):
    density = VAEDensityEstimator(learning_rate_init=1e-2, random_state=0)
    scores = [density.partial_fit(binary_rows).score(binary_rows) for _ in range(30)]
    assert scores[-1] > scores[0] + 0.1
    assert density.n_iter_ == 30
    assert len(density.loss_curve_) == 30


def test_partial_fit_holds_no_row_out():
    density = VAEDensityEstimator(early_stopping=True, random_state=0).partial_fit([[0.0, 1.0]])
    assert density.validation_loss_curve_ == []


def test_partial_fit_goes_on_from_a_pickle_as_from_memory(binary_rows):
    import pickle

    density = VAEDensityEstimator(random_state=0).partial_fit(binary_rows)
    loaded = pickle.loads(pickle.dumps(density))
    for fitted in (density, loaded):
        fitted.partial_fit(binary_rows)
    np.testing.assert_array_equal(
        density.score_samples(binary_rows), loaded.score_samples(binary_rows)
    )


def test_partial_fit_refuses_another_number_of_features(binary_rows):
    density = VAEDensityEstimator(random_state=0).partial_fit(binary_rows)
    with pytest.raises(ValueError, match="expecting 8 features"):
        density.partial_fit(binary_rows[:, :5])


def test_warm_start_goes_on(binary_rows):
    cold = VAEDensityEstimator(**QUICK).fit(binary_rows)
    warm = VAEDensityEstimator(warm_start=True, **QUICK).fit(binary_rows)
    np.testing.assert_array_equal(warm.score_samples(binary_rows), cold.score_samples(binary_rows))
    warm.set_params(max_iter=20).fit(binary_rows)
    assert warm.n_iter_ == 23
    assert warm.score(binary_rows) > cold.score(binary_rows)
    cold.fit(binary_rows)
    assert cold.n_iter_ == 3


def test_learned_prior_finds_groups():
    rng = np.random.RandomState(0)
    profiles = np.where(rng.uniform(size=(6, 12)) < 0.5, 0.05, 0.95)
    X = (rng.uniform(size=(800, 12)) < profiles[rng.randint(6, size=800)]).astype(float)
    options = {"autoregressive": False, "early_stopping": False, "n_importance_samples": 100}
    scores = [
        [
            VAEDensityEstimator(2, n_prior_components=n, max_iter=100, random_state=seed, **options)
            .fit(X[:600])
            .score(X[600:])
            for seed in range(2)
        ]
        for n in (1, 12)
    ]
    assert np.mean(scores[1]) > np.mean(scores[0]) + 0.05


@pytest.mark.parametrize("n_importance_samples", [1, 5])
def test_empty_rows_score_zero_with_a_learned_prior(n_importance_samples):
    rng = np.random.RandomState(0)
    counts = rng.poisson(1.0, size=(60, 4)).astype(float)
    counts[::7] = 0
    density = VAEDensityEstimator(
        likelihood="multinomial",
        n_prior_components=3,
        n_training_draws=n_importance_samples,
        n_importance_samples=n_importance_samples,
        **QUICK,
    ).fit(counts)
    empty = counts.sum(axis=1) == 0
    scores = density.score_samples(counts)
    assert (scores[empty] == 0).all()
    assert (scores[~empty] < 0).all()
    alone = density.fit(np.zeros((8, 4)))
    assert alone.loss_curve_ == [0.0] * 3


def test_warm_start_may_not_change_the_prior(binary_rows):
    warm = VAEDensityEstimator(warm_start=True, **QUICK).fit(binary_rows)
    with pytest.raises(ValueError, match="n_prior_components"):
        warm.set_params(n_prior_components=3).fit(binary_rows)


def test_warm_start_may_change_how_to_train(binary_rows):
    warm = VAEDensityEstimator(warm_start=True, **QUICK).fit(binary_rows)
    warm.set_params(n_training_draws=3, learning_rate_init=1e-3).fit(binary_rows)
    assert warm.n_iter_ == 2 * QUICK["max_iter"]


def test_warm_start_notices_a_likelihood_that_is_changed_in_place():
    X = np.random.RandomState(0).poisson(2, (60, 2)).astype(float)
    likelihood = {"poisson": [0], "gaussian": np.array([1])}
    warm = VAEDensityEstimator(likelihood=likelihood, warm_start=True, **QUICK).fit(X)
    warm.fit(X)
    likelihood["poisson"][0], likelihood["gaussian"][0] = 1, 0
    with pytest.raises(ValueError, match="warm_start=False"):
        warm.fit(X)


def test_columns_of_a_data_frame_may_have_any_names(real_rows):
    names = ["format", "data", "indices", "shape"][: real_rows.shape[1]]
    table = pd.DataFrame(real_rows[:, : len(names)], columns=names)
    density = VAEDensityEstimator(**QUICK).fit(table)
    expected = VAEDensityEstimator(**QUICK).fit(table.to_numpy()).score_samples(table.to_numpy())
    np.testing.assert_array_equal(density.score_samples(table), expected)


def test_warm_start_refuses_another_architecture(binary_rows):
    density = VAEDensityEstimator(warm_start=True, **QUICK).fit(binary_rows)
    with pytest.raises(ValueError, match="warm_start=False"):
        density.set_params(n_components=3).fit(binary_rows)


def test_sgd_and_weight_decay(binary_rows):
    plain, decayed = (
        VAEDensityEstimator(
            solver="sgd", alpha=alpha, max_iter=40, early_stopping=False, random_state=0
        ).fit(binary_rows)
        for alpha in (0.0, 10.0)
    )
    norms = [
        sum(p.norm().item() for p in density._model.network.parameters() if p.ndim == 2)
        for density in (plain, decayed)
    ]
    assert norms[1] < 0.5 * norms[0]


def test_large_offset_does_not_cost_precision(real_rows):
    scores = VAEDensityEstimator(**QUICK).fit(real_rows).score_samples(real_rows)
    shifted = VAEDensityEstimator(**QUICK).fit(real_rows + 2.0**20).score_samples(real_rows + 2**20)
    np.testing.assert_allclose(shifted, scores, atol=1e-4)


def test_sparse_and_dense_tables_give_the_same_density(sparse_rows):
    for X in (sparse_rows, sp.csr_matrix(sparse_rows.multiply(0.5))):
        sparse = VAEDensityEstimator(**QUICK).fit(X)
        dense = VAEDensityEstimator(**QUICK).fit(X.toarray())
        np.testing.assert_equal(sparse.likelihood_, dense.likelihood_)
        np.testing.assert_allclose(sparse.score_samples(X), dense.score_samples(X), rtol=1e-4)


def test_grid_search_by_the_held_out_bound(binary_rows):
    search = GridSearchCV(VAEDensityEstimator(**QUICK), {"n_components": [1, 2]}, cv=2)
    search.fit(binary_rows)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_readonly_and_strided_tables(real_rows):
    expected = VAEDensityEstimator(**QUICK).fit(real_rows).score_samples(real_rows)
    frozen = real_rows.copy()
    frozen.flags.writeable = False
    for X in (frozen, np.asfortranarray(real_rows), real_rows[::-1][::-1]):
        density = VAEDensityEstimator(**QUICK).fit(X)
        np.testing.assert_array_equal(density.score_samples(X), expected)
    codes = density.transform(frozen)
    codes.flags.writeable = False
    assert density.inverse_transform(codes).shape == frozen.shape


def test_readonly_sparse_tables(sparse_rows):
    expected = VAEDensityEstimator(**QUICK).fit(sparse_rows).score_samples(sparse_rows)
    frozen = sparse_rows.copy()
    for array in (frozen.data, frozen.indices, frozen.indptr):
        array.flags.writeable = False
    density = VAEDensityEstimator(**QUICK).fit(frozen)
    np.testing.assert_array_equal(density.score_samples(frozen), expected)
    np.testing.assert_allclose(density.score_samples(frozen[:1]), expected[:1], rtol=1e-12)


def test_autoregression_is_automatic_for_complete_binary_tables(binary_rows, real_rows):
    def uses_it(X, **parameters):
        density = VAEDensityEstimator(**parameters, **QUICK).fit(X)
        return density._model.network.autoregression is not None

    assert uses_it(binary_rows)
    assert not uses_it(binary_rows, autoregressive=False)
    assert not uses_it(real_rows)
    with_missing = binary_rows.copy()
    with_missing[3, 2] = np.nan
    assert not uses_it(with_missing)
    assert uses_it(sp.csr_matrix((20, 2000)))
    assert not uses_it(sp.csr_matrix((20, 2001)))


@pytest.mark.parametrize(
    ("X", "reason"),
    [
        (np.array([[0.5, 1.0], [0.2, 3.0]]), "the likelihood is contaminated_gaussian"),
        (np.array([[0.0, 1.0], [np.nan, 1.0]]), "values are missing"),
        (sp.csr_matrix((3, 2001)), "X has 2001 features"),
    ],
)
def test_autoregression_says_where_it_cannot_be(X, reason):
    with pytest.raises(ValueError, match=f"{reason}.*Use autoregressive='auto'"):
        VAEDensityEstimator(autoregressive=True, **QUICK).fit(X)


def test_autoregressive_sparse_and_dense_rows_agree(binary_rows):
    X = sp.csr_matrix(binary_rows)
    dense, sparse = (VAEDensityEstimator(**QUICK).fit(table) for table in (binary_rows, X))
    np.testing.assert_allclose(sparse.score_samples(X), dense.score_samples(binary_rows), rtol=1e-5)
    np.testing.assert_allclose(dense.score_samples(X), dense.score_samples(binary_rows))
    assert sp.issparse(sparse.sample(5, random_state=0))


def test_refined_scores_do_not_depend_on_company(real_rows):
    density = VAEDensityEstimator(n_refinement_steps=5, n_importance_samples=10, **QUICK)
    scores = density.fit(real_rows).score_samples(real_rows)
    alone = np.concatenate([density.score_samples(row[None]) for row in real_rows[:20]])
    np.testing.assert_allclose(alone, scores[:20], rtol=1e-11)
    backwards = density.score_samples(real_rows[::-1])[::-1]
    np.testing.assert_allclose(backwards, scores, rtol=1e-11)


def test_refined_contributions_add_up(binary_rows):
    density = VAEDensityEstimator(n_refinement_steps=5, **QUICK).fit(binary_rows)
    parts = density._feature_contributions(binary_rows)
    total = parts.baseline + parts.contributions.sum(axis=1) + parts.latent
    np.testing.assert_allclose(total, density.score_samples(binary_rows), atol=1e-9)


def test_chunks_count_together_in_what_chance_makes_of_a_weight(monkeypatch):
    thresholds = []
    monkeypatch.setattr(Autoregression, "shrink", lambda self, by: thresholds.append(by))
    X = np.random.RandomState(0).uniform(size=(256, 5)) < 0.5
    density = VAEDensityEstimator(autoregressive=True, learning_rate_init=0.01, random_state=0)
    for _ in range(2):
        density.partial_fit(X)
    expected = 0.01 * np.sqrt(128 / np.array([256, 256, 512, 512]))
    np.testing.assert_allclose(thresholds, expected)


def test_rows_of_another_block_are_validated_with_other_draws():
    X = (np.random.RandomState(0).uniform(size=(512, 6)) < 0.5).astype(float)
    options = {"max_iter": 1, "early_stopping": False, "random_state": 0}
    model = VAEDensityEstimator(2, **options).fit(X)._model
    first, second = (model.make_validation_losses(X, n)().mean() for n in (0, 512))
    assert abs(first - second) > 1e-6
    twice = model.make_validation_losses(np.concatenate([X, X]), 0)().mean()
    assert twice == pytest.approx((first + second) / 2, abs=1e-9)


def test_a_warm_start_keeps_the_best_weights_there_have_been(real_rows):
    options = {"early_stopping": True, "warm_start": True, "random_state": 0}
    density = VAEDensityEstimator(max_iter=20, **options).fit(real_rows)
    before = density.score_samples(real_rows)
    density.set_params(max_iter=2, learning_rate_init=0.5).fit(real_rows)
    assert min(density.validation_loss_curve_[20:]) > min(density.validation_loss_curve_[:20])
    np.testing.assert_array_equal(density.score_samples(real_rows), before)


def test_ctrl_c_during_validation_leaves_curves_of_one_length(real_rows, monkeypatch):
    validate = Training.validate

    def interrupted(self, loss, epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        return validate(self, loss, epoch)

    monkeypatch.setattr(Training, "validate", interrupted)
    density = VAEDensityEstimator(early_stopping=True, random_state=0)
    with pytest.warns(UserWarning, match="interrupted in epoch 3"):
        density.fit(real_rows)
    assert len(density.loss_curve_) == len(density.validation_loss_curve_) == density.n_iter_ == 2


def test_columns_of_a_likelihood_are_those_of_the_first_chunk():
    rng = np.random.RandomState(0)
    frame = pd.DataFrame({"code": rng.randint(0, 3, 60), "x": rng.randn(60)})
    gaps = frame.astype({"code": float})
    gaps.loc[0, "code"] = np.nan
    integers = make_column_selector(dtype_include="int")
    density = VAEDensityEstimator(likelihood={"categorical": integers}, random_state=0)
    density.partial_fit(frame).partial_fit(gaps)
    np.testing.assert_array_equal(density.likelihood_["categorical"], [0])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        density.partial_fit(frame.to_numpy())
    with pytest.raises(ValueError, match="was made with likelihood="):
        density.set_params(likelihood={"categorical": [1]}).partial_fit(abs(frame).round())


@pytest.mark.parametrize("kind", [VAEDensityEstimator, VAEOutlierDetector])
def test_rows_with_a_gap_have_their_density_where_training_rows_have_none(kind):
    rng = np.random.RandomState(0)
    loadings = rng.randn(3, 8)
    covariance = loadings.T @ loadings + 0.05 * np.eye(8)
    X, rows = (rng.multivariate_normal(np.zeros(8), covariance, n) for n in (1000, 200))
    model = kind(max_iter=60, likelihood="gaussian", init="factor_analysis", random_state=0).fit(X)
    for n_missing in (1, 2, 4):
        gaps = rows.copy()
        gaps[:, :n_missing] = np.nan
        kept = slice(n_missing, None)
        exact = multivariate_normal(np.zeros(8 - n_missing), covariance[kept, kept])
        expected = exact.logpdf(rows[:, kept]).mean()
        if kind is VAEOutlierDetector:  # has the scale in the place of a value
            expected -= np.log(X[:, :n_missing].std(axis=0)).sum()
        assert model.score_samples(gaps).mean() == pytest.approx(expected, abs=1.2)
        # Whatever stands beside it, a row has one score.
        mixed = np.where(np.arange(200)[:, None] % 2, gaps, rows)
        np.testing.assert_allclose(
            model.score_samples(mixed)[1::2], model.score_samples(gaps)[1::2], rtol=1e-11
        )


@pytest.mark.parametrize(
    ("likelihood", "match"),
    [
        ({"poisson": None}, "no columns to 'poisson': None"),
        ({"poisson": [0, 0]}, "gives column 0 to 'poisson' twice"),
        ({"poisson": [0], "gaussian": [0]}, "gives column 0 to 'poisson' and to 'gaussian'"),
    ],
)
def test_columns_that_are_none_or_named_twice_are_refused(likelihood, match, binary_rows):
    with pytest.raises(ValueError, match=match):
        VAEDensityEstimator(likelihood=likelihood).fit(binary_rows)


def test_columns_that_others_tell_almost_exactly_need_a_small_variance():
    rng = np.random.RandomState(0)
    loadings = rng.randn(2, 6)
    X, rows = (rng.randn(n, 2) @ loadings + 0.005 * rng.randn(n, 6) for n in (500, 200))
    scores = [
        VAEDensityEstimator(reg_covar=least, max_iter=60, random_state=0).fit(X).score(rows)
        for least in (1e-2, 1e-3, 1e-5)
    ]
    assert scores[0] + 3 < scores[1] < scores[2] - 1


def test_the_smallest_variance_is_the_parameter(real_rows):
    density = VAEDensityEstimator(likelihood="gaussian", reg_covar=0.02, max_iter=2, random_state=0)
    likelihood = density.fit(real_rows)._model.likelihood
    sure = [torch.zeros(1, 4), torch.full((1, 4), -100.0)]
    torch.testing.assert_close(likelihood.variance(sure), torch.full((1, 4), 0.02))
    with pytest.raises(ValueError, match="was made with reg_covar=0.02"):
        density.set_params(reg_covar=0.1).partial_fit(real_rows)
