"""Inputs that are used where they lie: what is refused before a run, and what changed during it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from node.ambient import inline
from node.compute.borrowed import Borrowed, Named, borrowed
from node.errors import ExecutionFailed, StorageError
from node.executor.base import Mount


def a_copy(folder: Path) -> Path:
    copy = folder / "copy"
    (copy / "sub").mkdir(parents=True)
    (copy / "a").write_bytes(b"hello")
    (copy / "b").write_bytes(b"other")
    (copy / "sub" / "c").write_bytes(b"deep")
    (copy / "link").symlink_to("a")
    return copy


def looked_at(*mounts: Mount, named: Named | None = None) -> Borrowed:
    return trio.run(borrowed, inline, mounts, named)


def rewrite(copy: Path) -> None:
    before = (copy / "a").stat()
    (copy / "a").write_bytes(b"HELLO")
    os.utime(copy / "a", ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def replace_by_the_same(copy: Path) -> None:
    before = (copy / "a").stat()
    (copy / "fresh").write_bytes(b"hello")
    os.utime(copy / "fresh", ns=(before.st_atime_ns, before.st_mtime_ns))
    (copy / "fresh").rename(copy / "a")


def grow(copy: Path) -> None:
    before = (copy / "a").stat()
    (copy / "a").write_bytes(b"hello!")
    os.utime(copy / "a", ns=(before.st_atime_ns, before.st_mtime_ns))


def turn_the_link(copy: Path) -> None:
    (copy / "link").unlink()
    (copy / "link").symlink_to("b")


CHANGES: list[Callable[[Path], object]] = [
    rewrite,
    replace_by_the_same,
    grow,
    turn_the_link,
    lambda copy: (copy / "new").touch(),
    lambda copy: (copy / "sub" / "c").unlink(),
    lambda copy: (copy / "a").rename(copy / "z"),
    lambda copy: (copy / "new").mkdir(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_while_a_run_reads_it_fails_the_run(tmp_path: Path, change: Callable[[Path], object]) -> None:
    copy = a_copy(tmp_path)
    lent = looked_at(Mount(copy, "/inputs"))
    change(copy)
    with pytest.raises(ExecutionFailed, match="/inputs changed") as failure:
        trio.run(lent.need_unchanged)
    assert failure.value.code == "data"


def test_what_was_only_read_or_linked_has_not_changed(tmp_path: Path) -> None:
    copy = a_copy(tmp_path)
    lent = looked_at(Mount(copy, "/inputs"))
    (copy / "a").read_bytes()
    os.link(copy / "a", tmp_path / "of somebody else")
    trio.run(lent.need_unchanged)


def test_a_shard_answers_for_what_it_sees_alone(tmp_path: Path) -> None:
    copy = a_copy(tmp_path)
    mounts = [Mount(copy / name, f"/inputs/{name}", "/inputs") for name in ("a", "sub")]
    lent = looked_at(*mounts)
    (copy / "b").write_bytes(b"changed")
    trio.run(lent.need_unchanged)
    (copy / "sub" / "new").touch()
    with pytest.raises(ExecutionFailed, match="/inputs changed"):
        trio.run(lent.need_unchanged)


def test_what_is_gone_after_a_run_fails_it_with_its_guest_path(tmp_path: Path) -> None:
    copy = a_copy(tmp_path)
    lent = looked_at(Mount(copy / "a", "/inputs/x"))
    (copy / "a").unlink()
    with pytest.raises(ExecutionFailed, match="the input at /inputs/x") as failure:
        trio.run(lent.need_unchanged)
    assert failure.value.code == "data"
    assert str(tmp_path) not in failure.value.detail


def test_single_files_and_parts_are_bound_and_a_whole_folder_is_shown_as_it_lies(tmp_path: Path) -> None:
    copy = a_copy(tmp_path)
    mounts = (Mount(copy, "/in"), Mount(copy / "a", "/x/a"), Mount(copy / "sub", "/y/sub", "/y"))
    assert [mount.is_bound for mount in looked_at(*mounts).mounts] == [False, True, True]


def test_which_input_it_was_is_noted_so_that_nobody_has_to_ask_its_file_system_again(tmp_path: Path) -> None:
    copy = a_copy(tmp_path)
    whole, single = looked_at(Mount(copy, "/in")), looked_at(Mount(copy / "a", "/x/a"))
    parts = looked_at(*(Mount(copy / name, f"/in/{name}", "/in", copy) for name in ("a", "b")))
    of_copy, of_a = ((found.st_dev, found.st_ino) for found in (copy.stat(), (copy / "a").stat()))
    assert [mount.inode for mount in (*whole.mounts, *single.mounts, *parts.mounts)] == [
        of_copy,
        of_a,
        of_copy,
        of_copy,
    ]


def with_a_pipe(copy: Path) -> None:
    os.mkfifo(copy / "sub" / "pipe")


def with_a_socket(copy: Path) -> None:
    where = os.open(copy, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{where}/socket")  # Its path may be no longer than 108 bytes.
    os.close(where)


def with_an_odd_name(copy: Path) -> None:
    (copy / os.fsdecode(b"\xff")).touch()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (with_a_pipe, "holds sub/pipe, which is neither a file nor a folder"),
        (with_a_socket, "holds socket, which is neither"),
        (with_an_odd_name, r"holds \\xff, which has a name that is not UTF-8"),
    ],
)
def test_what_no_program_could_open_is_refused_before(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    copy = a_copy(tmp_path)
    spoil(copy)
    with pytest.raises(StorageError, match=f"^the input at /inputs {said}"):
        looked_at(Mount(copy, "/inputs"))


def test_a_link_in_the_place_of_an_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^the input at /in/x is neither a file nor a folder"):
        looked_at(Mount(a_copy(tmp_path) / "link", "/in/x"))


def test_a_file_with_two_names_in_what_a_run_sees_is_refused_where_runs_must_be_the_same_everywhere(
    tmp_path: Path,
) -> None:
    copy = a_copy(tmp_path)
    (copy / "sub" / "twin").hardlink_to(copy / "a")
    with pytest.raises(StorageError, match=r"^the input at /in has a file with two names, /in/.* \(a hard link\)"):
        looked_at(Mount(copy, "/in"), named={})
    looked_at(Mount(copy, "/in"))
    looked_at(Mount(copy / "a", "/in/a", "/in"), Mount(copy / "b", "/in/b", "/in"), named={})


def test_two_inputs_of_a_run_may_not_share_a_file_by_two_names(tmp_path: Path) -> None:
    copy, other = a_copy(tmp_path), tmp_path / "other"
    other.mkdir()
    (other / "twin").hardlink_to(copy / "a")
    named: Named = {}
    looked_at(Mount(copy, "/one"), named=named)
    with pytest.raises(StorageError, match="two names, /one/a and /two/twin"):
        looked_at(Mount(other, "/two"), named=named)


def test_a_file_of_one_name_may_be_shown_in_two_places_and_one_with_a_name_elsewhere_in_one(tmp_path: Path) -> None:
    copy = a_copy(tmp_path)
    (tmp_path / "elsewhere").hardlink_to(copy / "a")
    named: Named = {}
    for mount in (Mount(copy, "/one"), Mount(copy / "b", "/two/b")):
        lent = looked_at(mount, named=named)
        trio.run(lent.need_unchanged)
