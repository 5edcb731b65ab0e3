"""Activation functions g of the hidden units.

A name ("erf"), polynomial coefficients ((0, 1) is g(x) = x) or any elementwise JAX function becomes
an `Activation`.  Conventions: "erf" is erf(x / sqrt 2), so that g'(x) = sqrt(2/pi) exp(-x^2/2);
"quadratic" is exactly x^2. "sign" (-1, 0, 1) and "step" (0 or 1) are for teachers, whose labels may
jump; a student that jumps has no gradient.  "logcosh" and "gauss", log cosh x and -exp(-x^2 / 2),
are contrast functions of independent component analysis (with negatives).
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent.activations.singularities import Singularities, find_singularities
from teacherstudent.checking import arguments, checks, contracts
from teacherstudent.checking.checks import AnyArray


@dataclass(frozen=True)
class Polynomial:
    """The polynomial c_0 + c_1 x + ... + c_d x^d."""

    coefficients: tuple[float, ...]

    def __call__(self, x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
        value = jnp.zeros_like(x)
        for coefficient in reversed(self.coefficients):
            value = value * x + coefficient
        return value

    def derivative(self) -> "Polynomial":
        """The polynomial c_1 + 2 c_2 x + ... + d c_d x^(d-1)."""
        slopes = tuple(power * c for power, c in enumerate(self.coefficients))[1:]
        return Polynomial(slopes or (0.0,))


@dataclass(frozen=True)
class Activation:
    """An activation g: R -> R, applied to each field.

    Points where g, g' or g'' jumps are found when the activation is first used (`singularities`),
    and averages are taken between them.  `kinks` are points beside those that are found, for
    features too narrow to be seen: one of the ends of an interval below 0.01 in which g differs.
    """

    name: str
    function: Callable
    kinks: tuple[float, ...] = ()

    def __post_init__(self):
        checks.text("Activation name", self.name)
        if not callable(self.function):
            raise ValueError(
                f"Activation function = {checks.shortened(self.function)} is not a JAX function "
                "of one field."
            )
        kinks = checks.finite_array("Activation kinks", self.kinks)
        if kinks.ndim != 1:
            raise ValueError(
                f"Activation kinks = {checks.shortened(self.kinks)}: give a sequence of points, "
                "(0.0,)."
            )
        object.__setattr__(self, "kinks", tuple(kinks.tolist()))
        known = globals().get("ACTIVATIONS", {}).get(self.name)
        if known is not None and known.function is not self.function:
            raise ValueError(
                f"Activation({checks.shortened(self.name)}, ...) would be mistaken for ours; give "
                "it another name."
            )

    def __call__(self, x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
        return self.function(x)

    def derivative(self, x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
        """g'(x), by forward differentiation; 0 where g jumps."""
        return jax.jvp(self.function, (x,), (jnp.ones_like(x),))[1]

    @property
    def singularities(self) -> Singularities:
        """Where g, g' or g'' jumps, and by how much g and g' do.

        Raises ValueError if g cannot be evaluated, or is too rough for averages.
        """
        return _singularities_of(self)

    @property
    def cuts(self) -> tuple[float, ...]:
        """The points at which an integral over a field of g is divided."""
        return self.singularities.points


Activation.__init__ = arguments.checked(Activation.__init__)  # type: ignore[method-assign]  # a dataclass writes its own


