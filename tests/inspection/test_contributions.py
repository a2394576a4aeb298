"""The features behind a score, as names and drawn."""

import pickle
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from displays import SMALL, X, legend_labels
from matplotlib.colors import to_rgba
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.feature_selection import VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler
from sklearn.utils import Bunch

from skvae import VAEOutlierDetector
from skvae.inspection import ContributionsDisplay, top_contributions
from skvae.text import StyleAnalyzer, WordTokenizer

# -- top_contributions -----------------------------------------------------------------------------

DENSE = np.array([[-1.0, 2.0, -3.0, 0.0], [5.0, -0.5, 4.0, 6.0]])
NAMES = ["win", "the", "prize", "a"]


def test_lowest_contributions_come_first():
    assert top_contributions(Bunch(contributions=DENSE), n_features=2) == [
        [(2, -3.0), (0, -1.0)],
        [(1, -0.5), (2, 4.0)],
    ]


def test_features_are_named():
    assert top_contributions(Bunch(contributions=DENSE), NAMES, n_features=1) == [
        [("prize", -3.0)],
        [("the", -0.5)],
    ]


@pytest.mark.parametrize(
    "names",
    [NAMES, tuple(NAMES), np.array(NAMES), np.array(NAMES, dtype=object)],
    ids=["list", "tuple", "array of str", "array of objects"],
)
def test_names_come_in_any_kind_of_sequence(names):
    tops = top_contributions(Bunch(contributions=DENSE), names, n_features=1)
    assert tops == [[("prize", -3.0)], [("the", -0.5)]]
    assert type(tops[0][0][0]) is str


@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csr_array])
def test_of_sparse_rows_only_stored_features_are_named(make):
    contributions = make(
        (np.array([1.0, -2.0, 0.0]), np.array([0, 3, 1]), np.array([0, 2, 2, 3])), shape=(3, 4)
    )
    assert top_contributions(Bunch(contributions=contributions), NAMES) == [
        [("a", -2.0), ("win", 1.0)],
        [],
        [("the", 0.0)],
    ]


def test_indices_of_sparse_rows_are_columns():
    contributions = sp.csr_matrix([[0.0, 0.0, -1.0, -2.0]])
    assert top_contributions(Bunch(contributions=contributions)) == [[(3, -2.0), (2, -1.0)]]


def test_asking_for_more_features_than_there_are_gives_all():
    tops = top_contributions(Bunch(contributions=DENSE), n_features=100)
    assert [len(row) for row in tops] == [4, 4]
    assert [value for _, value in tops[0]] == sorted(DENSE[0])


@pytest.mark.parametrize("n_features", [-1, 2.5])
def test_no_less_than_no_features_can_be_named(n_features):
    with pytest.raises(ValueError, match="n_features must be an integer of at least 0"):
        top_contributions(Bunch(contributions=DENSE), n_features=n_features)
    with pytest.raises(ValueError, match="top_k must be an integer of at least 0"):
        ContributionsDisplay([1.0], ["a"]).plot(top_k=n_features)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("n_names", [3, 5])
def test_names_must_be_as_many_as_the_features(n_names):
    with pytest.raises(ValueError, match=f"Got {n_names} names for 4 features"):
        top_contributions(Bunch(contributions=DENSE), ["name"] * n_names)


def test_default_is_five_features():
    tops = top_contributions(Bunch(contributions=np.zeros((1, 9))))
    assert tops == [[(column, 0.0) for column in range(5)]]


def test_values_and_indices_are_plain_numbers():
    ((name, value),) = top_contributions(Bunch(contributions=DENSE[:1]), n_features=1)[0]
    assert type(name) is int
    assert type(value) is float


def test_contributions_of_a_detector_are_named_by_its_vectorizer():
    messages = ["win a prize now", "see you later", "see you now"] * 5
    vectorizer = CountVectorizer(binary=True)
    words = vectorizer.fit_transform(messages)
    detector = VAEOutlierDetector(**SMALL).fit(words)
    explanation = detector.feature_contributions(words[:2])
    tops = top_contributions(explanation, vectorizer.get_feature_names_out(), n_features=3)
    assert {name for name, _ in tops[0]} == {"win", "prize", "now"}
    assert {name for name, _ in tops[1]} == {"see", "you", "later"}
    assert tops[0] == sorted(tops[0], key=lambda pair: pair[1])


