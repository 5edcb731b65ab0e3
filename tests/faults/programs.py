"""Compiled programs that others may have written or that are not whole: they must not run, and the
numbers must be right.
"""

import hashlib
import os
import pickle
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from teacherstudent.programs import for_all_runs, kept_programs, private_folder
from tests.faults.trial import Trial

FLIPS = 300  # of single bits, at share 1
CUTS = 30
NAMES = ("teacherstudent", "compiled")
STRANGER = 12345  # a user who is nobody here
INPUT = np.array([1.0, 3.0, 0.3])


class Planted:
    """An object whose pickle makes a file when it is loaded."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def powers():
    return lambda x, n: {"y": x**n}


@dataclass
class Cache:
    """A cache folder with one program in it."""

    home: Path

    @property
    def root(self) -> Path:
        return self.home / "cache"

    @property
    def folder(self) -> Path:
        return self.root.joinpath(*NAMES)

    @property
    def marker(self) -> Path:
        return self.home / "marker"

    @property
    def program(self) -> Path:
        (path,) = self.folder.glob("*.program")
        return path

    def run(self) -> np.ndarray:
        """The answer of the program as the command line would have it, in a process that knows
        none.
        """
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kept_programs, "_used", {})
            patch.setattr(kept_programs, "_folder", None)
            patch.setattr(kept_programs, "keep_those_of_jax_in", lambda folder, seconds: None)
            patch.setenv("EQX_ON_ERROR", "nan")
            if (
                "HOME" not in os.environ
            ):  # nor does the system know a home, which would be that of whoever runs this
                patch.setattr(os.path, "expanduser", str)
            for_all_runs.keep_compiled_programs()
            answer = kept_programs.run(powers, (jnp.asarray(INPUT),), (3,), lambda: None)
        return np.asarray(answer["y"])

    def pickled(self) -> bytes:
        return pickle.dumps(Planted(self.marker))

    def plant(self, path: Path) -> None:
        """Write a pickle with the code that a program of this folder has."""
        secret = (self.folder / "secret").read_bytes()
        content = self.pickled()
        path.unlink(missing_ok=True)
        path.write_bytes(private_folder._code(secret, self.program_name, content) + content)
        path.chmod(0o600)

    def __post_init__(self) -> None:
        self.root.mkdir(mode=0o700)
        with self.environment():
            self.answer = self.run()
        self.program_name = self.program.name

    @contextmanager
    def environment(self, **changes: str | None):
        """The variables that say where the cache is."""
        variables = {
            "XDG_CACHE_HOME": str(self.root),
            "HOME": str(self.home),
            "JAX_COMPILATION_CACHE_DIR": None,
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (variables | changes).items():
                if value is None:
                    patch.delenv(name, raising=False)
                else:
                    patch.setenv(name, value)
            yield

    def is_right(self, **changes: str | None) -> bool:
        """Whether the answer is the same as before, and nothing planted has run."""
        with self.environment(**changes):
            answer = self.run()
        return not self.marker.exists() and answer.tobytes() == self.answer.tobytes()


@contextmanager
def cache() -> Iterator[Cache]:
    with tempfile.TemporaryDirectory() as home:
        yield Cache(Path(home))


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Every planted pickle, owner, mode, link and environment; random flips and cuts."""
    rng = np.random.default_rng(seed)
    for kind, attacks in (("content", CONTENTS), ("others", OTHERS), ("environment", ENVIRONMENTS)):
        for name, attack in attacks.items():
            yield Trial(f"{kind}: {name}", partial(attacked, attack), may_refuse=False)
    if os.geteuid() == 0:  # nobody else can give files away
        for name, attack in OWNERS.items():
            yield Trial(f"owner: {name}", partial(attacked, attack), may_refuse=False)
    for number in range(max(3, round(share * FLIPS))):
        flip = partial(flipped, place=float(rng.random()), bit=int(rng.integers(8)))
        yield Trial(f"flip {number}", partial(attacked, flip), may_refuse=False)
    for number in range(max(2, round(share * CUTS))):
        cut = partial(cut_short, place=float(rng.random()))
        yield Trial(f"cut {number}", partial(attacked, cut), may_refuse=False)


def attacked(attack: Callable[[Cache], dict | None]) -> bool:
    """Whether the numbers are right after an attack, which may also say which variables to set."""
    with cache() as one:
        return one.is_right(**(attack(one) or {}))


# ---------------------------------------------------------------- content


def raw_pickle(one: Cache) -> None:
    one.program.write_bytes(one.pickled())


def pickle_with_checksum(one: Cache) -> None:
    content = one.pickled()
    one.program.write_bytes(hashlib.sha256(content).digest() + content)


def pickle_under_a_valid_code(one: Cache) -> None:
    head = one.program.read_bytes()[:32]
    one.program.write_bytes(head + one.pickled())


def pickle_after_a_valid_program(one: Cache) -> None:
    one.program.write_bytes(one.program.read_bytes() + one.pickled())


def code_of_another_secret(one: Cache) -> None:
    content = one.pickled()
    code = private_folder._code(bytes(32), one.program.name, content)
    one.program.write_bytes(code + content)


