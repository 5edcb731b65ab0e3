"""Files that are opened without reading their numbers: what is used of them is what was saved, or
is refused in a sentence.
"""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr

import teacherstudent as ts
from teacherstudent.results import digests, hdf5_reading
from teacherstudent.results.group_checks import group_check
from teacherstudent.results.hdf5_opening import UnreadableFile
from teacherstudent.results.stored_arrays import StoredArray
from tests.faults.hostile_files import SCHEMA_1
from tests.faults.older_digests import with_older_digests

RATES = 40_000


@pytest.fixture(scope="module")
def sweep():
    """A theory with arrays of one and of several pieces."""
    theory = ts.load(SCHEMA_1)["theory"].to_dataset()
    numbers = np.random.default_rng(0).standard_normal((RATES, *theory.Q.shape))
    swept = theory.assign(
        Q=(("learning_rate", *theory.Q.dims), numbers),
        eps_g=(("learning_rate", "time"), numbers[:, :, 0, 0]),
    )
    return swept.assign_coords(learning_rate=np.linspace(0.1, 1, RATES))


@pytest.fixture
def saved(sweep, tmp_path):
    ts.save(tmp_path / "run.h5", theory=sweep)
    return tmp_path / "run.h5"


def test_a_file_that_is_opened_lazily_has_what_was_saved(saved, sweep):
    tree = ts.load(saved, lazy=True)
    theory = tree["theory"].to_dataset()
    assert theory.Q.chunks is not None and theory.R.chunks is None  # the latter is small
    assert (theory.Q.shape, theory.Q.dtype, theory.Q.attrs) == (
        sweep.Q.shape,
        sweep.Q.dtype,
        sweep.Q.attrs,
    )
    xr.testing.assert_identical(theory.compute(), sweep)
    xr.testing.assert_identical(tree.load(), ts.load(saved))


@pytest.mark.parametrize("lazy", [False, True])
def test_each_array_is_read_once(saved, monkeypatch, lazy):
    read = []
    whole = StoredArray.__getitem__

    def count(self, slices):
        read.append(self.name)
        return whole(self, slices)

    monkeypatch.setattr(StoredArray, "__getitem__", count)
    tree = ts.load(saved, lazy=lazy)
    large = ["Q", "eps_g"] if lazy else []
    assert sorted(read + large) == sorted(map(str, tree["theory"].variables))


def test_only_the_pieces_that_are_used_are_read(saved, sweep, monkeypatch):
    tree = ts.load(saved, lazy=True)
    read = []
    whole = StoredArray.__getitem__

    def count(self, slices):
        read.append(slices)
        return whole(self, slices)

    monkeypatch.setattr(StoredArray, "__getitem__", count)
    assert len(tree["theory"].Q.data.blocks[:, 0, 0, 0].chunks[0]) > 2
    np.testing.assert_array_equal(
        tree["theory"].Q.isel(learning_rate=5), sweep.Q.isel(learning_rate=5)
    )
    assert len(read) == 1


def test_a_closed_file_says_so(saved):
    tree = ts.load(saved, lazy=True)
    tree.close()
    with pytest.raises(UnreadableFile, match="cannot be read any more, because the file was close"):
        tree["theory"].Q.mean().compute()
    assert tree["theory"].time.size == 2


def test_an_array_outlives_its_tree(saved, sweep):
    Q = ts.load(saved, lazy=True)["theory"].Q
    np.testing.assert_array_equal(Q[0], sweep.Q[0])


def test_saving_over_an_open_file_disturbs_nobody(saved, sweep):
    tree = ts.load(saved, lazy=True)
    ts.save(saved, theory=sweep.isel(learning_rate=[3, 4]), force=True)
    xr.testing.assert_identical(tree["theory"].to_dataset().compute(), sweep)
    assert ts.load(saved, lazy=True)["theory"].sizes["learning_rate"] == 2
    ts.save(saved, tree, force=True)
    xr.testing.assert_identical(ts.load(saved)["theory"].to_dataset(), sweep)


def _overwrite(path, place: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b"\xff", "has numbers of 'Q' that do not match their checksum"),
        (bytes(2**20 + 4), "is not what was written in 'Q' .sha256 differs"),  # a hole of zeros
    ],
)
def test_damaged_numbers_are_refused_when_they_are_used(saved, sweep, damage, message):
    content = saved.read_bytes()
    place = content.find(sweep.Q.values[:100].tobytes())
    assert place > 0
    _overwrite(saved, place, damage)
    theory = ts.load(saved, lazy=True)["theory"].to_dataset()
    np.testing.assert_array_equal(theory.Q[-1], sweep.Q[-1])
    np.testing.assert_array_equal(theory.eps_g, sweep.eps_g)
    with pytest.raises(UnreadableFile, match=f"run.h5, group 'theory', {message}"):
        theory.Q.max().compute()
    with pytest.raises(UnreadableFile, match=f"^{saved}, group 'theory', {message}"):
        ts.save(saved.with_name("again.h5"), theory=theory)
    assert not saved.with_name("again.h5").exists()


