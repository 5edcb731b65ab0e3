"""The Hermite series of what a single neuron learns of two classes.

With s_a = u_a . x / sqrt N along the directions of a task, and alpha_a = w . u_a / N,

    F(alpha) = E[y g(lambda)] = sum_i g_k c_i alpha^i / i!

    k = |i| = i_1 + ... + i_r,   alpha^i = alpha_1^i_1 ... alpha_r^i_r
    g_k = E[g(z) He_k(z)],   c_i = E[y He_i1(s_1) ... He_ir(s_r)]

in probabilists' Hermite polynomials, both classes in c_i (a class N(0, I) adds nothing for k >= 1).
The series is written for orthogonal variance 1; a component with another one enters by g(sigma_c z)
and s / sigma_c.  It ends where g is a polynomial; otherwise it need not converge, as for
heavy-tailed latents or a variance of s above 2 sigma^2, but the average F exists.

A level of the series is a dictionary {i: f_i} of all i with the same |i|, which stands for the form
sum_i f_i alpha^i / i!.
"""

import math
from collections.abc import Iterator
from itertools import combinations_with_replacement, islice

import numpy as np
from jaxtyping import Float

from odes.analysis.hermite import hermite_coefficients
from teacherstudent.activations.activation import Activation
from teacherstudent.checking import arguments, checks
from teacherstudent.extensions.own_classes import require_our_law
from teacherstudent.tasks import Components, Task

# |g_k c_i| below this share of its terms' sizes is zero: a given latent may miss mean 0 by 1e-6.
NEGLIGIBLE = 1e-5

Index = tuple[int, ...]  # (i_1, ..., i_r)


@arguments.checked
def class_coefficients(task: Task, order: int) -> dict[Index, float]:
    """c_i = E[y He_i1(s_1) ... He_ir(s_r)] for all indices i with i_1 + ... + i_r = order; both
    classes are in the average.

    Where the variance sigma^2 orthogonal to the directions is not 1, s / sigma stands for s.  Exact
    for the components of the task: E_c[He_i(s)] are the Taylor coefficients of

        exp(t . A_c + t^T (S_c - I) t / 2)

    Raises ValueError if the orthogonal variance is zero or not the same in all components, or the
    task has no classes.
    """
    if not task.HAS_CLASSES:
        raise ValueError(
            f"task is a {type(task).__name__}, which has no classes; give a task such as "
            "SpikedCumulant."
        )
    law, order = law_of(task), checks.integer("order", order, minimum=0)
    if np.ptp(law.sigma2) > 1e-9 * law.sigma2.max():
        raise ValueError(
            f"task has orthogonal variances from {law.sigma2.min():g} to {law.sigma2.max():g}, so "
            "that no scale of s is common to its components; use series_drift or "
            "information_exponent, which treat each with its own."
        )
    moments = next(islice(_moments(*_standardised(law)), order, None))
    return {i: float(law.p * law.y @ values) for i, values in moments.items()}


def series(g: Activation, law: Components, orders: int) -> Iterator[dict[Index, float]]:
    """Order by order the coefficients g_k c_i of alpha^i / i! in F,

    sum_c p_c y_c g_k(sigma_c) E_c[He_i(s / sigma_c)]
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


def form(
    level: dict[Index, float], alpha: Float[np.ndarray, "*batch directions"]
) -> Float[np.ndarray, "*batch"]:
    """sum_i f_i alpha^i / i!, the form that a level stands for."""
    terms = [
        f * np.prod(alpha ** np.array(i), axis=-1) / math.prod(map(math.factorial, i))
        for i, f in level.items()
    ]
    return np.asarray(np.sum(terms, axis=0))


def form_gradient(
    level: dict[Index, float], alpha: Float[np.ndarray, "*batch directions"]
) -> Float[np.ndarray, "*batch directions"]:
    """The derivatives of `form` along each direction: the terms with i_a one less."""
    derivatives = []
    for a in range(alpha.shape[-1]):
        lower = {_less(i, a): f for i, f in level.items() if i[a] > 0}
        if lower:
            derivatives.append(form(lower, alpha))
        else:
            derivatives.append(np.zeros(alpha.shape[:-1]))
    return np.stack(derivatives, axis=-1)


def law_of(task) -> Components:
    """The components of a task with classes as NumPy arrays, without those of probability zero.

    Raises ValueError if the class of the task changes its labels.
    """
    require_our_law(task)
    law = Components(*(np.asarray(part, dtype=np.float64) for part in task.law()))
    return Components(*(part[law.p > 0] for part in law))


def _unless_small(value: float, size: float) -> float:
    """The value, or zero where it is rounding of terms of this size."""
    if abs(value) > NEGLIGIBLE * size:
        return float(value)
    return 0.0


def _standardised(law: Components) -> tuple[np.ndarray, np.ndarray]:
    """A_c / sigma_c and S_c / sigma_c^2 - I, rounding errors set to zero."""
    if not (law.sigma2 > 0).all():
        raise ValueError(
            "task has a component without noise orthogonal to its directions (variance 0), where "
            "there is no Hermite series; give a positive variance."
        )
    A = law.A / np.sqrt(law.sigma2)[:, None]
    excess = law.S / law.sigma2[:, None, None] - np.eye(law.A.shape[1])
    return _without_rounding(A), _without_rounding(excess)


def _without_rounding(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) > 1e-12, values, 0.0)


def _moments(A: np.ndarray, excess: np.ndarray) -> Iterator[dict[Index, np.ndarray]]:
    """h_i = E_c[He_i(s)] of all i with |i| = 0, then 1, 2, ..., one entry for each component;
    `excess` is S - I.

    h_(i + e_a) = A_a h_i + sum_b (S - I)_ab i_b h_(i - e_b)

    with e_a the unit vectors.
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


def _index(chosen: tuple[int, ...], r: int) -> Index:
    """How often each of r directions is among the chosen ones."""
    return tuple(chosen.count(a) for a in range(r))


def _less(i: Index, b: int) -> Index:
    """i - e_b."""
    return i[:b] + (i[b] - 1,) + i[b + 1 :]