def test_contributions_of_dense_rows_are_named_by_column(detector):
    explanation = detector.feature_contributions(X[:3])
    tops = top_contributions(explanation, n_features=1)
    lowest = explanation.contributions.argmin(axis=1)
    assert [row[0][0] for row in tops] == lowest.tolist()


# -- contributions of one row: bars ----------------------------------------------------------------


def bar_labels(display):
    return [label.get_text() for label in display.ax_.get_yticklabels()]


def widths(display):
    return [bar.get_width() for bar in display.bars_]


def is_red(color):
    return color[0] > color[2]


def is_blue(color):
    return color[2] > color[0]


def test_bars_are_the_lowest_contributions_with_the_lowest_on_top():
    display = ContributionsDisplay([1.0, -3.0, 2.0, -1.0], ["a", "b", "c", "d"]).plot(top_k=3)
    assert bar_labels(display) == ["b", "d", "a"]
    assert widths(display) == [-3.0, -1.0, 1.0]
    heights = [display.ax_.transData.transform((0, bar.get_y()))[1] for bar in display.bars_]
    assert heights == sorted(heights, reverse=True)
    assert display.ax_.get_xlabel() == "nats; below 0 speaks for an outlier"
    assert display.text_ is None


def test_bars_are_red_for_an_outlier_and_blue_for_a_normal_row_the_darker_the_more():
    display = ContributionsDisplay([-4.0, -1.0, 1.0, 4.0], list("abcd")).plot()
    first, second, third, last = (bar.get_facecolor() for bar in display.bars_)
    assert is_red(first)
    assert is_red(second)
    assert is_blue(third)
    assert is_blue(last)
    assert sum(first) < sum(second)
    assert sum(last) < sum(third)


def test_bars_name_the_cells():
    display = ContributionsDisplay(
        [-4.0, -3.0, -2.0, -1.0],
        ["amount", "age", "city", "paid"],
        [1234.5678, np.float32(41), "Rome", None],
    ).plot()
    assert bar_labels(display) == ["amount = 1.23e+03", "age = 41", "city = Rome", "paid = None"]


def test_names_and_cells_of_a_series_go_by_their_places():
    cells = pd.Series([1234.5, "Rome", 3.5], index=[2, 0, 1])
    names = pd.Series(["a", "b", "c"], index=["x", "y", "z"])
    for values in (cells, cells.tolist()):
        display = ContributionsDisplay([-3.0, -2.0, -1.0], names, values).plot()
        assert bar_labels(display) == ["a = 1.23e+03", "b = Rome", "c = 3.5"]


def test_dollars_in_names_are_no_mathematics():
    display = ContributionsDisplay([-1.0], ["$x_1$"], ["$\\bad$"]).plot()
    display.figure_.canvas.draw()
    assert bar_labels(display) == ["$x_1$ = $\\bad$"]
    assert not display.ax_.get_yticklabels()[0].get_parse_math()


def test_contributions_of_zero_are_white():
    display = ContributionsDisplay([0.0, 0.0], ["a", "b"]).plot()
    np.testing.assert_allclose([bar.get_facecolor() for bar in display.bars_], 1, atol=0.05)


def test_default_is_ten_bars():
    assert len(ContributionsDisplay(np.arange(12.0), np.arange(12)).plot().bars_) == 10


def test_bars_of_a_row_are_its_contributions(detector):
    display = ContributionsDisplay.from_estimator(detector, X[3:4], top_k=4)
    (expected,) = top_contributions(detector.feature_contributions(X[3:4]), n_features=4)
    assert widths(display) == [value for _, value in expected]
    assert bar_labels(display) == [f"x{name} = {X[3, name]:.3g}" for name, _ in expected]
    assert display.figure_ is display.ax_.figure


def test_bars_of_a_data_frame_have_the_names_of_its_columns():
    frame = pd.DataFrame(X, columns=list("abcde"))
    detector = VAEOutlierDetector(**SMALL).fit(frame)
    row = frame.iloc[[7]]
    display = ContributionsDisplay.from_estimator(detector, row)
    (expected,) = top_contributions(detector.feature_contributions(row), list("abcde"))
    assert bar_labels(display) == [f"{name} = {row.at[7, name]:.3g}" for name, _ in expected]


