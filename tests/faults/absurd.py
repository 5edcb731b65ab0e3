"""Absurd values for the arguments of calls, and which of them an argument of each kind may take."""

import datetime
import decimal
import fractions
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

import teacherstudent as ts

Make = Callable[[], Any]  # a new value for each trial: some are used up by being looked at


class Thing:
    """An object of a class that nobody expects."""


class Hostile:
    """An object that cannot be shown, compared, measured or turned into an array."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __eq__(self, other):
        raise RuntimeError("no eq")

    def __len__(self):
        raise RuntimeError("no len")

    def __array__(self, *_, **__):
        raise RuntimeError("no array")

    __hash__ = None  # type: ignore[assignment]


def _numpy_scalars() -> dict[str, Make]:
    names = (
        "int8",
        "int64",
        "uint8",
        "uint64",
        "float16",
        "float32",
        "float64",
        "longdouble",
        "complex64",
        "bool_",
    )
    scalars: dict[str, Make] = {
        f"np.{name}(1)": lambda name=name: getattr(np, name)(1) for name in names
    }
    scalars |= {
        "np.str_": lambda: np.str_("1"),
        "np.bytes_": lambda: np.bytes_(b"1"),
        "np.void": lambda: np.void(b"1"),
    }
    return scalars


def _arrays() -> dict[str, Make]:
    return {
        "0-d array": lambda: np.array(0.5),
        "0-d int array": lambda: np.array(2),
        "empty array": lambda: np.zeros(0),
        "(0, 3) array": lambda: np.zeros((0, 3)),
        "1-d array": lambda: np.array([0.1, 0.2, 0.3]),
        "2-d array": lambda: np.ones((2, 3)),
        "4-d array": lambda: np.ones((1, 2, 3, 4)),
        "array with nan": lambda: np.array([0.1, np.nan]),
        "array with inf": lambda: np.array([0.1, np.inf]),
        "matrix with nan": lambda: np.array([[np.nan]]),
        "matrix with inf": lambda: np.array([[np.inf]]),
        "matrix of 1e200": lambda: np.array([[1e200]]),
        "bool array": lambda: np.array([True, False]),
        "complex array": lambda: np.array([[1.0 + 1j]]),
        "string array": lambda: np.array(["0.1", "0.2"]),
        "object array": lambda: np.array([0.1, 0.2], dtype=object),
        "object array of lists": lambda: np.array([[1, 2], [3]], dtype=object),
        "structured array": lambda: np.zeros(2, dtype=[("a", float), ("b", int)]),
        "datetime array": lambda: np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]"),
        "masked array": lambda: np.ma.array([0.1, 0.2, 0.3], mask=[False, True, False]),
        "np.matrix": lambda: np.asmatrix(np.eye(2)),
        "jax 0-d": lambda: jnp.asarray(0.5),
        "jax array": lambda: jnp.asarray([0.1, 0.2]),
        "jax int": lambda: jnp.asarray(2),
        "jax bool": lambda: jnp.asarray(True),
        "jax complex": lambda: jnp.asarray(1j),
        "jax bfloat16": lambda: jnp.asarray(0.5, jnp.bfloat16),
        "jax key": lambda: jax.random.key(0),
        "jax nan": lambda: jnp.asarray(jnp.nan),
        "DataArray": lambda: xr.DataArray([0.1, 0.2], dims="time"),
        "0-d DataArray": lambda: xr.DataArray(0.5),
    }


VALUES: dict[str, Make] = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "0": lambda: 0,
    "1": lambda: 1,
    "-1": lambda: -1,
    "2": lambda: 2,
    "2.0": lambda: 2.0,
    "0.5": lambda: 0.5,
    "-0.0": lambda: -0.0,
    "-0.5": lambda: -0.5,
    "1e-320": lambda: 1e-320,
    "1e300": lambda: 1e300,
    "10**9": lambda: 10**9,
    "10**18": lambda: 10**18,
    "10**400": lambda: 10**400,
    "-10**400": lambda: -(10**400),
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "1j": lambda: 1j,
    "1+0j": lambda: 1 + 0j,
    "'0.1'": lambda: "0.1",
    "'1'": lambda: "1",
    "''": lambda: "",
    "'erf'": lambda: "erf",
    "'ERF '": lambda: "ERF ",
    "odd text": lambda: "\u202eg\u0000\ud800 \U0001f600",
    "long text": lambda: "x" * 100_000,
    "b'1'": lambda: b"1",
    "bytearray": lambda: bytearray(b"12"),
    "memoryview": lambda: memoryview(b"12"),
    "[]": list,
    "()": tuple,
    "{}": dict,
    "set()": set,
    "{1, 2}": lambda: {1, 2},
    "frozenset": lambda: frozenset({0.1}),
    "{'a': 1}": lambda: {"a": 1},
    "[[]]": lambda: [[]],
    "[None]": lambda: [None],
    "[1, None]": lambda: [1, None],
    "['a']": lambda: ["a"],
    "[0.1, 'a']": lambda: [0.1, "a"],
    "[True, 0.5]": lambda: [True, 0.5],
    "[1j]": lambda: [1j],
    "[nan]": lambda: [float("nan")],
    "[[1], [1, 2]]": lambda: [[1], [1, 2]],
    "[0.1, [0.2]]": lambda: [0.1, [0.2]],
    "[10**400]": lambda: [10**400],
    "[1, 1]": lambda: [1, 1],
    "[-1, 3]": lambda: [-1, 3],
    "[1, 0]": lambda: [1, 0],
    "long list": lambda: [0.1] * 100_000,
    "deep list": lambda: _nested(200),
    "list of itself": lambda: _cyclic(),
    "range": lambda: range(3),
    "huge range": lambda: range(10**15),
    "generator": lambda: (number for number in (1, 2)),
    "infinite generator": lambda: iter(int, 1),
    "slice": lambda: slice(1, 2),
    "Ellipsis": lambda: ...,
    "NotImplemented": lambda: NotImplemented,
    "object()": object,
    "Thing()": Thing,
    "Thing": lambda: Thing,
    "Hostile()": Hostile,
    "int": lambda: int,
    "function": lambda: _function,
    "lambda": lambda: lambda: 0,
    "lambda of a string": lambda: lambda x: "a",
    "print": lambda: print,
    "exception": lambda: ValueError("x"),
    "np": lambda: np,
    "np.tanh": lambda: np.tanh,
    "np.float64": lambda: np.float64,
    "Decimal": lambda: decimal.Decimal("0.5"),
    "Decimal nan": lambda: decimal.Decimal("nan"),
    "Fraction": lambda: fractions.Fraction(1, 2),
    "datetime": lambda: datetime.datetime(2020, 1, 1),
    "timedelta": lambda: datetime.timedelta(1),
    "datetime64": lambda: np.datetime64("2020-01-01"),
    "timedelta64": lambda: np.timedelta64(1, "s"),
    "datetime64 NaT": lambda: np.datetime64("NaT"),
    "Path": lambda: pathlib.Path("/nonexistent/a.h5"),
    "ts.SGD": lambda: ts.SGD,
    "SGD": lambda: ts.SGD(0.1),
    "Student": lambda: ts.Student(1),
    "TeacherStudent": lambda: ts.TeacherStudent(1),
    "SpikedCumulant": lambda: ts.SpikedCumulant(1.0),
    "Problem": lambda: ts.Problem(ts.TeacherStudent(1), ts.Student(1), ts.SGD(0.1)),
    "OrderParameters": lambda: ts.OrderParameters(np.eye(1), np.zeros((1, 1))),
    "Dataset": lambda: xr.Dataset({"a": ("x", [1.0])}),
    "DataTree": lambda: xr.DataTree(),
    "ts": lambda: ts,
    **_numpy_scalars(),
    **_arrays(),
}


def _function(*arguments):
    return arguments


def _nested(depth: int) -> list:
    nested: list = []
    for _ in range(depth):
        nested = [nested]
    return nested


def _cyclic() -> list:
    cyclic: list = [1.0]
    cyclic.append(cyclic)
    return cyclic


def _leaves(value, depth: int = 0) -> list:
    """The entries of nested sequences; a sequence too deep to be one of numbers is an entry
    itself.
    """
    if isinstance(value, list | tuple | range) and depth < 5:
        return [leaf for one in value[:1000] for leaf in _leaves(one, depth + 1)]
    return [value]


def _is_real(value) -> bool:
    """Whether a value is one finite real number, and not a truth value."""
    if isinstance(value, xr.DataArray | jax.Array | np.ndarray) and not _masked(value):
        dtype = (
            np.dtype(value.dtype)
            if not jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
            else np.dtype(object)
        )
        kind = dtype.kind if dtype.name != "bfloat16" else "f"
        return kind in "iuf" and bool(np.isfinite(np.asarray(value, dtype=float)).all())
    if isinstance(value, decimal.Decimal | fractions.Fraction):
        return bool(np.isfinite(float(value)))
    if isinstance(value, bool | np.bool_ | complex | np.timedelta64) or not isinstance(
        value, int | float | np.number
    ):
        return False
    return isinstance(value, int) or not np.iscomplexobj(value) and bool(np.isfinite(value))


def _masked(value) -> bool:
    return isinstance(value, np.ma.MaskedArray) and bool(np.any(value.mask))


def _reals(value) -> bool:
    """Whether a value holds nothing but finite real numbers."""
    return all(map(_is_real, _leaves(value)))


def _is_count(value) -> bool:
    return _is_real(value) and np.ndim(value) == 0 and float(value) == int(value)


def _any_of(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types)


# kind: whether an argument of this kind may take the value.  What it may not take is to be refused.
def _is_random_key(value) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


MAY_TAKE: dict[str, Callable[[Any], bool]] = {
    "count": _is_count,
    "key": lambda value: _is_count(value) or _is_random_key(value),
    "counts": lambda value: (
        all(map(_is_count, _leaves(value))) or isinstance(value, np.ndarray | set | Iterator)
    ),
    "real": lambda value: _is_real(value) and np.size(value) == 1,
    "reals": _reals,
    "ratio": lambda value: np.ndim(value) == 0 and (_is_real(value) or value == float("inf")),
    "flag": _any_of(bool, np.bool_),
    "text": _any_of(str),
    "activation": lambda value: (
        isinstance(value, str | ts.Activation) or callable(value) or _reals(value)
    ),
    "latent": lambda value: isinstance(value, str | list | tuple | np.ndarray),
    "callable": callable,
    "path": _any_of(str, pathlib.PurePath),
    "task": lambda value: type(value).__module__.startswith("teacherstudent.tasks"),
    "spike": _any_of(ts.SpikedCumulant),
    "spike or problem": _any_of(ts.SpikedCumulant, ts.Problem),
    "student": _any_of(ts.Student),
    "rule": lambda value: type(value).__module__.startswith("teacherstudent.rules"),
    "problem": _any_of(ts.Problem),
    "start": _any_of(ts.OrderParameters, ts.SpectralOverlaps),
    "dataset": _any_of(xr.Dataset),
    "results": _any_of(xr.Dataset, xr.DataTree),
    "training_set": _any_of(ts.Dataset),
    "datasets": _any_of(xr.Dataset, list, tuple),
    "trees": _any_of(dict),
    "pair": _any_of(list, tuple),
}


def may_take(kind: str, value) -> bool:
    """Whether an argument of a kind may take the value; a question mark at its end stands for "or
    None".
    """
    if value is None:
        return kind.endswith("?")
    try:
        return MAY_TAKE[kind.removesuffix("?")](value)
    except (TypeError, ValueError, OverflowError, RuntimeError, RecursionError):
        return False
