"""How a single neuron leaves a random start, from the first term of its series that is not zero.

From a random start, |alpha| ~ N^(-1/2), the smallest order k with g_k c_i != 0 (`class_series.py`)
says how many samples it takes to leave alpha = 0.  The simulation beside this theory is
`sims/escape.py`.

Szekely, Bardone, Gerace & Goldt, NeurIPS 2024 (arXiv:2312.14922); Bardone & Goldt, ICML 2024
(arXiv:2404.08602).
"""

from typing import NamedTuple

import numpy as np
import scipy  # which loads special, interpolate, ... where they are first used
from jaxtyping import Float

from odes.analysis.class_series import NEGLIGIBLE, Index, form, form_gradient, law_of, series
from odes.analysis.single_neuron import damping, single_neuron_task
from odes.inputs.one_update import require_averages
from teacherstudent.checking import arguments
from teacherstudent.problem import Problem

HIGHEST = 12  # order up to which a difference between the classes is looked for
STARTS = 4096  # directions from which the largest value of a form on the sphere is looked for


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
    """The order k* of the first difference between the classes that a student sees.

        k* = min {k >= 1: g_k c_i != 0 for some i with i_1 + ... + i_r = k}
        g_k = E[g(z) He_k(z)],   c_i = E[y He_i1(s_1) ... He_ir(s_r)]

    g_k is the student's, c_i the task's.  Online SGD from a random start needs of order N samples
    for k* = 1, N log N for 2 and N^(k* - 1) for 3 and more; `escape_scale` says more.

    k* is a property of activation and task: every loss begins like the correlation loss as long as
    the outputs are small, and the units of a wider student begin as single ones do.  Biases are
    taken to be zero.

    Orders up to 12 are tried.  A product counts as zero below 1e-5 of what the absolute values of
    its terms add up to.

    Raises ValueError if there is no difference up to order 12, as for an odd activation and classes
    symmetric under x -> -x, or if the task has no classes.

    Ben Arous, Gheissari & Jagannath, JMLR 22 (2021); Szekely, Bardone, Gerace & Goldt, NeurIPS 2024
    (arXiv:2312.14922).

    >>> import teacherstudent as ts
    >>> task = ts.SpikedCumulant(5.0, "rademacher")  # whitened: the covariances are equal
    >>> ts.information_exponent(ts.Problem(task, ts.Student(1, "relu"), ts.SGD(0.1)))
    4
    """
    return _leading(problem)[0]


@arguments.checked
def escape_scale(problem: Problem) -> EscapeScale:
    """How many samples, and which learning rate, a single neuron needs to leave alpha ~ N^(-1/2) on
    the sphere.

    The leading term of the series gives

        d alpha / dt = eta grad F_k - (eta^2 / 2) G alpha
        F_k = g_k sum_(|i| = k) c_i alpha^i / i!

    with t = updates / N.  For k* = 1 the drift is there at alpha = 0; for k* = 2 both
    terms are linear, and the larger wins at any N; for k* >= 3 the second wins at every fixed eta,
    so that eta must shrink with N.  Even orders grow for both signs of alpha or for none.

    Raises ValueError if the student sees no difference between the classes (`information_exponent`)
    or the problem is not a single neuron with the correlation loss.

    Bardone & Goldt, ICML 2024 (arXiv:2404.08602).

    >>> import teacherstudent as ts
    >>> task, student = ts.SpikedCumulant(5.0, "rademacher"), ts.Student(1, "relu")
    >>> problem = ts.Problem(task, student, ts.SphericalSGD(0.1), loss="correlation")
    >>> scale = ts.escape_scale(problem)
    >>> scale.scale, scale.learning_rate_exponent
    ('N^3', -1.0)
    """
    task = single_neuron_task(problem)
    order, leading = _leading(problem)
    rate, direction = _steepest(order, leading, task.directions)
    escapes = rate > NEGLIGIBLE * max(map(abs, leading.values()))
    threshold = None
    if order == 2 and escapes:
        at_start = np.zeros(task.directions)
        threshold = 2 * rate / float(damping(problem, at_start))
    return EscapeScale(
        information_exponent=order,
        scale=_samples(order),
        learning_rate_exponent=-max(order - 2, 0) / 2,
        threshold=threshold,
        escapes=escapes,
        either_sign=order == 1 or order % 2 == 0,
        rate=rate,
        direction=direction,
    )


def _samples(order: int) -> str:
    """How the number of samples grows with N."""
    if order == 1:
        return "N"
    if order == 2:
        return "N log N"
    return f"N^{order - 1}"


def _leading(problem: Problem) -> tuple[int, dict[Index, float]]:
    """The order k* and its coefficients g_k c_i."""
    require_averages(problem)
    g = problem.student.activation
    levels = series(g, law_of(problem.classes), HIGHEST + 1)
    for order, level in enumerate(levels):
        if order > 0 and any(level.values()):
            return order, level
    raise ValueError(
        f"the activation {g.name} sees no difference between the classes of "
        f"{type(problem.task).__name__} up to order {HIGHEST}: all g_k c_i = 0.  Either the "
        "classes are equal, or it lacks the powers that tell them apart, as an odd activation "
        "does where both are symmetric under x -> -x."
    )


def _steepest(order: int, level: dict[Index, float], r: int) -> tuple[float, np.ndarray]:
    """The largest value k F_k of a form of degree k on the unit sphere, and where; there grad F_k =
    k F_k alpha.

    Exact up to order 2; otherwise from many fixed directions, the best of them improved.
    """
    if order == 1:
        gradient = form_gradient(level, np.zeros(r))
        return float(np.linalg.norm(gradient)), gradient / np.linalg.norm(gradient)
    if order == 2:
        values, vectors = np.linalg.eigh([form_gradient(level, unit) for unit in np.eye(r)])
        largest = vectors[:, -1]
        return float(values[-1]), largest * np.sign(largest[np.abs(largest).argmax()])
    random = np.random.default_rng(0).standard_normal((STARTS, r))
    tried = np.concatenate([np.eye(r), -np.eye(r), random])
    values = form(level, tried / np.linalg.norm(tried, axis=1, keepdims=True))
    best = tried[values.argmax()]
    if r > 1:

        def minus_form(x):
            return -form(level, x / np.linalg.norm(x))

        best = scipy.optimize.minimize(minus_form, best, options={"gtol": 1e-9}).x
    best = best / np.linalg.norm(best)
    return float(order * form(level, best)), best
