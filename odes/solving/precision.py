"""float64 for one function, whatever JAX's global setting, also when it is differentiated from
float32 code.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import DynamicJaxprTracer


def exact(tree):
    """The pytree with every leaf a float64 JAX array; to be called where float64 is enabled."""

    def number(leaf):
        if not isinstance(leaf, jax.Array):
            leaf = np.asarray(leaf, np.float64)  # NumPy converts without compiling anything
        return jnp.asarray(leaf, jnp.float64)

    return jax.tree.map(number, tree)


def in_float64(function: Callable, *arguments):
    """Call a pure function of float pytrees with all leaves in float64.

    Where the caller has float64 switched off, gradients need care: the backward pass would run
    outside the context that the forward pass ran in.  So forward and backward pass are both given
    the context, and the gradient is handed back in the caller's own precision.  `jax.grad` and
    `jax.vmap` work from float32 code; an enclosing `jax.jit` cannot.

    Raises RuntimeError inside a `jax.jit` of float32 code.
    """
    if jax.config.read("jax_enable_x64"):
        return function(*exact(arguments))
    if any(map(_is_compiled, jax.tree.leaves(arguments))):
        raise RuntimeError(
            "the theory is solved in float64, but this jax.jit traces in float32; "
            "put the jitted call inside `with jax.enable_x64(True):`."
        )
    # A concrete number must not be rounded to float32 on its way into the transformations.
    with jax.enable_x64(True):
        arguments = jax.tree.map(_concrete_in_float64, arguments)
    return _with_gradient_in_float64(function)(*arguments)


def _concrete_in_float64(leaf):
    if isinstance(leaf, jax.core.Tracer):
        return leaf
    return jnp.asarray(leaf, jnp.float64)


def _is_compiled(leaf) -> bool:
    """Whether the leaf belongs to a jax.jit, perhaps inside a jax.grad or jax.vmap."""
    while isinstance(leaf, jax.core.Tracer) and not isinstance(leaf, DynamicJaxprTracer):
        leaf = getattr(leaf, "primal", getattr(leaf, "val", None))
    return isinstance(leaf, DynamicJaxprTracer)


def _with_gradient_in_float64(function: Callable) -> Callable:
    """The function, with a gradient that is handed back in the precision of the arguments."""

    @jax.custom_vjp
    def wrapped(*arguments):
        with jax.enable_x64(True):
            return function(*exact(arguments))

    def forward(*arguments):
        with jax.enable_x64(True):
            answer, pull_back = jax.vjp(function, *exact(arguments))
            like = jax.tree.map(lambda leaf: jnp.zeros((), leaf.dtype), arguments)
        return answer, (pull_back, like)

    def backward(residuals, cotangent):
        pull_back, like = residuals
        with jax.enable_x64(True):
            return jax.tree.map(
                lambda gradient, leaf: gradient.astype(leaf.dtype), pull_back(cotangent), like
            )

    wrapped.defvjp(forward, backward)
    return wrapped
