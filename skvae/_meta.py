"""What the estimators that wrap an outlier detector share."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, MetaEstimatorMixin, is_outlier_detector
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from ._compat import DocumentationLink


class DetectorWrapper(MetaEstimatorMixin, DocumentationLink, BaseEstimator):
    """Hands X to `estimator` as it is, and metadata of `fit` to its `fit`."""

    estimator: Any
    estimator_: Any

    def _require_detector(self) -> None:
        if not is_outlier_detector(self.estimator):
            raise TypeError(
                "estimator must be an outlier detector with scikit-learn's signs, or a "
                f"pipeline that ends in one; got {self.estimator!r}."
            )

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
        tags.input_tags = get_tags(self.estimator).input_tags
        tags.array_api_support = False
        return tags
