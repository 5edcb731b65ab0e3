"""Overlaps mode by mode: order parameters where the input covariance has several eigenvalues.

The covariance of the inputs is Omega = sum_tau rho_tau u_tau u_tau^T with |u_tau| = 1.  Along an
eigenvector the student and the teacher have the components

    w_k^tau = u_tau . w_k
    f_m^tau = u_tau . Phi w*_m / sqrt delta

and their overlaps are

    q_tau = w^tau w^tau^T
    r_tau = w^tau f^tau^T
    t_tau = f^tau f^tau^T

    Q = (1/N) sum_tau rho_tau q_tau
    R = (1/N) sum_tau r_tau

Equal eigenvalues share one mode: averages of q, r, t with the weight p_tau (the fraction of equal
eigenvalues) instead of 1/N.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.checking.checks import AnyArray
from teacherstudent.display import Described, differs_from_default
from teacherstudent.states.order_parameters import (
    PSD_TOLERANCE,
    OrderParameters,
    Weights,
    as_weights,
    check_finite,
    check_psd,
    check_shape,
    check_symmetric,
    covariance,
    given_or_default,
)
from teacherstudent.states.spectrum import Spectrum


class SpectralOverlaps(Described):
    """Order parameters with their densities over the spectrum of the inputs, and that spectrum.

        Q = sum_tau p_tau rho_tau q_tau
        R = sum_tau p_tau r_tau

    - `rho`: eigenvalues of the input covariance, shape (modes,); `weights`: their weights p, with
      sum 1.
    - `q` (modes, K, K), `r` (modes, K, M), `t` (modes, M, M): the overlaps of each mode; a leading
      axis common to these and to T, v and b is a batch of starts.
    - `T` (M, M): w* w*^T / D, the unit matrix unless given (it is not the mean of t); `v` (K,): the
      readout, ones unless given; `b` (K,): the biases, zero unless given.
    - `network`: first-layer weights with these overlaps, if the simulation is to begin from them.
    - `time`: the time t at which a run begins from them.

    This is Gaussian equivalence in the form of Goldt et al., MSML 2021 (arXiv:2006.14709), with all
    eigenvectors of unit length; `from_latent_modes` reads the form of Goldt et al., Phys. Rev. X
    10, 041044 (2020).

    Raises ValueError if shapes do not fit, the weights do not sum to 1, an eigenvalue is negative,
    or no weights have such overlaps: [[q, r], [r^T, t]] of a mode, or T - sum p t / rho, is not
    positive semi-definite.

    >>> import teacherstudent as ts
    >>> start = ts.SpectralOverlaps(
    ...     rho=[0.5, 1.5], weights=[0.5, 0.5],
    ...     q=[[[1.0]], [[2.0]]], r=[[[0.1]], [[0.3]]], t=[[[0.2]], [[0.6]]],
    ... )
    >>> print(start.Q, start.R)
    [[1.75]] [[0.2]]
    """

    rho: Float[AnyArray, " modes"]
    weights: Float[AnyArray, " modes"]
    q: Float[AnyArray, "*batch modes students students"]
    r: Float[AnyArray, "*batch modes students teachers"]
    t: Float[AnyArray, "*batch modes teachers teachers"]
    T: Float[AnyArray, "*batch teachers teachers"]
    v: Float[AnyArray, "*batch students"]
    b: Float[AnyArray, "*batch students"]
    network: Weights | None = None
    time: float = eqx.field(static=True, default=0.0)
    kept: Any = eqx.field(static=True, default=None)

    @arguments.of("start.")
    def __init__(
        self,
        rho,
        weights,
        q,
        r,
        t,
        T=None,
        v=None,
        network: Weights | None = None,
        *,
        b=None,
        time=0.0,
    ):
        for name, value in (("rho", rho), ("weights", weights), ("q", q), ("r", r), ("t", t)):
            setattr(self, name, checks.array(f"start.{name}", value))
        if self.rho.ndim != 1 or self.rho.size == 0:
            raise ValueError(
                f"start.rho has shape {self.rho.shape}; give the eigenvalues, shape (modes,)."
            )
        square = self.q.ndim in (3, 4) and self.q.shape[-1] == self.q.shape[-2]
        if not square or self.r.ndim != self.q.ndim:
            raise ValueError(
                f"start.q has shape {self.q.shape} and start.r {self.r.shape}; give (modes, K, K) "
                "and (modes, K, M)."
            )
        self.T = given_or_default("start.T", T, np.eye(self.teachers), self.batch)
        self.v = given_or_default("start.v", v, np.ones(self.students), self.batch)
        self.b = given_or_default("start.b", b, np.zeros(self.students), self.batch)
        self.network = as_weights("start.network", network)
        self.time = checks.single("start.time", time)
        self.kept = None

    def __check_init__(self):
        batch, modes, K, M = self.batch, len(self.rho), self.students, self.teachers
        shapes = {
            "rho": (modes,),
            "weights": (modes,),
            "q": (*batch, modes, K, K),
            "r": (*batch, modes, K, M),
            "t": (*batch, modes, M, M),
            "T": (*batch, M, M),
            "v": (*batch, K),
            "b": (*batch, K),
        }
        arrays = {name: getattr(self, name) for name in shapes}
        for name, shape in shapes.items():
            check_shape(f"start.{name}", arrays[name], shape)
        if any(map(checks.is_traced, arrays.values())):
            return
        check_finite(arrays)
        for name in ("q", "t", "T"):
            check_symmetric(f"start.{name}", arrays[name])
        _check_spectrum(self.rho, self.weights)
        check_psd(covariance(self.q, self.r, self.t), "[[q, r], [r^T, t]] of a mode")
        check_psd(self.C, "[[Q, R], [R^T, T]]")
        _check_explained(self)

    def shown(self) -> dict[str, Any]:
        """The arguments that make these overlaps, without T = 1, v = 1 and b = 0."""
        arguments: dict[str, Any] = {}
        for name in ("rho", "weights", "q", "r", "t"):
            arguments[name] = getattr(self, name)
        defaults = {
            "T": np.eye(self.teachers),
            "v": np.ones(self.students),
            "b": np.zeros(self.students),
        }
        for name, default in defaults.items():
            if differs_from_default(getattr(self, name), default):
                arguments[name] = getattr(self, name)
        if self.network is not None:
            arguments["network"] = self.network
        if self.time:
            arguments["time"] = self.time
        return arguments

    @property
    def students(self) -> int:
        """The number K of student units."""
        return self.q.shape[-1]

    @property
    def teachers(self) -> int:
        """The number M of teacher units."""
        return self.r.shape[-1]

    @property
    def batch(self) -> tuple[int, ...]:
        """The shape of the batch of starts: () for one."""
        return self.q.shape[:-3]

    @property
    def Q(self) -> Float[AnyArray, "*batch students students"]:
        """sum_tau p_tau rho_tau q_tau, the covariance of the student's fields."""
        return _mean(self.weights * self.rho, self.q)

    @property
    def R(self) -> Float[AnyArray, "*batch students teachers"]:
        """sum_tau p_tau r_tau, the covariance of the student's and the teacher's fields."""
        return _mean(self.weights, self.r)

    @property
    def W(self) -> Float[AnyArray, "*batch students students"]:
        """sum_tau p_tau q_tau = w w^T / N, the overlaps of the weights themselves."""
        return _mean(self.weights, self.q)

    @property
    def C(self) -> Float[AnyArray, "*batch fields fields"]:
        """The covariance [[Q, R], [R^T, T]] of the fields (lambda_1..lambda_K, nu_1..nu_M)."""
        return covariance(self.Q, self.R, self.T)

    @property
    def squared_norms(self) -> Float[AnyArray, "*batch students"]:
        """|w_k|^2 / N of the student units."""
        return np.diagonal(np.asarray(self.W), axis1=-2, axis2=-1)

    @classmethod
    @arguments.of("start.")
    def from_latent_modes(
        cls,
        *,
        latent_ratio: float,
        b: float,
        zeta: float,
        rho,
        weights,
        sigma,
        r,
        t,
        W,
        T=None,
        v=None,
    ) -> "SpectralOverlaps":
        """From the form of Goldt et al. 2020: D latent modes of F^T F / N, and W = w w^T / N.

            Gamma_k^tau = sum_i w_ki F_i . e_tau / sqrt N
            omega_m^tau = w*_m . e_tau

            sigma_tau = Gamma^tau Gamma^tau^T
            r_tau = Gamma^tau omega^tau^T
            t_tau = omega^tau omega^tau^T

            Q = zeta W + b^2 mean(sigma)
            R = b mean(r)

        with e_tau the unit eigenvectors of F^T F / N, `rho` its eigenvalues, `weights` their
        weights (sum 1, mean of rho 1); `latent_ratio` is delta = D / N, and b, zeta those of the
        nonlinearity.  For Omega = zeta I + b^2 F F^T / D a mode has q = sigma / rho and the
        eigenvalue

            zeta + b^2 rho / delta

        What W holds beyond the modes belongs to the N - D directions with eigenvalue zeta.  Modes
        with rho = 0 do not reach the student.

        Raises ValueError as `SpectralOverlaps` does.
        """
        delta = checks.positive("latent_ratio", latent_ratio)
        b, zeta = checks.single("b", b, minimum=-np.inf), checks.single("zeta", zeta)
        rho, weights = checks.finite_array("rho", rho), checks.finite_array("weights", weights)
        sigma = checks.finite_array("sigma", sigma)
        r, t = checks.finite_array("r", r), checks.finite_array("t", t)
        W = checks.finite_array("W", W)
        if rho.ndim != 1 or not rho.size or sigma.ndim != 3 or r.ndim != 3:
            raise ValueError(
                f"rho has shape {rho.shape}, sigma {sigma.shape} and r {r.shape}; give (modes,), "
                "(modes, K, K) and (modes, K, M)."
            )
        modes, K, M = r.shape
        check_shape("weights", weights, (modes,))
        check_shape("rho", rho, (modes,))
        check_shape("sigma", sigma, (modes, K, K))
        check_shape("t", t, (modes, M, M))
        check_shape("W", W, (K, K))
        if (weights < 0).any() or not (rho > 0).any():
            raise ValueError(
                "rho and weights are not those of a spectrum; weights are not negative, and a "
                "rho is positive."
            )
        seen = _seen(rho, delta * weights)
        p, eigenvalues = delta * weights[seen], rho[seen]
        q = sigma[seen] / eigenvalues[:, None, None]
        gain = b * eigenvalues / delta
        r, t = b / delta * r[seen], b / delta * gain[:, None, None] * t[seen]
        rho, left = zeta + b * gain, 1 - p.sum()
        if delta >= 1:  # there are no other directions
            if abs(left) > 1e-5:
                raise ValueError(
                    f"weights of the modes that reach the inputs sum to {p.sum() / delta:.6g}, "
                    f"they must sum to N / D = {1 / delta:.6g}; for D > N give eigenvalues, or "
                    "let ts.spectral_start make the limit."
                )
            p, left = p / p.sum(), 0.0
        if left > 1e-9:
            rest = (W - _mean(p, q)) / left
            q, r, t = np.append(q, rest[None], axis=0), _with_zeros(r), _with_zeros(t)
            rho, p = np.append(rho, zeta), np.append(p, left)
        order = np.argsort(rho)
        return cls(rho[order], p[order], q[order], r[order], t[order], T, v)


