"""Fixed points of the order-parameter equations, and how fast motion grows or dies out near them.

At a fixed point f(y*) = 0, and near it

    y(t) = y* + sum_i a_i e_i exp(lambda_i t),   J e_i = lambda_i e_i,   J = df/dy at y*

with t = updates / N.  It is stable if every lambda_i has a negative real part.  A plateau is a
fixed point with some lambda > 0: learning stays near it for a time log(1 / a) / lambda and leaves
it along e.  A zero mode, lambda = 0, says that the fixed points form a line, along which a symmetry
moves them (`zero_modes.py`).
"""

import re
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from odes.analysis.flat_field import FlatField, vector_field
from odes.analysis.newton import Root, find_root
from odes.analysis.subspaces import Basis, constrained, free_directions, pack_state
from odes.analysis.zero_modes import is_mode, symmetries
from odes.rules.theory import theory_of
from odes.solving.quadrature_error import averages_used
from teacherstudent.checking import arguments
from teacherstudent.errors import FixedPointError
from teacherstudent.problem import Problem
from teacherstudent.results.datasets import dataset
from teacherstudent.schedules import schedules_in
from teacherstudent.starts import Start
from teacherstudent.states.physical_region import smallest_eigenvalue
from teacherstudent.states.spectral_overlaps import SpectralOverlaps

# An eigenvalue is zero if it is smaller than this fraction of the largest: what rounding and a
# root that is known to 1e-10 leave of it.
ZERO = 1e-9
# Equal eigenvalues come out as a pair with imaginary parts of the size of rounding.
REAL = 1e-9
STEP = 1e-5  # of the finite difference by which a Jacobian is checked
ROUGH = 0.05  # the same of a difference on one side
TRIALS = 8  # directions of a finite difference that are tried
AGREEMENT = 1e-3  # of a Jacobian with that difference, relative to its size


class Stability(NamedTuple):
    """How motion near a fixed point grows or dies out.

    - `values`, `vectors`: the eigenvalues of the Jacobian, largest real part first, and its right
      eigenvectors, a column each, of length 1.
    - `zero`: how many of the eigenvalues are zero.
    - `names`: the symmetries that explain zero modes; `explained`: how many zero modes they
      explain.
    """

    values: np.ndarray
    vectors: np.ndarray
    zero: int
    names: list[str]
    explained: int = 0

    @property
    def escape_rate(self) -> float:
        """The largest growth rate, per unit of time; negative for a stable fixed point.

        Of a fixed point with zero modes it is that of the other modes.
        """
        return float(self.values.real[~self.is_zero].max(initial=-np.inf))

    @property
    def is_zero(self) -> np.ndarray:
        """Which of the eigenvalues are zero."""
        return np.abs(self.values) <= ZERO * np.abs(self.values).max(initial=0.0)

    @property
    def unstable(self) -> int:
        """How many modes grow."""
        return int((self.values.real[~self.is_zero] > 0).sum())

    def sentence(self) -> str:
        """The classification: stable, a plateau, or one of a line of fixed points."""
        if self.unstable:
            rate = self.escape_rate
            what = f"plateau: {self.unstable} of {len(self.values)} modes grow, the fastest at the "
            what += f"rate {rate:.6g} (a factor e in t = {1 / rate:.6g})"
        else:
            what = f"stable: the slowest mode dies out at the rate {-self.escape_rate:.6g}"
        if not self.zero:
            return what
        reasons = list(self.names)
        if self.explained < self.zero:
            reasons.append(f"{self.zero - self.explained} by no symmetry that is known")
        line = f"{self.zero} zero modes, so that it is one of many fixed points"
        return f"{what}; {line} ({'; '.join(reasons)})"


