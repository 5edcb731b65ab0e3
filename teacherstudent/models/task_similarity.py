"""Several teachers that resemble each other, and where a student of them starts."""

import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.models import per_task
from teacherstudent.models.continual_learning import ContinualLearning
from teacherstudent.models.state import State
from teacherstudent.starts import orthonormal_rows, root


@arguments.checked
def teachers_of_similarity(similarity, units=(1, 1)) -> Float[np.ndarray, "teachers teachers"]:
    """The overlaps T of several teachers whose units resemble each other.

        T = W W^T / N,   W_am . W_bm / N = V_m for a != b,   W_am . W_am / N = 1

    All other units are orthogonal.  Unit m of a teacher has a counterpart in every other teacher
    that has as many units.

    - `similarity`: V, one number, or V_m for each unit.  Units with V_m = 1 are shared by the
      teachers, and with V = 0 the teachers have nothing in common.
    - `units`: the numbers of units (M_1, .., M_A) of the teachers.

    The answer has the shape (M, M), M = M_1 + .. + M_A.

    Raises ValueError if a V_m is not from -1 / (A - 1) to 1, the similarities that A vectors may
    have.

    S. Lee, S. Goldt & A. Saxe, ICML 2021 (feature similarity).

    >>> import teacherstudent as ts
    >>> print(ts.teachers_of_similarity([1.0, 0.5], units=(2, 2)))  # one node shared
    [[1.  0.  1.  0. ]
     [0.  1.  0.  0.5]
     [1.  0.  1.  0. ]
     [0.  0.5 0.  1. ]]
    """
    units = per_task.widths("units", units)
    lowest = -1.0 if len(units) < 3 else -1.0 / (len(units) - 1)
    V = checks.finite_array("similarity", similarity)
    if np.shape(V) not in ((), (max(units),)):
        raise ValueError(
            f"similarity has the shape {np.shape(V)}; give one number, or one for each of the "
            f"{max(units)} units of the widest teacher."
        )
    wrong = (lowest > V) | (V > 1)
    if wrong.any():
        raise ValueError(
            f"similarity = {np.asarray(V)[wrong].flat[0]:g} is not possible for {len(units)} "
            f"teachers; give numbers from {lowest:g} to 1."
        )
    V = np.broadcast_to(V, (max(units),))
    number = np.concatenate([np.arange(width) for width in units])
    T = np.where(number[:, None] == number[None, :], V[number][:, None], 0.0)
    np.fill_diagonal(T, 1.0)
    return T


@arguments.checked
def readouts_at_angle(readout, angle) -> tuple[np.ndarray, np.ndarray]:
    """Two readouts of one length at an angle.

        v*_2 = cos(angle) v*_1 + sin(angle) |v*_1| n,   n . v*_1 = 0,   |n| = 1

    n points from v*_1 towards its own entries in reverse order, or, where that is the same
    direction, towards the last unit.

    - `readout`: v*_1, two entries or more (one entry has no angle but 0 and pi).
    - `angle`: in radians.

    Raises ValueError if the readout has fewer than two entries, or is zero.

    S. Lee, S. Goldt & A. Saxe, ICML 2021 (readout similarity).

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> first, second = ts.readouts_at_angle([1.0, 0.0], np.pi / 2)
    >>> print(second.round(12))
    [0. 1.]
    """
    first = checks.finite_array("readout", readout)
    if first.ndim != 1 or len(first) < 2 or not first.any():
        raise ValueError(
            f"readout = {checks.shortened(readout)} has no direction to turn in; give a list of "
            "two numbers or more, not all 0."
        )
    angle = checks.single("angle", angle, minimum=-np.inf)
    length = np.linalg.norm(first)
    n = _orthogonal_part(first[::-1], first)
    if np.linalg.norm(n) < 1e-8 * length:
        last = np.zeros_like(first)
        last[-1] = length
        n = _orthogonal_part(last, first)
    return first, np.cos(angle) * first + np.sin(angle) * length * n / np.linalg.norm(n)


def _orthogonal_part(vector: np.ndarray, to: np.ndarray) -> np.ndarray:
    """The part of a vector that is orthogonal to another one."""
    return vector - (vector @ to) / (to @ to) * to


@arguments.checked
def continual_start(
    model: ContinualLearning,
    N: int,
    seed: int = 0,
    *,
    T=None,
    scale: float = 1.0,
    head_scale: float = 1.0,
) -> State:
    """The order parameters of random weights in N dimensions, for a model of several teachers.

        w_ki ~ scale N(0, 1),   h_ak ~ head_scale N(0, 1)
        Q = w w^T / N,   R = w W^T / N,   T = W W^T / N

    With `T` given (`teachers_of_similarity`) the teachers have exactly these overlaps; otherwise
    their entries are N(0, 1).  Equal seeds give equal student weights and heads, whatever T is.  On
    a hidden manifold Q and R have the size that they have there,

        Q = E[x_i^2] w w^T / N,   R = b delta^(-1/2) w W^T / N

    Raises ValueError if N is smaller than the number of teacher units, or T is no matrix of
    overlaps.

    >>> import teacherstudent as ts
    >>> model = ts.ContinualLearning(width=3, teachers=[1, 2])
    >>> start = ts.continual_start(model, N=100, T=ts.teachers_of_similarity(0.5, (1, 2)))
    >>> start.R.shape, start.heads.shape
    ((3, 3), (2, 3))
    """
    K, M = model.width, sum(model.teachers)
    N = checks.integer("N", N, minimum=M)
    checks.memory(f"N = {N}", 2 * (K + M) * N)
    rng = np.random.default_rng(checks.integer("seed", seed, minimum=0))
    w = checks.single("scale", scale) * rng.standard_normal((K, N))
    heads = checks.single("head_scale", head_scale) * rng.standard_normal(model.shapes["heads"])
    W = rng.standard_normal((M, N))
    if T is not None:
        W = root(_overlaps_of_teachers(T, M)) @ orthonormal_rows(W) * np.sqrt(N)
    of_Q, of_R = 1.0, 1.0
    if model.inputs is not None:
        rho, p, signal = model.inputs.spectrum
        of_Q, of_R = p @ rho, np.sqrt(p @ signal)
    start = State(Q=of_Q * w @ w.T / N, R=of_R * w @ W.T / N, T=W @ W.T / N, heads=heads)
    model.check_start(start)
    return start


def _overlaps_of_teachers(T, M: int) -> np.ndarray:
    """T, checked as the overlaps of M vectors."""
    T = checks.finite_array("T", T)
    if T.shape != (M, M):
        raise ValueError(f"T has the shape {T.shape}; the {M} units of the teachers need {(M, M)}.")
    lowest = np.linalg.eigvalsh(T)[0]
    if not np.allclose(T, T.T) or lowest < -1e-9 * max(1.0, np.abs(T).max()):
        raise ValueError(
            f"T is no matrix of overlaps: it must be symmetric without negative eigenvalues, and "
            f"its lowest is {lowest:.3g}."
        )
    return T
