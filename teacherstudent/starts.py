"""Where learning starts: order parameters of random weights or of weights that you have."""

from typing import Any

import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.models.state import State
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import PSD_TOLERANCE, OrderParameters, Weights
from teacherstudent.states.spectral_overlaps import SpectralOverlaps, spectral_overlaps
from teacherstudent.states.spectrum import MOST_NODES, Modes, Spectrum, merge_equal
from teacherstudent.streams import WEIGHTS, WEIGHTS_OF_A_NETWORK, stream
from teacherstudent.tasks.base import with_fields

Start = OrderParameters | SpectralOverlaps


@arguments.checked
def random_start(
    problem: Problem,
    N: int | None = None,
    seed: int = 0,
    *,
    scale: float = 1.0,
    T=None,
    readout_scale: float = 1.0,
) -> Start:
    """The order parameters of weights drawn at random in N dimensions.

        w_ki ~ scale N(0, 1)
        w*_mr ~ N(0, 1)

        Q = w Omega w^T / N
        R = w Phi w*^T / sqrt(N D)
        T = w* w*^T / D

    with Omega = Phi = 1 and D = N for the teacher-student task, so that R and the off-diagonal
    entries are of order 1 / sqrt N.  Shapes: Q (K, K), R (K, M), T (M, M), v (K,).

    With `T` given, the teacher has exactly these overlaps instead (the unit matrix: orthonormal
    teacher vectors).  v_k is 1 if the readout is frozen, otherwise
    drawn from readout_scale N(0, 1).  For rules that keep |w_k|^2 = N (`SphericalSGD`, `Nero`) each
    w_k is brought to that length.

    With two classes w*_m are the task's directions u_a, orthogonal with |u_a|^2 = N, and R is m;
    biases are zero.

    On isotropic inputs a simulation from any weights with these overlaps, for any N, follows the
    same law; the answer is `OrderParameters`, which lie in N dimensions also where N < K + M.  For
    other tasks it is `SpectralOverlaps`, which keep these weights; theory and simulation begin from
    them.

    `N` may be left out where the task's own arrays fix it.

    Raises ValueError if a scale or the seed is negative, T is not a matrix of overlaps, N is too
    small for teacher vectors with these overlaps, the task has no inputs in N dimensions, or the
    rule cannot begin at such weights (a `scale` beside 1 where it keeps their lengths).

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=3), ts.SGD(0.1))
    >>> start = ts.random_start(problem, N=100, seed=1, T=np.eye(2))
    >>> start.Q.shape, start.R.shape
    ((3, 3), (3, 2))
    """
    task = problem.task
    K, M = problem.student.width, task.directions
    if N is None:
        N = task.input_dimension
    if N is None:
        raise ValueError("N is missing; give the input dimension.")
    N = checks.integer("N", N)
    D = task.latent_dimension(N)
    scale = checks.single("scale", scale)
    readout_scale = checks.single("readout_scale", readout_scale)
    checks.memory(f"N = {N}", (2 * K + M) * N + M * D)
    checks.memory(f"student.width + task.width = {K + M}", 6 * (K + M) ** 2)
    rng = _generator(problem, checks.integer("seed", seed, minimum=0))
    w = _student_rows(problem, scale, rng.standard_normal((K, N)))
    w_star = _fixed_rows(problem, T, N, rng.standard_normal((M, D)))
    v = np.ones(K)
    if problem.student.train_readout:
        v = readout_scale * rng.standard_normal(K)
    if task.HAS_MODES:
        return start_from_weights(problem, w, v, w_star)
    Q = w @ w.T / N
    overlaps = w @ w_star.T / N
    if task.HAS_CLASSES:
        start = OrderParameters(Q=Q, m=overlaps, v=v)
    else:
        start = OrderParameters(Q=Q, R=overlaps, T=w_star @ w_star.T / N, v=v)
    problem.check_start(start)
    return start


def _generator(problem: Problem, seed: int) -> np.random.Generator:
    """The random numbers of a start; features of inputs with modes are drawn from the same seed."""
    if problem.task.HAS_MODES:
        return stream(seed, WEIGHTS)
    return np.random.default_rng(seed)