def spectral_overlaps(spectrum: Spectrum, start: OrderParameters) -> SpectralOverlaps:
    """The overlaps per mode of weights that know no direction of the inputs but the teacher's.

        t_tau = signal_tau T
        r_tau = alpha t_tau
        q_tau = S + alpha t_tau alpha^T

    with alpha and S such that sum p r = R and sum p rho q = Q: each w_k has a random part with
    overlaps S, independent of the inputs, and the components alpha along the directions Phi w*_m /
    sqrt delta.  With one mode q = Q, r = R, t = T.

    Raises ValueError if no such weights have the overlaps Q, R, T.
    """
    p, rho, signal = spectrum.weights, spectrum.rho, spectrum.signal
    T, R = np.asarray(start.T), np.asarray(start.R)
    mean_signal = p @ signal
    if not p @ rho > 0:
        raise ValueError(
            "the inputs are zero: all eigenvalues of their covariance vanish; give inputs that "
            "vary."
        )
    if mean_signal <= 1e-14 * max(rho.max(), 1e-300) and np.any(R):
        raise ValueError(
            "start.R must be zero: these inputs carry no linear information on the latent (b = "
            "0), so that R = 0 always."
        )
    alpha = R @ np.linalg.pinv(T) / (mean_signal or 1.0)
    seed = alpha @ T @ np.swapaxes(alpha, -1, -2)
    S = (np.asarray(start.Q) - (p * rho) @ signal * seed) / (p @ rho)
    smallest = np.linalg.eigvalsh(S)[..., 0].min()
    if smallest < -PSD_TOLERANCE * max(1.0, np.abs(S).max()):
        raise ValueError(
            "start.R is too large for start.Q on these inputs: what Q leaves to the weights' "
            f"random part has the eigenvalue {smallest:.4g}, it must not be negative; give a "
            "smaller R, such as a small seed that breaks the symmetry."
        )
    return SpectralOverlaps(
        rho=rho,
        weights=p,
        q=np.expand_dims(S, -3) + _in_each_mode(seed, signal),
        r=_in_each_mode(alpha @ T, signal),
        t=_in_each_mode(T, signal),
        T=start.T,
        v=start.v,
        b=start.b,
    )


