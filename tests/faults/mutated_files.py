"""Experiment files with mutations: each reads as an experiment, or is refused in one sentence that
names the file.

What is mutated are the experiments that come with the package, made small.  A file that still reads
is not run: a wrong value that was taken for a right one shows in the type of what was read.
"""

import copy
import functools
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import TypeCheckError

from teacherstudent.command import published
from teacherstudent.command.best_schedules import BestSchedule
from teacherstudent.command.escapes import Escape
from teacherstudent.command.experiment import Experiment
from teacherstudent.command.fixed_points import FixedPoints
from teacherstudent.command.swept import Sweep
from teacherstudent.command.variants import Variants
from tests.faults.trial import Trial, is_ours

LONGEST_SENTENCE = 1500  # characters: all that is wrong with a file is told at once
WORDS = (
    "type",
    "width",
    "activation",
    "lr",
    "N",
    "seed",
    "seeds",
    "learning_rate",
    "x",
    "",
    "a.b",
    "ü",
    "random",
    "path",
)


class Raw(str):
    """TOML to be written as it is."""


VALUES: tuple[Any, ...] = (
    True,
    False,
    0,
    1,
    -1,
    2,
    3,
    0.5,
    0.0,
    -0.5,
    1e300,
    1e-320,
    10**9,
    10**18,
    10**30,
    Raw("nan"),
    Raw("inf"),
    Raw("-inf"),
    "",
    "x",
    "erf",
    "1",
    "0.1",
    "function:os.system",
    "TeacherStudent",
    "SGD",
    "../../etc/passwd",
    "\u202e\U0001f600",
    "x" * 5000,
    [],
    ["x"],
    [1],
    [0.1, 0.2],
    [1, "a"],
    [[]],
    [[1.0]],
    [[1, 2], [3]],
    [True],
    [{}],
    [{"a": 1}],
    [0] * 5000,
    [[[[1]]]],
    {},
    {"x": 1},
    {"type": "SGD"},
    {"type": ["x"]},
    {"N": 10},
    {"random": {"N": 10}},
    {"values": [0, 1]},
    Raw("1979-05-27T07:32:00Z"),
    Raw("1979-05-27"),
    Raw("07:32:00"),
    Raw("0x10"),
    Raw("1e400"),
    Raw("1" + "0" * 400),
    Raw("[" * 60 + "]" * 60),
)

WHOLE_FILES: tuple[bytes, ...] = (
    b"",
    b"\n",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x00",
    b"title",
    b"title = ",
    b"= 1",
    b"[",
    b"[[task]]",
    b"title = 'x'",
    b"\x89HDF\r\n\x1a\n",
    b"title = 'x'\ntitle = 'y'",
    b"[task]\n[task]\n",
    b"a = " + b"[" * 5000 + b"]" * 5000,
    b"a = " + b"{b = " * 3000,
    b"x" * 10000,
    b"a = 1" + b"0" * 5000,
    b"[a]\n" * 3,
    b"a." * 3000 + b"a = 1",
    b"title = '\xe9'",
    b"{}",
    b"<html></html>",
    b"\r\r\r",
    b"variants = {}",
    b"variants = 1",
    b"variants = {a = {}}",
    b"escape = {}",
    b"escape = 3",
)


def trials(number: int, rng: random.Random, folder: Path) -> Iterator[Trial]:
    """Files whose whole content is wrong, types that are lists, and `number` random mutations."""
    for count, content in enumerate(WHOLE_FILES):
        yield _trial(
            f"whole file {content[:20]!r}", content, folder / f"whole-{count}.toml", good=False
        )
    for name in sorted(small_experiments()):
        for table in ("task", "rule"):
            tables = copy.deepcopy(small_experiments()[name])
            if table in tables:
                tables[table]["type"] = ["x"]
                yield _trial(
                    f"{name} with {table}.type = ['x']",
                    _toml(tables).encode(),
                    folder / "type.toml",
                    good=False,
                )
    for _ in range(number):
        name = rng.choice(sorted(small_experiments()))
        shown, content = _mutated(copy.deepcopy(small_experiments()[name]), rng)
        yield _trial(f"{name} with {shown}", content, folder / "mutated.toml")


@functools.cache
def small_experiments() -> dict[str, dict]:
    """The experiments of the package with few times, seeds and inputs."""
    return {name: _small(published.read(name)[1]) for name in published.names()}


def _small(tables: dict) -> dict:
    small = {}
    for key, value in tables.items():
        if isinstance(value, dict):
            small[key] = _small(value)
        elif key == "N":
            small[key] = 40 if not isinstance(value, list) else [40, 50]
        elif key in ("seeds", "points"):
            small[key] = 3
        else:
            small[key] = value
    return small