def _fixed_rows(
    problem: Problem, T, N: int, rows: Float[np.ndarray, "fixed latents"]
) -> np.ndarray:
    """The teacher's rows, or the directions of two classes, with the overlaps T if they are given.

    Directions of two classes are always orthogonal, of length sqrt N.
    """
    M, D = rows.shape
    if problem.task.HAS_CLASSES:
        if T is not None:
            raise ValueError(
                "T is given, but the fixed directions of a task with two classes are orthonormal; "
                "leave T out."
            )
        T = np.eye(M)
    if T is None:
        return rows
    if D < M:
        raise ValueError(
            f"N = {N} gives {D} dimensions to the {M} fixed vectors, which must be "
            "independent; give more."
        )
    return root(_teacher_overlaps(T, M)) @ (orthonormal_rows(rows) * np.sqrt(D))


def _student_rows(
    problem: Problem, scale: float, rows: Float[np.ndarray, "students inputs"]
) -> np.ndarray:
    """Random rows times the scale, as the rule can begin from them."""
    w = problem.rule.start_weights(rows)
    if scale != 1 and w is not rows:
        raise ValueError(
            f"scale = {scale:g} is not possible: {type(problem.rule).__name__} keeps |w_k|^2 = N, "
            "so that random weights have that length; leave scale out."
        )
    return scale * w


@arguments.checked
def orthogonal_start(problem: Problem, N: int, seed: int = 0, *, T=None) -> OrderParameters:
    """AGD's own start: weights that are orthogonal rows, as long as the layers' scales.

        W_1 = w / sqrt N = sqrt(K / N) O_1
        v = O_2 / sqrt K

    where O_1 (K, N) and O_2 (1, K) have orthonormal rows, and w* is as in `random_start`,
    so that Q = (K / N) 1, R = O(sqrt K / N) and |v| = 1 / sqrt K.  The simulation begins from
    exactly these weights.  As N grows this is the point w = 0, from which units with the same |v_k|
    stay alike.  A frozen readout has these values too.

    Raises ValueError if N < K + M, or the inputs are not isotropic.  J. Bernstein et al.
    (arXiv:2304.05187), section 3.

    >>> import teacherstudent as ts
    >>> student = ts.Student(width=3, train_readout=True)
    >>> problem = ts.Problem(ts.TeacherStudent(width=2), student, ts.AGD())
    >>> start = ts.orthogonal_start(problem, N=300)
    >>> bool(np.allclose(start.Q, np.eye(3) / 100))
    True
    """
    if problem.task.HAS_MODES or problem.task.HAS_CLASSES:
        raise ValueError(
            "orthogonal_start is for isotropic inputs with a teacher, not for "
            f"{type(problem.task).__name__}; make the weights yourself and give them to "
            "start_from_weights."
        )
    K, M = problem.student.width, problem.task.directions
    seed = checks.integer("seed", seed, minimum=0)
    check_dimension(N, K, M)
    checks.memory(f"N = {N}", 4 * (K + M) * N)
    rng = stream(seed, WEIGHTS)
    w_star = np.random.default_rng(seed).standard_normal((K + M, N))[K:]
    if T is not None:
        w_star = root(_teacher_overlaps(T, M)) @ (orthonormal_rows(w_star) * np.sqrt(N))
    w = np.sqrt(K) * orthonormal_rows(rng.standard_normal((K, N)))
    v = orthonormal_rows(rng.standard_normal((1, K)))[0] / np.sqrt(K)
    start = start_from_weights(problem, w, v, w_star)
    assert isinstance(start, OrderParameters), "inputs are isotropic here"
    return start


def _teacher_overlaps(T, M: int) -> np.ndarray:
    """T, checked as the overlaps of M vectors."""
    return OrderParameters(Q=np.eye(1), R=np.zeros((1, M)), T=T).T


