"""A folder whose files this user alone can have written: what is refused, and what is said."""

import os
import stat

import pytest

from teacherstudent.programs import private_folder
from teacherstudent.programs.private_folder import PrivateFolder, UnsafeFolderError

NAMES = ("teacherstudent", "compiled")
CONTENT = bytes(range(256)) * 4

if not hasattr(os, "geteuid"):
    pytest.skip("this system does not tell whose a file is", allow_module_level=True)


@pytest.fixture
def folder(tmp_path):
    kept = PrivateFolder(tmp_path / "cache", NAMES)
    kept.write("one", CONTENT)
    return kept


def mode_of(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_come_back_and_are_for_this_user_alone(folder):
    assert folder.read("one") == CONTENT and folder.read("two") is None
    assert PrivateFolder(folder.root, NAMES).read("one") == CONTENT
    assert [mode_of(folder.path / name) for name in ("one", "secret")] == [0o600, 0o600]
    assert [mode_of(path) for path in (folder.root, folder.path.parent, folder.path)] == [0o700] * 3
    folder.write("one", b"")
    assert folder.read("one") == b"" and sorted(os.listdir(folder.path)) == ["one", "secret"]


def test_no_flipped_bit_passes(folder):
    path = folder.path / "one"
    whole = path.read_bytes()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        assert folder.read("one") is None
    for length in (0, 1, 31, 32, 33, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert folder.read("one") is None
    path.write_bytes(whole)
    assert folder.read("one") == CONTENT
    path.rename(folder.path / "two")
    assert folder.read("two") is None


def test_a_folder_of_others_is_named(folder):
    folder.path.chmod(0o720)
    with pytest.raises(
        UnsafeFolderError, match=f"others can write to the cache folder {folder.path} "
    ):
        PrivateFolder(folder.root, NAMES)
    assert folder.read("one") is None
    folder.write("two", CONTENT)
    folder.path.chmod(0o700)
    assert folder.read("one") == CONTENT and folder.read("two") is None


def test_a_link_is_named(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder.root)
    with pytest.raises(UnsafeFolderError, match="link is a link"):
        PrivateFolder(tmp_path / "link", NAMES)


def test_a_folder_for_all_is_enough_if_nobody_can_move_what_is_not_his_own(tmp_path):
    tmp_path.chmod(0o1777)
    kept = PrivateFolder(tmp_path, NAMES)
    kept.write("one", CONTENT)
    assert kept.read("one") == CONTENT


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away"
)
def test_files_of_others_are_not_read(folder):
    os.chown(folder.path / "one", 12345, -1)
    assert folder.read("one") is None
    os.chown(folder.path, 12345, -1)
    with pytest.raises(UnsafeFolderError, match="belongs to another user"):
        PrivateFolder(folder.root, NAMES)


def test_a_home_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        PrivateFolder(tmp_path / "home" / "cache", NAMES)
    assert not list(tmp_path.iterdir())


def test_nothing_is_kept_where_nobody_tells_whose_a_file_is(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "geteuid")
    with pytest.raises(OSError, match="does not tell"):
        PrivateFolder(tmp_path, NAMES)
    assert not list(tmp_path.iterdir())


def test_the_folder_does_not_grow_without_bound(folder, monkeypatch):
    monkeypatch.setattr(private_folder, "MOST_BYTES", 3000)
    os.utime(folder.path / "one", (0, 0))
    for number in range(5):
        folder.write(f"file {number}", CONTENT)
        os.utime(folder.path / f"file {number}", (1e9 + number, 1e9 + number))
    assert sorted(os.listdir(folder.path)) == ["file 3", "file 4", "secret"]
