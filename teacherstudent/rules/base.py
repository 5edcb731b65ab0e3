"""The contract of an update rule: what one step does to the weights.

`Rule` is the base of every rule, ours and yours; its docstring is the recipe for the next one.
"""

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.checking import arguments, checks, contracts
from teacherstudent.display import Described
from teacherstudent.schedules import is_schedule
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.states.spectral_overlaps import SpectralOverlaps

if TYPE_CHECKING:
    import optax

Layers = Mapping[str, Float[Array, "..."]]


class Network(NamedTuple):
    """The parameters of a two-layer network, or their gradients.

    phi(x) = sum_k v_k g(w_k . x / sqrt N + b_k)
    """

    w: Float[Array, "*workers students inputs"]
    v: Float[Array, "*workers students"]
    b: Float[Array, "*workers students"]

    def layers(self, readout: bool, bias: bool) -> dict[str, Array]:
        """The layers that are trained."""
        trained = {"w": self.w}
        if readout:
            trained["v"] = self.v
        if bias:
            trained["b"] = self.b
        return trained


class Rule(Described):
    """One update of a two-layer network from the gradient of its loss: the base of every rule.

    To write a rule of your own:

    1. Subclass `Rule`, or `DescentRule`, which brings a learning rate for each layer and `descend`.
       The rule's numbers are its fields, set in `__init__` as floats, or as arrays to be swept;
       what is no number is `equinox.field(static=True)`.
    2. Write `update(layers, gradient, memory, N)`.  `layers` is a dictionary of the layers that are
       trained, "w" (students, inputs) and, if they are trained, "v" and "b" (students,).
       There is no randomness beside the samples: an update is a function of these arguments.
       `gradient` has the same form, and holds the derivatives of the batch-averaged loss

           d l / d w_k = v_k g'(lambda_k) l'(phi) x / sqrt N
           d l / d v_k = g(lambda_k) l'(phi)
           d l / d b_k = v_k g'(lambda_k) l'(phi)

       all at the weights before the step.  The answer is the new layers and the new memory.
       Where something else than v_k stands outside in the derivatives by w and b, `backward`
       answers it.
    3. If the rule remembers something, write `memory(layers)`: what it remembers before the first
       update, a pytree of arrays; `update` is handed what it returned the time before.
    4. If the rule sees no coordinate axes, say `rotation_invariant = True` in its class: the chain
       of the overlaps (method "reduced") then runs the same `update` in a frame of a few
       dimensions.  There a row of "w" is shorter than N, so that N has to be taken from the
       argument.  What is remembered in the space of the weights has N as its last axis.
    5. If its limit N -> infinity is known, write that down as a `ts.RuleTheory` for exactly this
       class.  Without one `integrate` refuses the rule, and `simulate` runs it.

    A subclass that changes a rule inherits neither its theory nor its word on rotations.

    A class with a number of its own declares it, and sets it in an `__init__` of its own:

    >>> import teacherstudent as ts
    >>> class Pulled(ts.DescentRule):
    ...     rotation_invariant = True
    ...     pull: float
    ...
    ...     def __init__(self, learning_rate, readout_learning_rate=None, pull=0.0):
    ...         super().__init__(learning_rate, readout_learning_rate)
    ...         self.pull = pull
    ...
    ...     def update(self, layers, gradient, memory, N):
    ...         moved = self.descend(layers, gradient, self.learning_rate, N)
    ...         moved["w"] -= self.pull / N * layers["w"]
    ...         return moved, memory
    >>> Pulled(learning_rate=0.1, pull=0.5)
    Pulled(learning_rate=0.1, pull=0.5)

    >>> class Doubled(ts.SGD):
    ...     def update(self, layers, gradient, memory, N):
    ...         twice = {name: 2 * slope for name, slope in gradient.items()}
    ...         return super().update(layers, twice, memory, N)
    >>> Doubled(learning_rate=0.1).why_not_rotation_invariant()
    'class Doubled changes SGD.update, and does not say whether it is rotation_invariant'
    """

    # What time is: in words, its symbol and its units.
    TIME: ClassVar[tuple[str, str, str]] = ("updates over input dimension", r"$t$", "updates / N")
    TRAINS_BIASES: ClassVar[bool] = True
    # Fields that have a number for each unit, of which a sequence is no sweep.
    VECTORS: ClassVar[tuple[str, ...]] = ()
    rotation_invariant: ClassVar[bool] = False

    @property
    def gradients(self) -> int:
        """How many gradients, each of its own mini-batch, one update takes.

        Several come with a leading axis.
        """
        return 1

    def backward(self, v: Any) -> Any:
        """What carries the error back to each hidden unit: its readout v_k, as in every gradient,
        unless the rule says otherwise.
        """
        return v

    def begin(self, layers: Layers) -> dict[str, Array]:
        """The layers that training begins from; as given, unless the rule needs others."""
        return dict(layers)

    def memory(self, layers: Layers) -> Any:
        """What the rule remembers before the first update, a pytree of arrays."""
        return ()

    @abc.abstractmethod
    def update(
        self, layers: Layers, gradient: Layers, memory: Any, N: int
    ) -> tuple[dict[str, Array], Any]:
        """The layers and the memory after one update, in N dimensions."""

    @classmethod
    def why_not_rotation_invariant(cls) -> str | None:
        """Why the overlaps are not enough to follow this rule; None if they are.

        The word of a class on rotations holds for its own methods: a subclass that changes them has
        to give its own.
        """
        if not cls.rotation_invariant and not contracts.is_ours(cls):
            return (
                f"class {cls.__name__} does not say that it sees no coordinate axes, "
                "rotation_invariant = True"
            )
        if not cls.rotation_invariant:
            return f"{cls.__name__} depends on the coordinate axes"
        said_by = next(base for base in cls.__mro__ if "rotation_invariant" in vars(base))
        changed = contracts.changes(cls, said_by)
        if not changed:
            return None
        return (
            f"{contracts.sentence(cls, said_by, changed)}, and does not say whether it is "
            "rotation_invariant"
        )

    def optax(self) -> "optax.GradientTransformation":
        """The rule for the parameters of any JAX network, without the scalings in N.

        All tensors move with `learning_rate` (or `gain`); rates and scales of single layers have no
        meaning there.
        """
        raise ValueError(f"the rule {type(self).__name__} is not written for other networks.")

    def start_weights(
        self, w: Float[np.ndarray, "students inputs"]
    ) -> Float[np.ndarray, "students inputs"]:
        """Random weights as the rule can begin from them.

        As they are, unless the rule keeps a property of theirs, such as their lengths.
        """
        return w

    def check_dimension(self, N: int) -> None:
        """Raise ValueError if the rule makes no sense in N dimensions."""

    def check_width(self, students: int) -> None:
        """Raise ValueError if the rule does not fit a student with this many units."""

    def check_start(self, start: OrderParameters | SpectralOverlaps) -> None:
        """Raise ValueError if the rule cannot begin at these order parameters."""


