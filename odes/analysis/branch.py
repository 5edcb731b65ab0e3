"""A fixed point followed while a number of the problem changes: pseudo-arclength continuation.

The fixed points f(y, p) = 0 form a curve in the space of (y, p), y the order parameters and p the
number, such as the learning rate.  From a point with the tangent tau of length 1 the next one is
looked for at a distance ds along it,

    f(y, p) = 0,   tau . ((y, p) - (y0, p0)) = ds

by Newton's method.  The curve may turn back in p (a fold), which no continuation in p itself
follows.  H. B. Keller, in Applications of Bifurcation Theory (Academic Press, 1977).
"""

from typing import NamedTuple

import numpy as np
import scipy  # which loads linalg, optimize, ... where they are first used
import xarray as xr

from odes.analysis.fixed_point import (
    Stability,
    field_at_rest,
    real_and_imaginary,
    require_physical,
    root_near,
    stability,
)
from odes.analysis.flat_field import FlatField
from odes.analysis.newton import find_root, shortest_step
from odes.analysis.subspaces import Basis, free_directions
from teacherstudent.checking import arguments, checks
from teacherstudent.problem import Problem
from teacherstudent.results.datasets import COORDINATES, dataset
from teacherstudent.starts import Start
from teacherstudent.sweeps.points import is_number, with_entries

DIFFERENCE = 1e-6  # of the number p, by which df/dp is taken, relative to the whole range
CORRECTIONS = 8  # Newton steps at most towards the next point
ACCURACY = 1e-9
NO_SLOPE = 1e-7  # singular values below this fraction of the largest are those of zero modes
MOST = 4  # times the points that were asked for, a curve may have
SMALLEST = 1e-6  # step, relative to the largest, at which the curve is given up


class Point(NamedTuple):
    """One fixed point of a curve: the order parameters and the number, scaled by its range."""

    y: np.ndarray
    p: float


@arguments.checked
def follow_fixed_point(
    problem: Problem,
    near: Start,
    over: str,
    stop,
    *,
    points: int = 50,
    constraint=None,
    quadrature=None,
) -> xr.Dataset:
    """A fixed point and its stability while one number of the problem changes.

        f(y, p) = 0,   lambda_i(p) the eigenvalues of df/dy,   t = updates / N

    by pseudo-arclength continuation from the fixed point near a state (`ts.fixed_point`), so that
    the curve is followed around folds, where two fixed points meet and vanish.

    - `over`: the number, by its place in the problem: "rule.learning_rate" or "task.noise".  It
      begins at the problem's value.
    - `stop`: where it ends.
    - `points`: how many points there are about, if the curve does not turn back.
    - `near`, `constraint`, `quadrature`: as for `fixed_point`.

    Returns an `xarray.Dataset` along `point`: the number by its last name, Q, R (or m), v, eps_g
    (or loss), the `eigenvalues` (point, eigenvalue), and `unstable_modes`, how many of them grow.
    Of complex eigenvalues these are the real parts, and `eigenvalues_imag` the imaginary ones.
    The attribute `ends` says why the curve ends: at `stop`, back at the begin, at the edge of the
    overlaps that weights can have, or where Newton's method fails; `bifurcations` lists where the
    number of unstable modes changes, by a straight line between two points of the curve, and where
    the curve turns back.  Among fixed points that a symmetry moves (zero modes) the curve goes to
    the nearest.

    Raises as `fixed_point`, and ValueError for what is no number of the problem.

    Saad & Solla, Phys. Rev. E 52, 4225 (1995), section V: the learning rate at which the state that
    knows the teacher loses its stability.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> linear = ts.TeacherStudent(1, "linear", noise=0.5), ts.Student(1, "linear")
    >>> problem = ts.Problem(*linear, ts.SGD(learning_rate=0.2))
    >>> near = ts.OrderParameters(Q=[[1.0]], R=[[1.0]])
    >>> curve = ts.follow_fixed_point(problem, near, "rule.learning_rate", stop=1.5)
    >>> eta = curve.learning_rate
    >>> bool(np.allclose(curve.eps_g, eta * 0.5**2 / (4 - 2 * eta)))  # of a linear unit
    True
    """
    stop = checks.single("stop", stop, minimum=-np.inf)
    points = checks.integer("points", points, minimum=2)
    field = field_at_rest(problem, near, quadrature)
    line = Line(field, over, stop)
    free = free_directions(field)
    root, basis = root_near(field, free, constraint)
    require_physical(field, root)
    curve, ends = _followed(line, basis, Point(root.y, 0.0), points)
    return _labelled(line, free, curve, ends)


class Direction(NamedTuple):
    """Which way a curve goes at a point, in the space of (z, p).

    - `tangent`: its direction, of length 1.
    - `still`: the directions, a row each, in which a symmetry moves fixed points: zero modes, along
      which no step is taken.
    """

    tangent: np.ndarray
    still: np.ndarray


