"""What a walk asks for before it is due, and what it takes early: in order, and bounded whatever a DAG leads to."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st
from unit.test_walk import EMPTY, LEAF, LIMIT, blocks, file, folder, shard, slot, walked

from node.limits import FETCH_AHEAD_BLOCKS, FETCH_AHEAD_BYTES, MiB
from node.storage.ipfs import unixfs
from node.storage.ipfs.cid import RAW, Cid
from node.storage.ipfs.walk import BytesFound, FolderFound, Walk


def test_what_is_due_is_told_ahead_once_and_in_its_order() -> None:
    names = [f"{number:04d}" for number in range(1_000)]
    leaves = [blocks.raw(name.encode()) for name in names]
    walk = Walk(folder(*zip(names, leaves, strict=True)), LIMIT, contents=True)
    asked, got = [], []

    while walk.due is not None:
        asked += walk.ahead()
        got.append(walk.due)
        assert len(asked) - len(got) < FETCH_AHEAD_BLOCKS
        walk.take(blocks.blocks[walk.due])

    assert asked == got


def test_what_is_asked_for_ahead_stays_under_its_limit_in_bytes() -> None:
    leaf = [Cid.of(bytes((number,)), RAW) for number in range(200)]
    inner = file(*[(cid, MiB) for cid in leaf])
    walk = Walk(file(*[(inner, 200 * MiB)] * 20), LIMIT, contents=True)
    walk.take(blocks.blocks[walk.due or EMPTY])
    assert len(walk.ahead()) == 20
    walk.take(blocks.blocks[inner])

    asked = walk.ahead()

    assert asked == leaf[: len(asked)]
    assert FETCH_AHEAD_BYTES - 4 * MiB < len(asked) * MiB <= FETCH_AHEAD_BYTES


@given(st.sets(st.integers(0, 60)), st.booleans())
def test_what_is_taken_early_is_found_in_the_same_order(early: set[int], contents: bool) -> None:
    below = [(f"{number}", folder(("a", file((LEAF, 4))), ("b", LEAF), ("c", folder()))) for number in range(5)]
    names = [name for name, _ in below]
    root = folder(("folders", folder(*below)), ("x", shard(sorted((slot(name), dict(below)[name]) for name in names))))
    walk, found, looks = Walk(root, LIMIT, contents=contents), [], count()

    while walk.due is not None:
        walk.ahead()
        walk.take_early(lambda cid, _: blocks.blocks[cid] if next(looks) in early else None)
        found += walk.ready() or walk.take(blocks.blocks[walk.due])

    assert found == walked(root, contents=contents)


def test_what_came_early_makes_room_for_what_it_leads_to_in_order() -> None:
    leaves = [[blocks.raw(b"%d %d" % (number, name)) for name in range(40)] for number in range(20)]
    folders = [folder(*((f"{name:02}", leaf) for name, leaf in enumerate(inside))) for inside in leaves]
    walk = Walk(folder(*((f"{number:02}", cid) for number, cid in enumerate(folders))), LIMIT, contents=True)
    walk.take(blocks.blocks[walk.due or EMPTY])
    assert walk.ahead() == folders

    walk.take_early(lambda cid, _: blocks.blocks[cid])

    assert walk.ahead() == [leaf for inside in leaves for leaf in inside]
    assert walk.ready() == [FolderFound("00")]


def test_a_dag_that_goes_on_below_everything_that_came_is_asked_for_up_to_a_limit() -> None:
    asked, cid = 0, folder()
    for level in range(30):
        inside = [(f"{number:04}", blocks.raw(b"%d %d" % (level, number))) for number in range(FETCH_AHEAD_BLOCKS - 1)]
        cid = folder(("!", cid), *inside)
    walk = Walk(cid, LIMIT, contents=True)
    walk.take(blocks.blocks[cid])

    for _ in range(30):
        asked += len(walk.ahead())
        walk.take_early(lambda cid, _: blocks.blocks[cid])

    assert 2 * FETCH_AHEAD_BLOCKS < asked <= 4 * FETCH_AHEAD_BLOCKS + 30


def test_what_is_taken_early_and_holds_bytes_is_little() -> None:
    head, tail = unixfs.leaf_ends(60_000)
    held = blocks.node(head + bytes(60_000) + tail)
    walk = Walk(folder(*((f"{number:04}", held) for number in range(500))), LIMIT, contents=True)
    walk.take(blocks.blocks[walk.due or EMPTY])
    walk.ahead()

    for _ in range(100):
        walk.take_early(lambda cid, _: blocks.blocks[cid])

    assert 2 * MiB < sum(len(found.data) for found in walk.ready() if isinstance(found, BytesFound)) < 5 * MiB
