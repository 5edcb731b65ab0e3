"""Order parameters: all that the limit N -> infinity keeps of a student.

They are the overlaps Q, R, T (or Q, m), the readout v and the biases b.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.checking.checks import AnyArray
from teacherstudent.display import Described, differs_from_default

# Rounding in given numbers makes a singular matrix indefinite by about this much, relative to
# its largest entry.
PSD_TOLERANCE = 1e-6


class Weights(NamedTuple):
    """First-layer weights of a student, and of its teacher or along the task's fixed directions."""

    w: Float[AnyArray, "students inputs"]
    w_star: Float[AnyArray, "teachers inputs"]


def as_weights(name: str, given) -> Weights | None:
    """The weights of a start, a pair (w, w_star) of matrices with finite entries, or None."""
    if given is None:
        return None
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(
            f"{name} = {checks.shortened(given)}: give Weights(w, w_star), or use "
            "ts.start_from_weights."
        )
    w = checks.array(f"{name}.w", given[0])
    w_star = checks.array(f"{name}.w_star", given[1])
    if w.ndim != 2 or w_star.ndim != 2:
        raise ValueError(
            f"{name} have the shapes {w.shape} and {w_star.shape}; give (K, N) and (M, D)."
        )
    return Weights(w, w_star)


class OrderParameters(Described):
    """The overlaps of a student with itself and with its teacher, and its readout and biases.

        Q_kl = w_k . w_l / N
        R_km = w_k . w*_m / N
        T_mn = w*_m . w*_n / N

    A task with two classes has fixed directions u_a in place of a teacher.  With
    u_a . u_b = N delta_ab, so that T = 1, the place of R is taken by

        m_ka = w_k . u_a / N

    - `Q`: shape (K, K).
    - `R`: shape (K, M); or `m`: shape (K, r).
    - `T`: shape (M, M), the unit matrix unless given.
    - `v`: the student's readout, shape (K,), ones unless given.
    - `b`: its biases, shape (K,), zero unless given.
    - `weights`: first-layer weights with these overlaps, if the simulation is to begin from them
      and no others.
    - `time`: the time t at which a run begins from them.

    A state of a run (`ts.last_state`) also has what that run `kept` beside the order parameters, so
    that it goes on exactly.

    A leading axis common to all is a batch of starts.

    Raises ValueError if shapes do not fit, Q or T is not symmetric, or [[Q, R], [R^T, T]] (with m:
    Q - m m^T) is not positive semi-definite.

    >>> import teacherstudent as ts
    >>> start = ts.OrderParameters(Q=[[1.0, 0.2], [0.2, 1.0]], R=[[0.1], [0.3]])
    >>> start
    OrderParameters(
        Q=[[1. , 0.2],
           [0.2, 1. ]],
        R=[[0.1],
           [0.3]],
    )
    >>> start.students, start.teachers
    (2, 1)

    D. Saad & S. A. Solla, Phys. Rev. E 52, 4225 (1995).
    """

    Q: Float[AnyArray, "*batch students students"]
    R: Float[AnyArray, "*batch students teachers"]
    T: Float[AnyArray, "*batch teachers teachers"]
    v: Float[AnyArray, "*batch students"]
    b: Float[AnyArray, "*batch students"]
    weights: Weights | None = None
    time: float = eqx.field(static=True, default=0.0)
    kept: Any = eqx.field(static=True, default=None)

    @arguments.of("start.")
    def __init__(
        self, Q, R=None, T=None, v=None, weights: Weights | None = None, *, m=None, b=None, time=0.0
    ):
        if (R is None) == (m is None):
            count = "neither" if R is None else "both"
            raise ValueError(
                f"start has {count} R and m; give R, the overlaps with a teacher, or m, those with "
                "the fixed directions of a task."
            )
        name = "R" if m is None else "m"
        self.Q = checks.array("start.Q", Q)
        self.R = checks.array(f"start.{name}", R if m is None else m)
        _check_shapes(self.Q, self.R, name)
        self.T = given_or_default("start.T", T, np.eye(self.teachers), self.batch)
        self.v = given_or_default("start.v", v, np.ones(self.students), self.batch)
        self.b = given_or_default("start.b", b, np.zeros(self.students), self.batch)
        self.weights = as_weights("start.weights", weights)
        self.time = checks.single("start.time", time)
        self.kept = None

    def __check_init__(self):
        arrays = {name: getattr(self, name) for name in ("Q", "R", "T", "v", "b")}
        check_shape("start.T", self.T, (*self.batch, self.teachers, self.teachers))
        check_shape("start.v", self.v, (*self.batch, self.students))
        check_shape("start.b", self.b, (*self.batch, self.students))
        if any(map(checks.is_traced, arrays.values())):
            return
        check_finite(arrays)
        check_symmetric("start.Q", self.Q)
        check_symmetric("start.T", self.T)
        check_psd(self.C)
        if self.weights is not None:
            _check_weights(self.weights, self.C)

    def shown(self) -> dict[str, Any]:
        """The arguments that make these order parameters, without T = 1, v = 1 and b = 0."""
        arguments: dict[str, Any] = {"Q": self.Q, "R": self.R}
        defaults = {
            "T": np.eye(self.teachers),
            "v": np.ones(self.students),
            "b": np.zeros(self.students),
        }
        for name, default in defaults.items():
            if differs_from_default(getattr(self, name), default):
                arguments[name] = getattr(self, name)
        if self.weights is not None:
            arguments["weights"] = self.weights
        if self.time:
            arguments["time"] = self.time
        return arguments

    @property
    def students(self) -> int:
        """The number K of student units."""
        return self.Q.shape[-1]

    @property
    def teachers(self) -> int:
        """The number M of teacher units."""
        return self.R.shape[-1]

    @property
    def batch(self) -> tuple[int, ...]:
        """The shape of the batch of starts: () for one."""
        return self.Q.shape[:-2]

    @property
    def m(self) -> Float[AnyArray, "*batch students directions"]:
        """The overlaps with fixed directions: R, where T = 1."""
        return self.R

    @property
    def squared_norms(self) -> Float[AnyArray, "*batch students"]:
        """|w_k|^2 / N of the student units, on isotropic inputs."""
        return np.diagonal(np.asarray(self.Q), axis1=-2, axis2=-1)

    @property
    def network(self) -> Weights | None:
        """The weights that the simulation is to begin from, if any."""
        return self.weights

    @property
    def C(self) -> Float[AnyArray, "*batch fields fields"]:
        """The covariance [[Q, R], [R^T, T]] of the fields (lambda_1..lambda_K, nu_1..nu_M)."""
        return covariance(self.Q, self.R, self.T)


