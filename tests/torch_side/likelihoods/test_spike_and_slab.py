"""Real values, most of which are one and the same."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
import torch
from skeleton import AS_TABLE, LikelihoodTests, fitted, log_prob, random_outputs

from skvae import VAEDensityEstimator, VAEImputer
from skvae._torch.likelihoods import ContaminatedGaussian, SpikeAndSlab
from skvae._torch.likelihoods.spike_and_slab import middles, spiked_columns

SHARE, SPREAD = ContaminatedGaussian.SHARE, ContaminatedGaussian.SPREAD


def spike_width(likelihood):
    """Standard deviation of the spikes, in the table's units."""
    return likelihood.min_variance_.sqrt() * likelihood.scale_


def parts(likelihood, outputs):
    """Weight, mean and standard deviation of spike, slab and wide part, in the table's units."""
    own = torch.sigmoid(outputs[2]).numpy()
    spiked = likelihood.spike_share_.numpy()
    location, scale = likelihood.location_.numpy(), likelihood.scale_.numpy()
    deviation = np.sqrt(likelihood.variance(outputs).numpy()) * scale
    spread = likelihood.spread_.numpy() * scale
    return [
        ((1 - SHARE) * own + SHARE * spiked, likelihood.spike_.numpy(), spike_width(likelihood)),
        ((1 - SHARE) * (1 - own), outputs[0].numpy() * scale + location, deviation),
        (SHARE * (1 - spiked), location, spread),
    ]


def rain(rng, n_rows, share=0.7):
    """Columns with a value that a share of the rows has, 0 in the first and 3 in the second."""
    is_dry = rng.uniform(size=(n_rows, 2)) < share
    return np.where(is_dry, [0.0, 3.0], [5.0, -2.0] + rng.randn(n_rows, 2))


class TestSpikeAndSlab(LikelihoodTests):
    make = SpikeAndSlab

    def table(self):
        rng = np.random.RandomState(0)
        two_values = 4.0 * (np.arange(200) % 3 == 0)
        return np.column_stack([rain(rng, 200), rng.randn(200), two_values, np.full(200, 5.0)])

    def reference(self, likelihood, outputs, X):
        densities = [
            np.log(weight) + scipy.stats.norm(mean, deviation).logpdf(X)
            for weight, mean, deviation in parts(likelihood, outputs)
        ]
        return scipy.special.logsumexp(densities, axis=0)

    def variance(self, likelihood, outputs):
        (spiked, spike, _), *others = parts(likelihood, outputs)
        # A spike is drawn without its width.
        mean, square = spiked * spike, spiked * spike**2
        for weight, center, deviation in others:
            mean = mean + weight * center
            square = square + weight * (center**2 + deviation**2)
        return square - mean**2

    def two_groups(self, rng, second):
        dry = rng.uniform(size=(len(second), 2)) < np.where(second, 0.3, 0.9)[:, None]
        return np.where(dry, 0.0, np.where(second, 4.0, 8.0)[:, None] + rng.randn(len(second), 2))

    def test_integrates_to_one(self, X):
        likelihood, biases = fitted(SpikeAndSlab(), X[:, :1])
        support = np.linspace(-60, 60, 600_001)[:, None]
        outputs = [output.expand(len(support), 1) for output in random_outputs(biases, 1)]
        total = log_prob(likelihood, outputs, support).exp().sum() * 2e-4
        assert total.item() == pytest.approx(1, abs=1e-6)

    def test_starts_from_the_distributions_of_the_columns(self, X):
        likelihood, biases = fitted(SpikeAndSlab(), X)
        assert likelihood.spike_.tolist()[:2] == [0, 3]
        assert likelihood.spike_[4] == 5
        same = (likelihood.spike_.numpy() == X).sum(axis=0)
        np.testing.assert_allclose(torch.sigmoid(biases[2]), (same + 0.5) / 201)
        others = X[X[:, 1] != 3, 1]
        _, (_, mean, deviation), _ = parts(likelihood, biases)
        assert mean[1] == pytest.approx(others.mean(), abs=0.1)
        assert deviation[1] == pytest.approx(others.std(), rel=0.1)

    def test_spike_has_the_smallest_variance_in_units_of_the_column(self, X):
        likelihood = SpikeAndSlab()
        likelihood.set_min_variance(1e-4)
        fitted(likelihood, X)
        width, deviation = spike_width(likelihood), X.std(axis=0)
        np.testing.assert_allclose(width[:3], 0.01 * deviation[:3], rtol=0.1)
        assert width[3] == pytest.approx(4 / math.sqrt(12))  # of 0 and 4, which are rounded to it
        assert width[4] == pytest.approx(math.sqrt(1e-3))

    def test_encoder_reads_the_mean_of_the_column_for_a_missing_value(self, X):
        likelihood, _ = fitted(SpikeAndSlab(), X)
        rows = np.vstack([np.full(X.shape[1], np.nan), X.mean(axis=0)])
        missing, mean = likelihood.inputs(likelihood.prepare(torch.from_numpy(rows), torch.double))
        torch.testing.assert_close(missing[:4], mean[:4], atol=0.05, rtol=0)
        assert missing[4] == 0  # a constant

    @AS_TABLE
    def test_no_row_costs_more_than_contamination_for_being_at_the_spike(self, as_table, X):
        likelihood, biases = fitted(SpikeAndSlab(), X)
        outputs = [bias[None].clone() for bias in biases]
        row = as_table(likelihood.spike_[None].numpy())
        at_start = log_prob(likelihood, outputs, row)
        outputs[2] -= 1e6  # the network is sure that no value is at its spike
        most = -X.shape[1] * math.log(SHARE)
        assert at_start - log_prob(likelihood, outputs, row) <= most + 1e-9

    def test_scores_take_the_spike_for_half_as_narrow_on_a_logarithmic_scale(self, X):
        likelihood, _ = fitted(SpikeAndSlab(), X)
        width, scale = spike_width(likelihood).numpy(), likelihood.scale_.numpy()
        spike = likelihood.spike_.numpy()
        rows = spike + width * np.array([[0.0], [1.0], [50.0]])
        rows = np.r_[rows, np.full((1, len(spike)), np.nan)]
        x = likelihood.prepare(torch.from_numpy(rows), torch.float64)
        heights = likelihood.spike_heights(x).numpy()
        wider = np.sqrt(width * scale)
        lowered = scipy.stats.norm.logpdf(0, 0, width) - scipy.stats.norm.logpdf(0, 0, wider)
        assert (lowered[:3] > 1).all()
        lowered = lowered.clip(min=0)  # of two values the spike is as wide as the other one
        np.testing.assert_allclose(heights[0], lowered, rtol=1e-9)
        np.testing.assert_allclose(heights[1], lowered * math.exp(-0.5), rtol=1e-6)
        assert np.abs(heights[2:, :3]).max() < 1e-100
        assert (heights[3] == 0).all()

    def test_draws_the_spike_itself(self, X):
        likelihood, biases = fitted(SpikeAndSlab(), X)
        outputs = [output.expand(20_000, -1) for output in random_outputs(biases, 1)]
        drawn = likelihood.sample(outputs, torch.Generator().manual_seed(0)).numpy()
        (weight, spike, _), *_ = parts(likelihood, [output[:1] for output in outputs])
        found = (drawn == spike).mean(axis=0)
        np.testing.assert_allclose(found, weight[0], atol=4 * 0.5 / math.sqrt(20_000))


