"""Experiments: a problem, a start, times, and how to integrate and simulate it, as a TOML file."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from teacherstudent import checks
from teacherstudent.description import problem_from, start_from, validated
from teacherstudent.problem import Problem
from teacherstudent.starts import Start, check_rank, random_start, spectral_start
from teacherstudent.tasks import MixtureTask
from teacherstudent.times import linear_times, log_times


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class Theory(_Table):
    """Options of `integrate`."""

    rtol: PositiveFloat = 1e-8
    atol: PositiveFloat = 1e-10
    solver: Literal["auto", "tsit5", "dopri8", "kvaerno5"] = "auto"
    max_steps: PositiveInt = 100_000
    spectral: bool = False


class Simulation(_Table):
    """Options of `simulate`; N may be a list of sizes."""

    N: PositiveInt | list[PositiveInt] = 1000
    seeds: PositiveInt | list[int] = 8
    method: Literal["weights", "reduced", "auto"] = "weights"
    dtype: Literal["float32", "float64"] = "float32"
    test_samples: int = Field(default=0, ge=0)

    @property
    def sizes(self) -> list[int]:
        """The sizes N as a list."""
        return self.N if isinstance(self.N, list) else [self.N]


class Escape(_Table):
    """Options of `escape`, of an experiment that waits for networks to leave a random start."""

    N: PositiveInt | list[PositiveInt]
    seeds: PositiveInt | list[int] = 64
    threshold: float = Field(default=0.5, gt=0, le=1)
    max_steps: PositiveInt = 1_000_000
    learning_rate_exponent: float = 0.0
    aligned: bool = False
    enough: float = Field(default=0.75, gt=0, le=1)
    method: Literal["weights", "reduced", "auto"] = "auto"
    dtype: Literal["float32", "float64"] = "float32"


class _Times(_Table):
    values: list[float] | None = None
    stop: PositiveFloat | None = None
    points: int = Field(default=100, ge=2, le=1_000_000)
    spacing: Literal["log", "linear"] = "log"
    first: PositiveFloat = 0.1


class _Random(_Table):
    N: PositiveInt
    seed: int = 0
    scale: float = 1.0
    T: list[list[float]] | None = None
    readout_scale: float = 1.0


class _Tables(_Table):
    title: str
    reference: str = ""
    task: dict | None = None
    student: dict | None = None
    rule: dict | None = None
    loss: str | None = None
    batch_size: int | None = None
    batch_ratio: float | None = Field(default=None, allow_inf_nan=True)
    start: dict | None = None
    times: dict | None = None
    theory: dict = {}
    simulation: dict = {}
    clones: bool = False
    escape: dict | None = None
    variants: dict[str, dict] | None = None


class Experiment(NamedTuple):
    """What one command runs: `integrate` and `simulate` of `problem` from `start` at `times`, `clones` with them or not."""

    name: str
    title: str
    reference: str
    problem: Problem
    start: Start
    times: np.ndarray
    theory: Theory
    simulation: Simulation
    clones: bool


class EscapeExperiment(NamedTuple):
    """What one command runs: `escape` of `problem`."""

    name: str
    title: str
    reference: str
    problem: Problem
    escape: Escape


class VariantsExperiment(NamedTuple):
    """What one command runs: several experiments that share most of their tables, to be seen in one figure."""

    name: str
    title: str
    reference: str
    variants: dict[str, Experiment]


def changed(tables: Mapping, assignments: Sequence[str]) -> dict:
    """The tables after assignments such as "rule.learning_rate=0.2"; the right side is TOML, or else a string."""
    tables = {key: dict(value) if isinstance(value, Mapping) else value for key, value in tables.items()}
    for assignment in assignments:
        place, equals, text = assignment.partition("=")
        *path, key = place.strip().split(".")
        if not equals or not key:
            raise ValueError(
                f"--set {assignment!r} is not of the form table.key=value, such as rule.learning_rate=0.2."
            )
        table = tables
        for name in path:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ValueError(f"--set {assignment!r}: {name} is a value, not a table.")
        table[key] = _toml_value(text.strip())
    return tables


def experiment(name: str, tables: Mapping) -> Experiment | EscapeExperiment | VariantsExperiment:
    """The experiment of the tables of a TOML file, checked completely before anything runs.

    Raises ValueError naming what is unknown, missing or not allowed.
    """
    outer = validated(_Tables, tables)
    if outer["variants"] is not None:
        return _variants(name, outer, tables)
    for needed in ("task", "student", "rule"):
        if outer[needed] is None:
            raise ValueError(f"{needed} is missing.")
    problem = problem_from(
        {key: outer[key] for key in ("task", "student", "rule", "loss", "batch_size", "batch_ratio")}
    )
    if outer["escape"] is not None:
        return _escape(name, outer, problem)
    for needed in ("start", "times"):
        if outer[needed] is None:
            raise ValueError(f"{needed} is missing.")
    start = _start(problem, outer["start"])
    problem.check_start(start)
    if not isinstance(problem.task, MixtureTask):
        spectral_start(problem, start)  # says so if the start has no meaning on these inputs
    simulation = Simulation(**validated(Simulation, outer["simulation"], "simulation."))
    if isinstance(simulation.seeds, list):
        checks.seeds(simulation.seeds)
    if not simulation.sizes or len(set(simulation.sizes)) < len(simulation.sizes):
        raise ValueError(f"simulation.N = {simulation.N}: give one size, or several different ones.")
    for N in simulation.sizes:
        check_rank(start, N)
        _check_size(N, problem, start)
    return Experiment(
        name=name,
        title=outer["title"],
        reference=outer["reference"],
        problem=problem,
        start=start,
        times=_times(outer["times"]),
        theory=Theory(**validated(Theory, outer["theory"], "theory.")),
        simulation=simulation,
        clones=outer["clones"],
    )


def _variants(name: str, outer: Mapping, tables: Mapping) -> VariantsExperiment:
    """One experiment for each table of `variants`, whose entries take the place of those beside it."""
    shared = {key: value for key, value in tables.items() if key != "variants"}
    made = {}
    for label, changes in outer["variants"].items():
        if not label or "/" in label:
            raise ValueError(f"variants has the name {label!r}; give names without a slash, at least one letter.")
        try:
            one = experiment(f"{name}: {label}", _with_changes(shared, changes))
        except ValueError as error:
            raise ValueError(f"variants.{label}: {error}") from None
        if not isinstance(one, Experiment) or one.clones or one.problem.sweeps or one.start.batch:
            raise ValueError(f"variants.{label}: a variant has a start and times, and no clones, sweeps or escape.")
        made[label] = one
    if not made:
        raise ValueError("variants is empty; give at least one table, such as variants.sgd.rule.")
    return VariantsExperiment(name, outer["title"], outer["reference"], made)


def _with_changes(tables: Mapping, changes: Mapping) -> dict:
    """The tables with the entries of others; start, times, and a table with a type of its own are replaced as a whole."""
    merged = dict(tables)
    for key, value in changes.items():
        old = merged.get(key)
        whole = (
            not isinstance(value, Mapping)
            or not isinstance(old, Mapping)
            or "type" in value
            or key in ("start", "times")
        )
        merged[key] = value if whole else {**dict(old or {}), **value}
    return merged


def _escape(name: str, outer: Mapping, problem: Problem) -> EscapeExperiment:
    """An experiment with the table `escape`, which has no start and no times of its own."""
    extra = [key for key in ("start", "times", "theory", "simulation", "clones") if outer[key]]
    if extra:
        raise ValueError(f"escape draws its own random starts and has no {', '.join(extra)}; leave these tables out.")
    _ = problem.classes  # says so if there are none
    options = Escape(**validated(Escape, outer["escape"], "escape."))
    return EscapeExperiment(name, outer["title"], outer["reference"], problem, options)


def _check_size(N: int, problem: Problem, start: Start) -> None:
    """Weights belong to one N; a problem that is only in the limit can be simulated at any."""
    problem.task.latent_dimension(N)
    if start.network is not None and start.network.w.shape[-1] != N:
        own = start.network.w.shape[-1]
        raise ValueError(
            f"simulation.N = {N}, but start.random draws weights with N = {own}, on whose spectrum the theory depends; set both "
            "start.random.N and simulation.N."
        )


def _start(problem: Problem, table: Mapping) -> Start:
    if "random" not in table:
        return start_from(table)
    if not isinstance(table["random"], Mapping):
        raise ValueError(f"start.random = {table['random']!r} is not a table; give start.random.N and, say, seed.")
    if len(table) > 1:
        raise ValueError(f"start has both random and {', '.join(set(table) - {'random'})}; give one or the other.")
    return random_start(problem, **validated(_Random, table["random"], "start.random."))


def _times(table: Mapping) -> np.ndarray:
    given = validated(_Times, table, "times.")
    if (given["values"] is None) == (given["stop"] is None):
        found = "neither" if given["stop"] is None else "both"
        raise ValueError(
            f"times has {found} values and stop; give either values or stop (with points, spacing, first)."
        )
    if given["values"] is not None:
        return checks.times(given["values"])
    if given["spacing"] == "linear":
        return linear_times(given["stop"], given["points"])
    if given["first"] >= given["stop"]:
        raise ValueError(f"times.first = {given['first']:g} must be smaller than times.stop = {given['stop']:g}.")
    return log_times(given["stop"], given["points"], given["first"])


def _toml_value(text: str):
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
