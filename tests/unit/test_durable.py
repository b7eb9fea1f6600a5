"""Files and folders, few or many, are on the disk afterwards; few one by one, so that nobody else's are waited for."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from pathlib import Path

import pytest

from node.durable import is_large, sync, sync_filesystem, sync_tree, syncs_whole

FIEMAP = 0xC020660B  # linux/fiemap.h
NOT_YET_PLACED = 0x4  # FIEMAP_EXTENT_DELALLOC: in memory alone
UNPLACED = b"x" * 5000  # Too long to lie in an inode.


def tree(folder, count):
    for number in range(count):
        path = folder / str(number % 3) / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(UNPLACED)
    return folder


def in_memory_alone(path):
    """Whether a part of the file has no place on the disk yet."""
    with path.open("rb") as file:
        question = struct.pack("=QQLLLL", 0, 2**63, 0, 0, 1, 0) + bytes(56)
        answer = fcntl.ioctl(file, FIEMAP, question)
    (extents,) = struct.unpack_from("=L", answer, 20)
    (flags,) = struct.unpack_from("=L", answer, 32 + 40)
    return bool(extents and flags & NOT_YET_PLACED)


def synced_paths(monkeypatch):
    """What is synced by itself from now on, in place of being synced."""
    paths = []
    monkeypatch.setattr(os, "fsync", lambda handle: paths.append(os.readlink(f"/proc/self/fd/{handle}")))
    return paths


@pytest.fixture
def synced(monkeypatch):
    return synced_paths(monkeypatch)


@pytest.mark.parametrize("count", [3, 1000])
def test_nothing_of_a_tree_is_in_memory_alone(tmp_path, count):
    folder = tree(tmp_path / "tree", count)
    files = [path for path in folder.rglob("*") if path.is_file()]
    try:
        if not in_memory_alone(files[-1]):
            pytest.skip("this filesystem gives files their place at once")
    except OSError:
        pytest.skip("this filesystem does not tell where files lie")
    sync_tree(folder)
    assert not [path for path in files if in_memory_alone(path)]


def test_few_are_synced_one_by_one_without_those_that_were(tmp_path, synced):
    folder = tree(tmp_path / "tree", 9)
    sync_tree(folder, {str(folder / "1"), str(folder / "2" / "8")})
    left = [
        folder,
        folder / "0",
        folder / "2",
        *(folder / "0" / name for name in "036"),
        folder / "2/2",
        folder / "2/5",
    ]
    assert sorted(synced) == sorted(map(str, left))


def test_many_are_not(tmp_path, synced):
    sync_tree(tree(tmp_path / "tree", 1000))
    assert synced == []


def test_a_single_file_is_a_tree(tmp_path, synced):
    (tmp_path / "file").touch()
    sync_tree(tmp_path / "file")
    assert synced == [str(tmp_path / "file")]


@pytest.mark.parametrize("count", [255, 256])
def test_a_tree_is_large_where_it_is_not_synced_one_by_one(tmp_path, synced, count):
    """The folder itself is one more."""
    for number in range(count):
        (tmp_path / str(number)).touch()
    sync_tree(tmp_path)
    assert is_large(tmp_path) == (synced == []) == (count == 256)


def test_syncing_as_a_whole_is_not_relied_on_where_it_is_not_known_to_reach_a_disk():
    handle = os.open("/proc", os.O_RDONLY)
    try:
        assert not syncs_whole(handle)
    finally:
        os.close(handle)
    assert not syncs_whole(handle)


def test_a_large_tree_is_synced_one_by_one_where_the_whole_is_not_relied_on(synced):
    place = Path("/proc/sys/net")
    assert is_large(place)
    with contextlib.suppress(PermissionError):  # Some of it is there to be written alone.
        sync_tree(place)
    assert str(place) in synced


def test_syncing_what_is_not_open_is_an_error():
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync_filesystem(-1)


@pytest.mark.parametrize("bring", [sync, sync_tree])
def test_what_is_not_there_is_an_error(tmp_path, bring):
    with pytest.raises(FileNotFoundError):
        bring(tmp_path / "no")
