"""The finite two-layer network: fields, outputs, and the gradient of its loss."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.losses import as_loss
from teacherstudent.problem import Problem, Student
from teacherstudent.rules import Network

# The precision of matrix products: a GPU would round factors to 10 bits (TensorFloat-32).
EXACT = "float32"


def fields(
    w: Float[Array, "units inputs"], x: Float[Array, "samples inputs"]
) -> Float[Array, "samples units"]:
    """w_k . x / sqrt N."""
    return jnp.einsum("bn,kn->bk", x, w) / math.sqrt(x.shape[-1])


def output(
    problem: Problem, student: Network, x: Float[Array, "samples inputs"]
) -> Float[Array, " samples"]:
    """phi(x) = sum_k v_k g(w_k . x / sqrt N + b_k)."""
    return problem.student.activation(fields(student.w, x) + student.b[None, :]) @ student.v


def without_frozen(student: Student, slope: Network) -> Network:
    """The gradient, zero for the units that are frozen."""
    if not student.frozen:
        return slope
    moving = jnp.asarray(student.moving, slope.w.dtype)
    return Network(slope.w * moving[:, None], slope.v * moving, slope.b * moving)


def with_frozen(student: Student, moved: Network, before: Network) -> Network:
    """The network after an update, with the units that are frozen as they were before."""
    if not student.frozen:
        return moved
    moving = jnp.asarray(student.moving, bool)
    return Network(
        w=jnp.where(moving[:, None], moved.w, before.w),
        v=jnp.where(moving, moved.v, before.v),
        b=jnp.where(moving, moved.b, before.b),
    )


def gradient(
    problem: Problem,
    student: Network,
    x: Float[Array, "samples inputs"],
    y: Float[Array, " samples"],
) -> tuple[Network, Float[Array, " samples"]]:
    """The gradient of the loss averaged over a mini-batch, and the outputs.

    d l / d w_k = < v_k g'(lambda_k) l'(phi) x > / sqrt N,   d l / d v_k = < g(lambda_k) l'(phi) >,
    d l / d b_k = < v_k g'(lambda_k) l'(phi) >

    where the rule may put something else in place of the v_k outside (`Rule.backward`).
    """
    activation, (B, N) = problem.student.activation, x.shape
    lam = fields(student.w, x) + student.b[None, :]
    hidden = activation(lam)
    phi = hidden @ student.v
    slope = as_loss(problem.loss).slope(phi, y) / B
    back = problem.rule.backward(student.v)
    delta = back[None, :] * activation.derivative(lam) * slope[:, None]
    return Network(
        w=jnp.einsum("bk,bn->kn", delta, x) / math.sqrt(N),
        v=hidden.T @ slope,
        b=jnp.sum(delta, axis=0),
    ), phi
