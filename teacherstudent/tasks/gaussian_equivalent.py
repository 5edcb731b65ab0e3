"""Inputs known by their covariances alone: Gaussian equivalence for any generator, and anisotropic
Gaussian inputs.

    c ~ N(0, I_D),   Omega = E[x x^T]  (N x N),   Phi = E[x c^T]  (N x D)

Where the fields of student and teacher are jointly Gaussian, the dynamics on inputs x = G(c)
depends on the generator G only through Omega and Phi.  S. Goldt, B. Loureiro, G. Reeves, F.
Krzakala, M. Mezard & L. Zdeborova, "The Gaussian equivalence of generative models for learning with
shallow neural networks", MSML 2021 (arXiv:2006.14709), eq. (5), (6) and Theorem 2.
"""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent.activations.activation import ActivationLike
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.warn import warn_user
from teacherstudent.states.spectrum import Modes, Spectrum, eigenmodes, spectrum_of
from teacherstudent.tasks.base import StructuredTask, TeacherTask

PSD_TOLERANCE = 1e-6  # how negative an eigenvalue may be, relative to the largest entry
# Inputs held at once while covariances are estimated; a generator needs its own memory.
BATCH_BYTES = 2**26
BATCH_SAMPLES = 8192
# Samples per input dimension that make sampled covariances harmless.
ENOUGH = 50


