"""The verb: train finite networks on a problem and record their order parameters."""

import os
import time
from collections.abc import Iterable

import jax
import numpy as np
import xarray as xr

from sims.inputs import (  # noqa: F401 (they register their inputs)
    bank as sample_bank,
    gaussian_equivalent,
    hidden_manifold,
    mixture,
    teacher_student,
)
from sims.inputs.source import SetUp, set_up
from sims.reduced import training as reduced_training
from sims.reduced.training import ReducedTraining
from sims.running import checkpoints, hosts
from sims.running.devices import place
from sims.running.groups import groups_that_fit, paths_of, run_groups
from sims.running.loop import NEVER, Training
from sims.running.methods import METHODS, chosen
from sims.weights import training as weights_training
from sims.weights.training import TEST_BLOCK, WeightsTraining
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.own_classes import unknown_error
from teacherstudent.errors import DivergenceError
from teacherstudent.problem import Problem
from teacherstudent.results.datasets import dataset, in_the_words_of
from teacherstudent.results.files import check_writable
from teacherstudent.results.floor import error_floor
from teacherstudent.starts import Start, check_rank, spectral_start
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import MixtureTask, StructuredTask, TeacherTask

HELD_OUT = (
    4000  # samples that overlaps are measured on, where the covariances of the inputs are not known
)