def test_damaged_attributes_and_small_arrays_are_refused_at_once(saved, sweep):
    content = saved.read_bytes()
    _overwrite(saved, content.find(b'"learning_rate": 0.3'), b'"learning_rate": 0.4')
    with pytest.raises(UnreadableFile, match=r"'theory', is not what was written .sha256 differs"):
        ts.load(saved, lazy=True)
    saved.write_bytes(content)
    _overwrite(saved, content.find(sweep.R.values.tobytes()), b"\xff")
    with pytest.raises(UnreadableFile, match="has numbers of 'R' that do not match"):
        ts.load(saved, lazy=True)


def test_files_of_before_the_digests_of_pieces_are_read_through(saved, sweep):
    with_older_digests(saved)
    xr.testing.assert_identical(ts.load(saved)["theory"].to_dataset(), sweep)
    tree = ts.load(saved, lazy=True)
    xr.testing.assert_identical(tree["theory"].to_dataset().compute(), sweep)
    tree.close()
    assert ts.validate(saved).ok
    place = saved.read_bytes().find(sweep.Q.values[:100].tobytes())
    _overwrite(saved, place, bytes(2**20 + 4))
    for lazy in (False, True):
        with pytest.raises(UnreadableFile, match="'theory', is not what was written"):
            ts.load(saved, lazy=lazy)


def test_a_table_of_digests_that_does_not_fit_is_refused(saved):
    for table in ("[", "[]", "{}", '{"Q": [[1], 3]}'):
        with h5py.File(saved, "r+") as file:
            file["theory"].attrs["sha256_of_arrays"] = table
        with hdf5_reading.opened(saved, group_check("run.h5")) as root:
            outline = digests.digest_of_outline(root.groups["theory"], table)
        with h5py.File(saved, "r+") as file:
            file["theory"].attrs["sha256"] = outline
        for lazy in (False, True):
            with pytest.raises(UnreadableFile, match="has no digests of its arrays"):
                ts.load(saved, lazy=lazy)


def test_pieces_are_one_run_in_memory_and_not_too_large():
    for shape in ((), (0, 3), (3,), (10**7,), (5, 10**7), (100, 100, 50, 4, 4), (10**6, 1, 2)):
        piece = digests.shape_of_pieces(shape, 8)
        assert len(piece) == len(shape) and np.prod(piece) * 8 <= digests.LARGEST_PIECE
        first = next((axis for axis, part in enumerate(piece) if part > 1), 0)
        assert piece[first + 1 :] == tuple(max(1, length) for length in shape[first + 1 :])


# Within 64 MiB beside what the packages take, where the file has 128 MiB of numbers.
LARGER = """
import re, resource, sys
from pathlib import Path
import dask, dask.array, h5py, numpy as np
import teacherstudent as ts
from tests.faults.hostile_files import SCHEMA_1
dask.config.set(scheduler="synchronous")
theory = ts.load(SCHEMA_1)["theory"].to_dataset()
ts.save(sys.argv[1] + ".small", theory=theory)  # loads what is loaded late
ts.validate(sys.argv[1] + ".small")
count = 128 * 2**20 // theory.Q.nbytes
numbers = dask.array.arange(count, dtype=float, chunks=2**16)[:, None, None, None]
Q = dask.array.broadcast_to(numbers, (count, *theory.Q.shape), chunks=(2**16, *theory.Q.shape))
large = theory.assign(Q=(("learning_rate", *theory.Q.dims), Q))
used = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 64 * 2**20,) * 2)
ts.save(sys.argv[1], theory=large)
tree = ts.load(sys.argv[1], lazy=True)
assert float(tree["theory"].Q.mean()) == (count - 1) / 2
tree.close()
assert ts.validate(sys.argv[1]).ok
try:
    ts.load(sys.argv[1])
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory cannot be limited like this")
def test_a_result_may_be_larger_than_memory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LARGER, str(tmp_path / "run.h5")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "group 'theory', has more numbers of 'Q' than memory holds" in done.stdout
    assert (tmp_path / "run.h5").stat().st_size > 128 * 2**20


def test_the_marks_of_a_file_are_not_attributes_of_its_results(saved):
    for lazy in (False, True):
        assert list(ts.load(saved, lazy=lazy)["theory"].attrs) == ["teacherstudent"]
    with xr.open_datatree(saved, engine="h5netcdf") as tree:
        table = json.loads(tree["theory"].attrs["sha256_of_arrays"])
    assert set(table) == set(map(str, ts.load(saved)["theory"].variables))
