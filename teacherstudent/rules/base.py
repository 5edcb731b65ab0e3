"""The contract of an update rule.

To add a rule: one file here with a subclass of `Rule`, its name in `RULES` (`__init__.py`), and, where the limit
N -> infinity exists, its flow in `odes/` (`odes.vector_field.flow.register`).
"""

import abc
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from teacherstudent.order_parameters import OrderParameters
from teacherstudent.spectral_overlaps import SpectralOverlaps


class Network(NamedTuple):
    """The parameters of a two-layer network phi(x) = sum_k v_k g(w_k . x / sqrt N + b_k); also their gradients."""

    w: Float[Array, "students inputs"]
    v: Float[Array, " students"]
    b: Float[Array, " students"]


class Rule(eqx.Module):
    """One update of a two-layer network from the gradient of its loss."""

    @abc.abstractmethod
    def update(self, student: Network, gradient: Network) -> Network:
        """The network after one step.

        `gradient` holds the derivatives of the batch-averaged loss, d l/d w_k = v_k g'(lambda_k) l'(phi) x / sqrt N,
        d l/d v_k = g(lambda_k) l'(phi) and d l/d b_k = v_k g'(lambda_k) l'(phi), all at the weights before the step.
        """

    def check_start(self, start: OrderParameters | SpectralOverlaps) -> None:
        """Raise ValueError if the rule cannot begin at these order parameters."""
