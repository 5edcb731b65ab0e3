"""Results: labelled datasets, and the HDF5 files that hold them.

A file has the groups `theory`, `simulation` and `comparison`; each is an xarray dataset whose
attribute `teacherstudent` is one JSON string with the problem, the start, and how the numbers were
made.  It opens with plain h5py as well.
"""

import datetime
import json
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

import teacherstudent
from teacherstudent.checking import checks
from teacherstudent.models.learnable import Learnable
from teacherstudent.models.state import State
from teacherstudent.observables.observable import Observable, check_answers
from teacherstudent.problem import Problem
from teacherstudent.results.bands import is_of_band
from teacherstudent.results.dense_curves import PREFIX
from teacherstudent.results.description import describe_problem, describe_start
from teacherstudent.rules import Rule
from teacherstudent.starts import Start
from teacherstudent.states.spectral_overlaps import SpectralOverlaps

SCHEMA = 2
DESCRIPTION = "teacherstudent"  # the attribute with the JSON string, and the mark of our files

# name: (dimensions after the leading ones, long name, LaTeX symbol); all quantities are
# dimensionless
VARIABLES = {
    "Q": (("time", "student", "student_"), "overlap of student units", r"$Q_{kl}$"),
    "R": (("time", "student", "teacher"), "overlap of student and teacher units", r"$R_{km}$"),
    "T": (("teacher", "teacher_"), "overlap of teacher units", r"$T_{mn}$"),
    "v": (("time", "student"), "readout of the student", r"$v_k$"),
    "eps_g": (("time",), "generalisation error", r"$\epsilon_g$"),
    "m": (
        ("time", "student", "direction"),
        "overlap of student units and fixed directions",
        r"$m_{ka}$",
    ),
    "b": (("time", "student"), "biases of the student", r"$b_k$"),
    "loss": (("time",), "expected loss", r"$E\ell$"),
    "accuracy": (("time",), "probability of the right class", r"$P(y\phi > 0)$"),
    "test_loss": (("time",), "loss on held-out samples", r"$\hat E\ell$"),
    "test_loss_se": (("time",), "standard error of the held-out loss", r"$\delta\hat E\ell$"),
    "test_accuracy": (
        ("time",),
        "fraction of held-out samples with the right class",
        r"$\hat P(y\phi > 0)$",
    ),
    "test_accuracy_se": (("time",), "standard error of that fraction", r"$\delta\hat P$"),
    "oracle_error": (
        (),
        "smallest classification error of any classifier",
        r"$\epsilon_{\rm oracle}$",
    ),
    "directions": (("direction", "latent"), "fixed directions", r"$u_a$"),
    "test_error": (("time",), "error on held-out samples", r"$\hat\epsilon_g$"),
    "train_error": (("time",), "error on the training set", r"$\hat\epsilon_t$"),
    "train_loss": (("time",), "loss on the training set", r"$\hat E_t\ell$"),
    "w_start": (("student", "input"), "student weights at the start", r"$w_k$"),
    "w_star": (("teacher", "latent"), "teacher weights", r"$w^*_m$"),
    "q": (
        ("time", "rho", "student", "student_"),
        "overlap of student units by mode",
        r"$q_{kl}(\rho)$",
    ),
    "r": (
        ("time", "rho", "student", "teacher"),
        "overlap of student and teacher units by mode",
        r"$r_{km}(\rho)$",
    ),
    "phase": (("time",), "phase of the protocol", "phase"),
    "switch_time": (("switch",), "time at which the next phase begins", r"$t_s$"),
    "q_last": (
        ("rho", "student", "student_"),
        "overlap of student units by mode at the last time",
        r"$q_{kl}(\rho)$",
    ),
    "r_last": (
        ("rho", "student", "teacher"),
        "overlap of student and teacher units by mode at the last time",
        r"$r_{km}(\rho)$",
    ),
    "memory_last": (("memory_entry",), "what the rule remembers at the last time", "memory"),
    "chain_last": (("chain_entry",), "the chain of the overlaps at the last time", "chain"),
    "w_last": (("student", "input"), "student weights at the last time", r"$w_k$"),
    "w_star_last": (
        ("teacher", "latent"),
        "teacher weights (or fixed directions) of each network",
        r"$w^*_m$",
    ),
    "weights": (("rho",), "weights of the eigenvalues", r"$p(\rho)$"),
    "q_start": (
        ("rho", "student", "student_"),
        "overlap of student units by mode at the start",
        r"$q_{kl}(\rho)$",
    ),
    "r_start": (
        ("rho", "student", "teacher"),
        "overlap of student and teacher units by mode at the start",
        r"$r_{km}(\rho)$",
    ),
    "t": (("rho", "teacher", "teacher_"), "overlap of teacher units by mode", r"$t_{mn}(\rho)$"),
    "test_error_se": (("time",), "standard error of the held-out error", r"$\delta\hat\epsilon_g$"),
    "Omega": (("input", "input_"), "covariance of the inputs", r"$\Omega_{ij}$"),
    "Phi": (("input", "latent"), "covariance of inputs and latent", r"$\Phi_{ir}$"),
    "mean": (("input",), "mean of the inputs", r"$E x_i$"),
    "F": (("input", "latent"), "feature matrix", r"$F_{ir}$"),
}
# The dimensions of units, where a sweep says which of them a point has.
UNITS = {
    "has_student": ("student", "student_"),
    "has_teacher": ("teacher", "teacher_", "direction"),
}
# What another run needs to go on from the last time.
WITH_LEADING = ("switch_time",)
OF_THE_END = ("q_last", "r_last", "memory_last", "chain_last", "w_last", "w_star_last")
COORDINATES = {
    "time": Rule.TIME,
    "seed": ("seed of the random stream", r"seed", "1"),
    "start": ("index of the start", r"start", "1"),
    "rho": ("eigenvalue of the input covariance", r"$\rho$", "1"),
    "learning_rate": ("learning rate of the first layer", r"$\eta$", "1"),
    "readout_learning_rate": ("learning rate of the readout", r"$\eta_v$", "1"),
    "bias_learning_rate": ("learning rate of the biases", r"$\eta_b$", "1"),
    "weight_decay": ("weight decay", r"$\kappa$", "1"),
    "gain": ("gain of AGD", r"$g$", "1"),
    "readout_gain": ("gain of AGD for the readout", r"$g_v$", "1"),
    "first_scale": ("scale of the first layer in AGD", r"$s_1$", "1"),
    "beta": ("memory of the rule", r"$\beta$", "1"),
    "gamma": ("rate at which the rule forgets", r"$\gamma$", "1"),
    "noise": ("standard deviation of the label noise", r"$\sigma$", "1"),
}


