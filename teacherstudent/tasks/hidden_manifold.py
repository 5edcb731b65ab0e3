"""The hidden manifold: inputs on a random nonlinear surface over a few latent variables.

    c ~ N(0, I_D),   x_i = f(s_i) - a,   s = F c / sqrt D,   D = delta N

F has N rows of mean square one, so that every s_i ~ N(0, 1), and a = E f(s) is subtracted.  For
weights that are not aligned with F, the fields become jointly Gaussian as N, D -> infinity with the
covariances of Gaussian inputs ("Gaussian equivalence")

    Omega = zeta I_N + b^2 F F^T / D,   Phi = b F / sqrt D,   b = E[s f(s)],   zeta = Var f - b^2.

S. Goldt, M. Mezard, F. Krzakala & L. Zdeborova, Phys. Rev. X 10, 041044 (2020), which writes x =
f(F c / sqrt D) too, but normalises the eigenvectors of F^T F / N to D; here all eigenvectors have
unit length.  Several layers: S. Goldt, B. Loureiro, G. Reeves, F. Krzakala, M. Mezard & L.
Zdeborova, MSML 2021 (arXiv:2006.14709).
"""

from itertools import pairwise
from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Float

from teacherstudent.activations.activation import Activation, ActivationLike
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.warn import warn_user
from teacherstudent.states.spectrum import Modes, Spectrum, eigenmodes, marchenko_pastur
from teacherstudent.streams import FEATURES, FEATURES_OF_A_NETWORK, stream
from teacherstudent.tasks.base import StructuredTask, TeacherTask
from teacherstudent.tasks.nonlinearities import Coefficients, as_nonlinearity, coefficients

# By how much the mean squares of the rows of a given F may differ from 1.
UNIT_ROWS = 1e-6


