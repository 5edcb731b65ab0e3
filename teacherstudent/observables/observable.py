"""Observables: what a user wants recorded beside the order parameters, as a function of the state.

An observable is a function A of the order parameters at one time,

    A(t) = of(Q(t), R(t), T, v(t), b(t)),

or of the weights of one network.  Both verbs record the first kind, at the limit's own overlaps and
at those of every finite network; `compare` then compares them like Q and R.  A finite network alone
has weights, so that only `simulate` records the second kind.
"""

import abc
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.checking import arguments, checks
from teacherstudent.checking.warn import warn_user
from teacherstudent.display import Described
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import OrderParameters

STATES_AT_ONCE = 256  # an observable with an integral in it holds thousands of points per state


class NetworkWeights(NamedTuple):
    """All weights of one network at one time, in float64, and what it learns from.

        phi(x) = sum_k v_k g(w_k . x / sqrt N + b_k)

    `w_star` are the teacher's weights, or the fixed directions of a task with two classes; D = N on
    isotropic inputs.
    """

    w: Float[Array, "students inputs"]
    v: Float[Array, " students"]
    b: Float[Array, " students"]
    w_star: Float[Array, "teachers latents"]


class Observable(Described):
    """A quantity of one's own that `integrate` and `simulate` record at each time.

        A(t) = of(overlaps at t)     or     A(t) = of_weights(weights of one network at t)

    To add one:

    1. Write a function of one `ts.OrderParameters` (fields Q (K, K), R (K, M) or m (K, r), T, v, b)
       with jax.numpy; it answers a number or an array.  Batches, times and seeds are not its
       concern: it sees one state at a time.
    2. Name the dimensions of its answer: "student", "student_", "teacher", "teacher_" (with two
       classes "direction"), names of your own, or () for a number.
    3. Hand it over as `of=`.  A function of a network's weights w (K, N), v (K,), b (K,) and
       w_star (M, D) goes to `of_weights=` instead, and may have the dimensions "input" (N) and
       "latent" (D), too.
    4. Pass it in a list: `integrate(..., observables=[...])`, `simulate(..., observables=[...])`.
       Names of built-in ones, such as "alignment", may stand beside it.

    - `name`: of the variable in the dataset.
    - `dims`: the dimensions of one answer.
    - `symbol`: in LaTeX, for axes.
    - `long_name`: in words, the name unless given.
    - `units`: "1" for what has none.
    - `coordinates`: the numbers along dimensions of your own, {"bin": [0.5, 1.5]}.

    Raises ValueError if the name is no identifier, a dimension occurs twice, not exactly one of the
    two functions is given, or a coordinate is none of `dims`.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> norm = ts.Observable("norm", ("student",), r"$|w_k|$", of=lambda o: jnp.sqrt(jnp.diag(o.Q)))
    >>> problem = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=3), ts.SGD(0.3))
    >>> start = ts.random_start(problem, N=1000, seed=0)
    >>> theory = ts.integrate(problem, start, [0.0, 1.0], observables=[norm])
    >>> dict(theory["norm"].sizes)
    {'time': 2, 'student': 3}
    """

    name: str = eqx.field(static=True)
    dims: tuple[str, ...] = eqx.field(static=True)
    symbol: str = eqx.field(static=True)
    of: Callable[[OrderParameters], Any] | None = eqx.field(static=True)
    of_weights: Callable[[NetworkWeights], Any] | None = eqx.field(static=True)
    long_name: str = eqx.field(static=True)
    units: str = eqx.field(static=True)
    # Pairs of a dimension and its numbers: programs are compiled for what can be hashed.
    coordinates: tuple[tuple[str, tuple[float, ...]], ...] = eqx.field(static=True)

    IS_VARIABLE: ClassVar[bool] = False  # whether results know a variable of this name
    IN_SOLVE: ClassVar[bool] = False  # whether the solve of the theory answers it

    @arguments.of("observable.")
    def __init__(
        self,
        name,
        dims,
        symbol,
        of=None,
        *,
        of_weights=None,
        long_name=None,
        units="1",
        coordinates=None,
    ):
        self.name = _checked_name(name)
        self.dims = _checked_dims(self.title, dims)
        self.symbol = _checked_text(self.title, "symbol", symbol)
        self.long_name = _checked_text(self.title, "long_name", long_name or name)
        self.units = _checked_text(self.title, "units", units)
        self.coordinates = _checked_coordinates(self.title, coordinates, self.dims)
        _check_functions(self.title, of, of_weights)
        self.of = of
        self.of_weights = of_weights

    @property
    def title(self) -> str:
        """What error sentences call it."""
        return f"observable {self.name!r}"

    @property
    def needs_weights(self) -> bool:
        """Whether it is a function of a network's weights, which the theory does not have."""
        return self.of_weights is not None

    @property
    def function(self) -> Callable[[Any], Any]:
        """The one of the two functions that was given."""
        if self.of is not None:
            return self.of
        assert self.of_weights is not None
        return self.of_weights

    def value(self, state: OrderParameters | NetworkWeights) -> Float[Array, "..."]:
        """The observable at one state, in float64."""
        return jnp.asarray(self.function(state)).astype(jnp.float64)


