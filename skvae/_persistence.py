"""Fitted estimators to and from one file, without pickle."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator
from sklearn.utils.validation import check_is_fitted

from . import __version__, _file
from ._autoencoder import AutoencoderTransformer
from ._base import ACTIVATIONS, NetworkEstimator
from ._classifier import OutlierClassifier, ScoreRanks
from ._cluster import MIN_SHARE, IndependentBernoulli, MinorityCluster
from ._compat import output_container, validate_params
from ._conformal import ConformalOutlierDetector
from ._density import VAEDensityEstimator
from ._file import (
    BELOW_ONE,
    FORMAT,
    MAX_DENSE_COLUMNS,
    MAX_FEATURES,
    MAX_SIZE,
    SMALLEST,
    Node,
    refuse,
    shown,
)
from ._imputer import VAEImputer
from ._likelihoods import LIKELIHOODS, is_of_fit, keep_in_mind
from ._meta import DetectorWrapper
from ._outlier import VAEOutlierDetector

MAX_LAYERS = 500

# How deep meta-estimators may be nested.
MAX_DEPTH = 5

Arrays: TypeAlias = dict[str, np.ndarray]
Fields: TypeAlias = dict[str, Any]


def save(estimator, path):
    """Write a fitted estimator to one file, which `load` reads.

    The file is in the safetensors format. It holds parameters and what was learned, but no code
    and no training rows; `docs/files.md` says what it reveals of them. It is written at once:
    whatever happens, the old file is there or the whole new one.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of this package; `OutlierClassifier` and `ConformalOutlierDetector` only
        where they wrap another of them, or a `FrozenEstimator` of one. A pipeline's other steps are
        for skops.
    path : str or os.PathLike
        The file; one that is there is replaced.

    Raises
    ------
    TypeError
        If the estimator is no such estimator, or a parameter has no form in a file, such as a
        RandomState.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If the estimator holds what `load` would refuse, such as an `offset_` that is not finite.
    OSError
        If the file cannot be written; an old one is then as it was.

    See Also
    --------
    load : Reads the file.

    Notes
    -----
    The optimiser is not saved: a loaded estimator that goes on training, by `partial_fit` or with
    `warm_start`, begins with a new one. Nor are metadata requests of scikit-learn's routing, or
    attributes that are not the estimator's own.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import skvae
    >>> X = np.tile([[1, 1, 0, 0], [0, 0, 1, 1]], (100, 1))
    >>> detector = skvae.VAEOutlierDetector(n_components=1, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "detector.safetensors")
    ...     skvae.save(detector, path)
    ...     loaded = skvae.load(path)
    >>> bool((loaded.score_samples(X) == detector.score_samples(X)).all())
    True
    """
    if isinstance(estimator, FrozenEstimator):
        raise TypeError(
            f"skvae.save takes what is inside {estimator!r}: save its attribute estimator, and "
            "freeze what load gives."
        )
    data = to_bytes(estimator)
    try:
        from_bytes(data)
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"{estimator!r} cannot be saved: of its file, {reason}.") from error
    with _file.replaced(path) as file:
        file.write(data)


def load(path):
    """Read an estimator from a file that `save` wrote.

    Nothing in the file is executed, and everything in it is checked: its digest, its sizes before
    memory is taken, each field and each array.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    estimator : estimator
        The fitted estimator. Its scores equal those of the one saved.

    Raises
    ------
    ValueError
        If the file is no such file, was changed or damaged, was written by a newer version, or
        holds what no estimator has; the message says which.
    OSError
        If the file cannot be read.

    See Also
    --------
    save : Writes the file, and has an example.

    Notes
    -----
    The digest finds damage, not forgery: whoever can change a file can make up a new digest, and
    with it another model. What a forged file can do is to score wrongly.

    Examples
    --------
    >>> import skvae
    >>> skvae.load(skvae.__file__)
    Traceback (most recent call last):
    ValueError: '...' cannot be loaded: it is no file of skvae.save.
    """
    try:
        return from_bytes(_file.read(path))
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"{str(path)!r} cannot be loaded: {reason}.") from error


def to_bytes(estimator: Any) -> bytes:
    """Content of the file of an estimator."""
    arrays: Arrays = {}
    fields = {"format": FORMAT, "skvae": __version__, "estimator": describe(estimator, "", arrays)}
    return _file.pack(fields, arrays)


def from_bytes(data: bytes) -> Any:
    """Estimator of the content of a file."""
    document, arrays = _file.unpack(data)
    if list(document) != ["estimator"]:
        refuse(f"its document has the fields {shown(list(document))}, not 'estimator'")
    node = Node(document["estimator"], "", arrays)
    estimator = restore(node, [kind for kind in KINDS if kind != "FrozenEstimator"])
    node.check_all_read()
    return estimator


def describe(estimator: Any, place: str, arrays: Arrays) -> Fields:
    """Fields of a fitted estimator; its arrays go into `arrays`, their names after its place."""
    kind = kind_of(estimator)
    check_is_fitted(estimator)
    fields: Fields = {"class": kind}
    if kind != "FrozenEstimator":
        fields["params"] = describe_parameters(estimator, columns_of(estimator))
    if isinstance(estimator, TransformerMixin):
        fields["output"] = output_container(estimator)
    own: Arrays = {}
    fields |= KINDS[kind][1](estimator, own)
    arrays |= {f"{place}.{name}" if place else name: array for name, array in own.items()}
    return fields


def restore(node: Node, kinds: list[str]) -> Any:
    """Estimator of one of the kinds, with all that was described of it."""
    if node.name.count(".") > MAX_DEPTH:
        refuse(f"its estimators are nested more than {MAX_DEPTH} deep")
    kind = node.choice("class", kinds)
    return KINDS[kind][2](node)


def kind_of(estimator: Any) -> str:
    """Name of the class of an estimator that a file can hold."""
    kind = type(estimator).__name__
    if kind not in KINDS or type(estimator) is not KINDS[kind][0]:
        raise TypeError(
            "skvae.save takes estimators of this package, and of its meta-estimators those that "
            f"wrap one of them, got {estimator!r}. Of a pipeline save the last step, and the "
            "others with skops; of a search or a tuned threshold the fitted estimator inside it."
        )
    return kind


def columns_of(estimator: Any) -> Any:
    """Likelihoods by index of column, as the density in a fitted estimator found them, if any."""
    if isinstance(estimator, DetectorWrapper | FrozenEstimator):
        return columns_of(getattr(estimator, "estimator_", estimator.estimator))
    if hasattr(estimator, "likelihood") and not is_of_fit(estimator):
        return None  # it was set after the fit
    density = getattr(estimator, "density_", estimator)
    return getattr(density, "_column_likelihoods", None)


def describe_parameters(estimator: Any, columns: Any) -> Fields:
    """Parameters as JSON; columns of likelihoods that have no such form, as the fit found them."""
    fields = {}
    for name, value in estimator.get_params(deep=False).items():
        if name == "estimator":
            continue
        try:
            fields[name] = plain_parameter(name, value, columns)
        except TypeError as error:
            raise TypeError(
                f"{type(estimator).__name__} cannot be saved with {name}={value!r}, which has no "
                f"form in a file. Change it, by set_params({name}=...), and save again."
            ) from error
    return fields


def plain_parameter(name: str, value: Any, columns: Any) -> Any:
    """Value as JSON has it; a TypeError if it has no such form."""
    if name == "hidden_layer_sizes":
        return [int(size) for size in value]
    if name == "likelihood" and isinstance(value, dict):
        plain = {str(likelihood): plain_columns(key) for likelihood, key in value.items()}
        if None in plain.values():
            if not isinstance(columns, dict) or set(columns) != set(plain):
                raise TypeError("the columns of a likelihood are not known by index")
            return columns
        return plain
    return plain_scalar(value)


def plain_scalar(value: Any) -> Any:
    """Value as JSON has it; a TypeError if it has no such form."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    raise TypeError("no JSON scalar")


