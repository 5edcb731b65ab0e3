"""Programs kept in a folder: found again, told apart, and never in the way."""

import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from teacherstudent.activations.activation import ACTIVATIONS, Activation
from teacherstudent.programs import kept_programs, private_folder
from teacherstudent.programs.private_folder import PrivateFolder

built: list[str] = []


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_programs, "_folder", None)
    kept_programs.keep_in(PrivateFolder(tmp_path, ()))
    forget(monkeypatch)
    built.clear()
    return tmp_path


def programs(folder):
    return sorted(folder.glob("*.program"))


def forget(monkeypatch):
    """What this process has run, as another one would not know it."""
    monkeypatch.setattr(kept_programs, "_used", {})


def powers():
    built.append("powers")
    return lambda x, n: {"y": x["a"] ** n}


def run(x, n=2):
    return kept_programs.run(powers, ({"a": jnp.asarray(x)},), (n,), lambda: None)["y"]


def test_a_program_is_built_once_for_all_values(folder, monkeypatch):
    np.testing.assert_array_equal(run([1.0, 3.0]), [1, 9])
    forget(monkeypatch)
    np.testing.assert_array_equal(run([2.0, 5.0]), [4, 25])
    np.testing.assert_array_equal(run([3.0, 4.0]), [9, 16])
    assert len(built) == 1 and len(programs(folder)) == 1


def test_other_shapes_types_and_static_arguments_are_other_programs(folder):
    values = [run([1.0, 3.0]), run([1.0]), run(np.float32([1.0, 3.0])), run([1.0, 3.0], n=3)]
    assert len(built) == 4 and len(programs(folder)) == 4
    assert values[2].dtype == np.float32 and values[3].tolist() == [1, 27]


@pytest.mark.parametrize("change", ["versions", "sources", "processor"])
def test_other_surroundings_are_other_programs(change, folder, monkeypatch):
    run([1.0])
    own = kept_programs._surroundings()
    monkeypatch.setattr(kept_programs, "_surroundings", lambda: (*own, change))
    run([1.0])
    assert len(built) == 2


def test_a_broken_file_is_replaced(folder, monkeypatch):
    run([3.0])
    (path,) = programs(folder)
    path.write_bytes(path.read_bytes()[:100])
    forget(monkeypatch)
    assert run([3.0]) == 9 and len(built) == 2
    forget(monkeypatch)
    assert run([3.0]) == 9 and len(built) == 2


def test_a_program_that_does_not_run_is_replaced(folder, monkeypatch):
    def fails(*leaves):
        raise RuntimeError("Function wrapped_multiply not found")

    run([3.0])
    forget(monkeypatch)
    monkeypatch.setattr(kept_programs, "_read", lambda name: fails)
    assert run([3.0]) == 9 and len(built) == 2


@pytest.fixture
def jax_caches_everything():
    everything = {
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in everything}
    for name, value in everything.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_a_program_is_kept_again_if_only_its_file_went(folder, monkeypatch, jax_caches_everything):
    """From the cache of JAX it would come in a form that can be run but not kept."""
    for _ in range(2):
        run([3.0], 7)
        (path,) = programs(folder)
        path.unlink()
        forget(monkeypatch)
        jax.clear_caches()
    run([3.0], 7)
    forget(monkeypatch)
    assert run([3.0], 7) == 3**7 and len(built) == 3


def test_a_folder_that_is_gone_is_no_obstacle(folder):
    (folder / "secret").unlink()
    folder.rmdir()
    assert run([3.0]) == 9 and not folder.exists()


def test_the_least_used_go_first(folder, monkeypatch):
    monkeypatch.setattr(private_folder, "MOST_FILES", 2)
    for n in (2, 3):
        run([1.0], n)
        time.sleep(0.02)
    forget(monkeypatch)
    run([1.0], 2)  # now the last one used
    time.sleep(0.02)
    run([1.0], 4)
    assert len(programs(folder)) == 2
    forget(monkeypatch)
    built.clear()
    run([1.0], 2)
    assert not built
    run([1.0], 3)
    assert built


def name_of(structure):
    return kept_programs._name("solve", [], structure, ())


def test_activations_are_told_apart_by_name(folder):
    names = [name_of(f"CustomNode(Student[({own},)], [*])") for own in ACTIVATIONS.values()]
    assert None not in names and len(set(names)) == len(ACTIVATIONS)


@pytest.mark.parametrize(
    "part", [Activation("mine", lambda x: x), np.ones(3), "(0.1, ..., 0.2)", object()]
)
def test_what_a_text_does_not_tell_is_not_kept(part, folder):
    assert name_of(f"CustomNode(Task[({part!r},)], [*])") is None


SOLVE = """
import sys, numpy as np, jax, jax.numpy as jnp
from pathlib import Path
from teacherstudent.programs import kept_programs
from teacherstudent.programs.private_folder import PrivateFolder
kept_programs.keep_in(PrivateFolder(Path(sys.argv[1]), ()))

def solves():
    print("compiles")
    return lambda x: {"y": jax.scipy.linalg.solve_triangular(x, jnp.ones(3, x.dtype), lower=True)}

found = kept_programs.run(solves, (np.eye(3, dtype=np.float32),), (), lambda: None)
print(np.asarray(found["y"]))
"""


def test_one_that_calls_lapack_runs_in_a_process_that_has_compiled_nothing(tmp_path):
    said = []
    for _ in range(2):
        command = [sys.executable, "-c", SOLVE, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said == ["compiles\n[1. 1. 1.]\n", "[1. 1. 1.]\n"]
