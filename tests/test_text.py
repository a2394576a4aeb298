"""Tokenisation and normalisation of messages."""

import pickle
import subprocess
import sys
import textwrap

import nltk
import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer

from skvae.text import StyleAnalyzer, WordTokenizer

MESSAGES = [
    "What you doing?how are you?",
    "WINNER! Claim £1,000 at www.prize.com or call 0800 123",
    "i'm at mum's, she's cooking",
]


def has_wordnet():
    for name in ("corpora/wordnet.zip", "corpora/wordnet"):
        try:
            nltk.data.find(name)
        except LookupError:
            continue
        return True
    return False


needs_wordnet = pytest.mark.skipif(
    not has_wordnet(), reason="WordNet is not installed: python -m nltk.downloader wordnet"
)


def run_without_nltk_data(code):
    """Output of a fresh interpreter in which NLTK finds no data anywhere."""
    script = "import nltk\nnltk.data.path.clear()\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_wordnet
def test_lemma_gives_the_base_forms_of_verbs():
    words = WordTokenizer()("What you doing?how are you?")
    assert " ".join(words) == "what you do how be you"


@needs_wordnet
@pytest.mark.parametrize(
    ("word", "base"),
    [("won", "win"), ("Sending", "send"), ("was", "be"), ("prize", "prize"), ("xyzzy", "xyzzy")],
)
def test_lemma_of_a_word(word, base):
    assert WordTokenizer(normalization="lemma")(word) == [base]


def test_default_is_lemma_without_markers():
    assert WordTokenizer() == WordTokenizer(normalization="lemma", markers=False)


def test_missing_wordnet_error_names_the_command_that_installs_it():
    output = run_without_nltk_data(
        """
        from skvae.text import StyleAnalyzer, WordTokenizer

        for attempt in range(2):
            try:
                WordTokenizer()("you are")
            except LookupError as error:
                print(error)
            else:
                print("no error")
        """
    )
    assert output.count("python -m nltk.downloader wordnet") == 2
    assert "no error" not in output
    assert "'stem'" in output


def test_stem_and_plain_need_no_nltk_data():
    output = run_without_nltk_data(
        """
        from skvae.text import StyleAnalyzer, WordTokenizer

        print(WordTokenizer(normalization="stem", markers=True)("Winning £5!"))
        print(WordTokenizer(normalization=None, markers=True)("Winning £5!"))
        """
    )
    assert output.splitlines() == [
        "['win', '<currency>', '<exclamation>']",
        "['winning', '<currency>', '<exclamation>']",
    ]


def test_stem_cuts_endings_off():
    words = WordTokenizer(normalization="stem")("Winning prizes easily")
    assert words == ["win", "prize", "easili"]


def test_none_only_lowers_and_splits():
    words = WordTokenizer(normalization=None)("Winning PRIZES, easily... (now)")
    assert words == ["winning", "prizes", "easily", "now"]


@pytest.mark.parametrize("normalization", [None, "stem"])
@pytest.mark.parametrize("text", ["", "   ", "\n\t", "... - :)"])
def test_text_without_words_gives_an_empty_list(normalization, text):
    assert WordTokenizer(normalization=normalization)(text) == []


@needs_wordnet
def test_empty_string_gives_an_empty_list_with_lemma():
    assert WordTokenizer()("") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't", ["don't"]),
        ("mum’s", ["mum’s"]),
        ("rock'n'roll", ["rock'n'roll"]),
        ("'quoted' words'", ["quoted", "words"]),
        ("dogs' 'tis", ["dogs", "tis"]),
    ],
)
def test_apostrophes_stay_inside_words_only(text, words):
    assert WordTokenizer(normalization=None)(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Café NAÏVE", ["café", "naïve"]),
        ("Straße über", ["straße", "über"]),
        ("Привет, мир", ["привет", "мир"]),
        ("你好 世界", ["你好", "世界"]),
    ],
)
def test_unicode_letters_belong_to_words(text, words):
    assert WordTokenizer(normalization=None)(text) == words