def test_given_names_are_used(detector):
    names = ["v", "w", "x", "y", "z"]
    display = ContributionsDisplay.from_estimator(detector, X[:1], feature_names=names)
    assert sorted(label[0] for label in bar_labels(display)) == names


def test_bars_of_a_sparse_row_are_its_stored_features():
    rows = sp.random(40, 6, 0.4, format="csr", random_state=0)
    detector = VAEOutlierDetector(**SMALL).fit(rows)
    row = rows[[5]]
    assert 1 < row.nnz < 6
    for kind in (sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array):
        display = ContributionsDisplay.from_estimator(detector, kind(row))
        explanation = detector.feature_contributions(row)
        (expected,) = top_contributions(explanation, n_features=6)
        assert bar_labels(display) == [f"x{name} = {row[0, name]:.3g}" for name, _ in expected]
        assert widths(display) == [value for _, value in expected]


def test_a_row_without_stored_features_has_no_bars():
    rows = sp.random(40, 6, 0.4, format="csr", random_state=0)
    detector = VAEOutlierDetector(**SMALL).fit(rows)
    display = ContributionsDisplay.from_estimator(detector, sp.csr_matrix((1, 6)))
    assert len(display.bars_) == 0


def test_pipeline_shows_the_table_that_its_detector_sees():
    pipeline = make_pipeline(StandardScaler(), VAEOutlierDetector(**SMALL))
    pipeline.fit(pd.DataFrame(X, columns=list("abcde")))
    row = pd.DataFrame(X[:1], columns=list("abcde"))
    display = ContributionsDisplay.from_estimator(pipeline, row)
    scaled = dict(zip("abcde", pipeline[:-1].transform(row)[0], strict=True))
    assert {label[0] for label in bar_labels(display)} == set("abcde")
    assert all(label == f"{label[0]} = {scaled[label[0]]:.3g}" for label in bar_labels(display))


def test_pipeline_of_a_detector_alone_is_explained_like_the_detector():
    pipeline = make_pipeline(VAEOutlierDetector(**SMALL)).fit(X)
    display = ContributionsDisplay.from_estimator(pipeline, X[:1])
    alone = ContributionsDisplay.from_estimator(pipeline[-1], X[:1])
    assert bar_labels(display) == bar_labels(alone)


def test_contributions_are_drawn_on_given_axes(detector):
    figure, (left, right) = plt.subplots(1, 2)
    bars = ContributionsDisplay.from_estimator(detector, X[:1], ax=left)
    words = ContributionsDisplay([], [], words=[("win", -1.0)]).plot(ax=right)
    assert bars.ax_ is left
    assert words.ax_ is right
    assert bars.figure_ is words.figure_ is figure
    assert plt.get_fignums() == [figure.number]


# -- contributions of one row: words ---------------------------------------------------------------

MESSAGES = ["win a prize now", "see you later", "see you now", "a prize of $9 for you"] * 5


def fitted(**settings):
    vectorizer = CountVectorizer(binary=True, token_pattern=r"\w+", **settings)
    return make_pipeline(vectorizer, VAEOutlierDetector(**SMALL)).fit(MESSAGES)


@pytest.fixture(scope="module")
def pipeline():
    return fitted()


def faces(display):
    return [text.get_bbox_patch().get_facecolor() for text in display.text_]


def shown(display):
    return [text.get_text() for text in display.text_]


def test_words_of_a_message_have_the_contributions_of_their_features(pipeline):
    message = "WIN £1000, you  see: WIN now!"
    display = ContributionsDisplay.from_estimator(pipeline, [message])
    assert shown(display) == ["WIN", "£1000,", "you", "see:", "WIN", "now!"]
    explanation = pipeline[-1].feature_contributions(pipeline[:-1].transform([message]))
    (tops,) = top_contributions(explanation, pipeline[:-1].get_feature_names_out())
    contribution = dict(tops)
    expected = [contribution[word] for word in ("win", "you", "see", "win", "now")]
    drawn = [value for _, value in display.words]
    assert drawn[:1] + drawn[2:] == expected
    assert np.isnan(drawn[1])
    assert display.bars_ is None


