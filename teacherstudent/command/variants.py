"""Experiments of several problems that share most of their tables, to be seen in one figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import xarray as xr

from teacherstudent.checking import checks
from teacherstudent.command.curves import Curves
from teacherstudent.command.fixed_points import FixedPoints
from teacherstudent.command.model_curves import curves_of
from teacherstudent.command.swept import Sweep
from teacherstudent.command.tables import merged, outer_tables
from teacherstudent.command.unfinished import Parts
from teacherstudent.protocol import first_of
from teacherstudent.results.datasets import as_tree


@dataclass(frozen=True)
class Variants:
    """Curves, sweeps or fixed points, by name."""

    NETWORKS: ClassVar = "simulation"  # the table that says which networks are trained

    variants: dict[str, Curves | FixedPoints | Sweep]

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Variants:
        """One variant for each table of `variants`, whose entries replace those beside it.

        Raises ValueError that names the variant.
        """
        outer = outer_tables(tables, ())
        shared = {key: value for key, value in tables.items() if key != "variants"}
        variants: dict[str, Curves | FixedPoints | Sweep] = {}
        for label, changes in (outer.variants or {}).items():
            _check_label(label)
            try:
                variants[label] = _variant(merged(shared, changes))
            except ValueError as error:
                raise ValueError(f"variants.{checks.shortened_text(label)}: {error}") from None
        if not variants:
            raise ValueError(
                "variants is empty; give at least one table, such as variants.sgd.rule."
            )
        return cls(variants)

    @property
    def theory_only(self) -> bool:
        """Whether no variant trains networks."""
        return all(one.theory_only for one in self.variants.values())

    def run(
        self, progress: bool | None, device: str | None, theory_only: bool, parts: Parts
    ) -> xr.DataTree:
        """The result of each variant, under its name."""
        results = {}
        for number, (label, one) in enumerate(self.variants.items()):
            its_parts = parts.of_variant(number, label)
            results[label] = one.run(progress, device, theory_only, its_parts)
        return as_tree(variants=results)

    def arrays(self) -> list:
        """The numbers of all problems and starts."""
        return [array for one in self.variants.values() for array in one.arrays()]


def _variant(tables: Mapping[str, Any]) -> Curves | FixedPoints | Sweep:
    if tables.get("sweep"):
        return Sweep.from_tables(tables)
    if tables.get("fixed_point"):
        return FixedPoints.from_tables(tables)
    curves = None
    if not any(tables.get(name) for name in ("clones", "escape", "variants", "protocol")):
        curves = curves_of(tables)
    if curves is None or first_of(curves.problem).sweeps or curves.start.batch:
        raise ValueError(
            "a variant has a start and times, and no clones, sweeps, escape or protocol."
        )
    return curves


def _check_label(label: str) -> None:
    """Raise ValueError for what cannot be the name of a group in a file."""
    if not label.isprintable() or "/" in label or label in ("", ".", ".."):
        raise ValueError(
            f"variants has the name {checks.shortened(label)}; give names without a slash, at "
            "least one letter."
        )
