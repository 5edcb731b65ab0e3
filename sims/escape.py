"""Escape from a random start: how many samples a network needs before it sees a direction.

Weights drawn at random have overlaps of order N^(-1/2) with the fixed directions of a task:

    alpha_a = w . u_a / (|w| |u_a|)

The number n of updates until |alpha_a| exceeds a threshold grows as N, N log N or N^(k - 1), k the
information exponent, if the learning rate falls as N^(-(k - 2) / 2) for k > 2.  The order-parameter
equations, with t = n / N = O(1) and a fixed learning rate, see of it only the plateau.

Ben Arous, Gheissari & Jagannath, JMLR 22 (2021); Bardone & Goldt, ICML 2024 (arXiv:2404.08602).
"""

import os
import time
from collections.abc import Callable, Iterable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from sims.inputs.mixture import spiked_source
from sims.inputs.source import Begin, Isotropic, SetUp
from sims.methods import METHODS, chosen
from sims.reduced.chain import overlaps
from sims.reduced.training import ReducedTraining
from sims.running.devices import Place, place
from sims.running.escape_checkpoints import Escaped, EscapeKeeper, Seen
from sims.running.groups import groups_that_fit
from sims.running.loop import NEVER, Pace, Training
from sims.weights.training import WeightsTraining, bytes_needed
from teacherstudent.checking import arguments, checks
from teacherstudent.extensions.own_classes import changed_law
from teacherstudent.interruptions import deferred
from teacherstudent.problem import Problem
from teacherstudent.progress import STEPS, progress_bar
from teacherstudent.results.atomic_files import check_writable
from teacherstudent.results.datasets import described
from teacherstudent.schedules import named_schedules
from teacherstudent.starts import orthonormal_rows
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.streams import WEIGHTS, stream

# The overlaps are looked at after numbers of steps that grow by this ratio: the resolution of an
# escape step.
RATIO = 1.02
BOOTSTRAP = 400  # resamplings of the seeds for the error of an exponent


