"""Compiled programs in a folder, from which another process runs them without tracing or compiling anything.

JAX's own cache spares the compilation, but not the tracing, nor the import of what is traced: of a short run that is most of
the time.  The command line keeps its programs (`keep_in`); nobody else's are.
"""

import hashlib
import os
import pickle
import platform
from collections.abc import Callable
from contextlib import contextmanager, suppress
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable

from teacherstudent.activations import ACTIVATIONS

MOST = 200  # programs in the folder, of a megabyte each; those not run for the longest time go first
BUILT_FROM = ("jax", "jaxlib", "numpy", "diffrax", "equinox", "optimistix", "lineax")
SOURCES = ("teacherstudent", "odes")
UNCLEAR = (" at 0x", "array(", "...")  # a text with these does not tell functions, or arrays, from others

_folder: Path | None = None
_used: dict[Path, Any] = {}  # in this process


def keep_in(folder: Path) -> None:
    """From now on keep programs in this folder, and take them from there."""
    global _folder
    _folder = folder


def run(function: Callable[[], Callable], arguments: tuple, static: tuple, options: Callable[[], dict | None]) -> dict:
    """function()(*arguments, *static), a dictionary of arrays, compiled for the CPU with options() unless its program is kept.

    `function` and `options` are asked for only if it is not.
    """
    leaves, structure = jax.tree.flatten(arguments)
    path = _path(function.__qualname__, leaves, str(structure), static)
    if path is not None:
        with suppress(Exception):  # there is none, or it fails: compiled anew, it runs or says why not
            program = _used[path] if path in _used else _read(path)
            answer = jax.block_until_ready(program(*leaves))
            _used[path] = program
            return answer
    f = function()
    flat = lambda *leaves: f(*jax.tree.unflatten(structure, leaves), *static)
    if path is not None:
        flat.__name__ = f"kept_{path.stem}"
    lowered = jax.jit(flat, compiler_options=options()).lower(*leaves)
    if path is None:
        return lowered.compile()(*leaves)
    with _not_in_the_cache_of_jax():
        program = lowered.compile()
    _write(path, program)
    _used[path] = program
    return program(*leaves)


def wanted() -> bool:
    """Whether programs are kept."""
    return _folder is not None


@contextmanager
def _not_in_the_cache_of_jax():
    """What is kept here is not kept there as well: a program for the CPU that was once loaded cannot be serialised again.

    Nor is it found there under its own name.
    """
    name = "jax_persistent_cache_min_compile_time_secs"
    own = getattr(jax.config, name)
    jax.config.update(name, float("inf"))
    try:
        yield
    finally:
        jax.config.update(name, own)


def _path(name: str, leaves: list, structure: str, static: tuple) -> Path | None:
    """Where a program is kept that depends on all this; None if the text of the structure does not tell all of it."""
    for own in ACTIVATIONS.values():
        structure = structure.replace(repr(own), own.name)
    if _folder is None or any(part in structure for part in UNCLEAR):
        return None
    kinds = [(leaf.shape, str(leaf.dtype), leaf.weak_type) for leaf in leaves]
    mark = hashlib.sha256(repr((name, structure, kinds, static, _surroundings())).encode())
    return _folder / f"{mark.hexdigest()}.program"


@cache
def _surroundings() -> tuple:
    """What else a program depends on: versions, our own source text, flags, and the processor it is compiled for."""
    digest = hashlib.sha256()
    for package in SOURCES:
        for file in sorted(Path(str(resources.files(package))).rglob("*.py")):
            digest.update(file.read_bytes())
    versions = [metadata.version(name) for name in BUILT_FROM]
    flags = sorted((name, value) for name, value in os.environ.items() if name.startswith(("JAX_", "XLA_", "EQX_")))
    return digest.hexdigest(), versions, flags, _processor(), jax.local_device_count(backend="cpu")


def _processor() -> tuple:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        own = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    except OSError:  # not Linux
        own = [platform.processor(), platform.node()]
    return platform.machine(), platform.system(), *sorted(set(own)), os.cpu_count()


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        program = serialize_executable.deserialize_and_load(*pickle.load(file))
    path.touch()
    return program


def _write(path: Path, program: jax.stages.Compiled) -> None:
    """Keep a program if that is possible; a reader never sees half of one."""
    own = path.with_suffix(f".{os.getpid()}")
    try:
        own.write_bytes(pickle.dumps(serialize_executable.serialize(program)))
        own.replace(path)
        oldest_first = sorted(path.parent.glob("*.program"), key=lambda one: one.stat().st_mtime)
        for old in oldest_first[:-MOST]:
            old.unlink()
    except Exception:  # a full disk, a program that cannot be serialised, another process that deletes as well
        own.unlink(missing_ok=True)
