"""Look into a fitted model: displays, and the features behind a score."""

from ._contributions import ContributionsDisplay, top_contributions
from ._latent_space import LatentSpaceDisplay
from ._loss_curve import LossCurveDisplay
from ._reconstruction import ReconstructionDisplay
from ._score_distribution import ScoreDistributionDisplay
from ._threshold_curve import ThresholdCurveDisplay

__all__ = [
    "ContributionsDisplay",
    "LatentSpaceDisplay",
    "LossCurveDisplay",
    "ReconstructionDisplay",
    "ScoreDistributionDisplay",
    "ThresholdCurveDisplay",
    "top_contributions",
]
