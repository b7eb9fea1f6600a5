"""DAGs from strangers: each lie, bomb and odd name ends in one error, and what is honest is found in order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from doubles.blocks import HeldBlocks
from hypothesis import given
from hypothesis import strategies as st

from node.errors import StorageError
from node.limits import (
    BLOCK_LINKS_MAX,
    DAG_ENTRIES_MAX,
    DAG_FILE_DEPTH_MAX,
    DAG_FOLDERS_DEEP_MAX,
    DAG_PATH_BYTES_MAX,
)
from node.storage.ipfs import dagpb, hamt, unixfs
from node.storage.ipfs.cid import DAG_PB, RAW, Cid
from node.storage.ipfs.dagpb import Link
from node.storage.ipfs.walk import BytesFound, FileFound, FolderFound, Found, Walk

LIMIT = 1 << 40
DIRECTORY, SYMLINK, METADATA = b"\x08\x01", b"\x08\x04\x12\x0b/etc/passwd", b"\x08\x03"
blocks = HeldBlocks()
EMPTY = blocks.raw(b"")
LEAF = blocks.raw(b"leaf")


def walked(root: Cid, limit: int = LIMIT, *, contents: bool = True, steps_max: int = 300_000) -> list[Found]:
    walk, found = Walk(root, limit, contents=contents), []
    for _ in range(steps_max):
        if walk.due is None:
            return found
        found += walk.take(blocks.blocks[walk.due])
    pytest.fail("a walk without an end")


def folder(*entries: tuple[str, Cid]) -> Cid:
    return blocks.node(dagpb.encode([Link(cid, name, 4) for name, cid in entries], DIRECTORY))


def file(*parts: tuple[Cid, int], size: int | None = None) -> Cid:
    sizes = [size for _, size in parts]
    data = unixfs.file_data(sum(sizes) if size is None else size, sizes)
    return blocks.node(dagpb.encode([Link(cid, "", 0) for cid, _ in parts], data))


def shard(slots: Sequence[tuple[str, Cid]], fanout: int = 256, bits: int | None = None) -> Cid:
    taken = sum(1 << int(name[:2], 16) for name, _ in slots) if bits is None else bits
    links = b"".join(dagpb.encoded_link(Link(cid, name, 0)) for name, cid in slots)  # In the order given.
    return blocks.node(links + dagpb.encode([], unixfs.shard_data(taken, fanout)))


def slot(name: str, level: int = 0) -> str:
    return f"{hamt.hashed(name.encode()) >> (56 - 8 * level) & 0xFF:02X}{name}"


def refused(root: Cid, why: str, **options: bool) -> None:
    with pytest.raises(StorageError, match=why):
        walked(root, **options)


def test_folders_come_before_what_is_in_them_and_files_before_their_bytes() -> None:
    root = folder(("b", file((LEAF, 4), (LEAF, 4))), ("c", folder(("d", LEAF))), ("a", EMPTY))

    assert walked(root) == [
        FolderFound(""),
        FileFound("a", 0),
        BytesFound(b""),
        FileFound("b", 8),
        BytesFound(b"leaf"),
        BytesFound(b"leaf"),
        FolderFound("c"),
        FileFound("c/d", 4),
        BytesFound(b"leaf"),
    ]


def test_without_contents_no_leaf_is_due() -> None:
    root = folder(("b", file((Cid.of(b"not here", RAW), 8))), ("a", Cid.of(b"nor here", RAW)))

    assert sorted(walked(root, contents=False)) == [("",), ("a", 4), ("b", 8)]


def test_bytes_of_an_inner_node_come_before_those_of_its_parts() -> None:
    both = blocks.node(dagpb.encode([Link(LEAF, "", 4)], b"\x08\x02\x12\x03abc\x18\x07\x20\x04"))

    assert walked(both) == [FileFound("", 7), BytesFound(b"abc"), BytesFound(b"leaf")]


@pytest.mark.parametrize(
    "data", [b"\x08\x00\x12\x02hi", b"\x08\x02\x12\x02hi\x18\x02", b"\x08\x02\x12\x02hi\x38\xa4\x03"]
)
def test_leaves_of_all_kinds_are_files(data: bytes) -> None:
    assert walked(blocks.node(dagpb.encode([], data))) == [FileFound("", 2), BytesFound(b"hi")]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (SYMLINK, "a symlink node"),
        (METADATA, "a metadata node"),
        (b"", "no type"),
        (b"\x08\x07", "no type"),
        (b"\x08\x02\x08\x02", "repeated"),
        (b"\x08\x02\x12\x05a", "behind its data"),
        (b"\x08\x02\x60\x01", "unknown field"),
        (b"\x0a\x01\x02", "unknown field"),
        (b"\x08\x02\x12\x01a\x18\x02", "a file of 2 bytes whose parts have 1"),
        (b"\x08\x02\x12\x02ab\x18\x01", "a file of 1 bytes whose parts have 2"),
        (b"\x08\x02\x18\x04\x20\x04", "more sizes of parts"),
        (b"\x08\x05\x28\x22\x30\x07", "fan-out of 7"),
        (b"\x08\x05\x28\x22\x30\x80\x10", "fan-out of 2048"),
        (b"\x08\x05\x28\x22", "fan-out of 0"),
        (b"\x08\x05\x28\x23\x30\x80\x02", "another hash"),
        (b"\x08\x05\x12\x01\x01\x28\x22\x30\x80\x02", "bit field"),
        (b"\x08\x05\x12\x22" + b"\x01" + bytes(33) + b"\x28\x22\x30\x80\x02", "bit field"),
    ],
)
def test_what_is_no_file_and_no_folder_is_refused(data: bytes, why: str) -> None:
    refused(blocks.node(dagpb.encode([], data)), why)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "../x", "a\0b", "n" * 256, "\u00e9" * 128])
def test_names_that_lead_elsewhere_or_are_too_long_are_refused(name: str) -> None:
    refused(folder((name, LEAF)), r"the name '|a name of")
    if name:
        refused(shard([(slot(name), LEAF)]), r"the name '|a name of")


def test_a_name_that_occurs_twice_is_refused_even_as_a_file_and_a_folder() -> None:
    refused(folder(("a", LEAF), ("a", folder())), "occurs twice")


@pytest.mark.parametrize(
    "slots",
    [
        [("00", LEAF), ("00", LEAF)],
        [("01", LEAF), ("00", LEAF)],
        [("02", LEAF)],
        [("0", LEAF)],
        [("", LEAF)],
        [("zz", LEAF)],
        [("0xa", LEAF)],
        [("afa", LEAF)],
        [("-1a", LEAF)],
    ],
)
def test_links_of_a_shard_that_are_in_no_slot_are_refused(slots: list[tuple[str, Cid]]) -> None:
    refused(shard(slots, bits=(1 << len(slots)) - 1), "not in its slot|bit field")


def test_an_entry_of_a_shard_that_belongs_elsewhere_is_refused() -> None:
    name = "name"
    right = slot(name)
    wrong = f"{int(right[:2], 16) ^ 1:02X}{name}"
    assert walked(shard([(right, LEAF)]))
    refused(shard([(wrong, LEAF)]), "where it does not belong")


def test_the_same_shard_twice_is_refused_since_its_names_belong_to_one_place() -> None:
    below = shard([(slot("name", 1), LEAF)])
    first = slot("name")[:2]
    assert walked(shard([(first, below)]))
    refused(shard([(f"{int(first, 16) ^ 1:02X}", below)]), "where it does not belong")


def test_a_bit_field_wider_than_the_fan_out_is_refused() -> None:
    refused(shard([("C", shard([], fanout=8))], fanout=8, bits=1 << 12), "bit field")


@pytest.mark.parametrize("below", [LEAF, folder(), file((LEAF, 4)), shard([], fanout=64)])
def test_what_is_no_shard_of_its_folder_is_refused(below: Cid) -> None:
    refused(shard([("00", below)]), "no shard of the folder")


@pytest.mark.parametrize(
    "root",
    [file((LEAF, 5)), file((LEAF, 3)), file((file((LEAF, 4)), 5)), file((file((LEAF, 4)), 4), (LEAF, 2))],
)
def test_a_part_of_another_size_than_claimed_is_refused(root: Cid) -> None:
    refused(root, r"a part of 4 bytes that is said to have \d")


def test_parts_without_sizes_are_refused() -> None:
    refused(blocks.node(dagpb.encode([Link(LEAF, "", 4)], b"\x08\x02\x18\x00")), "fewer sizes of parts")


def test_parts_that_are_folders_are_refused() -> None:
    refused(file((folder(), 4)), "no part of the file")


def test_empty_parts_are_refused_since_they_would_never_add_up() -> None:
    refused(file((EMPTY, 0)), "a part that is empty")


def test_files_are_no_larger_than_the_limit_in_all_however_often_a_block_is_linked_to() -> None:
    part, size = LEAF, 4
    for _ in range(8):
        part, size = file(*[(part, size)] * 100), size * 100

    with pytest.raises(StorageError, match="more than 1000 bytes"):
        walked(folder(("a", part)), 1000, steps_max=3)
    with pytest.raises(StorageError, match="more than 7 bytes"):
        walked(folder(("a", LEAF), ("b", LEAF)), 7)
    assert walked(folder(("a", LEAF), ("b", LEAF)), 8)


def test_a_file_of_tiny_parts_is_refused_before_it_takes_for_ever() -> None:
    one = blocks.raw(b"1")
    many = file(*[(one, 1)] * 1_000)

    refused(file(*[(many, 1_000)] * 1_000), "parts of less than")
    assert walked(many)


def test_many_small_files_are_no_file_of_tiny_parts() -> None:
    root = folder(*[(str(number), LEAF) for number in range(BLOCK_LINKS_MAX // 2)])

    assert len(walked(folder(("a", root), ("b", root)))) == 1 + 2 + 2 * BLOCK_LINKS_MAX


def test_a_folder_in_a_folder_in_a_folder_a_billion_times_is_refused() -> None:
    root = folder(("a", LEAF))
    for _ in range(10):
        root = folder(*[(str(number), root) for number in range(1_000)])

    refused(root, f"more than {DAG_ENTRIES_MAX} files and folders")
    refused(root, f"more than {DAG_ENTRIES_MAX} files and folders", contents=False)


def test_empty_shards_of_shards_are_refused() -> None:
    root = shard([])
    for _ in range(7):
        root = shard([(f"{number:02X}", root) for number in range(256)])

    refused(root, f"more than {DAG_ENTRIES_MAX} files and folders")


def test_shards_below_the_last_level_are_refused() -> None:
    root = shard([(slot("a", 0), LEAF)])
    for _ in range(8):
        root = shard([("00", root)])

    refused(root, "too deep")


def test_folders_are_no_deeper_than_the_limit() -> None:
    root = LEAF
    for _ in range(DAG_FOLDERS_DEEP_MAX):
        root = folder(("d", root))
    assert walked(root)

    refused(folder(("d", root)), "folders inside each other")


def test_paths_are_no_longer_than_the_limit() -> None:
    root = folder(("n" * (DAG_PATH_BYTES_MAX - 4 * 201), LEAF))
    for _ in range(4):
        root = folder(("\u00e9" * 100, root))
    assert walked(root)

    refused(folder(("n", root)), "a path of more than")


def test_files_are_no_deeper_than_the_limit() -> None:
    root = LEAF
    for _ in range(DAG_FILE_DEPTH_MAX):
        root = file((root, 4))
    assert walked(root)

    refused(file((root, 4)), "levels")


def test_links_that_wait_are_no_more_than_the_limit() -> None:
    leaf = blocks.raw(bytes(1_024))
    part, size = leaf, 1_024
    for _ in range(8):
        part, size = file((part, size), *[(leaf, 1_024)] * 40_000), size + 40_000 * 1_024

    refused(part, "so many links at once")


@given(st.data())
def test_any_block_is_something_or_a_storage_error(data: st.DataObject) -> None:
    base = data.draw(st.sampled_from([folder(("a", LEAF)), file((LEAF, 4)), shard([(slot("a"), LEAF)])]))
    raw = bytearray(blocks.blocks[base])
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    walk = Walk(Cid(1, DAG_PB, base.multihash), LIMIT, contents=True)

    try:
        walk.take(bytes(raw))
    except StorageError:
        return
    assert len(walk.ahead()) <= 1
