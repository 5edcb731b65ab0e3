"""Checkpoints: what is read is what was written, or is refused; nothing in them is executed."""

import os
import pickle

import jax.numpy as jnp
import numpy as np
import pytest

from sims.running import checkpoints

RUN = {"w": jnp.linspace(0.0, 1.0, 12).reshape(3, 4), "key": jnp.arange(4, dtype=jnp.uint32)}
ROWS = [
    {"Q": np.full((2, 2), float(number)), "eps_g": np.asarray(number / 3)} for number in range(3)
]


@pytest.fixture
def path(tmp_path):
    checkpoints.Keeper(tmp_path / "run.ckpt", "mark").keep(lambda: RUN, 17, ROWS)
    return tmp_path / "run.ckpt"


def _assert_all_there(saved) -> None:
    assert saved.done == 17 and len(saved.rows) == 3
    for row, expected in zip(saved.rows, ROWS, strict=True):
        assert set(row) == set(expected)
        for name in expected:
            np.testing.assert_array_equal(row[name], expected[name])
    for name in RUN:
        np.testing.assert_array_equal(saved.run[name], RUN[name])


def test_what_is_written_is_read(path):
    _assert_all_there(checkpoints.read(path, "mark", RUN))


def test_flipped_bits_change_nothing_or_are_refused(path):
    content, refused = path.read_bytes(), 0
    for bit in np.random.default_rng(0).integers(8 * len(content), size=400):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            saved = checkpoints.read(path, "mark", RUN)
        except ValueError as error:
            refused += 1
            assert "run.ckpt" in str(error)
        else:
            _assert_all_there(saved)
    assert refused > 200


def _rewritten(path, **changes) -> None:
    """The file with other arrays, whose own checksums are right."""
    with np.load(path) as file:
        content = {name: file[name] for name in file.files} | changes
    with path.open("wb") as file:
        np.savez(file, **{name: value for name, value in content.items() if value is not None})


@pytest.mark.parametrize(
    "changes",
    [
        {"state_0": np.zeros(1)},
        {"done": np.asarray(18)},
        {"row_Q": np.zeros((1, 2, 2))},
        {"row_Q": None},
    ],
)
def test_arrays_that_were_not_written_are_refused(path, changes):
    _rewritten(path, **changes)
    with pytest.raises(ValueError, match="run.ckpt' is damaged: it is not what was written"):
        checkpoints.read(path, "mark", RUN)


def test_a_file_without_a_digest_is_refused(path):
    _rewritten(path, sha256=None)
    with pytest.raises(
        ValueError, match="not a checkpoint of a simulation of this version, or a damaged one"
    ):
        checkpoints.read(path, "mark", RUN)


class _Planted:
    def __reduce__(self):
        return os.mkdir, ("planted",)


def test_nothing_is_unpickled(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.empty(1, object)
    values[0] = _Planted()
    _rewritten(path, fingerprint=values)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        checkpoints.read(path, "mark", RUN)
    path.write_bytes(pickle.dumps(_Planted()))
    with pytest.raises(ValueError, match="is not a checkpoint"):
        checkpoints.read(path, "mark", RUN)
    assert not (tmp_path / "planted").exists()


def test_zeros_that_would_fill_the_memory_are_refused(path):
    with path.open("wb") as file:
        np.savez_compressed(file, fingerprint=np.asarray("mark"), state_0=np.zeros(10_000_000))
    with pytest.raises(ValueError, match="is not a checkpoint"):
        checkpoints.read(path, "mark", RUN)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_not_a_file_is_refused(make, tmp_path):
    make(tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match="is not an ordinary file"):
        checkpoints.read(tmp_path / "run.ckpt", "mark", RUN)
