"""Trees that mean harm, walked: each gives a clear answer, and none leads out of itself."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node import limits
from node.errors import StorageError
from node.storage import tree
from node.storage.base import Entry

NOBODY = 65534


def hostile(root: Path) -> Path:
    """Two files of 5 and 2 bytes and a folder, among what must not count."""
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"hello")
    (root / "sub" / "b").write_bytes(b"xy")
    (root / "etc").symlink_to("/etc")
    (root / "passwd").symlink_to("/etc/passwd")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    (root / "sub" / "round").symlink_to("../sub")
    os.mkfifo(root / "pipe")
    return root


def test_links_and_special_files_are_no_part_of_size_and_listing(tmp_path: Path) -> None:
    root = hostile(tmp_path / "tree")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    assert tree.size(root) == 7
    assert tree.listed(root) == (
        Entry("", 0, is_folder=True),
        Entry("a.txt", 5, is_folder=False),
        Entry("sub", 0, is_folder=True),
        Entry("sub/b", 2, is_folder=False),
    )


def test_they_are_seen_by_who_walks_because_they_may_come_and_go(tmp_path: Path) -> None:
    seen = {found.path for found in tree.walk(hostile(tmp_path / "tree"))}
    assert seen == {"", "a.txt", "sub", "sub/b", "etc", "passwd", "up", "loop", "sub/round", "pipe"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_no_part_either(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "zero", 0o20666, os.makedev(1, 5))
    except PermissionError as error:
        pytest.skip(f"devices are not allowed here: {error}")
    assert tree.size(tmp_path) == 0
    assert tree.listed(tmp_path) == (Entry("", 0, is_folder=True),)
    with pytest.raises(StorageError, match="neither"):
        tree.usable(tmp_path / "zero")


def test_a_single_file_is_its_own_root(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert tree.size(tmp_path / "a") == 5
    assert tree.listed(tmp_path / "a") == (Entry("", 5, is_folder=False),)


def test_holes_count_as_what_a_program_would_read(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    assert tree.size(tmp_path) == 1 << 40


def test_a_name_that_is_no_utf_8_is_told_by_listing_and_counted_by_size(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / os.fsdecode(b"sub/caf\xe9")).write_bytes(b"12")
    assert tree.size(tmp_path) == 2
    with pytest.raises(StorageError, match=r"not UTF-8.*sub/caf\\xe9"):
        tree.listed(tmp_path)


def test_more_than_can_be_listed_is_refused(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).touch()
    assert len(list(tree.walk(tmp_path, most=5))) == 5
    (tmp_path / "e").touch()
    with pytest.raises(StorageError, match="more than 5"):
        list(tree.walk(tmp_path, most=5))


def test_a_tree_that_is_absurdly_deep_is_refused_and_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / ("d/" * limits.INPUT_DEPTH_MAX)).mkdir(parents=True)
    before = open_descriptors()
    with pytest.raises(StorageError, match="deep"):
        tree.size(tmp_path)
    assert open_descriptors() == before


def test_a_tree_that_is_just_not_too_deep_is_walked(tmp_path: Path) -> None:
    (tmp_path / ("d/" * (limits.INPUT_DEPTH_MAX - 1))).mkdir(parents=True)
    assert len(tree.listed(tmp_path)) == limits.INPUT_DEPTH_MAX


def test_a_folder_swapped_for_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").touch()
    walk = tree.walk(tmp_path / "tree")
    assert [next(walk).path, next(walk).path] == ["", "sub"]
    (tmp_path / "tree" / "sub").rmdir()
    (tmp_path / "tree" / "sub").symlink_to("../elsewhere")
    with pytest.raises(StorageError, match="changed while it was read: sub"):
        next(walk)


def test_a_root_swapped_for_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    walk = tree.walk(tmp_path / "tree")
    assert next(walk).path == ""
    (tmp_path / "tree").rmdir()
    (tmp_path / "tree").symlink_to("/etc")
    with pytest.raises(StorageError, match="changed while it was read: it"):
        next(walk)


def test_what_is_moved_away_while_it_is_walked_is_still_walked_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "deep" / "file").touch()
    seen = []
    for found in tree.walk(tmp_path / "tree"):
        seen.append(found.path)
        if found.path == "sub/deep":
            (tmp_path / "tree" / "sub").rename(tmp_path / "moved")
    assert seen == ["", "sub", "sub/deep", "sub/deep/file"]


def test_what_is_not_there_is_not_usable_and_whatever_else_is_wrong_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert tree.usable(tmp_path)
    assert tree.usable(tmp_path / "file")
    assert not tree.usable(tmp_path / "missing")
    assert not tree.usable(tmp_path / "file" / "below")
    assert not tree.usable(tmp_path / ("x" * 300))
    for name in ("link", "pipe"):
        with pytest.raises(StorageError, match="neither"):
            tree.usable(tmp_path / name)
    with pytest.raises(StorageError, match="changed"):
        tree.size(tmp_path / "missing")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root's rights for a moment")
def test_what_may_not_be_read_is_said_with_its_place() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "open").mkdir()
        (root / "open" / "closed").mkdir(mode=0o700)
        with somebody_else():
            with pytest.raises(StorageError, match="cannot be read: open/closed: Permission denied"):
                tree.size(root)
            with pytest.raises(StorageError, match="Permission denied"):
                tree.usable(root / "open" / "closed" / "x")


@contextmanager
def somebody_else() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root's rights for a moment")
def test_a_file_that_may_not_be_read_cannot_be_opened_by_a_program_either() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "a").touch(mode=0o644)
        (root / "b").touch(mode=0o600)
        assert len(list(tree.openable(root))) == 3
        with somebody_else(), pytest.raises(StorageError, match=r"^holds b, which may not be read by this node"):
            list(tree.openable(root))
