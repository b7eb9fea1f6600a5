"""What is read of a DAG through a session: sizes, lists, paths, and whole trees on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from doubles.blocks import HeldBlocks
from doubles.trees import FOLDERS, bytes_of, planted

from node.ambient import inline
from node.errors import StorageError
from node.limits import KiB, MiB
from node.storage.base import Entry
from node.storage.ipfs import dagpb, reader
from node.storage.ipfs.cid import DAG_PB, RAW, Cid
from node.storage.ipfs.dagpb import Link
from node.storage.ipfs.importer import cid_of
from node.storage.ipfs.layout import PROFILES, V0_2015, V1_2025, Profile
from node.storage.ipfs.paths import parse_path

LIMIT = 1 << 30


def write(held: HeldBlocks, root: Cid, target: Path, limit: int = LIMIT) -> int:
    async def go() -> int:
        return await reader.write(held, root, target, limit, inline)

    return trio.run(go)


def run(call: Callable[..., Any], *args: Any) -> Any:
    return trio.run(call, *args)


@pytest.mark.parametrize(
    ("profile", "name"),
    [(profile, name) for profile in PROFILES for name in ("no entries", "nested", "a wrapped file")]
    + [(V1_2025, "sharded in sharded"), (V0_2015, "sharded")],
)
def test_what_was_imported_is_written_as_it_was(tmp_path: Path, profile: Profile, name: str) -> None:
    held = HeldBlocks()
    root = held.imported(planted(tmp_path / "tree", FOLDERS[name]()), profile)
    handles = len(os.listdir("/proc/self/fd"))

    write(held, root, tmp_path / "out")

    assert len(os.listdir("/proc/self/fd")) == handles
    assert cid_of(tmp_path / "out", profile) == root


@pytest.mark.parametrize("size", [0, 1, 256 * KiB, MiB + 1, 45 * MiB])
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_file_is_written_at_the_target_itself(tmp_path: Path, profile: Profile, size: int) -> None:
    held = HeldBlocks()
    (tmp_path / "file").write_bytes(bytes_of(size))
    root = held.imported(tmp_path / "file", profile)

    assert write(held, root, tmp_path / "out", size) == size
    assert (tmp_path / "out").read_bytes() == bytes_of(size)


@pytest.mark.parametrize("profile", [V1_2025, V0_2015], ids=lambda profile: profile.name)
def test_many_small_files_in_many_folders_take_few_waits(tmp_path: Path, profile: Profile) -> None:
    held = HeldBlocks(is_prompt=True)
    tree = {f"{folder}/{folder}/{name}": b"%d" % name for folder in range(50) for name in range(20)}
    for path, data in tree.items():
        (tmp_path / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / path).write_bytes(data)
    root = held.imported(tmp_path / "tree", profile)

    write(held, root, tmp_path / "out")
    waits = len(held.got)
    run(reader.listing, held, root)

    assert waits < 10
    assert len(held.got) - waits < 10
    assert {path: (tmp_path / "out" / path).read_bytes() for path in tree} == tree


def test_a_sharded_folder_is_the_same_whether_its_blocks_come_early_or_not(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(7_000):
        (tmp_path / "tree" / f"{number:04}").write_bytes(b"")
    held = HeldBlocks()
    root = held.imported(tmp_path / "tree", V0_2015)
    late = run(reader.listing, held, root)
    held.is_prompt = True

    assert run(reader.listing, held, root) == late
    assert len(late) == 7_001


def test_what_is_written_can_be_read_by_all_and_executed_by_nobody_whatever_the_umask(tmp_path: Path) -> None:
    held = HeldBlocks()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "tool").touch(mode=0o777)
    root = held.imported(tmp_path / "tree")
    before = os.umask(0o077)
    try:
        write(held, root, tmp_path / "out")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "out" / "tool").stat().st_mode) == 0o644


@pytest.mark.parametrize("plant", [Path.mkdir, Path.touch, lambda path: path.symlink_to("/tmp")])
def test_nothing_is_written_over_what_exists(tmp_path: Path, plant: Callable[[Path], None]) -> None:
    held = HeldBlocks()
    plant(tmp_path / "out")

    for root in (held.raw(b"file"), held.imported(planted(tmp_path / "tree", {"a": b"1"}))):
        with pytest.raises(StorageError, match="out cannot be written"):
            write(held, root, tmp_path / "out")


def test_a_tree_over_its_limit_is_refused(tmp_path: Path) -> None:
    held = HeldBlocks()
    root = held.imported(planted(tmp_path / "tree", {"a": b"12", "b": b"345"}))

    assert write(held, root, tmp_path / "enough", 5) == 5
    with pytest.raises(StorageError, match="more than 4 bytes"):
        write(held, root, tmp_path / "less", 4)


def test_large_blocks_of_links_are_understood_elsewhere(tmp_path: Path) -> None:
    held, calls = HeldBlocks(), []
    links = [Link(held.raw(b""), str(number), 0) for number in range(3_000)]
    root = held.node(dagpb.encode(links, b"\x08\x01"))

    async def elsewhere(call: Callable[..., Any], *args: Any) -> Any:
        calls.append(call)
        return await inline(call, *args)

    async def go() -> None:
        await reader.size_of(held, root, elsewhere)
        await reader.listing(held, root, elsewhere)
        await reader.resolved(held, root, ["7"], elsewhere)

    run(go)
    assert len(calls) == 3


def test_a_missing_block_is_an_error_and_leaves_no_handle_open(tmp_path: Path) -> None:
    held = HeldBlocks()
    (tmp_path / "file").write_bytes(bytes_of(10 * MiB))
    root = held.imported(tmp_path / "file")
    del held.blocks[Cid.of(bytes_of(10 * MiB)[9 * MiB :], RAW)]
    handles = len(os.listdir("/proc/self/fd"))

    with pytest.raises(StorageError, match="nowhere"):
        write(held, root, tmp_path / "out")
    assert len(os.listdir("/proc/self/fd")) == handles


def test_a_cid_that_holds_its_file_needs_no_session(tmp_path: Path) -> None:
    held = HeldBlocks()
    root = Cid.parse("bafkqabtimvwgy3yk")

    assert write(held, root, tmp_path / "out") == run(reader.size_of, held, root) == 6
    assert (tmp_path / "out").read_bytes() == b"hello\n"
    assert held.got == []


def test_writing_can_be_cancelled_even_when_no_block_comes_from_elsewhere(tmp_path: Path) -> None:
    held = HeldBlocks()
    inlined = Cid.parse("bafkqabtimvwgy3yk")
    root = held.node(dagpb.encode([Link(inlined, str(number), 6) for number in range(400)], b"\x08\x01"))

    async def never(call: Callable[..., Any], *args: Any) -> Any:
        pytest.fail("it went on to the end")

    async def go() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.write, held, root, tmp_path / "out", LIMIT, never)
            while not held.got:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    run(go)


def test_a_listing_has_every_entry_sorted_and_fetches_no_leaf(tmp_path: Path) -> None:
    held = HeldBlocks()
    root = held.imported(planted(tmp_path / "tree", {"b/large": bytes_of(MiB + 1), "a": b"12", "b/none": None}))
    leaves = [cid for cid in held.blocks if cid.codec == RAW]

    assert run(reader.listing, held, root) == (
        Entry("", 0, is_folder=True),
        Entry("a", 2, is_folder=False),
        Entry("b", 0, is_folder=True),
        Entry("b/large", MiB + 1, is_folder=False),
        Entry("b/none", 0, is_folder=True),
    )
    assert not set(leaves) & set(held.got)


def test_the_listing_of_a_file_is_the_file(tmp_path: Path) -> None:
    held = HeldBlocks()

    assert run(reader.listing, held, held.raw(b"123")) == (Entry("", 3, is_folder=False),)


@pytest.mark.parametrize(("profile", "name"), [(V1_2025, "nested"), (V0_2015, "nested"), (V1_2025, "sharded")])
def test_the_size_is_told_by_one_block_and_is_never_less_than_the_files(
    tmp_path: Path, profile: Profile, name: str
) -> None:
    held = HeldBlocks()
    tree = FOLDERS[name]()
    root = held.imported(planted(tmp_path / "tree", tree), profile)

    size = run(reader.size_of, held, root)

    files = sum(len(content) for content in tree.values() if content is not None)
    assert files <= size <= files + 200 * len(tree)
    assert held.got == [root]


@pytest.mark.parametrize("profile", [V1_2025, V0_2015], ids=lambda profile: profile.name)
def test_the_size_of_a_file_is_exact(tmp_path: Path, profile: Profile) -> None:
    held = HeldBlocks()
    (tmp_path / "file").write_bytes(bytes_of(MiB + 1))

    assert run(reader.size_of, held, held.imported(tmp_path / "file", profile)) == MiB + 1


def test_a_size_beyond_all_disks_is_refused() -> None:
    held = HeldBlocks()
    root = held.node(dagpb.encode([Link(held.raw(b""), str(number), 2**63) for number in range(3)], b"\x08\x01"))

    with pytest.raises(StorageError, match="claims"):
        run(reader.size_of, held, root)
    with pytest.raises(StorageError, match="more than"):
        run(reader.listing, held, root)


@pytest.mark.parametrize("name", ["sharded in sharded", "not yet sharded"])
def test_a_path_leads_to_what_lies_there(tmp_path: Path, name: str) -> None:
    held = HeldBlocks()
    folder = planted(tmp_path / "tree", FOLDERS[name]())
    root = held.imported(folder)

    assert run(reader.resolved, held, root, ()) == root
    for path in ("00000", "04999", "below", "below/00000", "zz/file"):
        if (folder / path).exists():
            assert run(reader.resolved, held, root, path.split("/")) == cid_of(folder / path, V1_2025)


@pytest.mark.parametrize("path", ["none", "00001/none", "below/none", "zz/file/none"])
def test_a_path_that_leads_nowhere_is_an_error(tmp_path: Path, path: str) -> None:
    held = HeldBlocks()
    root = held.imported(planted(tmp_path / "tree", FOLDERS["sharded in sharded"]()))

    with pytest.raises(StorageError, match=f"{path} does not exist: there is no 'none'"):
        run(reader.resolved, held, root, path.split("/"))


def test_a_block_that_is_no_folder_is_an_error_on_the_way() -> None:
    held = HeldBlocks()
    junk = held.node(b"junk")

    for call in (reader.size_of, reader.listing):
        with pytest.raises(StorageError, match="cannot be used"):
            run(call, held, junk)
    with pytest.raises(StorageError, match="cannot be used"):
        run(reader.resolved, held, junk, ["a"])


CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


@pytest.mark.parametrize("text", [f"{CID}/a/b c", f"/ipfs/{CID}/a/b c", f"ipfs://{CID}/a/b c/"])
def test_paths_are_a_cid_and_names(text: str) -> None:
    assert parse_path(text) == (Cid.parse(CID), ("a", "b c"))
    assert parse_path(CID) == (Cid.parse(CID), ())


@pytest.mark.parametrize("text", ["", "/", f"{CID}//a", f"{CID}/../a", f"{CID}/./a", f"{CID}/a\0", "a/b", f"x/{CID}"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no path below a CID|no CID"):
        parse_path(text)


def test_version_0_and_1_of_a_cid_are_read_alike(tmp_path: Path) -> None:
    held = HeldBlocks()
    root = held.imported(planted(tmp_path / "tree", {"a": b"12"}), V0_2015)
    again = Cid(1, DAG_PB, root.multihash)
    held.blocks[again] = held.blocks[root]

    assert run(reader.listing, held, again) == run(reader.listing, held, root)