def test_stem_leaves_letters_of_other_alphabets_alone():
    assert WordTokenizer(normalization="stem")("Привет 你好") == ["привет", "你好"]


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        ("<email>", "me@example.com"),
        ("<email>", "First.Last+tag@mail.example.co.uk"),
        ("<url>", "http://example.com/a?b=1"),
        ("<url>", "HTTPS://Example.org"),
        ("<url>", "www.example.de/path"),
        ("<url>", "example.com"),
        ("<url>", "shop.example.co.uk/win"),
        ("<currency>", "£100"),
        ("<currency>", "$1,000.50"),
        ("<currency>", "€ 20"),
        ("<currency>", "¥5"),
        ("<currency>", "£"),
        ("<currency>", "5€"),
        ("<currency>", "1.000,50 €"),
        ("<currency>", "£.50"),
        ("<url>", "http://me@example.com/path"),
        ("<url>", "www.example.de/?from=me@example.com"),
        ("<number>", "7"),
        ("<number>", "08001234567"),
        ("<number>", "3,000.5"),
        ("<exclamation>", "!"),
        ("<question>", "?"),
    ],
)
@pytest.mark.parametrize("normalization", [None, "stem"])
def test_marker_replaces_what_it_stands_for(marker, text, normalization):
    tokenize = WordTokenizer(normalization=normalization, markers=True)
    assert tokenize(f"go {text} go") == ["go", marker, "go"]


def test_amounts_beside_each_other_are_two():
    tokenize = WordTokenizer(normalization=None, markers=True)
    assert tokenize("€5-€10") == tokenize("5€-10€") == ["<currency>"] * 2
    assert tokenize("100 £50") == ["<number>", "<currency>"]


def test_every_occurrence_gets_its_own_marker():
    words = WordTokenizer(normalization=None, markers=True)("what?! 1 2, 3!!")
    assert " ".join(words) == (
        "what <question> <exclamation> <number> <number> <number> <exclamation> <exclamation>"
    )


def test_sentence_end_is_not_part_of_a_bare_domain():
    words = WordTokenizer(normalization=None, markers=True)("see example.com. ok? company")
    assert words == ["see", "<url>", "ok", "<question>", "company"]


@pytest.mark.parametrize("address", ["http://example.com", "www.example.com", "example.com"])
def test_punctuation_after_an_address_keeps_its_marker(address):
    words = WordTokenizer(normalization=None, markers=True)(f"go to {address}! now")
    assert words == ["go", "to", "<url>", "<exclamation>", "now"]


def test_without_markers_the_text_itself_is_split():
    words = WordTokenizer(normalization=None)("Win £100 at example.com!")
    assert words == ["win", "100", "at", "example", "com"]


def test_without_markers_angle_brackets_are_no_part_of_a_word():
    assert WordTokenizer(normalization=None)("<b>winning</b>") == ["b", "winning", "b"]


MARKED = "Me@example.com www.example.com £5 7!?"
ALL_MARKERS = ["<email>", "<url>", "<currency>", "<number>", "<exclamation>", "<question>"]


@pytest.mark.parametrize(
    "normalization", [None, "stem", pytest.param("lemma", marks=needs_wordnet)]
)
def test_markers_survive_normalisation(normalization):
    assert WordTokenizer(normalization=normalization, markers=True)(MARKED) == ALL_MARKERS


@pytest.mark.parametrize("normalization", ["lemmatize", "", "Stem", 1, False])
def test_unknown_normalization_is_refused(normalization):
    with pytest.raises(ValueError, match="'lemma', 'stem' or None, got"):
        WordTokenizer(normalization=normalization)


def test_equal_settings_make_equal_and_hashable_tokenizers():
    assert WordTokenizer("stem", True) == WordTokenizer(normalization="stem", markers=True)
    assert hash(WordTokenizer("stem")) == hash(WordTokenizer("stem"))
    assert WordTokenizer("stem") != WordTokenizer(None)
    assert WordTokenizer("stem") != WordTokenizer("stem", True)


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        WordTokenizer().markers = True


def test_pickle_gives_an_equal_tokenizer():
    tokenize = WordTokenizer(normalization="stem", markers=True)
    again = pickle.loads(pickle.dumps(tokenize))
    assert again == tokenize
    assert again(MARKED) == tokenize(MARKED)


def test_clone_of_a_vectorizer_keeps_an_equal_tokenizer():
    vectorizer = CountVectorizer(tokenizer=WordTokenizer("stem", True), token_pattern=None)
    assert clone(vectorizer).tokenizer == vectorizer.tokenizer


def test_vectorizer_counts_the_words_without_warnings(recwarn):
    vectorizer = CountVectorizer(tokenizer=WordTokenizer("stem", True), token_pattern=None)
    counts = vectorizer.fit_transform(MESSAGES)
    column = vectorizer.get_feature_names_out().tolist().index("<question>")
    assert counts[:, column].toarray().ravel().tolist() == [2, 0, 0]
    assert counts.sum() == sum(len(vectorizer.tokenizer(message)) for message in MESSAGES)
    assert not recwarn.list


