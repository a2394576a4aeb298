"""What the tests of the displays share."""

import numpy as np

SMALL = {"n_components": 3, "hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0}
X = np.random.RandomState(0).randn(40, 5)
Y = np.repeat(["ham", "spam"], [30, 10])


def legend_labels(ax):
    """Texts of the legend."""
    return [text.get_text() for text in ax.get_legend().get_texts()]