@arguments.checked
def fixed_point(problem: Problem, near: Start, *, constraint=None, quadrature=None) -> xr.Dataset:
    """The fixed point of the order-parameter equations nearest to a state, and its stability.

        f(y*) = 0,   J = df/dy at y*,   J e_i = lambda_i e_i,   t = updates / N

    found by Newton's method from `near`, with the derivative by automatic differentiation.

    - `near`: order parameters, such as `ts.state_at(theory, t)` on a plateau of a trajectory.  What
      the problem does not move (T, a frozen readout) is taken from them.
    - `constraint`: the states among which the fixed point is looked for.  "symmetric": all units of
      the student are alike, which finds the plateau of Saad & Solla; groups of units that are
      alike, such as [[0, 1], [2]]; or a linear function of y (`ts.vector_field`) that projects on
      the states that are allowed.  `near` is projected, too.  The stability is that against all
      motions, also those that leave the constraint.
    - `quadrature`: a `ts.Quadrature`, how averages without closed forms are computed; None is at an
      accuracy of 1e-8.

    Returns an `xarray.Dataset` with Q (student, student_), R (student, teacher), T, v and eps_g
    (with two classes Q, m, v, b, loss), the `eigenvalues` (eigenvalue) of J, largest real part
    first, and the `eigenvectors` (entry, eigenvalue), along the entries of y by their names; where
    some are complex these are the real parts, and `eigenvalues_imag`, `eigenvectors_imag` the
    imaginary ones.  The
    attribute `classification` is one line: whether it is stable, a plateau and with which escape
    rate, and which symmetries are behind zero modes; `residual` is the largest |dy/dt| that is
    left.  `ts.start_of` gives the fixed point as the start of a run.  What a rule
    remembers (HeavyBall with gamma) is not in that start, and such a run first moves away from the
    fixed point.

    Frozen units, and lengths of weights that a rule holds, have no part in eigenvalues.  Rules with
    averages over frozen points that jump (sign rules, Fromage) have no derivative.

    Raises `FixedPointError`, with the smallest residual and the state where it is, if there is no
    fixed point near by or no weights have its overlaps; ValueError for input that does not fit,
    problems without a theory, numbers that change with time, and equations without a derivative.

    Saad & Solla, Phys. Rev. E 52, 4225 (1995), section IV: the symmetric phase and its escape.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=2), ts.SGD(0.01))
    >>> near = ts.OrderParameters(Q=np.full((2, 2), 0.3), R=np.full((2, 2), 0.35))
    >>> plateau = ts.fixed_point(problem, near, constraint="symmetric")
    >>> print(plateau.Q.values.round(3)[0], plateau.R.values.round(3)[0])
    [0.337 0.332] [0.408 0.408]
    >>> plateau.attrs["classification"].split(":")[0]
    'plateau'
    """
    field = field_at_rest(problem, near, quadrature)
    free = free_directions(field)
    root, _ = root_near(field, free, constraint)
    state = require_physical(field, root)
    return _labelled(field, state, root, stability(field, root.y, free))


def root_near(field: FlatField, free: Basis, constraint) -> tuple[Root, Basis]:
    """Where Newton's method ends from the start of a field, and the directions it could move in."""
    basis = constrained(field, free, constraint)
    y = projected(field, free, basis)
    check_derivative(field, y)
    require_invariance(field, y, free, basis)
    root = find_root(field.velocity, field.jacobian, y, basis, field.is_physical)
    return root, basis


def field_at_rest(problem: Problem, near: Start, quadrature) -> FlatField:
    """The vector field of a problem whose numbers do not change with time, with a derivative."""
    field = vector_field(problem, near, quadrature=quadrature)
    changing = schedules_in((problem.task, problem.rule))
    if changing:
        raise ValueError(
            f"a number of the problem changes with time ({changing[0]!r}), so that no state stays "
            "at rest; give a number, or problem.at(t) for one time."
        )
    nodes = theory_of(problem.rule).nodes(problem.rule, problem)
    if nodes is not None and nodes.rough:
        raise ValueError(
            f"the theory of {type(problem.rule).__name__} has averages over frozen points "
            f"({nodes.description}), which jump, so that its equations have no derivative; give a "
            "rule such as SGD, or follow integrate until nothing moves."
        )
    return field


def projected(field: FlatField, free: Basis, basis: Basis) -> Float[np.ndarray, " entries"]:
    """The start with what moves projected on the subspace that is looked at."""
    if basis.shape[1] == 0:
        raise ValueError("constraint leaves no direction in which the order parameters can move.")
    if basis.shape == free.shape:
        return field.y
    return field.y - free @ (free.T @ field.y) + basis @ (basis.T @ field.y)


def check_derivative(field: FlatField, y: np.ndarray) -> None:
    """Raise ValueError unless the Jacobian is that of the vector field, by a finite difference.

    Averages over points that jump have a derivative that automatic differentiation does not see.
    At the edge of the overlaps that weights can have, no difference can be taken: there Newton's
    method sees what the derivative is worth.
    """
    direction = _inner_direction(field, y)
    if direction is None:
        return
    expected = (field.velocity(y + direction) - field.velocity(y - direction)) / 2
    found = field.jacobian(y) @ direction
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        return
    size = np.abs(field.jacobian(y)).max() * np.abs(direction).max()
    if np.abs(expected - found).max() > AGREEMENT * size:
        raise ValueError(
            "the equations of this problem have no derivative by automatic differentiation: it "
            f"differs from finite differences by {np.abs(expected - found).max() / size:.2g} of "
            f"its size (averages: {averages_used(field.problem)})."
        )