class Line:
    """The vector fields of a problem as a number of it goes from its own value, p = 0, to p = 1."""

    def __init__(self, field: FlatField, over: str, stop: float):
        self.field = field
        self.over = over
        part, _, name = over.partition(".")
        problem = field.problem
        owner = getattr(problem, part, None)
        value = getattr(owner, name, None)
        if part not in ("rule", "task") or not is_number(problem, over, stop) or value is None:
            raise ValueError(
                f'over = "{over}" is no number of the problem; give one such as '
                '"rule.learning_rate" or "task.noise".'
            )
        if problem.task.HAS_MODES and part == "task" and name != "noise":
            raise ValueError(
                f'over = "{over}" changes the inputs, whose modes the start has; give '
                '"task.noise", or a number of the rule.'
            )
        self.name = name
        self.begin, self.stop = float(value), stop
        if self.begin == stop:
            raise ValueError(f"stop = {stop:g} is where {over} begins; give another value.")
        with_entries(problem, {over: stop})  # raises for a value that the problem cannot have

    def value(self, p: float) -> float:
        """The number itself."""
        return self.begin + p * (self.stop - self.begin)

    def at(self, p: float) -> FlatField:
        """The vector field with the number at p."""
        problem = with_entries(self.field.problem, {self.over: self.value(p)})
        return self.field.of_problem(problem)

    def slopes(self, point: Point, basis: Basis) -> tuple[np.ndarray, np.ndarray]:
        """The velocity in the subspace, and its derivatives with respect to (z, p)."""
        here = self.at(point.p)
        in_state = here.jacobian(point.y) @ basis
        both = np.column_stack([basis.T @ in_state, basis.T @ self._slope_in_number(point)])
        return basis.T @ here.velocity(point.y), both

    def _slope_in_number(self, point: Point) -> np.ndarray:
        """df/dp by a difference; on one side where the problem cannot have the numbers beyond."""
        velocities = []
        for p in (point.p - DIFFERENCE, point.p, point.p + DIFFERENCE):
            try:
                velocities.append((p, self.at(p).velocity(point.y)))
            except ValueError:  # such as label noise below 0
                continue
        (first, before), (last, after) = velocities[0], velocities[-1]
        return (after - before) / (last - first)


def _followed(line: Line, basis: Basis, first: Point, points: int) -> tuple[list[Point], str]:
    """The points of the curve, and why it ends."""
    largest = 1.0 / (points - 1)
    step = largest
    curve = [first]
    forwards = np.zeros(basis.shape[1] + 1)
    forwards[-1] = 1.0
    direction = _direction(line, basis, first, forwards)
    while len(curve) < MOST * points:
        # A step changes p, or the order parameters relative to their size, by no more than this.
        size = 1 + np.abs(curve[-1].y).max()
        tangent = direction.tangent
        ahead = step / max(abs(tangent[-1]), 0.3 * np.abs(tangent[:-1]).max() / size)
        following = _corrected(line, basis, curve[-1], direction, ahead)
        if following is None:
            step /= 2
            if step < SMALLEST * largest:
                return curve, "Newton's method fails"
            continue
        if not line.field.is_physical(following.y):
            if step > SMALLEST * largest * 1e3:
                step /= 2
                continue
            return curve, "the edge of the overlaps that weights can have"
        if following.p >= 1.0 or following.p < 0.0:
            last = _at_number(line, basis, curve[-1], following)
            if last is None:
                return curve, "Newton's method fails"
            return [*curve, last], "stop" if following.p >= 1.0 else "back at the begin"
        direction = _direction(line, basis, following, tangent)
        curve.append(following)
        step = min(largest, 1.5 * step)
    return curve, f"after {len(curve)} points, the most that it may have"


def _direction(line: Line, basis: Basis, point: Point, along: np.ndarray) -> Direction:
    """The direction of the curve at a point that goes on as before.

    With zero modes many directions lead to fixed points; the curve takes the one that is nearest to
    the one before, and moves along no zero mode.
    """
    _, slopes = line.slopes(point, basis)
    _, sizes, rows = np.linalg.svd(slopes)
    rank = int((sizes > NO_SLOPE * sizes[0]).sum())
    leading = rows[min(rank, len(rows) - 1) :]
    shares = leading @ along
    if len(leading) == 1 or np.linalg.norm(shares) == 0.0:
        tangent = leading[-1]
        return Direction(tangent * np.where(tangent @ along < 0, -1.0, 1.0), leading[:-1])
    shares /= np.linalg.norm(shares)
    return Direction(shares @ leading, scipy.linalg.null_space(shares[None]).T @ leading)


