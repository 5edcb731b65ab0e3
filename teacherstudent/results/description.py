"""Problems and starts as plain dictionaries: the JSON in result files and the tables of an
experiment's TOML.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import singledispatch
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from teacherstudent.activations.activation import ACTIVATIONS, Activation, polynomial_of
from teacherstudent.checking import checks
from teacherstudent.checking.contracts import nearest
from teacherstudent.display import Described
from teacherstudent.losses import as_loss
from teacherstudent.models.model import MODELS, Model
from teacherstudent.models.state import State
from teacherstudent.observables.observable import Observable
from teacherstudent.problem import Problem, Student
from teacherstudent.protocol import Protocol, Until
from teacherstudent.rules import RULES
from teacherstudent.schedules import KINDS, Schedule
from teacherstudent.starts import Start
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import TASKS, MixtureTask, StructuredTask, Task, TeacherTask
from teacherstudent.tasks.latents import Latent

# What a class of one's own may be derived from.
FAMILIES: dict[str, type[Task]] = {
    **TASKS,
    **{kind.__name__: kind for kind in (MixtureTask, StructuredTask, TeacherTask, Task)},
}

Schema = TypeVar("Schema", bound=BaseModel)


@singledispatch
def describe_problem(problem: Any) -> dict:
    """A problem or another model as a dictionary of numbers, lists and names."""
    return {"model": {"type": type_name(type(problem)), **_fields(problem)}}


@describe_problem.register
def _(problem: Problem) -> dict:
    described: dict[str, Any] = {
        "task": {**_kind_of_task(type(problem.task)), **_fields(problem.task)},
        "student": _fields(problem.student),
        "rule": {"type": type_name(type(problem.rule)), **_fields(problem.rule)},
        "loss": as_loss(problem.loss).in_files,
        "batch_size": problem.batch_size,
    }
    if problem.batch_ratio is not None:
        described["batch_ratio"] = problem.batch_ratio
    return described


def _kind_of_task(kind: type[Task]) -> dict:
    """The name of a task's class.

    Of a class of one's own a file also says which class of ours it is derived from: that is what a
    reader needs to know which quantities the file has.
    """
    name = type_name(kind)
    if name in TASKS:
        return {"type": name}
    family = nearest(kind, FAMILIES.values()) or Task
    return {"type": name, "family": family.__name__}


def task_family(task: Mapping) -> type[Task]:
    """The class of ours that a described task is of, or is derived from.

    Raises ValueError if the description names none.
    """
    name = task["type"]
    if name in TASKS:
        return TASKS[name]
    if "family" not in task or task["family"] not in FAMILIES:
        raise ValueError(
            f"task.type = {checks.shortened(name)} is not known; known are {', '.join(TASKS)}."
        )
    return FAMILIES[task["family"]]


def family_of(described: Mapping) -> type[Task] | type[Model]:
    """The class that says which quantities the results of a described problem have: that of its
    task, or the model's own.

    Raises ValueError if the description names none of ours.
    """
    if "model" not in described:
        return task_family(described["task"])
    name = described["model"]["type"]
    return MODELS.get(str(name).rsplit(".", 1)[-1], Model)


def describe_start(start: Start | State, problem: Any) -> dict:
    """A start's order parameters as nested lists.

    Of `SpectralOverlaps` they are those of all modes together.
    """
    if isinstance(start, State):
        values: Mapping[str, Any] = problem.begun(start)
    else:
        values = {name: getattr(start, name) for name in problem.parts_of_start}
    described: dict[str, Any] = {name: np.asarray(value).tolist() for name, value in values.items()}
    if start.time:
        described["time"] = start.time
    return described


def _fields(part: Any) -> dict:
    """The fields of a task, student or rule, without those that files keep as arrays."""
    arrays = getattr(part, "ARRAYS", ())
    fields = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if field.name not in arrays and value is not None:
            fields[field.name] = _plain(value)
    return fields


def _plain(value: Any) -> Any:
    """A value as JSON and TOML can hold it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Schedule):
        return describe_schedule(value)
    if isinstance(value, Latent):
        return _listed(value.given)
    if isinstance(value, Activation):
        return _activation(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Described):  # a part of a model, such as a reward
        return {"type": type(value).__name__, **_fields(value)}
    if callable(value):
        return _function(value)
    return np.asarray(value).tolist()


def describe_protocol(protocol: Protocol) -> list[dict]:
    """The phases of a protocol, each a problem with its duration or threshold."""
    phases = []
    for phase in protocol.phases:
        described = describe_problem(phase.problem)
        if isinstance(phase.end, Until):
            described["until"] = _describe_until(phase.end)
        else:
            described["duration"] = phase.end
        phases.append(described)
    return phases


