"""What a message says and how it is written, for scikit-learn's vectorizers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from nltk.stem import SnowballStemmer, WordNetLemmatizer
from nltk.tokenize import RegexpTokenizer

__all__ = ["StyleAnalyzer", "WordTokenizer"]

# At most ten labels of at most 63 characters. Without these limits, and the lookbehind of an e-mail
# address, the time would grow with the square of a token's length.
DOMAIN = r"\b[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}\.(?:com|net|org|co\.uk)\b"

# A URL may hold an e-mail address, which holds a domain: tried in this order; what one has replaced
# the next does not see.
PLACES = [
    ("<url>", re.compile(r"(?:https?://|\bwww\.)[^\s<>]*[^\s<>!?.,]", re.IGNORECASE)),
    ("<email>", re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("<url>", re.compile(rf"{DOMAIN}/[^\s<>]*[^\s<>!?.,]|{DOMAIN}", re.IGNORECASE)),
]
AMOUNT = r"[£$€¥]\s?[.,]?\d[\d.,]*|(?<![\d.,])\d[\d.,]*\s?[£$€¥](?!\s?[.,]?\d)|[£$€¥]"
MARKERS = [
    *PLACES,
    ("<currency>", re.compile(AMOUNT)),
    ("<number>", re.compile(r"\d+(?:[.,]\d+)*")),
    ("<exclamation>", re.compile(r"!")),
    ("<question>", re.compile(r"\?")),
]

WORDS = RegexpTokenizer(r"\w+(?:['’]\w+)*")
MARKED_WORDS = RegexpTokenizer("|".join(dict(MARKERS)) + r"|\w+(?:['’]\w+)*")

STEMMER = SnowballStemmer("english")

RUNS = {"digits": str.isdecimal, "capitals": str.isupper}
MIXED = re.compile(r"\d[^\W\d_]|[^\W\d_]\d")
CURRENCY = re.compile(r"[£$€¥]")


@dataclass(frozen=True)
class WordTokenizer:
    """Callable that splits a message into lower-case words and normalises them.

    Made for ``CountVectorizer(tokenizer=WordTokenizer(), token_pattern=None)``. It can be pickled,
    compared and cloned.

    Parameters
    ----------
    normalization : {"lemma", "stem", None}, default="lemma"
        "lemma" takes each word for a verb and looks up its base form in WordNet, which must be
        installed ("doing" -> "do", "are" -> "be"). "stem" cuts endings off by the rules of the
        Snowball stemmer, and None leaves words as they are; both need no data.
    markers : bool, default=False
        Put one word in the place of every e-mail address, URL, amount of money, number,
        exclamation mark and question mark: ``<email>``, ``<url>``, ``<currency>``, ``<number>``,
        ``<exclamation>``, ``<question>``.

    Raises
    ------
    ValueError
        If `normalization` is unknown.
    LookupError
        By the call, if it needs WordNet and there is none; the message names the command that
        installs it.

    Notes
    -----
    Words come from NLTK's regular-expression tokenizer: letters, digits and underscores, with
    apostrophes inside.

    References
    ----------
    S. Bird, E. Klein and E. Loper, "Natural Language Processing with Python", O'Reilly, 2009,
    chapter 3. M. F. Porter, "Snowball: A language for stemming algorithms", 2001.

    Examples
    --------
    >>> from skvae.text import WordTokenizer
    >>> tokenize = WordTokenizer(normalization="stem", markers=True)
    >>> tokenize("Winning £100 is easy! Text WIN to 87121")
    ['win', '<currency>', 'is', 'easi', '<exclamation>', 'text', 'win', 'to', '<number>']
    """

    normalization: Literal["lemma", "stem"] | None = "lemma"
    markers: bool = False

    def __post_init__(self) -> None:
        if self.normalization not in ("lemma", "stem", None):
            raise ValueError(
                f"normalization must be 'lemma', 'stem' or None, got {self.normalization!r}."
            )

    def __call__(self, text: str) -> list[str]:
        """Split a message into words.

        Parameters
        ----------
        text : str
            One message.

        Returns
        -------
        words : list of str
            Its words in their order.
        """
        text = text.lower()
        if self.markers:
            for marker, pattern in MARKERS:
                text = pattern.sub(f" {marker} ", text)
        words = (MARKED_WORDS if self.markers else WORDS).tokenize(text)
        if self.normalization == "lemma":
            return [word if word.startswith("<") else lemma(word) for word in words]
        if self.normalization == "stem":
            return [word if word.startswith("<") else STEMMER.stem(word) for word in words]
        return words


@dataclass(frozen=True)
class StyleAnalyzer:
    """Callable that says how a message is written, not what it says.

    Made for ``CountVectorizer(analyzer=StyleAnalyzer(), binary=True)``: nineteen features that need
    no vocabulary, so that a message with words never seen before has them too. They are

    - ``digits>=n`` and ``capitals>=n`` for n = 1, 2, 4, 8, 16 and 32, where the longest run of
      digits, or of capital letters, has at least n characters;
    - each of the signs ``£ $ € ¥`` that occurs;
    - ``<url>`` and ``<email>``, and ``<mixed>`` where a digit touches a letter.

    It can be pickled, compared and cloned.

    Examples
    --------
    >>> from skvae.text import StyleAnalyzer
    >>> StyleAnalyzer()("WIN £100! Text now")
    ['digits>=1', 'digits>=2', 'capitals>=1', 'capitals>=2', '£']
    """

    def __call__(self, text: str) -> list[str]:
        """Name the features of a message.

        Parameters
        ----------
        text : str
            One message, its case kept.

        Returns
        -------
        features : list of str
            Each at most once.
        """
        features = []
        for name, belongs in RUNS.items():
            runs = "".join(char if belongs(char) else " " for char in text).split()
            longest = max(map(len, runs), default=0)
            features += [f"{name}>={n}" for n in (1, 2, 4, 8, 16, 32) if longest >= n]
        features += sorted(set(CURRENCY.findall(text)))
        if MIXED.search(text):
            features.append("<mixed>")
        places = set()
        for name, pattern in PLACES:
            text, count = pattern.subn(" ", text)
            if count:
                places.add(name)
        return features + sorted(places)


@lru_cache(maxsize=100_000)
def lemma(word: str) -> str:
    """Base form of a word taken for a verb, from WordNet."""
    try:
        return WordNetLemmatizer().lemmatize(word, pos="v")
    except LookupError as error:
        raise LookupError(
            "normalization='lemma' needs WordNet, which is not installed. Run: "
            "python -m nltk.downloader wordnet\n"
            "Or use normalization='stem' or None, which need no data."
        ) from error