def rename_for_task(problem: Learnable, values: Mapping) -> dict:
    """The variables as a dataset of this problem has them: under the task's names for them, without
    those that have no meaning for it.
    """
    left_out = problem.not_recorded
    return {
        problem.family.name_of(name): value
        for name, value in values.items()
        if name not in left_out
    }


def dimension_sizes(problem: Problem, N: int | None = None) -> dict[str, int]:
    """The sizes of the dimensions that an observable may have; those of weights if N is given."""
    students, fixed = VARIABLES[problem.task.name_of("R")][0][1:]
    sizes = {students: problem.student.width, fixed: problem.task.directions}
    sizes |= {f"{name}_": size for name, size in sizes.items()}
    if N is not None:
        sizes |= {"input": N, "latent": problem.task.latent_dimension(N)}
    return sizes


def check_sweeps(problem: Problem) -> None:
    """Raise ValueError for a swept number whose name a dataset needs for something else."""
    dimensions = {dim for dims, *_ in VARIABLES.values() for dim in dims}
    taken = {*VARIABLES, *dimensions, "seed", "start"}
    for name in problem.sweeps:
        if name in taken:
            raise ValueError(
                f"{name} is a sequence, but results have a {name} of their own, so that it cannot "
                "be a dimension; rename the field, or give one number."
            )


