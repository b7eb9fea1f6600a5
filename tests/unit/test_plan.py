"""Plans: the table of the reference system, batches, and what is refused with what to do about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.errors import InvalidSpec
from node.model import Sharding
from node.requester.plan import shards_of
from node.storage.base import Entry


def tree(*names, size=1):
    """A folder with these files, and the folders they lie in."""
    folders = {name.rpartition("/")[0] for name in names} | {""}
    entries = [Entry(folder, 0, True) for folder in folders] + [Entry(name, size, False) for name in names]
    return tuple(sorted(entries, key=lambda entry: entry.path))


def plan(trees, pattern, base="", size=1):
    return shards_of(tuple(trees.items()), Sharding(glob_pattern=pattern, base_path=base, batch_size=size))


def atoms(trees, pattern, base=""):
    return [path for shard in plan(trees, pattern, base) for path in shard]


AB = {"/a": tree("file1.txt", "file2.txt"), "/b": tree("file1.txt", "file2.txt")}
FRUIT = {"/a": tree("file1.txt", "file2.txt", "file3.txt", "file4.txt", "apples.txt")}
VIDEOS = {"/inputs": tree("Bird flying.mp4", "Calm seas.mp4", "Prominent Late.mp4")}
ALL_VIDEOS = ["/inputs/Bird flying.mp4", "/inputs/Calm seas.mp4", "/inputs/Prominent Late.mp4"]


@pytest.mark.parametrize(
    ("trees", "pattern", "base", "selected"),
    [
        (AB, "/*", "", ["/a", "/b"]),
        (AB, "/**/*", "", ["/a", "/a/file1.txt", "/a/file2.txt", "/b", "/b/file1.txt", "/b/file2.txt"]),
        (AB, "/**/*.*", "", ["/a/file1.txt", "/a/file2.txt", "/b/file1.txt", "/b/file2.txt"]),
        (FRUIT, "/file*.txt", "/a", [f"/a/file{number}.txt" for number in (1, 2, 3, 4)]),
        (VIDEOS, "/inputs/*.mp4", "", ALL_VIDEOS),
        (VIDEOS, "*.mp4", "/inputs", ALL_VIDEOS),
    ],
)
def test_the_table_of_the_reference_system(trees, pattern, base, selected):
    assert atoms(trees, pattern, base) == selected


@pytest.mark.parametrize("pattern", ["file*.txt", "/file*.txt"])
@pytest.mark.parametrize("base", ["a", "/a", "/a/", "a/"])
def test_slashes_in_front_are_put_where_they_are_missing(pattern, base):
    assert len(atoms(FRUIT, pattern, base)) == 4


def test_the_base_ends_where_a_name_ends():
    trees = {"/ab": tree("x.txt"), "/a": tree("x.txt")}
    assert atoms(trees, "*.txt", "/a") == ["/a/x.txt"]
    assert atoms(trees, "/ab/*", "/a") == ["/ab/x.txt"]


def test_the_base_itself_is_not_what_lies_in_it():
    assert atoms(VIDEOS, "*", "/inputs") == ALL_VIDEOS
    assert atoms(VIDEOS, "**/*", "/inputs") == ALL_VIDEOS
    assert atoms(VIDEOS, "**", "/inputs") == ["/inputs", *ALL_VIDEOS]


def test_paths_that_do_not_lie_below_the_base_are_matched_whole():
    trees = {"/data": tree("x.txt"), "/inputs": tree("y.txt")}
    assert atoms(trees, "/data/*", "/inputs") == ["/data/x.txt"]


@pytest.mark.parametrize("base", ["/inputs", "/nope", "/dat", "/data/x", "/data/x.txt/y"])
def test_a_base_that_nothing_lies_below_is_refused_with_what_to_write(base):
    """Else ``*`` would be the whole input, silently."""
    error = refused({"/data": tree("x.txt", "sub/y.txt")}, "*", base)
    assert error.path == "$.sharding.base_path"
    assert "write /data" in error.problem


@pytest.mark.parametrize("base", ["", "/", "/data", "data/", "/data/sub", "/data/x.txt"])
def test_a_base_may_be_an_input_or_above_or_within_it(base):
    assert atoms({"/data": tree("x.txt", "sub/y.txt")}, "**", base)


def test_a_single_file_is_selected_by_its_own_path():
    assert atoms({"/inputs/a.txt": (Entry("", 3, False),)}, "*.txt", "/inputs") == ["/inputs/a.txt"]


def test_a_hundred_files_in_batches_of_ten_are_ten_shards():
    trees = {"/input": tree(*(f"{number:03}.txt" for number in range(100)))}
    shards = plan(trees, "/input/*", size=10)
    assert [len(shard) for shard in shards] == [10] * 10
    assert shards[0] == tuple(f"/input/{number:03}.txt" for number in range(10))
    assert shards[9][-1] == "/input/099.txt"


def test_the_last_batch_may_be_short():
    assert [len(shard) for shard in plan(FRUIT, "/a/*", size=2)] == [2, 2, 1]


def refused(trees, pattern, base="", size=1):
    with pytest.raises(InvalidSpec) as caught:
        plan(trees, pattern, base, size)
    return caught.value


def test_a_pattern_that_selects_nothing_is_refused_with_what_there_is():
    error = refused(FRUIT, "*.mp4", "/a")
    assert error.path == "$.sharding.glob_pattern"
    assert "no sharding atoms found for glob pattern '*.mp4'" in error.problem
    assert "/a/file4.txt" in error.problem


def test_nothing_is_selected_of_no_inputs():
    assert "no inputs" in refused({}, "*").problem


def test_a_malformed_pattern_names_its_field():
    error = refused(FRUIT, "[a")
    assert error.path == "$.sharding.glob_pattern"
    assert "'[a'" in error.problem


def many(count):
    return {"/in": tuple(Entry(f"{number:06}", 1, False) for number in range(count))}


def test_as_many_shards_as_there_may_be():
    assert len(plan(many(limits.SHARDS_MAX), "/in/*")) == limits.SHARDS_MAX


def test_too_many_shards_are_refused_with_the_batch_size_that_would_do():
    error = refused(many(limits.SHARDS_MAX * 2 + 1), "/in/*", size=2)
    assert error.path == "$.sharding.batch_size"
    assert "batch_size >= 3" in error.problem
    assert len(plan(many(limits.SHARDS_MAX * 2 + 1), "/in/*", size=3)) <= limits.SHARDS_MAX


def test_too_many_atoms_are_refused_whatever_the_batch():
    assert len(plan(many(limits.ATOMS_MAX), "/in/*", size=10)) == limits.SHARDS_MAX
    error = refused(many(limits.ATOMS_MAX + 1), "/in/*", size=100_000)
    assert error.path == "$.sharding.glob_pattern"
    assert "at most 100000" in error.problem


def test_a_shard_whose_paths_do_not_fit_a_frame_is_refused():
    trees = {"/in": tuple(Entry(f"{number:04}" + "x" * 1_000, 1, False) for number in range(600))}
    assert len(plan(trees, "/in/*", size=500)) == 2
    error = refused(trees, "/in/*", size=600)
    assert error.path == "$.sharding.batch_size"
    assert "smaller" in error.problem


def test_a_plan_too_long_to_keep_is_refused():
    trees = {"/in": tuple(Entry(f"{number:06}" + "x" * 1_000, 1, False) for number in range(13_000))}
    assert refused(trees, "/in/*", size=10).path == "$.sharding.glob_pattern"
    assert len(plan(trees, "/in/0*5x*", size=10)) == 130


@pytest.mark.parametrize("name", ["x" * limits.SHARD_PATH_CHARS_MAX, "\udcff", "a\0b"])
def test_a_path_that_cannot_be_told_to_a_node_is_refused(name):
    trees = {"/in": (Entry(name, 1, False), Entry("y", 1, False))}
    assert refused(trees, "/in/*").path == "$.sharding.glob_pattern"
    assert atoms(trees, "/in/y") == ["/in/y"]


@given(st.integers(1, 300), st.integers(1, 50))
def test_every_path_is_in_one_shard_in_the_order_of_the_listing(count, size):
    shards = plan(many(count), "/**/*", size=size)
    flat = [path for shard in shards for path in shard]
    assert flat == ["/in/" + entry.path for entry in many(count)["/in"]]
    assert all(len(shard) == size for shard in shards[:-1])
    assert 1 <= len(shards[-1]) <= size
