"""Files of results: whatever was done to them, what is loaded is what was saved, or is refused in a
sentence.
"""

import io
import json
import os
import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr

import teacherstudent as ts
from teacherstudent.results import hdf5_reading
from teacherstudent.results.file_for_hdf5 import FileForHDF5
from teacherstudent.results.hdf5_opening import UnreadableFile
from tests.faults import hostile_files

SCHEMA_1 = hostile_files.SCHEMA_1
HOLD = (
    "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); "
    "sys.stdin.read()"
)


@pytest.fixture(scope="module")
def older():
    return ts.load(SCHEMA_1)


@pytest.fixture
def saved(older, tmp_path):
    path = tmp_path / "run.h5"
    ts.save(path, **{name: older[name].to_dataset() for name in older.children})
    return path


def test_a_file_of_the_first_release_opens(older):
    with xr.open_datatree(SCHEMA_1, engine="h5netcdf") as tree:
        xr.testing.assert_identical(older, tree.load())


def test_all_numbers_have_a_checksum_of_hdf5_and_all_groups_a_digest(saved):
    with h5py.File(saved) as file:
        arrays: list[h5py.Dataset] = []
        file.visititems(
            lambda _, one: arrays.append(one) if isinstance(one, h5py.Dataset) else None
        )
        numbers = [one for one in arrays if one.shape and not hdf5_reading.is_only_a_size(one.id)]
        assert len(numbers) > 20 and all(one.fletcher32 for one in numbers)
        assert all(
            len(file[name].attrs["sha256"]) == 64
            for name in ("/", "theory", "simulation", "comparison")
        )


def test_plain_xarray_and_h5py_read_it(saved, older):
    with xr.open_datatree(saved, engine="h5netcdf") as tree:
        plain = tree.load()
    assert json.loads(plain["theory"].attrs["teacherstudent"])["kind"] == "theory"
    for node in plain.subtree:
        del node.attrs["sha256"], node.attrs["sha256_of_arrays"]
    xr.testing.assert_identical(plain, ts.load(saved))
    with h5py.File(saved) as file:
        np.testing.assert_array_equal(file["theory/Q"], older["theory"].Q)


def _where(path, content: bytes) -> int:
    found = path.read_bytes().find(content)
    assert found > 0
    return found