def test_words_of_a_union_are_known_by_what_follows_the_name_of_its_part(pipeline):
    union = make_union(pipeline[0], CountVectorizer(binary=True, analyzer=StyleAnalyzer()))
    both = make_pipeline(union, VAEOutlierDetector(**SMALL)).fit(MESSAGES)
    message = "Win £1000 now"
    words, of_words = (
        ContributionsDisplay.from_estimator(model, [message], text=message, analyzer=analyzer).words
        for model in (both, pipeline)
        for analyzer in [pipeline[0].build_analyzer()]
    )
    assert [word for word, _ in words] == message.split()
    assert [np.isnan(value) for _, value in words] == [np.isnan(value) for _, value in of_words]
    explanation = both[-1].feature_contributions(both[:-1].transform([message]))
    (tops,) = top_contributions(explanation, both[:-1].get_feature_names_out(), n_features=99)
    assert words[0][1] == dict(tops)["countvectorizer-1__win"]


def test_a_word_that_several_parts_of_a_union_have_adds_them_up():
    parts = [("once", CountVectorizer(binary=True)), ("twice", CountVectorizer(binary=True))]
    model = make_pipeline(FeatureUnion(parts), VAEOutlierDetector(**SMALL)).fit(MESSAGES)
    message = "Win £1000 now"
    (win, *_) = ContributionsDisplay.from_estimator(
        model, [message], text=message, analyzer=parts[0][1].build_analyzer()
    ).words
    explanation = model[-1].feature_contributions(model[:-1].transform([message]))
    (tops,) = top_contributions(explanation, model[:-1].get_feature_names_out(), n_features=99)
    of_feature = dict(tops)
    assert win == ("Win", pytest.approx(of_feature["once__win"] + of_feature["twice__win"]))


def test_words_are_red_for_an_outlier_blue_for_a_normal_row_and_grey_if_unknown():
    words = [("win", -4.0), ("prize", -1.0), ("so", 0.0), ("a", 2.0), ("kqz", np.nan)]
    display = ContributionsDisplay([], [], words=words).plot()
    assert shown(display) == ["win", "prize", "so", "a", "kqz"]
    win, prize, so, a, unknown = faces(display)
    assert is_red(win)
    assert is_red(prize)
    assert sum(win) < sum(prize)
    np.testing.assert_allclose(so, 1, atol=0.05)
    assert is_blue(a)
    assert unknown[0] == unknown[1] == unknown[2] < 0.9


def test_words_can_be_read_on_their_background():
    words = [("win", -4.0), ("a", 0.1), ("the", 4.0), ("kqz", np.nan)]
    display = ContributionsDisplay([], [], words=words).plot()
    for text, face in zip(display.text_, faces(display), strict=True):
        contrast = np.subtract(to_rgba(text.get_color())[:3], face[:3]) @ [0.299, 0.587, 0.114]
        assert abs(contrast) > 0.5


def test_colour_bar_goes_as_far_as_the_words_on_both_sides():
    display = ContributionsDisplay([], [], words=[("win", -4.0), ("a", 1.0)]).plot()
    ax, bar = display.figure_.axes
    assert ax is display.ax_
    assert bar.get_ylim() == (-4.0, 4.0)
    assert bar.get_ylabel() == "nats; below 0 speaks for an outlier"


def test_grey_has_an_entry_in_the_legend_where_there_is_any():
    known = ContributionsDisplay([], [], words=[("win", -4.0)]).plot()
    unknown = ContributionsDisplay([], [], words=[("win", -4.0), ("kqz", np.nan)]).plot()
    assert known.ax_.get_legend() is None
    assert legend_labels(unknown.ax_) == ["not in the vocabulary"]
    (patch,) = unknown.ax_.get_legend().get_patches()
    assert patch.get_facecolor() == faces(unknown)[1]


def test_message_of_unknown_words_is_grey(pipeline):
    display = ContributionsDisplay.from_estimator(pipeline, ["qqq zzz"])
    assert shown(display) == ["qqq", "zzz"]
    assert all(np.isnan(value) for _, value in display.words)
    assert faces(display)[0] == faces(display)[1]


def test_empty_message_has_no_words(pipeline):
    display = ContributionsDisplay.from_estimator(pipeline, [""])
    display.figure_.canvas.draw()
    assert display.text_ == []


