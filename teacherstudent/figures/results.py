"""What figures draw: the parts of a result that was given to `ts.plot`."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import xarray as xr

from teacherstudent.results.comparable import moves
from teacherstudent.results.datasets import (
    DESCRIPTION,
    description,
    error_name,
    observables_in_common,
    simulations,
    variants_of,
)
from teacherstudent.results.dense_curves import curve_of
from teacherstudent.results.swept import runs_of

MOST_ENTRIES = 32  # of an observable of the user's own
COUNTED = ("point", "start")  # dimensions of a sweep whose numbers only count
NEAR = 0.25  # how far off the points of a curve a recorded value may be, in units of their scatter
ROUNDING = 1e-4  # and relative to them
TINY = 1e-12
OF_EQUATIONS = ("fixed_point",)  # groups that may be drawn without a trajectory


class Curves(NamedTuple):
    """A theory, if there is one, and networks of one or several sizes, the smallest first."""

    theory: xr.Dataset | None
    networks: list[xr.Dataset]

    @property
    def source(self) -> xr.Dataset:
        """The dataset whose dimensions and names count."""
        return self.networks[-1] if self.theory is None else self.theory

    @property
    def error(self) -> str:
        """The variable that says how well the problem is learnt."""
        return error_name(self.source)

    def source_of(self, name: str) -> xr.Dataset:
        """The dataset whose dimensions and names count for a variable, which one of them has."""
        if self.theory is not None and name in self.theory:
            return self.theory
        return self.networks[-1]

    def line(self, name: str) -> xr.DataArray | None:
        """A variable of the theory along `time`: its dense curve between the recorded times, if it
        has one and the recorded values are still on it.
        """
        if self.theory is None or name not in self.theory:
            return None
        recorded = self.theory[name]
        dense = curve_of(self.theory)
        if dense is self.theory or name not in dense or "time" not in dense[name].dims:
            return recorded
        if not _runs_through(dense[name], recorded):
            return recorded
        curve = _between_ends(dense[name], recorded)
        return curve if curve.sizes["time"] > recorded.sizes["time"] else recorded

    def names(self) -> list[str]:
        """The variables that have a panel."""
        source = self.source
        names = [self.error]
        if "accuracy" in source or "test_accuracy" in source:
            names.append("accuracy")
        names += [name for name in ("v", "b") if name in source and moves(source[name])]
        names += [name for name in ("m", "R", "Q") if name in source]
        return names + [one for one in self._observables() if one not in names]

    def _observables(self) -> list[str]:
        """The observables of the user's own that are few enough numbers to be told apart."""
        names: list[str] = []
        for one in (self.theory, *self.networks[-1:]):
            if one is None:
                continue
            for name in observables_in_common(one):
                few = one[name].isel(time=0, seed=0, missing_dims="ignore").size <= MOST_ENTRIES
                if few and name not in names and self._is_of_each_network(name):
                    names.append(name)
        return names

    def _is_of_each_network(self, name: str) -> bool:
        """Whether the networks, if they have a variable, have it each by itself: the recorded time
        of a sweep over N is the same for all.
        """
        return all(name not in one or "seed" in one[name].dims for one in self.networks[-1:])

    def all_names(self) -> list[str]:
        """Every variable along time that can be drawn, also those that have no panel by default."""
        names = self.names()
        dims = {"time", "seed", "student", "student_", "teacher", "teacher_", "direction"}
        for name, values in self.source.data_vars.items():
            has_names = {"symbol", "long_name"} <= set(values.attrs)
            along_time = "time" in values.dims and set(values.dims) <= dims
            is_drawable = values.dtype.kind in "iuf" and self._is_of_each_network(str(name))
            if has_names and along_time and is_drawable and name not in names:
                names.append(str(name))
        return names