def _flip(path, place: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize("bit", [0, 4, 7])
def test_a_flipped_bit_in_a_number_is_refused_by_file_and_group(saved, older, bit):
    _flip(saved, _where(saved, older["simulation"].Q.values.tobytes()) + 9, bit)
    with pytest.raises(
        ValueError,
        match=r"run.h5, group 'simulation', has numbers of 'Q' that do not match their checksum",
    ):
        ts.load(saved)


def test_a_flipped_bit_in_the_description_is_refused_by_file_and_group(saved):
    place = _where(saved, b'"learning_rate": 0.3') + len('"learning_rate": 0.')
    _flip(saved, place)
    with pytest.raises(
        ValueError,
        match=r"run.h5, group '(theory|simulation)', is not what was written .sha256 differs",
    ):
        ts.load(saved)


def test_numbers_lost_with_their_checksum_are_missed(saved, older):
    # zeros have the checksum zero: a hole in the file, as crashes leave, passes HDF5
    values = older["theory"].R.values.tobytes()
    place = _where(saved, values)
    content = bytearray(saved.read_bytes())
    content[place : place + len(values) + 4] = bytes(len(values) + 4)
    saved.write_bytes(content)
    with h5py.File(saved) as file:
        assert not file["theory/R"][()].any()
    with pytest.raises(ValueError, match="group 'theory', is not what was written"):
        ts.load(saved)


@pytest.mark.long
def test_random_flips_change_nothing_or_are_refused(saved, older):
    content, rng, refused = saved.read_bytes(), np.random.default_rng(4), 0
    for bit in rng.integers(8 * len(content), size=60):
        saved.write_bytes(content)
        _flip(saved, bit // 8, bit % 8)
        try:
            loaded = ts.load(saved)
        except UnreadableFile as error:
            refused += 1
            assert "run.h5" in str(error)
        else:
            for name in older.children:
                xr.testing.assert_identical(loaded[name].to_dataset(), older[name].to_dataset())
    assert refused > 30


def test_what_was_changed_by_hand_is_refused_and_can_be_saved_anew(saved, tmp_path):
    with h5py.File(saved, "r+") as file:
        file["theory/Q"][...] = 0.5
    with pytest.raises(
        ValueError, match="changed by hand; if you meant that, read it with xarray and save it anew"
    ):
        ts.load(saved)
    with xr.open_datatree(saved, engine="h5netcdf") as tree:
        ts.save(tmp_path / "anew.h5", theory=tree["theory"].to_dataset())
    assert (ts.load(tmp_path / "anew.h5")["theory"].Q == 0.5).all()


def test_compression_that_was_asked_for_stays(older, tmp_path):
    theory = older["theory"].to_dataset().assign(zeros=("x", np.zeros(2000)))
    theory.zeros.encoding |= {"zlib": True, "complevel": 5}
    ts.save(tmp_path / "run.h5", theory=theory)
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["theory/zeros"].compression_opts == 5 and file["theory/zeros"].fletcher32
    xr.testing.assert_identical(ts.load(tmp_path / "run.h5")["theory"].to_dataset(), theory)


def test_odd_but_good_values_come_back(older, tmp_path):
    attributes = {
        "text": "",
        "greek": "ü",
        "one": 1,
        "list": [1, 2],
        "texts": ["a", "b"],
        "numbers": np.arange(3.0),
    }
    theory = older["theory"].to_dataset().assign_attrs(attributes)
    theory = theory.assign(
        flag=("time", [True, False]), nothing=("none", np.zeros(0)), one=3, big=((), np.inf)
    )
    theory = theory.assign_coords(label=("time", ["a", "bc"]))
    ts.save(tmp_path / "run.h5", theory=theory)
    xr.testing.assert_identical(ts.load(tmp_path / "run.h5")["theory"].to_dataset(), theory)


def test_what_could_not_be_read_again_is_not_written(older, tmp_path):
    theory = older["theory"].to_dataset()
    with pytest.raises(
        ValueError, match="nothing is saved that could not be read again: .*has no description"
    ):
        ts.save(tmp_path / "run.h5", theory=theory.drop_attrs())
    with pytest.raises(ValueError, match="holds kind = 'theory'; it is to be 'simulation'"):
        ts.save(tmp_path / "run.h5", simulation=theory)
    with pytest.raises(ValueError, match="cannot be kept in HDF5"):
        ts.save(tmp_path / "run.h5", theory=theory.assign_attrs(flag=True))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "a group in itself",
            "group 'theory/again', holds the group a second time, or inside itself",
        ),
        ("a group in another file", "has a link 'theory' that leads elsewhere"),
        ("numbers in another file", "group 'theory', keeps 'Q' in another file"),
        ("virtual, of another file", "group 'theory', keeps 'Q' in another file"),
        ("zeros packed", "declares more than 64 MiB of numbers in a file of .* KiB"),
        ("a bomb in a chunk", "'Q' packed to unpack to more than it declares"),
        ("huge", "declares more than 64 MiB of numbers"),
        ("an unknown filter", "packed with filters that results do not have"),
        ("description of theory: deep", "group 'theory', has no description"),
        ("schema of /: '99'", "was written by a newer teacherstudent .schema 99.; update it"),
        ("schema of /: '1.5'", "has schema = '1.5'; it is to be a whole number from 1 to 2"),
        ("compound", "'eps_g' of a type that results do not have"),
        (
            "other dimensions",
            r"has Q over \(student, time, student_\); it is to be over \(time, student, student_\)",
        ),
        ("thousands of groups", "has more than 2000 members"),
        ("a strange group", "group 'notes', is none that a result has"),
        ("a heap that goes nowhere", "is damaged, where its texts lie"),
        ("a heap that goes back", "is damaged, where its texts lie"),
        ("pipe", "is not an ordinary file"),
        ("folder", "is a folder; name a file in it"),
        ("empty", "is empty"),
        ("netCDF 4 of others", "is an HDF5 file, but not one that teacherstudent wrote"),
    ],
)
def test_hostile_and_foreign_files_are_refused_with_the_reason(name, message, tmp_path):
    path = tmp_path / "bad.h5"
    dict(hostile_files.hostile_files())[name](path)
    with pytest.raises((ValueError, OSError), match=message) as failure:
        ts.load(path)
    assert "bad.h5" in str(failure.value)


def test_a_cut_file_is_called_so(saved):
    content = saved.read_bytes()
    saved.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="run.h5 is cut off"):
        ts.load(saved)