def _erf(x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
    return jax.scipy.special.erf(x / math.sqrt(2))


def _log_cosh(x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
    return jnp.logaddexp(x, -x) - math.log(2)


ACTIVATIONS = {
    activation.name: activation
    for activation in (
        Activation("erf", _erf),
        Activation("linear", Polynomial((0.0, 1.0))),
        Activation("quadratic", Polynomial((0.0, 0.0, 1.0))),
        Activation("relu", jax.nn.relu, kinks=(0.0,)),
        Activation("sign", jnp.sign, kinks=(0.0,)),
        Activation("step", lambda x: (1 + jnp.sign(x)) / 2, kinks=(0.0,)),
        Activation("tanh", jnp.tanh),
        Activation("gelu", lambda x: x * (1 + _erf(x)) / 2),
        Activation("logcosh", _log_cosh),
        Activation("minus-logcosh", lambda x: -_log_cosh(x)),
        Activation("gauss", lambda x: -jnp.exp(-(x**2) / 2)),
        Activation("minus-gauss", lambda x: jnp.exp(-(x**2) / 2)),
    )
}

OURS = frozenset(ACTIVATIONS.values())  # whatever becomes of the names
# Those of ours are known, which spares a short run the search.
KNOWN_SINGULARITIES = {
    ACTIVATIONS["relu"]: Singularities((0.0,), (0.0,), (1.0,)),
    ACTIVATIONS["sign"]: Singularities((0.0,), (2.0,), (0.0,)),
    ACTIVATIONS["step"]: Singularities((0.0,), (1.0,), (0.0,)),
}


@lru_cache(maxsize=256)
def _singularities_of(activation: Activation) -> Singularities:
    if activation in OURS:
        return KNOWN_SINGULARITIES.get(activation, Singularities())
    if polynomial_of(activation) is not None:
        return Singularities()
    return find_singularities(activation.function, activation.name, activation.kinks)


ActivationLike = str | Sequence[float | int] | Callable | Activation


def as_activation(given, argument: str = "activation") -> Activation:
    """The `Activation` meant by a name, a sequence of polynomial coefficients or an elementwise JAX
    function.

    Raises ValueError for an unknown name, non-finite coefficients, a function that is not an
    elementwise JAX function, and anything else.
    """
    if isinstance(given, Activation):
        return _as_plain(given, argument)
    if isinstance(given, str):
        return _by_name(given, argument)
    if isinstance(given, list | tuple | np.ndarray):
        return _by_coefficients(given, argument)
    if callable(given):
        name = f"{getattr(given, '__module__', '')}.{getattr(given, '__qualname__', repr(given))}"
        values = _values_of(given, name, argument)
        return Activation(
            f"function:{name}#{hashlib.sha256(values.tobytes()).hexdigest()[:8]}", given
        )
    raise ValueError(
        f"{argument} is {checks.shortened(given)}; give a name ({', '.join(ACTIVATIONS)}), "
        "a list of polynomial coefficients, or an elementwise JAX function."
    )


def as_function(given, argument: str = "activation") -> Activation:
    """The `Activation` that has the values of what is given, where its derivative is of no use.

    That of a subclass with another `__call__` has this as its function.  Raises ValueError as
    `as_activation`.
    """
    activation = as_activation(given, argument)
    return activation if type(activation) is Activation else _without_class(activation, argument)


def _without_class(given: Activation, argument: str) -> Activation:
    """An ordinary activation with the values of one of a class of one's own."""
    if not contracts.changes(type(given), Activation, ("derivative",)):
        return Activation(given.name, given.function, given.kinks)
    return dataclasses.replace(as_activation(given.__call__, argument), kinks=given.kinks)


def _as_plain(given: Activation, argument: str) -> Activation:
    """An activation without methods of its own.

    With another `derivative` it stays what it is: networks use it, and no theory knows it.
    """
    own_derivative = "derivative" in contracts.changes(type(given), Activation)
    return given if type(given) is Activation or own_derivative else _without_class(given, argument)


def polynomial_of(activation: Activation) -> Polynomial | None:
    """The polynomial that an activation is; None for any other, a subclass that may be something
    else included.
    """
    function = activation.function
    if type(activation) is not Activation or type(function) is not Polynomial:
        return None
    return function


def _values_of(function: Callable, name: str, argument: str) -> np.ndarray:
    """The function at four points; JAX must be able to trace it, and each entry must depend on its
    own argument only.
    """
    x = jnp.array([-1.3, -0.4, 0.6, 1.7])
    try:
        together, apart = jax.jit(function)(x), jax.vmap(function)(x)
    except Exception as error:
        raise ValueError(
            f"{argument} = {name} cannot be traced by JAX ({type(error).__name__}); write it with "
            "jax.numpy."
        ) from error
    if (
        getattr(together, "shape", None) != x.shape
        or jnp.iscomplexobj(together)
        or not jnp.allclose(together, apart, atol=1e-5)
    ):
        raise ValueError(
            f"{argument} = {name} is not elementwise; give a function of one field, such as "
            "jnp.tanh."
        )
    return np.round(np.asarray(together, dtype=np.float64), 5)


def _by_name(name: str, argument: str) -> Activation:
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    if name.startswith("function:"):
        raise ValueError(
            f"{argument} was the Python function {name.removeprefix('function:')}; files keep "
            "only its name."
        )
    near = get_close_matches(name, ACTIVATIONS, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"{argument} = {checks.shortened(name)} is not a known activation; known are "
        f"{', '.join(ACTIVATIONS)}, a list of polynomial coefficients, or an elementwise JAX "
        f"function.{hint}"
    )


def _by_coefficients(given: Iterable, argument: str) -> Activation:
    coefficients = tuple(checks.array(argument, given).ravel().tolist())
    if not coefficients or not all(map(math.isfinite, coefficients)):
        raise ValueError(
            f"{argument} = {checks.shortened(list(given))}: polynomial coefficients c_0, c_1, ... "
            "must be finite, at least one."
        )
    return Activation(f"polynomial{list(coefficients)}", Polynomial(coefficients))
