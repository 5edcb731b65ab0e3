"""Multitask sparse parity in its solvable form: skills of unequal frequency, learnt one by one.

Inputs are an index k of a skill, with probability P_k = A k^-(alpha + 1), and bits x.  The target
is S times the parity g_k of the bits of this skill, and E[g_k g_l] = P_k delta_kl: the skills are
an orthogonal basis.  A product of two numbers learns each of them,

    f = sum_k a_k b_k g_k,    R_k = a_k b_k,    loss = (1/2) sum_k P_k (S - R_k)^2.

Nam, Fonseca, Lee, Mingard & Louis, NeurIPS 2024 (arXiv:2404.17563).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from teacherstudent.checking import arguments, checks
from teacherstudent.models.model import Model, Quantity, registered
from teacherstudent.models.state import State

MOST_SKILLS = 10**7


@registered
class SparseParity(Model):
    """Multitask sparse parity, learnt by f = sum_k a_k b_k g_k: sudden skills, smooth loss.

    Skill k = 1..n comes with probability P_k = A k^-(alpha + 1).  Gradient descent on the mean of
    (f - S g_k)^2 / 2 over a batch with c_k samples of skill k, of B:

        a_k <- a_k + (eta / N) (c_k / B) b_k (S - R_k),    R_k = a_k b_k
        b_k <- b_k + (eta / N) (c_k / B) a_k (S - R_k)

    Time is t = updates / N: there are no inputs whose number could grow, so N only divides the
    rate, and for N -> infinity the steps become gradient flow.  N = 1 is the paper's descent, with
    its time tau.  From a_k = b_k the strength R_k is a sigmoid,

        R_k(t) = S / (1 + (S / R_k(0) - 1) exp(-2 eta P_k S t)).

    - `skills`: their number n.
    - `exponent`: alpha > 0.
    - `target`: S > 0.
    - `learning_rate`: eta, which may be a schedule or a sequence.
    - `batch_size`: B, of networks; the theory is the same for all.

    Its state is `ts.State(first=..., second=...)`, a_k and b_k, both (skills,); `even_start` makes
    one.  Recorded besides: `strength` (skills,), R_k; `loss`; `learnt`, the number of skills with
    R_k > S / 2.

    What follows for data, sizes and compute is in `ts.skill_curves`, `ts.scaling_laws` and
    `ts.compute_frontier`; `ts.train_parity_network` trains an ordinary network.

    Raises ValueError if a number is not positive.

    Nam, Fonseca, Lee, Mingard & Louis, NeurIPS 2024 (arXiv:2404.17563).

    >>> import teacherstudent as ts
    >>> model = ts.SparseParity(skills=3, exponent=0.6, target=1.0, learning_rate=0.1)
    >>> theory = ts.integrate(model, model.even_start(0.01), times=[0.0, 100.0, 1000.0])
    >>> print(theory.learnt.values)
    [0. 1. 3.]
    """

    NUMBERS = ("exponent", "target", "learning_rate")
    STATE: ClassVar[Mapping[str, Quantity]] = MappingProxyType(
        {
            "first": Quantity(("skill",), "first factors", r"$a_k$"),
            "second": Quantity(("skill",), "second factors", r"$b_k$"),
        }
    )
    RECORDED: ClassVar[Mapping[str, Quantity]] = MappingProxyType(
        {
            "strength": Quantity(("skill",), "strength of the skills", r"$\mathcal{R}_k$"),
            "loss": Quantity((), "expected loss", r"$E\ell$"),
            "learnt": Quantity((), "number of skills learnt", r"$n_{\rm learnt}$"),
        }
    )
    ERROR = "loss"

    skills: int = eqx.field(static=True)
    exponent: checks.Parameter
    target: checks.Parameter
    learning_rate: checks.Parameter
    batch_size: int = eqx.field(static=True)

    @arguments.of("model.")
    def __init__(self, skills=100, exponent=1.0, target=1.0, learning_rate=1.0, batch_size=1):
        self.skills = checks.integer("model.skills", skills, maximum=MOST_SKILLS)
        self.exponent = checks.parameter(exponent)
        self.target = checks.parameter(target)
        self.learning_rate = checks.parameter(learning_rate)
        self.batch_size = checks.integer("model.batch_size", batch_size)
        checks.number("model.exponent", self.exponent, strict=True)
        checks.number("model.target", self.target, strict=True)
        checks.number("model.learning_rate", self.learning_rate)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"first": (self.skills,), "second": (self.skills,)}

    @property
    def frequencies(self) -> Array:
        """P_k = A k^-(alpha + 1) for k = 1..n, with sum 1."""
        powers = jnp.arange(1.0, self.skills + 1) ** (-(self.exponent + 1))
        return powers / jnp.sum(powers)

    def even_start(self, strength: float) -> State:
        """The state a_k = b_k = sqrt(strength) of all skills.

        Raises ValueError if the strength is negative.

        >>> import teacherstudent as ts
        >>> ts.SparseParity(skills=2).even_start(0.25).first
        array([0.5, 0.5])
        """
        factors = np.full(self.skills, np.sqrt(checks.single("strength", strength)))
        return State(first=factors, second=factors)

    def observed(self, t, state: Mapping[str, Array]) -> dict[str, Array]:
        strength = state["first"] * state["second"]
        missing = self.target - strength
        return {
            "strength": strength,
            "loss": jnp.sum(self.frequencies * missing**2) / 2,
            "learnt": jnp.sum(jnp.where(strength > self.target / 2, 1.0, 0.0)),
        }
