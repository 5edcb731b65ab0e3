"""The networks of a two-layer regression or classification (`Problem`): trained, and their order
parameters recorded.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr

from sims.inputs import (  # noqa: F401 (they register their inputs)
    bank as sample_bank,
    gaussian_equivalent,
    hidden_manifold,
    mixture,
    shifted_teacher_student,
    teacher_student,
    training_set,
)
from sims.inputs.source import SetUp, each_start, set_up_seeds
from sims.methods import METHODS, chosen
from sims.models.simulation import ModelSimulation
from sims.reduced import training as reduced_training
from sims.reduced.training import ReducedTraining
from sims.running import hosts
from sims.running.callback import Callback, checked_callback
from sims.running.continuing import networks_of
from sims.running.devices import Place, place
from sims.running.groups import Bytes, Records, groups_that_fit, paths_of, run_groups
from sims.running.loop import Training
from sims.running.phases import PhasedTraining
from sims.running.requests import Request, own_checkpoint, recorded_steps
from sims.weights import training as weights_training
from sims.weights.training import TEST_BLOCK, WeightsTraining
from teacherstudent.checking import checks
from teacherstudent.checking.warn import warn_user
from teacherstudent.errors import DivergenceError
from teacherstudent.extensions.contract_checks import check_simulated
from teacherstudent.extensions.over_time import check_over_time, rule_over_time
from teacherstudent.extensions.own_classes import unknown_error
from teacherstudent.observables.built_in import requested_of_networks
from teacherstudent.observables.observable import Observable
from teacherstudent.observables.thresholds import quantity_of_networks
from teacherstudent.problem import Problem
from teacherstudent.protocol import Protocol, problems_of
from teacherstudent.results import checkpoint_files
from teacherstudent.results.datasets import check_observables, dataset
from teacherstudent.results.floor import error_floor
from teacherstudent.results.phases import with_protocol
from teacherstudent.starts import Start, check_rank, spectral_start
from teacherstudent.states.kept import KeptNetworks
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks.base import with_fields
from teacherstudent.training_set import Dataset

# Where the covariances of the inputs are not known, overlaps are measured on so many samples.
HELD_OUT = 4000


class Run(NamedTuple):
    """What a call of `simulate` asks for, checked; of a protocol the first problem is `problem`."""

    problem: Problem
    protocol: Protocol | None
    start: Start
    N: int
    all_seeds: list[int]
    seeds: list[int]  # of this process
    steps: list[int]  # at which to record
    dtype: str
    test_samples: int
    bank: sample_bank.Bank | None
    data: Dataset | None
    observables: tuple[Observable, ...]
    callback: Callback | None
    devices: Place
    sharing: int  # processes that share the memory of this host
    keep: str | None  # "weights": the networks at the last time go into the answer

    @property
    def kept(self) -> KeptNetworks | None:
        """The networks from which the run goes on, if its start is the state of another one."""
        if isinstance(self.start.kept, KeptNetworks):
            return self.start.kept
        return None

    @property
    def problems(self) -> list[Problem]:
        """The problems of all phases."""
        if self.protocol is not None:
            return self.protocol.problems
        return [self.problem]

    @property
    def begun(self) -> Start:
        """The start of the whole run, from which inputs are set up."""
        if self.kept is not None:
            return self.kept.start
        return self.start

    def of_seeds(self, seeds: list[int]) -> KeptNetworks | None:
        """The networks of some seeds."""
        if self.kept is None:
            return None
        return networks_of(self.kept, seeds)

    @property
    def first_step(self) -> int:
        """The number of updates before this run."""
        if self.kept is not None:
            return self.kept.step
        return round(self.start.time * self.problem.updates_per_time(self.N))


class Method(NamedTuple):
    """A way to simulate: the memory that it takes, and how the training of some seeds begins."""

    bytes_needed: Callable[[Run], Bytes]
    begin: Callable[[Run, dict, list[int]], Training]


class TwoLayerSimulation:
    """Finite networks on a `Problem`, as the verb `simulate` asks for them."""

    def simulate(self, request: Request) -> xr.Dataset:
        """The networks, trained and recorded."""
        return _simulated(request)

    def method_called(self, method: str | None) -> str:
        """The method of a name."""
        return method or "weights"

    def check(self, problem: Problem, N: int | None, method: str) -> None:
        """Raise ValueError for inputs of N dimensions that the task does not have."""
        if N is not None:
            problem.task.latent_dimension(N)


ModelSimulation.registered[Problem] = TwoLayerSimulation()


def _simulated(request: Request) -> xr.Dataset:
    """The networks of a problem, or of a protocol of several."""
    problem, start, times = request.problem, request.start, request.times
    problems = problems_of(problem)
    first = problems[0]
    for one in problems[1:]:
        one.check_start(start)
    if isinstance(problem, Protocol):
        problem.check_times(start.time, times)
        for phase in problem.phases:
            if phase.threshold is not None:
                quantity_of_networks(phase.threshold, phase.problem)  # ValueError if it is none
    bank, data, keep = request.bank, request.data, request.keep
    N, seeds, method, dtype = _settings(
        start, request.N, request.seeds, request.method, request.dtype
    )
    _check_names(method, dtype, keep)
    _check_one_set(bank, data)
    test_samples = request.test_samples
    if test_samples is None:
        test_samples = 0 if data is None else HELD_OUT
    test_samples = checks.integer("test_samples", test_samples, minimum=0, maximum=10**8)
    _check_single(first)
    requested = [requested_of_networks(request.observables, one).observables for one in problems]
    watcher = checked_callback(request.callback, first)
    N = _dimension(N, first, start, data)
    check_observables(requested[0], first, N)
    all_seeds = checks.seeds(seeds)
    _check_batch(start, all_seeds)
    own_seeds = hosts.share(all_seeds)
    devices = place(request.device)
    checkpoint = own_checkpoint(request.checkpoint)
    steps = recorded_steps(times, first.updates_per_time(N))
    for one in problems:
        _check_problem(one, start, times, N, dtype)
    needs_weights = _needs_weights(bank, data, test_samples, requested[0], keep)
    methods = {chosen(method, one, start, N, needs_weights) for one in problems}
    method = "weights" if "weights" in methods else "reduced"
    run = Run(
        first,
        problem if isinstance(problem, Protocol) else None,
        start,
        N,
        all_seeds,
        own_seeds,
        steps,
        dtype,
        test_samples,
        _bank(first, bank, N, test_samples),
        None,
        requested[0],
        watcher,
        devices,
        hosts.processes_here(),
        keep,
    )
    run = run._replace(data=_training_set(first, run.begun, data, N, all_seeds))
    began = time.perf_counter()
    report = _first_report(run, method, bank, data)
    records = _records(run, requested, report, checkpoint, request.progress)
    last_step = steps[len(records.rows) - 1]
    report["last_step"] = last_step
    if watcher is not None and watcher.stopped:
        report["stopped_by_callback"] = last_step / first.updates_per_time(N)
    report["seconds"] = round(time.perf_counter() - began, 3)
    return _labelled(run, all_seeds, records, report)


def _check_names(method: str, dtype: str, keep: str | None) -> None:
    """Raise ValueError for an unknown name of a setting."""
    checks.one_of("method", method, METHODS)
    checks.one_of("dtype", dtype, ("float32", "float64"))
    if keep is not None:
        checks.one_of("keep", keep, ("weights",))


def _check_problem(problem: Problem, start: Start, times: np.ndarray, N: int, dtype: str) -> None:
    """Raise ValueError for what networks in N dimensions cannot be trained on."""
    problem.samples(N)  # raises ValueError if there are none
    check_over_time(problem, start.time, times[-1], times)
    rule_over_time(problem, start.time, times[-1]).check_dimension(N)
    check_simulated(problem.at(start.time), N, dtype)
    if isinstance(start, OrderParameters) and problem.task.HAS_MODES and start.kept is None:
        spectral_start(problem, start)  # raises ValueError if the start means nothing here


def _first_report(run: Run, method: str, bank, data: Dataset | None) -> dict:
    """What a report says before the run: its settings, and the samples that were given."""
    report = {"method": method, "N": run.N, "dtype": run.dtype, "device": str(run.devices)}
    if bank is not None:
        report["bank"] = sample_bank.mark(bank)
    if run.start.batch:
        report["seeds"] = run.all_seeds
    if run.kept is not None:
        report["continued_at"] = run.start.time
    if data is not None:
        per_step = run.problem.rule.gradients * run.problem.samples(run.N)
        passes = run.steps[-1] * per_step / len(data)
        report["data"] = training_set.mark(data) | {"passes": passes}
    return report


def _settings(start: Start, N, seeds, method, dtype) -> tuple:
    """The settings of a run, those that are not given from the simulation that it goes on from.

    Raises ValueError if they are given and differ from these.
    """
    defaults = {"N": None, "seeds": 8, "method": "weights", "dtype": "float32"}
    if start.batch:
        defaults["seeds"] = start.batch[0]
    given = {"N": N, "seeds": seeds, "method": method, "dtype": dtype}
    kept = start.kept
    if not isinstance(kept, KeptNetworks):
        return tuple(defaults[name] if one is None else one for name, one in given.items())
    for name, one in given.items():
        before = getattr(kept, name)
        same = one is None or one == before
        if name == "seeds" and one is not None:
            same = checks.seeds(one) == list(before)
        if not same:
            raise ValueError(
                f"{name} = {checks.shortened(one)}, but the start is the state of a simulation "
                f"with {name} = {checks.shortened(before)}; leave {name} out to go on from it."
            )
    return tuple(getattr(kept, name) for name in given)


def _records(
    run: Run, requested: list, report: dict, checkpoint: str | None, progress: bool | None
) -> Records:
    """The records of the seeds of all processes; `report` gets what they are known from.

    `requested` are the observables of each phase.
    """
    method = BY_METHOD[report["method"]]
    with jax.enable_x64(True), jax.default_device(run.devices.devices[0]):
        groups = _groups(run, method.bytes_needed(run))

        def begin(group: list[int]) -> Training:
            if run.protocol is None:
                training = method.begin(run, report, group)
            else:
                training = _begin_phases(run, run.protocol, requested, method, report, group)
            report["program"] = training.program
            return training

        try:
            with hosts.all_or_none():
                records = run_groups(groups, begin, checkpoint, progress, run.callback)
        except DivergenceError as error:
            if error.partial is not None:
                error.partial = _labelled(run, run.seeds, Records(error.partial, {}), report)
            raise
        rows = hosts.gathered(records.rows)
        (end,) = hosts.gathered([records.end])
        if len(rows) == len(run.steps):  # one that was stopped may go on
            for path in paths_of(groups, checkpoint):
                checkpoint_files.drop(path)
    return Records(rows, end)


def _begin_phases(
    run: Run,
    protocol: Protocol,
    requested: list,
    method: Method,
    report: dict,
    group: list[int],
) -> Training:
    """The training of some seeds through the phases of a protocol."""

    def begin(number: int, networks: KeptNetworks | None, step: int) -> Training:
        start = run.start
        if networks is not None:
            state = {"kept": networks, "time": step / run.problem.updates_per_time(run.N)}
            start = with_fields(start, state)
        phase = run._replace(
            problem=protocol.problems[number], start=start, observables=requested[number]
        )
        return method.begin(phase, report, group)

    return PhasedTraining(protocol, begin, run.begun, run.first_step)


def _bytes_of_overlaps(run: Run) -> Bytes:
    return reduced_training.bytes_needed(run.problem, run.N, run.dtype, run.devices.platform)


def _begin_overlaps(run: Run, report: dict, group: list[int]) -> Training:
    """The chain of the overlaps."""
    report["overlaps"] = "exact"
    starts = each_start(run.begun, run.all_seeds, group)
    training = ReducedTraining(
        run.problem,
        [one for one in starts if isinstance(one, OrderParameters)],
        run.N,
        group,
        run.steps,
        run.dtype,
        run.devices,
        run.observables,
        run.first_step,
        run.of_seeds(group),
    )
    report["chain_rows"] = len(training.run.triangle)
    return training


def _bytes_of_weights(run: Run) -> Bytes:
    needed = weights_training.bytes_needed(run.problem, run.begun, run.N, run.dtype)
    if run.data is None:
        return needed
    more = weights_training.training_set_bytes(run.data, run.dtype)
    return Bytes(needed.shared + more.shared, needed.of_seed + more.of_seed)


def _begin_weights(run: Run, report: dict, group: list[int]) -> Training:
    """Networks with all their weights."""
    problem, start, N = run.problem, run.begun, run.N
    networks = set_up_seeds(problem.task, start, N, run.all_seeds, group)
    _check_network(problem, start, networks)
    if run.data is not None:
        training_set.check_shared(networks, problem)
    error_unknown = unknown_error(problem.task, problem.student.activation)
    test_samples = _test_samples(run.test_samples, networks, run.bank, error_unknown is not None)
    banks = None
    if run.bank is not None:
        per_step = problem.rule.gradients * problem.samples(N)
        banks = sample_bank.divided(run.bank, test_samples, per_step)
    report["test_samples"] = test_samples
    report["overlaps"] = "exact covariances"
    if networks.covariances is None:
        report["overlaps"] = "held-out samples"
    if error_unknown is not None:
        report["error"] = f"held-out samples: {error_unknown}"
    return WeightsTraining(
        problem,
        networks,
        group,
        run.steps,
        run.dtype,
        test_samples,
        banks,
        run.devices,
        run.observables,
        run.first_step,
        run.of_seeds(group),
        keep=run.keep is not None,
        data=run.data,
    )


BY_METHOD = {
    "reduced": Method(_bytes_of_overlaps, _begin_overlaps),
    "weights": Method(_bytes_of_weights, _begin_weights),
}


def _groups(run: Run, needed: Bytes) -> list[list[int]]:
    return groups_that_fit(run.seeds, needed, run.devices, run.N, run.sharing)


def _needs_weights(bank, data, test_samples: int, observables: Sequence[Observable], keep) -> str:
    """What of the arguments is there for networks with all their weights alone; "" for nothing."""
    if bank is not None:
        return "bank"
    if data is not None:
        return "data"
    if test_samples:
        return "test_samples"
    if keep is not None:
        return f"keep = {keep!r}"
    for one in observables:
        if one.needs_weights:
            return one.title
    return ""


def _bank(problem: Problem, bank, N: int, test_samples: int) -> sample_bank.Bank | None:
    """The argument `bank`, checked."""
    if bank is None:
        return None
    if problem.task.HAS_CLASSES:
        raise ValueError(
            f"bank holds inputs with latents for a teacher, but {type(problem.task).__name__} has "
            "none; leave it out."
        )
    return sample_bank.checked(
        bank, N, problem.task.latent_dimension(N), test_samples, problem.teacher.input_mean
    )


def _check_one_set(bank, data: Dataset | None) -> None:
    """Raise ValueError for two sets of samples."""
    if bank is not None and data is not None:
        raise ValueError(
            "bank and data are both given, samples with fresh noise and samples with fixed "
            "labels; leave one of them out."
        )


def _training_set(
    problem: Problem, start: Start, data: Dataset | None, N: int, seeds: list[int]
) -> Dataset | None:
    """The argument `data`, checked."""
    if data is None:
        return None
    fixed = training_set.prepared(data, problem, start, N)
    if data.order == "in order" and start.network is not None and len(seeds) > 1:
        warn_user(
            f"all {len(seeds)} seeds are one network: they begin from the same weights and see "
            'the same samples in the same order; give seeds=1, or order="shuffled".'
        )
    return fixed


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
    wanted: int, networks: SetUp, bank: sample_bank.Bank | None, error_unknown: bool
) -> int:
    """As many as wanted, and enough to measure overlaps, or the error, where that is how they are
    known.
    """
    measured = error_unknown or networks.covariances is None
    enough = 0
    if measured:
        enough = HELD_OUT
    if bank is not None:
        if not networks.shared:
            raise ValueError(
                "bank holds one set of inputs, but this start gives every seed its own; start "
                "from weights."
            )
        return wanted or min(enough, len(bank.x) // 5)
    blocks = math.ceil(max(wanted, enough) / TEST_BLOCK)
    return blocks * TEST_BLOCK


def _check_single(problem: Problem) -> None:
    """Raise ValueError for several problems."""
    if problem.sweeps:
        raise ValueError(
            "simulate runs one problem, but was given a sequence for "
            f"{', '.join(problem.sweeps)}; call it once for each value."
        )


def _check_batch(start: Start, seeds: list[int]) -> None:
    """Raise ValueError unless a batch of starts has one for each seed."""
    if start.batch and start.batch != (len(seeds),):
        raise ValueError(
            f"start is a batch of {start.batch[0]} starts, but there are {len(seeds)} seeds; give "
            "one start for each seed, or one for all."
        )


def _dimension(N: int | None, problem: Problem, start: Start, data: Dataset | None) -> int:
    """The input dimension, as given or as the weights of the start, the arrays of the task or
    fixed samples have it.
    """
    fixed, holder = problem.task.input_dimension, "the task has inputs"
    if start.network is not None:
        fixed, holder = int(start.network.w.shape[-1]), "the start has weights"
    size = fixed if N is None else N
    if size is None and data is not None:
        size = data.x.shape[1]
    if size is None:
        raise ValueError("N is missing; give the input dimension of the networks.")
    if fixed not in (None, size):
        raise ValueError(
            f"N = {N}, but {holder} with N = {fixed}; leave N out, or use another start or task."
        )
    size = checks.integer("N", size)
    if start.network is None:
        check_rank(start, size)
    problem.task.latent_dimension(size)  # raises ValueError if there are no such inputs
    return int(size)


def _labelled(run: Run, seeds: list[int], records: Records, report: dict) -> xr.Dataset:
    """The records as a dataset; fewer of them than steps if the run ended before."""
    rows = records.rows
    recorded = np.asarray(run.steps[: len(rows)]) / run.problem.updates_per_time(run.N)
    values = {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}
    values["T"] = np.asarray(run.begun.T)
    if hasattr(type(run.problem.task), "v_star"):  # eps_g is a small difference
        Q, T, v, eps_g = (values[name] for name in ("Q", "T", "v", "eps_g"))
        floors = [error_floor(one, recorded, Q, T, v, eps_g) for one in run.problems]
        report = report | {"eps_g_floor": max(floors)}
    data = dataset(
        "simulation",
        run.problem,
        run.begun,
        coordinates={"seed": np.asarray(seeds), "time": recorded},
        variables=values | records.end,
        leading=("seed",),
        report=report,
        observables=run.observables,
    )
    if run.protocol is not None:
        data = with_protocol(data, run.protocol)
    return data