def _describe_until(until: Until) -> dict:
    quantity = until.quantity
    if isinstance(quantity, Observable):
        quantity = f"observable:{quantity.name}"
    described = {"quantity": quantity}
    for name in ("below", "above", "within"):
        value = getattr(until, name)
        if value is not None:
            described[name] = value
    return described


def phase_end_from(table: dict, where: str) -> float | Until:
    """The duration, or the threshold, of the table of a phase; it is taken out of the table.

    Raises ValueError if there is not exactly one of them, or an observable of one's own.
    """
    duration, until = table.pop("duration", None), table.pop("until", None)
    if (duration is None) == (until is None):
        count = "neither" if until is None else "both"
        raise ValueError(
            f"{where} has {count} of duration and until; give one, such as duration = 60.0 or "
            'until = {quantity = "eps_g", below = 1e-3}.'
        )
    if until is None:
        return checks.positive(f"{where}.duration", duration)
    if not isinstance(until, Mapping):
        raise ValueError(
            f"{where}.until = {checks.shortened(until)} is not a table; give one such as "
            '{quantity = "eps_g", below = 1e-3}.'
        )
    given = validated(_schema(Until), until, f"{where}.until.")
    if str(given["quantity"]).startswith("observable:"):
        raise ValueError(
            f"{where}.until.quantity = {given['quantity']!r} is an observable of one's own, of "
            "which files keep the name only: make the protocol with it."
        )
    return Until(**given)


def describe_schedule(schedule: Schedule) -> dict:
    """A schedule as a table: its kind, and its parameters.

    A function, or a class of one's own, is known by its name, and is not read back.
    """
    kind = type_name(type(schedule))
    if type(schedule) is Schedule:
        kind = "function"
    return {"schedule": kind, **{name: _plain(one) for name, one in schedule.shown().items()}}


def with_schedules(value: Any, where: str) -> Any:
    """A value of a table, in which each table with the key `schedule` becomes that schedule.

    Raises ValueError if the kind is unknown, or its parameters are not allowed.
    """
    if isinstance(value, list):
        return [with_schedules(one, where) for one in value]
    if not isinstance(value, Mapping) or "schedule" not in value:
        return value
    parameters = dict(value)
    name = parameters.pop("schedule")
    if not isinstance(name, str) or name not in KINDS:
        hint = checks.hint(name, KINDS)
        if name == "function" or (isinstance(name, str) and "." in name):
            hint = (
                "; it is a function or class of one's own, of which files keep the name only: "
                "make the problem with it."
            )
        raise ValueError(
            f"{where}.schedule = {checks.shortened(name)} is not known; known are "
            f"{', '.join(KINDS)}{hint}"
        )
    given = validated(_schema(KINDS[name]), parameters, f"{where}.")
    return KINDS[name](**{key: with_schedules(one, f"{where}.{key}") for key, one in given.items()})


def _function(function: Callable) -> str:
    """The name of a function, which a file cannot hold."""
    module = getattr(function, "__module__", "")
    name = getattr(function, "__qualname__", repr(function))
    return f"function:{module}.{name}"


def _activation(activation: Activation) -> str | list:
    """The name of one of ours, or its coefficients.

    Another one under the name of ours is called a function, and not read back.
    """
    if ACTIVATIONS.get(activation.name) == activation:
        return activation.name
    polynomial = polynomial_of(activation)
    if polynomial is not None:
        return list(polynomial.coefficients)
    if type(activation) is not Activation:
        return f"function:{type_name(type(activation))}"
    # One of ours with other kinks has our function: it reads back as ours, with the same numbers.
    return activation.name


def type_name(kind: type) -> str:
    """The name of a class in files.

    One of ours, or one that was added to ours, has its own; any other its full name.
    """
    known = {**TASKS, **RULES, **KINDS, **MODELS}
    if known.get(kind.__name__) is kind:
        return kind.__name__
    return f"{kind.__module__}.{kind.__qualname__}"


def _listed(value: Any) -> Any:
    """Nested tuples as nested lists."""
    if isinstance(value, tuple):
        return [_listed(one) for one in value]
    return value


def model_from(table: Mapping) -> Model:
    """The model of a table with its type and its arguments.

    Raises ValueError for what is unknown, missing or not allowed.
    """
    return _instance(MODELS, table, "model")