@AS_TABLE
def test_middle_of_a_column_is_what_most_of_its_values_are(as_table):
    X = np.array([[0, 2, 0, 7.0], [0, 2, -1, 7], [0, 5, 3, 7], [4, 2, 0, 7], [0, 1, 0, 7]])
    found = [(middle, n_same, others.tolist()) for middle, n_same, others in middles(as_table(X))]
    assert found == [(0, 4, [4]), (2, 3, [1, 5]), (0, 3, [-1, 3]), (7, 5, [])]


def test_middle_leaves_missing_values_and_explicit_zeros_out():
    X = np.array([[np.nan, np.nan], [2, np.nan], [2, np.nan], [9, np.nan]])
    assert [(middle, n_same) for middle, n_same, _ in middles(X)] == [(2, 2), (0, 0)]
    stored = sp.csr_matrix(np.ones((3, 1)))
    stored.data[:2] = 0
    ((middle, n_same, others),) = middles(stored)
    assert (middle, n_same, others.tolist()) == (0, 2, [1])


@AS_TABLE
@pytest.mark.parametrize(
    ("n_same", "expected"), [(50, False), (51, True), (98, True), (99, False), (100, False)]
)
def test_spiked_are_columns_with_others_than_one_value_and_contamination(
    as_table, n_same, expected
):
    column = np.arange(100.0)
    column[:n_same] = 0
    assert spiked_columns(as_table(column[:, None])).tolist() == [expected]


def test_no_scale_follows_a_far_value():
    X = rain(np.random.RandomState(0), 1000) * [100, 1]
    far = X.copy()
    far[np.flatnonzero(X[:, 0])[:2], 0] = 1e6
    near, further = (fitted(SpikeAndSlab(), rows)[0] for rows in (X, far))
    for name in ("location_", "scale_", "min_variance_"):
        np.testing.assert_allclose(getattr(further, name), getattr(near, name), rtol=0.05)
    assert near.spread_.tolist() == [SPREAD, SPREAD]
    assert further.spread_[0] > 50 * SPREAD


@pytest.mark.parametrize("values", [(0, 1), (1, 2), (-5, 20), (0.3, 0.1)])
def test_two_values_are_as_probable_as_zero_and_one(values):
    most, other = values
    X = np.where(np.arange(300) % 3 > 0, most, other)[:, None]
    likelihood, biases = fitted(SpikeAndSlab(), X)
    for share in (0.05, 0.5, 0.9):
        outputs = [bias[None] for bias in biases]
        outputs[2] = torch.logit(torch.full((1, 1), share, dtype=torch.float64))
        contaminated = (1 - SHARE) * share + SHARE * 2 / 3
        at_most, at_other = (
            log_prob(likelihood, outputs, np.full((1, 1), float(x))).item() for x in values
        )
        expected = scipy.special.logit(contaminated)
        assert at_most - at_other == pytest.approx(expected, abs=0.15)


