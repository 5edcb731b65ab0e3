"""What the gallery knows of a set-up: its texts, its file, how well theory and networks agree.

A file of the gallery is a result file.  In the description of the whole it says of which set-up it
is, with a fingerprint of the tables that decide its numbers, the time that they took, and on which
processor.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import xarray as xr

import teacherstudent as ts
from teacherstudent.command import published
from teacherstudent.command.experiment import Experiment, fingerprint_of
from teacherstudent.command.unfinished import Parts, Unfinished, parts_of
from teacherstudent.results.datasets import (
    DESCRIPTION,
    description,
    error_name,
    simulations,
    variants_of,
)
from teacherstudent.results.swept import is_sweep, swept_dimensions
from teacherstudent.results.verdict import confirms

GALLERY = "gallery"  # in the description of a file, what the gallery says of it
LARGEST_FILE = 2**20  # bytes
LARGEST_FOLDER = 20 * 2**20  # bytes of all files and pictures together


class Agreement(NamedTuple):
    """Theory against networks in one part of a file.

    - `part`: the variant, or "".
    - `quantity`: the variable with the largest deviation, in units of what chance explains.
    - `deviation`, `error`: theory minus mean over seeds, and its standard error.
    - `z`, `chance`: their ratio over a window of times, and the largest that chance makes of it, or
      nan for a single network.
    - `verdict`: of `compare`; of a sweep, how many of its points agree.
    """

    part: str
    quantity: str
    deviation: float
    error: float
    z: float
    chance: float
    verdict: str


@dataclass(frozen=True)
class Entry:
    """One set-up of the gallery with its result."""

    name: str
    tables: Mapping[str, Any]
    tree: xr.DataTree

    @classmethod
    def read(cls, name: str, folder: Path) -> Entry:
        """The entry of a file; FileNotFoundError that says how to make it, if it is not there."""
        file = file_of(name, folder)
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} is not there; make it with `teacherstudent gallery {name}`."
            )
        return cls(name, published.read(name)[1], ts.load(file))

    @property
    def facts(self) -> dict[str, Any]:
        """What the file says of itself for the gallery; empty for any other result."""
        return json.loads(self.tree.attrs[DESCRIPTION]).get(GALLERY, {})

    def text(self, key: str) -> str:
        """A text of the set-up, such as its title; "" if it has none."""
        return " ".join(str(self.tables.get(key, "")).split())

    def titled(self) -> xr.DataTree:
        """The result with the title that the set-up has now."""
        tree = self.tree.copy()
        described = json.loads(tree.attrs[DESCRIPTION]) | {"title": self.text("title")}
        tree.attrs[DESCRIPTION] = json.dumps(described)
        return tree

    def is_current(self) -> bool:
        """Whether the file has the numbers that the set-up asks for now."""
        return self.facts.get("fingerprint") == fingerprint_of(self.tables)

    @cached_property
    def agreements(self) -> list[Agreement]:
        """Theory against networks in all parts of the file; none if it has only one of them."""
        parts = variants_of(self.tree) or {"": self.tree}
        return [one for label, tree in parts.items() for one in _agreements(label, tree)]

    @cached_property
    def exponents(self) -> list[tuple[float, float]]:
        """Of an escape, the exponent of each direction with its standard error; nan if unknown."""
        if "escape" not in self.tree.children or "exponent" not in self.tree["escape"]:
            return []
        escape = self.tree["escape"].to_dataset()
        pairs = zip(escape.exponent.values, escape.exponent_error.values, strict=True)
        return [(float(exponent), float(error)) for exponent, error in pairs]


def file_of(name: str, folder: Path) -> Path:
    """The result file of a set-up."""
    return folder / f"{name}.h5"


def picture_of(name: str, folder: Path) -> Path:
    """The picture of a set-up."""
    return folder / f"{name}.png"


def computed(name: str, progress: bool | None) -> xr.DataTree:
    """The result of a set-up, with what the gallery says of it."""
    experiment = Experiment.read(name)
    began = time.process_time()
    tree = experiment.run(progress=progress)
    return marked(tree, experiment, time.process_time() - began)


def integrated_anew(entry: Entry, progress: bool | None) -> xr.DataTree:
    """The result of a set-up with the networks of its file, beside a theory that is made anew.

    Sweeps, escapes and files of older set-ups are computed as a whole.
    """
    experiment = Experiment.read(entry.name)
    if not entry.is_current() or any(is_sweep(one) for one in _with_variants(entry.tree)):
        return computed(entry.name, progress)
    networks = {}
    for place, data in parts_of(entry.tree).items():
        if place.endswith("simulation"):  # of one size, whose part is named by it all the same
            networks[f"{place}/N_{description(data)['report']['N']}"] = data
        elif "/simulation/" in f"/{place}" or place == "escape":
            networks[place] = data
    parts = Parts(cast(Unfinished, Networks(networks)))
    tree = experiment.plan.run(progress, None, theory_only=False, parts=parts)
    return marked(tree, experiment, entry.facts["seconds"], entry.facts["processor"])


class Networks:
    """Stands for the folder of a run whose networks are finished, and nothing else."""

    def __init__(self, finished: Mapping[str, xr.Dataset]):
        self.finished = finished

    def part(self, group: str, checkpoint: str, work: Any) -> xr.Dataset:
        """The networks that are there; anything else is computed."""
        if group in self.finished:
            return self.finished[group]
        return work(None)


def marked(
    tree: xr.DataTree, experiment: Experiment, seconds: float, where: str | None = None
) -> xr.DataTree:
    """A result that says of itself what the gallery needs to know."""
    facts = {
        "set_up": experiment.name,
        "fingerprint": experiment.fingerprint,
        "seconds": round(seconds, 1),
        "processor": where or processor(),
    }
    described = json.loads(tree.attrs[DESCRIPTION]) | {"title": experiment.title, GALLERY: facts}
    tree.attrs[DESCRIPTION] = json.dumps(described)
    return tree


def processor() -> str:
    """The processor and the compiler of programs, which together decide the last bits of sums."""
    import jaxlib

    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:  # not Linux
        pass
    return f"{platform.machine()}, {model}, jaxlib {jaxlib.__version__}"


def _with_variants(tree: xr.DataTree) -> list[xr.DataTree]:
    return [tree, *variants_of(tree).values()]


def _agreements(label: str, tree: xr.DataTree) -> Iterator[Agreement]:
    if "comparison" in tree.children:
        yield _agreement(label, tree["comparison"].to_dataset())
    elif is_sweep(tree) and {"theory", "simulation"} <= set(tree.children):
        yield from _agreement_of_sweep(label, tree)


def _agreement(label: str, report: xr.Dataset) -> Agreement:
    """The largest deviation of the largest networks in a comparison."""
    largest = description(report)["largest"][-1]
    name = max(largest, key=lambda one: _excess(largest[one]))
    one = largest[name]
    return Agreement(
        label,
        name,
        one["deviation"],
        one["standard_error"],
        one.get("z", np.nan),
        one.get("critical_z", np.nan),
        report.attrs["verdict"].split(" at ")[0],
    )


def _excess(largest: Mapping[str, float]) -> float:
    """How large a deviation is beside what chance explains; of one seed nobody knows."""
    return abs(largest.get("z", 0.0)) / largest.get("critical_z", 1.0)


def _agreement_of_sweep(label: str, tree: xr.DataTree) -> Iterator[Agreement]:
    """The point of a sweep that deviates most, and how many points agree."""
    reports = [
        _agreement(label, ts.compare(point["theory"].to_dataset(), simulations(point)[0]))
        for point in points_of(tree)
    ]
    if not reports:  # every point has failed
        return
    worst = max(reports, key=lambda one: abs(one.z) / one.chance)
    verdicts = [one.verdict for one in reports]
    agree = sum(confirms(verdict) for verdict in verdicts)
    short = "AGREE" if agree == len(verdicts) else "DISAGREE"
    yield worst._replace(verdict=f"{short}: {agree} of {len(verdicts)} points")


def points_of(tree: xr.DataTree) -> Iterator[xr.DataTree]:
    """The points of a sweep that have both a theory and networks."""
    data = tree["theory"].to_dataset()
    dims = swept_dimensions(data)
    for places in product(*(range(data.sizes[dim]) for dim in dims)):
        values = {}
        for dim, place in zip(dims, places, strict=True):
            values[dim] = data[dim].values[place] if dim in data.coords else place
        failed = [str(tree[kind]["error"].sel(values).item()) for kind in ("theory", "simulation")]
        if not any(failed):
            yield ts.point_of(tree, **values)


def size_of_networks(entry: Entry) -> str:
    """The sizes and the number of networks, in words; "" of a theory alone."""
    sizes: set[int] = set()
    seeds: set[int] = set()
    for node in entry.tree.subtree:
        if "seed" in node.dims and (error_name(node.to_dataset()) in node or "escape_step" in node):
            report = description(node.to_dataset())["report"]
            found = node.coords["N"].values if "N" in node.coords else report["N"]
            sizes.update(int(N) for N in np.ravel(found))
            seeds.add(node.sizes["seed"])
    if not sizes:
        return ""
    listed = ", ".join(str(N) for N in sorted(sizes))
    return f"{', '.join(str(count) for count in sorted(seeds))} networks of N = {listed}"
