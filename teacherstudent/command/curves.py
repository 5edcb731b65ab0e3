"""Experiments that follow curves in time: a theory, networks from the same start, and whether they
agree.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import equinox as eqx
import jax
import numpy as np
import xarray as xr

import teacherstudent as ts
from odes.two_layer import why_not_kept
from teacherstudent.checking import checks
from teacherstudent.command.protocols import learnt
from teacherstudent.command.tables import (
    RandomTable,
    SimulationTable,
    TheoryTable,
    outer_tables,
    read_simulation,
    read_times,
)
from teacherstudent.command.unfinished import Parts
from teacherstudent.observables.built_in import requested_of_networks, requested_of_theory
from teacherstudent.problem import Problem
from teacherstudent.protocol import Protocol, first_of, problems_of
from teacherstudent.results.datasets import VARIABLES, as_tree, description
from teacherstudent.results.description import Sentences, parsed, start_from
from teacherstudent.schedules import scaled
from teacherstudent.starts import Start, check_rank, random_start, spectral_start
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import Task

NOWHERE = Parts()
LARGER = 1.02  # learning rates of the second theory, over those of the first
LONG_SOLVE = 30.0  # seconds of a theory that is not solved a second time


@dataclass(frozen=True)
class Curves:
    """The theory of one problem beside networks of one or several sizes."""

    NEEDED: ClassVar[tuple[str, ...]] = ("task", "student", "rule", "start", "times")
    NETWORKS: ClassVar = "simulation"  # the table that says which networks are trained
    theory_only: ClassVar = False  # unless the command line says so

    problem: Any  # a Problem, a Protocol, or in `ModelCurves` a Model
    start: Any
    times: np.ndarray
    theory: TheoryTable
    simulation: SimulationTable

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Curves:
        """What the tables of a file say, all of them checked before anything is drawn.

        Raises ValueError with everything that is wrong.
        """
        outer = outer_tables(tables, cls.NEEDED)
        sentences = Sentences()
        with sentences.collected():
            problem = learnt(outer)
        with sentences.collected():
            times = read_times(outer.times or {})
        with sentences.collected():
            theory = parsed(TheoryTable, outer.theory, "theory.")
        with sentences.collected():
            simulation = read_simulation(outer.simulation)
        with sentences.collected():
            random = read_random(outer.start or {})
        sentences.raise_together()
        first = first_of(problem)
        with sentences.collected():
            requested_of_theory(theory.observables or [], first, "theory.observables")
        with sentences.collected():
            requested_of_networks(simulation.observables or [], first, "simulation.observables")
        with sentences.collected():
            _check_band(theory, problem)
        sentences.raise_together()
        start = make_start(first, outer.start or {}, random, simulation.sizes)
        return cls(problem, start, times, theory, simulation)

    def run(
        self, progress: bool | None, device: str | None, theory_only: bool, parts: Parts
    ) -> xr.DataTree:
        """Theory and, unless only that is wanted, networks and their comparison."""
        if theory_only:
            return as_tree(theory=self.integrated(progress, parts))
        if first_of(self.problem).sweeps or self.start.batch:
            raise ValueError(
                "this experiment sweeps a parameter, which only the theory can; add --theory-only "
                "(theory_only=True)."
            )
        theory = self.integrated(progress, parts)
        networks = self.simulated(progress, device, parts)
        comparison = ts.compare(theory, networks, faster=self.with_larger_rates(theory))
        return as_tree(theory=theory, simulation=networks, comparison=comparison)

    def integrated(self, progress: bool | None, parts: Parts = NOWHERE) -> xr.Dataset:
        """The theory, with the error of the best classifier where it is known."""

        def work(checkpoint: Path | None) -> xr.Dataset:
            if why_not_kept(self.problem, self.start, self.theory.solver or "auto"):
                checkpoint = None
            return self.solution(self.problem, checkpoint)

        # A progress bar calls back from the compiled program, which then could not be kept.
        with waiting("integrating", progress):
            theory = parts.part("theory", work)
        return with_oracle(self.problem, theory)

    def solution(self, problem: Any, checkpoint: Path | None = None) -> xr.Dataset:
        """What `integrate` answers for a problem, with the options of this experiment."""
        options = self.theory.options()
        if self.theory.band:
            assert isinstance(problem, Problem)
            return ts.fluctuations(problem, self.start, self.times, progress=False, **options)
        return ts.integrate(
            problem, self.start, self.times, progress=False, checkpoint=checkpoint, **options
        )

    def simulated(
        self, progress: bool | None, device: str | None, parts: Parts = NOWHERE
    ) -> xr.Dataset | list[xr.Dataset]:
        """The networks of one size, or a list of several."""
        networks = []
        for N in self.simulation.sizes:
            work = partial(self._networks, N, progress, device)
            networks.append(parts.part(f"simulation/N_{N}", work))
        if len(networks) == 1:
            return networks[0]
        return networks

    def _networks(
        self, N: int, progress: bool | None, device: str | None, checkpoint: Path | None
    ) -> xr.Dataset:
        return ts.simulate(
            self.problem,
            self.start,
            self.times,
            N=N,
            progress=progress,
            device=device,
            checkpoint=checkpoint,
            **self.simulation.options(),
        )

    def arrays(self) -> list:
        """The numbers of the problem and of the start."""
        return jax.tree.leaves((problems_of(self.problem), self.start))

    def with_larger_rates(self, theory: xr.Dataset) -> xr.Dataset | None:
        """The theory at slightly larger learning rates, from the same program.

        From it a comparison knows which error of the learning rate it could have seen.  None where
        the rule has no rate, where the first theory took long, or where this one diverges; and of a
        protocol, each phase of which has rates of its own.
        """
        from teacherstudent.results.comparison import RATES  # a theory alone compares nothing

        if isinstance(self.problem, Protocol):
            return None
        names = [name for name in RATES if getattr(self.problem.rule, name, None)]
        if not names or description(theory)["report"]["seconds"] > LONG_SOLVE:
            return None

        def rates(problem: Problem) -> list:
            return [getattr(problem.rule, name) for name in names]

        larger = [scaled(rate, LARGER) for rate in rates(self.problem)]
        without_band = replace(self, theory=self.theory.model_copy(update={"band": None}))
        try:
            return without_band.solution(eqx.tree_at(rates, self.problem, larger))
        except RuntimeError:  # it diverges, or takes too many steps
            return None


def _check_band(theory: TheoryTable, problem: Problem | Protocol) -> None:
    """Raise ValueError for a band where the other options of the file leave none."""
    if not theory.band:
        return
    if isinstance(problem, Protocol):
        raise ValueError("theory.band = true: there is no band of a protocol; leave it out.")
    given = [name for name in ("solver", "max_steps", "spectral") if getattr(theory, name)]
    if given:
        raise ValueError(
            f"theory.band = true and theory.{given[0]}: fluctuations has no such option; leave one "
            "of them out."
        )


class Clones(Curves):
    """The same, with the networks that learn from the first moments of the inputs only."""

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Curves:
        """As of `Curves`; ValueError for a protocol."""
        if tables.get("protocol") is not None:
            raise ValueError(
                "clones = true and protocol: clones are followed through one problem; leave one of "
                "them out."
            )
        return super().from_tables(tables)

    def integrated(self, progress: bool | None, parts: Parts = NOWHERE) -> xr.Dataset:
        """The theory, with the expected loss of students trained on clones of the inputs."""
        assert isinstance(self.problem, Problem)
        theory = super().integrated(progress, parts)
        options = self.theory.options()
        for name in ("spectral", "observables"):  # which clones do not have
            options.pop(name, None)
        start = cast(OrderParameters, self.start)  # with_clones refuses any other
        return ts.with_clones(self.problem, theory, start, **options)


def with_oracle(problem: Problem | Protocol, theory: xr.Dataset) -> xr.Dataset:
    """The theory with the error of the best classifier, where the task has classes and it is known.

    Of a protocol it is left out where it changes from phase to phase.
    """
    first, *later = problems_of(problem)
    if not first.task.HAS_CLASSES:
        return theory
    try:
        error = ts.oracle_error(first.task)
        if any(ts.oracle_error(one.task) != error for one in later):
            return theory
    except ValueError:  # a law without a density
        return theory
    _, long_name, symbol = VARIABLES["oracle_error"]
    attributes = {"long_name": long_name, "symbol": symbol, "units": "1"}
    return theory.assign(oracle_error=((), error, attributes))


def waiting(message: str, progress: bool | None) -> AbstractContextManager:
    """Something that moves on a terminal."""
    if progress is False or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    console = Console(stderr=True)
    return console.status(message)


def read_random(table: Mapping) -> RandomTable | None:
    """The options of `random_start`, if the start is random."""
    if "random" not in table:
        return None
    if not isinstance(table["random"], Mapping):
        given = checks.shortened(table["random"])
        raise ValueError(
            f"start.random = {given} is not a table; give start.random.N and, say, seed."
        )
    if len(table) > 1:
        others = checks.shortened_text(", ".join(set(table) - {"random"}))
        raise ValueError(f"start has both random and {others}; give one or the other.")
    return parsed(RandomTable, table["random"], "start.random.")


def make_start(
    problem: Problem, table: Mapping, random: RandomTable | None, sizes: list[int]
) -> Start:
    """The start of networks of some sizes, which are checked before anything is drawn."""
    for N in sizes:
        problem.task.latent_dimension(N)
    start: Start
    if random is None:
        start = start_from(table)
    else:
        check_same_size(problem.task, random.N, sizes)
        start = random_start(problem, **random.options())
    problem.check_start(start)
    if start.network is None:
        for N in sizes:
            check_rank(start, N)
    if not problem.task.HAS_CLASSES:
        spectral_start(problem, start)  # raises if the start has no meaning on these inputs
    return start


def check_same_size(task: Task, drawn: int, sizes: list[int]) -> None:
    """Raise ValueError where weights are drawn at one N and trained at another.

    Weights on inputs of several modes belong to one N.  Overlaps on isotropic inputs can be
    simulated at any.
    """
    if not task.HAS_MODES:
        return
    for N in sizes:
        if drawn != N:
            raise ValueError(
                f"simulation.N = {N}, but start.random draws weights with N = {drawn}, on whose "
                "spectrum the theory depends; set both start.random.N and simulation.N."
            )