@arguments.checked
def escape(
    problem: Problem,
    N: int | Iterable[int],
    *,
    seeds: int | Iterable[int] = 32,
    threshold=0.5,
    max_steps: int = 1_000_000,
    learning_rate_exponent=0.0,
    aligned: bool = False,
    enough=0.75,
    method: str = "auto",
    dtype: str = "float32",
    device: str | None = None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Train networks from random weights until they see the task's directions, for one or several
    input dimensions N.

        n_a = first step with max_k |w_k . u_a| / (|w_k| |u_a|) > threshold

    Every seed draws its own weights, uniform on |w_k|^2 = N, and its own directions; the readout is
    1, biases are 0.  The chain of the overlaps begins from overlaps with the law of theirs, so that
    it never holds N numbers.

    - `N`: input dimensions.
    - `seeds`: a number S (seeds 0..S-1) or the seeds themselves.
    - `threshold`: between 0 and 1.
    - `max_steps`: where to stop a size that does not escape.
    - `learning_rate_exponent`: p; networks of size N train with (rates of the rule) N^p.
      `escape_scale` says which p an information exponent needs.
    - `aligned`: start with w_k . u_1 > 0 (the side from which an odd information exponent escapes).
    - `method`: "weights", "reduced" (the exact chain of the overlaps, at a cost that does not
      depend on N), or "auto", which takes it where it is exact.
    - `enough`: stop a size when this fraction of the seeds has escaped along every direction: 0.75
      fixes median and quartiles.
    - `checkpoint`: a file that keeps the state of a long run, about once a minute and where it is
      interrupted (Ctrl-C); if it exists, the run goes on from it.  It is deleted when the run is
      complete.
    - `progress`: a progress bar; None shows one on a terminal and in a notebook.

    Returns an `xarray.Dataset` with `escape_step` (N, seed, direction), nan where a seed has not
    escaped, its `median_step` (nan if half of the seeds have not), the overlaps `final_overlap` at
    the last step, `learning_rate` (N), and with several N `exponent` (direction), the slope of log
    median against log N with its `exponent_error` from resampled seeds.  Steps are resolved to 2
    percent.

    Raises ValueError for input that does not fit, for a task without classes and for numbers that
    change with time;
    `DivergenceError` if a network stops being finite.

    Ben Arous, Gheissari & Jagannath, JMLR 22 (2021); Bardone & Goldt, ICML 2024 (arXiv:2404.08602).

    >>> import teacherstudent as ts
    >>> task, student = ts.SpikedCumulant(5.0, "rademacher"), ts.Student(1, "quadratic")
    >>> problem = ts.Problem(task, student, ts.SphericalSGD(0.1), loss="correlation")
    >>> escaped = ts.escape(problem, 20, seeds=2, max_steps=50, progress=False)
    >>> escaped.escape_step.dims
    ('N', 'seed', 'direction')
    """
    _check_task(problem)
    sizes = [checks.integer("N", one) for one in checks.entries("N", N)]
    numbers = checks.seeds(seeds)
    threshold = _fraction("threshold", threshold)
    enough = _fraction("enough", enough)
    max_steps = checks.integer("max_steps", max_steps)
    power = checks.single("learning_rate_exponent", learning_rate_exponent, minimum=-np.inf)
    checks.one_of("dtype", dtype, ("float32", "float64"))
    checks.one_of("method", method, METHODS)
    checks.one_of("aligned", aligned, (True, False))
    _check_sizes(problem, sizes, max_steps)
    devices = place(device)
    began = time.perf_counter()
    rows: list[Escaped] = []
    methods: list[str] = []
    programs: list[str] = []
    settings = [sizes, numbers, threshold, max_steps, power, aligned, enough, method, dtype]
    keeper = EscapeKeeper(_checked_path(checkpoint), problem, settings)
    with (
        jax.enable_x64(True),
        jax.default_device(devices.devices[0]),
        keeper.kept_when_interrupted,
    ):
        for number, size in enumerate(sizes):
            scaled = _with_rates(problem, float(size) ** power)
            start = _random_overlaps(problem, size, numbers[0], aligned)
            methods.append(chosen(method, scaled, start, size))
            finished = keeper.finished(number)
            if finished is None:
                watch = WATCHED[methods[-1]]
                training, look = watch(scaled, size, numbers, aligned, max_steps, dtype, devices)
                limits = (threshold, enough, max_steps)
                row = _until_escape(training, look, *limits, progress, keeper)
                finished = row, training.program
                keeper.close(number, *finished)
            rows.append(finished[0])
            programs.append(finished[1])
    keeper.finish()
    report = {
        "method": _one_if_same(methods),
        "program": _one_if_same(programs),
        "dtype": dtype,
        "device": str(devices),
        "threshold": threshold,
        "enough": enough,
        "max_steps": max_steps,
        "learning_rate_exponent": power,
        "aligned": aligned,
        "seconds": round(time.perf_counter() - began, 3),
    }
    return _labelled(problem, sizes, numbers, rows, report)


def _checked_path(checkpoint: str | os.PathLike | None) -> str | None:
    """The path of a checkpoint that can be written."""
    if checkpoint is None:
        return None
    path = checks.path("checkpoint", checkpoint)
    check_writable(path, force=True)
    return os.fspath(path)


def _one_if_same(names: list[str]) -> str | list[str]:
    """What the sizes used: one name if it is the same for all of them."""
    if len(set(names)) == 1:
        return names[0]
    return names


def _fraction(name: str, value) -> float:
    number = checks.positive(name, value)
    if number > 1:
        raise ValueError(f"{name} = {number:g} is not allowed; give a number above 0, at most 1.")
    return number


def _check_task(problem: Problem) -> None:
    """Raise ValueError unless this is one problem on a task whose law is that of its components."""
    changed = changed_law(problem.classes)
    if changed is not None:
        raise ValueError(
            f"{changed}; escape draws inputs from the components of a task, and labels them by "
            "their class."
        )
    if problem.changes_with_time:
        named = [("task", problem.task), ("rule", problem.rule)]
        places = [f"{where}.{field}" for where, one in named for field, _ in named_schedules(one)]
        raise ValueError(
            f"{places[0]} changes with time, but escape lasts N^k updates, with times of its own "
            "for each size; give a number."
        )
    if problem.sweeps:
        raise ValueError(
            f"escape takes one problem, but {', '.join(problem.sweeps)} is a sequence; call it "
            "for each value."
        )


def _check_sizes(problem: Problem, sizes: list[int], max_steps: int) -> None:
    needed = problem.student.width + problem.task.directions
    if len(set(sizes)) < len(sizes) or min(sizes) < needed:
        raise ValueError(f"N = {sizes}: give different sizes of at least K + r = {needed}.")
    if max_steps >= NEVER:
        raise ValueError(f"max_steps = {max_steps} is not possible; give less than {NEVER}.")


def _with_rates(problem: Problem, factor: float) -> Problem:
    """The problem with every learning rate of its rule times a factor."""
    rates = ("learning_rate", "readout_learning_rate", "bias_learning_rate")
    names = [name for name in rates if getattr(problem.rule, name, None) is not None]
    if not names:  # AGD has none
        return problem

    def rates_of(one: Problem) -> list:
        return [getattr(one.rule, name) for name in names]

    return eqx.tree_at(rates_of, problem, [factor * rate for rate in rates_of(problem)])


def _random_networks(problem: Problem, N: int, seeds: list[int], aligned: bool) -> SetUp:
    """Weights and directions of each seed's own."""
    K = problem.student.width
    r = problem.task.directions
    w = np.empty((len(seeds), K, N))
    directions = np.empty((len(seeds), r, N))
    for number, seed in enumerate(seeds):
        rng = stream(seed, WEIGHTS)
        directions[number] = np.sqrt(N) * orthonormal_rows(rng.standard_normal((r, N)))
        rows = rng.standard_normal((K, N))
        w[number] = np.sqrt(N) * rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if aligned:
        w *= np.where(np.einsum("skn,sn->sk", w, directions[:, 0]) < 0, -1.0, 1.0)[..., None]
    begin = Begin(w, np.ones((len(seeds), K)), directions, np.zeros((len(seeds), K)))
    return SetUp(begin, spiked_source(problem.classes, directions), Isotropic(), shared=False)


def _random_overlaps(problem: Problem, N: int, seed: int, aligned: bool) -> OrderParameters:
    """The overlaps of such weights, without the weights.

    Before they are brought to length one, their rows are N(0, 1) along each of the r directions.
    What is left of all rows has the Gram matrix L L^T of N - r degrees of freedom, L lower
    triangular with

        L_ij ~ N(0, 1) for i > j,   L_ii ~ chi_(N - r - i)
    """
    K = problem.student.width
    r = problem.task.directions
    rng = stream(seed, WEIGHTS, N)
    along = rng.standard_normal((K, r))
    left = np.tril(rng.standard_normal((K, K)), -1)
    np.fill_diagonal(left, np.sqrt(rng.chisquare(N - r - np.arange(K))))
    rows = np.hstack([along, left])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if aligned:
        rows *= np.where(rows[:, :1] < 0, -1.0, 1.0)
    return OrderParameters(rows @ rows.T, m=rows[:, :r], v=np.ones(K), b=np.zeros(K))


# A simulation, and a function that looks at max_k |w_k . u_a| / (|w_k| |u_a|) of every seed.
Watched = tuple[Training, Callable[[], np.ndarray]]


def _watched_chain(
    problem: Problem,
    N: int,
    seeds: list[int],
    aligned: bool,
    max_steps: int,
    dtype: str,
    devices: Place,
) -> Watched:
    starts = [_random_overlaps(problem, N, seed, aligned) for seed in seeds]
    chain = ReducedTraining(problem, starts, N, seeds, [max_steps], dtype, devices)

    def look() -> np.ndarray:
        Q, m = overlaps(chain.basis, chain.run)[:2]
        return np.asarray(_from_overlaps(Q, m))[: len(seeds)]

    return chain, look


def _watched_weights(
    problem: Problem,
    N: int,
    seeds: list[int],
    aligned: bool,
    max_steps: int,
    dtype: str,
    devices: Place,
) -> Watched:
    needed = bytes_needed(problem, _random_overlaps(problem, N, seeds[0], aligned), N, dtype)
    together = len(groups_that_fit(seeds, needed, devices, N)[0])
    if together < len(seeds):
        raise ValueError(
            f"seeds: the weights of {len(seeds)} networks with N = {N} do not fit the memory of "
            f"{devices} together, as an escape needs them; give at most {together}, or a rule for "
            "which method = 'reduced' is exact."
        )
    networks = _random_networks(problem, N, seeds, aligned)
    training = WeightsTraining(problem, networks, seeds, [max_steps], dtype, 0, place=devices)

    def look() -> np.ndarray:
        return np.asarray(_overlaps(training.run.student.w, training.w_star))[: len(seeds)]

    return training, look


WATCHED = {"reduced": _watched_chain, "weights": _watched_weights}


@jax.jit
def _from_overlaps(
    Q: Float[Array, "seeds students students"], m: Float[Array, "seeds students directions"]
) -> Float[Array, "seeds directions"]:
    """max_k |m_ka| / sqrt Q_kk."""
    return jnp.max(jnp.abs(m) / jnp.sqrt(jnp.diagonal(Q, axis1=1, axis2=2))[..., None], axis=1)


def _until_escape(
    training: Training,
    look: Callable[[], np.ndarray],
    threshold: float,
    enough: float,
    max_steps: int,
    progress: bool | None,
    keeper: EscapeKeeper,
) -> Escaped:
    """Train, looking at the overlaps at steps that grow geometrically.

    Between two looks there may be several calls, so that an interruption need not wait long.
    """
    seen = keeper.turn_to(training)
    overlap = look()
    if seen is None:
        seen = Seen(np.where(overlap > threshold, 0.0, np.nan), training.done)
    step, looked = seen
    pace = Pace()
    label = f"N = {training.N}, {len(training.seeds)} networks"
    with progress_bar(max_steps, progress, label=label, initial=training.done, form=STEPS) as bar:
        while looked < max_steps and np.mean(np.isfinite(step).all(axis=1)) < enough:
            target = min(max_steps, max(looked + 1, int(looked * RATIO)))
            while training.done < target:
                count = pace.count(training.done, target, training.block)
                began = time.perf_counter()
                with deferred():
                    training.take_steps(count)
                    keeper.reach(step, looked)
                pace.measure(count, time.perf_counter() - began)
                bar.reach(training.done)
            overlap = look()
            step = np.where(np.isnan(step) & (overlap > threshold), training.done, step)
            looked = training.done
            keeper.reach(step, looked)
    return Escaped(step, overlap)


@jax.jit
def _overlaps(
    w: Float[Array, "seeds students inputs"], directions: Float[Array, "seeds directions inputs"]
) -> Float[Array, "seeds directions"]:
    """max_k |w_k . u_a| / (|w_k| |u_a|)."""
    cosines = jnp.einsum("skn,san->ska", _unit(w), _unit(directions))
    return jnp.max(jnp.abs(cosines), axis=1)


def _unit(rows: Float[Array, "*rows inputs"]) -> Float[Array, "*rows inputs"]:
    return rows / jnp.linalg.norm(rows, axis=-1, keepdims=True)


def _labelled(
    problem: Problem, sizes: list[int], seeds: list[int], rows: list[Escaped], report: dict
) -> xr.Dataset:
    step = np.stack([row.step for row in rows])
    final = np.stack([row.final for row in rows])
    eta = float(getattr(problem.rule, "learning_rate", np.nan))
    rates = [eta * float(N) ** report["learning_rate_exponent"] for N in sizes]
    all_dims = ("N", "seed", "direction")
    first_update = _described("first update beyond the threshold", "$n_a$")
    median = _described("median over seeds of the escape step", r"$\tilde n_a$")
    overlap = _described("overlap at the last step", r"$|\alpha_a|$")
    rate = _described("learning rate of the first layer", r"$\eta$")
    data = {
        "escape_step": (all_dims, step, first_update),
        "median_step": (("N", "direction"), _median(step), median),
        "final_overlap": (all_dims, final, overlap),
        "learning_rate": (("N",), rates, rate),
    }
    if len(sizes) > 1:
        exponent, error = _exponents(np.asarray(sizes, float), step)
        slope = _described("slope of log median against log N", "$p$")
        uncertainty = _described("standard error of the slope", r"$\delta p$")
        data["exponent"] = (("direction",), exponent, slope)
        data["exponent_error"] = (("direction",), error, uncertainty)
    coordinates = {
        "N": ("N", sizes, _described("input dimension", "$N$")),
        "seed": ("seed", seeds, _described("seed of the random stream", "seed")),
    }
    return xr.Dataset(data, coords=coordinates, attrs=described("escape", problem, report))


def _described(long_name: str, symbol: str) -> dict[str, str]:
    return {"long_name": long_name, "symbol": symbol, "units": "1"}


def _median(
    step: Float[np.ndarray, "sizes seeds directions"],
) -> Float[np.ndarray, "sizes directions"]:
    """Seeds that have not escaped count as later than all others."""
    middle = np.median(np.where(np.isnan(step), np.inf, step), axis=1)
    return np.where(np.isfinite(middle), middle, np.nan)


def _exponents(
    sizes: Float[np.ndarray, " sizes"], step: Float[np.ndarray, "sizes seeds directions"]
):
    """The least-squares slope of log median against log N, and its standard deviation over
    resampled seeds.
    """
    x = np.log(sizes) - np.log(sizes).mean()

    def slope(steps) -> Float[np.ndarray, " directions"]:
        return x @ np.log(np.maximum(_median(steps), 1.0)) / (x @ x)

    rng = np.random.default_rng(0)
    chosen = rng.integers(step.shape[1], size=(BOOTSTRAP, len(sizes), step.shape[1], 1))
    resampled = [slope(np.take_along_axis(step, one, axis=1)) for one in chosen]
    return slope(step), np.std(resampled, axis=0)
