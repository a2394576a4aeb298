"""Real values, some of which have nothing to do with the others of their row."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from .gaussian import Gaussian, log_normal


class ContaminatedGaussian(Gaussian):
    """Real values, a small share of which comes from a wide Gaussian, whatever z is.

    In standardised units p(x|z) = (1 - e) N(x; mean, variance) + e N(x; 0, `SPREAD`^2) with the
    share e = `SHARE` (Tukey, 1960; in a VAE, Eduardo et al., 2020). A value that does not fit is
    then improbable only so far, and cannot bend the network.

    Annealed training starts from `FIRST_SHARE`, and the logarithm of the share comes down evenly.
    So the network first learns what most values have in common, and that stays.
    """

    name = "contaminated_gaussian"
    SHARE = 0.01
    FIRST_SHARE = 0.5
    SPREAD = 2.0

    share = SHARE

    def in_training(self, progress: float) -> ContaminatedGaussian:
        likelihood = copy.copy(self)
        likelihood.share = self.FIRST_SHARE * (self.SHARE / self.FIRST_SHARE) ** progress
        return likelihood

    def log_density(self, outputs: Sequence[Tensor], x: Tensor) -> Tensor:
        own = super().log_density(outputs, x) + math.log1p(-self.share)
        wide = log_normal(x, 0.0, x.new_tensor(self.SPREAD**2)) + math.log(self.share)
        return torch.logaddexp(own, wide)

    def mean(self, outputs: Sequence[Tensor]) -> Tensor:
        return super().mean([(1 - self.share) * outputs[0]])

    def sample(self, outputs: Sequence[Tensor], generator: Generator) -> Tensor:
        drawn = super().sample(outputs, generator)
        wide = self.SPREAD * torch.randn(drawn.shape, generator=generator, dtype=drawn.dtype)
        is_wide = torch.rand(drawn.shape, generator=generator, dtype=drawn.dtype) < self.share
        return torch.where(is_wide, wide * self.scale_ + self.location_, drawn)