def plain_columns(key: Any) -> Any:
    """Columns as JSON has them, or None if they have no such form: a slice, a selector."""
    if isinstance(key, np.ndarray):
        key = key.tolist()
    try:
        if isinstance(key, list | tuple):
            return [plain_scalar(column) for column in key]
        return plain_scalar(key)
    except TypeError:
        return None


def restore_parameters(node: Node, make: Any, *estimator: Any) -> Any:
    """Unfitted estimator with the parameters of a file, which its own constraints allow."""
    place, parameters = node.place("params"), node.value("params")
    if not isinstance(parameters, dict):
        node.wrong("params", "an object")
    # One that is missing came with a later version: it has its default.
    unknown = set(parameters) - parameter_names(make)
    if unknown:
        refuse(f"{place} has {shown(min(unknown))}, which is no parameter of {make.__name__}")
    for name, value in parameters.items():
        if name == "hidden_layer_sizes" and _file.is_sizes(value, MAX_SIZE):
            parameters[name] = tuple(value)
        elif name == "likelihood" and isinstance(value, dict):
            check_likelihoods(value, f"{place}.{name}")
        elif isinstance(value, list | dict):
            refuse(f"{place}.{name} is {shown(value)}")
    restored = make(*estimator, **parameters)
    if isinstance(restored, NetworkEstimator):
        restored._validate_parameters()
    else:
        validate_params(restored, make._parameter_constraints)
    return restored


