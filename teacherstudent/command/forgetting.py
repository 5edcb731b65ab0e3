"""Experiments on forgetting: a student of several teachers, for several similarities of these.

    [forgetting]
    similarity = "linspace(0,1,11)"
    switch = 60.0
    seed = 1

Every similarity V has the start of equal random weights and heads (`ts.continual_start`), with
teachers of the overlaps `ts.teachers_of_similarity(V)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr

import teacherstudent as ts
from teacherstudent.checking import checks
from teacherstudent.command.model_curves import ModelCurves, refuse_others, with_start
from teacherstudent.command.swept import Sweep
from teacherstudent.command.swept_values import numbers_of
from teacherstudent.command.tables import ForgettingTable, outer_tables
from teacherstudent.command.unfinished import Parts
from teacherstudent.models.continual_learning import ContinualLearning
from teacherstudent.models.state import State
from teacherstudent.results.datasets import as_tree
from teacherstudent.results.description import model_from, parsed
from teacherstudent.schedules import schedules_in

NOT_WITH_FORGETTING = (
    "start",
    "sweep",
    "protocol",
    "clones",
    "escape",
    "fixed_point",
    "schedule",
    "scaling",
)
OF_VALUES = {
    "forgetting": (ts.forgetting, "forgetting of the first task", r"$\Delta\epsilon_1$"),
    "transfer": (ts.transfer, "transfer to the second task", r"$-\Delta\epsilon_2$"),
}


@dataclass(frozen=True)
class Forgetting(Sweep):
    """Forgetting of the first task and transfer to the second, against their similarity."""

    similarity: tuple[float, ...]
    switch: float

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Forgetting:
        """What the tables of a file say; ValueError with what is wrong."""
        outer = outer_tables(tables, ("model", "times"))
        refuse_others(
            tables,
            "forgetting",
            NOT_WITH_FORGETTING,
            "makes the starts of all similarities itself",
        )
        table = parsed(ForgettingTable, outer.forgetting or {}, "forgetting.")
        model = model_from(outer.model or {})
        if not isinstance(model, ContinualLearning) or len(model.teachers) < 2:
            raise ValueError(
                f"forgetting is of a ContinualLearning with two teachers or more, and model is "
                f"{checks.shortened(model)}."
            )
        values = _similarities(table.similarity)
        starts = [_start(model, V, table) for V in values]
        base = with_start(tables, "forgetting", starts[0])
        curves = ModelCurves.from_tables(base)
        if not np.any(np.isclose(curves.times[:-1], table.switch, rtol=1e-9)):
            raise ValueError(
                f"forgetting.switch = {table.switch:g} is not among the times at which to record, "
                "before the last one; give times that have it."
            )
        _check_switch(model, table.switch)
        planned = Sweep.of_curves(curves, base, {"start": starts}, bool(table.theory_only))
        parts = {field.name: getattr(planned, field.name) for field in fields(planned)}
        return cls(**parts, similarity=tuple(values), switch=table.switch)

    def run(
        self, progress: bool | None, device: str | None, theory_only: bool, parts: Parts
    ) -> xr.DataTree:
        """Theory and networks at all similarities, with what was forgotten and gained."""
        tree = super().run(progress, device, theory_only, parts)
        runs = {kind: tree[kind].to_dataset() for kind in tree.children}
        return as_tree(**{kind: self.with_forgetting(one) for kind, one in runs.items()})

    def with_forgetting(self, data: xr.Dataset) -> xr.Dataset:
        """The data with the similarities, and forgetting and transfer at the last time."""
        attributes = {"long_name": "similarity of the teachers", "symbol": "$V$", "units": "1"}
        data = data.assign_coords(similarity=("start", list(self.similarity), attributes))
        for name, (of, long_name, symbol) in OF_VALUES.items():
            last = of(data, self.switch).isel(time=-1, drop=True)
            last.attrs = {"long_name": long_name, "symbol": symbol, "units": "1"}
            data[name] = last
        return data


def _check_switch(model: ContinualLearning, switch: float) -> None:
    """Raise ValueError if the tasks are switched at other times than this one."""
    jumps = [float(t) for one in schedules_in(model.frequencies) for t in one.jump_times()]
    if jumps and not np.any(np.isclose(jumps, switch, rtol=1e-9)):
        raise ValueError(
            f"forgetting.switch = {switch:g}, but model.frequencies switch at t = "
            f"{', '.join(f'{t:g}' for t in sorted(set(jumps)))}; give one time to both."
        )


def _similarities(given: Any) -> list[float]:
    """The values of V, of a list or a text."""
    values = numbers_of("forgetting.similarity", given)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(
            f"forgetting.similarity = {checks.shortened(given)}; give two values or more, as a "
            'list or a text such as "linspace(0,1,11)".'
        )
    return values.tolist()


def _start(model: ContinualLearning, V: float, table: ForgettingTable) -> State:
    """The start with teachers of one similarity."""
    T = ts.teachers_of_similarity(V, model.teachers)
    return ts.continual_start(model, T=T, **table.options())