def test_slab_is_no_finer_than_a_tenth_of_the_column():
    X = np.where(np.arange(1000) % 3 > 0, 0, 1000 + np.random.RandomState(0).randn(1000))[:, None]
    likelihood, _ = fitted(SpikeAndSlab(), X)
    assert likelihood.scale_.item() == pytest.approx(0.1 * X.std(), rel=0.01)


@pytest.mark.parametrize("second", [0.1 + 0.2, np.nan])
def test_column_without_a_spread_is_constant(second):
    X = np.where(np.arange(100) % 3 > 0, 0.3, second)[:, None]
    likelihood, _ = fitted(SpikeAndSlab(), X)
    assert likelihood.min_variance_ == 1
    assert spike_width(likelihood).item() == pytest.approx(math.sqrt(1e-3))


@pytest.mark.parametrize(("second", "step"), [(0.3 + 1e-9, 1e-9), (0.1 + 0.2, 0)])
def test_spike_has_a_width_where_others_are_near_it_or_far(second, step):
    X = np.where(np.arange(1000) % 3 > 0, 0.3, second)[:, None]
    X[[3, 6]] = 1e6
    likelihood, _ = fitted(SpikeAndSlab(), X)
    least = 1e-6 * X.std()
    width = max(math.sqrt(1e-3) * least, step / math.sqrt(12))
    assert spike_width(likelihood).item() == pytest.approx(width)
    assert likelihood.scale_.item() == pytest.approx(SpikeAndSlab.MIN_SLAB_SCALE * least)


def test_recovers_the_density_of_columns_with_a_value_that_most_rows_have():
    rng = np.random.RandomState(0)
    X, rows = rain(rng, 2000), rain(rng, 2000)
    density = VAEDensityEstimator(max_iter=60, random_state=0).fit(X)
    assert density.likelihood_ == "spike_and_slab"
    # The true density, with spikes as wide as the model has them.
    width = 0.01 * X.std(axis=0)
    spike = np.log(0.7) + scipy.stats.norm([0, 3], width).logpdf(rows)
    slab = np.log(0.3) + scipy.stats.norm([5, -2], 1).logpdf(rows)
    expected = np.logaddexp(spike, slab).sum(axis=1).mean()
    assert density.score(rows) == pytest.approx(expected, abs=0.1)
    before = VAEDensityEstimator(
        likelihood="contaminated_gaussian", max_iter=60, random_state=0
    ).fit(X)
    assert density.score(rows) > before.score(rows) + 1


def test_imputer_tells_from_others_whether_a_value_is_the_spike():
    rng = np.random.RandomState(0)
    weather = rng.randn(1200, 1)
    signs = weather + 0.3 * rng.randn(1200, 3)
    amounts = np.where(weather > 0.7, np.exp(0.3 * rng.randn(1200, 1)) + 2, 0)
    X = np.hstack([signs, amounts])
    holes = X.copy()
    missing = rng.uniform(size=1200) < 0.3
    holes[missing, 3] = np.nan
    errors = {}
    for likelihood in ("auto", "contaminated_gaussian"):
        imputer = VAEImputer(likelihood=likelihood, max_iter=60, random_state=0)
        found = imputer.fit_transform(holes)[missing, 3]
        errors[likelihood] = np.mean((found - X[missing, 3]) ** 2)
    assert errors["auto"] < 0.3 * X[:, 3].var()
    assert errors["auto"] < errors["contaminated_gaussian"]


def test_samples_of_a_sparse_table_are_sparse():
    X = sp.csr_matrix(rain(np.random.RandomState(0), 400, 0.8)[:, :1])
    density = VAEDensityEstimator(max_iter=20, random_state=0).fit(X)
    drawn = density.sample(500, random_state=0)
    assert sp.issparse(drawn)
    assert drawn.nnz / 500 == pytest.approx(0.2, abs=0.08)


def test_contaminated_values_are_spikes_as_often_as_in_training_and_have_the_mean_of_all():
    rng = np.random.RandomState(0)
    likelihood = SpikeAndSlab()
    likelihood.start(np.where(rng.rand(500, 1) < 0.7, 0.0, rng.randn(500, 1) + 5))
    likelihood.share = 1.0
    zero = torch.zeros(4000, 1, dtype=torch.float64)
    outputs = [zero, zero, zero - 9]  # of itself no value is a spike
    share = likelihood.spike_share_.item()
    drawn = likelihood.sample(outputs, torch.Generator().manual_seed(0))
    assert (drawn == 0).double().mean().item() == pytest.approx(share, abs=0.04)
    expected = (1 - share) * likelihood.location_.item()
    assert likelihood.mean(outputs)[0].item() == pytest.approx(expected, rel=1e-6)