@arguments.checked
def start_from_weights(problem: Problem, w, v=None, w_star=None, b=None) -> Start:
    """The order parameters of given weights, kept so that `simulate` begins from exactly these
    weights.

    Shapes: w (K, N), v (K,) (ones unless given), w_star (M, D), required; D = N for the
    teacher-student task.  Of a task with two classes, w_star are its fixed directions u_a (spikes,
    axes of the means), shape (r, N), orthogonal with |u_a|^2 = N; b (K,) are the biases, zero
    unless given (with a teacher, of a student that trains them).

    For tasks with more than one eigenvalue the answer is `SpectralOverlaps`, with every eigenvalue
    of the input covariance in N dimensions (equal ones merged): of a hidden manifold that of its F.
    Cost: one eigenvalue or singular value decomposition.

    Raises ValueError if shapes do not fit the problem.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(width=1), ts.Student(width=1), ts.SGD(0.1))
    >>> start = ts.start_from_weights(problem, w=[[1.0, 1.0]], w_star=[[1.0, -1.0]])
    >>> print(start.Q, start.R, start.T)
    [[1.]] [[0.]] [[1.]]
    """
    K, M = problem.student.width, problem.task.directions
    if w_star is None:
        raise ValueError(
            "w_star is missing; give the teacher's weights, shape (M, D) (D = N for the "
            "teacher-student task), or the fixed directions of a task with two classes, shape "
            "(r, N)."
        )
    w = checks.array("w", w)
    w_star = checks.array("w_star", w_star)
    for name, part in (("w", w), ("w_star", w_star)):
        if not np.isfinite(part).all():
            raise ValueError(f"{name} has entries that are not finite; give numbers everywhere.")
    if w.ndim != 2 or w.shape[0] != K:
        raise ValueError(f"w has shape {w.shape}; give ({K}, N).")
    N = checks.integer("the second size of w", w.shape[1])
    D = problem.task.latent_dimension(N)
    if w_star.shape != (M, D):
        raise ValueError(
            f"w_star has shape {w_star.shape}; beside w of shape {w.shape} this task needs ({M}, "
            f"{D})."
        )
    network = Weights(w, w_star)
    if problem.task.HAS_MODES:
        modes = problem.task.modes(N)  # type: ignore[attr-defined]
        start: Start = _projected(modes, network, v, b)
    else:
        Q, R, T = w @ w.T / N, w @ w_star.T / N, w_star @ w_star.T / N
        start = OrderParameters(Q, R, T, v, network, b=b)
    problem.check_start(start)
    return start


def _projected(modes: Modes, network: Weights, v, b) -> SpectralOverlaps:
    """q, r, t of given weights along the eigenvectors; equal eigenvalues are merged.

    All that is orthogonal to the eigenvectors is one more mode.
    """
    w, w_star = network
    N, D = modes.Phi.shape
    # Phi w*_m / sqrt delta, one row for each m.
    signal = w_star @ modes.Phi.T * np.sqrt(N / D)
    densities = []
    for first, second in ((w, w), (w, signal), (signal, signal)):
        densities.append(_densities(modes, first, second))
    rho = modes.rho
    weights = np.full(len(rho), 1 / N)
    others = N - len(rho)
    if others:
        rho = np.append(rho, modes.rest)
        weights = np.append(weights, others / N)
    rho, weights, q, r, t = merge_equal(rho, weights, *densities)
    return SpectralOverlaps(rho, weights, q, r, t, w_star @ w_star.T / D, v, network, b=b)