def _inner_direction(field: FlatField, y: np.ndarray) -> np.ndarray | None:
    """A small step of which both sides of a state have overlaps of weights; None at the edge."""
    rng = np.random.default_rng(0)
    for _ in range(TRIALS):
        direction = rng.standard_normal(len(y))
        step = STEP * (1 + np.abs(y).max()) / np.linalg.norm(direction) * direction
        if all(smallest_eigenvalue(*field.overlaps(side)) > 0 for side in (y + step, y - step)):
            return step
    return None


def require_invariance(field: FlatField, y: np.ndarray, free: Basis, basis: Basis) -> None:
    """Raise ValueError if motion leaves the subspace of a constraint."""
    if basis.shape == free.shape:
        return
    velocity = field.velocity(y)
    outside = velocity - basis @ (basis.T @ velocity)
    worst = np.abs(outside).argmax()
    if np.abs(outside).max() > 1e-7 * np.abs(velocity).max() + 1e-12:
        raise ValueError(
            "constraint: motion leaves the states that it allows, since "
            f"d{field.names[worst]}/dt = {velocity[worst]:.3g} breaks it by "
            f"{abs(outside[worst]):.3g}; the units are not alike in this problem."
        )


def require_physical(field: FlatField, root: Root) -> Start:
    """The state of a root; FixedPointError where there is none, or no weights have its overlaps."""
    if not root.found:
        raise FixedPointError(
            "no fixed point was found: Newton's method ends where the largest |dy/dt| is "
            f"{root.residual:.3g} and the next step would be {root.distance:.3g} long, at "
            f"{_in_words(field, root.y)}; begin nearer to one (near=ts.state_at(theory, t)), or "
            'look among symmetric states (constraint="symmetric").',
            residual=root.residual,
            state=dict(zip(field.names, root.y.tolist(), strict=True)),
        )
    if not field.is_physical(root.y):
        eigenvalue = float(smallest_eigenvalue(*field.overlaps(root.y)))
        raise FixedPointError(
            "the fixed point that Newton's method found has overlaps of no weights: the smallest "
            f"eigenvalue of their covariance is {eigenvalue:.3g} of its largest entry, at "
            f"{_in_words(field, root.y)}; begin nearer to the one that you mean.",
            residual=root.residual,
            state=dict(zip(field.names, root.y.tolist(), strict=True)),
        )
    return field.unpack(root.y)


def _in_words(field: FlatField, y: np.ndarray, most: int = 6) -> str:
    """The first entries of a state by their names."""
    shown = [f"{name} = {value:.4g}" for name, value in zip(field.names[:most], y, strict=False)]
    if len(y) > most:
        shown.append("...")
    return ", ".join(shown)


def stability(field: FlatField, y: np.ndarray, free: Basis) -> Stability:
    """The eigenvalues and eigenvectors of the Jacobian in the directions that can move."""
    jacobian = field.jacobian(y)
    if not (np.isfinite(jacobian).all() and _is_smooth_inwards(field, y, jacobian)):
        raise ValueError(
            "the equations have no derivative at the fixed point "
            f"{_in_words(field, y)}: it is at the edge of the overlaps that weights can have, "
            "where the averages of this activation are not smooth."
        )
    values, vectors = np.linalg.eig(free.T @ jacobian @ free)
    order = np.lexsort((values.imag, -values.real))
    values, vectors = values[order], free @ vectors[:, order]
    if np.abs(values.imag).max() <= REAL * np.abs(values).max():
        values, vectors = values.real, _real_vectors(values, vectors)
    found = Stability(values, vectors, 0, [])
    zero = int(found.is_zero.sum())
    if not zero:
        return found
    names, explained = _named_zero_modes(field, y, jacobian, free)
    return found._replace(zero=zero, names=names, explained=min(zero, explained))


