"""The tables of an experiment's TOML file: which entries they have, and of which type.

An entry that a file leaves out is not passed on, so that the verb's own default holds: of
`integrate` for `[theory]`, of `simulate` for `[simulation]`, of `escape` for `[escape]`, of
`random_start` for `[start.random]`, of `log_times` and `linear_times` for `[times]`.  The one
number that the verbs do not have is the size N of the networks.
"""

import copy
import tomllib
from collections.abc import Iterable, Mapping, MutableMapping
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from teacherstudent.averages.resolution import Quadrature
from teacherstudent.checking import checks
from teacherstudent.results.description import Sentences, parsed
from teacherstudent.times import linear_times, log_times

SIZE = 1000  # N of networks whose experiment names none
TEXTS = ("title", "reference", "figure", "seen", "parameters", "kind")  # which decide no number
PROBLEM = ("task", "student", "rule", "loss", "batch_size", "batch_ratio")


class Table(BaseModel):
    """A table that allows no entries but its own."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)

    def options(self) -> dict[str, Any]:
        """The entries that the file has, as arguments of a verb."""
        return self.model_dump(exclude_none=True)


class QuadratureTable(Table):
    """How averages without closed forms are computed, as `ts.Quadrature`."""

    accuracy: PositiveFloat | None = None
    spacing: PositiveFloat | None = None
    radius: PositiveFloat | None = None
    hidden_spacing: PositiveFloat | None = None
    hidden_radius: PositiveFloat | None = None
    terms: PositiveInt | None = None
    piece_nodes: PositiveInt | None = None
    log2_points: PositiveInt | None = None


class TheoryTable(Table):
    """Options of `integrate`; with `band` the theory is that of `fluctuations`."""

    rtol: PositiveFloat | None = None
    atol: PositiveFloat | None = None
    solver: Literal["auto", "tsit5", "dopri8", "kvaerno5"] | None = None
    max_steps: PositiveInt | None = None
    spectral: bool | None = None
    band: bool | None = None
    observables: list[str] | None = None
    quadrature: QuadratureTable | None = None

    def options(self) -> dict[str, Any]:
        """The entries that the file has, as arguments of `integrate`."""
        options = super().options()
        options.pop("band", None)
        if self.quadrature is not None:
            options["quadrature"] = Quadrature(**self.quadrature.options())
        return options


class SimulationTable(Table):
    """Options of `simulate`; N may be a list of sizes."""

    N: PositiveInt | list[PositiveInt] | None = None
    seeds: PositiveInt | list[int] | None = None
    method: Literal["weights", "reduced", "auto"] | None = None
    dtype: Literal["float32", "float64"] | None = None
    test_samples: int | None = Field(default=None, ge=0)
    observables: list[str] | None = None

    @property
    def sizes(self) -> list[int]:
        """The sizes N as a list."""
        if self.N is None:
            return [SIZE]
        return checks.listed(self.N)

    def options(self) -> dict[str, Any]:
        """The entries that all sizes share, as arguments of `simulate`."""
        return self.model_dump(exclude_none=True, exclude={"N"})


class EscapeTable(Table):
    """Options of `escape`, of an experiment that waits for networks to leave a random start."""

    N: PositiveInt | list[PositiveInt]
    seeds: PositiveInt | list[int] | None = None
    threshold: float | None = Field(default=None, gt=0, le=1)
    max_steps: PositiveInt | None = None
    learning_rate_exponent: float | None = None
    aligned: bool | None = None
    enough: float | None = Field(default=None, gt=0, le=1)
    method: Literal["weights", "reduced", "auto"] | None = None
    dtype: Literal["float32", "float64"] | None = None


class FixedPointTable(Table):
    """Options of `fixed_point`, or, with `over`, of `follow_fixed_point`.

    It is looked for near the state of the theory at `time`, or near the start.
    """

    time: float | None = Field(default=None, ge=0)
    constraint: str | list[list[int]] | None = None
    quadrature: QuadratureTable | None = None
    over: str | None = None
    stop: float | None = None
    points: int | None = Field(default=None, ge=2)

    def options(self) -> dict[str, Any]:
        """The entries that the file has, as arguments of the verb."""
        options = super().options()
        options.pop("time", None)
        if self.quadrature is not None:
            options["quadrature"] = Quadrature(**self.quadrature.options())
        return options


class ScheduleTable(Table):
    """Options of `optimal_schedule`; the error is that at the last of the times."""

    form: Literal["pointwise", "piecewise", "constant"] | None = None
    nodes: int | None = Field(default=None, ge=2)
    minimise: Literal["final", "integral"] | None = None
    rate: str | None = None
    bounds: list[PositiveFloat] | None = None
    restarts: PositiveInt | None = None


class TimesTable(Table):
    """Times at which to record: all of them, or the last one and how many."""

    values: list[float] | None = None
    stop: PositiveFloat | None = None
    points: int | None = Field(default=None, ge=2, le=1_000_000)
    spacing: Literal["log", "linear"] | None = None
    first: PositiveFloat | None = None


class RandomTable(Table):
    """Options of `random_start`."""

    N: PositiveInt
    seed: int | None = None
    scale: float | None = None
    T: list[list[float]] | None = None
    readout_scale: float | None = None


class SweepTable(Table):
    """What a sweep goes over: values by the places of their parameters."""

    over: dict[str, Any]
    theory_only: bool | None = None


class ForgettingTable(Table):
    """Options of `continual_start`, and the similarities of teachers at which forgetting is known.

    The second task begins at `switch`.
    """

    similarity: Any
    switch: PositiveFloat
    N: PositiveInt = SIZE
    seed: int | None = Field(default=None, ge=0)
    scale: PositiveFloat | None = None
    head_scale: PositiveFloat | None = None
    theory_only: bool | None = None

    def options(self) -> dict[str, Any]:
        """The entries that the file has, as arguments of `continual_start`."""
        others = {"similarity", "switch", "theory_only"}
        return self.model_dump(exclude_none=True, exclude=others)


class ScalingTable(Table):
    """The strength of all skills at the start, and the amounts of resources at which losses are
    known.
    """

    initial: PositiveFloat
    samples: Any
    sizes: Any
    compute: Any


class PhaseTable(Table):
    """A phase of a protocol: its end, and in what its problem differs from that of the file."""

    duration: Any = None
    until: Any = None
    model: dict | None = None
    task: dict | None = None
    student: dict | None = None
    rule: dict | None = None
    loss: str | None = None
    batch_size: int | None = None
    batch_ratio: float | None = Field(default=None, allow_inf_nan=True)


class Tables(Table):
    """All that an experiment's file may have."""

    title: str
    reference: str = ""
    figure: str = ""
    seen: str = ""
    parameters: str = ""
    kind: str | None = None
    model: dict | None = None
    task: dict | None = None
    student: dict | None = None
    rule: dict | None = None
    loss: str | None = None
    batch_size: int | None = None
    batch_ratio: float | None = Field(default=None, allow_inf_nan=True)
    protocol: list[dict] | None = None
    start: dict | None = None
    times: dict | None = None
    theory: dict = {}
    simulation: dict = {}
    clones: bool = False
    escape: dict | None = None
    variants: dict[str, dict] | None = None
    sweep: dict | None = None
    forgetting: dict | None = None
    scaling: dict | None = None
    fixed_point: dict | None = None
    schedule: dict | None = None

    @property
    def problem(self) -> dict[str, Any]:
        """The entries that say what is learnt."""
        if self.model is not None:
            return {"model": self.model}
        return {name: getattr(self, name) for name in PROBLEM}


