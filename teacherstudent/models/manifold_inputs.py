"""Inputs of a hidden manifold, for models with teachers that see the latent."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from teacherstudent.activations.activation import Activation, ActivationLike
from teacherstudent.checking import arguments, checks
from teacherstudent.display import Described
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.states.spectral_overlaps import SpectralOverlaps, spectral_overlaps
from teacherstudent.states.spectrum import MOST_NODES, Spectrum
from teacherstudent.tasks.hidden_manifold import HiddenManifold
from teacherstudent.tasks.nonlinearities import as_nonlinearity


class ManifoldInputs(Described):
    """Inputs on a random nonlinear surface over a few latent variables, which the teachers see.

        c ~ N(0, I_D),   x_i = f(F_i . c / sqrt D) - a,   a = E f(s), s ~ N(0, 1)
        lambda_k = w_k . x / sqrt N,   nu_m = W_m . c / sqrt D,   D = delta N

    - `latent_ratio`: delta, a positive number.
    - `nonlinearity`: f, "sign", "erf", "tanh", "relu", any activation or elementwise function.
    - `nodes`: of the Gauss rule for the eigenvalues of the inputs' covariance (Marchenko & Pastur).

    F has normal entries and rows of mean square one; every network draws its own.  The theory is
    the limit N, D -> infinity, in which the fields are jointly Gaussian with

        Omega = E[x x^T] = zeta 1 + b^2 F F^T / D,   Phi = E[x c^T] = b F / sqrt D

    b = E[s f(s)] and zeta = Var f - b^2.

    Raises ValueError if a value is outside its range, or f is constant or too rough.

    Goldt, Mezard, Krzakala & Zdeborova, Phys. Rev. X 10, 041044 (2020).

    >>> import teacherstudent as ts
    >>> inputs = ts.ManifoldInputs(latent_ratio=0.5, nonlinearity="sign")
    >>> rho, p, signal = inputs.spectrum
    >>> print(f"{p @ rho:.6f}")  # E x_i^2
    1.000000
    """

    latent_ratio: float = eqx.field(static=True)
    nonlinearity: Activation = eqx.field(static=True)
    nodes: int = eqx.field(static=True)

    @arguments.of("inputs.")
    def __init__(self, latent_ratio: float, nonlinearity: ActivationLike = "sign", nodes: int = 24):
        self.latent_ratio = checks.positive("inputs.latent_ratio", latent_ratio)
        self.nonlinearity = as_nonlinearity(nonlinearity, "inputs.nonlinearity")
        self.nodes = checks.integer("inputs.nodes", nodes, maximum=MOST_NODES)

    def __check_init__(self):
        a, _, c = self.manifold.coefficients
        if c - a**2 < 1e-12 * max(1.0, c):
            raise ValueError(
                f"inputs.nonlinearity {self.nonlinearity.name} is constant; the inputs would all "
                "be zero."
            )

    @property
    def manifold(self) -> HiddenManifold:
        """The task with these inputs, whatever its labels."""
        return HiddenManifold(1, nonlinearity=self.nonlinearity, latent_ratio=self.latent_ratio)

    @property
    def spectrum(self) -> Spectrum:
        """The eigenvalues of the inputs' covariance in the limit of large N, and their weights."""
        return self.manifold.spectrum(self.nodes)

    @property
    def modes(self) -> int:
        """How many eigenvalues the theory follows."""
        return len(self.spectrum.rho)

    def latent_dimension(self, N: int, least: int) -> int:
        """D; ValueError if it is smaller than the number of teacher units."""
        D = max(1, round(self.latent_ratio * N))
        if least > D:
            raise ValueError(
                f"inputs.latent_ratio = {self.latent_ratio:g} at N = {N} gives D = {D} latents, "
                f"fewer than {least} teacher units; give a larger N or ratio."
            )
        return D

    def by_mode(
        self,
        Q: Float[np.ndarray, "students students"],
        R: Float[np.ndarray, "students teachers"],
        T: Float[np.ndarray, "teachers teachers"],
    ) -> SpectralOverlaps:
        """The overlaps in each mode of weights that know no direction but the teachers'.

        Raises ValueError if no such weights have these overlaps.
        """
        return spectral_overlaps(self.spectrum, OrderParameters(Q, R, T))


def as_inputs(given: Any) -> ManifoldInputs | None:
    """The inputs of a model, or those of a table, as a file has it; None for isotropic ones.

    Raises ValueError for anything else.
    """
    if given is None or isinstance(given, ManifoldInputs):
        return given
    if isinstance(given, Mapping) and given.get("type") == ManifoldInputs.__name__:
        table = {key: value for key, value in given.items() if key != "type"}
        return ManifoldInputs(**table)
    raise ValueError(
        f"model.inputs = {checks.shortened(given)} are no inputs; give ts.ManifoldInputs(...), or "
        "leave them out for isotropic ones."
    )