def test_word_of_several_features_has_their_sum(pipeline):
    display = ContributionsDisplay.from_estimator(pipeline, ["win/prize/win win prize"])
    (_, together), (_, win), (_, prize) = display.words
    assert together == pytest.approx(win + prize)


def test_word_in_the_vocabulary_that_the_row_lacks_contributes_nothing(pipeline):
    words = pipeline[:-1].transform(["win"])
    display = ContributionsDisplay.from_estimator(
        pipeline[-1],
        words,
        feature_names=pipeline[:-1].get_feature_names_out(),
        text="win prize kqz",
        analyzer=pipeline[0].build_analyzer(),
    )
    (_, win), (_, prize), (_, unknown) = display.words
    assert win != 0.0
    assert prize == 0.0
    assert np.isnan(unknown)


def test_stems_and_markers_colour_the_words_they_come_from():
    tokenizer = WordTokenizer("stem", markers=True)
    messages = ["Winning £100 is easy!", "We were winning", "easily does it!"] * 5
    vectorizer = CountVectorizer(tokenizer=tokenizer, token_pattern=None, binary=True)
    pipeline = make_pipeline(vectorizer, VAEOutlierDetector(**SMALL)).fit(messages)
    display = ContributionsDisplay.from_estimator(pipeline, ["Wins £5 easily!"])
    assert shown(display) == ["Wins", "£5", "easily!"]
    explanation = pipeline[-1].feature_contributions(pipeline[:-1].transform(["Wins £5 easily!"]))
    (tops,) = top_contributions(explanation, pipeline[:-1].get_feature_names_out())
    of = dict(tops)
    expected = [of["win"], of["<currency>"], of["easili"] + of["<exclamation>"]]
    assert [value for _, value in display.words] == pytest.approx(expected)


def test_features_that_span_words_are_among_the_bars_only():
    pipeline = fitted(ngram_range=(1, 2))
    words = ContributionsDisplay.from_estimator(pipeline, ["win a prize"])
    bars = ContributionsDisplay.from_estimator(pipeline, ["win a prize"], kind="bars")
    of = {
        label.removesuffix(" = 1"): width
        for label, width in zip(bar_labels(bars), widths(bars), strict=True)
    }
    assert set(of) == {"win", "a", "prize", "win a", "a prize"}
    assert [value for _, value in words.words] == [of["win"], of["a"], of["prize"]]


def test_columns_that_are_no_words_have_bars():
    pipeline = make_pipeline(
        CountVectorizer(), TruncatedSVD(3, random_state=0), VAEOutlierDetector(**SMALL)
    ).fit(MESSAGES)
    display = ContributionsDisplay.from_estimator(pipeline, MESSAGES[:1])
    assert display.words is None
    assert display.feature_names.tolist() == ["truncatedsvd0", "truncatedsvd1", "truncatedsvd2"]


def test_a_frozen_pipeline_is_explained_as_the_pipeline(pipeline):
    display = ContributionsDisplay.from_estimator(FrozenEstimator(pipeline), MESSAGES[:1])
    expected = ContributionsDisplay.from_estimator(pipeline, MESSAGES[:1])
    assert display.words == expected.words


def test_vocabulary_is_that_of_the_features_left_by_the_pipeline():
    pipeline = make_pipeline(
        CountVectorizer(binary=True), VarianceThreshold(0.2), VAEOutlierDetector(**SMALL)
    ).fit(MESSAGES)
    left = set(pipeline[:-1].get_feature_names_out())
    assert "see" in left
    assert "win" not in left
    display = ContributionsDisplay.from_estimator(pipeline, ["win see"])
    assert [np.isnan(value) for _, value in display.words] == [True, False]


@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda texts: pd.Series(texts, index=[9])])
def test_message_comes_in_any_container(pipeline, kind):
    display = ContributionsDisplay.from_estimator(pipeline, kind(["see you"]))
    assert shown(display) == ["see", "you"]


def test_bars_of_a_message_are_its_words(pipeline):
    display = ContributionsDisplay.from_estimator(pipeline, ["see you, see"], kind="bars", top_k=9)
    assert sorted(bar_labels(display)) == ["see = 1", "you = 1"]
    assert display.text_ is None