class GaussianEquivalent(StructuredTask):
    """Inputs with given covariances, labelled by a two-layer teacher that sees c ~ N(0, I_D).

        Omega = E[x x^T],   Phi = E[x c^T]
        y = sum_m v*_m g*(w*_m . c / sqrt D) + sigma zeta

    - `Omega`: shape (N, N); `Phi`: shape (N, D).  Both may be left out where a start carries its
      own spectrum (`SpectralOverlaps`); then only the theory can be asked.
    - `width`, `activation`, `readout`, `noise`: the teacher's M, g*, v* and sigma, as in
      `TeacherStudent`.
    - `mean`: E x, shape (N,), which is subtracted from the inputs of `generator`, and from a bank
      of samples; zero unless given.
    - `generator`: a JAX function c -> x for one latent; without one, the simulation draws (x, c)
      jointly Gaussian.

    `from_generator`, `from_file`, `anisotropic` make such a task from other things.

    Time is t = updates / N.

    Raises ValueError if a shape does not fit, Omega is not symmetric, or the covariance [[Omega,
    Phi], [Phi^T, I]] is not positive semi-definite.

    Goldt et al., MSML 2021 (arXiv:2006.14709), eq. (5) and (6).

    >>> import teacherstudent as ts
    >>> task = ts.GaussianEquivalent.anisotropic([0.5, 1.0, 1.5], width=1)
    >>> task.Omega.shape, task.latent_dimension(3)
    ((3, 3), 3)
    """

    Omega: Float[checks.AnyArray, "inputs inputs"] | None
    Phi: Float[checks.AnyArray, "inputs latents"] | None
    mean: Float[checks.AnyArray, " inputs"] | None
    generator: Callable | None = eqx.field(static=True)

    ARRAYS: ClassVar = ("Omega", "Phi", "mean")
    INPUT_FIELDS: ClassVar = ("Omega", "Phi", "mean", "generator")

    @arguments.of("task.")
    def __init__(
        self,
        Omega=None,
        Phi=None,
        width: int = 1,
        activation: ActivationLike = "erf",
        readout=1.0,
        noise=0.0,
        mean=None,
        generator=None,
    ):
        TeacherTask.__init__(self, width, activation, readout, noise)
        self.Omega = _array_or_none("task.Omega", Omega)
        self.Phi = _array_or_none("task.Phi", Phi)
        self.mean = _array_or_none("task.mean", mean)
        self.generator = _checked_generator(generator)

    def __check_init__(self):
        if (self.Omega is None) != (self.Phi is None):
            missing, given = "Phi", "Omega"
            if self.Omega is None:
                missing, given = "Omega", "Phi"
            raise ValueError(
                f"task.{missing} is missing beside task.{given}; give both covariances."
            )
        if self.Omega is None:
            if self.mean is not None or self.generator is not None:
                raise ValueError(
                    "task.generator needs its covariances; use GaussianEquivalent.from_generator."
                )
            return
        N = self.Omega.shape[0] if self.Omega.ndim else 0
        for name, wanted, fits in (
            ("Omega", "(N, N)", self.Omega.ndim == 2 and self.Omega.shape == (N, N) and N > 0),
            (
                "Phi",
                f"({N}, D)",
                self.Phi.ndim == 2 and self.Phi.shape[0] == N and self.Phi.shape[1] > 0,
            ),
            ("mean", f"({N},)", self.mean is None or self.mean.shape == (N,)),
        ):
            if not fits:
                raise ValueError(
                    f"task.{name} has shape {getattr(self, name).shape}; give {wanted}."
                )
        if (
            self.mean is not None
            and not checks.is_traced(self.mean)
            and not np.isfinite(self.mean).all()
        ):
            raise ValueError("task.mean has entries that are not finite; give numbers everywhere.")
        if not any(map(checks.is_traced, (self.Omega, self.Phi))):
            _check_covariances(np.asarray(self.Omega), np.asarray(self.Phi))

    @classmethod
    @arguments.of("task.")
    def from_generator(
        cls,
        generator: Callable,
        latent_dim: int,
        samples: int,
        key=0,
        *,
        width: int = 1,
        activation: ActivationLike = "erf",
        readout=1.0,
        noise=0.0,
    ) -> "GaussianEquivalent":
        """The Gaussian equivalent of a generator: mean, Omega and Phi estimated from `samples` of
        its inputs.

            x = mean + Phi c + rest,   Omega = Phi Phi^T + E[rest rest^T]

        Phi is the least-squares fit of x on c, so that a linear generator is recovered exactly and
        [[Omega, Phi], [Phi^T, I]] is positive semi-definite whatever the number of samples.

        - `generator`: a JAX function that maps one latent c, shape (latent_dim,), to one input x,
          shape (N,).
        - `key`: a JAX random key or an integer seed.

        The samples pass through in batches of 64 MiB.  Sampled covariances spread the eigenvalues
        of Omega, and noise in Phi acts like extra signal: with 6 N samples eps_g came out 8 to 13
        percent too low.  Below 50 max(N, D) there is a warning.

        Raises ValueError if the generator is not a JAX function of one latent, returns the wrong
        shape, or values that are not finite, or if there are fewer than 2 max(N, D) samples.
        """
        # Says what is wrong with the teacher before any sampling.
        cls(None, None, width, activation, readout, noise)
        D = checks.integer("latent_dim", latent_dim)
        samples = checks.integer("samples", samples, minimum=2)
        root = _random_key(key)
        N = _input_dimension(generator, D)
        size = max(N, D)
        checks.memory(f"latent_dim = {D} with N = {N}", 3 * (N + D) ** 2)
        if samples <= 2 * size:
            raise ValueError(
                f"samples = {samples} cannot tell the covariances of N = {N} inputs and D = {D} "
                f"latents from noise; give at least {ENOUGH} max(N, D) = {ENOUGH * size}."
            )
        if samples < ENOUGH * size:
            warn_user(
                f"samples = {samples} is few for N = {N} inputs and D = {D} latents: the noise of "
                f"the sampled covariances biases eps_g by about {size / samples:.0%}; give at "
                f"least {ENOUGH} max(N, D) = {ENOUGH * size}.",
            )
        mean, Omega, Phi = _sampled_covariances(generator, N, D, samples, root)
        return cls(Omega, Phi, width, activation, readout, noise, mean, generator)

    @classmethod
    @arguments.of("task.")
    def from_file(
        cls,
        path: str | os.PathLike,
        *,
        Omega: str = "Omega",
        Phi: str = "Phi",
        mean: str = "mean",
        width: int = 1,
        activation: ActivationLike = "erf",
        readout=1.0,
        noise=0.0,
    ) -> "GaussianEquivalent":
        """Covariances from an HDF5 or .npz file with arrays of these names; `mean` is read where
        the file has it.

        Raises FileNotFoundError if there is no such file, ValueError if it is neither format or
        lacks an array.
        """
        names = {"Omega": Omega, "Phi": Phi, "mean": mean}
        for argument, name in names.items():
            checks.text(argument, name)
        found = _read_arrays(checks.path("path", path), (Omega, Phi), (mean,))
        return cls(found[Omega], found[Phi], width, activation, readout, noise, found.get(mean))

    @classmethod
    @arguments.of("task.")
    def anisotropic(
        cls,
        eigenvalues,
        *,
        width: int = 1,
        activation: ActivationLike = "erf",
        readout=1.0,
        noise=0.0,
    ) -> "GaussianEquivalent":
        """Gaussian inputs with the given eigenvalues rho (see `power_law`).

            x_i = sqrt(rho_i) c_i,   D = N,   Phi = Omega^(1/2)

        The teacher sees c.  A teacher that sees x with weights w, nu = w . x / sqrt N, is w*_i =
        sqrt(rho_i) w_i here.

        Raises ValueError if an eigenvalue is negative.
        """
        rho = checks.array("eigenvalues", eigenvalues)
        if rho.ndim != 1 or not rho.size or not np.all(np.isfinite(rho)) or np.any(rho < 0):
            raise ValueError(
                f"eigenvalues = {checks.shortened(eigenvalues)}: give a sequence of numbers that "
                "are not negative."
            )
        checks.memory(f"a matrix of {rho.size} x {rho.size} covariances", 4 * rho.size**2)
        return cls(np.diag(rho), np.diag(np.sqrt(rho)), width, activation, readout, noise)

    @property
    def input_mean(self):
        if self.mean is None:
            return 0.0
        return np.asarray(self.mean)

    def latent_dimension(self, N: int) -> int:
        if self.Omega is None or self.Phi is None:
            raise ValueError(
                "task.Omega and task.Phi are missing; give them, or a start that carries its "
                "spectrum (SpectralOverlaps) and ask only for the theory."
            )
        if self.Omega.shape[0] != N:
            raise ValueError(
                f"N = {N}, but task.Omega has shape {self.Omega.shape}; use N = "
                f"{self.Omega.shape[0]}."
            )
        if self.Phi.shape[1] < self.width:
            raise ValueError(
                f"task.Phi has D = {self.Phi.shape[1]} latents, fewer than M = {self.width} "
                "teacher units."
            )
        return self.Phi.shape[1]

    def coordinate_covariances(self) -> tuple[np.ndarray, np.ndarray] | None:
        if self.Omega is None or self.Phi is None or self.generator is not None:
            return None
        return np.asarray(self.Omega), np.asarray(self.Phi)

    def modes(self, N: int) -> Modes:
        self.latent_dimension(N)
        return eigenmodes(np.asarray(self.Omega), np.asarray(self.Phi))

    def spectrum(self, nodes: int = 0) -> Spectrum:
        """All eigenvalues of Omega; `nodes` has no meaning here."""
        N = 0
        if self.Omega is not None:
            N = self.Omega.shape[0]
        return spectrum_of(self.modes(N))


