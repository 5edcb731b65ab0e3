"""The verb: one problem at many values of its parameters, in theory and simulation."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import teacherstudent as ts
from odes.models.theory import theory_of_model
from sims.models.simulation import simulation_of_model
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.warn import warn_user
from teacherstudent.models.learnable import Learnable
from teacherstudent.models.model import Model
from teacherstudent.observables.built_in import requested_of_networks, requested_of_theory
from teacherstudent.problem import Problem
from teacherstudent.progress import POINTS, Bar, progress_bar
from teacherstudent.results.atomic_files import check_writable
from teacherstudent.results.datasets import as_tree
from teacherstudent.results.swept import is_sweep
from teacherstudent.sweeps.axes import Axis, axes_of
from teacherstudent.sweeps.gather import Gathering, starts_of, swept_values, with_description
from teacherstudent.sweeps.jobs import Job, SimulationJob, TheoryJob
from teacherstudent.sweeps.keys import Keys
from teacherstudent.sweeps.points import Point, points_of
from teacherstudent.sweeps.store import SO_FAR, Store, folder_of
from teacherstudent.sweeps.values import Answers
from teacherstudent.sweeps.workers import cores, executor, structure_of

FIRST_BLOCK = 32  # points of the first jobs of a theory
JOB_SECONDS = 2.0  # that a job of a theory is to take
LARGEST_BLOCK = 2048
WORTH_WORKERS = 20.0  # seconds of work left, for which workers of one's own are started
RESERVED = ("seconds", "steps", "error", "recorded_time", "has_student", "has_teacher")
SIZE = 1000  # N of networks, where nothing says another
PREVIEW_SECONDS = 60.0  # between two files of what there is so far
PREVIEW_SHARE = 0.02  # of the time of a sweep that these may take
NOTE_SECONDS = 1.0  # between two notes of the progress
OPTIONS_OF_THEORY = ("rtol", "atol", "solver", "max_steps", "quadrature")
OPTIONS_OF_SIMULATION = ("method", "dtype", "test_samples", "device")


@arguments.checked
def sweep(
    problem: Problem | Model,
    start,
    times,
    over,
    *,
    N: int | None = None,
    seeds=8,
    theory=True,
    simulation=True,
    observables=(),
    out: str | os.PathLike | None = None,
    force: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    client=None,
    progress: bool | None = None,
) -> xr.DataTree:
    """Integrate and simulate a problem at many values of its parameters.

    - `problem`, `start`, `times`: as of `integrate` and `simulate`, for all points.  Where points
      have different widths, those with fewer units begin from the first ones of the start; or the
      start is a function of the point's problem, `lambda problem: ts.random_start(problem,
      N=1000)`, which may also take `N`.
    - `over`: what is swept.  A dictionary makes a grid, {"rule.learning_rate": [0.1, 0.2],
      "student.width": [2, 3]}; a list of dictionaries with the same parameters is a list of points,
      along the dimension `point`.  Parameters are the arguments of the task, the student and the
      rule by their place ("task.noise", "student.activation", "rule.learning_rate"; of a schedule
      "rule.learning_rate.rate"), the task or the rule itself ("rule": [ts.SGD(0.1),
      ts.SignSGD(0.1)]), "loss", "batch_size", "batch_ratio", "start", and "N".  Of another model
      (`ts.Model`) they are its arguments, "model.learning_rate", those of its parts,
      "model.reward.penalty", and "model", "start" and "N".
    - `N`, `seeds`: of the networks; N is 1000 unless given, or fixed by the start or the task.
      All points have the same seeds, that is the same random streams, so that differences between
      points are less noisy than the points.
    - `theory`, `simulation`: whether to integrate and to simulate, or a dictionary with options of
      the verb: theory={"rtol": 1e-6}, simulation={"method": "reduced"}.
    - `observables`: what else to record, in both.
    - `out`: the HDF5 file to write.  What is computed is kept at once beside it, in the folder
      `out` + ".points": a sweep that is interrupted goes on when it is called again, one that is
      repeated computes nothing, one with more values only what is new.  `out` itself is written at
      the end; it may exist if it is of a sweep that is kept there (or with `force`).  Of a sweep
      that takes longer than a minute the folder has a result file so_far.h5 meanwhile.
    - `workers`: processes that compute; unless given, as many as there are cores if the work is
      worth it, 1 for this process alone.  They are started anew on this machine, and end with the
      sweep.
    - `scheduler`, `client`: a scheduler of Dask, "tcp://...", or a `distributed.Client` (of
      dask-jobqueue, for SLURM), whose workers compute instead.
    - `progress`: a progress bar with the points done, their rate and the time left; None shows one
      on a terminal and in a notebook.

    Returns a `DataTree` with the groups `theory` and `simulation`, each with the swept dimensions
    before those that `integrate` and `simulate` answer with.  Dimensions have the last word of
    their parameter as name, `learning_rate`.  Quantities of points with fewer units are nan beyond
    these, and `has_student`, `has_teacher` say which a point has.  A point that fails, such as by
    divergence, has its sentence in `error`, the numbers before, and does not stop others.
    `recorded_time` is when networks were recorded, the number of updates nearest to `time`.

    Theories of points that differ by numbers alone step together in one compiled program.  They are
    those of `integrate` within the solver's tolerance; where averages are by quadrature, their
    resolution is fine enough for all of a job.  Those of other models are solved one after the
    other, and all points of a model have states of the same shapes.  Networks are those of
    `simulate` bit by bit.

    Raises ValueError for input that does not fit, before any work where that can be seen, and where
    every point fails so; BlockingIOError if another sweep writes to the same place;
    ConnectionError if the scheduler cannot be reached; RuntimeError if it is lost.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.1))
    >>> start = ts.OrderParameters(Q=0.5 * np.eye(3), R=0.1 * np.eye(3))
    >>> over = {"rule.learning_rate": [0.1, 0.2, 0.4], "student.width": [2, 3]}
    >>> tree = ts.sweep(problem, start, [0.0, 1.0], over, simulation=False)
    >>> dict(tree["theory"].eps_g.sizes)
    {'learning_rate': 3, 'width': 2, 'time': 2}
    """
    plan = _Plan(problem, start, times, over, N, seeds, theory, simulation, observables)
    path = None
    if out is not None:
        path = checks.path("out", out)
        check_writable(path, force=force or _is_file_of_sweep(path))
    checks_of_workers(workers, scheduler, client)
    with ExitStack() as stack:
        store = None
        if path is not None:
            store = Store(folder_of(path))
            stack.callback(store.close)
        run = _Run(plan, store, workers, scheduler, client, progress)
        tree = run.tree()
        if path is not None:
            ts.save(path, tree, force=True)
    return tree


def _is_file_of_sweep(path: Path) -> bool:
    """Whether a file is the output of a sweep, which another one may replace."""
    try:
        tree = ts.load(path, lazy=True)
    except (OSError, ValueError):
        return False
    try:
        return is_sweep(tree)
    finally:
        tree.close()


def checks_of_workers(workers: Any, scheduler: Any, client: Any) -> None:
    """Raise ValueError for two places to run at."""
    given = {"workers": workers, "scheduler": scheduler, "client": client}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"{' and '.join(names)} are given; give one of them.")
    if workers is not None:
        checks.integer("workers", workers)


class _Plan:
    """What is to be computed: all points, by kind."""

    def __init__(
        self, problem, start, times, over, N, seeds, theory, simulation, observables
    ) -> None:
        self.times = checks.times(times)
        if N is not None:
            N = checks.integer("N", N)
        self.kinds: dict[str, dict] = {}
        if theory is not False:
            given = _options("theory", theory, OPTIONS_OF_THEORY)
            self.kinds["theory"] = given | {"observables": tuple(observables)}
        if simulation is not False:
            given = _options("simulation", simulation, OPTIONS_OF_SIMULATION)
            given["seeds"] = checks.seeds(seeds)
            self.kinds["simulation"] = given | {"observables": tuple(observables)}
        if not self.kinds:
            raise ValueError(
                "theory and simulation are both False, so that there is nothing to compute; leave "
                "one of them out."
            )
        if not isinstance(problem, Learnable):
            raise ValueError(
                f"problem is {checks.kind_of(problem)}; a sweep is of one ts.Problem or ts.Model: "
                "call integrate for each value."
            )
        _check_names(problem)
        self.axes = axes_of(over, type(problem))
        if problem.sweeps:
            raise ValueError(
                f"problem has a sequence for {', '.join(problem.sweeps)}; give one number, and "
                "the sequence in over."
            )
        self.problem = problem
        _check_observables(observables)
        self.points = [_with_size(one) for one in points_of(problem, start, N, self.axes)]
        _check_shapes(self.points)
        self._check_points()

    def _check_points(self) -> None:
        """Raise ValueError for what is wrong with the first points of all shapes; of some shapes
        alone it is an answer.
        """
        first: dict[Any, Point] = {}
        for point in self.points:
            first.setdefault(structure_of(point), point)
        _raise_if_all_fail(_check_start, first.values())
        both = len(self.kinds) == 2
        if "simulation" in self.kinds:
            hint = "  Give simulation=False for the theory alone." if both else ""
            _raise_if_all_fail(self._check_simulation, first.values(), hint)
        if "theory" in self.kinds:
            hint = "  Give theory=False to simulate alone." if both else ""
            _raise_if_all_fail(_check_theory, first.values(), hint)

    def _check_simulation(self, point: Point) -> None:
        simulation = simulation_of_model(point.problem)
        method = simulation.method_called(self.kinds["simulation"].get("method"))
        simulation.check(point.problem, point.N, method)


def _check_observables(observables: Sequence[Any]) -> None:
    """Raise ValueError for observables that a sweep does not keep, or whose names it needs."""
    for one in observables:
        name = getattr(one, "name", one)
        if name == "densities":
            raise ValueError(
                "observables has 'densities', the overlaps by mode, which sweeps do not keep; take "
                "them from integrate for single points."
            )
        if name in RESERVED:
            raise ValueError(f"observables has {name!r}, which is something else here; rename it.")


def _with_size(point: Point) -> Point:
    """The point with an N, where neither its start nor its task has one."""
    fixed = point.start.network is not None or point.problem.input_dimension is not None
    if point.N is not None or fixed:
        return point
    return replace(point, N=SIZE)


def _check_names(problem: Learnable) -> None:
    """Raise ValueError for quantities of a model whose names a sweep needs."""
    for name in problem.quantities():
        if name in RESERVED:
            raise ValueError(
                f"a {type(problem).__name__} records {name!r}, which is something else in a "
                "sweep; call integrate and simulate for each value."
            )


def _check_shapes(points: Sequence[Point]) -> None:
    """Raise ValueError where the points of a sweep may not have states of different shapes."""
    first = points[0].problem.shared_shapes
    for point in points:
        for name, shape in point.problem.shared_shapes.items():
            if tuple(shape) != tuple(first[name]):
                raise ValueError(
                    f"over changes the shape of {name}, which is {tuple(first[name])} at one point "
                    f"and {tuple(shape)} at another; the points of a sweep of a "
                    f"{type(point.problem).__name__} have states of one shape: make a sweep of "
                    "each."
                )


def _check_start(point: Point) -> None:
    point.problem.check_start(point.start)


def _check_theory(point: Point) -> None:
    theory_of_model(point.problem).check(point.problem)


def _raise_if_all_fail(check: Callable[[Point], None], points: Iterable[Point], hint="") -> None:
    """Raise the first ValueError of a check, if no point passes it."""
    first = None
    for point in points:
        try:
            check(point)
        except ValueError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise ValueError(f"{first}{hint}")


def _options(name: str, given: Any, known: Sequence[str]) -> dict[str, Any]:
    """The options of a verb; ValueError for what is neither a truth value nor a dictionary."""
    if given is True:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{name} = {checks.shortened(given)}; give True, False, or a dictionary of options "
            f"({', '.join(known)})."
        )
    for option in given:
        if option not in known:
            hint = arguments.suggestion(str(option), known)
            raise ValueError(f"{name} has the option {checks.shortened(option)}: {hint}")
    return dict(given)


class _Run:
    """One call: computes what the store does not have, and gathers everything."""

    def __init__(self, plan, store, workers, scheduler, client, progress) -> None:
        self.plan = plan
        self.store: Store | None = store
        self.workers = workers
        self.scheduler = scheduler
        self.client = client
        self.progress = progress
        self.warned = False
        self.preview = _Preview(store)

    def tree(self) -> xr.DataTree:
        """The answers of all points, as a result file has them."""
        groups = {}
        works = [_Work(kind, options, self.plan) for kind, options in self.plan.kinds.items()]
        total = sum(len(work.points) for work in works)
        found = sum(key in self for work in works for key in work.points)
        with progress_bar(total, self.progress, label="sweep", initial=found, form=POINTS) as bar:
            self.counter = _Counter(bar, total, found, self.store)
            for work in works:
                groups[work.kind] = self.preview.finished[work.kind] = self._computed(work)
            self.counter.note(finished=True)
            self.preview.remove()
        return as_tree(**groups)

    def __contains__(self, key: str) -> bool:
        return self.store is not None and key in self.store

    def _computed(self, work: _Work) -> xr.Dataset:
        """One kind of all points."""
        points = [self.plan.points[member] for member in work.members]
        gathering = Gathering(work.axes, work.keys, points)
        kept = [key for key in work.points if key in self]
        if self.store is not None:
            for answers in self.store.read(kept):
                gathering.add(answers)
        missing = {key: point for key, point in work.points.items() if key not in self}
        if missing:
            self._compute(work, missing, gathering)
        work.raise_if_nothing(gathering)
        return work.dataset(gathering)

    def _compute(self, work: _Work, missing: dict[str, Point], gathering: Gathering) -> None:
        """Compute points: the first job here, the others where it is worth it."""
        jobs = _Jobs(work, missing, self.store)
        elsewhere = self.client is not None or self.scheduler is not None
        if not elsewhere and self.workers is None:
            self._finish(executor(1, None, None), iter(jobs.first()), jobs, work, gathering)
        if not jobs.left:
            return
        count = self.workers
        if count is None:
            count = cores() if jobs.seconds_left() > WORTH_WORKERS else 1
        where = executor(min(count, jobs.at_most()), self.client, self.scheduler)
        self._finish(where, iter(jobs), jobs, work, gathering)

    def _finish(
        self, where, some: Iterator[Job], jobs: _Jobs, work: _Work, gathering: Gathering
    ) -> None:
        """Run jobs, and keep what they answer."""
        with where as executing:
            jobs.parallel = executing.workers
            for job, answers in executing.results(some):
                if isinstance(answers, BaseException):
                    self._failed(job, answers, gathering)
                else:
                    gathering.add(answers)
                    self._keep(answers)
                    self.preview.show_if_due(work, gathering)
                    jobs.measure(answers)
                self.counter.add(len(job.keys))

    def _keep(self, answers: Answers) -> None:
        """Put answers into the store; where the disk refuses, they are in the answer all the same,
        and a call that is repeated computes them again.
        """
        answers = answers.lasting()
        if self.store is None or not answers.keys:
            return
        try:
            self.store.add(answers)
        except OSError as error:
            if not self.warned:
                warn_user(f"points of the sweep cannot be kept: {error.strerror}")
            self.warned = True

    def _failed(self, job: Job, error: BaseException, gathering: Gathering) -> None:
        """A job that failed for no fault of its points: said, and not kept, so that the same call
        tries it again.
        """
        why = f"{type(error).__name__}: {checks.first_line(error)}"
        gathering.fail(job.keys, why)
        warn_user(f"{len(job.keys)} points of the sweep could not be computed: {why}")


class _Work:
    """The points of one kind, each once, by their names."""

    def __init__(self, kind: str, options: dict, plan: _Plan):
        self.kind = kind
        self.options = options
        self.times = plan.times
        self.all_points = plan.points
        with_N = kind == "simulation"
        keys = Keys(kind, plan.times, options)
        names = [keys.of(point, point.N if with_N else None) for point in plan.points]
        self.axes, self.keys, self.members = _without_idle_axes(plan.axes, names, with_N)
        self.points: dict[str, Point] = {}
        for key, member in zip(self.keys, self.members, strict=True):
            point = plan.points[member]
            if not with_N:
                point = Point(point.problem, point.start, None)
            self.points.setdefault(key, point)

    def job(self, keys: list[str], points: list[Point], checkpoint: str | None) -> Job:
        """A job of some points of the same shapes."""
        made = {"theory": TheoryJob, "simulation": SimulationJob}[self.kind]
        return made(keys, points, self.times, self.options, checkpoint)

    def raise_if_nothing(self, gathering: Gathering) -> None:
        """Raise what all points have wrong, unless it is that they diverge."""
        kinds = {str(why).partition(":")[0] for why in gathering.errors}
        if kinds & {"", "DivergenceError", "SolverError"}:
            return
        kind, _, why = str(gathering.errors[0]).partition(": ")
        if kind == "ValueError":
            raise ValueError(why)
        raise RuntimeError(f"no point of the sweep has an answer; the first says: {kind}: {why}")

    def dataset(self, gathering: Gathering) -> xr.Dataset:
        """All of it, with the times and what made it."""
        points = [self.all_points[member] for member in self.members]
        data = gathering.dataset()
        if float(self.times[0]) != points[0].start.time and not points[0].start.batch:
            data = data.assign(starts_of(points, self.axes))
        long_name, symbol, units = points[0].problem.time_attributes
        about = {"long_name": long_name, "symbol": symbol, "units": units}
        data = data.assign_coords(time=("time", self.times, about))
        if "seeds" in self.options:
            seeds = {"long_name": "seed of the random stream", "symbol": "seed", "units": "1"}
            data = data.assign_coords(seed=("seed", np.asarray(self.options["seeds"]), seeds))
        for dim, numbers in self._coordinates_of_observables(points[0].problem):
            if dim in data.dims:
                data = data.assign_coords({dim: (dim, np.asarray(numbers))})
        report = gathering.report | _settings(self.options)
        report["sweep"] = swept_values(self.axes, points)
        report["failed"] = int(sum(bool(why) for why in gathering.errors))
        report["seconds"] = float(np.nansum(gathering.seconds))
        report |= {"first_time": float(self.times[0]), "last_time": float(self.times[-1])}
        if self.kind == "simulation":
            report.setdefault("N", points[0].N or 0)
        return with_description(data, self.kind, points, report)

    def _coordinates_of_observables(self, problem: Any) -> list[tuple[str, tuple]]:
        """Numbers along the dimensions of observables, such as the bins of a histogram."""
        if not self.options["observables"]:
            return []
        requested = requested_of_theory if self.kind == "theory" else requested_of_networks
        try:
            found = requested(self.options["observables"], problem).observables
        except ValueError:  # which every point says
            return []
        return [pair for one in found for pair in one.coordinates]


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as JSON can hold them."""
    settings = {}
    for name, value in options.items():
        if name == "observables":
            value = [
                one if isinstance(one, str) else getattr(one, "name", str(one)) for one in value
            ]
        elif name == "quadrature":
            value = repr(value)
        elif isinstance(value, np.generic):
            value = value.item()
        elif not isinstance(value, bool | int | float | str | list | None):
            value = str(value)
        settings[name] = value
    return settings


def _without_idle_axes(
    axes: Sequence[Axis], keys: Sequence[str], with_N: bool
) -> tuple[list[Axis], list[str], list[int]]:
    """The axes along which points differ, their names, and their places among all points.

    A theory does not know N: it has that dimension only where its start does.
    """
    shape = [len(axis) for axis in axes]
    names = np.asarray(keys, dtype=object).reshape(shape)
    members = np.arange(len(keys)).reshape(shape)
    left: list[Axis] = []
    for axis in axes:
        place = len(left)
        idle = axis.paths == ["N"] and not with_N
        if idle and (names == np.take(names, [0], axis=place)).all():
            names, members = (
                part.take([0], axis=place).squeeze(place) for part in (names, members)
            )
        else:
            left.append(axis)
    return left, names.ravel().tolist(), members.ravel().tolist()


class _Jobs:
    """The jobs of some points: of a theory as many together as take about `JOB_SECONDS`."""

    def __init__(self, work: _Work, missing: dict[str, Point], store: Store | None):
        self.work = work
        self.store = store
        self.families: list[list[tuple[str, Point]]] = list(_families(missing).values())
        self.left = len(missing)
        self.seconds_of_a_point: float | None = None
        self.parallel = 1

    def first(self) -> list[Job]:
        """One job of the first family, from which the time of a point is known."""
        jobs = [self._taken(1 if self.work.kind == "simulation" else FIRST_BLOCK)]
        if self.left and self.work.kind == "theory":  # the first one has compiled its program
            jobs.append(self._taken(FIRST_BLOCK))
        return jobs

    def __iter__(self) -> Iterator[Job]:
        while self.left:
            yield self._taken(self._size())

    def _size(self) -> int:
        """How many points of a theory to put into one job."""
        if self.work.kind == "simulation":
            return 1
        if self.seconds_of_a_point is None:
            return FIRST_BLOCK
        fitting = int(JOB_SECONDS / max(self.seconds_of_a_point, 1e-9))
        fair = math.ceil(self.left / (4 * self.parallel))  # so that all workers end together
        blocks = max(1, min(fitting, fair, LARGEST_BLOCK) // FIRST_BLOCK)
        return blocks * FIRST_BLOCK

    def _taken(self, count: int) -> Job:
        """A job of the next points of one family."""
        family = self.families[0]
        some, rest = family[:count], family[count:]
        if rest:
            self.families[0] = rest
        else:
            self.families.pop(0)
        self.left -= len(some)
        keys = [key for key, _ in some]
        return self.work.job(keys, [point for _, point in some], self._checkpoint(keys))

    def _checkpoint(self, keys: list[str]) -> str | None:
        if self.store is None or self.work.kind == "theory":
            return None
        return str((self.store.folder / f"{keys[0][:32]}.checkpoint").absolute())

    def measure(self, answers: Answers) -> None:
        """Learn from the answers of a job how long a point takes."""
        seconds = float(answers.seconds.mean())
        before = self.seconds_of_a_point
        # The first job of a family compiles: later ones tell better.
        self.seconds_of_a_point = seconds if before is None else min(before, seconds)

    def seconds_left(self) -> float:
        """About how long the points left would take here."""
        return self.left * (self.seconds_of_a_point or 0.0)

    def at_most(self) -> int:
        """More workers than this would have nothing to do."""
        if self.work.kind == "simulation":
            return self.left
        return math.ceil(self.left / FIRST_BLOCK)


def _families(points: Mapping[str, Point]) -> dict[Any, list[tuple[str, Point]]]:
    """The points that share their shapes, and so their programs."""
    families: dict[Any, list[tuple[str, Point]]] = {}
    for key, point in points.items():
        families.setdefault(structure_of(point), []).append((key, point))
    return families


class _Preview:
    """A result file of what there is so far, in the store: to be looked at while a sweep runs.

    It is written as a whole, and so rarely that this costs little.
    """

    def __init__(self, store: Store | None):
        self.path = None if store is None else store.folder / SO_FAR
        self.finished: dict[str, xr.Dataset] = {}
        self.due = time.monotonic() + PREVIEW_SECONDS

    def show_if_due(self, work: _Work, gathering: Gathering) -> None:
        """Write what there is, unless that was done a short while ago."""
        if self.path is None or time.monotonic() < self.due:
            return
        began = time.monotonic()
        with suppress(OSError):  # a disk that is full keeps the sweep from nothing else
            tree = as_tree(**{**self.finished, work.kind: work.dataset(gathering)})
            ts.save(self.path, tree, force=True)
        took = time.monotonic() - began
        self.due = time.monotonic() + max(PREVIEW_SECONDS, took / PREVIEW_SHARE)

    def remove(self) -> None:
        """There is the whole result now."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class _Counter:
    """Counts points, on the bar and in the notes of the store."""

    def __init__(self, bar: Bar, total: int, found: int, store: Store | None):
        self.bar = bar
        self.total = total
        self.found = found
        self.done = found
        self.store = store
        self.began = time.time()
        self.noted = 0.0
        self.note()

    def add(self, count: int) -> None:
        """So many points more are done."""
        self.done += count
        self.bar.update(count)
        if time.time() - self.noted > NOTE_SECONDS:
            self.note()

    def note(self, finished: bool = False) -> None:
        """Write down how far the sweep is."""
        self.noted = time.time()
        if self.store is None:
            return
        self.store.note_progress(
            total=self.total,
            found=self.found,
            done=self.done,
            began=self.began,
            process=os.getpid(),
            finished=finished,
        )
