"""VAEOutlierDetector: the threshold, the labels, and contributions that add up."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from skvae import VAEDensityEstimator, VAEOutlierDetector
from skvae._cluster import find_minority_cluster
from skvae._outlier import threshold
from skvae.datasets import fetch_sms_spam, make_messages

# What a detector's density is fitted with, other than a density by itself.
DETECTOR = {
    "alpha": 0.01,
    "autoregressive": False,
    "batch_size": 128,
    "early_stopping": False,
}
# The same of binary rows.
COARSER = DETECTOR | {"alpha": 0.03}
QUICK = {"max_iter": 3, "random_state": 0}


def test_scattered_rows_are_outliers():
    rng = np.random.RandomState(0)
    inliers = rng.randn(400, 2) @ rng.randn(2, 6) + 0.1 * rng.randn(400, 6)
    outliers = rng.uniform(-3, 3, size=(20, 6))
    detector = VAEOutlierDetector(random_state=0).fit(np.vstack([inliers, outliers]))
    scores = detector.score_samples(np.vstack([inliers, outliers]))
    assert roc_auc_score(np.repeat([1, 0], [400, 20]), scores) > 0.95


def test_a_tight_group_that_stands_apart_is_not_learned():
    rng = np.random.RandomState(0)
    inliers = rng.randn(960, 3) @ rng.randn(3, 10) + 0.3 * rng.randn(960, 10)
    group = 3 * np.tile([1, -1], 5) + 0.3 * rng.randn(40, 10)
    X, is_inlier = np.vstack([inliers, group]), np.repeat([1, 0], [960, 40])
    detector = VAEOutlierDetector(random_state=0).fit(X)
    scores = detector.score_samples(X)
    assert roc_auc_score(is_inlier, scores) > 0.999
    assert scores[-40:].max() < detector.offset_
    # Of rows that are all normal it is.
    of_all = detector.set_params(outlier_score="elbo").fit(X).score_samples(X)
    assert of_all[-40:].mean() > scores[-40:].mean() + 20
    density = clone(detector.density_).fit(X)
    np.testing.assert_array_equal(density.score_samples(X), of_all)


def test_grades_that_do_not_go_together_are_outliers():
    rng = np.random.RandomState(0)
    # Of twelve symptoms, from 0 to 3, all are grave or none; most rows have none.
    severity = 2.5 * rng.randn(900, 1) + 0.4 * rng.randn(900, 12)
    rows = np.clip(np.round(severity), 0, 3)
    odd = np.zeros((60, 12))
    for row in odd:
        row[rng.choice(12, 2, replace=False)] = rng.randint(2, 4, size=2)
    detector = VAEOutlierDetector(max_iter=60, random_state=0).fit(rows[:600])
    assert detector.density_.likelihood_ == "spike_and_slab"
    scores = detector.score_samples(np.r_[rows[600:], odd])
    # Two grave symptoms are fewer than many rows have, but such rows have more of them.
    assert roc_auc_score(np.arange(360) < 300, scores) > 0.85


@pytest.mark.parametrize("early_stopping", [False, True])
def test_rows_that_are_far_out_do_not_end_the_training(early_stopping):
    rng = np.random.RandomState(0)
    X = rng.randn(400, 3) @ rng.randn(3, 8) + 0.3 * rng.randn(400, 8)
    far = X.copy()
    far[::40] += 40 * rng.randn(10, 8)  # they fit the worse the smaller the variances become
    options = {"early_stopping": early_stopping, "max_iter": 60, "random_state": 0}
    with_far, without = (
        VAEOutlierDetector(likelihood="gaussian", **options).fit(rows) for rows in (far, X)
    )
    assert with_far.n_iter_ >= 0.8 * without.n_iter_
    curve = with_far.density_.loss_curve_
    assert curve[-1] < min(curve) + 0.5


@pytest.mark.parametrize("early_stopping", [False, True])
def test_what_is_far_out_does_not_depend_on_units(early_stopping):
    rng = np.random.RandomState(0)
    X = rng.randn(300, 2) @ rng.randn(2, 8) + 0.3 * rng.randn(300, 8)
    X[::10, :4] = np.nan  # these rows have fewer terms that the units enter
    X[:, 7] = np.where(rng.uniform(size=300) < 0.6, 0, X[:, 7])
    of_units = [
        VAEOutlierDetector(early_stopping=early_stopping, max_iter=10, random_state=0)
        .fit(X * unit)
        .score_samples(X * unit)
        + np.log(unit) * X.shape[1]
        for unit in (1, 2.0**-20, 2.0**20)
    ]
    np.testing.assert_allclose(of_units[1], of_units[0], atol=1e-6)
    np.testing.assert_allclose(of_units[2], of_units[0], atol=1e-6)


@pytest.mark.parametrize("factor", [1e3, 1e-6])
def test_which_rows_with_gaps_are_outliers_does_not_depend_on_units(factor):
    rng = np.random.RandomState(0)
    X = rng.randn(300, 3) @ rng.randn(3, 5) + 0.3 * rng.randn(300, 5)
    X[:15] *= 4
    X[100:140, 0] = np.nan
    Y = X * [factor, 1, 1, 1, 1]
    detectors = [VAEOutlierDetector(max_iter=20, random_state=0).fit(table) for table in (X, Y)]
    scores = [d.decision_function(table) for d, table in zip(detectors, (X, Y), strict=True)]
    np.testing.assert_allclose(*scores, atol=1e-2)  # trained in float32, of other scales
    explanation = detectors[1].feature_contributions(Y)
    total = explanation.baseline + explanation.contributions.sum(axis=1) + explanation.latent
    np.testing.assert_allclose(total, detectors[1].score_samples(Y), rtol=1e-10)
    complete = np.isfinite(Y).all(axis=1)
    np.testing.assert_array_equal(explanation.baseline != 0, ~complete)
    density = detectors[1].density_.score_samples(Y[complete])
    np.testing.assert_array_equal(detectors[1].score_samples(Y[complete]), density)


def test_constant_columns_do_not_drown_the_others():
    rng = np.random.RandomState(0)
    X = rng.randn(150, 2) @ rng.randn(2, 6) + 0.3 * rng.randn(150, 6)
    X = np.column_stack([X, np.tile(np.arange(300.0), (150, 1))])
    detector = VAEOutlierDetector(max_iter=30, random_state=0).fit(X)
    contributions = detector.feature_contributions(X).contributions
    varying, constant = contributions[:, :6].sum(axis=1), contributions[:, 6:].sum(axis=1)
    assert constant.std() < 0.3 * varying.std()


def test_a_kind_of_row_that_stands_apart_is_learned_if_it_is_common():
    rng = np.random.RandomState(0)
    X = rng.randn(1000, 3) @ rng.randn(3, 8) + 0.3 * rng.randn(1000, 8)
    X[:200] += 4 * np.tile([1, -1], 4)
    detector = VAEOutlierDetector(random_state=0).fit(X)
    assert (detector.predict(X[:200]) == 1).mean() > 0.9
    assert (detector.predict(5 * rng.randn(200, 8)) == -1).mean() > 0.9


@pytest.fixture
def contaminated():
    """CSR rows of 60 words, 450 from one half of them in the main, then 50 from the other half."""
    rng = np.random.RandomState(0)
    normal = rng.uniform(size=(450, 60)) < np.repeat([0.2, 0.01], 30)
    cluster = rng.uniform(size=(50, 60)) < np.repeat([0.02, 0.3], 30)
    return sp.csr_matrix(np.vstack([normal, cluster]).astype(float))


def test_elbo_scores_are_those_of_a_density_of_all_rows(binary_rows):
    detector = VAEOutlierDetector(outlier_score="elbo", n_importance_samples=3, **QUICK)
    detector.fit(binary_rows)
    scores = detector.score_samples(binary_rows)
    np.testing.assert_array_equal(detector.density_.score_samples(binary_rows), scores)
    alone = VAEDensityEstimator(**COARSER, n_importance_samples=3, **QUICK)
    np.testing.assert_array_equal(alone.fit(binary_rows).score_samples(binary_rows), scores)


def ring(n, rng):
    angle = rng.uniform(0, 2 * np.pi, n)
    return 3 * np.c_[np.cos(angle), np.sin(angle)] + 0.15 * rng.normal(size=(n, 2))


def blobs(n, rng):
    centres = np.array([[-4, -4], [4, 4], [-4, 4], [4, -4]])
    return centres[rng.randint(4, size=n)] + 0.4 * rng.normal(size=(n, 2))


def two_groups(n, rng):
    return rng.choice([-3, 3], (n, 1)) + 0.3 * rng.normal(size=(n, 1))


@pytest.mark.parametrize("outlier_score", ["auto", "elbo"])
@pytest.mark.parametrize("draw", [ring, blobs, two_groups])
def test_what_lies_between_normal_rows_is_found_in_a_plane_and_on_a_line(draw, outlier_score):
    rng = np.random.RandomState(0)
    normal = draw(600, rng)
    between = rng.uniform(-1.5, 1.5, (30, normal.shape[1]))
    train = normal if outlier_score == "elbo" else np.concatenate([normal, between])
    detector = VAEOutlierDetector(outlier_score=outlier_score, random_state=0).fit(train)
    X = np.concatenate([draw(300, rng), between])
    assert roc_auc_score(np.arange(330) >= 300, -detector.score_samples(X)) > 0.95


def dry_or_wet(n_rows, rng):
    """Six gauges: it rains on all of them, or on none."""
    return np.abs(rng.normal(size=(n_rows, 6))) * (rng.uniform(size=(n_rows, 1)) < 0.4)


def test_a_detector_does_not_count_spikes():
    rng = np.random.RandomState(0)
    odd = np.abs(rng.normal(size=(50, 6))) * (rng.uniform(size=(50, 6)) < 0.4)
    X = np.concatenate([dry_or_wet(950, rng), odd])
    is_odd = np.arange(1000) >= 950
    detector = VAEOutlierDetector(random_state=0).fit(X)
    by_score, by_density = (
        roc_auc_score(is_odd, -model.score_samples(X)) for model in (detector, detector.density_)
    )
    assert by_score > by_density + 0.02
    # A value next to the spike is no more normal for that.
    near = np.where(X == 0, 1e-9, X)
    np.testing.assert_allclose(detector.score_samples(near), detector.score_samples(X), atol=1e-5)


@pytest.mark.parametrize("kind", ["dense", "sparse", "with gaps", "mixed", "mixed and sparse"])
def test_contributions_with_spikes_add_up_to_the_score(kind):
    rng = np.random.RandomState(0)
    X = dry_or_wet(200, rng)
    X[:, 5] += 3  # a spike that is not 0
    if "mixed" in kind:
        X = np.c_[rng.normal(size=(200, 2)), X, rng.poisson(3, size=200)]
    if kind == "with gaps":
        X[::3, :2] = np.nan
    detector = VAEOutlierDetector(**QUICK).fit(X)
    rows = sp.csr_matrix(X) if "sparse" in kind else X
    scores = detector.score_samples(rows)
    found = detector.feature_contributions(rows)
    total = found.baseline + np.ravel(found.contributions.sum(axis=1)) + found.latent
    np.testing.assert_allclose(total, scores, rtol=1e-9)
    np.testing.assert_allclose(scores, detector.score_samples(X), rtol=1e-12)
    assert (scores < detector.density_.score_samples(rows) - 0.5).any()


def test_init_and_alpha_of_few_columns_give_way_to_others():
    X = np.random.RandomState(0).normal(size=(60, 3))
    for n_columns, init, alpha in ((1, "factor_analysis", 1e-4), (3, "random", 0.01)):
        density = VAEOutlierDetector(**QUICK).fit(X[:, :n_columns]).density_
        assert (density.init, density.alpha) == (init, alpha)
    detector = VAEOutlierDetector(init="random", alpha=0.02, **QUICK).fit(X[:, :1])
    assert (detector.density_.init, detector.density_.alpha) == ("random", 0.02)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, 0.03),
        ({"outlier_score": "log_odds"}, 0.03),
        ({"outlier_score": "elbo"}, 0.03),
        ({"likelihood": "poisson"}, 0.01),
        ({"alpha": 0.2}, 0.2),
        ({"alpha": 0}, 0),
    ],
)
def test_density_of_binary_rows_is_coarser(parameters, expected, contaminated):
    detector = VAEOutlierDetector(**QUICK, **parameters).fit(contaminated)
    assert detector.density_.alpha == expected


@pytest.mark.parametrize(("n_rows", "expected"), [(500, 0.03), (1250, 0.02), (5000, 0.01)])
def test_density_of_few_normal_binary_rows_is_coarser(n_rows, expected, binary_rows):
    X = np.resize(binary_rows, (n_rows, binary_rows.shape[1]))
    detector = VAEOutlierDetector(max_iter=1, outlier_score="elbo").fit(X)
    assert detector.density_.alpha == expected


def test_alpha_grows_with_the_ones_of_long_rows(contaminated):
    # Each column five times: the same cluster, in rows that are five times as long.
    long_rows = sp.hstack([contaminated] * 5, format="csr")
    detector = VAEOutlierDetector(**QUICK).fit(long_rows)
    assert detector.outlier_score_ == "log_odds"
    ones = long_rows.sum() / long_rows.shape[0]
    assert ones > 25
    assert detector.density_.alpha == pytest.approx(0.03 * ones / 25)


def test_log_odds_are_those_of_the_density_against_the_cluster(contaminated):
    detector = VAEOutlierDetector(**QUICK).fit(contaminated)
    assert detector.outlier_score_ == "log_odds"
    cluster = find_minority_cluster(
        contaminated, np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    )
    normal = contaminated[~cluster.suspects(contaminated)]
    density = VAEDensityEstimator(**COARSER, **QUICK).fit(normal).score_samples(contaminated)
    share, inside = cluster.share, cluster.inside.log_prob(contaminated)
    expected = density + np.log(1 - share) - inside - np.log(share)
    np.testing.assert_allclose(detector.score_samples(contaminated), expected, rtol=1e-12)
    assert detector.offset_ == 0
    flagged = detector.predict(contaminated) == -1
    np.testing.assert_array_equal(flagged, np.arange(500) >= 450)


def test_share_to_flag_is_kept_by_log_odds(contaminated):
    detector = VAEOutlierDetector(0.2, **QUICK).fit(contaminated)
    assert detector.outlier_score_ == "log_odds"
    assert (detector.predict(contaminated) == -1).sum() == 100


def test_length_does_not_make_an_outlier_where_there_is_a_cluster(contaminated):
    detector = VAEOutlierDetector(**QUICK).fit(contaminated)
    longest = [np.repeat([1.0, 0.0], 30)]
    normal = detector.density_.score_samples(contaminated[:450])
    assert detector.density_.score_samples(longest) < normal.min()
    assert detector.predict(longest) == 1


def test_binary_rows_without_a_cluster_are_scored_by_the_elbo(binary_rows):
    rng = np.random.RandomState(0)
    X = (rng.uniform(size=(300, 8)) < 0.3).astype(float)
    detector = VAEOutlierDetector(**QUICK).fit(X)
    assert detector.outlier_score_ == "elbo"
    expected = VAEDensityEstimator(**COARSER, **QUICK).fit(X).score_samples(X)
    np.testing.assert_array_equal(detector.score_samples(X), expected)
    with pytest.raises(ValueError, match="needs a tight cluster.*none was found"):
        VAEOutlierDetector(outlier_score="log_odds", **QUICK).fit(X)


def test_log_odds_refuse_real_values(real_rows):
    with pytest.raises(
        ValueError, match="binary table, but the likelihood of this one is contaminated_gaussian"
    ):
        VAEOutlierDetector(outlier_score="log_odds", **QUICK).fit(real_rows)


def test_values_the_likelihood_refuses_are_refused_before_a_cluster_is_sought(real_rows):
    with pytest.raises(ValueError, match="takes values in"):
        VAEOutlierDetector(likelihood="bernoulli", **QUICK).fit(real_rows)


@pytest.mark.parametrize("columns", [[0, 1, 2, 3], [0, 1, 2]])
def test_rows_without_counts_are_refused_where_only_shares_are_known(columns):
    X = np.random.RandomState(0).poisson(3, (60, 4)) + [1.0, 0, 0, 0]
    options = {"likelihood": {"multinomial": columns}, "max_iter": 2, "random_state": 0}
    detector = VAEOutlierDetector(**options).fit(X)
    empty = X[:3].copy()
    empty[1, columns] = 0
    for method in (detector.score_samples, detector.feature_contributions, detector.fit):
        with pytest.raises(ValueError, match="Row 1 of X has no counts"):
            method(empty)


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial", "multinomial"])
def test_one_row_of_huge_counts_does_not_hide_the_other_outliers(likelihood):
    rng = np.random.RandomState(0)
    X = rng.poisson(10 * np.exp(rng.normal(size=(500, 2)) @ rng.normal(size=(2, 8)) / 2))
    # The columns no longer depend on each other.
    X[:50] = np.random.default_rng(0).permuted(X[:50], axis=0)
    detector = VAEOutlierDetector(
        outlier_score="elbo", likelihood=likelihood, max_iter=50, random_state=0
    )

    def auc():
        return roc_auc_score(np.arange(len(X)) > 50, detector.fit(X).score_samples(X))

    expected = auc()
    X[-1] *= 10_000
    assert auc() > expected - 0.05


@pytest.mark.parametrize(
    ("likelihood", "init"),
    [
        ({"poisson": [0, 1], "contaminated_gaussian": [2]}, "random"),
        ({"poisson": [0, 1], "bernoulli": [2]}, "factor_analysis"),
        ("gaussian", "random"),
    ],
)
def test_columns_of_real_values_start_at_random(likelihood, init):
    X = np.random.RandomState(0).poisson(5, (60, 3)) % [9, 9, 2]
    detectors = [
        VAEOutlierDetector(likelihood=likelihood, init=name, **QUICK).fit(X)
        for name in ("auto", init)
    ]
    np.testing.assert_array_equal(*(detector.score_samples(X) for detector in detectors))
    assert detectors[0].density_.init == init


@pytest.mark.parametrize("likelihood", ["auto", "multinomial"])
def test_tags_say_whether_values_may_be_missing(likelihood):
    tags = get_tags(VAEOutlierDetector(likelihood=likelihood))
    assert tags.input_tags.allow_nan == (likelihood == "auto")


def test_predict_is_the_sign_of_the_decision_function(real_rows):
    detector = VAEOutlierDetector(0.2, **QUICK).fit(real_rows)
    decision = detector.decision_function(real_rows)
    np.testing.assert_allclose(decision, detector.score_samples(real_rows) - detector.offset_)
    np.testing.assert_array_equal(detector.predict(real_rows), np.where(decision < 0, -1, 1))


def test_errors_name_the_detector():
    with pytest.raises(ValueError, match="required by VAEOutlierDetector"):
        VAEOutlierDetector().fit(np.zeros((0, 3)))


def test_offset_moves_the_threshold_without_a_fit(real_rows):
    detector = VAEOutlierDetector(0.1, **QUICK).fit(real_rows)
    detector.offset_ = np.median(detector.score_samples(real_rows))
    assert (detector.predict(real_rows) == -1).sum() == len(real_rows) // 2


def test_feature_names_reach_the_density(binary_rows):
    X = pd.DataFrame(binary_rows, columns=list("abcdefgh"))
    detector = VAEOutlierDetector(**QUICK).fit(X)
    assert detector.feature_names_in_.tolist() == list("abcdefgh")
    assert detector.density_.transform(X).shape == (len(X), 8)


def test_warm_start_continues_the_density(binary_rows):
    X = pd.DataFrame(binary_rows, columns=list("abcdefgh"))
    detector = VAEOutlierDetector(outlier_score="elbo", warm_start=True, **QUICK).fit(X)
    first = detector.density_
    detector.fit(X)
    assert detector.n_iter_ == 6
    assert first.n_iter_ == 3
    with pytest.raises(ValueError, match="feature names should match"):
        detector.fit(X[list("hgfedcba")])
    assert detector.feature_names_in_.tolist() == list("abcdefgh")


def test_warm_start_scores_by_the_likelihood_of_the_first_fit(contaminated):
    real = contaminated.toarray() + np.random.RandomState(0).uniform(size=contaminated.shape)
    detector = VAEOutlierDetector(warm_start=True, **QUICK).fit(real)
    detector.fit(contaminated.toarray())
    assert detector.density_.likelihood_ == "contaminated_gaussian"
    assert detector.outlier_score_ == "elbo"
    assert detector.density_.alpha == 0.01


@pytest.mark.parametrize(("contamination", "n_flagged"), [(0.25, 2), (0.3, 2), (0.5, 4), (0.01, 0)])
def test_threshold_flags_the_nearest_number_of_scores(contamination, n_flagged):
    scores = np.array([3.0, -1.0, 7.0, 2.0, 9.0, -4.0, 5.0, 8.0])
    assert (scores < threshold(scores, contamination)).sum() == n_flagged


def test_threshold_lies_between_the_last_outlier_and_the_first_inlier():
    assert threshold(np.array([0.0, 10.0, 11.0, 12.0]), 0.25) == 5.0


def test_threshold_does_not_part_equal_scores():
    scores = np.array([-5.0, 1.0, 1.0 + 1e-15, 1.0, 2.0])
    assert (scores < threshold(scores, 0.4)).sum() == 1


def test_threshold_does_not_depend_on_how_low_the_lowest_score_is():
    scores = np.r_[-1e12, np.arange(1.0, 100.0)]
    assert threshold(scores, 0.05) == 4.5
    assert threshold(np.r_[-1e12, np.arange(100.0)], "auto") == pytest.approx(24 - 75, abs=1)


def test_scores_near_zero_that_differ_by_rounding_are_not_parted():
    scores = np.r_[0.0, 1e-14, np.arange(1.0, 9.0)]
    assert (scores < threshold(scores, 0.1)).sum() == 0


@pytest.mark.parametrize(("share", "n_flagged"), [(0.16, 1), (0.2, 2), (0.44, 4)])
def test_the_nearest_whole_number_of_rows_is_flagged(share, n_flagged):
    scores = np.arange(8.0)
    assert (scores < threshold(scores, share)).sum() == n_flagged


def test_automatic_threshold_is_tukeys_fence():
    scores = np.arange(101.0)
    assert threshold(scores, "auto") == pytest.approx(25 - 1.5 * 50, abs=1e-6)


@pytest.mark.parametrize("as_table", [sp.csr_matrix.toarray, sp.csr_matrix])
@pytest.mark.parametrize("n_importance_samples", [1, 20])
def test_contributions_add_up_to_the_log_odds(as_table, n_importance_samples, contaminated):
    X = as_table(contaminated)
    detector = VAEOutlierDetector(n_importance_samples=n_importance_samples, **QUICK).fit(X)
    assert detector.outlier_score_ == "log_odds"
    explanation = detector.feature_contributions(X)
    total = np.asarray(explanation.contributions.sum(axis=1)).ravel()
    total = total + explanation.baseline + explanation.latent
    np.testing.assert_allclose(total, detector.score_samples(X), rtol=0, atol=1e-9)
    # The words of the cluster speak against a row, the others for it.
    by_word = np.asarray(explanation.contributions.sum(axis=0)).ravel()
    assert (by_word[:30] > 0).all()
    assert (by_word[30:] < 0).all()
    if sp.issparse(X):
        np.testing.assert_array_equal(explanation.contributions.indices, X.indices)


@pytest.mark.parametrize("n_importance_samples", [1, 20])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("as_table", [np.asarray, sp.csr_matrix])
def test_contributions_add_up_to_the_score(as_table, likelihood, n_importance_samples, sparse_rows):
    X = as_table(sparse_rows.toarray())
    detector = VAEOutlierDetector(
        likelihood=likelihood, n_importance_samples=n_importance_samples, **QUICK
    ).fit(X)
    explanation = detector.feature_contributions(X)
    total = np.asarray(explanation.contributions.sum(axis=1)).ravel()
    total = total + explanation.baseline + explanation.latent
    np.testing.assert_allclose(total, detector.score_samples(X), rtol=0, atol=1e-9)
    if sp.issparse(X):
        np.testing.assert_array_equal(explanation.contributions.indices, X.indices)
        np.testing.assert_array_equal(explanation.contributions.indptr, X.indptr)
    else:
        assert explanation.contributions.shape == X.shape


def test_bernoulli_contribution_is_the_mean_logit_and_latent_minus_the_kl(sparse_rows):
    detector = VAEOutlierDetector(hidden_layer_sizes=(), **QUICK).fit(sparse_rows)
    explanation = detector.feature_contributions(sparse_rows)
    network = detector.density_._model.scorer("cpu")
    # With a linear decoder the mean logit is the logit of the mean.
    mean = detector.density_.transform(sparse_rows)
    logits = mean @ network.outputs[0].weight.numpy().T + network.outputs[0].bias.numpy()
    stored = sparse_rows.toarray().astype(bool)
    np.testing.assert_allclose(explanation.contributions.data, logits[stored], atol=1e-9)
    X = sparse_rows.toarray()
    log_variance = X @ network.log_variance.weight.numpy() + network.log_variance.bias.numpy()
    kl = (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(axis=1) / 2
    np.testing.assert_allclose(explanation.latent, -kl, atol=1e-9)


def test_contributions_may_be_changed_without_changing_the_rows(sparse_rows):
    X = sparse_rows.copy()
    contributions = VAEOutlierDetector(**QUICK).fit(X).feature_contributions(X).contributions
    contributions.data[::2] = 0
    contributions.eliminate_zeros()
    assert contributions.nnz < X.nnz
    np.testing.assert_array_equal(X.toarray(), sparse_rows.toarray())


def test_dense_and_sparse_bernoulli_rows_have_the_same_contributions(sparse_rows):
    detector = VAEOutlierDetector(**QUICK).fit(sparse_rows)
    sparse = detector.feature_contributions(sparse_rows)
    dense = detector.feature_contributions(sparse_rows.toarray())
    np.testing.assert_allclose(sparse.contributions.toarray(), dense.contributions, atol=1e-12)
    np.testing.assert_allclose(sparse.baseline, dense.baseline)


def test_surprising_value_has_the_lowest_contribution(real_rows):
    detector = VAEOutlierDetector(random_state=0).fit(real_rows)
    row = real_rows[:1].copy()
    row[0, 2] += 10 * real_rows[:, 2].std()
    contributions = detector.feature_contributions(row).contributions[0]
    assert contributions.argmin() == 2


def test_pipeline_from_raw_text():
    messages, _ = make_messages(300, random_state=0)
    pipeline = make_pipeline(CountVectorizer(binary=True), VAEOutlierDetector(0.1, **QUICK))
    labels = pipeline.fit_predict(messages)
    assert (labels == -1).sum() == 30
    np.testing.assert_array_equal(pipeline.predict(messages), labels)


@pytest.mark.shared_data
def test_real_messages_score_the_same_again_shuffled_alone_and_from_a_pickle(shared_data):
    import pickle

    messages, _ = fetch_sms_spam(path=shared_data / "SMSSpamCollection", return_X_y=True)
    pipeline = make_pipeline(CountVectorizer(binary=True), VAEOutlierDetector(**QUICK))
    scores = pipeline.fit(messages).score_samples(messages)
    np.testing.assert_array_equal(pipeline.score_samples(messages), scores)
    loaded = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(loaded.score_samples(messages), scores)
    tolerance = 1e-12 * np.abs(scores).max()
    order = np.random.RandomState(0).permutation(len(messages))
    shuffled = pipeline.score_samples([messages[row] for row in order])
    np.testing.assert_allclose(shuffled, scores[order], rtol=0, atol=tolerance)
    alone = [pipeline.score_samples([message])[0] for message in messages[:100]]
    np.testing.assert_allclose(alone, scores[:100], rtol=0, atol=tolerance)