def _is_smooth_inwards(field: FlatField, y: np.ndarray, jacobian: np.ndarray) -> bool:
    """Whether the Jacobian is the slope towards longer vectors, which are always possible.

    Where the student equals its teacher, averages of ReLU go as the square root of the distance.
    """
    longer = np.array([1.0 if is_length(name) else 0.0 for name in field.names])
    step = STEP * (1 + np.abs(y).max())
    expected = (field.velocity(y + step * longer) - field.velocity(y)) / step
    found = jacobian @ longer
    size = max(np.abs(expected).max(), np.abs(found).max())
    return bool(np.abs(expected - found).max() <= ROUGH * size)


def is_length(name: str) -> bool:
    """Whether an entry is one of Q_kk, or of q_kk of a mode."""
    match = re.match(r"[Qq]\[(\d+),(\d+)\]", name)
    return match is not None and match[1] == match[2]


def _real_vectors(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Real eigenvectors of real eigenvalues, of length 1 and with a sum that is not negative.

    Of a pair that rounding made complex they are the real and the imaginary part.
    """
    real = np.where(values.imag < 0, vectors.imag, vectors.real)
    real = real / np.linalg.norm(real, axis=0)
    return real * np.where(np.sum(real, axis=0) < 0, -1.0, 1.0)


def _named_zero_modes(field: FlatField, y, jacobian, free: Basis) -> tuple[list[str], int]:
    """The symmetries whose motion the Jacobian does not see, and how many directions they span."""
    student = field.problem.student
    names, directions = [], [np.zeros(len(y))]
    state = field.state_at(y)
    for symmetry in symmetries(state, student.activation, student.train_readout):
        direction = pack_state(field, symmetry.velocity)
        if is_mode(jacobian, direction, free):
            names.append(symmetry.name)
            directions.append(direction / np.linalg.norm(direction))
    return names, int(np.linalg.matrix_rank(np.stack(directions), tol=1e-6))


def _labelled(field: FlatField, state: Start, root: Root, found: Stability) -> xr.Dataset:
    """The answer as a dataset."""
    problem = field.problem
    report = {
        "residual": root.residual,
        "averages": averages_used(problem),
        "unstable_modes": found.unstable,
        "zero_modes": found.zero,
        "escape_rate": found.escape_rate,
    }
    variables = _variables(field, state, root.y)
    data = dataset(
        "fixed_point",
        problem,
        state,
        coordinates={"time": np.zeros(1), **_modes(state)},
        variables={name: value[None] for name, value in variables.items()} | {"T": state.T},
        report=report,
    )
    data = data.isel(time=0, drop=True)
    data = data.assign_coords(entry=("entry", list(field.names), {"long_name": "order parameter"}))
    data = data.assign(real_and_imaginary("eigenvalues", ("eigenvalue",), found.values))
    data = data.assign(real_and_imaginary("eigenvectors", ("entry", "eigenvalue"), found.vectors))
    data.attrs["classification"] = found.sentence()
    data.attrs["residual"] = root.residual
    return data


ABOUT = {
    "eigenvalues": ("eigenvalue of the Jacobian", r"\lambda_i", "1 / time"),
    "eigenvectors": ("eigenvector of the Jacobian", "e_i", "1"),
}


def real_and_imaginary(name: str, dims: tuple[str, ...], values: np.ndarray) -> dict[str, tuple]:
    """The variables of real numbers; of complex ones also that of their imaginary parts."""
    long_name, symbol, units = ABOUT[name]
    about = {"long_name": long_name, "symbol": f"${symbol}$", "units": units}
    if not np.iscomplexobj(values):
        return {name: (dims, values, about)}
    parts = {}
    for suffix, part, word in (("", values.real, "real"), ("_imag", values.imag, "imaginary")):
        letters = {"real": "Re", "imaginary": "Im"}[word]
        of_part = {
            "long_name": f"{word} part of an {long_name}",
            "symbol": rf"${letters}\,{symbol}$",
            "units": units,
        }
        parts[name + suffix] = (dims, part, of_part)
    return parts


def _modes(state: Start) -> dict[str, Any]:
    """The coordinate of the modes, where there are several."""
    if isinstance(state, SpectralOverlaps):
        return {"rho": state.rho}
    return {}


def _variables(field: FlatField, state: Start, y: np.ndarray) -> dict[str, np.ndarray]:
    """The order parameters and the error, by their names."""
    variables = {name: getattr(state, name) for name in ("Q", "R", "v", "b")}
    variables["eps_g"] = np.asarray(field.error(y))
    if isinstance(state, SpectralOverlaps):
        return variables | {"q": state.q, "r": state.r}
    return variables
