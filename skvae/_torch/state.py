"""Trained models as plain values and arrays, and back.

The functions named `describe_...` return the fields of a JSON object and put its arrays into a
dict; those named `restore_...` read a `Node` of such an object, believe nothing of it, and take
memory for a network only when its weights are there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Generator, nn

from .._file import BELOW_ONE, MAX_DENSE_COLUMNS, SMALLEST, Node, refuse
from .autoencoder_model import AutoencoderModel
from .density_model import DensityModel
from .device import plain_modes
from .likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Categorical,
    ContaminatedGaussian,
    Gaussian,
    LenientBernoulli,
    Likelihood,
    Mixed,
    Multinomial,
    NegativeBinomial,
    Poisson,
    SpikeAndSlab,
)
from .likelihoods.counts import MAX_COUNT
from .model import Model
from .networks import ACTIVATIONS, VAE, Autoencoder

# Each epoch, and each column of codes, takes more memory than its share of a file.
MAX_EPOCHS = 200_000
MAX_CODED_COLUMNS = 50_000

# What each likelihood is called in a file.
PARTS: dict[str, type[Likelihood]] = LIKELIHOODS | {"lenient_bernoulli": LenientBernoulli}
NAMES = {part: name for name, part in PARTS.items()}

Arrays = dict[str, np.ndarray]


def describe_history(model: Model, arrays: Arrays) -> None:
    """Put the losses of the epochs among the arrays."""
    n_terms = 1 if isinstance(model, AutoencoderModel) else 2
    terms = np.array(model.history.terms, dtype=np.float64)
    arrays["training_losses"] = terms.reshape(-1, n_terms)
    arrays["validation_losses"] = np.array(model.history.validation, dtype=np.float64)


def restore_history(model: Model, node: Node, n_terms: int) -> None:
    """Give the model the losses of its epochs."""
    terms = node.array("training_losses", np.float64, (None, n_terms))
    validation = node.array("validation_losses", np.float64, (None,))
    if max(len(terms), len(validation)) > MAX_EPOCHS:
        refuse(f"it holds the losses of more than {MAX_EPOCHS} epochs")
    model.history.terms = [tuple(epoch) for epoch in terms.tolist()]
    model.history.validation = validation.tolist()


def describe_network(network: nn.Module, arrays: Arrays) -> None:
    """Put the weights among the arrays."""
    for name, weight in network.state_dict().items():
        arrays[f"network.{name}"] = weight.cpu().numpy()


def restore_network(network: nn.Module, node: Node) -> None:
    """Give a network without memory its weights."""
    weights = {
        name: torch.from_numpy(node.array(f"network.{name}", np.float32, tuple(weight.shape)))
        for name, weight in network.state_dict().items()
    }
    network.load_state_dict(weights, assign=True)


def describe_autoencoder(model: AutoencoderModel, arrays: Arrays) -> dict[str, Any]:
    """Fields of a model, and its arrays."""
    describe_network(model.network, arrays)
    describe_history(model, arrays)
    return {"loss": model.loss, "out_activation": model.out_activation}


@plain_modes()
def restore_autoencoder(
    node: Node, n_features: int, architecture: dict[str, Any]
) -> AutoencoderModel:
    """Model that `describe_autoencoder` described."""
    model = AutoencoderModel.__new__(AutoencoderModel)
    with torch.device("meta"):  # sizes without memory
        network = Autoencoder(
            n_features,
            architecture["n_components"],
            architecture["hidden_layer_sizes"],
            architecture["activation"],
            architecture["code_activation"],
            Generator(),
        )
    restore_network(network, node)
    Model.__init__(model, network, Generator())
    restore_history(model, node, 1)
    model.generator.manual_seed(len(model.history.terms))
    model.loss = node.choice("loss", ["squared_error", "binary_cross_entropy"])
    model.out_activation = node.choice("out_activation", list(ACTIVATIONS))
    if model.loss == "binary_cross_entropy" and model.out_activation != "logistic":
        refuse("its binary cross entropy has another output than the logistic one")
    return model


def describe_density(model: DensityModel, arrays: Arrays) -> dict[str, Any]:
    """Fields of a model, and its arrays."""
    describe_network(model.network, arrays)
    describe_history(model, arrays)
    autoregressive = model.network.autoregression is not None
    return {
        "likelihood": describe_likelihood(model.likelihood, arrays),
        "indicators": model.network.n_indicators > 0,
        "autoregression": autoregressive,
        "noise_seed": model.noise_seed,
        # Nothing but the training of an autoregression asks for it.
        "n_rows_seen": model.n_rows_seen if autoregressive else 0,
    }


@plain_modes()
def restore_density(node: Node, n_features: int, architecture: dict[str, Any]) -> DensityModel:
    """Model that `describe_density` described."""
    model = DensityModel.__new__(DensityModel)
    likelihood, widths = restore_likelihood(node.children("likelihood"), n_features)
    likelihood.set_min_variance(architecture["reg_covar"])
    indicators = node.choice("indicators", [False, True])
    autoregressive = node.choice("autoregression", [False, True])
    if autoregressive and type(likelihood) is not Bernoulli:
        refuse("it has an autoregression, which only Bernoulli features have")
    with torch.device("meta"):  # sizes without memory
        network = VAE(
            likelihood.n_inputs(n_features),
            architecture["n_components"],
            architecture["hidden_layer_sizes"],
            architecture["activation"],
            [np.zeros(width, np.float32) for width in widths],
            Generator(),
            n_indicators=n_features if indicators else 0,
            autoregressive=autoregressive,
            n_prior_components=architecture["n_prior_components"],
        )
    restore_network(network, node)
    if network.autoregression is not None:
        rows = enumerate(network.autoregression.weight)
        if any(row[: i + 1].any() for i, row in rows):
            refuse("its autoregression makes a feature depend on itself or on one after it")
    Model.__init__(model, network, Generator())
    restore_history(model, node, 2)
    model.likelihood = likelihood
    model.noise_seed = node.integer("noise_seed", 0, 2**31 - 2)
    model.n_rows_seen = node.integer("n_rows_seen", 1 if autoregressive else 0, 2**53)
    model.generator.manual_seed(model.noise_seed + len(model.history.terms))
    return model


def describe_likelihood(likelihood: Likelihood, arrays: Arrays) -> list[dict[str, Any]]:
    """Fields of each part of a likelihood, and their arrays."""
    parts = likelihood.parts if isinstance(likelihood, Mixed) else [likelihood]
    described = []
    for i, part in enumerate(parts):
        own: Arrays = {}
        fields: dict[str, Any] = {"name": NAMES[type(part)]}
        if isinstance(likelihood, Mixed):
            own["columns"] = likelihood.groups[i].numpy()
        match part:
            case Bernoulli():
                own["marginals"] = part.marginals_.numpy()
            case Categorical():
                own["codes"] = torch.cat(part.codes_).numpy()
                own["n_codes"] = np.array([len(codes) for codes in part.codes_])
            case Gaussian():
                own["location"], own["scale"] = part.location_.numpy(), part.scale_.numpy()
                own["min_variance"] = part.min_variance_.numpy()
                if isinstance(part, ContaminatedGaussian):
                    own["spread"] = part.spread_.numpy()
                if isinstance(part, SpikeAndSlab):
                    own["spike"] = part.spike_.numpy()
                    own["spike_share"] = part.spike_share_.numpy()
            case Poisson() | NegativeBinomial() | Multinomial():
                own["means"] = part.means_.numpy()
        if isinstance(part, LenientBernoulli | Categorical):
            fields["unknown"] = part.unknown_
        if isinstance(part, Multinomial):
            fields["length"] = part.length_
        arrays |= {f"likelihood.{i}.{name}": array for name, array in own.items()}
        described.append(fields)
    return described


def restore_likelihood(nodes: list[Node], n_features: int) -> tuple[Likelihood, list[int]]:
    """Likelihood of a table of so many columns, and the width of each output of its decoder."""
    names = [node.choice("name", list(PARTS)) for node in nodes]
    if len(set(names)) < len(names) or not names:
        refuse("it has no likelihood, or one twice")
    kinds = [PARTS[name] for name in names]
    if len(nodes) == 1:
        likelihood = kinds[0]()
        restore_part(likelihood, nodes[0], n_features)
        return likelihood, [likelihood.n_inputs(n_features)] * likelihood.n_outputs
    if n_features > MAX_DENSE_COLUMNS:
        refuse(
            f"it has {n_features} columns of several kinds, where {MAX_DENSE_COLUMNS} are allowed"
        )
    groups = [node.array("columns", np.int64, (None,), 0, n_features - 1) for node in nodes]
    in_order = all(len(group) and (np.diff(group) > 0).all() for group in groups)
    is_described = np.zeros(n_features, dtype=bool)
    for group in groups:
        is_described[group] = True
    if sum(map(len, groups)) != n_features or not is_described.all():
        refuse(f"its likelihoods do not describe each of {n_features} columns once")
    if not in_order:
        refuse("the columns of a likelihood are not in ascending order")
    mixed = Mixed(dict(zip(kinds, groups, strict=True)))
    for part, node, group in zip(mixed.parts, nodes, groups, strict=True):
        restore_part(part, node, len(group))
    widths = zip(mixed.widths(), mixed.parts, strict=True)
    return mixed, [width for width, part in widths for _ in range(part.n_outputs)]


def restore_part(part: Likelihood, node: Node, n_columns: int) -> None:
    """Give a likelihood what it learned of so many columns."""

    def column_values(name: str, low: float, high: float) -> torch.Tensor:
        return torch.from_numpy(node.array(name, np.float64, (n_columns,), low, high))

    match part:
        case Bernoulli():
            part.marginals_ = column_values("marginals", SMALLEST, BELOW_ONE)
        case Categorical():
            part.codes_ = restore_codes(node, n_columns)
        case Gaussian():
            part.location_ = column_values("location", -math.inf, math.inf)
            part.scale_ = column_values("scale", SMALLEST, math.inf)
            part.min_variance_ = column_values("min_variance", SMALLEST, math.inf)
            if isinstance(part, ContaminatedGaussian):
                part.spread_ = column_values("spread", part.SPREAD, math.inf)
            if isinstance(part, SpikeAndSlab):
                part.spike_ = column_values("spike", -math.inf, math.inf)
                part.spike_share_ = column_values("spike_share", SMALLEST, BELOW_ONE)
        case Poisson() | NegativeBinomial() | Multinomial():
            part.means_ = column_values("means", SMALLEST, MAX_COUNT + 1)
    if isinstance(part, LenientBernoulli | Categorical):
        part.unknown_ = node.number("unknown", SMALLEST, BELOW_ONE)
    if isinstance(part, Multinomial):
        part.length_ = node.number("length", 0, MAX_COUNT * n_columns)


def restore_codes(node: Node, n_columns: int) -> list[torch.Tensor]:
    """Known codes of each column."""
    if n_columns > MAX_CODED_COLUMNS:
        refuse(f"it has {n_columns} columns of codes, where {MAX_CODED_COLUMNS} are allowed")
    n_codes = node.array("n_codes", np.int64, (n_columns,), 1, Categorical.MAX_CODES)
    codes = node.array("codes", np.float64, (int(n_codes.sum()),), 0)
    columns = np.split(codes, np.cumsum(n_codes)[:-1])
    if (codes % 1 != 0).any() or not all((np.diff(column) > 0).all() for column in columns):
        refuse("the codes of a column are not integers in ascending order")
    return [torch.from_numpy(column) for column in columns]
