"""Finite networks on the problem of the page, trained in a thread that can be stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

import teacherstudent as ts
from teacherstudent.explorer.live import Answer, experiment_of
from teacherstudent.explorer.sentences import sentence_of, warnings_heard


@dataclass(frozen=True)
class Networks:
    """Networks beside the theory that they began with.

    - `tables`: of the experiment, with the table `simulation`.
    - `theory`, `simulation`, `comparison`: datasets; None where there is none.
    - `sentence`: why there is none, or that the run was stopped; "" else.
    - `notes`: what was warned of.
    """

    tables: dict[str, Any]
    theory: xr.Dataset | None = None
    simulation: xr.Dataset | None = None
    comparison: xr.Dataset | None = None
    sentence: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """The line of the comparison."""
        return "" if self.comparison is None else self.comparison.attrs["verdict"]

    @property
    def is_whole(self) -> bool:
        """Whether all times were reached, so that the same call gives the same numbers."""
        return self.simulation is not None and not self.sentence


class Training:
    """One simulation in the background.

    - `answer`: the theory whose problem, start and times are simulated.
    - `options`: N, seeds and method, as in the table `simulation`.
    - `show(share)`: called in the thread with the share of the time that is done.
    - `finish(networks)`: called in the thread at the end.

    The share is that of the last time that was reached, since each update takes equally long.
    """

    def __init__(
        self,
        answer: Answer,
        options: dict[str, Any],
        show: Callable[[float], object],
        finish: Callable[[Networks], object],
    ):
        self._answer = answer
        self._options = options
        self._show = show
        self._finish = finish
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin; `finish` tells when it is done."""
        self._thread.start()

    def stop(self) -> None:
        """End at the next recorded time."""
        self._stopped.set()

    def wait(self) -> None:
        """Return when it is done."""
        self._thread.join()

    def _run(self) -> None:
        began = time.perf_counter()
        networks = self._networks()
        self._finish(replace(networks, seconds=time.perf_counter() - began))

    def _networks(self) -> Networks:
        tables = {**self._answer.tables, "simulation": self._options}
        with warnings_heard() as notes:
            try:
                simulation, comparison = self._simulated(tables)
            except Exception as error:  # the page tells it, and goes on
                return Networks(tables, sentence=sentence_of(error), notes=tuple(notes))
        sentence = ""
        if self._stopped.is_set():
            sentence = f"stopped at t = {float(simulation.time[-1]):g}."
        theory = self._answer.theory
        return Networks(tables, theory, simulation, comparison, sentence, tuple(notes))

    def _simulated(self, tables: dict[str, Any]) -> tuple[xr.Dataset, xr.Dataset]:
        """The networks and their comparison, checked first as `teacherstudent run` does."""
        plan: Any = experiment_of(tables).plan
        last = float(plan.times[-1])

        def callback(t: float, record: Any) -> bool:
            self._show(t / last)
            return self._stopped.is_set()

        options = plan.simulation.options()
        simulation = ts.simulate(
            plan.problem,
            plan.start,
            plan.times,
            N=plan.simulation.sizes[0],
            progress=False,
            callback=callback,
            **options,
        )
        theory = self._answer.theory
        assert theory is not None  # networks are of an answer that has one
        faster = plan.with_larger_rates(theory)
        comparison = ts.compare(theory, simulation, faster=faster)
        return simulation, comparison
