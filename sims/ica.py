"""FastICA on spiked cumulants: how the overlap with the spike grows step by step, from n samples in
N dimensions.

    w <- < x G'(s) > - < G''(s) > w,   s = w . x
    w <- w / |w|

with < > the mean over n samples, fresh at each step or always the same.  One step on infinitely
many samples would land on +-u; with n samples a start with overlap N^(-1/2) needs n of the order of
N^4 (Ricci, Bardone & Goldt, arXiv:2503.23896).  Contrasts as in `teacherstudent/contrasts.py`; A.
Hyvarinen, IEEE Trans. Neural Netw. 10, 626 (1999).
"""

import time
from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key

from sims.inputs.mixture import Spiked, spiked_source
from sims.inputs.source import as_arrays
from sims.running.loop import GENERATOR
from teacherstudent.activations.activation import Activation
from teacherstudent.checking import arguments, checks
from teacherstudent.contrasts import CONTRASTS, check_spike, ica_problem
from teacherstudent.results.datasets import described
from teacherstudent.starts import orthonormal_rows
from teacherstudent.streams import WEIGHTS, stream
from teacherstudent.tasks import SpikedCumulant

BLOCK = 1024  # samples that are drawn at once


@arguments.checked
def fast_ica(
    task: SpikedCumulant,
    N: int,
    samples: int,
    *,
    contrast: str = "kurtosis",
    steps: int = 1,
    fresh: bool = True,
    overlap=None,
    seeds: int | Iterable[int] = 32,
    dtype: str = "float32",
    device: str | None = None,
) -> xr.Dataset:
    """FastICA with a batch of samples for each step, from random weights.

        w <- < x G'(s) > - < G''(s) > w,   s = w . x,   w <- w / |w|
        overlap = |w . u| / (|w| |u|),   u the spike

    - `task`: a `SpikedCumulant`; only its spiked class is drawn.
    - `N`, `samples`: input dimension and samples in a batch.
    - `contrast`: "kurtosis", "logcosh" or "gauss".
    - `steps`: iterations.
    - `fresh`: a new batch at each step (n samples in all: steps x samples), or the same one at all
      steps.
    - `overlap`: the overlap to start with, from 0 to 1; unless given, weights are uniform on the
      sphere.
    - `seeds`: a number S or the seeds themselves; each has weights, spike and samples of its own.

    Returns an `xarray.Dataset` with `overlap` (seed, step), step 0 being the start.  Samples are
    drawn anew from their keys where they are needed again, so memory does not grow with their
    number.

    Raises ValueError for input that does not fit.

    A. Hyvarinen, IEEE Trans. Neural Netw. 10, 626 (1999); Ricci, Bardone & Goldt, arXiv:2503.23896.

    >>> import teacherstudent as ts
    >>> task = ts.SpikedCumulant(5.0, "rademacher")
    >>> result = ts.fast_ica(task, N=8, samples=20_000, overlap=0.5, seeds=2)
    >>> bool((result.overlap[:, 1] > 0.9).all())  # one step finds the spike
    True
    """
    check_spike(task)
    N = checks.integer("N", N, 2)
    samples = checks.integer("samples", samples, maximum=10**10)
    steps = checks.integer("steps", steps)
    checks.one_of("contrast", contrast, CONTRASTS)
    checks.one_of("fresh", fresh, (True, False))
    checks.one_of("dtype", dtype, ("float32", "float64"))
    numbers = checks.seeds(seeds)
    if overlap is not None:
        overlap = float(checks.single("overlap", overlap))
        if overlap > 1:
            raise ValueError(f"overlap = {overlap:g} is not allowed; give a number from 0 to 1.")
    checks.memory(f"N = {N} with {len(numbers)} seeds", 5 * N * len(numbers))
    checks.memory(f"steps = {steps} with {len(numbers)} seeds", 2 * steps * len(numbers))
    problem = ica_problem(task, contrast, learning_rate=0.0, sign=1)
    place = checks.device(device)
    began = time.perf_counter()
    with jax.enable_x64(True), jax.default_device(place):
        w, u = _starts(N, numbers, overlap)
        source = as_arrays(spiked_source(problem.classes, np.sqrt(N) * u[:, None]), dtype)
        keys = jax.vmap(partial(jax.random.key, impl=GENERATOR))(jnp.asarray(numbers, jnp.uint32))
        options = {
            "contrast": CONTRASTS[contrast],
            "samples": samples,
            "steps": steps,
            "fresh": fresh,
        }
        overlaps = np.asarray(_iterate_all(source, keys, *as_arrays((w, u), dtype), **options))
    report = {
        "N": N,
        "samples": samples,
        "contrast": contrast,
        "fresh": fresh,
        "dtype": dtype,
        "device": str(place),
        "overlap": overlap,
        "seconds": round(time.perf_counter() - began, 3),
    }
    along_spike = _described("overlap with the spike", r"$|\alpha|$")
    seed = _described("seed of the random stream", "seed")
    step = _described("FastICA steps", "step")
    return xr.Dataset(
        {"overlap": (("seed", "step"), overlaps, along_spike)},
        coords={"seed": ("seed", numbers, seed), "step": ("step", np.arange(steps + 1), step)},
        attrs=described("fast_ica", problem, report),
    )