def test_text_can_be_given_to_a_pipeline_that_takes_something_else(pipeline):
    class Row(FunctionTransformer):
        def build_analyzer(self):
            return pipeline[0].build_analyzer()

    rows = pipeline[:-1].transform(MESSAGES)
    other = make_pipeline(Row(), VAEOutlierDetector(**SMALL)).fit(rows)
    display = ContributionsDisplay.from_estimator(
        other,
        rows[:1],
        text="win a prize now",
        feature_names=pipeline[:-1].get_feature_names_out(),
    )
    assert shown(display) == ["win", "a", "prize", "now"]
    assert not np.isnan([value for _, value in display.words]).any()


def extents(display):
    display.figure_.canvas.draw()
    return [text.get_bbox_patch().get_window_extent() for text in display.text_]


def assert_laid_out(display):
    """The words follow one another in lines, none over another, all inside the axes."""
    boxes = extents(display)
    inside = display.ax_.get_window_extent()
    for box in boxes:
        assert inside.x0 - 1 <= box.x0 < box.x1 <= inside.x1 + 1
        assert inside.y0 - 1 <= box.y0 < box.y1 <= inside.y1 + 1
    lines = 1
    for before, after in pairwise(boxes):
        if after.y1 <= before.y0 + 1:
            lines += 1
            assert after.x0 == pytest.approx(boxes[0].x0, abs=1)
        else:
            assert after.y0 == pytest.approx(before.y0, abs=1)
            assert after.x0 >= before.x1
    return lines


def lorem(n_words):
    rng = np.random.RandomState(0)
    return [("w" * length, -1.0) for length in rng.randint(1, 12, n_words)]


@pytest.mark.parametrize("n_words", [1, 5, 60])
@pytest.mark.parametrize("figsize", [(6.4, 4.8), (3, 2), (10, 2)])
@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
def test_messages_wrap_inside_the_axes(n_words, figsize, layout):
    _, ax = plt.subplots(figsize=figsize, layout=layout)
    words = [*lorem(n_words), ("kqz", np.nan)]
    display = ContributionsDisplay([], [], words=words).plot(ax=ax)
    assert assert_laid_out(display) > 1 or n_words < 60


def test_words_wrap_anew_where_the_figure_changes_its_size():
    display = ContributionsDisplay([], [], words=lorem(40)).plot()
    before = assert_laid_out(display)
    display.figure_.set_size_inches(3.2, 4.8)
    narrow = assert_laid_out(display)
    display.figure_.set_size_inches(6.4, 4.8)
    assert before < narrow
    assert assert_laid_out(display) == before


def test_words_are_laid_out_for_the_resolution_of_a_file(tmp_path):
    display = ContributionsDisplay([], [], words=lorem(40)).plot()
    before = [text.get_position() for text in display.text_]
    display.figure_.savefig(tmp_path / "words.png", dpi=300)
    display.figure_.savefig(tmp_path / "words.pdf")
    assert [text.get_position() for text in display.text_] != before
    assert_laid_out(display)


def test_short_messages_have_the_usual_size_of_letters_and_long_ones_a_smaller():
    short = ContributionsDisplay([], [], words=lorem(5)).plot()
    long = ContributionsDisplay([], [], words=lorem(400)).plot()
    for display in (short, long):
        display.figure_.canvas.draw()
    usual = plt.rcParams["font.size"]
    assert {text.get_fontsize() for text in short.text_} == {usual}
    (smaller,) = {text.get_fontsize() for text in long.text_}
    assert 1 < smaller < usual
    assert assert_laid_out(long) > 10


def test_word_longer_than_a_line_is_inside_the_axes():
    display = ContributionsDisplay([], [], words=[("a", 1.0), ("x" * 150, -1.0), ("b", 1.0)]).plot()
    assert_laid_out(display)


def test_dollars_in_words_are_no_mathematics(pipeline):
    display = ContributionsDisplay.from_estimator(pipeline, ["$1_0$ or $\\bad$ for $9"])
    assert_laid_out(display)
    assert shown(display) == ["$1_0$", "or", "$\\bad$", "for", "$9"]


def test_drawing_again_moves_nothing_and_leaves_nothing_to_draw():
    display = ContributionsDisplay([], [], words=lorem(40)).plot()
    display.figure_.canvas.draw()
    before = [text.get_position() for text in display.text_]
    display.figure_.canvas.draw()
    assert [text.get_position() for text in display.text_] == before
    assert not display.figure_.stale