def outer_tables(tables: Mapping, needed: Iterable[str]) -> Tables:
    """The tables of a file, their own entries not yet looked at.

    Raises ValueError that names all that is unknown, of another type, or missing of `needed`.
    """
    sentences = Sentences()
    with sentences.collected():
        outer = parsed(Tables, tables)
    for name in needed:
        if tables.get(name) is None:
            sentences.found.append(f"{name} is missing.")
    sentences.raise_together()
    return outer


def read_simulation(table: Mapping) -> SimulationTable:
    """The options of `simulate`, with sizes and seeds that differ."""
    simulation = parsed(SimulationTable, table, "simulation.")
    check_seeds(simulation.seeds)
    sizes = simulation.sizes
    if not sizes or len(set(sizes)) < len(sizes):
        given = checks.shortened(simulation.N)
        raise ValueError(f"simulation.N = {given}: give one size, or several different ones.")
    return simulation


def read_escape(table: Mapping) -> EscapeTable:
    """The options of `escape`."""
    escape = parsed(EscapeTable, table, "escape.")
    check_seeds(escape.seeds)
    return escape


def read_fixed_point(table: Mapping) -> FixedPointTable:
    """The options of `fixed_point` or `follow_fixed_point`."""
    options = parsed(FixedPointTable, table, "fixed_point.")
    if (options.over is None) != (options.stop is None):
        raise ValueError(
            "fixed_point.over and fixed_point.stop belong together: the number that changes, and "
            "where it ends; give both or none."
        )
    if options.points is not None and options.over is None:
        raise ValueError("fixed_point.points is of a curve; give over and stop, or leave it out.")
    return options