@functools.cache
def parameter_names(make: type) -> set[str]:
    """Parameters of a class, but for the estimator that it wraps."""
    return set(inspect.signature(make).parameters) - {"estimator"}


def check_likelihoods(value: dict[str, Any], place: str) -> None:
    """Refuse a dict that does not give columns, by index, name or mask, to likelihoods."""
    for name, key in value.items():
        columns = key if isinstance(key, list) else [key]
        if name not in LIKELIHOODS or not all(isinstance(c, int | str) for c in columns):
            refuse(f"{place} gives {shown(key)} to {shown(name)}")


def describe_network(estimator: NetworkEstimator) -> Fields:
    """What every estimator with a network has, but its model."""
    names = getattr(estimator, "feature_names_in_", None)
    architecture = {
        name: plain_parameter(name, value, None)
        for name, value in estimator._model_architecture.items()
    }
    return {
        "n_features_in": int(estimator.n_features_in_),
        "feature_names_in": None if names is None else names.tolist(),
        "architecture": architecture,
    }


def restore_network(node: Node, estimator: NetworkEstimator) -> Node:
    """Restore what every estimator with a network has, but its model; give its architecture."""
    estimator.n_features_in_ = node.integer("n_features_in", 1, MAX_FEATURES)
    names = node.value("feature_names_in")
    if names is not None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            node.wrong("feature_names_in", "a list of strings or null")
        if len(names) != estimator.n_features_in_:
            refuse(f"it has {len(names)} feature names for {estimator.n_features_in_} features")
        estimator.feature_names_in_ = np.array(names, dtype=object)
    architecture = node.child("architecture")
    estimator._model_architecture = {
        "n_components": architecture.integer("n_components", 1, MAX_SIZE),
        "hidden_layer_sizes": tuple(architecture.sizes("hidden_layer_sizes", MAX_LAYERS)),
        "activation": architecture.choice("activation", sorted(ACTIVATIONS)),
    }
    return architecture


def restore_output(node: Node, estimator: Any) -> None:
    """Restore what `set_output` set."""
    output = node.choice("output", [None, "default", "pandas", "polars"])
    if output is not None:
        estimator.set_output(transform=output)


def describe_autoencoder(estimator: AutoencoderTransformer, arrays: Arrays) -> Fields:
    """Fitted state."""
    from ._torch import state

    return describe_network(estimator) | state.describe_autoencoder(estimator._model, arrays)


def restore_autoencoder(node: Node) -> AutoencoderTransformer:
    """Fitted transformer."""
    from ._torch import state

    estimator = restore_parameters(node, AutoencoderTransformer)
    architecture = restore_network(node, estimator)
    estimator._model_architecture |= {
        "code_activation": architecture.choice("code_activation", sorted(ACTIVATIONS)),
        "out_activation": architecture.choice("out_activation", ["auto", *sorted(ACTIVATIONS)]),
        "loss": architecture.choice("loss", ["auto", *LOSSES]),
    }
    model = state.restore_autoencoder(node, estimator.n_features_in_, estimator._model_architecture)
    estimator._keep(model)
    restore_output(node, estimator)
    return estimator


