"""The order-parameter equations as one function of one vector, for work of one's own on them:
fixed points, linear stability, continuation, control.

    dy/dt = f(y, t),   t = updates / N

The vector y holds what moves: the upper triangle of Q, then R (with two classes m), the readout v
and the biases b if they are trained, and what the rule remembers.  On inputs whose covariance has
several eigenvalues Q and R are held mode by mode, as q(rho) and r(rho).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.rules.theory import check_answers, require_theory, theory_of
from odes.solving.packing import all_numbers, pack, remembered, unpack
from odes.solving.precision import exact, in_float64
from odes.solving.resolution import first_refinement
from odes.solving.trajectory import ByMode, by_mode
from odes.solving.vector_field import vector_field as velocity_of_state
from teacherstudent.averages.pairs import unordered_pairs
from teacherstudent.averages.resolution import Quadrature
from teacherstudent.checking import arguments
from teacherstudent.checking.checks import AnyArray
from teacherstudent.observables.generalisation import error_of
from teacherstudent.problem import Problem
from teacherstudent.starts import Start, spectral_start
from teacherstudent.states.kept import KeptTheory
from teacherstudent.states.order_parameters import PSD_TOLERANCE, OrderParameters
from teacherstudent.states.physical_region import smallest_eigenvalue
from teacherstudent.states.spectral_overlaps import SpectralOverlaps

ACCURACY = 1e-8  # of averages without closed forms


class FlatField:
    """The vector field of a problem, f(y, t), on flat vectors: what `ts.vector_field` answers with.

    - `names`: what each entry of y is, such as "Q[0,1]", "R[1,2]" or "v[0]"; on inputs with several
      eigenvalues "q[0,1](rho=0.5)".
    - `y`: the start as a vector, shape (entries,).
    - `problem`, `start`: of which problem it is, and what the parts that do not move are.
    """

    def __init__(self, problem: Problem, start: Start, parts: ByMode):
        self.problem = problem
        self.start = start
        self._parts = parts
        with jax.enable_x64(True):
            self._arguments: Any = exact((problem.for_programs(), parts))
            self.y = np.asarray(_flat(*self._arguments))
        self.names = _names(problem, parts, len(self.y))

    def of_problem(self, problem: Problem) -> "FlatField":
        """The field of a problem that differs in numbers alone, from the same start."""
        return FlatField(problem, self.start, self._parts)

    @property
    def state(self) -> State:
        """The start by mode, as the equations have it."""
        with jax.enable_x64(True):
            return jax.tree.map(np.asarray, _begin(*self._arguments))

    def state_at(self, y: Float[AnyArray, " entries"]) -> State:
        """The state by mode that a vector stands for."""
        with jax.enable_x64(True):
            problem, parts = self._arguments
            return jax.tree.map(np.asarray, _state(problem, parts, jnp.asarray(y, jnp.float64)))

    def overlaps(self, y: Float[AnyArray, " entries"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Q, R (with two classes m) and T at y."""
        with jax.enable_x64(True):
            Q, R = overlaps(_fixed(self._arguments[1]), exact(self.state_at(y)))
            return np.asarray(Q), np.asarray(R), np.asarray(self._parts.T)

    def is_physical(self, y: Float[AnyArray, " entries"]) -> bool:
        """Whether there are weights with the overlaps at y."""
        return bool(smallest_eigenvalue(*self.overlaps(y)) >= -PSD_TOLERANCE)

    @property
    def fractions(self) -> Float[np.ndarray, " modes"]:
        """The fraction p of the inputs' eigenvalues that each mode has."""
        return np.asarray(self._parts.weights)

    def __repr__(self) -> str:
        return f"FlatField of {len(self.names)} order parameters: {', '.join(self.names[:6])}, ..."

    def __call__(self, y: Float[AnyArray, " entries"], t=None) -> Float[Array, " entries"]:
        """dy/dt at y; t is the start's time unless given, and only matters where a number of the
        problem is a schedule.
        """
        if t is None:
            t = self.start.time
        return in_float64(_velocity, self.problem.for_programs(), self._parts, y, t)

    def error(self, y: Float[AnyArray, " entries"], t=None) -> Float[Array, ""]:
        """eps_g, or with two classes the expected loss, at y."""
        if t is None:
            t = self.start.time
        return in_float64(_error, self.problem.for_programs(), self._parts, y, t)

    def pack(self, state: Start) -> Float[np.ndarray, " entries"]:
        """The vector of order parameters that fit the problem."""
        self.problem.check_start(state)
        with jax.enable_x64(True):
            parts = exact(by_mode(self.problem, state))
            return np.asarray(_flat(self._arguments[0], parts))

    def velocity(self, y: Float[AnyArray, " entries"]) -> Float[np.ndarray, " entries"]:
        """dy/dt at y and the start's time, as a NumPy array in float64."""
        with jax.enable_x64(True):
            t = jnp.asarray(self.start.time, jnp.float64)
            return np.asarray(_velocity(*self._arguments, jnp.asarray(y, jnp.float64), t))

    def jacobian(self, y: Float[AnyArray, " entries"]) -> Float[np.ndarray, "entries entries"]:
        """df_i / dy_j at y and the start's time, by automatic differentiation."""
        with jax.enable_x64(True):
            t = jnp.asarray(self.start.time, jnp.float64)
            return np.asarray(_jacobian(*self._arguments, jnp.asarray(y, jnp.float64), t))

    def unpack(self, y: Float[AnyArray, " entries"]) -> Start:
        """The order parameters of a vector, at t = 0 and without what the rule remembers; what does
        not move is as in the start.
        """
        with jax.enable_x64(True):
            problem, parts = self._arguments
            state = _state(problem, parts, jnp.asarray(y, jnp.float64))
        return _as_start(self.problem, self.start, self._parts, state)


