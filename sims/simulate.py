"""The verb: train finite networks on a problem and record their order parameters."""

import time
from collections.abc import Iterable

import jax
import numpy as np
import xarray as xr

import sims.teacher_student  # noqa: F401 (registers how the task draws samples)
from sims.training import Begin, Training
from sims.weights import NEVER
from teacherstudent import checks
from teacherstudent.errors import DivergenceError
from teacherstudent.order_parameters import OrderParameters
from teacherstudent.problem import Problem
from teacherstudent.results import check_writable, dataset
from teacherstudent.starts import check_dimension, orthonormal_rows, weights_with_overlaps


def simulate(
    problem: Problem,
    start: OrderParameters,
    times,
    *,
    N: int | None = None,
    seeds: int | Iterable[int] = 8,
    method: str = "weights",
    dtype: str = "float32",
    test_samples: int = 0,
    device: str | None = None,
    checkpoint: str | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Train finite networks on `problem` from `start`: the finite-N counterpart of `integrate`.

    - `start`: every seed gets weights of its own with exactly these overlaps or, if the start came from
      `start_from_weights`, exactly those weights.
    - `times`: increasing times t = updates / N at which to record.  Recorded is the nearest whole number of updates, and
      the coordinate `time` of the answer is that number over N.
    - `N`: the input dimension; may be left out if the start has weights.
    - `seeds`: a number S (seeds 0..S-1) or the seeds themselves.  Each is a random stream of its own: its numbers do not
      depend on which others run beside it.
    - `method`: "weights" trains the full weight vectors.
    - `dtype`: "float32" or "float64" for weights and inputs; overlaps are always summed in float64.
    - `test_samples`: also record `test_error`, half the mean squared error against noise-free labels, on this many
      held-out samples (rounded up to thousands).
    - `device`: "cpu", "gpu", ...; JAX's default unless given.
    - `checkpoint`: a file that keeps the state of a long run, about once a minute; if it exists, the run goes on from it.
    - `progress`: a progress bar; None shows one where the error stream is a terminal.

    Returns an `xarray.Dataset` with Q, R, T, v and eps_g along `seed` and `time`; eps_g is the closed form at the measured
    overlaps.

    Raises ValueError for input that does not fit, before any work; `DivergenceError` with the time at which a network
    stopped being finite and, in `partial`, the records before it.
    """
    times = checks.times(times)
    checks.one_of("method", method, ("weights",))
    checks.one_of("dtype", dtype, ("float32", "float64"))
    test_samples = checks.integer("test_samples", test_samples, minimum=0)
    _check_single(problem, start)
    problem.check_start(start)
    N = _dimension(N, start)
    numbers = _seeds(seeds)
    place = checks.device(device)
    if checkpoint is not None:
        check_writable(checkpoint, force=True)
    steps = _recorded_steps(times, N)
    report = {"method": method, "N": N, "dtype": dtype, "device": str(place), "test_samples": test_samples}
    began = time.perf_counter()
    with jax.enable_x64(True), jax.default_device(place):
        begin = _begin(start, N, numbers)
        training = Training(problem, begin, numbers, steps, dtype, test_samples)
        try:
            training.finish(checkpoint, progress)
        except DivergenceError as error:
            error.partial = _labelled(problem, start, begin, training, report) if training.rows else None
            raise
    report["seconds"] = round(time.perf_counter() - began, 3)
    return _labelled(problem, start, begin, training, report)


def _check_single(problem: Problem, start: OrderParameters) -> None:
    if problem.sweeps or start.batch:
        what = f"a sequence for {', '.join(problem.sweeps)}" if problem.sweeps else "a batch of starts"
        raise ValueError(
            f"simulate runs one problem from one start, but was given {what}; call it once for each value."
        )


def _dimension(N: int | None, start: OrderParameters) -> int:
    own = None if start.weights is None else int(start.weights.w.shape[-1])
    size = own if N is None else N
    if size is None:
        raise ValueError("N is missing; give the input dimension of the networks.")
    if own not in (None, size):
        raise ValueError(f"N = {N}, but the start has weights with N = {own}; leave N out, or drop the weights.")
    check_dimension(size, start.students, start.teachers)
    return int(size)


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    if not isinstance(seeds, Iterable):
        return list(range(checks.integer("seeds", seeds)))
    return checks.seeds(list(seeds))


def _recorded_steps(times: np.ndarray, N: int) -> list[int]:
    """The nearest whole numbers of updates, each once."""
    if times[-1] * N >= NEVER:
        raise ValueError(
            f"times[-1] = {times[-1]:g} is {times[-1] * N:.2g} updates at N = {N}; at most {NEVER} are possible."
        )
    return np.unique(np.rint(times * N).astype(np.int64)).tolist()


def _begin(start: OrderParameters, N: int, seeds: list[int]) -> Begin:
    """Each seed's weights at the start: the given ones, or own ones along a random frame."""
    if start.weights is not None:
        rows = [start.weights] * len(seeds)
    else:
        fields = start.students + start.teachers
        frames = (orthonormal_rows(np.random.default_rng(seed).standard_normal((fields, N))) for seed in seeds)
        rows = [weights_with_overlaps(start, frame) for frame in frames]
    w, w_star = (np.stack(parts) for parts in zip(*rows, strict=True))
    return Begin(w=w, v=np.tile(np.asarray(start.v), (len(seeds), 1)), w_star=w_star)


def _labelled(problem: Problem, start: OrderParameters, begin: Begin, training: Training, report: dict) -> xr.Dataset:
    recorded = np.asarray(training.steps[: len(training.rows)]) / training.N
    values = {name: np.stack([row[name] for row in training.rows], axis=1) for name in training.rows[0]}
    values["T"] = np.asarray(start.T)
    if start.weights is not None:
        values |= {"w_start": begin.w[0], "w_star": begin.w_star[0]}
    return dataset(
        "simulation",
        problem,
        start,
        coordinates={"seed": np.asarray(training.seeds), "time": recorded},
        variables=values,
        leading=("seed",),
        report=report,
    )