def check_observables(
    observables: Sequence[Observable], problem: Problem, N: int | None = None
) -> None:
    """Raise ValueError for an observable whose name or dimensions a dataset needs for something
    else, or whose function does not answer what its dimensions say.
    """
    sizes = dimension_sizes(problem, N)
    dimensions = {dim for dims, *_ in VARIABLES.values() for dim in dims}
    taken = {*VARIABLES, *COORDINATES, *dimensions, *problem.sweeps, *problem.task.ARRAYS}
    names = {one.name for one in observables}
    for one in observables:
        if one.name in taken and not one.IS_VARIABLE:
            raise ValueError(f"{one.title}: results have a {one.name} of their own; rename it.")
        if one.name.startswith(PREFIX):
            raise ValueError(
                f"{one.title}: names that begin with {PREFIX} are those of the dense curves that "
                "a theory keeps for drawing; rename it."
            )
        for dim in one.dims:
            if dim not in sizes and dim in taken | names:
                raise ValueError(
                    f"{one.title} has the dimension {dim!r}, which is something else in the "
                    f"results of this problem; give one of {', '.join(sizes)}, or a new name."
                )
    _check_coordinates(observables)
    check_answers(observables, problem.student.width, problem.task.directions, sizes)


def _check_coordinates(observables: Sequence[Observable]) -> None:
    """Raise ValueError if two observables have other numbers along one dimension."""
    first: dict[str, tuple[str, tuple[float, ...]]] = {}
    for one in observables:
        for dim, numbers in one.coordinates:
            title, others = first.setdefault(dim, (one.title, numbers))
            if numbers != others:
                raise ValueError(
                    f"{one.title} has other coordinates along {dim!r} than {title}; give both the "
                    "same ones, or name another dimension."
                )


def dataset(
    kind: str,
    problem: Problem,
    start: Start,
    *,
    coordinates: Mapping[str, np.ndarray],
    variables: Mapping[str, np.ndarray],
    leading: Sequence[str] = (),
    report: Mapping,
    observables: Sequence[Observable] = (),
) -> xr.Dataset:
    """A labelled dataset of order parameters.

    `leading` names the dimensions in front of those in `VARIABLES`; a variable without a time (T)
    has of them only `start`.  `report` says how the numbers were made and must be JSON.  Of
    `observables` the values are among the variables.  Beside these the dataset keeps what is needed
    to repeat the run: the task's arrays, and the spectrum of the start or its weights.
    """
    arrays = rename_for_task(problem, variables)
    arrays |= _arrays_of(problem)
    arrays |= rename_for_task(problem, _arrays_of_start(kind, start))
    coordinates = dict(coordinates)
    for name in COORDINATES:
        if name in arrays:
            coordinates[name] = arrays.pop(name)
    own = {one.name: one for one in observables}
    for one in observables:
        coordinates |= {dim: np.asarray(numbers) for dim, numbers in one.coordinates}
    data = {}
    for name, values in arrays.items():
        if name in own:
            data[name] = _variable_of_observable(own[name], values, leading)
        else:
            data[name] = _variable(name, values, leading)
    coords = {name: _coordinate(name, values, problem) for name, values in coordinates.items()}
    report = dict(report)
    if len(coordinates["time"]):  # so that a part of the data can be told from the whole
        report["first_time"] = float(coordinates["time"][0])
        report["last_time"] = float(coordinates["time"][-1])
    return xr.Dataset(data, coords=coords, attrs=described(kind, problem, report, start))


