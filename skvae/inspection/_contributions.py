"""What each feature adds to a row's score."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import Bunch, check_consistent_length, column_or_1d

from ._base import axes_for, check_count

# Background of a word that is not in the vocabulary: light grey, opaque.
UNKNOWN = (0.83, 0.83, 0.83, 1.0)


def top_contributions(explanation, feature_names=None, *, n_features=5):
    """Name the features that make each row most of an outlier.

    Parameters
    ----------
    explanation : Bunch
        What `VAEOutlierDetector.feature_contributions` returned for n_samples rows.
    feature_names : array-like of str of shape (n_features_in,), default=None
        Names of the columns, such as ``vectorizer.get_feature_names_out()``; None for their
        indices.
    n_features : int, default=5
        Largest number of features to name in a row.

    Returns
    -------
    tops : list of list of tuple (name, contribution)
        For each row its lowest contributions, in nats, the lowest first; of a sparse row only
        stored features are named.

    Raises
    ------
    ValueError
        If the names are not as many as the columns, or `n_features` is no integer of at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.utils import Bunch
    >>> from skvae.inspection import top_contributions
    >>> explanation = Bunch(contributions=np.array([[-1.0, 2.0, -3.0]]))
    >>> top_contributions(explanation, ["win", "the", "prize"], n_features=2)
    [[('prize', -3.0), ('win', -1.0)]]
    """
    check_count(n_features, "n_features", least=0)
    contributions = explanation.contributions
    if feature_names is None:
        feature_names = np.arange(contributions.shape[1])
    feature_names = as_many_names(feature_names, contributions.shape[1])
    tops = []
    for row in range(contributions.shape[0]):
        if sp.issparse(contributions):
            stored = slice(*contributions.indptr[row : row + 2])
            columns, values = contributions.indices[stored], contributions.data[stored]
        else:
            columns, values = np.arange(contributions.shape[1]), contributions[row]
        lowest = np.argsort(values, kind="stable")[:n_features]
        names = feature_names[columns[lowest]].tolist()
        tops.append(list(zip(names, values[lowest].tolist(), strict=True)))
    return tops


def as_many_names(feature_names: Any, n_features: int) -> np.ndarray:
    """Names as an array; a ValueError if they are not as many as the features."""
    feature_names = np.asarray(feature_names)
    if len(feature_names) != n_features:
        raise ValueError(f"Got {len(feature_names)} names for {n_features} features.")
    return feature_names


class ContributionsDisplay:
    """What makes one row an outlier: its words by colour, or its cells by bars.

    Red features make the row more of an outlier, blue ones more normal, the darker the more.

    Parameters
    ----------
    contributions : array-like of shape (n_features,)
        What each feature adds to the score, in nats; a negative one makes the row an outlier.
    feature_names : array-like of str of shape (n_features,)
        Names of the features.
    values : array-like of shape (n_features,), default=None
        The cells of the row.
    words : list of tuple (word, contribution), default=None
        The words of a message in their order, each with its contribution, in nats; NaN for a word
        that is not in the vocabulary.

    Attributes
    ----------
    text_ : list of matplotlib Text, or None
        The words, if they were drawn.
    bars_ : matplotlib BarContainer, or None
        The bars, if they were drawn.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    See Also
    --------
    top_contributions : The same as names and numbers, for many rows.

    Examples
    --------
    >>> from skvae.inspection import ContributionsDisplay
    >>> display = ContributionsDisplay(
    ...     [-3.0, 0.5], ["amount", "age"], [900, 41]
    ... ).plot()  # doctest: +SKIP
    """

    def __init__(self, contributions, feature_names, values=None, *, words=None):
        self.contributions = contributions
        self.feature_names = feature_names
        self.values = values
        self.words = words

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        feature_names=None,
        text=None,
        analyzer=None,
        kind=None,
        top_k=10,
        ax=None,
    ):
        """Explain one row with a fitted detector and plot it.

        Parameters
        ----------
        estimator : estimator
            Fitted `VAEOutlierDetector`, or another detector with `feature_contributions`, or a
            pipeline ending in one.
        X : {array-like, sparse matrix} of shape (1, n_features), or list of one str
            The row to explain, as `estimator` takes it.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the detector's columns; None for those that the pipeline or the detector
            knows, or else "x0", "x1" and so on. Those of a union may begin with the name of a
            part and two underscores.
        text : str, default=None
            The message that X was made from; None for X itself, if the pipeline begins with a
            vectorizer whose features the detector reads by name, or else for no message.
        analyzer : callable, default=None
            Gives the features in a text, such as ``vectorizer.build_analyzer()``; None for that of
            the vectorizer that the pipeline begins with.
        kind : {"text", "bars"}, default=None
            What to draw; None for the message if there is one, or else the bars.
        top_k : int, default=10
            Largest number of bars.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : ContributionsDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the detector has no `feature_contributions`.
        ValueError
            If X is not one row, the names are not as many as the features, there is a `text` and
            nothing to analyse it with, or `kind` or `top_k` is not allowed.

        Notes
        -----
        A message is split at white space, and a word has the contributions of all features that
        `analyzer` finds in it alone: every occurrence of a feature shows the whole of its
        contribution, and a feature that spans words, such as a bigram, is seen only among the
        bars. Of a sparse row only stored features have bars.
        """
        detector, table, messages = estimator, X, None if text is None else [text]
        if hasattr(estimator, "steps"):
            detector = estimator[-1]
            if len(estimator.steps) > 1:
                table = estimator[:-1].transform(X)
                if feature_names is None:
                    feature_names = _feature_names(estimator[:-1])
            vectorizer = estimator[0]
            if hasattr(vectorizer, "build_analyzer") and _has_features(vectorizer, feature_names):
                messages = X if messages is None else messages
                analyzer = vectorizer.build_analyzer() if analyzer is None else analyzer
        if messages is not None and analyzer is None:
            raise ValueError("text needs an analyzer, such as vectorizer.build_analyzer().")
        columns, contributions, values, feature_names = _explained_row(
            detector, table, feature_names
        )
        words = None
        if messages is not None:
            of_feature = dict.fromkeys(feature_names.tolist(), 0.0)
            of_feature |= zip(feature_names[columns].tolist(), contributions.tolist(), strict=True)
            words = _words(next(iter(messages)), analyzer, of_feature)
        display = cls(contributions, feature_names[columns], values, words=words)
        return display.plot(kind=kind, top_k=top_k, ax=ax)

    def plot(self, *, kind=None, top_k=10, ax=None):
        """Draw the words or the bars.

        Parameters
        ----------
        kind : {"text", "bars"}, default=None
            What to draw; None for the words if there are any, or else the bars.
        top_k : int, default=10
            Largest number of bars: those of the lowest contributions, the lowest on top.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : ContributionsDisplay
            Itself.

        Raises
        ------
        ValueError
            If `kind` is unknown, or "text" where there are no words, `top_k` is no integer of at
            least 0, or there are not as many names or values as contributions of one row.
        """
        if kind is None:
            kind = "bars" if self.words is None else "text"
        if kind not in ("text", "bars"):
            raise ValueError(f"kind must be 'text', 'bars' or None, got {kind!r}.")
        if kind == "text" and self.words is None:
            raise ValueError("There is no text to draw; kind='bars' needs none.")
        check_count(top_k, "top_k", least=0)
        labels, contributions = self._labels_of_bars(top_k) if kind == "bars" else ([], [])
        self.ax_, self.figure_ = axes_for(ax)
        self.text_ = self._plot_text() if kind == "text" else None
        self.bars_ = self._plot_bars(labels, contributions) if kind == "bars" else None
        return self

    def _plot_text(self):
        from matplotlib.patches import Patch

        from ._wrapped_text import wrapped_text

        contributions = np.array([contribution for _, contribution in self.words], dtype=float)
        colors = _outlier_colors(contributions)
        faces = colors.to_rgba(contributions)
        faces[np.isnan(contributions)] = UNKNOWN
        self.ax_.set_axis_off()
        self.figure_.colorbar(colors, ax=self.ax_, label="nats; below 0 speaks for an outlier")
        if np.isnan(contributions).any():
            patch = Patch(facecolor=UNKNOWN, label="not in the vocabulary")
            self.ax_.legend(handles=[patch], loc="upper left", bbox_to_anchor=(0, 0))
        return wrapped_text(self.ax_, [word for word, _ in self.words], faces)

    def _labels_of_bars(self, top_k):
        row = column_or_1d(np.asarray(self.contributions, dtype=float))
        names = as_many_names(self.feature_names, len(row))
        (tops,) = top_contributions(Bunch(contributions=row[None]), n_features=top_k)
        shown = [feature for feature, _ in tops]
        contributions = np.array([contribution for _, contribution in tops])
        labels = [str(name) for name in names[shown]]
        if self.values is not None:
            check_consistent_length(row, self.values)
            values = map(_short, np.asarray(self.values, dtype=object)[shown])
            labels = [f"{label} = {value}" for label, value in zip(labels, values, strict=True)]
        return labels, contributions

    def _plot_bars(self, labels, contributions):
        positions = np.arange(len(labels))
        colors = _outlier_colors(contributions).to_rgba(contributions)
        bars = self.ax_.barh(positions, contributions, color=colors, edgecolor="grey")
        self.ax_.set_yticks(positions, labels, parse_math=False)
        self.ax_.invert_yaxis()
        self.ax_.axvline(0, color="black", linewidth=0.8)
        self.ax_.set_xlabel("nats; below 0 speaks for an outlier")
        return bars


def _feature_names(steps: Any) -> Any:
    """Names of the columns that steps of a pipeline return, None if one of them has none."""
    try:
        return steps.get_feature_names_out()
    except AttributeError:
        return None


def _has_features(vectorizer: Any, feature_names: Any) -> bool:
    """Whether these are names of the vectorizer's features, as far as it knows them."""
    if feature_names is None:
        return False
    known = _feature_names(vectorizer)
    return known is None or set(feature_names) <= set(known)