class HiddenManifold(StructuredTask):
    """Inputs on a random nonlinear surface, labelled by a two-layer teacher that sees the latent.

        c ~ N(0, I_D)
        x = f(F c / sqrt D) - a
        y = sum_m v*_m g*(w*_m . c / sqrt D) + sigma zeta,   a = E f(s), s ~ N(0, 1)

    - `width`, `activation`, `readout`, `noise`: the teacher's M, g*, v* and sigma, as in
      `TeacherStudent`.
    - `nonlinearity`: f, "sign", "erf", "tanh", "relu", any activation or elementwise JAX function.
    - `latent_ratio`: delta = D / N, any positive number; follows from `F` where that is given.
    - `F`: the feature matrix, shape (N, D) with rows of mean square one; drawn with normal entries
      from `seed`, and its rows normalised, unless given.
    - `layers`: a deep random generator x = f(F_L ... f(F_1 c / sqrt D) ...): the widths of the
      layers between the latent and the inputs, over N.  The rows of each F_l are scaled so that its
      pre-activations have unit variance.
    - `centre`: whether a is subtracted.  The theory holds only for centred inputs; with
      `centre=False` it warns.

    The theory has two forms.  A start from weights (`random_start`, `start_from_weights`) keeps
    every eigenvalue of this F, and the simulation uses the same F.  A start from `OrderParameters`
    means N, D -> infinity, where the spectrum is the Marchenko-Pastur law, and every simulated
    network has a manifold of its own (`spectral_start`).

    Time is t = updates / N.

    Raises ValueError if a value is outside its range, f has an unnamed kink, or the rows of F are
    not normalised.

    Goldt, Mezard, Krzakala & Zdeborova, Phys. Rev. X 10, 041044 (2020).

    >>> import teacherstudent as ts
    >>> task = ts.HiddenManifold(width=2, nonlinearity="sign", latent_ratio=0.5)
    >>> task.latent_dimension(100)
    50
    """

    nonlinearity: Activation = eqx.field(static=True)
    latent_ratio: float = eqx.field(static=True)
    layers: tuple[float, ...] = eqx.field(static=True)
    seed: int = eqx.field(static=True)
    centre: bool = eqx.field(static=True)
    F: Float[checks.AnyArray, "inputs latents"] | None

    ARRAYS: ClassVar = ("F",)
    INPUT_FIELDS: ClassVar = ("nonlinearity", "latent_ratio", "layers", "seed", "centre", "F")

    @arguments.of("task.")
    def __init__(
        self,
        width: int,
        activation: ActivationLike = "erf",
        nonlinearity: ActivationLike = "sign",
        latent_ratio=None,
        readout=1.0,
        noise=0.0,
        layers=(),
        F=None,
        seed: int = 0,
        centre: bool = True,
    ):
        TeacherTask.__init__(self, width, activation, readout, noise)
        self.nonlinearity = as_nonlinearity(nonlinearity)
        self.F = None if F is None else checks.array("task.F", F)
        self.latent_ratio = _ratio(latent_ratio, self.F)
        ratios = np.atleast_1d(checks.array("task.layers", layers))
        self.layers = tuple(
            checks.positive(f"task.layers[{i}]", one) for i, one in enumerate(ratios)
        )
        self.seed = checks.integer("task.seed", seed, minimum=0)
        checks.one_of("task.centre", centre, (True, False))
        self.centre = centre

    def __check_init__(self):
        a, _, c = self.coefficients
        if c - a**2 < 1e-12 * max(1.0, c):
            raise ValueError(
                f"task.nonlinearity {self.nonlinearity.name} is constant; the inputs would all be "
                "zero."
            )
        if self.layers and not self.centre:
            raise ValueError(
                "task.centre = False is possible for one layer only; leave task.layers out, or "
                "centre."
            )
        if self.F is None or checks.is_traced(self.F):
            return
        if self.layers:
            raise ValueError(
                "task.F is the matrix of a single layer; leave out either task.F or task.layers."
            )
        off = np.abs(np.mean(np.asarray(self.F) ** 2, axis=1) - 1)
        if not off.max() < UNIT_ROWS:
            raise ValueError(
                f"task.F has a row of mean square {1 + off.max():.4g} (or 2 minus that), but the "
                "features need unit variance: give F / np.sqrt((F**2).mean(axis=1, "
                "keepdims=True))."
            )

    @property
    def coefficients(self) -> Coefficients:
        """a, b and c of the nonlinearity."""
        return coefficients(self.nonlinearity)

    @property
    def shift(self) -> float:
        """What is subtracted from f."""
        if self.centre:
            return self.coefficients.a
        return 0.0

    @property
    def input_mean(self) -> float:
        return self.shift

    def latent_dimension(self, N: int) -> int:
        D = max(1, round(self.latent_ratio * N))
        if self.F is not None and self.F.shape[0] != N:
            raise ValueError(
                f"N = {N}, but task.F has {self.F.shape[0]} rows; use N = {self.F.shape[0]}."
            )
        if self.width > D:
            raise ValueError(
                f"task.latent_ratio = {self.latent_ratio:g} at N = {N} gives D = {D} < M = "
                f"{self.width}."
            )
        return D

    def matrices(self, N: int, network: int | None = None) -> list[Float[np.ndarray, "_ _"]]:
        """The feature matrices F_1, ..., F_L in N dimensions: the given one, or drawn from `seed`.

        With a number `network`, a manifold of its own for that network.
        """
        D = self.latent_dimension(N)
        if self.F is not None:
            return [np.asarray(self.F)]
        widths = [D, *(max(1, round(ratio * N)) for ratio in self.layers), N]
        checks.memory(f"N = {N} with D = {D}", 4 * sum(a * b for a, b in pairwise(widths)))
        rng = stream(self.seed, FEATURES)
        if network is not None:
            rng = stream(self.seed, FEATURES_OF_A_NETWORK, network)
        first, *others = [
            rng.standard_normal((rows, columns)) for columns, rows in pairwise(widths)
        ]
        first = first / np.sqrt(np.mean(first**2, axis=1, keepdims=True))
        if not others:
            return [first]
        return self._scaled([first, *others])[0]

    def modes(self, N: int) -> Modes:
        matrices = self.matrices(N)
        if len(matrices) > 1:
            return eigenmodes(*self._scaled(matrices)[1:])
        F = matrices[0] / np.sqrt(matrices[0].shape[1])
        _, b, _ = self.coefficients
        vectors, s, _ = np.linalg.svd(F, full_matrices=False)
        return Modes(self._zeta + (b * s) ** 2, vectors, self._zeta, b * F)

    def _scaled(
        self, matrices: list[np.ndarray]
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """The matrices with rows scaled to unit variance, and Omega and Phi of the outputs.

        The variance is that of the pre-activations.  Layer by layer, with F scaled so that U has a
        unit diagonal,

            U = F Omega F^T / width
            Omega <- b^2 U off the diagonal, c - a^2 on it
            Phi <- b F Phi / sqrt(width)
        """
        a, b, c = self.coefficients
        Omega = np.eye(matrices[0].shape[1])
        Phi = np.eye(matrices[0].shape[1])
        scaled = []
        for F in matrices:
            F = F / np.sqrt(F.shape[1])
            U = F @ Omega @ F.T
            scale = 1 / np.sqrt(np.diagonal(U))
            F = scale[:, None] * F
            scaled.append(F * np.sqrt(F.shape[1]))
            Omega, Phi = b**2 * scale[:, None] * U * scale, b * F @ Phi
            np.fill_diagonal(Omega, c - a**2)
        return scaled, Omega, Phi

    def spectrum(self, nodes: int = 24) -> Spectrum:
        """The limit N, D -> infinity.

            rho = zeta + b^2 x,   x with the Marchenko-Pastur law of F F^T / D

        For delta < 1 a fraction 1 - delta of the directions has x = 0 exactly; the Gauss rule is
        that of the others.
        """
        if self.layers or self.F is not None:
            what = "several layers"
            if self.F is not None:
                what = "a given F"
            raise ValueError(
                "the limit N, D -> infinity of the hidden manifold is known for random F and one "
                f"layer, not for {what}; start from weights, with ts.random_start or "
                "ts.start_from_weights."
            )
        delta, b = self.latent_ratio, self.coefficients.b
        if delta < 1:
            # The law of F^T F / N, which has delta times the eigenvalues x.
            rho, weights = marchenko_pastur(delta, nodes)
            x = np.append(0.0, rho / delta)
            weights = np.append(1 - delta, delta * weights)
        else:
            x, weights = marchenko_pastur(1 / delta, nodes)
        return Spectrum(rho=self._zeta + b**2 * x, weights=weights, signal=b**2 * x / delta)

    @property
    def _zeta(self) -> float:
        return self.coefficients.zeta

    def warn_theory(self) -> None:
        if abs(self.shift - self.coefficients.a) > 1e-9:
            warn_user(
                "task.centre = False leaves the inputs with the mean a = "
                f"{self.coefficients.a:.4g}, which the theory does not describe: expect it to be "
                "wrong, and compare with the test_error of a simulation.",
            )


def _ratio(latent_ratio, F) -> float:
    """delta, as given or from the shape of F."""
    if F is not None and (F.ndim != 2 or F.size == 0):
        raise ValueError(f"task.F has shape {F.shape}; give a matrix (N, D).")
    if latent_ratio is None:
        if F is None:
            raise ValueError(
                "task.latent_ratio is missing; give delta = D / N, such as 0.5, or a matrix task.F."
            )
        return F.shape[1] / F.shape[0]
    delta = checks.positive("task.latent_ratio", latent_ratio)
    if F is not None and round(delta * F.shape[0]) != F.shape[1]:
        raise ValueError(
            f"task.latent_ratio = {delta:g}, but task.F has shape {F.shape}; leave one of them out."
        )
    return delta