class VariableObservable(Observable):
    """An observable of which results know the variable already, such as the accuracy."""

    IS_VARIABLE: ClassVar[bool] = True


class TheoryObservable(Observable):
    """A quantity that the solve of the theory answers along with its states.

    `part` is what the solve calls it: with two classes drift_m is its drift_R.
    """

    part: str = eqx.field(static=True)

    IN_SOLVE: ClassVar[bool] = True

    def __init__(self, name, dims, symbol, part, long_name):
        self.name = name
        self.dims = dims
        self.symbol = symbol
        self.of = None
        self.of_weights = None
        self.long_name = long_name
        self.units = "1"
        self.coordinates = ()
        self.part = part


class ObservableOfProblem(Described):
    """What becomes an observable once the problem is known, such as `ts.error_on`."""

    @abc.abstractmethod
    def of_problem(self, problem: Problem) -> Observable:
        """The observable for a problem; ValueError, with the reason, if there is none."""


def _checked_name(name) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(
            f"observable.name = {checks.shortened(name)}; give letters, digits and underscores, "
            "such as 'alignment'."
        )
    return name


def _checked_dims(title: str, dims) -> tuple[str, ...]:
    if isinstance(dims, str):
        raise ValueError(f"{title} has dims = {dims!r}; give a tuple of names, ({dims!r},).")
    try:
        names = tuple(dims)
    except TypeError:
        names = (None,)
    if not all(isinstance(one, str) and one.isidentifier() for one in names):
        raise ValueError(
            f"{title} has dims = {checks.shortened(dims)}; give a tuple of names, such as "
            "('student',), or () for a number."
        )
    for one in names:
        if names.count(one) > 1:
            raise ValueError(
                f"{title} has the dimension {one!r} twice; name the second one {one + '_'!r}."
            )
    return names


def _checked_coordinates(
    title: str, coordinates, dims: tuple[str, ...]
) -> tuple[tuple[str, tuple[float, ...]], ...]:
    if coordinates is None:
        return ()
    if not isinstance(coordinates, Mapping):
        raise ValueError(
            f"{title} has coordinates = {checks.shortened(coordinates)}; give a dictionary of the "
            "numbers along its dimensions, such as {'bin': [0.5, 1.5]}."
        )
    pairs = []
    for dim, numbers in coordinates.items():
        if dim not in dims:
            raise ValueError(
                f"{title} has coordinates for {checks.shortened(dim)}, but dims = {dims}; give "
                "them for one of its dimensions."
            )
        along = checks.finite_array(f"coordinates[{dim!r}] of {title}", numbers)
        if along.ndim != 1:
            raise ValueError(
                f"{title} has coordinates of shape {along.shape} for {dim!r}; give one number for "
                "each entry."
            )
        pairs.append((dim, tuple(along.tolist())))
    return tuple(pairs)