def describe_density(estimator: VAEDensityEstimator, arrays: Arrays) -> Fields:
    """Fitted state."""
    from ._torch import state

    model = state.describe_density(estimator._model, arrays)
    return describe_network(estimator) | {"sparse_in": bool(estimator._sparse_in)} | model


def restore_density(node: Node) -> VAEDensityEstimator:
    """Fitted density."""
    from ._torch import state

    estimator = restore_parameters(node, VAEDensityEstimator)
    architecture = restore_network(node, estimator)
    likelihood = architecture.value("likelihood")
    if isinstance(likelihood, dict):
        check_likelihoods(likelihood, architecture.place("likelihood"))
    else:
        architecture.choice("likelihood", ["auto", *LIKELIHOODS])
    keep_in_mind(estimator)
    estimator._model_architecture |= {
        "likelihood": likelihood,
        "autoregressive": architecture.choice("autoregressive", [False, True, "auto"]),
        "n_prior_components": architecture.integer("n_prior_components", 1, MAX_SIZE),
        "reg_covar": architecture.number("reg_covar", SMALLEST, BELOW_ONE),
    }
    estimator._column_likelihoods = likelihood
    estimator._sparse_in = node.choice("sparse_in", [False, True])
    model = state.restore_density(node, estimator.n_features_in_, estimator._model_architecture)
    estimator._keep(model)
    restore_output(node, estimator)
    return estimator


def restore_within(node: Node, estimator: Any) -> None:
    """Restore the density in an estimator, and what the estimator has of it."""
    density = estimator.density_ = restore(node.child("density"), ["VAEDensityEstimator"])
    estimator.n_iter_ = density.n_iter_
    estimator.n_features_in_ = density.n_features_in_
    if hasattr(density, "feature_names_in_"):
        estimator.feature_names_in_ = density.feature_names_in_


def describe_detector(estimator: VAEOutlierDetector, arrays: Arrays) -> Fields:
    """Fitted state."""
    cluster = estimator._cluster
    if cluster is not None:
        arrays["cluster.logits"] = cluster.inside.logits
    return {
        "density": describe(estimator.density_, "density", arrays),
        "cluster": None if cluster is None else {"share": cluster.share},
        "offset": plain_offset(estimator),
    }


def restore_detector(node: Node) -> VAEOutlierDetector:
    """Fitted detector."""
    estimator = restore_parameters(node, VAEOutlierDetector)
    restore_within(node, estimator)
    keep_in_mind(estimator)
    estimator._cluster = None
    estimator.outlier_score_ = "elbo"
    if node.value("cluster") is not None:
        if estimator.density_.likelihood_ != "bernoulli":
            refuse("it has a cluster, which only Bernoulli features have")
        cluster = node.child("cluster")
        logits = cluster.array("logits", np.float64, (estimator.n_features_in_,))
        share = cluster.number("share", MIN_SHARE / 2, 0.5)
        estimator._cluster = MinorityCluster(share, IndependentBernoulli(logits))
        estimator.outlier_score_ = "log_odds"
    estimator.offset_ = node.number("offset")
    return estimator


def describe_imputer(estimator: VAEImputer, arrays: Arrays) -> Fields:
    """Fitted state."""
    arrays["without_values"] = np.flatnonzero(estimator._without_values)
    arrays["constant"] = np.flatnonzero(estimator._is_constant)
    arrays["constants"] = estimator._constants
    indicator = estimator.indicator_
    if indicator is not None:
        arrays["indicator"] = np.asarray(indicator.features_, dtype=np.int64)
    return {
        "density": describe(estimator.density_, "density", arrays),
        "has_indicator": indicator is not None,
    }