def covariance(Q, R, T) -> Float[AnyArray, "*batch fields fields"]:
    """The covariance [[Q, R], [R^T, T]] of all fields."""
    xp = np if all(isinstance(part, np.ndarray) for part in (Q, R, T)) else jnp
    upper = xp.concatenate([Q, R], axis=-1)
    lower = xp.concatenate([xp.swapaxes(R, -1, -2), T], axis=-1)
    return xp.concatenate([upper, lower], axis=-2)


def given_or_default(name: str, given, default: np.ndarray, batch: tuple[int, ...]):
    """An array as it is given, or the default for each start of a batch."""
    if given is not None:
        return checks.array(name, given)
    return np.broadcast_to(default, (*batch, *default.shape))


def _check_shapes(Q, R, name: str) -> None:
    """Raise ValueError unless Q is (K, K) and R, or m, has a row for each unit."""
    if Q.ndim not in (2, 3) or Q.shape[-1] != Q.shape[-2] or Q.size == 0:
        raise ValueError(
            f"start.Q has shape {Q.shape}; give a square matrix (K, K), or a batch (B, K, K)."
        )
    if R.ndim != Q.ndim or R.shape[:-1] != Q.shape[:-1] or R.shape[-1] == 0:
        columns = {"R": "M", "m": "r"}[name]
        raise ValueError(
            f"start.{name} has shape {R.shape} beside Q of shape {Q.shape}; give "
            f"{_shape_in_words((*Q.shape[:-1], columns))}."
        )


def check_finite(arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError if one of the arrays of a start has an entry that is not finite."""
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"start.{name} has entries that are not finite; give numbers everywhere."
            )


def _shape_in_words(shape) -> str:
    """A shape as Python writes a tuple, names included."""
    if len(shape) == 1:
        return f"({shape[0]},)"
    return f"({', '.join(map(str, shape))})"


def check_shape(name: str, array, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless the array has this shape."""
    if array.shape != expected:
        raise ValueError(
            f"{name} has shape {array.shape}; beside the other overlaps it must be "
            f"{_shape_in_words(expected)}."
        )


def check_symmetric(name: str, matrix) -> None:
    """Raise ValueError unless the matrix is symmetric up to rounding."""
    gap = np.abs(matrix - np.swapaxes(matrix, -1, -2)).max()
    if gap > 1e-8 * max(1.0, np.abs(matrix).max()):
        raise ValueError(
            f"{name} is not symmetric (entries differ by up to {gap:.3g}); give (X + X^T) / 2."
        )


def _check_weights(weights: Weights, C) -> None:
    """Raise ValueError unless the weights have these overlaps."""
    rows = np.zeros((0, 1))  # vectors of different lengths have no overlaps
    if weights.w.shape[1] == weights.w_star.shape[1]:
        rows = np.concatenate(weights)
    overlaps = rows @ rows.T / rows.shape[1]
    if overlaps.shape != C.shape or np.abs(overlaps - C).max() > 1e-5 * max(1.0, np.abs(C).max()):
        raise ValueError(
            "start.weights do not have the overlaps Q, R, T; use start_from_weights, which "
            "measures them."
        )


def check_psd(C, name: str = "[[Q, R], [R^T, T]]") -> None:
    """Raise ValueError if a matrix of overlaps has a negative eigenvalue."""
    smallest = np.linalg.eigvalsh(C)[..., 0].min()
    if smallest < -PSD_TOLERANCE * max(1.0, np.abs(C).max()):
        raise ValueError(
            f"no weights have these overlaps: the smallest eigenvalue of {name} is "
            f"{smallest:.6g}, it must not be negative; check R against Q and T (|R_km|^2 <= Q_kk "
            "T_mm), or m against Q: Q - m m^T holds the overlaps of what is orthogonal to the "
            "fixed directions."
        )
