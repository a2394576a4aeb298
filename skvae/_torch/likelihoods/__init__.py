"""Likelihoods p(x|z): one small class each.

A likelihood says which tables it can describe (`check`), learns what it needs of the training table
(`start`), gives a batch the form that it and the encoder read (`prepare`, `inputs`), and turns the
decoder's outputs into log-probabilities, means and samples. Everything is in nats, constants
included.
"""

from .base import Likelihood, has_missing
from .bernoulli import Bernoulli, LenientBernoulli, check_unit_interval
from .categorical import Categorical
from .choose import LIKELIHOODS, choose_likelihoods, in_unit_interval, is_binary, make_likelihood
from .contaminated_gaussian import ContaminatedGaussian
from .gaussian import Gaussian
from .mixed import Mixed
from .multinomial import Multinomial
from .negative_binomial import NegativeBinomial
from .poisson import Poisson
from .spike_and_slab import SpikeAndSlab

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "Categorical",
    "ContaminatedGaussian",
    "Gaussian",
    "LenientBernoulli",
    "Likelihood",
    "Mixed",
    "Multinomial",
    "NegativeBinomial",
    "Poisson",
    "SpikeAndSlab",
    "check_unit_interval",
    "choose_likelihoods",
    "has_missing",
    "in_unit_interval",
    "is_binary",
    "make_likelihood",
]