def _in_each_mode(matrix: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The matrix times one factor for each mode."""
    return np.expand_dims(matrix, -3) * factors[:, None, None]


def _mean(weights, densities):
    """sum_tau weights_tau densities_tau."""
    numpy_alone = isinstance(densities, np.ndarray) and isinstance(weights, np.ndarray)
    einsum = np.einsum if numpy_alone else jnp.einsum
    return einsum("t,...tab->...ab", weights, densities)


def _seen(rho: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The latent modes that reach the N inputs.

    They are not those with rho = 0, and of D > N modes only the N with the largest rho.

    A Gauss rule has the mass at zero that D > N modes have in a node that is zero up to its own
    error.
    """
    order = np.argsort(rho)
    below = np.empty_like(p)
    below[order] = np.cumsum(p[order])
    excess = max(p.sum() - 1, 0.0)
    return (rho > 1e-12 * rho.max()) & (below - p / 2 > excess)


def _with_zeros(densities: np.ndarray) -> np.ndarray:
    """The densities, and zero for one more mode."""
    return np.append(densities, np.zeros_like(densities[:1]), axis=0)


def _check_spectrum(rho, weights) -> None:
    """Raise ValueError unless nothing is negative and the weights sum to 1."""
    for name, values in (("rho", rho), ("weights", weights)):
        if np.min(values) < -PSD_TOLERANCE * np.max(values):
            raise ValueError(
                f"start.{name} has the entry {np.min(values):.6g}; eigenvalues and weights are "
                "not negative."
            )
    if abs(np.sum(weights) - 1) > 1e-6:
        raise ValueError(
            f"start.weights sum to {np.sum(weights):.8g}; they must sum to 1 (1/N for each of N "
            "eigenvalues)."
        )


def _check_explained(start: SpectralOverlaps) -> None:
    """Raise ValueError if the inputs determine more of the teacher than there is.

    sum p t / rho is the part of the teacher's covariance that they determine linearly: at most T.
    Eigenvalues are uncertain by the tolerance for covariances, which is added to them here.
    """
    rho = np.asarray(start.rho) + 2 * PSD_TOLERANCE * np.max(start.rho)
    check_psd(
        np.asarray(start.T) - _mean(start.weights / rho, np.asarray(start.t)),
        "T - sum_tau p t / rho",
    )
