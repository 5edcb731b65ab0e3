"""Where jobs run: in this process, or on the workers of Dask.

Workers are processes of their own that are started anew, never forked: after JAX has run, a forked
process hangs.  They do not run the user's script again either, so that it needs no
`if __name__ == "__main__"`.  A job travels as a template, which all points of one shape have in
common and a worker reads once, and the numbers of its points: functions of the user's are then one
object for all jobs, and no program is compiled twice.
"""

from __future__ import annotations

import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cloudpickle
import jax
import numpy as np

from teacherstudent.checking import checks
from teacherstudent.checking.contracts import is_ours, registered_parts
from teacherstudent.programs import kept_programs
from teacherstudent.programs.for_all_runs import keep_compiled_programs
from teacherstudent.sweeps.jobs import OF_THE_MACHINE, Job
from teacherstudent.sweeps.keys import REGISTERS
from teacherstudent.sweeps.points import Point
from teacherstudent.sweeps.values import Answers

CONNECT_SECONDS = 30  # to a scheduler that the user names
IN_FLIGHT = 2  # jobs for each worker: the next one is there when one is done


class LostWorkersError(RuntimeError):
    """The scheduler of a sweep, or all its workers, cannot be reached any more."""


class Executor(ABC):
    """Runs jobs; as a context it starts and ends what it needs for that."""

    workers = 1

    @abstractmethod
    def results(self, jobs: Iterator[Job]) -> Iterator[tuple[Job, Answers | BaseException]]:
        """Each job with its answers, or why it has none, as soon as it is done.

        Jobs are taken from the iterator when there is a place for them.
        """


class Here(Executor):
    """In this process, one after the other."""

    def results(self, jobs: Iterator[Job]) -> Iterator[tuple[Job, Answers | BaseException]]:
        for job in jobs:
            try:
                yield job, job.run()
            except OF_THE_MACHINE as error:
                yield job, error


class OnDask(Executor):
    """On the workers of a client of Dask."""

    def __init__(self, client: Any):
        self.client = client

    @property
    def workers(self) -> int:  # type: ignore[override]
        """How many jobs run at once; at least one, for workers may come later."""
        return max(1, sum(self.client.nthreads().values()))

    def results(self, jobs: Iterator[Job]) -> Iterator[tuple[Job, Answers | BaseException]]:
        from distributed import as_completed

        packing = Packing()
        waiting: dict[Any, Job] = {}
        done = as_completed(loop=self.client.loop, raise_errors=False)

        def submit() -> None:
            job = next(jobs, None)
            if job is not None:
                future = self.client.submit(run_packed, packing.of(job), pure=False)
                waiting[future] = job
                done.add(future)

        try:
            for _ in range(IN_FLIGHT * self.workers):
                submit()
            while waiting:
                future = next(done)
                job = waiting.pop(future)
                submit()
                yield job, self._answer(future)
        except BaseException:
            with suppress(Exception):
                self.client.cancel(list(waiting))
            raise

    def _answer(self, future: Any) -> Answers | BaseException:
        if future.status == "finished":
            return future.result()
        if future.status in ("cancelled", "lost"):
            raise LostWorkersError(
                "the scheduler of this sweep cannot be reached any more, or has dropped its jobs; "
                "what was finished is kept: the same call goes on from there."
            )
        return future.exception()


@contextmanager
def executor(workers: int, client: Any, scheduler: str | None) -> Iterator[Executor]:
    """Where to run jobs: on a given client or scheduler, on so many processes here, or in this
    process for one.
    """
    if client is not None:
        yield OnDask(client)
        return
    if scheduler is not None:
        from distributed import Client

        try:
            connected = Client(scheduler, timeout=CONNECT_SECONDS)
        except OSError as error:
            raise ConnectionError(
                f"scheduler = {scheduler!r} cannot be reached ({checks.first_line(error)}); give "
                "the address of one that runs, such as tcp://127.0.0.1:8786."
            ) from None
        with connected:
            yield OnDask(connected)
        return
    if workers <= 1:
        yield Here()
        return
    # Imported here, since most sweeps need no workers.
    from teacherstudent.sweeps.local_cluster import local_client

    with local_client(workers) as local:
        yield OnDask(local)