def _variable(name: str, values, leading: Sequence[str]) -> tuple:
    """A quantity of `VARIABLES`, with as many of the leading dimensions as its array has."""
    dims, long_name, symbol = VARIABLES[name]
    in_front = np.ndim(values) - len(dims)
    front = ("start",) * in_front
    of_each = (*OF_THE_END, *WITH_LEADING)
    if "time" in dims or name in of_each or "start" not in leading:
        front = tuple(leading)[:in_front]
    attributes = {"long_name": long_name, "symbol": symbol, "units": "1"}
    encoding = {}
    if name in OF_THE_END:
        encoding = {"zlib": True, "shuffle": True, "complevel": 4}
    return front + dims, np.asarray(values), attributes, encoding


def _variable_of_observable(observable: Observable, values, leading: Sequence[str]) -> tuple:
    """An observable, along all leading dimensions and time."""
    attributes = {
        "long_name": observable.long_name,
        "symbol": observable.symbol,
        "units": observable.units,
    }
    return (*leading, "time", *observable.dims), np.asarray(values), attributes


def observables_in_common(*results: xr.Dataset) -> list[str]:
    """The names of the observables along time that all of several datasets have.

    Of theories the accuracy is no observable, but of networks, which record it if it is asked for.
    """
    known = set(VARIABLES)
    if len(results) > 1:
        known.remove("accuracy")
    first = results[0]
    names = [str(name) for name in first.data_vars if "time" in first[name].dims]
    names = [name for name in names if name not in known and not is_of_band(first, name)]
    return [name for name in names if all(name in one for one in results)]