def _densities(modes: Modes, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Products of two sets of rows along each eigenvector, and on average orthogonal to all."""
    along = np.einsum("at,bt->tab", first @ modes.vectors, second @ modes.vectors)
    others = first.shape[1] - len(along)
    if others == 0:
        return along
    rest = (first @ second.T - along.sum(0)) / others
    return np.concatenate([along, rest[None]])


@arguments.checked
def spectral_start(problem: Problem, start: Start, nodes: int = 24) -> SpectralOverlaps:
    """The overlaps per mode that a start means on the inputs of a problem.

    `SpectralOverlaps` stay as they are.  `OrderParameters` say nothing about single modes: the
    weights are taken to know no direction of the inputs but the teacher's, in the limit N, D ->
    infinity where the task has one (the hidden manifold, by the Gauss rule with `nodes` nodes of
    the Marchenko-Pastur law).  R = 0 is then kept for ever by a student whose units are alike; a
    small R is the seed that breaks this symmetry, and sets when the plateau is left.  Finite
    networks have R of the order of 1 / sqrt D by chance: to compare the times at which they leave a
    plateau, start from weights.

    Raises ValueError if the start does not fit the problem, the task has no spectrum without
    weights, or no such weights have these overlaps.

    >>> import teacherstudent as ts
    >>> task = ts.HiddenManifold(width=1, latent_ratio=0.5)
    >>> problem = ts.Problem(task, ts.Student(width=1), ts.SGD(0.1))
    >>> start = ts.spectral_start(problem, ts.OrderParameters(Q=[[1.0]], R=[[0.1]]), nodes=8)
    >>> start.q.shape
    (9, 1, 1)
    """
    nodes = checks.integer("nodes", nodes, maximum=MOST_NODES)
    problem.check_start(start)
    if isinstance(start, SpectralOverlaps):
        return start
    if problem.task.HAS_CLASSES:
        raise ValueError(
            f"{type(problem.task).__name__} has no spectrum of modes; its start is "
            "OrderParameters(Q=, m=, v=, b=)."
        )
    # Isotropic inputs have one eigenvalue.
    spectrum = Spectrum(np.ones(1), np.ones(1), np.ones(1))
    if problem.task.HAS_MODES:
        spectrum = problem.task.spectrum(nodes)  # type: ignore[attr-defined]
    lifted = spectral_overlaps(spectrum, start)
    problem.check_start(lifted)
    return lifted


def one_of_batch(start: Start, index: int) -> Start:
    """One start of a batch."""
    return _members(start, index)


def some_of_batch(start: Start, members: list[int]) -> Start:
    """Some starts of a batch, a batch of their own."""
    return _members(start, members)


def _members(start: Start, members: int | list[int]) -> Start:
    """One or some starts of a batch; the eigenvalues of the inputs are those of all."""
    values: dict[str, Any] = {}
    for name in ("Q", "R", "q", "r", "t", "T", "v", "b"):
        if name in start.__dataclass_fields__:
            values[name] = getattr(start, name)[members]
    return with_fields(start, values)


def check_begins(start: Start | State, times) -> None:
    """Raise ValueError if the first of the times is before that of the start."""
    if times[0] < start.time:
        raise ValueError(
            f"times[0] = {times[0]:g} is before t = {start.time:g}, the time of the start; give "
            "later times, or a start at t = 0."
        )


def weights_with_overlaps(start: OrderParameters, frame: np.ndarray) -> Weights:
    """Weights that have exactly the overlaps of `start`, along the orthonormal rows of `frame`,
    shape (K + M, N).

    [w; w*] = sqrt N C^(1/2) frame, so that [w; w*] [w; w*]^T / N = C.
    """
    rows = np.sqrt(frame.shape[-1]) * root(start.C) @ frame
    return Weights(rows[: start.students], rows[start.students :])


def random_weights(start: OrderParameters, N: int, seed: int) -> Weights:
    """Weights in N dimensions that have exactly the overlaps of `start`, along random directions.

    Raises ValueError if the overlaps need more dimensions: as many as the rank of [[Q, R], [R^T,
    T]].
    """
    rng = np.random.default_rng(seed)
    fields = start.students + start.teachers
    if fields <= N:
        return weights_with_overlaps(start, orthonormal_rows(rng.standard_normal((fields, N))))
    check_rank(start, N)
    values, vectors = np.linalg.eigh(start.C)
    coordinates = vectors[:, -N:] * np.sqrt(np.clip(values[-N:], 0, None))
    rows = np.sqrt(N) * coordinates @ orthonormal_rows(rng.standard_normal((N, N)))
    return Weights(rows[: start.students], rows[start.students :])


def check_rank(start: Start, N: int) -> None:
    """Raise ValueError unless vectors in N dimensions can have the overlaps of a start."""
    fields = start.students + start.teachers
    if fields <= N:
        return
    values = np.linalg.eigvalsh(np.asarray(start.C))
    rank = int(np.sum(values > PSD_TOLERANCE * max(1.0, values.max()), axis=-1).max())
    if rank > N:
        raise ValueError(
            f"N = {N} is too small: the overlaps of the start are those of {fields} vectors (K + "
            f"M) that span {rank} dimensions; give a larger N, or the weights "
            "(start_from_weights)."
        )


def weights_on_inputs(
    Omega: Float[np.ndarray, "inputs inputs"],
    Phi: Float[np.ndarray, "inputs latents"],
    start: OrderParameters,
    seed: int,
) -> Weights:
    """Random weights that have exactly the overlaps Q, R, T of `start` on inputs of given
    covariances.

        w* = sqrt D T^(1/2) frame
        w = S^(1/2) G + alpha a

        a = sqrt(N / D) w* Phi^T
        alpha = R (a a^T / N)^-1
        S = Q - alpha (a Omega a^T / N) alpha^T

    G are random rows, orthogonal to a and to a Omega and with G Omega G^T = N, so that
    w Phi w*^T / sqrt(N D) = R and w Omega w^T / N = Q: the finite network of `spectral_overlaps`.

    Raises ValueError if no such weights have these overlaps.
    """
    return weights_drawn_on_inputs(Omega, Phi, start, stream(seed, WEIGHTS_OF_A_NETWORK))


def weights_drawn_on_inputs(
    Omega: Float[np.ndarray, "inputs inputs"],
    Phi: Float[np.ndarray, "inputs latents"],
    start: OrderParameters,
    rng: np.random.Generator,
) -> Weights:
    """`weights_on_inputs` of the numbers of a generator."""
    N, D = Phi.shape
    K, M = start.students, start.teachers
    if N < K + 2 * M:
        raise ValueError(
            f"N = {N} is smaller than K + 2 M = {K + 2 * M}; weights with given overlaps on these "
            "inputs need more."
        )
    w_star = np.sqrt(D) * root(start.T) @ orthonormal_rows(rng.standard_normal((M, D)))
    a = np.sqrt(N / D) * w_star @ Phi.T
    alpha = start.R @ np.linalg.pinv(a @ a.T / N, hermitian=True)
    along = alpha @ a
    S = start.Q - along @ Omega @ along.T / N
    smallest = np.linalg.eigvalsh(S)[0]
    negative = smallest < -PSD_TOLERANCE * max(1.0, np.abs(S).max())
    if negative or not np.allclose(along @ a.T / N, start.R, atol=1e-8):
        raise ValueError(
            f"no weights in N = {N} dimensions have the overlaps start.Q and start.R on these "
            f"inputs (eigenvalue {smallest:.4g} of what Q leaves to their random part); give a "
            "smaller R, or R = 0 where inputs say nothing of the latent."
        )
    basis = np.linalg.qr(np.concatenate([a, a @ Omega]).T)[0]
    G = rng.standard_normal((K, N))
    G -= (G @ basis) @ basis.T
    free = G @ Omega @ G.T / N
    if np.linalg.eigvalsh(free)[0] < 1e-10 * np.trace(Omega) / N:
        raise ValueError(
            f"these inputs vary in too few directions (the rank of Omega) for K = {K} student "
            f"vectors beside those of M = {M} teacher units; start from weights, with "
            "ts.random_start or ts.start_from_weights."
        )
    return Weights(root(S) @ np.linalg.solve(root(free), G) + along, w_star)


def orthonormal_rows(matrix: np.ndarray) -> np.ndarray:
    """Orthonormal rows that span the rows of a matrix; uniformly distributed frames from Gaussian
    matrices.
    """
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
        raise ValueError(
            f"N = {N} is smaller than K + M = {K + M}; weights with given overlaps need N >= K + M."
        )