def _explained_row(
    detector: Any, table: Any, feature_names: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Columns that are explained, their contributions and cells, and the names of all columns."""
    if not hasattr(detector, "feature_contributions"):
        raise TypeError(
            "Contributions need a detector with feature_contributions, such as "
            f"VAEOutlierDetector; got {detector!r}. Of an OutlierClassifier or a search pass the "
            "fitted detector inside it."
        )
    contributions = detector.feature_contributions(table).contributions
    n_rows, n_features = contributions.shape
    if n_rows != 1:
        raise ValueError(f"X must be one row, got {n_rows}.")
    if feature_names is None:
        unnamed = [f"x{column}" for column in range(n_features)]
        feature_names = getattr(detector, "feature_names_in_", unnamed)
    feature_names = as_many_names(feature_names, n_features)
    if sp.issparse(contributions):
        columns, contributions = contributions.indices, contributions.data
        values = sp.csr_matrix(table)[:, columns].toarray()
    else:
        columns, values = np.arange(n_features), np.asarray(table)
    return columns, contributions.ravel(), values.ravel(), feature_names


def _words(text: str, analyzer: Any, of_feature: dict[str, float]) -> list[tuple[str, float]]:
    """Words of a text, each with what its features contribute; NaN if it has none."""
    if of_feature.keys().isdisjoint(analyzer(text)):
        of_part, of_feature = of_feature, {}
        for name, value in of_part.items():
            feature = name.partition("__")[2]
            of_feature[feature] = of_feature.get(feature, 0.0) + value
    words = []
    for word in text.split():
        features = [feature for feature in set(analyzer(word)) if feature in of_feature]
        known = sum(of_feature[feature] for feature in features)
        words.append((word, known if features else np.nan))
    return words


def _outlier_colors(contributions: np.ndarray) -> Any:
    """Colours from red for the lowest contribution by white for 0 to blue for the highest."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    known = np.abs(contributions[~np.isnan(contributions)])
    largest = known.max(initial=0) or 1.0
    return ScalarMappable(Normalize(-largest, largest), "RdBu")


def _short(value: Any) -> str:
    """Cell of a table, in few characters."""
    return f"{value:.3g}" if isinstance(value, Real) else str(value)