@arguments.checked
def simulate(
    problem: Problem,
    start: Start,
    times,
    *,
    N: int | None = None,
    seeds: int | Iterable[int] = 8,
    method: str = "weights",
    dtype: str = "float32",
    test_samples: int = 0,
    bank=None,
    device: str | None = None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Train finite networks on `problem` from `start`: the finite-N counterpart of `integrate`.

    - `start`: every seed gets weights of its own with exactly these overlaps or, if the start came
      from `start_from_weights`, exactly those weights.  On a hidden manifold, a seed without given
      weights has a manifold of its own.
    - `times`: increasing times t = updates / N at which to record (t = updates with
      `Problem.batch_ratio`).  Recorded is the nearest whole number of updates, and the coordinate
      `time` of the answer is that number over N.
    - `N`: the input dimension; may be left out if the start has weights or the task's arrays fix
      it.
    - `seeds`: a number S (seeds 0..S-1) or the seeds themselves; under `jax.distributed` each
      process runs its share of them and returns the answer for all.  Each is a random stream of its
      own: its numbers do not depend on which others run beside it (on structured inputs up to the
      rounding of a matrix product).
    - `method`: "weights" trains the full weight vectors.  "reduced" runs the exact Markov chain of
      the overlaps at this N, of the same law and at a cost that does not depend on N: for isotropic
      inputs (teacher-student, spikes, mixtures) and rules that see no coordinate axes (SGD,
      SphericalSGD, HeavyBall, AGD, Fromage).  "auto" takes it where it is exact.
    - `dtype`: "float32" or "float64" for weights and inputs; overlaps are always summed in float64.
    - `test_samples`: also record `test_error`, half the mean squared error against noise-free
      labels on this many held-out samples (rounded up to thousands; the same ones at each time),
      and its standard error `test_error_se`; with two classes, `test_loss` and `test_accuracy` with
      their standard errors.
    - `bank`: a pair (x, c) of inputs (samples, N) and latents (samples, D): each step draws from
      these samples, with replacement, instead of fresh inputs; label noise is fresh at each draw.
      The inputs are as the generator makes them: the task's mean is subtracted.  The last
      `test_samples` (not rounded) are held out.
    - `device`: "cpu" or "gpu", all of this kind with the seeds shared out over them, or one of
      them, "gpu:1"; JAX's default kind unless given.  Seeds that do not fit the memory together run
      in groups, one after the other.
    - `checkpoint`: a file that keeps the state of a long run, about once a minute; if it exists,
      the run goes on from it.
    - `progress`: a progress bar; None shows one where the error stream is a terminal.

    Returns an `xarray.Dataset` with Q, R, T, v and eps_g along `seed` and `time`, with two classes
    Q, m, v, b and the expected `loss`.  Q and R are measured with the exact covariances of the
    inputs or, where these are not known (a generator, several layers), on held-out samples: 4000
    unless `test_samples` says more, at the cost of as many steps for each recorded time.  eps_g is
    the closed form at the measured overlaps, which supposes Gaussian fields; where `test_error`
    differs from it, they are not Gaussian, and `compare` says so.  Memory: a hidden manifold
    without given weights holds about 20 N D + 16 N^2 bytes for each seed.

    Raises ValueError for input that does not fit, before any work; `DivergenceError` with the time
    at which a network stopped being finite, or at which its error was recorded beyond 1e6 (of
    max(1, its start)), and in `partial` the records before it.  Weights beyond that bound whose
    error is not, as where activations saturate, are told in a warning.
    """
    times = checks.times(times)
    checks.one_of("method", method, METHODS)
    checks.one_of("dtype", dtype, ("float32", "float64"))
    test_samples = checks.integer("test_samples", test_samples, minimum=0, maximum=10**8)
    _check_single(problem, start)
    problem.check_start(start)
    N = _dimension(N, problem, start)
    numbers = checks.seeds(seeds)
    mine = hosts.share(numbers)
    devices = place(device)
    if checkpoint is not None:
        checkpoint = checks.path("checkpoint", checkpoint)
        check_writable(checkpoint, force=True)
        checkpoint = hosts.path_of_process(checkpoint)
    steps = _recorded_steps(times, problem.updates_per_time(N))
    problem.samples(N)  # says so if there are none
    problem.rule.check_dimension(N)
    whole_inputs = "bank" if bank is not None else "test_samples" if test_samples else ""
    method = chosen(method, problem, start, N, whole_inputs)
    if isinstance(start, OrderParameters) and isinstance(problem.task, StructuredTask):
        spectral_start(problem, start)  # says so if such a start has no meaning on these inputs
    samples = _bank(problem, bank, N, test_samples)
    sharing = hosts.processes_here()
    began = time.perf_counter()
    report = {"method": method, "N": N, "dtype": dtype, "device": str(devices)}

    def told(training: Training) -> Training:
        report["program"] = training.program
        return training

    with jax.enable_x64(True), jax.default_device(devices.devices[0]):
        if method == "reduced":
            report |= {"overlaps": "exact"}
            groups = groups_that_fit(
                mine,
                reduced_training.bytes_needed(problem, N, dtype, devices.platform),
                devices,
                N,
                sharing,
            )

            def begin(group: list[int]) -> Training:
                assert isinstance(start, OrderParameters)
                return told(ReducedTraining(problem, [start], N, group, steps, dtype, devices))
        else:
            groups = groups_that_fit(
                mine, weights_training.bytes_needed(problem, start, N, dtype), devices, N, sharing
            )
            first = set_up(problem.task, start, N, groups[0])
            _check_network(problem, start, first)
            error_unknown = unknown_error(problem.task, problem.student.activation)
            test_samples = _test_samples(test_samples, first, samples, error_unknown is not None)
            of_step = problem.rule.gradients * problem.samples(N)
            banks = None if samples is None else sample_bank.divided(samples, test_samples, of_step)
            known = "held-out samples" if first.covariances is None else "exact covariances"
            report |= {"test_samples": test_samples, "overlaps": known}
            report |= (
                {} if error_unknown is None else {"error": f"held-out samples: {error_unknown}"}
            )
            report |= {} if bank is None else {"bank": sample_bank.mark(bank)}

            def begin(group: list[int]) -> Training:
                networks = first if group is groups[0] else set_up(problem.task, start, N, group)
                return told(
                    WeightsTraining(
                        problem, networks, group, steps, dtype, test_samples, banks, devices
                    )
                )

        try:
            with hosts.all_or_none():
                rows = run_groups(groups, begin, checkpoint, progress)
        except DivergenceError as error:
            if error.partial is not None:
                error.partial = _labelled(problem, start, mine, steps, error.partial, report)
            raise
        rows = hosts.gathered(rows)
        for path in paths_of(groups, checkpoint):
            checkpoints.drop(path)
    report["seconds"] = round(time.perf_counter() - began, 3)
    return _labelled(problem, start, numbers, steps, rows, report)


def _bank(problem: Problem, bank, N: int, test_samples: int) -> sample_bank.Bank | None:
    if bank is None:
        return None
    if isinstance(problem.task, MixtureTask):
        raise ValueError(
            f"bank holds inputs with latents for a teacher, but {type(problem.task).__name__} has "
            "none; leave it out."
        )
    return sample_bank.checked(
        bank, N, problem.task.latent_dimension(N), test_samples, problem.teacher.input_mean
    )


def _check_network(problem: Problem, start: Start, networks: SetUp) -> None:
    """Weights of a start must have its overlaps on the inputs of this task; R tells, since Phi is
    always known exactly.
    """
    if start.network is None:
        return
    remedy = "make the start with this problem, start_from_weights(problem, w=, v=, w_star=)."
    w, w_star = start.network
    D = problem.task.latent_dimension(w.shape[-1])
    if w_star.shape[-1] != D:
        raise ValueError(
            f"the start's w_star has shape {w_star.shape}, but these inputs have D = {D} latents; "
            f"{remedy}"
        )
    if networks.covariances is None:
        return
    R = networks.covariances.overlaps(w, w_star)[1]
    gap = np.abs(R - start.R).max()
    if gap > 1e-5 * max(1.0, np.abs(R).max()):
        raise ValueError(
            "the start is one for other inputs: here its weights have an R that differs by "
            f"{gap:.2g}; {remedy}"
        )


def _test_samples(
    asked: int, networks: SetUp, bank: sample_bank.Bank | None, error_unknown: bool
) -> int:
    """As many as asked for, and enough to measure overlaps, or the error, where that is how they
    are known.
    """
    measures = error_unknown or networks.covariances is None
    if bank is not None:
        if not networks.shared:
            raise ValueError(
                "bank holds one set of inputs, but this start gives every seed its own; start "
                "from weights."
            )
        return asked or (min(HELD_OUT, len(bank.x) // 5) if measures else 0)
    enough = HELD_OUT if measures else 0
    return -(-max(asked, enough) // TEST_BLOCK) * TEST_BLOCK


def _check_single(problem: Problem, start: Start) -> None:
    if problem.sweeps or start.batch:
        what = (
            f"a sequence for {', '.join(problem.sweeps)}" if problem.sweeps else "a batch of starts"
        )
        raise ValueError(
            f"simulate runs one problem from one start, but was given {what}; call it once for "
            "each value."
        )


def _dimension(N: int | None, problem: Problem, start: Start) -> int:
    own = problem.task.input_dimension if start.network is None else int(start.network.w.shape[-1])
    size = own if N is None else N
    if size is None:
        raise ValueError("N is missing; give the input dimension of the networks.")
    if own not in (None, size):
        holder = "the task has inputs" if start.network is None else "the start has weights"
        raise ValueError(
            f"N = {N}, but {holder} with N = {own}; leave N out, or use another start or task."
        )
    size = checks.integer("N", size)
    if start.network is None:
        check_rank(start, size)
    problem.task.latent_dimension(size)
    return int(size)


def _recorded_steps(times: np.ndarray, per_time: int) -> list[int]:
    """The nearest whole numbers of updates, each once."""
    if times[-1] * per_time >= NEVER:
        raise ValueError(
            f"times[-1] = {times[-1]:g} is {times[-1] * per_time:.2g} updates at N = {per_time}; "
            f"at most {NEVER} are possible."
        )
    return np.unique(np.rint(times * per_time).astype(np.int64)).tolist()


def _labelled(
    problem: Problem,
    start: Start,
    seeds: list[int],
    steps: list[int],
    rows: list[dict],
    report: dict,
) -> xr.Dataset:
    recorded = np.asarray(steps[: len(rows)]) / problem.updates_per_time(report["N"])
    values = {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}
    values["T"] = np.asarray(start.T)
    if isinstance(problem.task, TeacherTask):
        floor = error_floor(problem, values["Q"], values["T"], values["v"], values["eps_g"])
        report = report | {"eps_g_floor": floor}
    return dataset(
        "simulation",
        problem,
        start,
        coordinates={"seed": np.asarray(seeds), "time": recorded},
        variables=in_the_words_of(problem.task, values),
        leading=("seed",),
        report=report,
    )
