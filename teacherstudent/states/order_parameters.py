"""Order parameters: overlaps Q, R, T (or Q, m), readout v and biases b: all that the limit N ->
infinity keeps of a student.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.checking.checks import AnyArray
from teacherstudent.display import Described, differs_from_default

# Rounding in given numbers makes a singular matrix indefinite by about this much, relative to its
# largest entry.
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
    w, w_star = (
        checks.array(f"{name}.{part}", one)
        for part, one in zip(Weights._fields, given, strict=True)
    )
    if w.ndim != 2 or w_star.ndim != 2:
        raise ValueError(
            f"{name} have the shapes {w.shape} and {w_star.shape}; give (K, N) and (M, D)."
        )
    return Weights(w, w_star)


class OrderParameters(Described):
    """The overlaps of a student with itself and with its teacher, or with the fixed directions u_a
    of a task with two classes.

        Q_kl = w_k . w_l / N,   R_km = w_k . w*_m / N,   T_mn = w*_m . w*_n / N,   v_k the student's
        readout, b_k its biases m_ka = w_k . u_a / N   takes the place of R where the task has
        directions, u_a . u_b = N delta_ab, so that T = 1

    Shapes: Q (K, K), R (K, M) or m (K, r), T (M, M), v (K,), b (K,); T is the unit matrix, v is all
    ones and b is zero unless given.  A leading axis common to all is a batch of starts.  `weights`
    holds first-layer weights that have these overlaps, if the simulation is to begin from them and
    no others.

    Raises ValueError if shapes do not fit, Q or T is not symmetric, or [[Q, R], [R^T, T]] (with m:
    Q - m m^T) is not positive semi-definite.
    """

    Q: Float[AnyArray, "*batch students students"]
    R: Float[AnyArray, "*batch students teachers"]
    T: Float[AnyArray, "*batch teachers teachers"]
    v: Float[AnyArray, "*batch students"]
    b: Float[AnyArray, "*batch students"]
    weights: Weights | None = None

    @arguments.of("start.")
    def __init__(
        self, Q, R=None, T=None, v=None, weights: Weights | None = None, *, m=None, b=None
    ):
        if (R is None) == (m is None):
            raise ValueError(
                f"start has {'neither' if R is None else 'both'} R and m; give R, the overlaps "
                "with a teacher, or m, those with the fixed directions of a task."
            )
        name, R = ("R", R) if m is None else ("m", m)
        self.Q, self.R = checks.array("start.Q", Q), checks.array(f"start.{name}", R)
        if self.Q.ndim not in (2, 3) or self.Q.shape[-1] != self.Q.shape[-2] or self.Q.size == 0:
            raise ValueError(
                f"start.Q has shape {self.Q.shape}; give a square matrix (K, K), or a batch (B, "
                "K, K)."
            )
        if (
            self.R.ndim != self.Q.ndim
            or self.R.shape[:-1] != self.Q.shape[:-1]
            or self.R.shape[-1] == 0
        ):
            expected = (*self.Q.shape[:-1], "M" if name == "R" else "r")
            raise ValueError(
                f"start.{name} has shape {self.R.shape} beside Q of shape {self.Q.shape}; give "
                f"{_shown(expected)}."
            )
        batch, K, M = self.Q.shape[:-2], self.Q.shape[-1], self.R.shape[-1]
        self.T = (
            np.broadcast_to(np.eye(M), (*batch, M, M)) if T is None else checks.array("start.T", T)
        )
        self.v = np.ones((*batch, K)) if v is None else checks.array("start.v", v)
        self.b = np.zeros((*batch, K)) if b is None else checks.array("start.b", b)
        self.weights = as_weights("start.weights", weights)

    def __check_init__(self):
        check_shape("start.T", self.T, (*self.Q.shape[:-2], self.teachers, self.teachers))
        for name in ("v", "b"):
            check_shape(f"start.{name}", getattr(self, name), (*self.Q.shape[:-2], self.students))
        if any(map(checks.is_traced, (self.Q, self.R, self.T, self.v, self.b))):
            return
        for name in ("Q", "R", "T", "v", "b"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(
                    f"start.{name} has entries that are not finite; give numbers everywhere."
                )
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


def _shown(shape) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def check_shape(name: str, array, expected: tuple[int, ...]) -> None:
    """Raise ValueError unless the array has this shape."""
    if array.shape != expected:
        raise ValueError(
            f"{name} has shape {array.shape}; beside the other overlaps it must be "
            f"{_shown(expected)}."
        )


def check_symmetric(name: str, matrix) -> None:
    """Raise ValueError unless the matrix is symmetric up to rounding."""
    gap = np.abs(matrix - np.swapaxes(matrix, -1, -2)).max()
    if gap > 1e-8 * max(1.0, np.abs(matrix).max()):
        raise ValueError(
            f"{name} is not symmetric (entries differ by up to {gap:.3g}); give (X + X^T) / 2."
        )


def _check_weights(weights: Weights, C) -> None:
    rows = (
        np.concatenate(weights)
        if weights.w.shape[1] == weights.w_star.shape[1]
        else np.zeros((0, 1))
    )
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