def test_pickled_vectorizer_gives_the_same_matrix():
    vectorizer = CountVectorizer(tokenizer=WordTokenizer("stem"), token_pattern=None)
    counts = vectorizer.fit_transform(MESSAGES)
    again = pickle.loads(pickle.dumps(vectorizer))
    np.testing.assert_array_equal(again.transform(MESSAGES).toarray(), counts.toarray())


def test_loky_workers_give_the_same_matrix():
    vectorizer = CountVectorizer(tokenizer=WordTokenizer("stem", True), token_pattern=None)
    counts = vectorizer.fit_transform(MESSAGES)
    parts = Parallel(n_jobs=2, backend="loky")(
        delayed(vectorizer.transform)([message]) for message in MESSAGES
    )
    np.testing.assert_array_equal(np.vstack([part.toarray() for part in parts]), counts.toarray())


@needs_wordnet
def test_pickled_vectorizer_with_lemmas_gives_the_same_matrix():
    vectorizer = CountVectorizer(tokenizer=WordTokenizer(), token_pattern=None)
    counts = vectorizer.fit_transform(MESSAGES)
    assert "be" in vectorizer.vocabulary_
    again = pickle.loads(pickle.dumps(vectorizer))
    np.testing.assert_array_equal(again.transform(MESSAGES).toarray(), counts.toarray())


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("", []),
        ("see you at home", []),
        ("At 7", ["digits>=1", "capitals>=1"]),
        ("12345678", ["digits>=1", "digits>=2", "digits>=4", "digits>=8"]),
        ("1-234-56", ["digits>=1", "digits>=2"]),
        ("FREE Ticket", ["capitals>=1", "capitals>=2", "capitals>=4"]),
        ("ÄÖÜ straße", ["capitals>=1", "capitals>=2"]),
        ("£5 or $5", ["digits>=1", "$", "£"]),
        ("WWW.X.com/a", ["capitals>=1", "capitals>=2", "<url>"]),
        ("mail me@x.org", ["<email>"]),
        ("me@x.org or x.org", ["<email>", "<url>"]),
        ("http://me@x.org", ["<url>"]),
        ("awww. no", []),
        ("4u", ["digits>=1", "<mixed>"]),
        ("x² and ①", []),
    ],
)
def test_style_of_a_message(text, features):
    assert StyleAnalyzer()(text) == features


# The time for a token may grow with its length, not with the square of it.
@pytest.mark.parametrize("digits", ["1", "1,", "£1", "1 £", "£,", "1.£1"])
def test_amounts_of_any_length(digits):
    text = digits * (300_000 // len(digits))
    words = WordTokenizer(None, markers=True)(text)
    assert set(words) <= {"<currency>", "<number>"}


@pytest.mark.parametrize("part", ["a", "a-", "a.", "-", "a@", "a@a.", "a." * 8 + "a@"])
def test_style_of_a_token_of_any_length(part):
    token = part * (300_000 // len(part))
    assert set(StyleAnalyzer()(token)) <= {"<email>"}
    assert StyleAnalyzer()(f"{token} me@example.com") == ["<email>"]
    assert "<url>" in WordTokenizer(None, markers=True)(f"{token} www.example.com/")


@pytest.mark.parametrize(
    ("text", "is_address"),
    [
        ("now..example.com", True),
        ("-example.com", True),
        ("a.b.c.example.co.uk", True),
        ("a" * 63 + ".com", True),
        ("a" * 64 + ".com", False),
        ("example.company", False),
    ],
)
def test_domains_are_as_long_as_names_may_be(text, is_address):
    assert ("<url>" in StyleAnalyzer()(text)) == is_address


def test_style_has_few_features_and_needs_no_vocabulary():
    vectorizer = CountVectorizer(binary=True, analyzer=StyleAnalyzer()).fit(MESSAGES)
    unseen = vectorizer.transform(["QWERTZ 1234"]).toarray()[0]
    names = vectorizer.get_feature_names_out()
    assert len(names) < 20
    assert set(names[unseen == 1]) == {
        *("capitals>=1", "capitals>=2", "capitals>=4"),
        *("digits>=1", "digits>=2", "digits>=4"),
    }


def test_style_analyzer_can_be_cloned_and_pickled():
    analyzer = StyleAnalyzer()
    vectorizer = clone(CountVectorizer(analyzer=analyzer))
    assert vectorizer.analyzer == analyzer
    assert pickle.loads(pickle.dumps(analyzer)) == analyzer
