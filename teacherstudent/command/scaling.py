"""Experiments on scaling laws: the loss of multitask sparse parity in time, data, size and compute.

    [scaling]
    initial = 0.01
    samples = "logspace(0,5,41)"
    sizes = "logspace(0,2,21)"
    compute = "logspace(2,6,25)"

Theory and networks begin from equal strengths of all skills (`SparseParity.even_start`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr

import teacherstudent as ts
from teacherstudent.checking import checks
from teacherstudent.command.curves import NOWHERE
from teacherstudent.command.model_curves import ModelCurves, refuse_others, with_start
from teacherstudent.command.swept_values import numbers_of
from teacherstudent.command.tables import ScalingTable, outer_tables
from teacherstudent.command.unfinished import Parts
from teacherstudent.models.sparse_parity import SparseParity
from teacherstudent.results.description import model_from, parsed

NOT_WITH_SCALING = (
    "start",
    "sweep",
    "protocol",
    "clones",
    "escape",
    "fixed_point",
    "schedule",
    "forgetting",
)
LATER = "later"  # the times after the start, at which the law of time is a number
RESOURCES = {
    "samples": ("number of training samples", "$D$"),
    "size": ("number of skills that a model can represent", "$N$"),
    "compute": ("compute, size times time", "$C$"),
}


@dataclass(frozen=True)
class Scaling(ModelCurves):
    """The loss along time, and what is left of it at given resources, beside their laws."""

    initial: float = 0.0
    resources: Mapping[str, np.ndarray] | None = None

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Scaling:
        """What the tables of a file say; ValueError with what is wrong."""
        outer = outer_tables(tables, ("model", "times"))
        refuse_others(
            tables, "scaling", NOT_WITH_SCALING, "begins from equal strengths of all skills"
        )
        table = parsed(ScalingTable, outer.scaling or {}, "scaling.")
        model = model_from(outer.model or {})
        if not isinstance(model, SparseParity):
            raise ValueError(
                f"scaling is of a SparseParity, and model is {checks.kind_of(model)}; leave the "
                "table scaling out."
            )
        ts.scaling_laws(model, table.initial)  # raises ValueError where there are none
        given = {"samples": table.samples, "size": table.sizes, "compute": table.compute}
        resources = {name: _values(name, text) for name, text in given.items()}
        start = model.even_start(table.initial)
        curves = ModelCurves.from_tables(with_start(tables, "scaling", start))
        parts = {field.name: getattr(curves, field.name) for field in fields(curves)}
        return cls(**parts, initial=table.initial, resources=resources)

    def integrated(self, progress: bool | None, parts: Parts = NOWHERE) -> xr.Dataset:
        """The theory, with the losses at all resources and their laws."""
        return with_scaling(super().integrated(progress, parts), self)


def with_scaling(theory: xr.Dataset, plan: Scaling) -> xr.Dataset:
    """The theory with `loss_of_samples`, and so on, `law_of_time`, and so on, and the best sizes
    at given compute.
    """
    model: Any = plan.problem
    assert plan.resources is not None, "made by from_tables"
    for name, (long_name, symbol) in RESOURCES.items():
        attributes = {"long_name": long_name, "symbol": symbol, "units": "1"}
        theory = theory.assign_coords({name: (name, plan.resources[name], attributes)})
    D, sizes, C = (plan.resources[name] for name in RESOURCES)
    at_sizes = [float(ts.excess_loss(model, plan.initial, size=one)) for one in sizes]
    frontier = ts.compute_frontier(model, plan.initial, C)
    laws = ts.scaling_laws(model, plan.initial)
    later = theory.time.values[theory.time.values > 0]
    theory = theory.assign_coords({LATER: (LATER, later, theory.time.attrs)})
    found = {
        "loss_of_samples": ("samples", ts.excess_loss(model, plan.initial, samples=D), "loss"),
        "loss_of_size": ("size", np.array(at_sizes), "loss"),
        "loss_of_compute": ("compute", frontier.loss, "loss"),
        "best_size": ("compute", frontier.size, "size"),
        "law_of_time": (LATER, laws.time(later), "loss"),
        "law_of_samples": ("samples", laws.samples(D), "loss"),
        "law_of_size": ("size", laws.size(sizes), "loss"),
        "law_of_compute": ("compute", laws.compute(C), "loss"),
        "law_of_best_size": ("compute", laws.best_size(C), "size"),
    }
    for name, (dim, values, kind) in found.items():
        symbol = r"$E\ell$" if kind == "loss" else "$N$"
        attributes = {"long_name": name.replace("_", " "), "symbol": symbol, "units": "1"}
        theory[name] = (dim, np.asarray(values, float), attributes)
    return theory


def _values(name: str, given: Any) -> np.ndarray:
    """The amounts of a resource, of a list or a text."""
    where = f"scaling.{'sizes' if name == 'size' else name}"
    values = numbers_of(where, given)
    if values.ndim != 1 or len(values) < 2 or (np.diff(values) <= 0).any() or values[0] <= 0:
        raise ValueError(
            f"{where} = {checks.shortened(given)}; give increasing positive numbers, two or more, "
            'as a list or a text such as "logspace(0,5,41)".'
        )
    return values
