"""Reference integrals to 16 digits, and what several tests of the averages share.

`integrals.json` holds E[g(h_i) g(h_j)] and its companions for 36 covariances of four fields,
computed with 34 digits (the key `how` says from which formulas).  Its I3 tests G2, through Stein's
lemma.
"""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from teacherstudent.activations.activation import as_activation
from teacherstudent.averages import averages_for

INTEGRALS = json.loads((Path(__file__).parent / "integrals.json").read_text())
COVARIANCES = np.array([entry["C"] for entry in INTEGRALS["covariances"]])
KINDS = np.array([entry["kind"] for entry in INTEGRALS["covariances"]])


def evaluation(averages):
    """The compiled function of C and u that gives I2, J2, G2 and I4 by name."""
    names = ("I2", "J2", "G2")
    return jax.jit(
        lambda C, u: (
            {name: getattr(averages, name)(C) for name in names} | {"I4": averages.I4(C, u)}
        )
    )


@functools.cache
def tables(name, students, teachers):
    """The compiled function of C that gives I2, J2, I3 and I4 as arrays indexed by fields, for g =
    g* with that name.
    """
    averages = averages_for(as_activation(name), as_activation(name), students, teachers)

    def all_tables(C):
        J2, G2 = averages.J2(C), averages.G2(C)
        I3 = C[:students, :, None] * G2[:, None, :] + C[None, :, :] * J2[:, None, :]
        I4 = jax.jacfwd(jax.jacfwd(lambda u: averages.I4(C, u)))(jnp.ones(len(C))) / 2
        return {"I2": averages.I2(C), "J2": J2, "I3": I3, "I4": I4}

    return jax.jit(all_tables)


@functools.cache
def reference_tables(name):
    """The tables for two students and two teachers, for all covariances."""
    return jax.tree.map(
        lambda *each: np.stack(each), *map(tables(name, 2, 2), map(jnp.asarray, COVARIANCES))
    )


def assert_agrees(name, integral, rtol, atol, only=slice(None)):
    tuples = np.array(INTEGRALS["index_tuples"][integral])
    listed = np.array(INTEGRALS["values"][name][integral])
    found = reference_tables(name)[integral][:, *tuples.T]
    np.testing.assert_allclose(found[only], listed[only], rtol=rtol, atol=atol)


def random_covariance(fields, seed, dimension=8):
    weights = np.random.default_rng(seed).normal(size=(fields, dimension))
    return jnp.asarray(weights @ weights.T / dimension)


def weighted_sum(averages, seed):
    """A scalar function of C that depends on every entry of every average, and its gradient, both
    compiled.
    """
    random = np.random.default_rng(seed)
    students, fields = averages.students, averages.students + averages.teachers
    u = jnp.asarray(random.normal(size=fields))
    shapes = {
        "I2": (fields, fields),
        "J2": (students, fields),
        "G2": (students, fields),
        "I4": (students, students),
    }
    weights = {name: jnp.asarray(random.normal(size=shape)) for name, shape in shapes.items()}
    evaluate = evaluation(averages)

    def scalar(C):
        return sum(jnp.vdot(weights[name], value) for name, value in evaluate(C, u).items())

    return jax.jit(scalar), jax.jit(jax.grad(scalar))


def assert_gradient(scalar, gradient, C, seed, rtol, step=1e-5):
    """The derivative along a random symmetric direction equals the central difference."""
    direction = np.random.default_rng(seed).normal(size=C.shape)
    direction = jnp.asarray(direction + direction.T)
    difference = (scalar(C + step * direction) - scalar(C - step * direction)) / (2 * step)
    np.testing.assert_allclose(jnp.vdot(gradient(C), direction), difference, rtol=rtol)
