"""Where learning starts: order parameters of random weights or of weights that you have."""

import numpy as np

from teacherstudent import checks
from teacherstudent.order_parameters import OrderParameters, Weights
from teacherstudent.problem import Problem


def random_start(
    problem: Problem, N: int, seed: int = 0, *, scale: float = 1.0, T=None, readout_scale: float = 1.0
) -> OrderParameters:
    """The order parameters of weights drawn at random in N dimensions.

        w_ki ~ scale N(0, 1),   w*_mi ~ N(0, 1),   Q = w w^T / N,   R = w w*^T / N,   T = w* w*^T / N

    so that R and the off-diagonal entries are of order 1 / sqrt N.  With `T` given, the teacher has exactly these
    overlaps instead (the unit matrix: orthonormal teacher vectors).  v_k is 1 if the readout is frozen, otherwise drawn
    from readout_scale N(0, 1).  The inputs are isotropic, so a simulation from any weights with these overlaps, for any
    N, follows the same law; `start_from_weights` keeps particular weights.

    Raises ValueError if N < K + M, a scale or the seed is negative, or T is not a matrix of overlaps.
    """
    K, M = problem.student.width, problem.task.width
    check_dimension(N, K, M)
    checks.number("scale", scale)
    checks.number("readout_scale", readout_scale)
    seed = checks.integer("seed", seed, minimum=0)
    rng = np.random.default_rng(seed)
    w, w_star = scale * rng.standard_normal((K, N)), rng.standard_normal((M, N))
    if T is not None:
        w_star = orthonormal_rows(w_star) * np.sqrt(N)
        w_star = root(_teacher_overlaps(T, M)) @ w_star
    v = readout_scale * rng.standard_normal(K) if problem.student.train_readout else np.ones(K)
    return OrderParameters(Q=w @ w.T / N, R=w @ w_star.T / N, T=w_star @ w_star.T / N, v=v)


def _teacher_overlaps(T, M: int) -> np.ndarray:
    """T, checked as the overlaps of M vectors."""
    return OrderParameters(Q=np.eye(1), R=np.zeros((1, M)), T=T).T


def start_from_weights(problem: Problem, w, v=None, w_star=None) -> OrderParameters:
    """The order parameters of given weights, kept so that `simulate` begins from exactly these weights.

    Shapes: w (K, N), v (K,) (ones unless given), w_star (M, N), required.

    Raises ValueError if shapes do not fit the problem.
    """
    K, M = problem.student.width, problem.task.width
    if w_star is None:
        raise ValueError("w_star is missing; give the teacher's weights, shape (M, N).")
    w, w_star = (np.asarray(part, dtype=np.float64) for part in (w, w_star))
    for name, part, units in (("w", w, K), ("w_star", w_star, M)):
        if part.ndim != 2 or part.shape[0] != units or part.shape[1] != w.shape[-1]:
            raise ValueError(f"{name} has shape {part.shape}; give ({units}, N), with the same N for w and w_star.")
    N = w.shape[1]
    check_dimension(N, K, M)
    overlaps = OrderParameters(w @ w.T / N, w @ w_star.T / N, w_star @ w_star.T / N, v, Weights(w, w_star))
    problem.check_start(overlaps)
    return overlaps


def weights_with_overlaps(start: OrderParameters, frame: np.ndarray) -> Weights:
    """Weights that have exactly the overlaps of `start`, along the orthonormal rows of `frame`, shape (K + M, N).

    [w; w*] = sqrt N C^(1/2) frame, so that [w; w*] [w; w*]^T / N = C.
    """
    rows = np.sqrt(frame.shape[-1]) * root(start.C) @ frame
    return Weights(rows[: start.students], rows[start.students :])


def orthonormal_rows(matrix: np.ndarray) -> np.ndarray:
    """Orthonormal rows that span the rows of a matrix; uniformly distributed frames from Gaussian matrices."""
    Q, R = np.linalg.qr(matrix.T)
    return (Q * np.sign(np.diagonal(R))).T


def root(C: np.ndarray) -> np.ndarray:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(C)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def check_dimension(N: int, K: int, M: int) -> None:
    """Raise ValueError unless N is an integer of at least K + M."""
    checks.integer("N", N)
    if N < K + M:
        raise ValueError(f"N = {N} is smaller than K + M = {K + M}; weights with given overlaps need N >= K + M.")