def _corrected(
    line: Line, basis: Basis, point: Point, direction: Direction, distance: float
) -> Point | None:
    """The point of the curve at a distance along the tangent; None if Newton's method fails."""
    tangent, still = direction
    moved = distance * tangent
    for _ in range(CORRECTIONS):
        now = Point(point.y + basis @ moved[:-1], point.p + float(moved[-1]))
        try:
            velocity, slopes = line.slopes(now, basis)
        except ValueError:  # a number that the problem cannot have
            return None
        residual = np.concatenate([velocity, [tangent @ moved - distance], still @ moved])
        matrix = np.vstack([slopes, tangent, still])
        change = shortest_step(matrix, residual)
        moved = moved - change
        if not np.isfinite(moved).all() or np.abs(moved).max() > 10 * distance + ACCURACY:
            return None
        if np.abs(change).max() <= ACCURACY:
            return Point(point.y + basis @ moved[:-1], point.p + float(moved[-1]))
    return None


def _at_number(line: Line, basis: Basis, before: Point, after: Point) -> Point | None:
    """The point of the curve between two others at which the number is at an end of its range; None
    if Newton's method fails.
    """
    p = float(np.clip(after.p, 0.0, 1.0))
    share = (p - before.p) / (after.p - before.p)
    y = before.y + share * (after.y - before.y)
    here = line.at(p)
    root = find_root(here.velocity, here.jacobian, y, basis, here.is_physical)
    if not (root.found and here.is_physical(root.y)):
        return None
    return Point(root.y, p)


def _labelled(line: Line, free: Basis, curve: list[Point], ends: str) -> xr.Dataset:
    """The curve as a dataset."""
    fields = [line.at(point.p) for point in curve]
    found = [stability(field, one.y, free) for field, one in zip(fields, curve, strict=True)]
    states = [field.unpack(one.y) for field, one in zip(fields, curve, strict=True)]
    values = np.array([line.value(one.p) for one in curve])
    variables = {}
    for name in ("Q", "R", "v", "b"):
        variables[name] = np.stack([np.asarray(getattr(state, name)) for state in states])
    errors = [field.error(one.y) for field, one in zip(fields, curve, strict=True)]
    variables["eps_g"] = np.array([float(error) for error in errors])
    variables["T"] = states[0].T
    data = dataset(
        "fixed_point",
        fields[0].problem,
        states[0],
        coordinates={"time": np.arange(len(curve), dtype=float)},
        variables=variables,
        report={"over": line.over, "ends": ends},
    )
    data = data.drop_vars("time").rename(time="point")
    numbers = {"long_name": "number along the curve", "symbol": "point", "units": "1"}
    data = data.assign_coords(point=("point", np.arange(len(curve)), numbers))
    data = data.assign_coords({line.name: ("point", values, _about_number(line.name))})
    values_of_points = np.stack([one.values for one in found])
    data = data.assign(real_and_imaginary("eigenvalues", ("point", "eigenvalue"), values_of_points))
    data["unstable_modes"] = (
        "point",
        np.array([one.unstable for one in found]),
        {"long_name": "modes that grow", "symbol": r"$n_+$", "units": "1"},
    )
    data.attrs["ends"] = ends
    data.attrs["bifurcations"] = "; ".join(_bifurcations(line, values, found)) or "none"
    return data


def _about_number(name: str) -> dict[str, str]:
    long_name, symbol, units = COORDINATES.get(name, (name.replace("_", " "), name, "1"))
    return {"long_name": long_name, "symbol": symbol, "units": units}


def _bifurcations(line: Line, values: np.ndarray, found: list[Stability]) -> list[str]:
    """Where the number of unstable modes changes, or the curve turns back, in words."""
    lines = []
    for index in range(1, len(values)):
        before, after = found[index - 1], found[index]
        if before.unstable != after.unstable:
            place = _crossing(values[index - 1 : index + 1], before, after)
            lines.append(
                f"{line.name} = {place:.6g}: {before.unstable} to {after.unstable} unstable modes"
            )
    steps = np.diff(values)
    turns = np.flatnonzero(steps[1:] * steps[:-1] < 0) + 1
    for turn in turns:
        lines.append(f"{line.name} = {values[turn]:.6g}: the curve turns back (a fold)")
    return lines


def _crossing(values: np.ndarray, before: Stability, after: Stability) -> float:
    """Where an eigenvalue crosses zero between two points, by linear interpolation."""
    index = min(before.unstable, after.unstable)
    # Zero modes stand between the modes that grow and those that die out; none of them crosses.
    moving = [one.values.real[~one.is_zero] for one in (before, after)]
    if index >= min(map(len, moving)):
        return float(values.mean())
    rates = np.array([one[index] for one in moving])
    if rates[0] == rates[1]:
        return float(values.mean())
    return float(values[0] - rates[0] * (values[1] - values[0]) / (rates[1] - rates[0]))