def _trial(name: str, content: bytes, path: Path, good: bool | None = None) -> Trial:
    return Trial(name, lambda: _is_right(_reads(content, path), good))


def _is_right(read: bool | None, good: bool | None) -> bool:
    return read is None or (read and good is not False)


def _reads(content: bytes, path: Path) -> bool | None:
    """Whether the file reads as an experiment whose numbers are numbers; None if the tests' own
    checks stop it.
    """
    path.write_bytes(content)
    try:
        experiment = Experiment.read(str(path))
    except (
        TypeCheckError
    ):  # of the type checks that only the tests switch on, which stand before our own
        return None
    except Exception as error:
        sentence = str(error)
        if is_ours(error) and (
            len(sentence) > LONGEST_SENTENCE or "\n" in sentence or path.name not in sentence
        ):
            raise AssertionError(
                f"not one sentence that names the file: {sentence[:300]}"
            ) from error
        raise
    return isinstance(experiment.title, str) and _is_sound(experiment.plan)


def _is_sound(plan) -> bool:
    """Whether an experiment holds what an experiment is made of."""
    if isinstance(plan, Variants):
        return bool(plan.variants) and all(map(_is_sound, plan.variants.values()))
    if isinstance(plan, Escape):
        return True
    if isinstance(plan, Sweep):
        return bool(plan.over) and _is_sound(plan.curves)
    if isinstance(plan, BestSchedule):
        return _is_sound(plan.curves)
    if isinstance(plan, FixedPoints):
        return plan.curves is None or _is_sound(plan.curves)
    rates = [value for value in vars(plan.problem.rule).values() if isinstance(value, float)]
    return bool(np.isfinite(plan.times).all()) and not any(map(math.isnan, rates))


def _mutated(tables: dict, rng: random.Random) -> tuple[str, bytes]:
    """A description of one or two mutations, and the file after them."""
    shown = [_mutate(tables, rng) for _ in range(1 if rng.random() < 0.7 else 2)]
    content = _toml(tables).encode()
    if rng.random() < 0.15:
        what, content = _damaged(content, rng)
        shown.append(what)
    return ", ".join(shown), content


def _places(table: dict, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all entries, tables among them."""
    found = []
    for key, value in table.items():
        found.append((*path, key))
        if isinstance(value, dict):
            found += _places(value, (*path, key))
    return found


def _mutate(tables: dict, rng: random.Random) -> str:
    """Change a value, its key, delete it, or add another; in place."""
    places = _places(tables)
    path = rng.choice(places) if places else ()
    table = tables
    for key in path[:-1]:
        table = table[key]
    if not isinstance(table, dict) or not path:
        return "nothing"
    where, last = ".".join(path), path[-1]
    kind = rng.choice(("value", "value", "value", "inside", "delete", "rename", "add", "move"))
    value = copy.deepcopy(rng.choice(VALUES))  # a table that is put into itself would have no end
    if kind == "value":
        table[last] = value
        return f"{where} = {_short(value)}"
    if kind == "inside" and isinstance(table[last], list) and table[last]:
        table[last] = copy.deepcopy(table[last])
        table[last][rng.randrange(len(table[last]))] = value
        return f"{_short(value)} in {where}"
    if kind == "delete":
        del table[last]
        return f"no {where}"
    if kind == "rename":
        new = rng.choice((last.upper(), last[:-1] or "q", last + "s", rng.choice(WORDS)))
        table[new] = table.pop(last)
        return f"{where} renamed {new!r}"
    if kind == "move":
        tables[last] = copy.deepcopy(table[last])
        return f"{where} at the top"
    new = rng.choice(WORDS)
    (table[last] if isinstance(table[last], dict) else table)[new] = value
    return f"{new!r} = {_short(value)} added at {where}"


def _damaged(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """The file cut, doubled, or with bytes that are changed."""
    place = rng.randrange(len(content)) if content else 0
    kind = rng.choice(("cut", "byte", "BOM", "doubled", "deleted byte"))
    if kind == "cut":
        return kind, content[:place]
    if kind == "byte":
        return kind, content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]
    if kind == "BOM":
        return kind, b"\xef\xbb\xbf" + content
    if kind == "doubled":
        return kind, content + content
    return kind, content[:place] + content[place + 1 :]


def _short(value) -> str:
    text = repr(value)
    return text if len(text) < 40 else text[:37] + "..."


def _toml(tables: dict) -> str:
    """The tables as TOML, every table inline: deep, odd and empty ones are written alike."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in tables.items())


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() and key.isascii() else _text(key)


def _text(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'


def _value(value) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + "}"
    return repr(value)
