"""Files laid out in blocks: the CIDs that Kubo gave them, and what holds for a file of any size."""

from __future__ import annotations

import pytest
from doubles.kubo_cids import KUBO_CIDS
from doubles.trees import FILES, bytes_of
from hypothesis import given
from hypothesis import strategies as st

from node.limits import MiB
from node.storage.ipfs import unixfs
from node.storage.ipfs.cid import DAG_PB, RAW, Cid
from node.storage.ipfs.layout import PROFILES, V0_2015, Imported, Layout, Profile, Put

TINY = Profile("tiny", 1, 4, 3, has_raw_leaves=True, counts_whole_blocks=True)
TINY_V0 = Profile("tiny-v0", 0, 4, 3, has_raw_leaves=False, counts_whole_blocks=False)


def made(profile: Profile, data: bytes, put: Put | None = None) -> Imported:
    file = Layout(profile, put).file()
    for start in range(0, len(data), MiB):
        file.write(memoryview(data)[start : start + MiB])
    return file.done()


def contents(blocks: dict[Cid, bytes], cid: Cid) -> bytes:
    if cid.codec == RAW:
        return blocks[cid]
    node = unixfs.decode(blocks[cid])
    parts = [contents(blocks, link.cid) for link in node.links]
    assert tuple(map(len, parts)) == node.block_sizes
    return node.data + b"".join(parts)


def depths(blocks: dict[Cid, bytes], cid: Cid) -> set[int]:
    links = unixfs.decode(blocks[cid]).links if cid.codec == DAG_PB else ()
    return {1 + depth for link in links for depth in depths(blocks, link.cid)} or {0}


def size_of_all(blocks: dict[Cid, bytes], cid: Cid) -> int:
    links = unixfs.decode(blocks[cid]).links if cid.codec == DAG_PB else ()
    for link in links:
        assert link.tsize == size_of_all(blocks, link.cid)
    return len(blocks[cid]) + sum(link.tsize for link in links)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_file_has_the_cid_that_kubo_gives_it(profile: Profile, name: str) -> None:
    assert str(made(profile, bytes_of(FILES[name])).cid) == KUBO_CIDS[name][PROFILES.index(profile)]


@given(st.sampled_from([TINY, TINY_V0]), st.binary(max_size=150))
def test_a_file_of_any_size_is_balanced_and_its_sizes_are_true(profile: Profile, data: bytes) -> None:
    blocks: dict[Cid, bytes] = {}

    file = made(profile, data, blocks.__setitem__)

    assert contents(blocks, file.cid) == data
    assert len(depths(blocks, file.cid)) == 1
    assert file.size == len(data)
    assert file.dag_bytes == size_of_all(blocks, file.cid)
    assert all(cid.matches(block) for cid, block in blocks.items())


def test_blocks_come_after_those_that_they_link_to() -> None:
    blocks: dict[Cid, bytes] = {}

    def put(cid: Cid, block: bytes) -> None:
        if cid.codec == DAG_PB:
            assert all(link.cid in blocks for link in unixfs.decode(block).links)
        blocks[cid] = block

    file = made(TINY, bytes(range(100)), put)

    assert list(blocks)[-1] == file.cid
    assert len(blocks) == 25 + 9 + 3 + 1


def test_without_leaves_only_blocks_with_links_are_put() -> None:
    blocks: dict[Cid, bytes] = {}
    file = Layout(V0_2015, blocks.__setitem__, with_leaves=False).file()

    file.write(memoryview(bytes(MiB)))
    assert not blocks

    root = file.done().cid
    assert list(blocks) == [root]


def test_a_folder_whose_names_collide_in_every_bit_cannot_be_sharded() -> None:
    empty = Layout(TINY).file().done()
    twice = [("same", empty)] * 2 + [("n" * 200 + str(number), empty) for number in range(1_100)]

    with pytest.raises(ValueError, match="collide"):
        Layout(TINY).folder(twice)
