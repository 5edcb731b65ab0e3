"""A single neuron on the sphere with the correlation loss: how it finds the directions that tell
two classes apart.

With |w|^2 = N, lambda = w . x / sqrt N, s_a = u_a . x / sqrt N and alpha_a = w . u_a / N, the step
w <- w + (eta / sqrt N) <y g'(lambda) x>, put back on the sphere, gives for N -> infinity, t =
updates / N,

    d alpha_a / dt = eta E[y g'(lambda) (s_a - alpha_a lambda)] - (eta^2 / 2) G alpha_a,   G =
    E[sigma_c^2 g'(lambda)^2] / B

with v = 1, b = 0 and B the batch size.  The drift is also (I - alpha alpha^T) grad F, F = E[y
g(lambda)], with the series

    F = sum_i g_k c_i alpha^i / i!,   k = |i| = i_1 + ... + i_r,   alpha^i = alpha_1^i_1 ...
    alpha_r^i_r g_k = E[g(z) He_k(z)],   c_i = E[y He_i1(s_1) ... He_ir(s_r)]

in probabilists' Hermite polynomials, both classes in c_i (a class N(0, I) adds nothing for k >= 1).
The series is written for orthogonal variance 1; a component with another one enters by g(sigma_c z)
and s / sigma_c.  It ends where g is a polynomial; otherwise it need not converge, as for
heavy-tailed latents or a variance of s above 2 sigma^2, but the averages above exist.

From a random start, |alpha| ~ N^(-1/2), the smallest k with g_k c_i != 0 says how many samples it
takes to leave alpha = 0. Szekely, Bardone, Gerace & Goldt, NeurIPS 2024 (arXiv:2312.14922); Bardone
& Goldt, ICML 2024 (arXiv:2404.08602).
"""

import math
from collections.abc import Iterator
from functools import cache
from itertools import combinations_with_replacement
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import optimize

from odes.inputs.one_update import require_averages
from teacherstudent.activations.activation import (
    Activation,
    ActivationLike,
    as_activation,
    polynomial_of,
)
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.contracts import require_unchanged
from teacherstudent.checking.own_classes import require_our_law
from teacherstudent.problem import Problem
from teacherstudent.rules import SphericalSGD
from teacherstudent.tasks import Components, MixtureTask, Task
from teacherstudent.tasks.nonlinearities import NODES, RADIUS, _normal_rule

HIGHEST = 12  # order up to which a difference between the classes is looked for
ROUNDING = 1e-10  # |g_k| / sqrt(k!) below this share of sqrt(E g^2) is zero
# |g_k c_i| below this share of its terms' sizes is zero: a given latent may miss mean 0 by 1e-6.
NEGLIGIBLE = 1e-5
# Estimated error of g_k / sqrt(k!), as a share of sqrt(E g^2), beyond which an activation is
# refused.
ALLOWED = 1e-8
STARTS = 4096  # directions from which the largest value of a form on the sphere is looked for

Index = tuple[int, ...]  # (i_1, ..., i_r)


class EscapeScale(NamedTuple):
    """How a single neuron leaves a random start, |alpha| ~ N^(-1/2).

    - `information_exponent`: k*, the order at which it first sees the classes differ.
    - `scale`: the number of samples it takes, "N" for k* = 1, "N log N" for 2, "N^2" for 3, "N^3"
      for 4, ...
    - `learning_rate_exponent`: the learning rate has to shrink as N to this power, 0 for k* <= 2,
      -(k* - 2) / 2 beyond.
    - `threshold`: for k* = 2, the learning rate 2 A / G at and above which alpha = 0 is stable;
      None otherwise.
    - `escapes`: whether the drift leads away from alpha = 0 in some direction.  Where not, change
      the sign of g or of the labels.
    - `either_sign`: whether a start at -alpha escapes as one at alpha does.  For odd k* >= 3 only
      those escape that have a positive overlap with `direction`; others wait until noise brings
      them there.
    - `rate`: A, with d|alpha| / dt = eta A |alpha|^(k* - 1) along `direction`, where it is largest:
      for k* = 2 the largest eigenvalue of the linearised drift.
    - `direction` (r,): the unit vector along which alpha grows fastest.

    With several directions this is the first escape; others may take longer.
    """

    information_exponent: int
    scale: str
    learning_rate_exponent: float
    threshold: float | None
    escapes: bool
    either_sign: bool
    rate: float
    direction: Float[np.ndarray, " directions"]


