"""Likelihoods of columns: how they are named, chosen, said and kept."""

import copy
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

import skvae
from skvae import VAEDensityEstimator, VAEOutlierDetector
from skvae.datasets import fetch_sms_spam, make_messages

QUICK = {"max_iter": 3, "random_state": 0}


@pytest.fixture
def frame():
    """Rows of an integer code, a size, a yes or no, and a count."""
    rng = np.random.RandomState(0)
    return pd.DataFrame(
        {
            "kind": rng.choice([0, 2, 5], size=80),
            "size": rng.randn(80) * 10,
            "member": rng.randint(2, size=80),
            "visits": rng.poisson(3, size=80),
        }
    )


def said(estimator):
    return {name: columns.tolist() for name, columns in estimator.likelihood_.items()}


@pytest.mark.parametrize(
    "key",
    [
        [0, 3],
        np.array([3, 0]),
        [-4, -1],
        ["visits", "kind"],
        [True, False, False, True],
        np.array([True, False, False, True]),
        make_column_selector("kind|visits"),
        lambda X: ["kind", "visits"],
    ],
)
def test_columns_are_named_in_every_way_of_scikit_learn(key, frame):
    density = VAEDensityEstimator(likelihood={"categorical": key}, **QUICK).fit(frame)
    expected = {"categorical": [0, 3], "bernoulli": [2], "contaminated_gaussian": [1]}
    assert said(density) == expected
    scores = density.score_samples(frame)
    named = {"categorical": [0, 3]}
    by_index = VAEDensityEstimator(likelihood=named, **QUICK).fit(frame.to_numpy())
    np.testing.assert_array_equal(by_index.score_samples(frame.to_numpy()), scores)


@pytest.mark.parametrize("as_table", [np.asarray, np.ndarray.tolist, sp.csr_matrix, sp.csc_matrix])
def test_tables_without_names_take_indices_masks_and_slices(as_table, frame):
    X = as_table(frame.to_numpy(float))
    for key in ([0, 3], [True, False, False, True], slice(0, 4, 3), 0):
        density = VAEDensityEstimator(likelihood={"poisson": key}, **QUICK).fit(X)
        taken = [0] if isinstance(key, int) else [0, 3]
        assert said(density)["poisson"] == taken


def test_one_name_takes_one_column(frame):
    density = VAEDensityEstimator(likelihood={"poisson": "visits"}, **QUICK).fit(frame)
    assert said(density) == {"poisson": [3], "bernoulli": [2], "contaminated_gaussian": [0, 1]}


def test_likelihood_is_said_by_arrays_of_columns_or_by_one_name(frame):
    mixed = VAEDensityEstimator(**QUICK).fit(frame).likelihood_
    assert all(isinstance(columns, np.ndarray) for columns in mixed.values())
    assert VAEDensityEstimator(**QUICK).fit(frame[["member"]]).likelihood_ == "bernoulli"
    everything = {"gaussian": [0, 1, 2, 3]}
    assert VAEDensityEstimator(likelihood=everything, **QUICK).fit(frame).likelihood_ == "gaussian"


def test_auto_describes_a_table_column_by_column(frame):
    assert said(VAEDensityEstimator(**QUICK).fit(frame)) == {
        "bernoulli": [2],
        "contaminated_gaussian": [0, 1, 3],
    }


@pytest.mark.parametrize(
    ("likelihood", "message"),
    [
        ({"weibull": [0]}, "likelihood names 'weibull', which is none of bernoulli, categorical"),
        ({"auto": [0]}, "likelihood names 'auto'.* Columns without"),
        ({"poisson": [0], "gaussian": [1, 0]}, "column 0 to 'poisson' and to 'gaussian'. Name"),
        ({"poisson": [0, 0]}, "column 0 to 'poisson' twice"),
        ({"poisson": ["kind"], "categorical": ["kind"]}, "column 0 to 'poisson' and to 'categ"),
        ({"poisson": ["nothing"]}, "columns to 'poisson' that X does not have, .*nothing"),
        ({"poisson": [4]}, r"columns to 'poisson' that X does not have, .*\[0, 3\]"),
        ({"poisson": [True, False]}, "columns to 'poisson' that X does not have"),
    ],
)
@pytest.mark.parametrize("estimator", [VAEDensityEstimator, VAEOutlierDetector])
def test_wrong_columns_are_refused(estimator, likelihood, message, frame):
    with pytest.raises(ValueError, match=message):
        estimator(likelihood=likelihood, **QUICK).fit(frame)


def test_names_need_a_table_with_names(frame):
    with pytest.raises(ValueError, match="string"):
        VAEDensityEstimator(likelihood={"poisson": ["kind"]}, **QUICK).fit(frame.to_numpy())


def test_two_in_a_column_named_bernoulli_is_refused(frame):
    density = VAEDensityEstimator(likelihood={"bernoulli": ["member"]}, **QUICK).fit(frame)
    frame.loc[7, "member"] = 2
    for method in (density.score_samples, density.transform, density.partial_fit):
        with pytest.raises(ValueError, match=r"values in \[0, 1\]; column 2 has 2"):
            method(frame)