def _checked_text(title: str, argument: str, text) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{title} has {argument} = {checks.shortened(text)}; give a string.")
    return text


def _check_functions(title: str, of, of_weights) -> None:
    given = [one for one in (of, of_weights) if one is not None]
    if len(given) != 1:
        raise ValueError(
            f"{title} has {len(given)} functions; give either of=, a function of OrderParameters, "
            "or of_weights=, a function of a network's weights."
        )
    if not callable(given[0]):
        raise ValueError(
            f"{title} has {checks.shortened(given[0])} for its function; give a function of one "
            "argument."
        )


def require_overlaps(observables: Iterable[Observable]) -> None:
    """Raise ValueError for an observable that the theory cannot record."""
    for one in observables:
        if one.needs_weights:
            raise ValueError(
                f"{one.title} is a function of a network's weights, which the limit N -> infinity "
                "does not have; give it to simulate, or write it as a function of the overlaps "
                "(of=)."
            )


def require_networks(observables: Iterable[Observable]) -> None:
    """Raise ValueError for an observable that networks cannot record."""
    for one in observables:
        if one.IN_SOLVE:
            raise ValueError(
                f"{one.title} is a part of the order-parameter equations, which networks do not "
                "have; give it to integrate."
            )


def check_answers(
    observables: Iterable[Observable], students: int, teachers: int, sizes: Mapping[str, int]
) -> None:
    """Trace every observable once, on the shapes of a state.

    `sizes` are those of the dataset's dimensions.  Those that only the user knows are as large as
    the first observable has them.

    Raises ValueError if a function fails, answers no array of real numbers, or one whose shape does
    not belong to its dims.
    """
    sizes = dict(sizes)
    for one in observables:
        for dim, numbers in one.coordinates:
            sizes.setdefault(dim, len(numbers))
    for one in observables:
        if one.IN_SOLVE:
            continue
        shape = _shape_of_answer(one, students, teachers, sizes)
        if len(shape) != len(one.dims):
            raise ValueError(
                f"{one.title} answers an array of shape {shape}, but has dims = {one.dims}; give "
                "one name for each axis."
            )
        for dim, size in zip(one.dims, shape, strict=True):
            wanted = sizes.setdefault(dim, size)
            if size != wanted:
                raise ValueError(
                    f"{one.title} answers an array of shape {shape} for dims = {one.dims}, but "
                    f"{dim!r} has the size {wanted}; change the function, or name another "
                    "dimension."
                )


def _shape_of_answer(
    one: Observable, students: int, teachers: int, sizes: Mapping[str, int]
) -> tuple[int, ...]:
    """The shape of what an observable answers, of shapes alone: no number is computed."""
    K, M = students, teachers
    function: Callable = _answer_at_overlaps
    shapes: tuple = ((K, K), (K, M), (M, M), (K,), (K,))
    argument = "OrderParameters"
    if one.needs_weights:
        function = _answer_at_weights
        shapes = ((K, sizes["input"]), (K,), (K,), (M, sizes["latent"]))
        argument = "weights (fields w, v, b, w_star)"
    try:
        with jax.enable_x64(True):
            state = [jax.ShapeDtypeStruct(shape, jnp.float64) for shape in shapes]
            answer = jax.eval_shape(partial(function, one), *state)
    except Exception as error:  # of whatever the user's function calls
        reason = f"{type(error).__name__}: {checks.first_line(error)}"
        raise ValueError(
            f"{one.title} fails on one state ({reason.rstrip('.')}); give a function of {argument} "
            "that is written with jax.numpy and answers a number or an array."
        ) from error
    if not hasattr(answer, "dtype") or not _is_real(answer.dtype):
        raise ValueError(
            f"{one.title} answers {_kind_of_answer(answer)}; it is to answer a number or an array "
            "of real numbers."
        )
    return tuple(answer.shape)