def _described(long_name: str, symbol: str) -> dict[str, str]:
    return {"long_name": long_name, "symbol": symbol, "units": "1"}


def _starts(N: int, seeds: list[int], overlap) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors w and u of each seed."""
    pairs = np.stack(
        [orthonormal_rows(stream(seed, WEIGHTS).standard_normal((2, N))) for seed in seeds]
    )
    u, beside = pairs[:, 0], pairs[:, 1]
    if overlap is not None:
        return overlap * u + np.sqrt(1 - overlap**2) * beside, u
    w = np.stack([stream(seed, WEIGHTS, 1).standard_normal(N) for seed in seeds])
    return w / np.linalg.norm(w, axis=1, keepdims=True), u


@partial(jax.jit, static_argnames=("contrast", "samples", "steps", "fresh"))
def _iterate_all(
    source: Spiked, keys, w, u, *, contrast: Activation, samples: int, steps: int, fresh: bool
):
    """The overlaps of every seed, (seeds, records)."""
    run = partial(_iterate, contrast, samples=samples, steps=steps, fresh=fresh)
    return jax.vmap(run)(source, keys, w, u)


def _iterate(
    contrast: Activation,
    source: Spiked,
    key: Key[Array, ""],
    w: Float[Array, " inputs"],
    u: Float[Array, " inputs"],
    *,
    samples: int,
    steps: int,
    fresh: bool,
) -> Float[Array, " records"]:
    """The overlaps of one seed after 0..steps steps."""

    def step(w, number):
        batch = 0
        if fresh:
            batch = number
        moved = _one_step(contrast, source, jax.random.fold_in(key, batch), w, samples)
        return moved, jnp.abs(moved @ u)

    _, overlaps = jax.lax.scan(step, w, jnp.arange(steps))
    return jnp.concatenate([jnp.abs(w @ u)[None], overlaps])


def _one_step(
    contrast: Activation,
    source: Spiked,
    key: Key[Array, ""],
    w: Float[Array, " inputs"],
    samples: int,
):
    """Sums over blocks of samples; the last block may be part full."""

    def add(index, sums):
        x = source.draw(jax.random.split(jax.random.fold_in(key, index), BLOCK)).x
        counts = jnp.arange(BLOCK) < samples - index * BLOCK
        slope, curvature = jax.jvp(contrast.derivative, (x @ w,), (jnp.ones(BLOCK, w.dtype),))
        slope = jnp.where(counts, slope, 0.0)
        curvature = jnp.where(counts, curvature, 0.0)
        return sums[0] + slope @ x, sums[1] + jnp.sum(curvature)

    blocks = -(-samples // BLOCK)
    towards, shrink = jax.lax.fori_loop(0, blocks, add, (jnp.zeros_like(w), jnp.zeros((), w.dtype)))
    moved = towards - shrink * w
    return moved / jnp.linalg.norm(moved)
