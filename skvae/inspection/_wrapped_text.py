"""Words on coloured backgrounds that wrap inside a matplotlib axes."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.text import Text

# In units of the font size: background round a word, space between words, from line to line.
PAD, SPACE, LINE = 0.15, 0.45, 1.7


def wrapped_text(ax: Any, words: list[str], faces: np.ndarray) -> list[Text]:
    """Write words into an axes.

    Parameters
    ----------
    ax : Axes
    words : list of str
    faces : ndarray of shape (n_words, 4)
        Colours of their backgrounds.

    Returns
    -------
    texts : list of Text
        They get their places when the figure is drawn.
    """
    texts = []
    for word, face in zip(words, faces, strict=True):
        dark = face[:3] @ [0.299, 0.587, 0.114] < 0.5
        text = ax.text(
            0,
            0,
            word,
            color="white" if dark else "black",
            bbox={"boxstyle": f"square,pad={PAD}", "facecolor": face, "edgecolor": "none"},
            transform=ax.transAxes,
            clip_on=True,
            parse_math=False,
            usetex=False,
        )
        texts.append(text)
    ax.add_artist(Wrapping(ax, texts))
    return texts


class Wrapping(Artist):
    """Gives texts their places before they are drawn, when the size of the axes is known."""

    zorder = 0  # below the texts, so drawn before them

    def __init__(self, ax: Any, texts: list[Text]):
        super().__init__()
        self.inside = ax
        self.texts = texts
        self.done_for: Any = None

    def draw(self, renderer: Any) -> None:
        """Place the texts, unless the axes are as they were the last time."""
        state = (*self.inside.bbox.size, self.inside.figure.dpi)
        if state == self.done_for:
            return
        self.done_for = state
        size = float(mpl.rcParams["font.size"])
        while not self._place(size, renderer) and size > 1:
            size *= 0.9

    def _place(self, size: float, renderer: Any) -> bool:
        """Write the texts in lines in a font size; whether they fit into the axes."""
        width, height = self.inside.bbox.size
        unit = renderer.points_to_pixels(size)
        left, x, y = PAD * unit, PAD * unit, height - LINE * unit
        fits = True
        for text in self.texts:
            text.set_fontsize(size)
            length = text.get_window_extent(renderer).width
            if x > left and x + length + PAD * unit > width:
                x, y = left, y - LINE * unit
            text.set_position((x / width, y / height))
            x += length + SPACE * unit
            fits = fits and x - (SPACE - PAD) * unit <= width
        return fits and y >= 0.5 * unit