class Results:
    """The parts of a result: what `integrate`, `simulate`, `escape`, `ts.sweep` or an experiment
    answered, or a file had.
    """

    def __init__(self, given: xr.DataTree | xr.Dataset):
        self.given = given

    @property
    def title(self) -> str:
        """That of the published set-up or the file of an experiment, if it was one."""
        if DESCRIPTION not in self.given.attrs:
            return ""
        return str(description(self.given).get("title", ""))

    @cached_property
    def variants(self) -> dict[str, "Results"]:
        """The results of several problems by name."""
        if isinstance(self.given, xr.Dataset):
            return {}
        return {name: Results(tree) for name, tree in variants_of(self.given).items()}

    @property
    def escape(self) -> xr.Dataset | None:
        """How long networks needed to see a direction."""
        if isinstance(self.given, xr.Dataset):
            return self.given if "escape_step" in self.given else None
        return self.given["escape"].to_dataset() if "escape" in self.given.children else None

    @cached_property
    def fixed_point(self) -> xr.Dataset | None:
        """A fixed point of the equations, or a curve of them."""
        return self._group("fixed_point")

    @cached_property
    def branches(self) -> dict[str, xr.Dataset]:
        """Curves of fixed points, by the names of the problems if there are several."""
        if self.variants:
            found = {name: one.fixed_point for name, one in self.variants.items()}
        else:
            found = {"": self.fixed_point}
        branches = {name: one for name, one in found.items() if one is not None}
        complete = len(branches) == len(found)
        if complete and all("point" in one.dims for one in branches.values()):
            return branches
        return {}

    def _group(self, kind: str) -> xr.Dataset | None:
        """The dataset of this kind, by itself or as a group of a tree; None if there is none."""
        if isinstance(self.given, xr.DataTree):
            return self.given[kind].to_dataset() if kind in self.given.children else None
        if DESCRIPTION in self.given.attrs and description(self.given).get("kind") == kind:
            return self.given
        return None

    @cached_property
    def swept(self) -> dict[str, xr.Dataset]:
        """Theory and simulation of a sweep, by their names; none where nothing was swept."""
        if self.variants or self.escape is not None or self._is_alone():
            return {}
        if isinstance(self.given, xr.Dataset) and DESCRIPTION not in self.given.attrs:
            return {}
        runs = runs_of(self.given)
        return runs if any(swept_along(data) for data in runs.values()) else {}

    @cached_property
    def curves(self) -> Curves:
        """Theory and networks; ValueError if there is neither."""
        theory, networks = None, []
        if isinstance(self.given, xr.DataTree):
            networks = simulations(self.given)
            if "theory" in self.given.children:
                theory = self.given["theory"].to_dataset()
        elif _kind(self.given) == "simulation":
            networks = [self.given]
        else:
            theory = self.given
        networks = [_with_seeds(one) for one in networks]
        if theory is None and not networks:
            raise ValueError(
                "there is neither a theory nor a simulation in these results; nothing to plot."
            )
        for one in [theory, *networks]:
            if one is not None and "time" not in one.dims:
                raise ValueError(
                    "the results are of one time; give those along the times of the run, nothing "
                    "to plot."
                )
        return Curves(theory, networks)

    @property
    def has_curves(self) -> bool:
        """Whether there is one curve of a theory, or networks of one problem."""
        others = self.variants or self.swept or self.escape is not None
        return not (others or self._is_alone())

    def _is_alone(self) -> bool:
        """Whether there is a result of the equations, and no trajectory beside it."""
        if isinstance(self.given, xr.DataTree):
            groups = set(self.given.children)
            return bool(groups & set(OF_EQUATIONS)) and not groups & {"theory", "simulation"}
        return any(self._group(kind) is not None for kind in OF_EQUATIONS)


def swept_along(data: xr.Dataset) -> list[str]:
    """The dimensions of an error beside time and seeds: what was swept."""
    error = error_name(data)
    if error not in data:
        return []
    return [str(dim) for dim in data[error].dims if dim not in ("time", "seed")]


def last_times(data: xr.Dataset, count: int) -> np.ndarray:
    """Indices of a few recorded times, spread over all of them."""
    return np.unique(np.linspace(0, data.sizes["time"] - 1, count).round().astype(int))


def _between_ends(curve: xr.DataArray, recorded: xr.DataArray) -> xr.DataArray:
    """The part of a dense curve between the first and the last recorded time."""
    times = recorded.time.values
    inside = (curve.time.values >= times.min()) & (curve.time.values <= times.max())
    return curve.isel(time=np.flatnonzero(inside))


def _runs_through(curve: xr.DataArray, recorded: xr.DataArray) -> bool:
    """Whether each recorded value lies among those of a curve at the times around it.

    It does not where a user has selected or changed what was recorded, but not the curve.
    """
    times, dense = recorded.time.values, curve.time.values
    if len(times) < 2 or len(dense) < 2 or set(curve.dims) != set(recorded.dims):
        return False
    values = recorded.transpose("time", ...)
    numbers = curve.transpose(*values.dims).values
    if numbers.shape[1:] != values.shape[1:]:
        return False
    # The four points around a time, so that a value at the top of an arc is among them, nearly.
    next_one = np.searchsorted(dense, times)
    around = np.clip(next_one[:, None] + np.arange(-2, 2), 0, len(dense) - 1)
    low, high = numbers[around].min(axis=1), numbers[around].max(axis=1)
    slack = NEAR * (high - low) + ROUNDING * np.abs(numbers[around]).max(axis=1) + TINY
    known = np.isfinite(values.values) & np.isfinite(slack)
    inside = (values.values >= low - slack) & (values.values <= high + slack)
    return bool(inside[known].all())


def _with_seeds(simulation: xr.Dataset) -> xr.Dataset:
    """A simulation with the dimension `seed`, also where one network was selected."""
    if "seed" in simulation.dims:
        return simulation
    return simulation.expand_dims("seed")


def _kind(results: xr.Dataset) -> str:
    """Whether a dataset is a theory or a simulation; ValueError if it is neither."""
    kind = "dataset of another kind"
    if DESCRIPTION in results.attrs:
        kind = description(results)["kind"]
    if kind not in ("theory", "simulation"):
        raise ValueError(
            f"there is nothing to plot in a {kind}; give a theory, a simulation, or what ts.load "
            "answers."
        )
    return kind
