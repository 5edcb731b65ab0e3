"""A single neuron on the sphere with the correlation loss: how it turns towards the directions that
tell two classes apart.

With |w|^2 = N and

    lambda = w . x / sqrt N,   s_a = u_a . x / sqrt N,   alpha_a = w . u_a / N

the step w <- w + (eta / sqrt N) <y g'(lambda) x>, put back on the sphere, gives for N -> infinity,
t = updates / N,

    d alpha_a / dt = eta E[y g'(lambda) (s_a - alpha_a lambda)] - (eta^2 / 2) G alpha_a
    G = E[sigma_c^2 g'(lambda)^2] / B

with v = 1, b = 0 and B the batch size.  The drift is also (I - alpha alpha^T) grad F, F = E[y
g(lambda)], with the series of `class_series.py`.

Szekely, Bardone, Gerace & Goldt, NeurIPS 2024 (arXiv:2312.14922); Bardone & Goldt, ICML 2024
(arXiv:2404.08602).
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from odes.analysis.class_series import form_gradient, law_of, series
from odes.inputs.one_update import require_averages
from teacherstudent.activations.activation import Activation
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.contracts import require_unchanged
from teacherstudent.problem import Problem
from teacherstudent.rules import SphericalSGD
from teacherstudent.tasks import Components, MixtureTask
from teacherstudent.tasks.nonlinearities import NODES, RADIUS


@arguments.checked
def single_neuron_velocity(problem: Problem, alpha) -> Float[np.ndarray, "*batch directions"]:
    """d alpha / dt = eta drift - (eta^2 / 2) damping alpha under SphericalSGD, at overlaps alpha
    (r,) or (..., r).

    t = updates / N.  An independent route to what `integrate` solves.

    Raises ValueError unless the problem is a single neuron with the correlation loss, SphericalSGD
    and one learning rate.
    """
    if not isinstance(problem.rule, SphericalSGD):
        raise ValueError(
            f"rule is a {type(problem.rule).__name__}, under which the length of w moves too; "
            "give SphericalSGD, or use integrate."
        )
    require_unchanged(problem.rule, SphericalSGD, remedy="it has no theory of its own: simulate")
    eta = checks.single("rule.learning_rate", problem.rule.learning_rate)
    alpha = _checked_overlaps(problem, alpha)
    return eta * drift(problem, alpha) - eta**2 / 2 * damping(problem, alpha)[..., None] * alpha


@arguments.checked
def drift(problem: Problem, alpha) -> Float[np.ndarray, "*batch directions"]:
    """E[y g'(lambda) (s_a - alpha_a lambda)] at overlaps alpha (r,) or (..., r), |alpha| <= 1, by
    quadrature over lambda.

    In component c

        lambda ~ N(alpha . A_c, C),   C = alpha^T S_c alpha + sigma_c^2 (1 - |alpha|^2)
        E[s_a | lambda] = A_ca + (S_c alpha)_a (lambda - alpha . A_c) / C

    Good to 1e-13 where the field's standard deviation is at most some 5 times the distance over
    which g' changes; kinks must be those that the activation names.

    Raises ValueError unless the problem is a single neuron with the correlation loss, or if alpha
    does not fit it.
    """
    law = law_of(single_neuron_task(problem))
    g = problem.student.activation

    def at_one(overlaps):
        return _drift_at(g, law, overlaps)

    return _at_each(at_one, _checked_overlaps(problem, alpha))


@arguments.checked
def damping(problem: Problem, alpha) -> Float[np.ndarray, "*batch"]:
    """G = E[sigma_c^2 g'(lambda)^2] / batch size at overlaps alpha (r,) or (..., r), by the
    quadrature of `drift`.

    Raises ValueError unless the problem is a single neuron with the correlation loss, or if alpha
    does not fit it.
    """
    law = law_of(single_neuron_task(problem))
    g = problem.student.activation

    def at_one(overlaps):
        return (law.p * law.sigma2) @ _slopes(g, law, overlaps).square

    squares = _at_each(at_one, _checked_overlaps(problem, alpha))
    return np.asarray(squares / problem.batch_size)


@arguments.checked
def series_drift(problem: Problem, alpha, orders: int) -> Float[np.ndarray, "*batch directions"]:
    """(I - alpha alpha^T) grad F at overlaps alpha (r,) or (..., r), from the terms k = 0..orders-1
    of the series of F.

    Exact for polynomials of degree below `orders`.

    Raises ValueError unless the problem is a single neuron with the correlation loss, if alpha does
    not fit it, or if a component has no noise orthogonal to the directions.
    """
    law = law_of(single_neuron_task(problem))
    alpha = _checked_overlaps(problem, alpha)
    orders = checks.integer("orders", orders)
    levels = series(problem.student.activation, law, orders)
    gradient = sum(form_gradient(level, alpha) for level in levels)
    return gradient - alpha * (alpha * gradient).sum(axis=-1, keepdims=True)


def single_neuron_task(problem: Problem) -> MixtureTask:
    """The task of a single neuron with the correlation loss that trains w alone.

    Raises ValueError where the problem is not of this kind.
    """
    require_averages(problem)
    task = problem.classes
    student = problem.student
    if student.width != 1:
        raise ValueError(
            f"student.width = {student.width}, but this theory has a single neuron; give 1, or "
            "use integrate."
        )
    if problem.loss != "correlation":
        raise ValueError(
            f'loss = "{problem.loss}", but this theory has the correlation loss; give '
            '"correlation".'
        )
    if student.train_readout or student.train_bias:
        raise ValueError(
            "the student trains its readout or its bias, but this theory has v = 1 and b = 0; "
            "set both to false."
        )
    return task


def _checked_overlaps(problem: Problem, alpha) -> Float[np.ndarray, "*batch directions"]:
    """Overlaps as an array with the task's directions last and lengths of at most one."""
    alpha = checks.array("alpha", alpha)
    r = problem.task.directions
    if alpha.ndim == 0 or alpha.shape[-1] != r:
        raise ValueError(
            f"alpha has shape {alpha.shape}; give ({r},) or (..., {r}), one overlap for each "
            "direction."
        )
    length = np.sqrt((alpha**2).sum(axis=-1)).max(initial=0.0)
    if not length <= 1 + 1e-9:
        raise ValueError(
            f"alpha has length {length:g}; the overlaps of |w|^2 = N have a length of at most 1."
        )
    return alpha


def _at_each(function: Callable, alpha: Float[np.ndarray, "*batch directions"]) -> np.ndarray:
    """A function of one alpha (r,) at each of a batch."""
    values = np.array([function(one) for one in alpha.reshape(-1, alpha.shape[-1])])
    return values.reshape(alpha.shape[:-1] + values.shape[1:])


class _Slopes(NamedTuple):
    """Averages over lambda = mean + sqrt(C) z in each component."""

    C: Float[np.ndarray, " components"]
    one: Float[np.ndarray, " components"]  # E g'
    z: Float[np.ndarray, " components"]  # E[z g']
    square: Float[np.ndarray, " components"]  # E g'^2


def _drift_at(
    g: Activation, law: Components, alpha: Float[np.ndarray, " directions"]
) -> Float[np.ndarray, " directions"]:
    """The drift at one alpha."""
    slopes = _slopes(g, law, alpha)
    deviation = np.sqrt(slopes.C)
    # The covariance of s_a and z; it is zero where C is.
    along = (law.S @ alpha) / np.where(deviation > 0, deviation, 1.0)[:, None]
    mean_part = (law.A - np.outer(law.A @ alpha, alpha)) * slopes.one[:, None]
    return (law.p * law.y) @ (mean_part + (along - np.outer(deviation, alpha)) * slopes.z[:, None])


def _slopes(g: Activation, law: Components, alpha: Float[np.ndarray, " directions"]) -> _Slopes:
    """E g', E[z g'] and E g'^2 by Gauss-Legendre nodes between the kinks of g."""
    mean = law.A @ alpha
    C = np.einsum("a,cab,b->c", alpha, law.S, alpha) + law.sigma2 * max(1 - alpha @ alpha, 0.0)
    C = np.maximum(C, 0.0)
    deviation = np.sqrt(C)
    kinks = (np.sort(g.cuts)[None, :] - mean[:, None]) / np.maximum(deviation, 1e-300)[:, None]
    ends = np.pad(
        np.clip(kinks, -RADIUS, RADIUS),
        ((0, 0), (1, 1)),
        constant_values=((0, 0), (-RADIUS, RADIUS)),
    )
    t, w = _legendre()
    half = np.diff(ends)[..., None] / 2
    z = (ends[:, 1:] + ends[:, :-1])[..., None] / 2 + half * t
    weights = half * w * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    fields = mean[:, None, None] + deviation[:, None, None] * z
    with jax.enable_x64(True):
        slope = np.asarray(g.derivative(jnp.asarray(fields)))

    def average(values):
        return np.einsum("cpn,cpn->c", weights, values)

    return _Slopes(C, one=average(slope), z=average(z * slope), square=average(slope**2))


@cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(NODES)