def _is_real(dtype) -> bool:
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_))


def _kind_of_answer(answer) -> str:
    """What a function answered, in words."""
    if hasattr(answer, "dtype"):
        return f"numbers of the type {answer.dtype}"
    if answer is None:
        return "nothing"
    return checks.kind_of(answer)


def _answer_at_overlaps(one: Observable, Q, R, T, v, b):
    return one.function(OrderParameters(Q, R, T, v, b=b))


def _answer_at_weights(one: Observable, w, v, b, w_star):
    return one.function(NetworkWeights(w, v, b, w_star))


def at_overlaps(
    observables: Iterable[Observable],
    Q: Float[Any, "*states students students"],
    R: Float[Any, "*states students teachers"],
    T: Float[Any, "*#states teachers teachers"],
    v: Float[Any, "*states students"],
    b: Float[Any, "*states students"],
) -> dict[str, np.ndarray]:
    """The observables of overlaps at many states (times, curves, seeds), by name: arrays (*states,
    *dims).
    """
    chosen = tuple(one for one in observables if one.of is not None)
    if not chosen:
        return {}
    states = np.shape(v)[:-1]
    flat = []
    for part, axes in ((Q, 2), (R, 2), (T, 2), (v, 1), (b, 1)):
        part = np.asarray(part, np.float64)
        own = part.shape[part.ndim - axes :]
        flat.append(np.broadcast_to(part, (*states, *own)).reshape(-1, *own))
    with jax.enable_x64(True):
        values = _at_overlaps(chosen, *flat)
    return {
        name: np.asarray(part).reshape(*states, *part.shape[1:]) for name, part in values.items()
    }


def warn_of_infinities(
    values: Mapping[str, np.ndarray], answered: np.ndarray, times: np.ndarray
) -> None:
    """Warn of an observable that is not finite where the order parameters are.

    `answered` says at which states (*curves, times) these are known.
    """
    for name, array in values.items():
        finite = np.isfinite(array).reshape(*answered.shape, -1).all(axis=-1)
        wrong = (answered & ~finite).reshape(-1, len(times)).any(axis=0)
        if wrong.any():
            warn_user(
                f"observable {name!r} is not finite at t = {times[wrong][0]:.6g}, where the order "
                "parameters are."
            )


@partial(jax.jit, static_argnums=0)
def _at_overlaps(observables: tuple[Observable, ...], Q, R, T, v, b) -> dict[str, Array]:
    def one_state(parts):
        Q, R, T, v, b = parts
        state = OrderParameters(Q, R, T, v, b=b)
        return {one.name: one.value(state) for one in observables}

    return jax.lax.map(one_state, (Q, R, T, v, b), batch_size=STATES_AT_ONCE)


def at_weights(
    observables: Iterable[Observable],
    w: Float[Array, "seeds students inputs"],
    v: Float[Array, "seeds students"],
    b: Float[Array, "seeds students"],
    w_star: Float[Array, "seeds teachers latents"],
) -> dict[str, np.ndarray]:
    """The observables of weights for every seed, by name: arrays (seeds, *dims).

    The seeds may be shared out over several devices; each works on its own.
    """
    chosen = tuple(one for one in observables if one.needs_weights)
    if not chosen:
        return {}
    with jax.enable_x64(True):
        values = _at_weights(chosen, w, v, b, w_star)
    return {name: np.asarray(part) for name, part in values.items()}


@partial(jax.jit, static_argnums=0)
def _at_weights(observables: tuple[Observable, ...], w, v, b, w_star) -> dict[str, Array]:
    def one_seed(*parts):
        state = NetworkWeights(*(part.astype(jnp.float64) for part in parts))
        return {one.name: one.value(state) for one in observables}

    return jax.vmap(one_seed)(w, v, b, w_star)
