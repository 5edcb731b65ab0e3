"""Order parameters: the overlaps Q, R, T and the readout v that describe a two-layer student and its teacher."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent import checks
from teacherstudent.checks import AnyArray

# Rounding in given numbers makes a singular matrix indefinite by about this much, relative to its largest entry.
PSD_TOLERANCE = 1e-6


class Weights(NamedTuple):
    """First-layer weights of a student and of its teacher."""

    w: Float[AnyArray, "students inputs"]
    w_star: Float[AnyArray, "teachers inputs"]


class OrderParameters(eqx.Module):
    """The overlaps of a student and its teacher.

        Q_kl = w_k . w_l / N,   R_km = w_k . w*_m / N,   T_mn = w*_m . w*_n / N,   v_k the student's readout

    Shapes: Q (K, K), R (K, M), T (M, M), v (K,); T is the unit matrix and v is all ones unless given.  A leading axis
    common to all four is a batch of starts.  `weights` holds first-layer weights that have these overlaps, if the
    simulation is to begin from them and no others.

    Raises ValueError if shapes do not fit, Q or T is not symmetric, or [[Q, R], [R^T, T]] is not positive semi-definite.
    """

    Q: Float[AnyArray, "*batch students students"]
    R: Float[AnyArray, "*batch students teachers"]
    T: Float[AnyArray, "*batch teachers teachers"]
    v: Float[AnyArray, "*batch students"]
    weights: Weights | None = None

    def __init__(self, Q, R, T=None, v=None, weights: Weights | None = None):
        self.Q, self.R = checks.array("start.Q", Q), checks.array("start.R", R)
        if self.Q.ndim not in (2, 3) or self.Q.shape[-1] != self.Q.shape[-2] or self.Q.size == 0:
            raise ValueError(f"start.Q has shape {self.Q.shape}; give a square matrix (K, K), or a batch (B, K, K).")
        if self.R.ndim != self.Q.ndim or self.R.shape[:-1] != self.Q.shape[:-1] or self.R.shape[-1] == 0:
            expected = (*self.Q.shape[:-1], "M")
            raise ValueError(
                f"start.R has shape {self.R.shape} beside Q of shape {self.Q.shape}; give {_shown(expected)}."
            )
        batch, K, M = self.Q.shape[:-2], self.Q.shape[-1], self.R.shape[-1]
        self.T = np.broadcast_to(np.eye(M), (*batch, M, M)) if T is None else checks.array("start.T", T)
        self.v = np.ones((*batch, K)) if v is None else checks.array("start.v", v)
        self.weights = weights

    def __check_init__(self):
        check_shape("start.T", self.T, (*self.Q.shape[:-2], self.teachers, self.teachers))
        check_shape("start.v", self.v, (*self.Q.shape[:-2], self.students))
        if any(map(checks.is_traced, (self.Q, self.R, self.T, self.v))):
            return
        for name in ("Q", "R", "T", "v"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"start.{name} has entries that are not finite; give numbers everywhere.")
        check_symmetric("start.Q", self.Q)
        check_symmetric("start.T", self.T)
        check_psd(self.C)
        if self.weights is not None:
            _check_weights(self.weights, self.C)

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
        raise ValueError(f"{name} has shape {array.shape}; beside the other overlaps it must be {_shown(expected)}.")


def check_symmetric(name: str, matrix) -> None:
    """Raise ValueError unless the matrix is symmetric up to rounding."""
    gap = np.abs(matrix - np.swapaxes(matrix, -1, -2)).max()
    if gap > 1e-8 * max(1.0, np.abs(matrix).max()):
        raise ValueError(f"{name} is not symmetric (entries differ by up to {gap:.3g}); give (X + X^T) / 2.")


def _check_weights(weights: Weights, C) -> None:
    rows = np.concatenate([weights.w, weights.w_star])
    overlaps = rows @ rows.T / rows.shape[1]
    if overlaps.shape != C.shape or np.abs(overlaps - C).max() > 1e-5 * max(1.0, np.abs(C).max()):
        raise ValueError("start.weights do not have the overlaps Q, R, T; use start_from_weights, which measures them.")


def check_psd(C, name: str = "[[Q, R], [R^T, T]]") -> None:
    """Raise ValueError if a matrix of overlaps has a negative eigenvalue."""
    smallest = np.linalg.eigvalsh(C)[..., 0].min()
    if smallest < -PSD_TOLERANCE * max(1.0, np.abs(C).max()):
        raise ValueError(
            f"no weights have these overlaps: the smallest eigenvalue of {name} is {smallest:.6g}, "
            "it must not be negative; check R against Q and T (|R_km|^2 <= Q_kk T_mm)."
        )