def _array_or_none(name: str, value):
    if value is None:
        return None
    return checks.array(name, value)


def _checked_generator(generator) -> Callable | None:
    if isinstance(generator, str):
        name = checks.shortened_text(generator.removeprefix("function:"), most=200)
        raise ValueError(
            f"task.generator was the Python function {name}; files keep only its name."
        )
    if generator is not None and not callable(generator):
        raise ValueError(
            f"task.generator = {checks.shortened(generator)} is not a function of one latent."
        )
    return generator


def _check_covariances(
    Omega: Float[np.ndarray, "inputs inputs"], Phi: Float[np.ndarray, "inputs latents"]
) -> None:
    for name, matrix in (("Omega", Omega), ("Phi", Phi)):
        if not np.isfinite(matrix).all():
            raise ValueError(
                f"task.{name} has entries that are not finite; give numbers everywhere."
            )
    size = np.abs(Omega).max()
    gap = np.abs(Omega - Omega.T).max()
    if gap > 1e-8 * size:
        raise ValueError(
            f"task.Omega is not symmetric (entries differ by up to {gap:.3g}); give (Omega + "
            "Omega.T) / 2."
        )
    smallest = _negative_eigenvalue(Omega, size)
    if smallest is not None:
        raise ValueError(
            f"task.Omega is no covariance: its smallest eigenvalue is {smallest:.6g}, it must not "
            "be negative."
        )
    smallest = _negative_eigenvalue(Omega - Phi @ Phi.T, size)
    if smallest is not None:
        raise ValueError(
            "task.Phi does not fit task.Omega: the smallest eigenvalue of Omega - Phi Phi^T is "
            f"{smallest:.6g}, it must not be negative, since the latent has unit covariance; "
            "check the factors (Phi = E[x c^T], without 1/sqrt N or 1/sqrt D)."
        )


