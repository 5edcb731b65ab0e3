"""How the hidden manifold draws inputs: a block of latents, and one matrix product per layer."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from sims.inputs.source import (
    DRAWS,
    LEAST_ROWS,
    Covariances,
    Inputs,
    SetUp,
    Source,
    check_has_weights,
    label_noise,
    normal_rows,
    repeated,
    set_up,
    stacked,
)
from teacherstudent.activations.activation import Activation
from teacherstudent.checking.checks import AnyArray
from teacherstudent.checking.contracts import changes, require_unchanged
from teacherstudent.extensions.own_classes import LABELLING
from teacherstudent.starts import Start, weights_on_inputs
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import HiddenManifold
from teacherstudent.tasks.nonlinearities import moment, moment_error


class Manifold(Source):
    """x = f(F_L ... (f(F_1 c / sqrt D) - shift) ... / sqrt H) - shift.

    `matrices` are F_1 / sqrt D, ..., F_L / sqrt H.
    """

    matrices: tuple[Float[AnyArray, "*seeds _ _"], ...]
    shift: Float[AnyArray, "*seeds"]
    nonlinearity: Activation = eqx.field(static=True)

    least_rows: ClassVar[int] = LEAST_ROWS

    def draw(self, keys: Key[Array, " samples"]) -> Inputs:
        first = self.matrices[0]
        latent = normal_rows(keys, first.shape[-1], first.dtype)
        x = latent
        for matrix in self.matrices:
            x = self.nonlinearity(jnp.einsum("br,nr->bn", x, matrix)) - self.shift
        return Inputs(x=x, latent=latent, zeta=label_noise(keys, first.dtype))


@set_up.register
def set_up_manifold(task: HiddenManifold, start: Start, N: int, seeds: list[int]) -> SetUp:
    """With given weights the task's own manifold; otherwise one of its own for each seed."""
    require_unchanged(task, HiddenManifold, (*LABELLING, "latent_dimension", "matrices"), DRAWS)
    if isinstance(start, OrderParameters):
        matrices = [task.matrices(N, network=seed)[0] for seed in seeds]
        exact = [covariances(task, F) for F in matrices]
        weights = [
            weights_on_inputs(one.Omega, one.Phi, start, seed)
            for one, seed in zip(exact, seeds, strict=True)
        ]
        source = _manifold(task, [np.stack(matrices)], np.full(len(seeds), task.shift))
        together = None
        if all(is_exact(task, F) for F in matrices) and not _other_matrices(task):
            Omega = np.stack([one.Omega for one in exact])
            together = Covariances(Omega, np.stack([one.Phi for one in exact]))
        return SetUp(stacked(start, weights), source, together, shared=False)
    check_has_weights(start)
    matrices = task.matrices(N)
    source = _manifold(task, matrices, np.asarray(task.shift))
    exact_one = None
    if len(matrices) == 1 and is_exact(task, matrices[0]) and not _other_matrices(task):
        exact_one = covariances(task, matrices[0])
    return SetUp(repeated(start, seeds), source, exact_one, shared=True)


def _other_matrices(task: HiddenManifold) -> bool:
    """Whether the matrices are those of a class of one's own, of which no covariances are known."""
    return "matrices" in changes(type(task), HiddenManifold)


def _manifold(task: HiddenManifold, matrices: list[np.ndarray], shift: np.ndarray) -> Manifold:
    return Manifold(tuple(F / np.sqrt(F.shape[-1]) for F in matrices), shift, task.nonlinearity)


def covariances(task: HiddenManifold, F: Float[np.ndarray, "inputs latents"]) -> Covariances:
    """The exact second moments of one layer at finite D.

        Omega_ij = E[f(s_i) f(s_j)],   Phi = b F / sqrt D

    f is centred, and s_i and s_j have the correlation F_i . F_j / D.  Gaussian equivalence keeps of
    Omega only what is linear in it.
    """
    a, b, _ = task.coefficients
    shift = task.shift
    Omega = moment(task.nonlinearity, correlations(F)) - 2 * a * shift + shift**2
    return Covariances(Omega=Omega, Phi=b * F / np.sqrt(F.shape[1]))


def correlations(F: Float[np.ndarray, "inputs latents"]) -> Float[np.ndarray, "inputs inputs"]:
    """F_i . F_j / D, with ones on the diagonal."""
    correlation = F @ F.T / F.shape[1]
    np.fill_diagonal(correlation, 1.0)
    return correlation


def is_exact(task: HiddenManifold, F: Float[np.ndarray, "inputs latents"]) -> bool:
    """Whether `covariances` are exact.

    They are not for a nonlinearity without a closed form where rows of F are nearly parallel.
    """
    if moment_error(task.nonlinearity, 1.0) == 0.0:  # a closed form
        return True
    largest = np.abs(correlations(F) - np.eye(len(F))).max()
    return moment_error(task.nonlinearity, min(largest, 1.0)) < 1e-7
