"""Make the saved models of `tests/fixtures`: ``python tests/make_fixtures.py``.

They go into a folder named after the format of the files. Once a version that writes the format is
released its folder is not made again: its files show that later versions read and score them.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.frozen import FrozenEstimator

import skvae
from skvae import (
    AutoencoderTransformer,
    ConformalOutlierDetector,
    OutlierClassifier,
    VAEDensityEstimator,
    VAEImputer,
    VAEOutlierDetector,
)
from skvae._file import FORMAT

FOLDER = Path(__file__).parent / "fixtures" / f"format_{FORMAT}"
SMALL = {"n_components": 2, "hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0}

# What is compared; each estimator has some of them.
METHODS = [
    "score_samples",
    "transform",
    "inverse_transform",
    "reconstruction_error",
    "decision_function",
    "predict",
    "predict_proba",
    "predict_pvalue",
]


def tables():
    """Small tables: name -> rows."""
    rng = np.random.RandomState(0)
    real = rng.randn(40, 2) @ rng.randn(2, 4) * [1, 10, 0.1, 5] + rng.randn(40, 4) + 7
    binary = (rng.uniform(size=(40, 5)) < [0.1, 0.3, 0.5, 0.7, 0.9]).astype(float)
    missing = np.where(rng.uniform(size=real.shape) < 0.1, np.nan, real)
    missing[:, 2] = np.nan
    mixed = np.c_[real[:, :2], binary[:, :2], rng.randint(4, size=40), rng.poisson(3, 40)]
    rainy = np.where(np.arange(40)[:, None] % [3, 4, 1] > 0, 0, real[:, :3])
    spam = np.zeros((200, 16))
    spam[:180, :8] = rng.uniform(size=(180, 8)) < 0.3
    spam[180:, 8:] = rng.uniform(size=(20, 8)) < 0.8
    return {
        "real": real,
        "binary": binary,
        "named": pd.DataFrame(binary, columns=["a", "b", "ö", "d\n", '"']),
        "missing": missing,
        "mixed": mixed,
        "counts": sp.csr_matrix(np.maximum(rng.poisson(1.0, size=(40, 5)), [1, 0, 0, 0, 0])),
        "spam": spam,
        "rainy": rainy,
    }


def models():
    """Fitted estimators: name -> estimator, name of its table."""
    rows = tables()
    labels = np.array(["ham", "spam"])[(np.arange(40) >= 36).astype(int)]
    real = VAEOutlierDetector(0.1, **SMALL)
    names = {"categorical": [4], "poisson": [5]}
    conformal = ConformalOutlierDetector(real, control="fdr", level=0.2, random_state=0)
    unfitted = {
        "autoencoder": (AutoencoderTransformer(**SMALL), "real"),
        "cross_entropy": (AutoencoderTransformer(**SMALL, activation="silu"), "binary"),
        "autoregressive": (VAEDensityEstimator(**SMALL, n_importance_samples=3), "named"),
        "learned_prior": (VAEDensityEstimator(**SMALL, n_prior_components=4), "named"),
        "contaminated_gaussian": (VAEDensityEstimator(**SMALL, n_refinement_steps=2), "real"),
        "gaussian": (VAEDensityEstimator(**SMALL, likelihood="gaussian"), "missing"),
        "mixed": (VAEDensityEstimator(**SMALL, likelihood=names), "mixed"),
        "categorical": (VAEDensityEstimator(**SMALL, likelihood="categorical"), "counts"),
        "spike_and_slab": (VAEDensityEstimator(**SMALL), "rainy"),
        "multinomial": (VAEDensityEstimator(**SMALL, likelihood="multinomial"), "counts"),
        "negative_binomial": (
            VAEDensityEstimator(
                **SMALL | {"hidden_layer_sizes": ()},
                likelihood="negative_binomial",
                early_stopping=True,
            ),
            "counts",
        ),
        "detector": (real, "real"),
        "log_odds": (VAEOutlierDetector(outlier_score="log_odds", **SMALL), "spam"),
        "imputer": (VAEImputer(add_indicator=True, n_importance_samples=4, **SMALL), "missing"),
        "conformal": (ConformalOutlierDetector(real, random_state=0), "real"),
        "frozen": (ConformalOutlierDetector(FrozenEstimator(real.fit(rows["real"]))), "real"),
        "classifier": (OutlierClassifier(conformal), "real"),
    }
    return {
        name: (model.fit(rows[table], labels if name == "classifier" else None), table)
        for name, (model, table) in unfitted.items()
    }


def results(model, X):
    """What the methods of a model give for some rows: name -> list."""
    found = {}
    for name in METHODS:
        if hasattr(model, name):
            argument = model.transform(X) if name == "inverse_transform" else X
            found[name] = np.asarray(getattr(model, name)(argument)).tolist()
    return found


def main():
    """Write the files and what the models give for the first rows of their tables."""
    FOLDER.mkdir(parents=True)
    expected = {}
    for name, (model, table) in models().items():
        skvae.save(model, FOLDER / f"{name}.safetensors")
        expected[name] = {"table": table, "results": results(model, tables()[table][:5])}
    text = json.dumps(expected, indent=1)
    (FOLDER / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
