"""What users give as an activation, as an `Activation`.

A name ("erf"), polynomial coefficients ((0, 1) is g(x) = x) or any elementwise JAX function becomes
an `Activation`.  Conventions: "erf" is erf(x / sqrt 2), so that g'(x) = sqrt(2/pi) exp(-x^2/2);
"quadratic" is exactly x^2.  "sign" (-1, 0, 1) and "step" (0 or 1) are for teachers, whose labels
may jump; a student that jumps has no gradient.  "logcosh" and "gauss", log cosh x and
-exp(-x^2 / 2), are contrast functions of independent component analysis (with negatives).
"""

import copyreg
import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches

import jax
import jax.numpy as jnp
import numpy as np

from teacherstudent.activations import named  # noqa: F401 (fills ACTIVATIONS)
from teacherstudent.activations.base import ACTIVATIONS, Activation, polynomial_of
from teacherstudent.activations.polynomial import Polynomial
from teacherstudent.checking import checks, contracts

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "ActivationLike",
    "Polynomial",
    "as_activation",
    "as_function",
    "polynomial_of",
]

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
        return _by_function(given, argument)
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
    if type(activation) is Activation:
        return activation
    return _without_class(activation, argument)


def _as_plain(given: Activation, argument: str) -> Activation:
    """An activation without methods of its own.

    With another `derivative` it stays what it is: networks use it, and no theory knows it.
    """
    if type(given) is Activation or "derivative" in contracts.changes(type(given), Activation):
        return given
    return _without_class(given, argument)


def _without_class(given: Activation, argument: str) -> Activation:
    """An ordinary activation with the values of one of a class of one's own.

    Its closed forms are kept if the class changes nothing.
    """
    if not contracts.changes(type(given), Activation, ("derivative",)):
        parts = {field.name: getattr(given, field.name) for field in dataclasses.fields(Activation)}
        return Activation(**parts)
    return dataclasses.replace(as_activation(given.__call__, argument), kinks=given.kinks)


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


def _by_function(function: Callable, argument: str) -> Activation:
    """The activation of a Python function, with some of its values in the name: two functions may
    be called the same.
    """
    called = getattr(function, "__qualname__", repr(function))
    name = f"{getattr(function, '__module__', '')}.{called}"
    values = _values_of(function, name, argument)
    digest = hashlib.sha256(values.tobytes()).hexdigest()
    return Activation(f"function:{name}#{digest[:8]}", function)


def _values_of(function: Callable, name: str, argument: str) -> np.ndarray:
    """The function at four points; JAX must be able to trace it, and each entry must depend on its
    own argument only.
    """
    x = jnp.array([-1.3, -0.4, 0.6, 1.7])
    try:
        # Not the function itself: JAX's cache of compiled functions can crash on a NumPy ufunc.
        together = jax.jit(lambda x: function(x))(x)
        apart = jax.vmap(function)(x)
    except Exception as error:
        raise ValueError(
            f"{argument} = {name} cannot be traced by JAX ({type(error).__name__}); write it with "
            "jax.numpy."
        ) from error
    if (
        getattr(together, "shape", None) != x.shape
        or jnp.iscomplexobj(together)
        or not jnp.allclose(together, apart, atol=1e-5, equal_nan=True)
    ):
        raise ValueError(
            f"{argument} = {name} is not elementwise; give a function of one field, such as "
            "jnp.tanh."
        )
    wrong = ~np.isfinite(np.asarray(together))
    if wrong.any():
        raise ValueError(
            f"{argument} = {name} is {np.asarray(together)[wrong][0]} at x = {x[wrong][0]:.4g}; "
            "fields are Gaussian and meet every number, so give a function that is finite "
            "everywhere."
        )
    return np.round(np.asarray(together, dtype=np.float64), 5)


def _pickled(activation: Activation) -> str | tuple:
    """How an activation is pickled: one of ours by its name.

    JAX's own functions cannot be pickled, and a copy of one would be another activation, without
    closed forms.
    """
    if ACTIVATIONS.get(activation.name) == activation:
        return _by_name, (activation.name, "activation")
    return object.__reduce_ex__(activation, 2)


copyreg.pickle(Activation, _pickled)
