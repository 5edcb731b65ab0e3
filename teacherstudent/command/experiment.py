"""Experiments: a problem, a start, times, and how to integrate and simulate it, as a TOML file."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from teacherstudent.checking import checks
from teacherstudent.command import published
from teacherstudent.problem import Problem
from teacherstudent.results.description import Sentences, problem_from, start_from, validated
from teacherstudent.starts import Start, check_rank, random_start, spectral_start
from teacherstudent.tasks import MixtureTask, StructuredTask
from teacherstudent.times import linear_times, log_times

NEEDED = ("task", "student", "rule", "start", "times")  # tables of an experiment without variants


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
    """What one command runs: `integrate` and `simulate` of `problem` from `start` at `times`,
    `clones` with them or not.
    """

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
    """What one command runs: several experiments that share most of their tables, to be seen in one
    figure.
    """

    name: str
    title: str
    reference: str
    variants: dict[str, Experiment]


def changed(tables: Mapping, assignments: Sequence[str]) -> dict:
    """The tables after assignments such as "rule.learning_rate=0.2"; the right side is TOML, or
    else a string.
    """
    tables = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in tables.items()
    }
    for assignment in assignments:
        place, equals, text = assignment.partition("=")
        *path, key = place.strip().split(".")
        if not equals or not key:
            raise ValueError(
                f"--set {assignment!r} is not of the form table.key=value, such as "
                "rule.learning_rate=0.2."
            )
        table = tables
        for name in path:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ValueError(f"--set {assignment!r}: {name} is a value, not a table.")
        table[key] = _toml_value(text.strip())
    return tables


def read(
    name_or_file: str, assignments: Sequence[str] = ()
) -> Experiment | EscapeExperiment | VariantsExperiment:
    """The experiment of a published set-up or of a TOML file, after assignments such as
    "rule.learning_rate=0.2".

    Raises FileNotFoundError if there is neither, ValueError that begins with the file's name for
    all that is wrong with it.
    """
    name, tables = published.read(name_or_file)
    try:
        return experiment(name, changed(tables, assignments))
    except ValueError as error:
        if name_or_file in published.names():  # a published set-up: what is wrong is an assignment
            raise
        raise ValueError(f"{name_or_file}: {error}") from None


def experiment(name: str, tables: Mapping) -> Experiment | EscapeExperiment | VariantsExperiment:
    """The experiment of the tables of a TOML file, checked completely before anything runs.

    Raises ValueError naming what is unknown, missing or not allowed, in all tables at once; what
    takes time (a manifold that is drawn, the eigenvalues of its inputs) comes after all else is
    right.
    """
    if tables.get("variants") is not None:
        return _variants(name, validated(_Tables, tables), tables)
    needed = ("task", "student", "rule") if tables.get("escape") is not None else NEEDED
    sentences = Sentences()
    with sentences.collected():
        outer = validated(_Tables, tables)
    missing = [f"{key} is missing." for key in needed if tables.get(key) is None]
    if sentences.found or missing:
        raise ValueError(" ".join([*sentences.found, *missing]))
    with sentences.collected():
        problem = problem_from(
            {
                key: outer[key]
                for key in ("task", "student", "rule", "loss", "batch_size", "batch_ratio")
            }
        )
    if outer["escape"] is not None:
        with sentences.collected():
            options = _escape_options(outer)
        sentences.raise_together()
        problem.require_classes()
        return EscapeExperiment(name, outer["title"], outer["reference"], problem, options)
    with sentences.collected():
        times = _times(outer["times"])
    with sentences.collected():
        theory = Theory(**validated(Theory, outer["theory"], "theory."))
    with sentences.collected():
        simulation = _simulation(outer["simulation"])
    with sentences.collected():
        random = _random_table(outer["start"])
    sentences.raise_together()
    start = _start(problem, outer["start"], random, simulation)
    return Experiment(
        name=name,
        title=outer["title"],
        reference=outer["reference"],
        problem=problem,
        start=start,
        times=times,
        theory=theory,
        simulation=simulation,
        clones=outer["clones"],
    )


def _variants(name: str, outer: Mapping, tables: Mapping) -> VariantsExperiment:
    """One experiment for each table of `variants`, whose entries take the place of those beside it."""
    shared = {key: value for key, value in tables.items() if key != "variants"}
    made = {}
    for label, changes in outer["variants"].items():
        if not label.isprintable() or "/" in label or label in ("", ".", ".."):
            shown = checks.shortened(label)
            raise ValueError(
                f"variants has the name {shown}; give names without a slash, at least one letter."
            )
        try:
            one = experiment(f"{name}: {label}", _with_changes(shared, changes))
        except ValueError as error:
            raise ValueError(f"variants.{checks.shortened_text(label)}: {error}") from None
        if not isinstance(one, Experiment) or one.clones or one.problem.sweeps or one.start.batch:
            shown = checks.shortened_text(label)
            raise ValueError(
                f"variants.{shown}: a variant has a start and times, and no clones, sweeps or "
                "escape."
            )
        made[label] = one
    if not made:
        raise ValueError("variants is empty; give at least one table, such as variants.sgd.rule.")
    return VariantsExperiment(name, outer["title"], outer["reference"], made)


def _with_changes(tables: Mapping, changes: Mapping) -> dict:
    """The tables with the entries of others; start, times, and a table with a type of its own are
    replaced as a whole.
    """
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


def _escape_options(outer: Mapping) -> Escape:
    """The options of an experiment with the table `escape`, which has no start and no times of its
    own.
    """
    extra = [key for key in ("start", "times", "theory", "simulation", "clones") if outer[key]]
    if extra:
        raise ValueError(
            f"escape draws its own random starts and has no {', '.join(extra)}; leave these "
            "tables out."
        )
    options = Escape(**validated(Escape, outer["escape"], "escape."))
    checks.seeds(options.seeds)
    return options


def _simulation(table: Mapping) -> Simulation:
    """The options of `simulate`."""
    simulation = Simulation(**validated(Simulation, table, "simulation."))
    checks.seeds(simulation.seeds)
    if not simulation.sizes or len(set(simulation.sizes)) < len(simulation.sizes):
        given = checks.shortened(simulation.N)
        raise ValueError(f"simulation.N = {given}: give one size, or several different ones.")
    return simulation


def _random_table(table: Mapping) -> dict | None:
    """The options of `random_start`, if the start is random."""
    if "random" not in table:
        return None
    if not isinstance(table["random"], Mapping):
        given = checks.shortened(table["random"])
        raise ValueError(
            f"start.random = {given} is not a table; give start.random.N and, say, seed."
        )
    if len(table) > 1:
        others = checks.shortened_text(", ".join(set(table) - {"random"}))
        raise ValueError(f"start has both random and {others}; give one or the other.")
    return validated(_Random, table["random"], "start.random.")


def _start(problem: Problem, table: Mapping, random: dict | None, simulation: Simulation) -> Start:
    """The start, whose sizes are checked before anything is drawn."""
    for N in simulation.sizes:
        problem.task.latent_dimension(N)
    if random is not None and isinstance(problem.task, StructuredTask):
        _check_same_size(random["N"], simulation)
    start = start_from(table) if random is None else random_start(problem, **random)
    problem.check_start(start)
    for N in simulation.sizes if start.network is None else ():
        check_rank(start, N)
    if not isinstance(problem.task, MixtureTask):
        spectral_start(problem, start)  # says so if the start has no meaning on these inputs
    return start


def _check_same_size(drawn: int, simulation: Simulation) -> None:
    """Weights on structured inputs belong to one N; a problem that is only in the limit can be
    simulated at any.
    """
    for N in simulation.sizes:
        if drawn != N:
            raise ValueError(
                f"simulation.N = {N}, but start.random draws weights with N = {drawn}, on whose "
                "spectrum the theory depends; set both start.random.N and simulation.N."
            )


def _times(table: Mapping) -> np.ndarray:
    given = validated(_Times, table, "times.")
    if (given["values"] is None) == (given["stop"] is None):
        found = "neither" if given["stop"] is None else "both"
        raise ValueError(
            f"times has {found} values and stop; give either values or stop (with points, "
            "spacing, first)."
        )
    if given["values"] is not None:
        return checks.times(given["values"])
    if given["spacing"] == "linear":
        return linear_times(given["stop"], given["points"])
    if given["first"] >= given["stop"]:
        raise ValueError(
            f"times.first = {given['first']:g} must be smaller than times.stop = {given['stop']:g}."
        )
    return log_times(given["stop"], given["points"], given["first"])


def _toml_value(text: str):
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