@arguments.checked
def information_exponent(problem: Problem) -> int:
    """The order k* of the first difference between the classes that a student sees: the smallest k
    >= 1 with g_k c_i != 0.

    g_k = E[g(z) He_k(z)] is the student's, c_i = E[y He_i1(s_1) ... He_ir(s_r)] with i_1 + ... +
    i_r = k the task's.  Online SGD from a random start needs of order N samples for k* = 1, N log N
    for 2 and N^(k* - 1) for 3 and more; `escape_scale` in `odes/analysis/single_neuron.py` says
    more.  k* is a property of activation and task: every loss begins like the correlation loss as
    long as the outputs are small, and the units of a wider student begin as single ones do.  Biases
    are taken to be zero.

    Orders up to 12 are tried.  A product counts as zero below 1e-5 of what the absolute values of
    its terms add up to.

    Raises ValueError if there is no difference up to order 12, as for an odd activation and classes
    symmetric under x -> -x, or if the task has no classes.
    """
    return _leading(problem)[0]


@arguments.checked
def escape_scale(problem: Problem) -> EscapeScale:
    """How many samples, and which learning rate, a single neuron needs to leave alpha ~ N^(-1/2) on
    the sphere.

    The leading term of the series gives d alpha / dt = eta grad F_k - (eta^2 / 2) G alpha, F_k =
    g_k sum_|i|=k c_i alpha^i / i!. For k* = 1 the drift is there at alpha = 0; for k* = 2 both
    terms are linear, and the larger wins at any N; for k* >= 3 the second wins at every fixed eta,
    so that eta must shrink with N.  Even orders grow for both signs of alpha or for none.

    Raises ValueError if the student sees no difference between the classes (`information_exponent`)
    or the problem is not a single neuron with the correlation loss.
    """
    _check(problem)
    order, leading = _leading(problem)
    rate, direction = _steepest(order, leading, problem.task.directions)
    escapes = rate > NEGLIGIBLE * max(map(abs, leading.values()))
    threshold = None
    if order == 2 and escapes:
        threshold = 2 * rate / float(damping(problem, np.zeros(problem.task.directions)))
    return EscapeScale(
        information_exponent=order,
        scale={1: "N", 2: "N log N"}.get(order, f"N^{order - 1}"),
        learning_rate_exponent=-max(order - 2, 0) / 2,
        threshold=threshold,
        escapes=escapes,
        either_sign=order == 1 or order % 2 == 0,
        rate=rate,
        direction=direction,
    )


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

    In component c, lambda ~ N(alpha . A_c, C), C = alpha^T S_c alpha + sigma_c^2 (1 - |alpha|^2),
    and E s_a given lambda is A_ca + (S_c alpha)_a (lambda - alpha . A_c) / C.  Good to 1e-13 where
    the field's standard deviation is at most some 5 times the distance over which g' changes; kinks
    must be those that the activation names.

    Raises ValueError unless the problem is a single neuron with the correlation loss, or if alpha
    does not fit it.
    """
    _check(problem)
    g, law = problem.student.activation, _law(problem.task)
    return _at_each(lambda one: _drift_at(g, law, one), _checked_overlaps(problem, alpha))


@arguments.checked
def damping(problem: Problem, alpha) -> Float[np.ndarray, "*batch"]:
    """G = E[sigma_c^2 g'(lambda)^2] / batch size at overlaps alpha (r,) or (..., r), by the
    quadrature of `drift`.

    Raises ValueError unless the problem is a single neuron with the correlation loss, or if alpha
    does not fit it.
    """
    _check(problem)
    g, law = problem.student.activation, _law(problem.task)
    squares = _at_each(
        lambda one: (law.p * law.sigma2) @ _slopes(g, law, one).square,
        _checked_overlaps(problem, alpha),
    )
    return np.asarray(squares / problem.batch_size)


@arguments.checked
def series_drift(problem: Problem, alpha, orders: int) -> Float[np.ndarray, "*batch directions"]:
    """(I - alpha alpha^T) grad F at overlaps alpha (r,) or (..., r), from the terms k = 0..orders-1
    of the series of F.

    Exact for polynomials of degree below `orders`.

    Raises ValueError unless the problem is a single neuron with the correlation loss, if alpha does
    not fit it, or if a component has no noise orthogonal to the directions.
    """
    _check(problem)
    alpha = _checked_overlaps(problem, alpha)
    law, orders = _law(problem.task), checks.integer("orders", orders)
    gradient = sum(
        _gradient(level, alpha) for level in _series(problem.student.activation, law, orders)
    )
    return gradient - alpha * (alpha * gradient).sum(axis=-1, keepdims=True)


def hermite_coefficients(
    activation: ActivationLike, orders: int, scale: float = 1.0
) -> Float[np.ndarray, " orders"]:
    """g_k = E[g(scale z) He_k(z)], z ~ N(0, 1), for k = 0..orders-1.

    Exact for polynomials, otherwise by quadrature between the kinks.  |g_k| / sqrt(k!) below 1e-10
    sqrt(E g^2) is set to zero.

    Raises ValueError for what is not an activation, and where the quadrature does not converge, as
    for a kink without a name.
    """
    g, orders = as_activation(activation), checks.integer("orders", orders)
    scale = checks.positive("scale", scale)
    unit = _unit_coefficients(g, orders, scale)
    return unit * np.sqrt([float(math.factorial(k)) for k in range(orders)])


@arguments.checked
def class_coefficients(task: Task, order: int) -> dict[Index, float]:
    """c_i = E[y He_i1(s_1) ... He_ir(s_r)] for all indices i with i_1 + ... + i_r = order; both
    classes are in the average.

    Where the variance sigma^2 orthogonal to the directions is not 1, s / sigma stands for s.  Exact
    for the components of the task: E_c[He_i(s)] are the Taylor coefficients of exp(t . A_c + t^T
    (S_c - I) t / 2).

    Raises ValueError if the orthogonal variance is zero or not the same in all components, or the
    task has no classes.
    """
    if not isinstance(task, MixtureTask):
        raise ValueError(
            f"task is a {type(task).__name__}, which has no classes; give a task such as "
            "SpikedCumulant."
        )
    law, order = _law(task), checks.integer("order", order, minimum=0)
    if np.ptp(law.sigma2) > 1e-9 * law.sigma2.max():
        raise ValueError(
            f"task has orthogonal variances from {law.sigma2.min():g} to {law.sigma2.max():g}, so "
            "that no scale of s is common to its components; use series_drift or "
            "information_exponent, which treat each with its own."
        )
    moments = _level(_moments(*_standardised(law)), order)
    return {i: float(law.p * law.y @ values) for i, values in moments.items()}


def _check(problem: Problem) -> None:
    """Raise ValueError unless the problem is a single neuron with the correlation loss and w all
    that it trains.
    """
    require_averages(problem)
    _ = problem.classes  # says so if there are none
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


def _checked_overlaps(problem: Problem, alpha) -> Float[np.ndarray, "*batch directions"]:
    """Overlaps as an array with the task's directions last and lengths of at most one."""
    alpha, r = checks.array("alpha", alpha), problem.task.directions
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


def _at_each(function, alpha: Float[np.ndarray, "*batch directions"]) -> np.ndarray:
    """A function of one alpha (r,) at each of a batch."""
    values = np.array([function(one) for one in alpha.reshape(-1, alpha.shape[-1])])
    return values.reshape(alpha.shape[:-1] + values.shape[1:])


def _law(task) -> Components:
    """The components of a task as NumPy arrays, without those of probability zero."""
    require_our_law(task)
    law = Components(*(np.asarray(part, dtype=np.float64) for part in task.law()))
    return Components(*(part[law.p > 0] for part in law))


class _Slopes(NamedTuple):
    """Averages over lambda = mean + sqrt(C) z in each component."""

    C: Float[np.ndarray, " components"]
    one: Float[np.ndarray, " components"]  # E g'
    z: Float[np.ndarray, " components"]  # E[z g']
    square: Float[np.ndarray, " components"]  # E g'^2


def _drift_at(
    g: Activation, law: Components, alpha: Float[np.ndarray, " directions"]
) -> Float[np.ndarray, " directions"]:
    slopes = _slopes(g, law, alpha)
    deviation = np.sqrt(slopes.C)
    along = (law.S @ alpha) / np.where(deviation > 0, deviation, 1.0)[
        :, None
    ]  # Cov(s_a, z); zero where C is
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
    with jax.enable_x64(True):
        slope = np.asarray(
            g.derivative(jnp.asarray(mean[:, None, None] + deviation[:, None, None] * z))
        )
    return _Slopes(C, *(np.einsum("cpn,cpn->c", weights, f) for f in (slope, z * slope, slope**2)))


@cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(NODES)


def _unit_coefficients(g: Activation, orders: int, scale: float) -> Float[np.ndarray, " orders"]:
    """g_k / sqrt(k!), those at rounding error set to zero."""
    polynomial = polynomial_of(g)
    if polynomial is not None:
        powers = np.asarray(polynomial.coefficients) * scale ** np.arange(
            len(polynomial.coefficients)
        )
        found = np.polynomial.hermite_e.poly2herme(powers)
        unit = found * np.sqrt([float(math.factorial(k)) for k in range(len(found))])
        unit, norm = np.pad(unit, (0, max(orders - len(unit), 0))), float(np.linalg.norm(unit))
    else:
        unit, norm = _by_quadrature(g, orders, scale)
    return np.where(np.abs(unit[:orders]) > ROUNDING * norm, unit[:orders], 0.0)


@cache
def _by_quadrature(
    g: Activation, orders: int, scale: float
) -> tuple[Float[np.ndarray, " orders"], float]:
    """g_k / sqrt(k!) and sqrt(E g^2)."""
    (fine, norm), (coarse, _) = (
        _integrals(g, orders, scale, nodes) for nodes in (NODES, NODES * 3 // 4)
    )
    error = np.abs(fine - coarse).max()
    if not error < ALLOWED * max(norm, 1e-300):
        raise ValueError(
            f"activation {g.name}: its Hermite coefficients are uncertain by {error:.1g}; if it "
            "differs on a very short interval, name its ends: ts.Activation(name, function, "
            "kinks=(0.5, 0.5001))."
        )
    return fine, norm


def _integrals(
    g: Activation, orders: int, scale: float, nodes: int
) -> tuple[Float[np.ndarray, " orders"], float]:
    z, weights = _normal_rule(tuple(kink / scale for kink in g.cuts), nodes)
    with jax.enable_x64(True):
        values = np.asarray(g(jnp.asarray(scale * z)))
    basis = [np.ones_like(z), z]
    for n in range(1, orders - 1):
        basis.append((z * basis[n] - math.sqrt(n) * basis[n - 1]) / math.sqrt(n + 1))
    return np.stack(basis[:orders]) @ (weights * values), float(np.sqrt(weights @ values**2))


def _leading(problem: Problem) -> tuple[int, dict[Index, float]]:
    """The order k* and its coefficients g_k c_i."""
    require_averages(problem)
    _ = problem.classes  # says so if there are none
    g = problem.student.activation
    for order, level in enumerate(_series(g, _law(problem.task), HIGHEST + 1)):
        if order > 0 and any(level.values()):
            return order, level
    raise ValueError(
        f"the activation {g.name} sees no difference between the classes of "
        f"{type(problem.task).__name__} up to order {HIGHEST}: all g_k c_i = 0.  Either the "
        "classes are equal, or it lacks the powers that tell them apart, as an odd activation "
        "does where both are symmetric under x -> -x."
    )


def _series(g: Activation, law: Components, orders: int) -> Iterator[dict[Index, float]]:
    """Order by order the coefficients g_k c_i of alpha^i / i! in F, sum_c p_c y_c g_k(sigma_c)
    E_c[He_i(s / sigma_c)].
    """
    A, excess = _standardised(law)
    sigma, component = np.unique(np.sqrt(law.sigma2), return_inverse=True)
    coefficients = np.stack([hermite_coefficients(g, orders, one) for one in sigma])[component]
    sizes = _moments(np.abs(A), np.abs(excess))
    for g_k, moments, size in zip(coefficients.T, _moments(A, excess), sizes, strict=False):
        yield {
            i: _unless_small(law.p * law.y * g_k @ moments[i], law.p * np.abs(g_k) @ size[i])
            for i in moments
        }


def _unless_small(value: float, size: float) -> float:
    return float(value) if abs(value) > NEGLIGIBLE * size else 0.0


def _standardised(law: Components) -> tuple[np.ndarray, np.ndarray]:
    """A_c / sigma_c and S_c / sigma_c^2 - I, rounding errors set to zero."""
    if not (law.sigma2 > 0).all():
        raise ValueError(
            "task has a component without noise orthogonal to its directions (variance 0), where "
            "there is no Hermite series; give a positive variance."
        )
    A = law.A / np.sqrt(law.sigma2)[:, None]
    excess = law.S / law.sigma2[:, None, None] - np.eye(law.A.shape[1])
    return np.where(np.abs(A) > 1e-12, A, 0.0), np.where(np.abs(excess) > 1e-12, excess, 0.0)


def _moments(A: np.ndarray, excess: np.ndarray) -> Iterator[dict[Index, np.ndarray]]:
    """h_i = E_c[He_i(s)] of all i with |i| = 0, then 1, 2, ..., one entry for each component;
    `excess` is S - I.

    h_(i + e_a) = A_a h_i + sum_b (S - I)_ab i_b h_(i - e_b),   e_a the unit vectors
    """
    r = A.shape[1]
    lower: dict[Index, np.ndarray] = {}
    level = {(0,) * r: np.ones(len(A))}
    order = 0
    while True:
        yield level
        order += 1
        following = {}
        for chosen in combinations_with_replacement(range(r), order):
            a, i = chosen[0], _index(chosen[1:], r)
            h = A[:, a] * level[i]
            for b in set(chosen[1:]):
                h = h + excess[:, a, b] * i[b] * lower[_less(i, b)]
            following[_index(chosen, r)] = h
        lower, level = level, following


def _level(levels: Iterator[dict[Index, np.ndarray]], order: int) -> dict[Index, np.ndarray]:
    for _ in range(order):
        next(levels)
    return next(levels)


def _index(chosen: tuple[int, ...], r: int) -> Index:
    """How often each of r directions is among the chosen ones."""
    return tuple(chosen.count(a) for a in range(r))


def _less(i: Index, b: int) -> Index:
    return i[:b] + (i[b] - 1,) + i[b + 1 :]


def _value(
    level: dict[Index, float], alpha: Float[np.ndarray, "*batch directions"]
) -> Float[np.ndarray, "*batch"]:
    """sum_i f_i alpha^i / i!"""
    terms = [
        f * np.prod(alpha ** np.array(i), axis=-1) / math.prod(map(math.factorial, i))
        for i, f in level.items()
    ]
    return np.asarray(np.sum(terms, axis=0))


def _gradient(
    level: dict[Index, float], alpha: Float[np.ndarray, "*batch directions"]
) -> np.ndarray:
    """The derivatives of `_value`: the terms with i_a one less."""
    parts = [{_less(i, a): f for i, f in level.items() if i[a] > 0} for a in range(alpha.shape[-1])]
    return np.stack(
        [_value(part, alpha) if part else np.zeros(alpha.shape[:-1]) for part in parts], axis=-1
    )


def _steepest(order: int, level: dict[Index, float], r: int) -> tuple[float, np.ndarray]:
    """The largest value k F_k of a form of degree k on the unit sphere, and where; there grad F_k =
    k F_k alpha.

    Exact up to order 2; otherwise from many fixed directions, the best of them improved.
    """
    if order == 1:
        gradient = _gradient(level, np.zeros(r))
        return float(np.linalg.norm(gradient)), gradient / np.linalg.norm(gradient)
    if order == 2:
        values, vectors = np.linalg.eigh([_gradient(level, unit) for unit in np.eye(r)])
        return float(values[-1]), vectors[:, -1] * np.sign(
            vectors[np.abs(vectors[:, -1]).argmax(), -1]
        )
    tried = np.concatenate(
        [np.eye(r), -np.eye(r), np.random.default_rng(0).standard_normal((STARTS, r))]
    )
    values = _value(level, tried / np.linalg.norm(tried, axis=1, keepdims=True))
    best = tried[values.argmax()]
    if r > 1:
        best = optimize.minimize(
            lambda x: -_value(level, x / np.linalg.norm(x)), best, options={"gtol": 1e-9}
        ).x
    best = best / np.linalg.norm(best)
    return float(order * _value(level, best)), best