@pytest.mark.parametrize("likelihood", ["auto", {"poisson": ["visits"]}])
@pytest.mark.parametrize("other", [2, 0.5, -3])
def test_other_value_in_a_column_found_to_be_binary_is_as_an_unknown_code(likelihood, other, frame):
    detector = VAEOutlierDetector(likelihood=likelihood, **QUICK).fit(frame)
    detector.density_.set_params(n_refinement_steps=0)  # the same q(z|x) for both rows
    row = frame[:1].assign(member=float(other))
    unseen = frame[:1].assign(member=np.nan)
    explanation = detector.feature_contributions(row)
    assert explanation.contributions[0, 2] == pytest.approx(-np.log(len(frame) + 1))
    total = explanation.contributions.sum() + explanation.baseline + explanation.latent
    assert detector.score_samples(row) == pytest.approx(total)
    gap = detector.score_samples(row) - detector.score_samples(unseen)
    assert gap == pytest.approx(-np.log(len(frame) + 1))
    detector.density_.partial_fit(row)


def test_named_and_found_binary_columns_are_said_together(frame):
    frame = frame.assign(other=(frame["member"] + np.arange(len(frame))) % 2)
    density = VAEDensityEstimator(likelihood={"bernoulli": ["member"]}, **QUICK).fit(frame)
    assert density.likelihood_["bernoulli"].tolist() == [2, frame.shape[1] - 1]


def test_unknown_code_is_scored_and_negative_one_refused(frame):
    density = VAEDensityEstimator(likelihood={"categorical": ["kind"]}, **QUICK).fit(frame)
    known = density.score_samples(frame[:1])
    unknown = frame[:1].assign(kind=77)
    assert density.score_samples(unknown) < known
    with pytest.raises(ValueError, match="takes codes.* column 0 has -1"):
        density.score_samples(frame[:1].assign(kind=-1))


def test_missing_values_in_a_mixed_table(frame):
    holes = frame.astype(float).mask(np.random.RandomState(0).uniform(size=frame.shape) < 0.3)
    likelihood = {"categorical": ["kind"], "negative_binomial": ["visits"]}
    density = VAEDensityEstimator(likelihood=likelihood, **QUICK).fit(holes)
    assert said(density) == {
        "categorical": [0],
        "negative_binomial": [3],
        "bernoulli": [2],
        "contaminated_gaussian": [1],
    }
    nothing = frame[:1] * np.nan
    scores = density.score_samples(pd.concat([holes, nothing]))
    assert np.isfinite(scores).all()
    assert scores[-1] == 0


def test_parameter_survives_clone_pickle_and_set_params(frame):
    likelihood = {"categorical": ["kind"], "poisson": make_column_selector("visits")}
    density = VAEDensityEstimator(likelihood=likelihood, **QUICK)
    assert density.get_params()["likelihood"] is likelihood
    density.fit(frame)
    assert density.get_params()["likelihood"] is likelihood
    assert clone(density).get_params()["likelihood"]["categorical"] == ["kind"]
    scores = density.score_samples(frame)
    again = clone(density).fit(frame)
    for other in (again, pickle.loads(pickle.dumps(density))):
        np.testing.assert_array_equal(other.score_samples(frame), scores)
        assert said(other) == said(density)
    assert density.set_params(likelihood="gaussian").fit(frame).likelihood_ == "gaussian"


def test_selectors_go_on_with_the_columns_of_the_first_fit(frame):
    density = VAEDensityEstimator(
        likelihood={"poisson": make_column_selector("visits")}, warm_start=True, **QUICK
    ).fit(frame)
    assert density.fit(frame).n_iter_ == 6
    assert density.partial_fit(frame).n_iter_ == 7
    density.set_params(likelihood={"poisson": ["kind"]})
    with pytest.raises(ValueError, match="warm_start=False"):
        density.fit(frame)


@pytest.mark.parametrize("kind", [VAEDensityEstimator, VAEOutlierDetector])
def test_columns_of_a_type_stay_when_their_type_changes(kind, frame, tmp_path):
    frame = frame[["size", "visits"]]
    likelihood = {"poisson": make_column_selector(dtype_include="int64")}
    estimator = kind(likelihood=likelihood, warm_start=True, **QUICK).fit(frame)
    assert estimator.fit(frame).n_iter_ == 6
    assert estimator.fit(frame.astype(float)).n_iter_ == 9
    assert copy.deepcopy(estimator).fit(frame.astype(float)).n_iter_ == 12
    skvae.save(estimator.set_params(likelihood={"poisson": [1]}).fit(frame), tmp_path / "m")
    assert skvae.load(tmp_path / "m").fit(frame).n_iter_ == 15
    estimator.set_params(likelihood={})
    with pytest.raises(ValueError, match="warm_start=False"):
        estimator.fit(frame)


def test_chunks_go_on_with_the_columns_of_the_first_one(frame):
    likelihood = {"poisson": make_column_selector(dtype_include="int64")}
    density = VAEDensityEstimator(likelihood=likelihood, **QUICK).partial_fit(frame)
    assert density.partial_fit(frame.astype(float)).n_iter_ == 2