def test_a_file_that_another_process_writes_is_called_locked(saved):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(saved)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        try:
            with pytest.raises(BlockingIOError, match="run.h5 is locked by another process"):
                ts.load(saved)
        finally:
            holder.communicate("")
    assert ts.load(saved).children


def test_a_tilde_is_the_home_folder(older, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ts.save("~/run.h5", theory=older["theory"].to_dataset())
    assert os.listdir(tmp_path) == ["run.h5"]
    assert ts.load("~/run.h5").children
    ts.plot(ts.load("~/run.h5"), "~/run.png")
    assert sorted(os.listdir(tmp_path)) == ["run.h5", "run.png"]
    with pytest.raises(ValueError, match="cannot be the path of a file"):
        ts.load("~nobody-of-this-name/run.h5")


@pytest.mark.parametrize("name", ["x" * 300 + ".h5", "a\0b.h5"])
def test_impossible_names_are_refused(name, older, tmp_path):
    with pytest.raises((ValueError, OSError), match="cannot be"):
        ts.load(tmp_path / name)
    with pytest.raises((ValueError, OSError), match="cannot be"):
        ts.save(tmp_path / name, theory=older["theory"].to_dataset())


def test_a_full_disk_is_an_error_and_not_a_crash(older, tmp_path):
    """HDF5's library would crash where a write fails; here no file may grow beyond a limit."""
    theory = older["theory"].to_dataset()
    theory = theory.assign(noise=("x", np.random.default_rng(0).standard_normal(400_000)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 100, 20_000, 1_000_000, 3_210_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(OSError, match=r"run.h5 could not be written \(File too large\)"):
                ts.save(tmp_path / "run.h5", theory=theory)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not list(tmp_path.iterdir())
    ts.save(tmp_path / "run.h5", theory=theory)
    xr.testing.assert_identical(ts.load(tmp_path / "run.h5")["theory"].to_dataset(), theory)


def test_the_file_that_hdf5_writes_to_never_fails(tmp_path):
    with open(tmp_path / "file", "w+b") as plain:
        file = FileForHDF5(plain)
        assert (file.write(b"12345678"), file.tell(), file.seek(-2, os.SEEK_END)) == (8, 8, 6)
        buffer = bytearray(b"xxxx")
        assert (file.readinto(buffer), bytes(buffer)) == (4, b"78\0\0")
        assert file.truncate(3) == 3
        file.check()
    with open(tmp_path / "file", "rb") as plain:
        assert plain.read() == b"123"
        file = FileForHDF5(plain)
        file.raw.close()
        file.raw = io.FileIO(tmp_path / "file", "rb")  # as if the disk refused
        with file.raw, pytest.raises(OSError), file.failures_raised():
            assert (file.write(b"45"), file.size, file.seek(0)) == (2, 3, 0)
            raise KeyError("what HDF5 makes of it")


def test_dimensions_are_numbered_through_the_file_as_netcdf_wants_it(saved):
    numbers: list[int] = []

    def collect(_, one):
        if "_Netcdf4Dimid" in one.attrs:
            numbers.append(int(one.attrs["_Netcdf4Dimid"]))

    with h5py.File(saved) as file:
        file.visititems(collect)
    assert len(numbers) > 10 and sorted(numbers) == list(range(len(numbers)))


def test_a_variable_may_have_the_name_of_another_ones_dimension(older, tmp_path):
    theory = older["theory"].to_dataset()
    theory = theory.assign(z=(("a", "time"), np.ones((2, 2))), a=("b", [1.0, 2.0, 3.0]))
    ts.save(tmp_path / "run.h5", theory=theory)
    for lazy in (False, True):
        loaded = ts.load(tmp_path / "run.h5", lazy=lazy)["theory"].to_dataset()
        xr.testing.assert_identical(loaded, theory)


@pytest.mark.parametrize(
    "values",
    [np.array([b"a", b"b"]), np.array([b"a", "b"], object), [1j, 2j], np.array([None, "a"])],
)
def test_arrays_that_would_come_back_as_something_else_are_refused(values, older, tmp_path):
    with pytest.raises(ValueError, match="cannot be kept in HDF5: 'odd' is an array of"):
        ts.save(tmp_path / "run.h5", theory=older["theory"].to_dataset().assign(odd=("x", values)))