def restore_imputer(node: Node) -> VAEImputer:
    """Fitted imputer."""
    estimator = restore_parameters(node, VAEImputer)
    restore_within(node, estimator)
    keep_in_mind(estimator)
    n_features = estimator.n_features_in_
    if n_features > MAX_DENSE_COLUMNS:
        refuse(f"it imputes {n_features} columns, where {MAX_DENSE_COLUMNS} are allowed")

    def columns(name: str) -> np.ndarray:
        found = node.array(name, np.int64, (None,), 0, n_features - 1)
        if not (np.diff(found) > 0).all():
            refuse(f"the columns in array {node.place(name)} are not in ascending order")
        mask = np.zeros(n_features, dtype=bool)
        mask[found] = True
        return mask

    estimator._without_values = columns("without_values")
    estimator._is_constant = columns("constant")
    n_constant = int(np.count_nonzero(estimator._is_constant))
    estimator._constants = node.array("constants", np.float64, (n_constant,))
    estimator.indicator_ = None
    if node.choice("has_indicator", [False, True]):
        table = np.where(columns("indicator"), np.nan, 0.0)[None]
        estimator.indicator_ = MissingIndicator(error_on_new=False).fit(table)
    restore_output(node, estimator)
    return estimator


def describe_wrapper(estimator: DetectorWrapper, arrays: Arrays) -> Fields:
    """What every meta-estimator has: the detector it was given, and the fitted one."""
    return {
        "template": describe_template(estimator.estimator, estimator.estimator_),
        "estimator": describe(estimator.estimator_, "estimator", arrays),
    }


def describe_template(template: Any, fitted: Any) -> Fields:
    """Class and parameters of the unfitted detector of a meta-estimator."""
    if type(template) is not type(fitted) or (
        isinstance(template, FrozenEstimator) and template is not fitted
    ):
        raise TypeError(
            f"The parameter estimator={template!r} is not what {fitted!r} was fitted from. Fit "
            "again, and save then."
        )
    fields: Fields = {"class": kind_of(template)}
    if isinstance(template, FrozenEstimator):
        return fields
    fields["params"] = describe_parameters(template, columns_of(fitted))
    if isinstance(template, DetectorWrapper):
        fields["template"] = describe_template(template.estimator, fitted.estimator_)
    return fields


def restore_wrapper(node: Node, make: type[DetectorWrapper]) -> Any:
    """Meta-estimator with its detectors, that lacks its own fitted state."""
    fitted = restore(node.child("estimator"), DETECTORS)
    estimator = restore_parameters(node, make, restore_template(node.child("template"), fitted))
    estimator.estimator_ = fitted
    return estimator


def restore_template(node: Node, fitted: Any) -> Any:
    """Detector that was given to a meta-estimator, whose fitted one is known."""
    node.choice("class", [type(fitted).__name__])
    if isinstance(fitted, FrozenEstimator):
        return fitted
    within = []
    if isinstance(fitted, DetectorWrapper):
        within = [restore_template(node.child("template"), fitted.estimator_)]
    return restore_parameters(node, type(fitted), *within)


def describe_frozen(estimator: FrozenEstimator, arrays: Arrays) -> Fields:
    """What is frozen."""
    return {"estimator": describe(estimator.estimator, "estimator", arrays)}


def restore_frozen(node: Node) -> FrozenEstimator:
    """Frozen detector."""
    return FrozenEstimator(restore(node.child("estimator"), DETECTORS))


def describe_conformal(estimator: ConformalOutlierDetector, arrays: Arrays) -> Fields:
    """Fitted state."""
    arrays["calibration_scores"] = estimator.calibration_scores_
    return describe_wrapper(estimator, arrays) | {
        "control": estimator._control,
        "level": float(estimator._level),
        "offset": plain_offset(estimator),
    }


def restore_conformal(node: Node) -> ConformalOutlierDetector:
    """Fitted detector."""
    estimator = restore_wrapper(node, ConformalOutlierDetector)
    scores = node.array("calibration_scores", np.float64, (None,))
    if len(scores) == 0 or (np.diff(scores) < 0).any():
        refuse("its calibration scores are none, or not in ascending order")
    estimator.calibration_scores_ = scores
    estimator._control = node.choice("control", ["fpr", "fdr"])
    estimator._level = node.number("level", SMALLEST, BELOW_ONE)
    estimator.offset_ = node.number("offset")
    return estimator