def test_figure_of_words_can_be_pickled():
    display = ContributionsDisplay([], [], words=lorem(40)).plot()
    again = pickle.loads(pickle.dumps(display))
    assert assert_laid_out(again) == assert_laid_out(display)


# -- contributions of one row: refusals ------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [2, 40])
def test_several_rows_are_refused(detector, n_rows):
    with pytest.raises(ValueError, match=f"X must be one row, got {n_rows}"):
        ContributionsDisplay.from_estimator(detector, X[:n_rows])
    assert plt.get_fignums() == []


def test_bars_of_a_pipeline_without_names_are_numbered():
    messages = ["win a prize", "see you at home", "call now to win"]
    hashing = HashingVectorizer(n_features=16, binary=True, norm=None, alternate_sign=False)
    # Of steps that learn nothing alone, older versions of scikit-learn say that they are unfitted.
    steps = hashing, MaxAbsScaler(), VAEOutlierDetector(**SMALL)
    display = ContributionsDisplay.from_estimator(make_pipeline(*steps).fit(messages), messages[:1])
    assert set(display.feature_names) <= {f"x{column}" for column in range(16)}
    assert display.words is None
    named = ContributionsDisplay.from_estimator(
        make_pipeline(*steps).fit(messages), messages[:1], feature_names=[*map(str, range(16))]
    )
    np.testing.assert_array_equal(named.contributions, display.contributions)


def test_several_messages_are_refused(pipeline):
    with pytest.raises(ValueError, match="X must be one row, got 2"):
        ContributionsDisplay.from_estimator(pipeline, ["win", "prize"])
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        ContributionsDisplay.from_estimator(pipeline, [])


def test_a_message_outside_a_list_is_refused(pipeline):
    with pytest.raises(ValueError, match="string object received"):
        ContributionsDisplay.from_estimator(pipeline, "win a prize")


def test_row_of_one_dimension_is_refused(detector):
    with pytest.raises(ValueError, match="Expected 2D array"):
        ContributionsDisplay.from_estimator(detector, X[0])


@pytest.mark.parametrize(
    "estimator",
    [IsolationForest(), make_pipeline(StandardScaler(), IsolationForest()), StandardScaler()],
    ids=["detector", "pipeline", "transformer"],
)
def test_what_has_no_contributions_is_refused(estimator):
    with pytest.raises(TypeError, match="detector with feature_contributions"):
        ContributionsDisplay.from_estimator(estimator.fit(X), X[:1])


@pytest.mark.parametrize("estimator", [VAEOutlierDetector(), make_pipeline(VAEOutlierDetector())])
def test_contributions_of_an_unfitted_estimator_are_refused(estimator):
    with pytest.raises(NotFittedError):
        ContributionsDisplay.from_estimator(estimator, X[:1])


@pytest.mark.parametrize("names", [["a"], list("abcdef"), []])
def test_as_many_names_as_features_are_needed(detector, names):
    with pytest.raises(ValueError, match=f"Got {len(names)} names for 5 features"):
        ContributionsDisplay.from_estimator(detector, X[:1], feature_names=names)


def test_text_without_an_analyzer_is_refused(detector):
    with pytest.raises(ValueError, match="text needs an analyzer"):
        ContributionsDisplay.from_estimator(detector, X[:1], text="win a prize")


@pytest.mark.parametrize(
    "wrong",
    [([-1, 2.0], ["a"]), ([-1, 2.0], ["a", "b"], [1]), ([[-1, 2.0], [0, 1]], ["a", "b"])],
)
def test_names_values_and_contributions_of_one_row_are_needed(wrong):
    with pytest.raises(ValueError, match=r"1 names for 2|inconsistent|1d array"):
        ContributionsDisplay(*wrong).plot()
    assert not plt.get_fignums()


def test_unknown_kind_is_refused_without_an_empty_figure():
    with pytest.raises(ValueError, match="kind must be 'text', 'bars' or None, got 'words'"):
        ContributionsDisplay([-1.0], ["a"]).plot(kind="words")
    assert plt.get_fignums() == []


def test_words_of_a_table_are_refused(detector):
    with pytest.raises(ValueError, match="no text to draw"):
        ContributionsDisplay.from_estimator(detector, X[:1], kind="text")
