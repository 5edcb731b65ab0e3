"""Figures of fixed points: a plateau with its eigenvalues and the escape from it, and curves of
fixed points while a number changes.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from teacherstudent.averages.pairs import unordered_pairs
from teacherstudent.figures.curves import ErrorPanel
from teacherstudent.figures.drawing import GREY, SMALL, set_time_axis, shade
from teacherstudent.figures.layout import Draw, Kind, Layout, Row
from teacherstudent.figures.results import Curves, Results
from teacherstudent.figures.titles import title_of
from teacherstudent.results.datasets import description, error_name

ALIKE = 1e-6  # eigenvalues that differ by less, relative to the largest, are drawn as one
ONSET = 3.0  # times the smallest distance, from which on a trajectory is leaving
STABLE, UNSTABLE = "-", (0, (3, 2))


@dataclass(frozen=True)
class PlateauPanel:
    """The error along time, and that of the fixed point."""

    curves: Curves
    fixed: xr.Dataset

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        error = float(self.fixed[self.curves.error])
        if error > 0:  # or the logarithmic axis has no place for it
            axes.axhline(error, color=GREY, lw=1.0, ls=":", label="fixed point")
        ErrorPanel(self.curves)(axes)


@dataclass(frozen=True)
class DistancePanel:
    """How far a trajectory is from the fixed point, and exponentials of its eigenvalues."""

    theory: xr.Dataset
    fixed: xr.Dataset

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        distance = distances(self.theory, self.fixed)
        times = self.theory.time.values
        axes.set_yscale("log")
        axes.plot(times, distance, color=shade(0), lw=1.4, label="$|y(t) - y^*|$")
        rate = float(description(self.fixed)["report"]["escape_rate"])
        nearest = int(distance.argmin())
        leaving = np.flatnonzero(distance[nearest:] > ONSET * distance[nearest])
        if rate > 0 and leaving.size:
            begin = nearest + int(leaving[0])
            growth = distance[begin] * np.exp(rate * (times - times[begin]))
            inside = (growth > 0.5 * distance[nearest]) & (growth < 2 * distance.max())
            label = rf"$\propto e^{{\lambda t}}$, $\lambda = {rate:.3g}$"
            axes.plot(times[inside], growth[inside], color=shade(2), lw=1.2, ls="--", label=label)
        set_time_axis(axes, self.theory)
        axes.set_ylabel("distance of all order parameters")
        axes.set_title("from the fixed point", fontsize=9)
        axes.legend(fontsize=SMALL, frameon=False)


@dataclass(frozen=True)
class EigenvaluesPanel:
    """The real parts of all eigenvalues, those that are equal together with their number."""

    fixed: xr.Dataset

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        values = self.fixed.eigenvalues.values
        axes.axhline(0.0, color=GREY, lw=0.8)
        groups = groups_of_equal(values)
        for place, (value, count) in enumerate(groups):
            colour = shade(2) if value > 0 else shade(0)
            axes.vlines(place, 0.0, value, color=colour, lw=1.4)
            axes.plot(place, value, "o", color=colour, ms=4)
            if count > 1:
                above = 4 if value > 0 else -10
                axes.annotate(
                    f"{count}",
                    (place, value),
                    xytext=(0, above),
                    textcoords="offset points",
                    ha="center",
                    fontsize=SMALL,
                )
        largest = np.abs(values).max()
        smallest = np.abs(values)[np.abs(values) > ALIKE * largest].min(initial=largest)
        if largest > 30 * smallest:  # slow motions near a plateau beside fast ones
            axes.set_yscale("symlog", linthresh=smallest, linscale=0.6)
        axes.margins(y=0.12)
        axes.set_xticks([])
        axes.set_xlabel("modes, by their rates (number of equal ones)")
        axes.set_ylabel(r"eigenvalue $\lambda_i$ [1 / time]")
        axes.set_title("of the linearised equations", fontsize=9)


@dataclass(frozen=True)
class BranchPanel:
    """One quantity of curves of fixed points against the number that changes: solid where they are
    stable, dashed where they are not.
    """

    branches: dict[str, xr.Dataset]
    name: str

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        for rank, (label, branch) in enumerate(self.branches.items()):
            self._draw(axes, branch, rank, label)
        first = next(iter(self.branches.values()))
        over = first[number_of(first)].attrs
        axes.set_xlabel(f"{over['long_name']} {over['symbol']}")
        quantity = quantity_of(first, self.name)
        if self.name == "eps_g":
            axes.set_yscale("log")
        if self.name == "eigenvalues":
            axes.axhline(0.0, color=GREY, lw=0.8)
        axes.set_ylabel(f"{quantity.attrs['long_name']} {quantity.attrs['symbol']}")
        axes.plot([], [], ls=STABLE, color=GREY, lw=1.2, label="stable")
        axes.plot([], [], ls=UNSTABLE, color=GREY, lw=1.2, label="unstable")
        axes.legend(fontsize=SMALL, frameon=False)

    def _draw(self, axes: Axes, branch: xr.Dataset, rank: int, label: str) -> None:
        x = branch[number_of(branch)].values
        y = quantity_of(branch, self.name).values
        stable = branch.unstable_modes.values == 0
        shown: str | None = label or None
        for first, last in runs_of_equal(stable):
            # A run ends at the first point of the next one, so that the line has no gap.
            part = slice(first, last + 2)
            line = STABLE if stable[first] else UNSTABLE
            axes.plot(x[part], y[part], ls=line, color=shade(rank), lw=1.4, label=shown)
            shown = None


class FixedPointKind(Kind):
    """A fixed point: its eigenvalues, and the trajectory that passes it."""

    def fits(self, results: Results) -> bool:
        """Whether there is one."""
        fixed = results.fixed_point
        return fixed is not None and "point" not in fixed.dims

    def layout(self, results: Results) -> Layout:
        """One panel, or three where there is a trajectory."""
        fixed = results.fixed_point
        assert fixed is not None
        panels: list[Draw] = [EigenvaluesPanel(fixed)]
        if results.has_curves:
            curves = results.curves
            before: list[Draw] = [PlateauPanel(curves, fixed)]
            if curves.theory is not None:
                before.append(DistancePanel(curves.theory, fixed))
            panels = [*before, *panels]
        return Layout([Row(panels)], title_of(fixed))


class BranchKind(Kind):
    """Curves of fixed points while a number changes."""

    def fits(self, results: Results) -> bool:
        """Whether there is one, or several problems have one each."""
        branches = results.branches
        return bool(branches) and len({number_of(one) for one in branches.values()}) == 1

    def layout(self, results: Results) -> Layout:
        """Two panels: the error, and the fastest mode."""
        branches = results.branches
        first = next(iter(branches.values()))
        panels = [BranchPanel(branches, name) for name in (error_name(first), "eigenvalues")]
        return Layout([Row(panels, width=4.2, height=3.3)], _without_number(first))


def _without_number(branch: xr.Dataset) -> str:
    """The problem in one line, without the number that changes."""
    changes = number_of(branch).replace("_", " ")
    parts = title_of(branch).split(", ")
    return ", ".join(part for part in parts if not part.startswith(changes))


def distances(theory: xr.Dataset, fixed: xr.Dataset) -> np.ndarray:
    """|y(t) - y*| over all order parameters that the fixed point has, Q by its upper triangle."""
    squares = np.zeros(theory.sizes["time"])
    for name in ("Q", "R", "m", "v", "b"):
        if name not in theory or name not in fixed:
            continue
        apart = (theory[name].transpose("time", ...) - fixed[name]).values
        if name == "Q":
            apart = apart[:, *unordered_pairs(apart.shape[-1])]
        squares += (apart**2).reshape(len(squares), -1).sum(axis=1)
    return np.sqrt(squares)


def groups_of_equal(values: np.ndarray) -> list[tuple[float, int]]:
    """Values from the largest to the smallest, each with how often it is there."""
    ordered = np.sort(values)[::-1]
    groups: list[tuple[float, int]] = []
    for value in ordered:
        if groups and abs(groups[-1][0] - value) <= ALIKE * np.abs(values).max():
            groups[-1] = (groups[-1][0], groups[-1][1] + 1)
        else:
            groups.append((float(value), 1))
    return groups


def runs_of_equal(values: np.ndarray) -> list[tuple[int, int]]:
    """The first and the last place of each run of equal values."""
    changes = np.flatnonzero(values[1:] != values[:-1])
    firsts = [0, *(changes + 1)]
    lasts = [*changes, len(values) - 1]
    return [(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]


def number_of(branch: xr.Dataset) -> str:
    """The name of the number that changes along a curve of fixed points."""
    return description(branch)["report"]["over"].rpartition(".")[2]


def quantity_of(branch: xr.Dataset, name: str) -> xr.DataArray:
    """What is drawn of a curve: its error, or the largest of its eigenvalues."""
    if name != "eigenvalues":
        return branch[name]
    fastest = branch.eigenvalues.max("eigenvalue")
    about = {"long_name": "largest eigenvalue", "symbol": r"$\lambda_1$ [1 / time]"}
    return fastest.assign_attrs(about)
