"""Files: flipped bits, other damage, and hostile files.  What is loaded is what was saved, or is
refused; so is what is opened lazily and then computed; and what is validated is not called good.
"""

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import xarray as xr

import teacherstudent as ts
from teacherstudent.results import lazy_arrays
from tests.faults.hostile_files import SCHEMA_1, hostile_files
from tests.faults.older_digests import with_older_digests
from tests.faults.trial import Trial

FLIPS = 2000
DAMAGES = 1000
Damage = Callable[[bytearray], bytes]
HOLD = (
    "import h5py, sys; file = h5py.File(sys.argv[1], sys.argv[2]); print('open', flush=True); "
    "sys.stdin.read()"
)


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Hostile and foreign files, locked ones, good ones, and good ones with damage at random."""
    rng = np.random.default_rng(seed)
    for number, (name, make) in enumerate(hostile_files()):
        for how, read in READERS.items():
            yield Trial(
                f"{how} hostile: {name}", functools.partial(_is_refused, read, make, number)
            )
    yield Trial("open for writing elsewhere", _locked_by_another)
    yield Trial("open for reading elsewhere", _read_by_another, may_refuse=False)
    yield Trial("schema 1", _older_file, may_refuse=False)
    yield Trial("saved again", _saved_again, may_refuse=False)
    yield Trial("digests of everything", _older_digests, may_refuse=False)
    for number in range(max(20, int(share * FLIPS))):
        make = (_content, _older_content)[number % 4 == 3]
        bit = int(rng.integers(8 * len(make())))
        name = f"flipped bit {bit} of {make.__name__}"
        yield from _damaged(name, functools.partial(_flipped, bit), make)
    for number in range(max(10, int(share * DAMAGES))):
        damage = DAMAGE[number % len(DAMAGE)]
        one_seed = int(rng.integers(2**32))
        name = f"{damage.__name__} {one_seed}"
        yield from _damaged(name, functools.partial(damage, one_seed), _content)


def _damaged(name: str, damage: Damage, make: Callable[[], bytes]) -> Iterator[Trial]:
    """A trial of each way to read a damaged file."""
    for how, read in READERS.items():
        yield Trial(f"{how} {name}", functools.partial(_unchanged, read, damage, make))


def _computed(path: Path) -> xr.DataTree:
    """All of a file that was opened lazily, small arrays as well."""
    with mock.patch.object(lazy_arrays, "SMALL", 0):
        tree = ts.load(path, lazy=True)
    try:
        return tree.compute()
    finally:
        tree.close()


def _validated(path: Path) -> xr.DataTree | None:
    """What is in a file that is called good; None for one that is not."""
    return ts.load(path) if ts.validate(path).ok else None


READERS: dict[str, Callable[[Path], xr.DataTree | None]] = {
    "load": ts.load,
    "open": _computed,
    "validate": _validated,
}


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _saved() -> Path:
    """A file of today, with the content of the older one."""
    path, older = _folder() / "good.h5", ts.load(SCHEMA_1)
    ts.save(path, **{name: older[name].to_dataset() for name in older.children})
    return path


@functools.cache
def _content() -> bytes:
    return _saved().read_bytes()


@functools.cache
def _older_content() -> bytes:
    path = _folder() / "older.h5"
    path.write_bytes(_content())
    with_older_digests(path)
    return path.read_bytes()


@functools.cache
def _expected() -> xr.DataTree:
    """What is in the file, by a reader that is not ours."""
    with xr.open_datatree(_saved(), engine="h5netcdf") as tree:
        expected = tree.load()
    for node in expected.subtree:
        del node.attrs["sha256"], node.attrs["sha256_of_arrays"]
    return expected


def _is_refused(
    read: Callable[[Path], xr.DataTree | None], make: Callable[[Path], None], number: int
) -> bool:
    """Nothing is loaded from what is no result."""
    path = _folder() / f"hostile_{number}.h5"
    make(path)
    try:
        return read(path) is None
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    """Delete what one trial has made, for the next one."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _unchanged(
    read: Callable[[Path], xr.DataTree | None], damage: Damage, make: Callable[[], bytes]
) -> bool:
    """What is loaded from a damaged file, if anything is, is all that was saved."""
    path = _folder() / "damaged.h5"
    path.write_bytes(damage(bytearray(make())))
    loaded = read(path)
    return loaded is None or _same(loaded, _expected())


def _same(one: xr.DataTree | None, other: xr.DataTree) -> bool:
    """Whether two results agree in all names, dimensions, attributes and numbers, to the last
    bit.
    """
    if one is None or not one.identical(other):
        return False
    for node in one.subtree:
        for name, variable in node.variables.items():
            twin = other[node.path].variables[name]
            if variable.dtype != twin.dtype or variable.values.tobytes() != twin.values.tobytes():
                return False
    return True


def _flipped(bit: int, content: bytearray) -> bytes:
    content[bit // 8] ^= 1 << bit % 8
    return bytes(content)


def cut(seed: int, content: bytearray) -> bytes:
    """The beginning of a file."""
    return bytes(content[: np.random.default_rng(seed).integers(len(content))])


def zeroed(seed: int, content: bytearray) -> bytes:
    """A file with a hole, as after a crash."""
    rng = np.random.default_rng(seed)
    length, begin = int(rng.choice([8, 64, 512, 4096])), int(rng.integers(len(content)))
    content[begin : begin + length] = bytes(len(content[begin : begin + length]))
    return bytes(content)


def overwritten(seed: int, content: bytearray) -> bytes:
    """A file with noise in it."""
    rng = np.random.default_rng(seed)
    begin = int(rng.integers(len(content)))
    noise = rng.bytes(int(rng.integers(1, 64)))[: len(content) - begin]
    content[begin : begin + len(noise)] = noise
    return bytes(content)


def exchanged(seed: int, content: bytearray) -> bytes:
    """A file with two pieces in each other's place."""
    rng = np.random.default_rng(seed)
    length = int(rng.choice([1, 8, 64]))
    one, other = (int(begin) * length for begin in rng.integers(len(content) // length, size=2))
    first, second = content[one : one + length], content[other : other + length]
    content[one : one + length], content[other : other + length] = second, first
    return bytes(content)


DAMAGE = (cut, zeroed, overwritten, exchanged)


def _held(mode: str) -> subprocess.Popen:
    """Another process that has the good file open."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(_saved()), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ,
        text=True,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    return holder


def _locked_by_another() -> bool:
    with _held("r+") as holder:
        try:
            ts.load(_saved())
        except BlockingIOError as error:
            return "locked by another process" in str(error)
        finally:
            holder.communicate("")
    return False


def _read_by_another() -> bool:
    with _held("r") as holder:
        try:
            return _same(ts.load(_saved()), _expected())
        finally:
            holder.communicate("")


def _older_file() -> bool:
    with xr.open_datatree(SCHEMA_1, engine="h5netcdf") as tree:
        expected = tree.load()
    return _all_read(SCHEMA_1, expected)


def _older_digests() -> bool:
    path = _folder() / "older.h5"
    path.write_bytes(_older_content())
    return _all_read(path, _expected())


def _all_read(path: Path, expected: xr.DataTree) -> bool:
    """Whether a file reads as this in every way."""
    return all(_same(read(path), expected) for read in READERS.values())


def _saved_again() -> bool:
    path, loaded = _folder() / "again.h5", ts.load(_saved())
    ts.save(path, **{name: loaded[name].to_dataset() for name in loaded.children}, force=True)
    with h5py.File(path) as file:
        schema = json.loads(file.attrs["teacherstudent"])["schema"]
    return schema == 2 and _all_read(path, _expected())
