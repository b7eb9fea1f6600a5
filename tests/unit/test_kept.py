"""What is remembered of a result: short lists in memory, long ones on disk, the names the same."""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace
from unit.shards import spec

from node import limits
from node.compute.kept import kept
from node.errors import BlobRefused, ExecutionFailed, NoRoom
from node.model import NonePublisher
from node.verifier.dirhash import HashedTree, hash_tree
from node.verifier.manifest import Line, manifest_of, parse, parse_sized

EXECUTION = "e" * 32
SPEC = spec()


def tree(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return hash_tree(folder, files_max=limits.RESULT_FILES_MAX, bytes_max=10**9)


def test_a_short_list_is_handed_over_with_the_files(tmp_path):
    hashed = tree(tmp_path / "r", ["stdout", "outputs/a b", "outputs/ü"])
    result = kept(EXECUTION, hashed, SPEC, tmp_path / "list")
    assert parse(result.handed_over.manifest) == hashed.manifest
    assert (result.handed_over.sizes, result.handed_over.files) == (hashed.sizes, hashed.contents)
    assert result.files(0, 3) == [("outputs/a b", 11), ("outputs/ü", 10), ("stdout", 6)]
    assert [result.files(index, 1)[0][0] for index in range(3)] == ["outputs/a b", "outputs/ü", "stdout"]
    assert parse_sized(result.listed) == (hashed.manifest, hashed.sizes)
    assert not (tmp_path / "list").exists()


def test_small_results_are_in_memory_unless_they_are_to_be_published(tmp_path):
    hashed = tree(tmp_path / "r", ["stdout", "outputs/a"])
    result = kept(EXECUTION, hashed, SPEC, tmp_path / "list")
    assert (result.is_on_disk, result.disk_bytes) == (False, 0)
    assert [result.content(name) for name in ("stdout", "outputs/a", "stderr")] == [b"stdout", b"outputs/a", b""]
    published = kept(EXECUTION, hashed, replace(SPEC, publisher=NonePublisher()), tmp_path / "list")
    assert (published.is_on_disk, published.disk_bytes) == (True, hashed.total_bytes)
    assert published.hash == result.hash


def test_large_results_lie_on_disk(tmp_path):
    large = tmp_path / "r" / "stdout"
    large.parent.mkdir()
    large.write_bytes(bytes(limits.INLINE_BYTES_MAX + 1))
    result = kept(EXECUTION, tree(tmp_path / "r", []), SPEC, tmp_path / "list")
    assert (result.is_on_disk, result.disk_bytes) == (True, limits.INLINE_BYTES_MAX + 1)


def test_a_long_list_lies_on_disk_and_counts_as_disk(tmp_path):
    names = [f"outputs/{number:05} ü" for number in range(limits.INLINE_FILES_MAX + 1)]
    hashed = tree(tmp_path / "r", names)
    result = kept(EXECUTION, hashed, SPEC, tmp_path / "list")
    assert result.handed_over.manifest is result.handed_over.files is None
    assert result.files(0, len(names)) == [(name, len(name.encode())) for name in names]
    assert [result.files(index, 1)[0][0] for index in range(len(names))] == names
    assert [path for path, _ in result.files(7, 1_000)] == names[7:1_007]
    assert parse_sized((tmp_path / "list").read_bytes()) == (hashed.manifest, hashed.sizes)
    assert result.disk_bytes == hashed.total_bytes + os.path.getsize(tmp_path / "list")
    (tmp_path / "list").unlink()
    with pytest.raises(BlobRefused, match="any more"):
        result.files(0, 1)


@pytest.mark.parametrize(("index", "count"), [(1, 1), (0, 2), (2**62, 1), (0, 2**62), (2**62, 2**62)])
def test_lines_that_are_not_there_are_refused(tmp_path, index, count):
    result = kept(EXECUTION, tree(tmp_path / "r", ["stdout"]), SPEC, tmp_path / "list")
    with pytest.raises(BlobRefused, match="1 lines"):
        result.files(index, count)


def test_files_in_the_middle_of_a_long_list_are_had_without_reading_the_rest(tmp_path):
    """Nor line by line: what is asked for often must not cost more the longer the list is."""
    hashed = tree(tmp_path / "r", [f"outputs/{number:04}" for number in range(limits.INLINE_FILES_MAX + 1)])
    result = kept(EXECUTION, hashed, SPEC, tmp_path / "list")
    text = (tmp_path / "list").read_bytes()
    begin, end = result.starts[100], result.starts[110]
    (tmp_path / "list").write_bytes(b"?" * begin + text[begin:end] + b"?" * (len(text) - end))
    assert result.files(100, 10) == [(f"outputs/{number:04}", 12) for number in range(100, 110)]


def test_an_empty_result_has_no_line(tmp_path):
    (tmp_path / "r").mkdir()
    result = kept(EXECUTION, tree(tmp_path / "r", []), SPEC, tmp_path / "list")
    assert result.content("stdout") == b""
    with pytest.raises(BlobRefused, match="0 lines"):
        result.files(0, 1)


def test_a_list_that_no_requester_would_take_fails_the_execution_here(tmp_path):
    """Else its node would be called a liar there."""
    count = limits.MANIFEST_BYTES_MAX // 900
    lines = [Line("0" * 64, "results/" + f"{number:05}/".ljust(200, "a") + "/b" * 350) for number in range(count)]
    huge = HashedTree(manifest_of(lines), (1,) * count, None)
    with pytest.raises(ExecutionFailed) as caught:
        kept(EXECUTION, huge, SPEC, tmp_path / "list")
    assert caught.value.code == "output"


def test_a_long_list_that_cannot_be_written_is_no_room(tmp_path):
    hashed = tree(tmp_path / "r", [f"outputs/{number}" for number in range(limits.INLINE_FILES_MAX + 1)])
    with pytest.raises(NoRoom):
        kept(EXECUTION, hashed, SPEC, tmp_path / "no/such/folder")