def check_seeds(seeds: int | list[int] | None) -> None:
    """Raise ValueError for seeds that no simulation takes."""
    if seeds is not None:
        checks.seeds(seeds)


def read_times(table: Mapping) -> np.ndarray:
    """The times of the table `times`."""
    given = parsed(TimesTable, table, "times.").options()
    spacing = given.pop("spacing", "log")
    if "values" in given and "stop" in given:
        raise ValueError(
            "times has both values and stop; give either values or stop (with points, spacing, "
            "first)."
        )
    if "values" in given:
        return checks.times(given["values"])
    if spacing == "linear" and "first" in given:
        raise ValueError(
            "times.first has no effect on equally spaced times, which begin at zero; leave it "
            'out, or give spacing = "log".'
        )
    if "stop" not in given:
        raise ValueError(
            "times has neither values nor stop; give either values or stop (with points, "
            "spacing, first)."
        )
    try:
        if spacing == "log":
            return log_times(**given)
        return linear_times(**given)
    except ValueError as error:  # which begins with the name of the entry
        raise ValueError(f"times.{error}") from None


def assigned(assignments: Iterable[str]) -> dict[str, Any]:
    """Changes of an experiment from texts such as "rule.learning_rate=0.2".

    The right side is TOML, or else a string; where it is empty, the entry is to be removed.
    """
    changes = {}
    for assignment in assignments:
        place, equals, text = assignment.partition("=")
        place = place.strip()
        if not equals or not all(place.split(".")):
            raise ValueError(
                f"--set {assignment!r} is not of the form table.key=value, such as "
                "rule.learning_rate=0.2."
            )
        changes[place] = _toml_value(text.strip())
    return changes


def _toml_value(text: str) -> Any:
    if not text:
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def changed(tables: Mapping, changes: Mapping[str, Any]) -> dict:
    """The tables after changes such as {"rule.learning_rate": 0.2}; None removes an entry."""
    try:
        answer = copy.deepcopy(dict(tables))
    except RecursionError:
        raise ValueError("the tables or lists of the experiment are nested too deeply.") from None
    apply_changes(answer, changes)
    return answer


def apply_changes(tables: MutableMapping, changes: Mapping[str, Any]) -> None:
    """Put changes into tables; None removes an entry.

    Raises ValueError for one that cannot be removed, since it is not there.
    """
    for place, value in changes.items():
        table, key = _table_of(tables, place)
        if value is not None:
            table[key] = _as_toml(value)
        elif key in table:
            del table[key]
        else:
            known = get_close_matches(key, table, n=1) or sorted(table)
            raise ValueError(
                f"{place} cannot be removed, for the experiment does not have it; beside it are "
                f"{', '.join(known) or 'no entries'}."
            )


def _table_of(tables: MutableMapping, place: str) -> tuple[MutableMapping, str]:
    """The table in which an entry is, and its name there."""
    *path, key = place.split(".")
    table = tables
    for name in path:
        table = table.setdefault(name, {})
        if not isinstance(table, MutableMapping):
            raise ValueError(f"{checks.shortened_text(place)}: {name} is a value, not a table.")
    return table, key


def _as_toml(value: Any) -> Any:
    """A value as a TOML file would hold it: arrays are lists."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return copy.deepcopy(value)


def hint_on_types(error: ValueError, changes: Mapping[str, Any]) -> str:
    """What to do where a change of type leaves entries behind that the new type does not have."""
    for place in changes:
        table, _, key = place.rpartition(".")
        if key == "type" and f"unknown key {table}." in str(error):
            return (
                f" The table {table} keeps its other entries when {place} changes; remove one by "
                f"an empty value (--set {table}.KEY=, or None in changes)."
            )
    return ""


def merged(tables: Mapping, changes: Mapping) -> dict:
    """The tables with the entries of a variant in their place.

    Entries of a table replace those of the same name.  The tables start and times, and one with a
    type of its own, are replaced as a whole.
    """
    answer = dict(tables)
    for key, value in changes.items():
        before = tables.get(key)
        answer[key] = value
        if not isinstance(value, Mapping) or not isinstance(before, Mapping):
            continue
        if "type" not in value and key not in ("start", "times"):
            answer[key] = {**before, **value}
    return answer
