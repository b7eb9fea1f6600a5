"""What a shard sees: parts of inputs by hostile paths, none of which leads out, down a link or to a pipe."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.compute.parts import mounted, parts_of
from node.errors import ExecutionFailed, StorageError
from node.executor.base import Mount

INPUTS = ("/inputs", "/other/deep", "/file.txt")


def test_paths_are_parts_of_the_inputs_they_lie_in():
    paths = ("/other/deep/x", "/inputs/b/c", "/inputs/a.txt", "/file.txt")
    assert parts_of(INPUTS, paths) == {0: [("a.txt",), ("b", "c")], 1: [("x",)], 2: [()]}


def test_what_lies_in_a_folder_of_the_same_shard_says_nothing_new():
    paths = ("/inputs/b/c", "/inputs/b", "/inputs/b.txt", "/inputs/b/c/d", "/inputs/b", "/inputs/ba")
    assert parts_of(INPUTS, paths) == {0: [("b",), ("b.txt",), ("ba",)]}
    assert parts_of(INPUTS, ("/inputs/x", "/inputs", "/inputs/y")) == {0: [()]}


@pytest.mark.parametrize(
    "path",
    ["/inputs/../etc", "/inputs/..", "/..", "/inputs/./a", "/inputs//a", "/inputs/", "//inputs", "/", "inputs/a"],
)
def test_a_path_that_is_not_in_its_shortest_form_is_refused(path):
    with pytest.raises(ExecutionFailed, match="shortest form"):
        parts_of(INPUTS, ("/inputs/a", path))


@pytest.mark.parametrize("path", ["/etc/passwd", "/input", "/inputsx/a", "/other", "/other/deeper", "/file.txt.bak"])
def test_a_path_of_no_input_is_refused(path):
    with pytest.raises(ExecutionFailed, match="of no input"):
        parts_of(INPUTS, (path,))


NAMES = st.sampled_from(["a", "b", "a.b", "é", "..", ".", "", " ", "a\n"])
PATHS = st.lists(NAMES, max_size=5).map(lambda names: "/inputs" + "".join(f"/{name}" for name in names))


@given(st.lists(PATHS, min_size=1, max_size=12))
def test_whatever_is_asked_for_parts_are_apart_and_cover_all(paths):
    try:
        parts = parts_of(INPUTS, paths)[0]
    except ExecutionFailed:
        assert any({"", ".", ".."} & set(path.split("/")[1:]) for path in paths)
        return
    for path in paths:
        names = tuple(path.split("/")[2:])
        assert sum(names[: len(part)] == part for part in parts) == 1
    assert all(part == () or f"/inputs/{'/'.join(part)}" in paths for part in parts)


def a_tree(folder):
    root = folder / "data"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "sub" / "b.txt").write_text("b")
    (folder / "secret").write_text("s")
    (root / "link").symlink_to(folder / "secret")
    (root / "up").symlink_to(folder)
    (root / "inner").symlink_to("sub")
    os.mkfifo(root / "pipe")
    return root


def test_parts_are_mounted_in_their_places_within_their_input(tmp_path):
    root = a_tree(tmp_path)
    assert mounted(root, "/inputs", [("a.txt",), ("sub", "b.txt")]) == [
        Mount(root / "a.txt", "/inputs/a.txt", "/inputs", root),
        Mount(root / "sub" / "b.txt", "/inputs/sub/b.txt", "/inputs", root),
    ]
    assert mounted(root, "/inputs", [("sub",)]) == [Mount(root / "sub", "/inputs/sub", "/inputs", root)]


def test_an_input_that_is_seen_whole_is_mounted_as_ever(tmp_path):
    root = a_tree(tmp_path)
    assert mounted(root, "/inputs", [()]) == [Mount(root, "/inputs")]
    assert mounted(root / "a.txt", "/a.txt", [()]) == [Mount(root / "a.txt", "/a.txt")]


@pytest.mark.parametrize(
    "part",
    [("link",), ("up", "secret"), ("inner", "b.txt"), ("inner",), ("pipe",), ("no",), ("a.txt", "x"), ("x\0y",)],
)
def test_no_part_leads_down_a_link_or_to_what_is_no_file(tmp_path, part):
    root = a_tree(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StorageError):
        mounted(root, "/inputs", [("a.txt",), part])
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_has_no_parts(tmp_path):
    with pytest.raises(StorageError, match="cannot be opened"):
        mounted(a_tree(tmp_path) / "a.txt", "/inputs", [("x",)])