def test_detector_takes_a_dict(frame):
    likelihood = {"categorical": ["kind"], "poisson": ["visits"]}
    detector = VAEOutlierDetector(0.1, likelihood=likelihood, **QUICK).fit(frame)
    assert said(detector.density_)["categorical"] == [0]
    assert (detector.predict(frame) == -1).sum() == 8
    explanation = detector.feature_contributions(frame)
    total = explanation.contributions.sum(axis=1) + explanation.baseline + explanation.latent
    np.testing.assert_allclose(total, detector.score_samples(frame), atol=1e-9)
    with pytest.raises(ValueError, match="the likelihood of this one is mixed"):
        detector.set_params(outlier_score="log_odds").fit(frame)


def test_inverse_transform_and_samples_are_rows_of_the_table(frame):
    likelihood = {"categorical": ["kind"], "poisson": ["visits"]}
    density = VAEDensityEstimator(likelihood=likelihood, **QUICK).fit(frame)
    drawn = density.sample(200, random_state=0)
    assert set(np.unique(drawn[:, 0])) == {0.0, 2.0, 5.0}
    assert set(np.unique(drawn[:, 2])) == {0.0, 1.0}
    assert (drawn[:, 3] == drawn[:, 3].round()).all()
    decoded = density.inverse_transform(density.transform(frame))
    assert decoded.shape == frame.shape
    assert set(np.unique(decoded[:, 0])) <= {0.0, 2.0, 5.0}
    assert ((decoded[:, 2] > 0) & (decoded[:, 2] < 1)).all()


def test_bag_of_words_is_counts():
    messages, _ = make_messages(200, random_state=0)
    counts = CountVectorizer().fit_transform(messages)
    assert counts.max() > 1
    density = VAEDensityEstimator(**QUICK).fit(counts)
    assert density.likelihood_ == "negative_binomial"
    drawn = density.sample(50, random_state=0)
    assert drawn.format == "csr"
    assert drawn.nnz > 0
    assert (drawn.data == drawn.data.round()).all()
    assert VAEDensityEstimator(**QUICK).fit(counts.toarray()).likelihood_ == "negative_binomial"


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_an_integer_beside_zeros_and_ones_makes_no_table_of_counts(container):
    rng = np.random.RandomState(0)
    animals = rng.binomial(1, 0.3, size=(80, 9))
    animals[:, 4] = rng.choice([0, 2, 4, 6], size=80)  # legs
    density = VAEDensityEstimator(**QUICK).fit(container(animals.astype(float)))
    expected = {"bernoulli": [0, 1, 2, 3, 5, 6, 7, 8], "contaminated_gaussian": [4]}
    assert said(density) == expected


@pytest.mark.parametrize("likelihood", ["poisson", "multinomial", "negative_binomial"])
def test_bag_of_characters_of_raw_text(likelihood):
    messages, _ = make_messages(200, random_state=0)
    pipeline = make_pipeline(
        CountVectorizer(analyzer="char"), VAEOutlierDetector(0.1, likelihood=likelihood, **QUICK)
    )
    labels = pipeline.fit_predict(messages)
    assert (labels == -1).sum() == 20
    counts, detector = pipeline[0].transform(messages), pipeline[1]
    explanation = detector.feature_contributions(counts)
    np.testing.assert_array_equal(explanation.contributions.indices, counts.indices)
    np.testing.assert_array_equal(explanation.contributions.indptr, counts.indptr)
    total = np.asarray(explanation.contributions.sum(axis=1)).ravel()
    total += explanation.baseline + explanation.latent
    np.testing.assert_allclose(total, pipeline.score_samples(messages), atol=1e-9)
    length = detector.density_.sample(300, random_state=0).sum() / 300
    assert length == pytest.approx(counts.sum() / len(messages), rel=0.3)


def test_training_learns_more_of_characters_than_their_rates():
    messages, _ = make_messages(300, random_state=0)
    counts = CountVectorizer(analyzer="char").fit_transform(messages)
    start, trained = (
        VAEDensityEstimator(likelihood="poisson", max_iter=n, random_state=0)
        .fit(counts)
        .score(counts)
        for n in (1, 40)
    )
    assert trained > start + 1


@pytest.mark.shared_data
@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial", "multinomial"])
def test_real_messages_are_counts(likelihood, shared_data):
    messages, _ = fetch_sms_spam(path=shared_data / "SMSSpamCollection", return_X_y=True)
    counts = CountVectorizer(max_features=300).fit_transform(messages)
    density = VAEDensityEstimator(likelihood=likelihood, max_iter=2, random_state=0).fit(counts)
    assert re.fullmatch(likelihood, density.likelihood_)
    assert density.loss_curve_[1] < density.loss_curve_[0]
    assert np.isfinite(density.score_samples(counts)).all()
    empty = counts.getnnz(axis=1) == 0
    assert empty.any()
    assert ((density.score_samples(counts[empty]) == 0) == (likelihood == "multinomial")).all()
