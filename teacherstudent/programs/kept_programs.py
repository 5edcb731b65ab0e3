"""Compiled programs in a folder, from which another process runs them.

It traces and compiles nothing.  JAX's own cache spares the compilation, but not the tracing, nor
the import of what is traced: of a short run that is most of the time.  The command line keeps its
programs (`keep_in`); nobody else's are.

What it saves, in CPU seconds of a command line that is run a second time (the published set-up
goldt-2019-scm-k3; the theory alone, and with a few small networks):

                                    theory      theory and networks
    both caches                       2.6              4.9
    programs kept here alone          2.5              8.0
    JAX's cache alone                 3.6
    neither                           4.7

The theory lives from the programs kept here, the simulation from JAX's cache.  A first run is not
slower by a measurable time.

A program that is loaded can do all that its user can, and JAX unpickles it: both caches take and
keep programs in a folder whose files only this user can have written (`private_folder`).
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
import numpy as np
from jax.experimental import serialize_executable

from teacherstudent.activations.activation import ACTIVATIONS
from teacherstudent.programs.private_folder import PrivateFolder

BUILT_FROM = ("jax", "jaxlib", "numpy", "diffrax", "equinox", "optimistix", "lineax")
SOURCES = ("teacherstudent", "odes")
ENDING = ".program"
LAPACK = b"lapack_"  # how the names of its functions begin
# A text with one of these does not tell functions, or arrays, from others.
UNCLEAR = (" at 0x", "array(", "...")

_folder: PrivateFolder | None = None
_used: dict[str, Any] = {}  # in this process


def keep_in(folder: PrivateFolder) -> None:
    """From now on keep programs in this folder, and take them from there."""
    global _folder
    _folder = folder


def keep_those_of_jax_in(folder: PrivateFolder, seconds: float) -> None:
    """Keep in this folder as well what JAX compiles for longer than so many seconds.

    JAX would run what it finds in a folder, whoever wrote it, so that it is given this one instead.
    A JAX that cannot be given one compiles everything anew.
    """
    try:
        from jax._src import compilation_cache
        from jax._src.compilation_cache_interface import CacheInterface
    except ImportError:
        return
    if not hasattr(compilation_cache, "get_file_cache"):
        return

    class CheckedCache(CacheInterface):
        _path = folder.path

        def get(self, key: str) -> bytes | None:
            return folder.read(f"{key}.jax")

        def put(self, key: str, value: bytes) -> None:
            folder.write(f"{key}.jax", value)

    compilation_cache.get_file_cache = lambda path: (CheckedCache(), path)
    # XLA's own caches would read what others may have written.
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", seconds)
    jax.config.update("jax_compilation_cache_dir", str(folder.path))


def run(
    function: Callable[[], Callable],
    arguments: tuple,
    static: tuple,
    options: Callable[[], dict | None],
) -> dict:
    """function()(*arguments, *static), a dictionary of arrays, on the CPU.

    Unless its program is kept, it is compiled with options().  `function` and `options` are called
    only then: what they import is not needed otherwise.
    """
    leaves, structure = jax.tree.flatten(arguments)
    name = _name(function.__qualname__, leaves, str(structure), static)
    if name is not None:
        # There may be none, or it fails: compiled anew, it runs or says why not.
        with suppress(Exception):
            program = _used[name] if name in _used else _read(name)
            answer = jax.block_until_ready(program(*leaves))
            _used[name] = program
            return answer
    computed = function()

    def flat(*leaves):
        return computed(*jax.tree.unflatten(structure, leaves), *static)

    if name is not None:
        flat.__name__ = f"kept_{name.removesuffix(ENDING)}"
    lowered = jax.jit(flat, compiler_options=options()).lower(*leaves)
    if name is None:
        return lowered.compile()(*leaves)
    with _not_in_the_cache_of_jax():
        program = lowered.compile()
    _write(name, program)
    _used[name] = program
    return program(*leaves)


def wanted() -> bool:
    """Whether programs are kept."""
    return _folder is not None


@contextmanager
def _not_in_the_cache_of_jax():
    """What is kept here is not kept there as well, nor taken from there.

    A program for the CPU that was once loaded cannot be serialised again.
    """
    name = "jax_persistent_cache_min_compile_time_secs"
    seconds = getattr(jax.config, name)
    jax.config.update(name, float("inf"))
    try:
        yield
    finally:
        jax.config.update(name, seconds)


def _name(name: str, leaves: list, structure: str, static: tuple) -> str | None:
    """The file of a program that depends on all this.

    None if the text of the structure does not say all of it.
    """
    for activation in ACTIVATIONS.values():
        structure = structure.replace(repr(activation), activation.name)
    if _folder is None or any(part in structure for part in UNCLEAR):
        return None
    kinds = [(leaf.shape, str(leaf.dtype), getattr(leaf, "weak_type", False)) for leaf in leaves]
    mark = hashlib.sha256(repr((name, structure, kinds, static, _surroundings())).encode())
    return mark.hexdigest() + ENDING


@cache
def _surroundings() -> tuple:
    """What else a program depends on.

    Versions, our own source text, flags, and the processor it is compiled for.
    """
    digest = hashlib.sha256()
    for package in SOURCES:
        for file in sorted(Path(str(resources.files(package))).rglob("*.py")):
            digest.update(file.read_bytes())
    versions = [metadata.version(name) for name in BUILT_FROM]
    flags = sorted(
        (name, value)
        for name, value in os.environ.items()
        if name.startswith(("JAX_", "XLA_", "EQX_"))
    )
    return digest.hexdigest(), versions, flags, _processor(), jax.local_device_count(backend="cpu")


def _processor() -> tuple:
    """What is known of the processor of this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        telling = ("model name", "flags", "Features", "CPU part")
        entries = {line for line in lines if line.startswith(telling)}
    except OSError:  # not Linux
        entries = {platform.processor(), platform.node()}
    return platform.machine(), platform.system(), *sorted(entries), os.cpu_count()


def _read(name: str) -> Any:
    """A program that is kept, loaded.

    Raises FileNotFoundError if there is none that only this user can have written.
    """
    content = None if _folder is None else _folder.read(name)
    if content is None:
        raise FileNotFoundError(name)
    if LAPACK in content:
        _find_lapack()
    return serialize_executable.deserialize_and_load(*pickle.loads(content))


def _find_lapack() -> None:
    """JAX finds the functions of LAPACK when it compiles a call of one: a program that is loaded
    into a process that has compiled none would jump to nowhere, and end the process.
    """
    from jaxlib import lapack

    lapack.prepare_lapack_call("trsm", np.dtype("float64"))


def _write(name: str, program: jax.stages.Compiled) -> None:
    """Keep a program if that is possible."""
    with suppress(Exception):  # one that cannot be serialised
        assert _folder is not None, "only programs with a folder have a name"
        _folder.write(name, pickle.dumps(serialize_executable.serialize(program)))
