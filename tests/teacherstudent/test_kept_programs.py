"""Programs kept in a folder: found again, told apart, and never in the way."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from teacherstudent import kept_programs
from teacherstudent.activations import ACTIVATIONS, Activation

built: list[str] = []


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_programs, "_folder", None)
    kept_programs.keep_in(tmp_path)
    forget(monkeypatch)
    built.clear()
    return tmp_path


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
    assert len(built) == 1 and len(list(folder.iterdir())) == 1


def test_other_shapes_types_and_static_arguments_are_other_programs(folder):
    values = [run([1.0, 3.0]), run([1.0]), run(np.float32([1.0, 3.0])), run([1.0, 3.0], n=3)]
    assert len(built) == 4 and len(list(folder.iterdir())) == 4
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
    (path,) = folder.iterdir()
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
    monkeypatch.setattr(kept_programs, "_read", lambda path: fails)
    assert run([3.0]) == 9 and len(built) == 2


@pytest.fixture
def jax_caches_everything():
    everything = {"jax_persistent_cache_min_compile_time_secs": 0.0, "jax_persistent_cache_min_entry_size_bytes": -1}
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
        (path,) = folder.iterdir()
        path.unlink()
        forget(monkeypatch)
        jax.clear_caches()
    run([3.0], 7)
    forget(monkeypatch)
    assert run([3.0], 7) == 3**7 and len(built) == 3


def test_a_folder_that_cannot_be_written_is_no_obstacle(folder, monkeypatch):
    kept_programs.keep_in(folder / "missing")
    assert run([3.0]) == 9 and not list(folder.iterdir())


def test_the_least_used_go_first(folder, monkeypatch):
    monkeypatch.setattr(kept_programs, "MOST", 2)
    for n in (2, 3):
        run([1.0], n)
        time.sleep(0.02)
    forget(monkeypatch)
    run([1.0], 2)  # now the last one used
    time.sleep(0.02)
    run([1.0], 4)
    assert len(list(folder.iterdir())) == 2
    forget(monkeypatch)
    built.clear()
    run([1.0], 2)
    assert not built
    run([1.0], 3)
    assert built


def path_of(structure):
    return kept_programs._path("solve", [], structure, ())


def test_activations_are_told_apart_by_name(folder):
    paths = [path_of(f"CustomNode(Student[({own},)], [*])") for own in ACTIVATIONS.values()]
    assert None not in paths and len(set(paths)) == len(ACTIVATIONS)


@pytest.mark.parametrize("part", [Activation("mine", lambda x: x), np.ones(3), "(0.1, ..., 0.2)", object()])
def test_what_a_text_does_not_tell_is_not_kept(part, folder):
    assert path_of(f"CustomNode(Task[({part!r},)], [*])") is None