def renamed_program(one: Cache) -> None:
    """The program of the square under the name of the cube."""
    with one.environment(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_programs, "_used", {})
        patch.setattr(kept_programs, "_folder", None)
        name = one.program
        kept_programs.keep_in(private_folder.PrivateFolder(one.root, NAMES))
        kept_programs.run(powers, (jnp.asarray(INPUT),), (2,), lambda: None)
    (other,) = set(one.folder.glob("*.program")) - {name}
    other.replace(name)


def empty(one: Cache) -> None:
    one.program.write_bytes(b"")


def empty_secret(one: Cache) -> None:
    (one.folder / "secret").write_bytes(b"")
    content = one.pickled()
    one.program.write_bytes(private_folder._code(b"", one.program.name, content) + content)


def no_secret(one: Cache) -> None:
    (one.folder / "secret").unlink()


def pipe(one: Cache) -> None:
    name = one.program
    name.unlink()
    os.mkfifo(name)


def folder_in_place_of_the_program(one: Cache) -> None:
    name = one.program
    name.unlink()
    name.mkdir()


def flipped(one: Cache, place: float, bit: int) -> None:
    content = bytearray(one.program.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    one.program.write_bytes(content)


def cut_short(one: Cache, place: float) -> None:
    content = one.program.read_bytes()
    one.program.write_bytes(content[: int(place * len(content))])


CONTENTS = {
    "a pickle": raw_pickle,
    "a pickle with its checksum": pickle_with_checksum,
    "a pickle under the code of a program": pickle_under_a_valid_code,
    "a pickle after a program": pickle_after_a_valid_program,
    "a pickle with the code of another secret": code_of_another_secret,
    "another program": renamed_program,
    "an empty file": empty,
    "an empty secret": empty_secret,
    "no secret": no_secret,
    "a pipe": pipe,
    "a folder": folder_in_place_of_the_program,
}

# ---------------------------------------------------------------- who can write


def file_with_mode(mode: int) -> Callable[[Cache], None]:
    def attack(one: Cache) -> None:
        one.plant(one.program)
        next(one.folder.glob("*.program")).chmod(mode)

    return attack


def folder_with_mode(part: str, mode: int) -> Callable[[Cache], None]:
    def attack(one: Cache) -> None:
        one.plant(one.program)
        getattr(one, part).chmod(mode)

    return attack


def secret_with_mode(one: Cache) -> None:
    one.plant(one.program)
    (one.folder / "secret").chmod(0o644)


def linked_file(one: Cache) -> None:
    name, elsewhere = one.program, one.home / "elsewhere"
    one.plant(elsewhere)
    name.unlink()
    name.symlink_to(elsewhere)


def file_with_two_names(one: Cache) -> None:
    name, elsewhere = one.program, one.home / "elsewhere"
    one.plant(elsewhere)
    name.unlink()
    os.link(elsewhere, name)


def linked_folder(part: str) -> Callable[[Cache], None]:
    def attack(one: Cache) -> None:
        one.plant(one.program)
        path, elsewhere = getattr(one, part), one.home / "elsewhere"
        path.rename(elsewhere)
        path.symlink_to(elsewhere)

    return attack


def writable_folder_between(one: Cache) -> None:
    one.plant(one.program)
    one.folder.parent.chmod(0o777)


MODES = {"group": stat.S_IWGRP, "others": stat.S_IWOTH}
OTHERS = {
    **{f"{who} write the file": file_with_mode(0o600 | bits) for who, bits in MODES.items()},
    **{
        f"{who} write the folder": folder_with_mode("folder", 0o700 | bits)
        for who, bits in MODES.items()
    },
    **{
        f"{who} write the cache": folder_with_mode("root", 0o755 | bits)
        for who, bits in MODES.items()
    },
    "others write the folder, which is sticky": folder_with_mode("folder", 0o1777),
    "others write the folder between": writable_folder_between,
    "others read the secret": secret_with_mode,
    "the file is a link": linked_file,
    "the file has two names": file_with_two_names,
    "the folder is a link": linked_folder("folder"),
    "the cache is a link": linked_folder("root"),
}


def owned_by_a_stranger(part: str) -> Callable[[Cache], None]:
    def attack(one: Cache) -> None:
        one.plant(one.program)
        os.chown(getattr(one, part), STRANGER, -1)

    return attack


def secret_of_a_stranger(one: Cache) -> None:
    one.plant(one.program)
    os.chown(one.folder / "secret", STRANGER, -1)


OWNERS = {part: owned_by_a_stranger(part) for part in ("program", "folder", "root")}
OWNERS["secret"] = secret_of_a_stranger

# ---------------------------------------------------------------- no home


def cache_is_a_file(one: Cache) -> dict:
    path = one.home / "file"
    path.touch()
    return {"XDG_CACHE_HOME": str(path)}


ENVIRONMENTS = {
    "no HOME": lambda one: {"XDG_CACHE_HOME": None, "HOME": None},
    "HOME is not there": lambda one: {
        "XDG_CACHE_HOME": None,
        "HOME": str(one.home / "missing" / "home"),
    },
    "the cache is a file": cache_is_a_file,
    "the cache is relative": lambda one: {"XDG_CACHE_HOME": "cache"},
    "the cache is a device": lambda one: {"XDG_CACHE_HOME": "/dev/null"},
    "the cache is on a file system that cannot be written": lambda one: {
        "XDG_CACHE_HOME": "/proc/self"
    },
}
