"""float64 for one function, whatever JAX's global setting, also where it is differentiated, mapped
or compiled from float32 code.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from odes.solving.float64_call import Call, run_call


def exact(tree):
    """The pytree with every leaf a float64 JAX array; to be called where float64 is enabled."""

    def number(leaf):
        if not isinstance(leaf, jax.Array):
            leaf = np.asarray(leaf, np.float64)  # NumPy converts without compiling anything
        return jnp.asarray(leaf, jnp.float64)

    return jax.tree.map(number, tree)


def in_float64(function: Callable, *arguments, reverse: Callable | None = None):
    """Call a pure function of float pytrees with all leaves in float64, and answer in float64.

    - `function`: what is called.  All that is differentiated or mapped is among the `arguments`;
      what it takes from its surroundings is constant.
    - `reverse`: the same function in the form whose gradients are taken, where the `function`
      itself can be differentiated in forward mode only; None is the function itself.

    `jax.grad`, `jax.jvp`, `jax.jacfwd`, `jax.jacrev`, `jax.hessian`, `jax.vmap` and `jax.jit` work
    around it, in any order, whether or not the caller has float64 switched on: every rule of
    differentiation, of batching and of compilation is applied where it is
    (`odes.solving.float64_call`).  Derivatives with respect to float32 numbers are rounded to
    float32 where JAX wants them so: gradients are, tangents are not.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> with jax.enable_x64(False):
    ...     slope = jax.jit(jax.jacfwd(lambda x: in_float64(jnp.sin, x)))(0.0)
    >>> float(slope), str(slope.dtype)
    (1.0, 'float64')
    """
    if reverse is None and jax.config.read("jax_enable_x64"):
        return function(*exact(arguments))
    # A concrete number must not be rounded to float32 on its way into the transformations.
    with jax.enable_x64(True):
        arguments = jax.tree.map(_concrete_in_float64, arguments)
    leaves, structure = jax.tree.flatten(arguments)
    answers: list = []  # the structure of what the function answers, known when it has run

    def of_leaves(one: Callable) -> Callable:
        def flat(*leaves):
            answer = one(*exact(jax.tree.unflatten(structure, leaves)))
            found, answered = jax.tree.flatten(answer)
            answers[:] = [answered]
            return [jnp.asarray(part) for part in found]

        return flat

    forward = of_leaves(function)
    backward = forward if reverse is None else of_leaves(reverse)
    found = run_call(Call(forward, backward), leaves)
    return jax.tree.unflatten(answers[0], found)


def _concrete_in_float64(leaf):
    if isinstance(leaf, jax.core.Tracer):
        return leaf
    return jnp.asarray(leaf, jnp.float64)
