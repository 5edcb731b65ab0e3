"""Experiments: what one command runs, read from a TOML file or from a published set-up.

What there is to do is a plan: curves in time (`Curves`), the same with clones of the inputs
(`Clones`), escapes from random starts (`Escape`), a problem at many values of its parameters
(`Sweep`), forgetting against the similarity of tasks (`Forgetting`), losses at given resources
(`Scaling`), fixed points of the equations (`FixedPoints`), the best learning rate in time
(`BestSchedule`), or several of these curves, sweeps or fixed points side by side (`Variants`).  The
tables of a file say which.  A plan is made by `from_tables` and answers with `run`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

import teacherstudent
from teacherstudent.checking import arguments, checks
from teacherstudent.command import published
from teacherstudent.command.best_schedules import BestSchedule
from teacherstudent.command.curves import Clones, Curves
from teacherstudent.command.escapes import Escape
from teacherstudent.command.fixed_points import FixedPoints
from teacherstudent.command.forgetting import Forgetting
from teacherstudent.command.model_curves import ModelCurves
from teacherstudent.command.scaling import Scaling
from teacherstudent.command.swept import Sweep
from teacherstudent.command.tables import TEXTS, changed, hint_on_types
from teacherstudent.command.unfinished import Parts, Unfinished
from teacherstudent.command.variants import Variants
from teacherstudent.results.datasets import DESCRIPTION, description

Plan = BestSchedule | Curves | Escape | FixedPoints | Sweep | Variants
# By the table that asks for it; variants come first, since each of them may have the others.
PLANS: dict[str, type[Plan]] = {
    "variants": Variants,
    "escape": Escape,
    "forgetting": Forgetting,
    "scaling": Scaling,
    "sweep": Sweep,
    "fixed_point": FixedPoints,
    "schedule": BestSchedule,
    "clones": Clones,
    "model": ModelCurves,
}


@dataclass(frozen=True)
class Experiment:
    """A problem, a start, times, and how to integrate and simulate it: what one command runs.

    >>> import teacherstudent as ts
    >>> experiment = ts.Experiment.read(
    ...     "linear-noisy",
    ...     changes={"rule.learning_rate": 0.3, "times.stop": 2.0, "simulation.N": 50},
    ... )
    >>> experiment.plan.problem.rule.learning_rate
    0.3
    >>> experiment  # doctest: +ELLIPSIS
    Experiment linear-noisy: Linear network with label noise: ... (Curves)
    >>> tree = experiment.run(progress=False)  # doctest: +SKIP
    >>> list(tree.children)  # doctest: +SKIP
    ['theory', 'comparison', 'simulation']

    - `name`: of the published set-up, or of the file without its ending.
    - `title`, `reference`: as the file gives them.
    - `tables`: all tables of the file, changed as `changes` say.
    - `plan`: what there is to do.  `Curves` have a `problem`, a `start`, `times` (in updates / N)
      and the options `theory` and `simulation`; `Escape` has a `problem` and the options `escape`;
      `Sweep` has `curves`, what it goes `over`, and whether it is `theory_only`, and `Forgetting`
      besides these the `similarity` of the teachers and the time of the `switch`; `FixedPoints`
      have a `problem`, a `start`, the `options` and, if there are times, `curves`; `Variants` have
      a dictionary `variants` of curves, sweeps or fixed points.

    The tables of a file and their entries are in the manual; an entry that is left out keeps the
    default of the function that takes it (`integrate`, `simulate`, `random_start`, ...).
    """

    name: str
    title: str
    reference: str
    plan: Plan
    tables: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    @arguments.checked
    def read(
        cls, path_or_name: str | os.PathLike, changes: Mapping[str, Any] | None = None
    ) -> Experiment:
        """The experiment of a published set-up or of a TOML file, checked before anything runs.

        - `path_or_name`: a name out of `teacherstudent list`, or the path of a file.
        - `changes`: entries that replace those of the file, {"rule.learning_rate": 0.3}; None
          removes one.

        Raises FileNotFoundError if there is neither, and ValueError that begins with the file's
        name for all that is wrong with it.
        """
        given = os.fspath(path_or_name)
        name, tables = published.read(given)
        try:
            return cls.from_tables(name, tables, changes)
        except ValueError as error:
            if (
                given in published.names()
            ):  # a published set-up: what is wrong is one of the changes
                raise
            raise ValueError(f"{given}: {error}") from None

    @classmethod
    def from_tables(
        cls, name: str, tables: Mapping[str, Any], changes: Mapping[str, Any] | None = None
    ) -> Experiment:
        """The experiment of a TOML file's tables.

        What takes time (a manifold that is drawn, the eigenvalues of its inputs) comes after all
        else is known to be right.  Raises ValueError that names what is unknown, missing or not
        allowed, in all tables at once.
        """
        changes = checked_changes(changes)
        try:
            tables = changed(tables, changes)
            plan = plan_of(tables).from_tables(tables)
        except ValueError as error:
            raise ValueError(f"{error}{hint_on_types(error, changes)}") from None
        return cls(name, tables["title"], tables.get("reference", ""), plan, tables)

    @arguments.checked
    def run(
        self,
        *,
        progress: bool | None = None,
        device: str | None = None,
        theory_only: bool = False,
        unfinished: str | os.PathLike | None = None,
    ) -> xr.DataTree:
        """Integrate the theory, simulate networks, and compare the two.

        - `progress`: progress bars; None shows them on a terminal and in a notebook.
        - `device`: where to simulate, "cpu" or "gpu:1".
        - `theory_only`: integrate the theory, simulate nothing.
        - `unfinished`: a folder that keeps the parts of a long run as they are finished, in
          `result.h5`, and the state of the one at work, about once a minute and where the run is
          interrupted; if it exists, the run goes on from it.  It is deleted when all is done.

        Returns the groups of a result file, which `save`, `plot` and `load` know: `theory`,
        `simulation` (one group for each N if there are several) and `comparison`; or `escape`; or
        `fixed_point`, beside these if there are times; or `variants` with these groups for each of
        them.  Of a task with two classes the theory has the error of the best classifier
        (`oracle_error`), where it is known.

        Raises what `integrate`, `simulate`, `escape` and `compare` raise, and FileExistsError for a
        folder of another experiment, or one that another process uses.
        """
        if unfinished is None:
            checks.device(device)
            return self._titled(self.plan.run(progress, device, theory_only, Parts()))
        with Unfinished(unfinished) as folder:
            folder.begin(self.mark(theory_only), resume=True, anew=False)
            tree = self.run_in(folder, progress, device, theory_only)
            folder.delete()
        return tree

    def run_in(
        self, folder: Unfinished, progress: bool | None, device: str | None, theory_only: bool
    ) -> xr.DataTree:
        """The same within a folder that is open and has begun; whoever opened it deletes it when
        the answer is in a file.
        """
        checks.device(device)
        return self._titled(self.plan.run(progress, device, theory_only, Parts(folder)))

    def _titled(self, tree: xr.DataTree) -> xr.DataTree:
        """A result that says in its description of which experiment it is."""
        facts = description(tree) | {"set_up": self.name, "title": self.title}
        tree.attrs[DESCRIPTION] = json.dumps(facts)
        return tree

    @property
    def fingerprint(self) -> str:
        """A hash of the tables that decide what a run answers."""
        return fingerprint_of(self.tables)

    def mark(self, theory_only: bool) -> str:
        """A hash of all that decides what a run answers, and of the version of this package."""
        described = [teacherstudent.__version__, theory_only, self.tables]
        digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
        for array in self.plan.arrays():
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"Experiment {self.name}: {self.title} ({type(self.plan).__name__})"


def fingerprint_of(tables: Mapping[str, Any]) -> str:
    """A hash of the tables that decide what a run answers: all but titles and other texts."""
    deciding = {name: one for name, one in tables.items() if name not in TEXTS}
    content = json.dumps(deciding, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def plan_of(tables: Mapping[str, Any]) -> type[Plan]:
    """Which kind of plan the tables of a file ask for."""
    for table, plan in PLANS.items():
        if tables.get(table) not in (None, False):
            return plan
    return Curves


def checked_changes(changes: Any) -> Mapping[str, Any]:
    """The changes, which must be entries by their places."""
    if changes is None:
        return {}
    if not isinstance(changes, Mapping) or not all(isinstance(place, str) for place in changes):
        raise ValueError(
            f"changes = {checks.shortened(changes)} is not a dictionary of entries by their place; "
            'give one such as {"rule.learning_rate": 0.3}.'
        )
    return changes