def problem_from(tables: Mapping) -> Any:
    """The problem, or the other model, of a dictionary as `describe_problem` makes it.

    Raises ValueError naming every key that is unknown (with the nearest known one) or missing, and
    any bad value.
    """
    if "model" in tables:
        return model_from(tables["model"])
    outer = validated(_ProblemTables, tables)
    sentences = Sentences()
    with sentences.collected():
        task = _instance(TASKS, outer["task"], "task")
    with sentences.collected():
        student = Student(**validated(_schema(Student), outer["student"], "student."))
    with sentences.collected():
        rule = _instance(RULES, outer["rule"], "rule")
    sentences.raise_together()
    rest = {
        name: outer[name]
        for name in ("loss", "batch_size", "batch_ratio")
        if outer.get(name) is not None
    }
    return Problem(task=task, student=student, rule=rule, **rest)


class Sentences:
    """What is wrong with several parts that do not depend on each other, to be said all at once."""

    def __init__(self):
        self.found: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep the sentence of a ValueError, and go on after it."""
        try:
            yield
        except ValueError as error:
            self.found.append(str(error))

    def raise_together(self) -> None:
        """Raise one ValueError with all sentences, if there are any."""
        if self.found:
            raise ValueError(" ".join(self.found))


class _ProblemTables(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    task: dict
    student: dict
    rule: dict
    loss: str | None = None
    batch_size: int | None = None
    batch_ratio: float | None = None


def state_from(table: Mapping) -> State:
    """The state of a model, of a dictionary with its arrays."""
    return State(**table)


def start_from(table: Mapping) -> OrderParameters:
    """The order parameters of a dictionary with Q, R or m and, if they differ from the default, T,
    v and b.
    """
    given = validated(StartTable, table, "start.")
    if given["R"] is None and given["m"] is None:
        raise ValueError("start.R is missing (or start.m, for a task with two classes).")
    return OrderParameters(**given)


class StartTable(BaseModel):
    """The table `start` of a file with order parameters."""

    model_config = ConfigDict(extra="forbid")
    Q: list
    R: list | None = None
    T: list | None = None
    v: list | None = None
    m: list | None = None
    b: list | None = None
    time: float = 0.0


def _instance(kinds: Mapping[str, type], table: Mapping, where: str):
    """The task or rule that a table describes by its type and the arguments of that class."""
    table = dict(table)
    name = table.pop("type", None)
    if name is None:
        raise ValueError(f"{where}.type is missing; known are {', '.join(kinds)}.")
    if not isinstance(name, str) or name not in kinds:
        hint = checks.hint(str(name).rsplit(".", 1)[-1], kinds)
        if isinstance(name, str) and "." in name:
            hint = (
                "; it is a class of one's own, of which files keep the name and "
                "numbers only: make the problem with that class."
            )
        shown = checks.shortened(name)
        raise ValueError(f"{where}.type = {shown} is not known; known are {', '.join(kinds)}{hint}")
    make = kinds[name]
    if "path" in table and hasattr(make, "from_file"):
        make = make.from_file
    given = validated(_schema(make), table, f"{where}.")
    return make(**{key: with_schedules(one, f"{where}.{key}") for key, one in given.items()})


def _schema(kind: Callable) -> type[BaseModel]:
    """What a class takes: the names and defaults of its arguments.  The class itself checks the
    values.
    """
    fields: Any = {}
    for argument in inspect.signature(kind).parameters.values():
        default = argument.default
        if default is inspect.Parameter.empty:
            default = ...  # which pydantic takes for "must be given"
        fields[argument.name] = (Any, default)
    return create_model(kind.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def validated(schema: type[BaseModel], table: Mapping, where: str = "") -> dict:
    """The table with its defaults filled in; ValueError with one sentence per problem found."""
    return parsed(schema, table, where).model_dump()


def parsed(schema: type[Schema], table: Mapping, where: str = "") -> Schema:
    """The table as the schema reads it; ValueError with one sentence for each key that is wrong."""
    try:
        return schema.model_validate(dict(table))
    except ValidationError as failure:
        errors: dict[int | str, Mapping] = {}
        for error in failure.errors():
            errors.setdefault(error["loc"][0], error)
        sentences = [_sentence(error, schema, where) for error in errors.values()]
        raise ValueError(" ".join(sentences)) from None


def _sentence(error: Mapping, schema: type[BaseModel], where: str) -> str:
    key = checks.shortened_text(str(error["loc"][0]))
    if error["type"] == "extra_forbidden":
        hint = f"known are {', '.join(schema.model_fields)}."
        near = get_close_matches(key, schema.model_fields, n=1)
        if near:
            hint = f"did you mean {where}{near[0]}?"
        return f"unknown key {where}{key}: {hint}"
    if error["type"] == "missing":
        return f"{where}{key} is missing."
    says = checks.shortened_text(error["msg"].lower().replace("valid dictionary", "table"), 200)
    return f"{where}{key} = {checks.shortened(error['input'])}: {says}."