class RatedRule(Rule):
    """A rule with a learning rate for each layer.

    - `learning_rate`: eta, of the first layer.
    - `readout_learning_rate`: eta_v, of the readout; the same as `learning_rate` unless given.

    Raises ValueError if a rate is negative or not finite.
    """

    learning_rate: checks.Parameter
    readout_learning_rate: checks.Parameter | None = None

    @arguments.of("rule.")
    def __init__(self, learning_rate, readout_learning_rate=None):
        self.learning_rate = checks.parameter(learning_rate)
        self.readout_learning_rate = checks.parameter(readout_learning_rate)

    def __check_init__(self):
        checks.number("rule.learning_rate", self.learning_rate)
        checks.optional_number("rule.readout_learning_rate", self.readout_learning_rate)

    @property
    def eta_v(self):
        """The readout's learning rate; that of the first layer unless given."""
        if self.readout_learning_rate is None:
            return self.learning_rate
        return self.readout_learning_rate

    @property
    def rate(self):
        """The learning rate for `optax`: one number."""
        return single_rate(self.learning_rate)


class DescentRule(RatedRule):
    """A rule that moves each layer, biases too, along a direction: the base of SGD's relatives.

    - `learning_rate`, `readout_learning_rate`: eta and eta_v, as in `RatedRule`.
    - `bias_learning_rate`: eta_b, of the biases; the same as `learning_rate` unless given.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> class Clipped(ts.DescentRule):
    ...     def update(self, layers, gradient, memory, N):
    ...         short = {name: jnp.clip(slope, -1, 1) for name, slope in gradient.items()}
    ...         return self.descend(layers, short, self.learning_rate, N), memory
    >>> layers, gradient = {"w": jnp.ones((1, 2))}, {"w": jnp.full((1, 2), 9.0)}
    >>> layers, memory = Clipped(0.5).update(layers, gradient, (), N=2)
    >>> print(layers["w"])
    [[0.5 0.5]]
    """

    bias_learning_rate: checks.Parameter | None = None

    @arguments.of("rule.")
    def __init__(self, learning_rate, readout_learning_rate=None, bias_learning_rate=None):
        super().__init__(learning_rate, readout_learning_rate)
        self.bias_learning_rate = checks.parameter(bias_learning_rate)

    def __check_init__(self):
        checks.optional_number("rule.bias_learning_rate", self.bias_learning_rate)

    @property
    def eta_b(self):
        """The biases' learning rate; that of the first layer unless given."""
        if self.bias_learning_rate is None:
            return self.learning_rate
        return self.bias_learning_rate

    def descend(self, layers: Layers, direction: Layers, first_rate, N) -> dict[str, Array]:
        """Each layer less its direction times its rate.

        The rates are `first_rate` for w, eta_v / N for v and eta_b / N for b.
        """
        step = self.steps(direction, first_rate, N)
        return {name: layer - step[name] for name, layer in layers.items()}

    def steps(self, direction: Layers, first_rate, N) -> dict[str, Array]:
        """Each direction times its rate, as `descend` subtracts it."""
        rates = {"w": first_rate, "v": self.eta_v / N, "b": self.eta_b / N}
        return {name: rates[name] * one for name, one in direction.items()}


def single_rate(rate, name: str = "learning_rate"):
    """A rate that is one number, not a sweep, and stays."""
    if is_schedule(rate):
        raise ValueError(
            f"rule.{name} changes with time, which the networks of optax() do not know; give a "
            "number, or optax.inject_hyperparams."
        )
    if not checks.is_traced(rate) and jnp.ndim(rate):
        raise ValueError(f"rule.{name} is a sequence; optax() needs one number.")
    return rate


def replacing(init, step) -> "optax.GradientTransformation":
    """An optax transformation from a step that returns new parameters.

    `step(parameters, gradients, state)` answers (new parameters, new state).
    """
    import optax

    def update(gradients, state, params=None):
        if params is None:
            raise ValueError(
                "params is missing; call update(gradients, state, params): this rule needs the "
                "parameters."
            )
        new, state = step(params, gradients, state)
        return jax.tree.map(lambda after, before: after - before, new, params), state

    return optax.GradientTransformation(init, update)
