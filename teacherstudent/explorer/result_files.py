"""Result files that the page may open: those below the folder in which the server was started.

The browser names a file by its place in a list that the server made.  A name that is not in it is
refused, so that no request reaches another file, by "..", an absolute path or a link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

import teacherstudent as ts
from teacherstudent.results.datasets import description, simulations
from teacherstudent.results.selection import problem_of
from teacherstudent.results.swept import swept_dimensions

ENDING = ".h5"
DEPTH = 3  # folders below the first that are looked into
MOST = 500  # files that are listed


@dataclass(frozen=True)
class Result:
    """What was read from a file: a theory, networks of one or several N, or one of these."""

    name: str
    tree: xr.DataTree

    @property
    def axes(self) -> dict[str, list]:
        """The swept dimensions and their values; none of a result that is no sweep."""
        axes: dict[str, list] = {}
        for kind in ("theory", "simulation"):
            if kind in self.tree.children and self.tree[kind].data_vars:
                data = self.tree[kind].to_dataset()
                for dim in swept_dimensions(data):
                    axes[dim] = values_along(data, dim)
        return axes

    def point(self, **values: Any) -> Result:
        """One point of a sweep."""
        selected = ", ".join(f"{name} = {value}" for name, value in values.items())
        return Result(f"{self.name} ({selected})", ts.point_of(self.tree, **values))

    @property
    def theory(self) -> xr.Dataset | None:
        """The theory, if the file has one."""
        if "theory" not in self.tree.children:
            return None
        return self.tree["theory"].to_dataset()

    @property
    def networks(self) -> list[xr.Dataset]:
        """The simulations, smallest N first."""
        return simulations(self.tree)

    @property
    def verdict(self) -> str:
        """What the file's own comparison says."""
        if "comparison" not in self.tree.children:
            return ""
        return self.tree["comparison"].attrs.get("verdict", "")

    def tables(self) -> dict[str, Any]:
        """The tables of the experiment that made it, so far as the file has them.

        Raises ValueError for a problem that a file cannot hold, or inputs of several eigenvalues,
        whose start is not in a table.
        """
        data = self.theory if self.theory is not None else self.networks[0]
        problem_of(data)  # raises ValueError for a class or a function of one's own
        facts = description(data)
        if "model" in facts["problem"]:
            raise ValueError(
                f"{self.name} is of a model, for which there are no controls; its curves are shown "
                "alone."
            )
        if "rho" in data.dims and "w_start" in data or "q_start" in data:
            raise ValueError(
                f"{self.name} began from the overlaps of each eigenvalue of its inputs, which the "
                "controls do not have; its curves are shown alone."
            )
        times = data.time.values
        tables: dict[str, Any] = {"title": f"From {self.name}", **facts["problem"]}
        if "protocol" in facts:
            tables["protocol"] = facts["protocol"]
        tables["start"] = _start_table(facts["start"])
        spacing = (
            "log" if len(times) > 2 and times[2] - times[1] != times[1] - times[0] else "linear"
        )
        tables["times"] = {"stop": float(times[-1]), "points": len(times), "spacing": spacing}
        tables["simulation"] = _simulation_table(self.networks)
        return tables


def _start_table(start: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in start.items() if value is not None}


def _simulation_table(networks: list[xr.Dataset]) -> dict[str, Any]:
    """N and the number of seeds of the largest networks."""
    if not networks:
        return {}
    largest = networks[-1]
    return {"N": int(description(largest)["report"]["N"]), "seeds": int(largest.sizes["seed"])}


def values_along(data: xr.Dataset, dim: str) -> list:
    """The values of a swept dimension, or their numbers where it has no coordinate."""
    if dim in data.coords:
        return data[dim].values.tolist()
    return list(range(data.sizes[dim]))


class Folder:
    """The result files below a folder."""

    def __init__(self, root: Path):
        self.root = root.resolve()

    def names(self) -> list[str]:
        """Their places below the folder, sorted; not those in hidden folders."""
        found = []
        patterns = ["/".join(["*"] * depth + [f"*{ENDING}"]) for depth in range(DEPTH + 1)]
        for pattern in patterns:
            for path in self.root.glob(pattern):
                place = path.relative_to(self.root)
                hidden = any(part.startswith(".") for part in place.parts)
                if not hidden and self._is_inside(path):
                    found.append(place.as_posix())
        return sorted(found)[:MOST]

    def _is_inside(self, path: Path) -> bool:
        """Whether a file is one, and no link on its way leads elsewhere."""
        return path.is_file() and path.resolve() == path

    def read(self, name: str) -> Result:
        """A file of the list.

        Raises ValueError for a name that is not in it, and what `load` raises for a file that is
        damaged or not one of ours.
        """
        if name not in self.names():
            raise ValueError(
                f"{name!r} is not among the result files ({ENDING}) below {self.root}; start the "
                "explorer in the folder of the file."
            )
        return read_result(self.root / name, name)


def read_result(path: Path, name: str) -> Result:
    """What is in a result file, if it has curves in time."""
    result = Result(name, ts.load(path))
    for kind in ("escape", "variants"):
        if kind in result.tree.children:
            raise ValueError(
                f"{name} has the group {kind!r}, which is not one curve in time; see "
                f"`teacherstudent plot {name}`."
            )
    if result.theory is None and not result.networks:
        raise ValueError(f"{name} has neither a theory nor a simulation to show.")
    return result