def described(
    kind: str, problem: Learnable, report: Mapping, start: Start | State | None = None
) -> dict[str, str]:
    """The attribute in which a dataset says what it is and how it was made."""
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": kind,
        "problem": describe_problem(problem),
    }
    if start is not None:
        facts["start"] = describe_start(start, problem)
    facts["report"] = dict(report)
    facts["versions"] = dict(versions())
    facts["created"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {DESCRIPTION: json.dumps(facts)}


def _arrays_of(problem: Problem) -> dict:
    """Fields of the task that are arrays, as far as it has them."""
    arrays = {name: getattr(problem.task, name) for name in problem.task.ARRAYS}
    return {name: np.asarray(value) for name, value in arrays.items() if value is not None}


def _arrays_of_start(kind: str, start: Start) -> dict:
    """Of a theory the spectrum with its densities; of a simulation the weights that it began from,
    if they were given.
    """
    if kind in ("theory", "fixed_point") and isinstance(start, SpectralOverlaps):
        return {
            "rho": start.rho,
            "weights": start.weights,
            "q_start": start.q,
            "r_start": start.r,
            "t": start.t,
        }
    if kind == "simulation" and start.network is not None:
        return {"w_start": start.network.w, "w_star": start.network.w_star}
    return {}


def _coordinate(name: str, values, problem: Problem):
    """A coordinate with its attributes; a parameter of a rule of one's own is known by its name."""
    parameter = (name.replace("_", " "), name, "1")
    long_name, symbol, units = COORDINATES.get(name, parameter)
    if name == "time":
        long_name, symbol, units = problem.time_attributes
    return (name, np.asarray(values), {"long_name": long_name, "symbol": symbol, "units": units})


def description(data: xr.Dataset | xr.DataTree) -> dict:
    """What a dataset says of itself: problem, start, report, versions, creation time."""
    try:
        facts = json.loads(data.attrs[DESCRIPTION])
    except (KeyError, TypeError, json.JSONDecodeError):
        facts = None
    if not isinstance(facts, dict):
        raise ValueError(
            f"a dataset has no attribute {DESCRIPTION!r} that describes it; give what this "
            "package made."
        )
    return facts


@cache
def versions() -> Mapping[str, str]:
    """Versions of Python and of the packages that made the numbers.

    They are read once in a process: from the packages' files, that takes longer than a solve.
    """
    packages = ("jax", "jaxlib", "diffrax", "equinox", "optax", "numpy", "xarray", "h5py")
    found = {"teacherstudent": teacherstudent.__version__, "python": platform.python_version()}
    found |= {name: version(name) for name in packages}
    return MappingProxyType(found)  # nobody changes what all share


def error_name(data: xr.Dataset) -> str:
    """The variable that says how well a problem is learnt."""
    of_model = {}
    if DESCRIPTION in data.attrs:
        of_model = description(data).get("report", {}).get("quantities", {})
    if of_model:
        return str(of_model["error"])
    return "loss" if "loss" in data else "eps_g"


def listed_simulations(simulation) -> list[xr.Dataset]:
    """The datasets of one or several simulations.

    Raises ValueError unless each is a dataset that `simulate` made.
    """
    several = list(simulation) if isinstance(simulation, list | tuple) else [simulation]
    for one in several:
        if not isinstance(one, xr.Dataset):
            raise ValueError(
                f"simulation is {checks.kind_of(one)}; give a Dataset, or a list of them."
            )
        if "N" not in description(one).get("report", {}):
            raise ValueError(
                "simulation is a dataset that no simulation made; give what ts.simulate returned."
            )
    return several


def as_tree(
    *,
    theory=None,
    simulation=None,
    comparison=None,
    escape=None,
    fixed_point=None,
    variants=None,
) -> xr.DataTree:
    """The groups of a result file as a `DataTree`."""
    groups = {"theory": theory, "comparison": comparison, "escape": escape}
    groups["fixed_point"] = fixed_point
    for name, data in groups.items():
        if data is not None and not isinstance(data, xr.Dataset):
            raise ValueError(f"{name} is {checks.kind_of(data)}; give a Dataset.")
    groups |= _groups_of_simulations(simulation)
    groups |= _groups_of_variants(variants)
    present = {name: data for name, data in groups.items() if data is not None}
    if not present:
        raise ValueError(
            "there is nothing to save; give theory=, simulation=, comparison=, escape=, "
            "fixed_point= or variants=."
        )
    root = xr.Dataset(attrs={DESCRIPTION: json.dumps({"schema": SCHEMA})})
    return xr.DataTree.from_dict({"/": root, **present})


def _groups_of_simulations(simulation) -> dict[str, xr.Dataset]:
    """One simulation is a group; several have groups of their own, by their N."""
    if simulation is None:
        return {}
    if isinstance(simulation, xr.Dataset):
        return {"simulation": simulation}
    several = listed_simulations(simulation)
    sizes = [description(one)["report"]["N"] for one in several]
    if len(set(sizes)) < len(sizes):
        raise ValueError(
            f"two of the simulations have the same N ({sizes}); save them to files of their own."
        )
    return {f"simulation/N_{N}": one for N, one in zip(sizes, several, strict=True)}


def _groups_of_variants(variants) -> dict[str, xr.Dataset]:
    """The groups of results of several problems, each below its name."""
    if not isinstance(variants, Mapping | None):
        raise ValueError(
            f"variants is {checks.kind_of(variants)}; give a dictionary of results by name."
        )
    groups = {}
    for label, tree in (variants or {}).items():
        if not isinstance(label, str) or not isinstance(tree, xr.DataTree):
            raise ValueError(
                f"variants[{checks.shortened(label)}] is {checks.kind_of(tree)}; give a DataTree "
                "by its name."
            )
        for node in tree.subtree:
            if node.has_data:
                groups[f"variants/{label}{node.path}"] = node.to_dataset()
    return groups


def simulations(tree: xr.DataTree) -> list[xr.Dataset]:
    """The simulations of a result, smallest N first."""
    if "simulation" not in tree.children:
        return []
    group = tree["simulation"]
    if group.data_vars:
        return [group.to_dataset()]
    several = [child.to_dataset() for child in group.children.values()]
    return sorted(several, key=lambda one: description(one)["report"]["N"])


def variants_of(tree: xr.DataTree) -> dict[str, xr.DataTree]:
    """The results of several problems in one file, by name; none in a file of one problem."""
    if "variants" not in tree.children:
        return {}
    return dict(tree["variants"].children)