def _negative_eigenvalue(matrix: Float[np.ndarray, "inputs inputs"], size: float) -> float | None:
    """The smallest eigenvalue if it is negative beyond rounding.

    A Cholesky factor shows faster that it is not.
    """
    try:
        np.linalg.cholesky(matrix + PSD_TOLERANCE * size * np.eye(len(matrix)))
    except np.linalg.LinAlgError:
        smallest = float(np.linalg.eigvalsh(matrix)[0])
        return smallest if smallest < -PSD_TOLERANCE * size else None
    return None


def _input_dimension(generator: Callable, D: int) -> int:
    """N, from tracing the generator on one latent."""
    try:
        answer = jax.eval_shape(generator, jax.ShapeDtypeStruct((D,), jnp.float32))
    except Exception as error:
        raise ValueError(
            f"the generator cannot be traced by JAX on one latent of shape ({D},) "
            f"({type(error).__name__}: {checks.first_line(error)}); write it with jax.numpy for a "
            "single latent."
        ) from error
    if not isinstance(answer, jax.ShapeDtypeStruct):
        raise ValueError(
            f"the generator returns a {type(answer).__name__}; it is to return one input, an "
            "array of shape (N,)."
        )
    if (
        len(answer.shape) != 1
        or answer.shape[0] == 0
        or not jnp.issubdtype(answer.dtype, jnp.floating)
    ):
        raise ValueError(
            f"the generator returns the shape {answer.shape} of {answer.dtype} for one latent of "
            f"shape ({D},); it is to return one input, shape (N,), of real floating-point numbers."
        )
    return answer.shape[0]


def _random_key(key):
    """A JAX random key, or one from an integer seed."""
    if isinstance(key, int | np.integer) and not isinstance(key, bool | np.timedelta64):
        return jax.random.key(checks.integer("key", key, minimum=0, maximum=2**32 - 1))
    if isinstance(key, jax.Array) and (
        jnp.issubdtype(key.dtype, jax.dtypes.prng_key) or key.dtype == jnp.uint32
    ):
        return key
    raise ValueError(
        f"key = {checks.shortened(key)} is not a random key; give an integer seed or a key of "
        "jax.random."
    )


def _sampled_covariances(
    generator, N: int, D: int, samples: int, root
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, Omega and Phi by least squares of x on c, from sums over batches in float64."""
    batch = min(samples, BATCH_SAMPLES, max(1, BATCH_BYTES // (4 * (N + D))))

    @jax.jit
    def drawn(number):
        c = jax.random.normal(jax.random.fold_in(root, number), (batch, D), jnp.float32)
        return jax.vmap(generator)(c), c

    total, square = np.zeros(N + D), np.zeros((N + D, N + D))
    for number, first in enumerate(range(0, samples, batch)):
        both = np.concatenate(
            [np.asarray(part)[: samples - first] for part in drawn(number)],
            axis=1,
            dtype=np.float64,
        )
        if not np.isfinite(both).all():
            raise ValueError(
                "the generator returns values that are not finite; check it on latents c ~ N(0, I)."
            )
        total += both.sum(axis=0)
        square += both.T @ both
    mean = total / samples
    covariance = square / samples - np.outer(mean, mean)
    xx, xc, cc = covariance[:N, :N], covariance[:N, N:], covariance[N:, N:]
    Phi = np.linalg.lstsq(cc, xc.T, rcond=None)[0].T
    rest = xx - Phi @ xc.T
    Omega = Phi @ Phi.T + (rest + rest.T) / 2
    return mean[:N] - Phi @ mean[N:], Omega, Phi


def _read_arrays(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist (or is no file).")
    damaged = ValueError(
        f"{path} is neither an HDF5 nor an .npz file with arrays, or it is damaged."
    )
    if not h5py.is_hdf5(path) and not zipfile.is_zipfile(path):
        raise damaged
    try:
        with h5py.File(path) if h5py.is_hdf5(path) else np.load(path, allow_pickle=False) as file:
            names = list(file)
            found = {
                name: np.asarray(file[name]) for name in (*required, *optional) if name in names
            }
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile):
        raise damaged from None
    missing = [name for name in required if name not in found]
    if missing:
        raise ValueError(
            f"{path} has no array {' and no array '.join(map(repr, missing))}; it has "
            f"{', '.join(names) or 'nothing'}. Name them with Omega= and Phi=."
        )
    return found
