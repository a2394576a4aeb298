"""What the estimators that wrap an outlier detector share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_outlier_detector
from sklearn.utils import Tags, get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from ._compat import (
    DocumentationLink,
    ParameterConstraints,
    check_method_params,
    num_samples,
    refuse_unrouted_metadata,
    safe_indexing,
    validate_params,
)
from ._validation import refuse_broken

# Rows by whose predictions it is told what signs a detector has.
N_ROWS_JUDGED = 100


def refuse_other_signs(detector: Any, X: Any) -> None:
    """Raise a TypeError if a fitted detector predicts anything but -1 and 1 of rows.

    PyOD's, which scikit-learn takes for outlier detectors, predict 1 for an outlier and 0 for an
    inlier, and their decisions are the higher, the less normal a row is.
    """
    if not hasattr(detector, "predict"):
        return
    (rows,) = indexable(X)
    # From all over the table: the first rows of a sorted one may all be outliers.
    n_rows = num_samples(rows)
    rows = safe_indexing(rows, np.unique(np.linspace(0, n_rows - 1, N_ROWS_JUDGED, dtype=int)))
    predicted = np.unique(detector.predict(rows)).tolist()
    if not set(predicted) <= {-1, 1}:
        raise TypeError(
            f"{detector!r} predicts {predicted}, not -1 for an outlier and 1 for an inlier: it is "
            "no outlier detector with scikit-learn's signs. For PyOD's models write a class whose "
            "predict is np.where(model.predict(X) == 1, -1, 1), and whose decision_function is "
            "model.threshold_ - model.decision_function(X)."
        )


class DetectorWrapper(MetaEstimatorMixin, DocumentationLink, BaseEstimator):
    """Hands X to `estimator` as it is, and metadata of `fit` to its `fit`."""

    estimator: Any
    estimator_: Any
    _parameter_constraints: ParameterConstraints

    def _check_fit(self, X: Any, fit_params: dict[str, Any]) -> None:
        """Raise an error for what `fit` cannot be given."""
        validate_params(self, self._parameter_constraints)
        refuse_unrouted_metadata(self, fit_params)
        refuse_broken(X)
        if X is None or isinstance(X, str):
            given = "None; pass a table" if X is None else "one text; pass a list of texts"
            raise ValueError(f"X is {given}.")
        if isinstance(X, Mapping) and not sp.issparse(X):  # SciPy's DOK matrices are dicts
            raise TypeError(f"X is a {type(X).__name__}; pass a table, such as a DataFrame of it.")
        if not is_outlier_detector(self.estimator):
            raise TypeError(
                "estimator must be an outlier detector with scikit-learn's signs, or a "
                f"pipeline that ends in one; got {self.estimator!r}."
            )

    def _fit_detector(
        self, X: Any, fit_params: dict[str, Any], indices: np.ndarray | None = None
    ) -> None:
        """Fit the detector to rows, or to some of them, with what belongs to these."""
        if indices is not None:
            if len(indices) < num_samples(X) and get_tags(self.estimator).input_tags.pairwise:
                raise ValueError(
                    f"{self.estimator!r} takes a matrix of all pairs of rows, of which some rows "
                    f"alone are none: {type(self).__name__} cannot fit it on them. Pass features "
                    "and a kernel or metric of features, or a fitted FrozenEstimator."
                )
            fit_params = check_method_params(X, fit_params, indices=indices)
            X = safe_indexing(*indexable(X), indices)
        routed = process_routing(self, "fit", **fit_params)
        # `FrozenEstimator.fit` insists on a y.
        self.estimator_ = clone(self.estimator).fit(X, None, **routed.estimator.fit)

    def _refuse_detector(self, X: Any, *methods: str) -> None:
        """Raise a TypeError if the fitted detector has none of these methods, or other signs."""
        if not any(hasattr(self.estimator_, method) for method in methods):
            raise TypeError(
                f"{self.estimator!r} cannot judge rows other than those it was fitted on (it has "
                f"no {' or '.join(methods)}). For LocalOutlierFactor set novelty=True."
            )
        refuse_other_signs(self.estimator_, X)

    def _ask_detector(self, method: str, X: Any, *, finite: bool = False) -> np.ndarray:
        """One number for each row; a ValueError if one is NaN or, where that counts, not finite."""
        values = np.asarray(getattr(self.estimator_, method)(X), dtype=float).ravel()
        wrong = ~np.isfinite(values) if finite else np.isnan(values)
        if wrong.any():
            raise ValueError(
                f"{self.estimator!r} gives {wrong.sum()} of {len(values)} rows a {method} that is "
                f"{'not finite' if finite else 'NaN'}. Leave these rows out, or take another "
                "detector."
            )
        return values

    @property
    def n_features_in_(self):
        """Number of features seen in `fit`."""
        return self._of_fitted_estimator("n_features_in_")

    @property
    def feature_names_in_(self):
        """Names of features seen in `fit`."""
        return self._of_fitted_estimator("feature_names_in_")

    def _of_fitted_estimator(self, name: str) -> Any:
        if "estimator_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name!r} before it is fitted")
        return getattr(self.estimator_, name)

    def get_metadata_routing(self):
        """Say where metadata goes: what `fit` is given, to the detector.

        Returns
        -------
        routing : MetadataRouter
            The routing information.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        return router.add(estimator=self.estimator, method_mapping=mapping)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # What is no estimator is refused by `fit`, and may be shown before.
        if isinstance(self.estimator, BaseEstimator):
            tags.input_tags = get_tags(self.estimator).input_tags
        tags.array_api_support = False
        return tags