@arguments.checked
def vector_field(problem: Problem, start: Start, *, quadrature=None) -> FlatField:
    """The order-parameter equations of a problem as a function of one vector.

        dy/dt = f(y),   y = (Q_kl with k <= l, R_km, v_k, b_k),   t = updates / N

    - `start`: the order parameters that say what does not move (T, and a readout that is not
      trained), and the first vector, `field.y`.
    - `quadrature`: a `ts.Quadrature`, how averages without closed forms are computed; None is at an
      accuracy of 1e-8.

    The answer can be called, `field(y)` or, where a number of the problem is a schedule,
    `field(y, t)`, and differentiated: `jax.jacfwd(field)(y)` is the matrix of the linearised
    equations.  It has `names` of the entries of y, `pack` and `unpack` between vectors and
    `OrderParameters`, and `error(y)`, the generalisation error.  Q enters by its upper triangle, so
    that a derivative with respect to "Q[0,1]" moves Q_01 and Q_10 together.  Rules with memory have
    entries "memory[0]", ..., zero at the start.  Computed in float64.

    Raises ValueError for input that does not fit, sweeps, batches of starts, and problems without a
    theory.

    Saad & Solla, Phys. Rev. E 52, 4225 (1995): the equations of motion of R and Q.

    >>> import teacherstudent as ts
    >>> linear = ts.TeacherStudent(1, "linear"), ts.Student(1, "linear")
    >>> problem = ts.Problem(*linear, ts.SGD(learning_rate=0.5))
    >>> field = ts.vector_field(problem, ts.OrderParameters(Q=[[1.0]], R=[[0.0]]))
    >>> field.names
    ('Q[0,0]', 'R[0,0]')
    >>> print(field(field.y))  # dQ/dt = -2 eta (Q - R) + eta^2 (Q - 2 R + 1), dR/dt = eta (1 - R)
    [-0.5  0.5]
    """
    require_one(problem, start, "vector_field")
    problem.check_start(start)
    require_theory(problem)
    if problem.task.HAS_MODES and not isinstance(start.kept, KeptTheory):
        start = spectral_start(problem, start)
    refinement = first_refinement(problem, start, quadrature or Quadrature(), ACCURACY)
    if refinement is not None:
        problem = refinement.of(problem)
    return FlatField(problem, start, _with_memory(problem, by_mode(problem, start)))


def require_one(problem: Problem, start: Start, verb: str) -> None:
    """Raise ValueError unless there are one problem in time and one start."""
    if problem.sweeps:
        raise ValueError(
            f"{', '.join(problem.sweeps)} is a sequence, but {verb} takes one problem; give one "
            "number, and call it for each."
        )
    if start.batch:
        raise ValueError(f"start is a batch of {start.batch[0]}, but {verb} takes one start.")
    if problem.batch_ratio is not None:
        raise ValueError(
            f"{verb} is of equations in time, but with batch_ratio time counts updates; give "
            "batch_size."
        )