class Packed(NamedTuple):
    """A job as it travels."""

    template: bytes  # the job with one point, and theories that the user has registered
    keys: list[str]
    leaves: list[list]  # of each point; None for one that is the template's
    sizes: list[int | None]
    checkpoint: str | None


@dataclass(frozen=True)
class Template:
    """What jobs of one shape have in common."""

    job: Job
    own: list[dict[type, Any]]  # what the user has registered, of each of `REGISTERS`
    keeps_programs: bool

    def prepare(self) -> None:
        """Make this process like the one that sent the template."""
        for registered, own in zip(REGISTERS, self.own, strict=True):
            for kind, part in own.items():
                registered.setdefault(kind, part)
        if self.keeps_programs and not kept_programs.wanted():
            keep_compiled_programs()


class Packing:
    """Packs jobs, the template of each shape once."""

    def __init__(self) -> None:
        self._templates: dict[Any, tuple[bytes, list]] = {}

    def of(self, job: Job) -> Packed:
        """A job as it travels."""
        shape = (type(job), structure_of(job.points[0]))
        if shape not in self._templates:
            alone = replace(job, keys=job.keys[:1], points=job.points[:1], checkpoint=None)
            parts = alone.points[0].problem.named_parts.values()
            for part in parts:
                _check_can_travel(part)
            own = [_own_parts(parts, registered) for registered in REGISTERS]
            template = Template(alone, own, keeps_programs=kept_programs.wanted())
            leaves = jax.tree.leaves(_parts(alone.points[0]))
            self._templates[shape] = (cloudpickle.dumps(template), leaves)
        content, known = self._templates[shape]
        leaves = [_new_leaves(point, known) for point in job.points]
        sizes = [point.N for point in job.points]
        return Packed(content, job.keys, leaves, sizes, job.checkpoint)


def structure_of(point: Point) -> Any:
    """What points have in common whose theories step together: all but their numbers."""
    leaves, structure = jax.tree.flatten(_parts(point))
    return structure, tuple(np.shape(leaf) for leaf in leaves), point.start.time, point.N


def _parts(point: Point) -> tuple:
    return point.problem, point.start


def _new_leaves(point: Point, known: list) -> list:
    leaves = jax.tree.leaves(_parts(point))
    return [None if leaf is old else leaf for leaf, old in zip(leaves, known, strict=True)]


def _own_parts(parts: Iterable[Any], registered: Mapping[Any, Any]) -> dict[type, Any]:
    """The theories of the classes of some objects, and of those below these, that are the user's
    own: workers do not know them.
    """
    found = {}
    for base in {base for part in parts for base in type(part).__mro__}:
        theory = registered.get(base)
        if theory is not None and not (is_ours(base) and is_ours(type(theory))):
            found[base] = theory
    return found


def _check_can_travel(part: Any) -> None:
    """Raise ValueError for a class with parts that are registered where no worker sees it."""
    for base in type(part).__mro__:
        if base.__module__ == "__main__" and registered_parts(base, base.__mro__[1]):
            raise ValueError(
                f"{base.__name__} is defined in the script itself and has parts that are "
                "registered there, which workers do not see; put it into a module that they can "
                "import, or give workers=1."
            )


def run_packed(packed: Packed) -> Answers:
    """What a worker does with a job."""
    return unpacked(packed).run()


def unpacked(packed: Packed) -> Job:
    """The job that was packed."""
    template = _read(packed.template).job
    known, structure = jax.tree.flatten(_parts(template.points[0]))
    points = []
    for leaves, N in zip(packed.leaves, packed.sizes, strict=True):
        filled = [old if leaf is None else leaf for leaf, old in zip(leaves, known, strict=True)]
        problem, start = jax.tree.unflatten(structure, filled)
        points.append(Point(problem, start, N))
    checkpoint = packed.checkpoint
    if checkpoint is not None and not os.path.isdir(os.path.dirname(checkpoint)):
        checkpoint = None  # this machine does not see the folder
    return replace(template, keys=packed.keys, points=points, checkpoint=checkpoint)


@functools.lru_cache(maxsize=64)
def _read(content: bytes) -> Template:
    """A template, read once in a process."""
    template = cloudpickle.loads(content)
    template.prepare()
    return template


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
