"""Folders that a workload filled can always be removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from doubles.users import without_privileges

from node.removal import remove


def nested(top: Path, depth: int) -> None:
    """Folders inside each other, some deeper than ``shutil.rmtree`` can recurse."""
    top.mkdir()
    at = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=at)
        deeper = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = deeper
    os.close(os.open("file", os.O_CREAT, dir_fd=at))
    os.close(at)


def test_a_tree_with_everything_in_it_goes_and_nothing_beside_it(tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "kept").write_bytes(b"")
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "c").write_bytes(b"")
    (top / "empty").mkdir()
    os.mkfifo(top / "a" / "fifo")
    (top / "a" / "link").symlink_to(beside)
    (top / "broken").symlink_to("nowhere")
    remove(top)
    assert [path.name for path in tmp_path.iterdir()] == ["beside"]
    assert [path.name for path in beside.iterdir()] == ["kept"]


@pytest.mark.parametrize("depth", [500, 1_500])
def test_no_tree_is_too_deep(tmp_path: Path, depth: int) -> None:
    nested(tmp_path / "top", depth)
    remove(tmp_path / "top")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_removed_already(tmp_path: Path) -> None:
    remove(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_modes_that_shut_their_owner_out_are_no_hindrance() -> None:
    with without_privileges() as owned:
        (owned / "a" / "b" / "c").mkdir(parents=True)
        (owned / "a" / "b" / "c" / "file").write_bytes(b"")
        for path in ("a/b/c/file", "a/b/c", "a/b", "a"):
            (owned / path).chmod(0)
        remove(owned / "a")
        assert list(owned.iterdir()) == []