def describe_classifier(estimator: OutlierClassifier, arrays: Arrays) -> Fields:
    """Fitted state."""
    ranks = estimator._ranks
    for side, (distances, shares) in {"outliers": ranks.outliers, "inliers": ranks.inliers}.items():
        arrays[f"ranks.{side}_distances"], arrays[f"ranks.{side}_shares"] = distances, shares
    classes = estimator.classes_
    kind = CLASS_TYPES.get(classes.dtype.kind, classes.dtype.name)
    if any(type(label) is not LABELS.get(kind) for label in classes.tolist()):
        raise ValueError(
            f"classes_={classes!r} cannot be saved. Fit with labels that are texts, booleans or "
            "numbers of at most 64 bits."
        )
    return describe_wrapper(estimator, arrays) | {
        "classes": classes.tolist(),
        "class_type": kind,
        "outlier_class": int(estimator._outlier_is_second),
        "ranks": {"scale": float(ranks.scale)},
    }


def restore_classifier(node: Node) -> OutlierClassifier:
    """Fitted classifier."""
    estimator = restore_wrapper(node, OutlierClassifier)
    estimator.classes_ = restore_classes(node)
    estimator.outlier_label_ = estimator.classes_[node.integer("outlier_class", 0, 1)]
    ranks = node.child("ranks")
    estimator._ranks = ScoreRanks(
        ranks.number("scale", SMALLEST),
        *(restore_ranks(ranks, side) for side in ("outliers", "inliers")),
    )
    return estimator


def restore_ranks(node: Node, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Distances from the threshold, and the shares beyond them."""
    distances = node.array(f"{side}_distances", np.float64, (None,), 0)
    shares = node.array(f"{side}_shares", np.float64, (len(distances),), 0, 0.5)
    if len(distances) == 0 or (np.diff(distances) <= 0).any() or (np.diff(shares) >= 0).any():
        refuse(f"the ranks of its {side} are not in order")
    return distances, shares


def restore_classes(node: Node) -> np.ndarray:
    """The two labels, ascending."""
    kind = node.choice("class_type", list(LABELS))
    values = node.value("classes")
    two = isinstance(values, list) and len(values) == 2
    if not two or not all(type(v) is LABELS[kind] for v in values) or not values[0] < values[1]:
        node.wrong("classes", f"two different labels of the type {kind}, in order")
    try:
        classes = np.array(values, dtype=kind)
    except OverflowError as error:
        raise ValueError(f"its labels {shown(values)} are too large for {kind}") from error
    if classes.tolist() != values:
        node.wrong("classes", f"labels that the type {kind} can hold")
    return classes


def plain_offset(estimator: Any) -> float:
    """Threshold of a detector, which anybody may have set."""
    offset = np.asarray(estimator.offset_)
    if offset.size != 1 or offset.dtype.kind not in "iuf" or not np.isfinite(offset).all():
        raise ValueError(f"offset_={estimator.offset_!r} cannot be saved: it is no finite number.")
    return float(offset.item())


LOSSES = ["binary_cross_entropy", "squared_error"]

# Types of labels whose names are others, by kind, and all types with that of their values in JSON.
CLASS_TYPES = {"U": "str", "O": "object"}
LABELS: dict[str, type] = {"str": str, "object": str, "bool": bool}
LABELS |= {f"float{bits}": float for bits in (16, 32, 64)}
LABELS |= {f"{sign}int{bits}": int for sign in ("", "u") for bits in (8, 16, 32, 64)}

# What can be saved: class, and the functions that describe and restore its fitted state.
KINDS: dict[str, tuple[type, Callable[[Any, Arrays], Fields], Callable[[Node], Any]]] = {
    "AutoencoderTransformer": (AutoencoderTransformer, describe_autoencoder, restore_autoencoder),
    "VAEDensityEstimator": (VAEDensityEstimator, describe_density, restore_density),
    "VAEOutlierDetector": (VAEOutlierDetector, describe_detector, restore_detector),
    "VAEImputer": (VAEImputer, describe_imputer, restore_imputer),
    "ConformalOutlierDetector": (ConformalOutlierDetector, describe_conformal, restore_conformal),
    "OutlierClassifier": (OutlierClassifier, describe_classifier, restore_classifier),
    "FrozenEstimator": (FrozenEstimator, describe_frozen, restore_frozen),
}

# What a meta-estimator may wrap.
DETECTORS = ["VAEOutlierDetector", "ConformalOutlierDetector", "FrozenEstimator"]