def _with_memory(problem: Problem, parts: Any) -> ByMode:
    """The parts of a start with what the rule remembers at first, if they have none."""
    with jax.enable_x64(True):
        problem, parts = exact((problem.for_programs(), parts))
        now = problem.at(parts.time)
        fixed, state = _fixed(parts), _without_memory(parts)
        first = theory_of(now.rule).first_memory(now.rule, now, fixed, state)
        memory = remembered(first, parts.memory)
        check_answers(now, fixed, state._replace(memory=memory))
        return jax.tree.map(np.asarray, parts._replace(memory=all_numbers(memory)))


def _fixed(parts: Any) -> Fixed:
    return Fixed(parts.rho, parts.weights, parts.t, parts.T, parts.noise)


def _without_memory(parts: Any) -> State:
    return State(parts.q, parts.r, parts.v, parts.b)


def _begin(problem: Problem, parts: Any) -> State:
    """The state of a start, with what the rule remembers in the rule's own shape."""
    now = problem.at(parts.time)
    state = _without_memory(parts)
    first = theory_of(now.rule).first_memory(now.rule, now, _fixed(parts), state)
    return state._replace(memory=remembered(first, parts.memory))


def _flat(problem: Problem, parts: ByMode) -> Float[Array, " entries"]:
    """The vector of a start."""
    return ravel_pytree(pack(_begin(problem, parts), problem))[0]


def _state(problem: Any, parts: Any, y: Float[Array, " entries"]) -> State:
    """The state of a vector; what does not move is as in the start."""
    begin = _begin(problem, parts)
    _, packed_of = ravel_pytree(pack(begin, problem))
    return unpack(packed_of(y), problem, begin)


# Compiled by itself, with problem and start as arguments: other numbers need no other program.
@jax.jit
def _velocity(problem: Problem, parts: ByMode, y, t) -> Float[Array, " entries"]:
    now = problem.at(t)
    velocity = velocity_of_state(now, _fixed(parts), _state(problem, parts, y))
    return ravel_pytree(pack(velocity, problem))[0]


@jax.jit
def _jacobian(problem: Problem, parts: ByMode, y, t) -> Float[Array, "entries entries"]:
    def velocity(y):
        return _velocity(problem, parts, y, t)

    return jax.jacfwd(velocity)(y)


@jax.jit
def _error(problem: Problem, parts: Any, y, t) -> Float[Array, ""]:
    state = _state(problem, parts, y)
    Q, R = overlaps(_fixed(parts), state)
    return error_of(problem.at(t), Q, R, parts.T, state.v, state.b)


def _names(problem: Problem, parts: Any, count: int) -> tuple[str, ...]:
    """What each entry of a vector is."""
    rho = np.asarray(parts.rho)
    K = np.shape(parts.v)[-1]
    fixed = np.shape(parts.r)[-2]
    fixed_name = problem.task.name_of("R")
    names = []
    for k, l in zip(*unordered_pairs(K), strict=True):
        names += _of_modes("Q", f"[{k},{l}]", rho)
    for k in range(K):
        for m in range(fixed):
            names += _of_modes(fixed_name, f"[{k},{m}]", rho)
    if problem.student.train_readout:
        names += [f"v[{k}]" for k in range(K)]
    if problem.student.train_bias:
        names += [f"b[{k}]" for k in range(K)]
    names += [f"memory[{index}]" for index in range(count - len(names))]
    return tuple(names)


def _of_modes(name: str, index: str, rho: Float[np.ndarray, " modes"]) -> list[str]:
    """The names of one overlap: it is a density over the eigenvalues if there are several."""
    if len(rho) == 1:
        return [name + index]
    return [f"{name.lower()}{index}(rho={value:.6g})" for value in rho]


def _as_start(problem: Problem, start: Start, parts: ByMode, state: State) -> Start:
    """The order parameters of a state, in the form of the start."""
    if isinstance(start, SpectralOverlaps):
        q, r, t = (jnp.moveaxis(part, -1, 0) for part in (state.q, state.r, parts.t))
        arrays = _arrays(q=q, r=r, t=t, v=state.v, b=state.b)
        return SpectralOverlaps(start.rho, start.weights, T=start.T, **arrays)
    fixed = problem.task.name_of("R")
    arrays = _arrays(Q=state.q[..., 0], v=state.v, b=state.b, **{fixed: state.r[..., 0]})
    if fixed == "R":
        arrays["T"] = start.T
    return OrderParameters(**arrays)


def _arrays(**parts: Any) -> dict[str, Any]:
    """The parts as NumPy arrays, but for those that are traced."""
    return {name: _concrete(part) for name, part in parts.items()}


def _concrete(part):
    if isinstance(part, jax.core.Tracer):
        return part
    return np.asarray(part)
