"""A DAG as a stream and block by block: which way is taken when, and what a hostile stream can cost."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from node.ambient import inline
from node.errors import DriverUnavailable, StorageError
from node.limits import BLOCK_FETCH_S, MiB
from node.storage.ipfs import car
from node.storage.ipfs.car_session import blocks_in, car_session
from node.storage.ipfs.cid import RAW, Cid

ROOT = Cid.of(b"root", RAW)


def named(count: int, size: int = 100) -> list[tuple[Cid, bytes]]:
    return [(Cid.of(block, RAW), block) for block in (os.urandom(size) for _ in range(count))]


class Source:
    """A stream of what it is given, then an end, an error or silence; and single blocks."""

    def __init__(self, streamed: Iterable[tuple[Cid, bytes]], last: object = None, alone=()) -> None:
        self.streamed = iter(streamed)
        self.last = last
        self.alone = dict(alone)
        self.opened = self.closed = self.sent = 0
        self.asked: list[Cid] = []
        self.at_once = self.at_once_max = 0

    @asynccontextmanager
    async def car(self, root: Cid):
        assert root == ROOT
        self.opened += 1
        yield self.receive
        self.closed += 1

    async def receive(self):
        await trio.lowlevel.checkpoint()
        for found in self.streamed:
            self.sent += 1
            return [found]
        if isinstance(self.last, Exception):
            raise self.last
        if self.last == "silence":
            await trio.sleep_forever()
        return None

    async def block(self, cid: Cid) -> bytes:
        self.asked.append(cid)
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        await trio.testing.wait_all_tasks_blocked()
        self.at_once -= 1
        if cid not in self.alone:
            raise DriverUnavailable("nobody answers")
        return self.alone[cid]


def got(source: Source, cids: list[Cid], wanted: list[Cid] | None = None) -> list[bytes]:
    async def main() -> list[bytes]:
        async with car_session(ROOT, source.car, source.block, inline) as session:
            session.want(cids if wanted is None else wanted)
            blocks = [await session.get(cid) for cid in cids]
        assert source.closed == source.opened
        return blocks

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_who_wants_one_block_at_a_time_opens_no_stream() -> None:
    found = named(3)
    source = Source([], alone=found)
    cids = [cid for cid, _ in found]
    assert got(source, cids, wanted=cids[:1]) == [block for _, block in found]
    assert source.opened == 0


def test_who_wants_several_reads_them_from_one_stream() -> None:
    found = named(50, MiB)
    source = Source(found)
    assert got(source, [cid for cid, _ in found]) == [block for _, block in found]
    assert (source.opened, source.asked) == (1, [])


@pytest.mark.parametrize(
    "last", [None, StorageError("cut"), DriverUnavailable("away"), ValueError("no CAR"), "silence"]
)
def test_what_a_stream_does_not_bring_is_asked_for_and_the_stream_not_again(last: object) -> None:
    found = named(20)
    source = Source(found[:5], last, alone=found)
    assert got(source, [cid for cid, _ in found]) == [block for _, block in found]
    assert source.opened == 1
    assert sorted(map(str, source.asked)) == sorted(str(cid) for cid, _ in found[5:])
    assert source.at_once_max == 4


def test_a_block_that_comes_again_far_behind_does_not_end_the_stream() -> None:
    found = named(40, MiB)
    cids = [cid for cid, _ in found]
    source = Source(found, alone=found[:1])
    blocks = dict(found)
    order = [*cids[:20], cids[0], *cids[20:]]
    assert got(source, order) == [blocks[cid] for cid in order]
    assert source.asked == [cids[0]]
    assert source.sent == 40


def test_a_reader_that_skips_ends_the_stream_soon() -> None:
    found = named(100, MiB)
    source = Source(found, alone=found)
    last = [cid for cid, _ in found[-3:]]
    assert got(source, last) == [block for _, block in found[-3:]]
    assert source.sent <= 10


def test_a_stream_of_tiny_blocks_costs_no_more_memory_than_one_of_large_ones() -> None:
    tiny = ((Cid.of(b"%d" % number, RAW), b"%d" % number) for number in range(10**7))
    source = Source(tiny, alone=(wanted := named(2)))
    got(source, [cid for cid, _ in wanted])
    assert source.sent < 8 * MiB / 500


def test_a_stream_in_which_what_is_due_does_not_come_in_time_is_given_up() -> None:
    found = named(2)
    source = Source([], "silence", alone=found)

    async def main() -> float:
        start = trio.current_time()
        async with car_session(ROOT, source.car, source.block, inline) as session:
            session.want([cid for cid, _ in found])
            await session.get(found[0][0])
        return trio.current_time() - start

    assert trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)) == BLOCK_FETCH_S


@pytest.mark.parametrize("block", [b"other", b""])
def test_a_single_block_is_checked(block: bytes) -> None:
    (cid, _) = named(1)[0]
    with pytest.raises(StorageError, match=f"what was sent for the block {cid} is something else"):
        got(Source([], alone=[(cid, block)]), [cid])


def test_a_block_is_no_larger_than_blocks_are_also_when_it_is_the_right_one() -> None:
    large = bytes(2 * MiB + 1)
    with pytest.raises(StorageError, match="is something else"):
        got(Source([], alone=[(Cid.of(large, RAW), large)]), [Cid.of(large, RAW)])


def test_a_source_that_is_away_is_a_storage_error_with_its_words() -> None:
    with pytest.raises(StorageError, match="nobody answers"):
        got(Source([]), [named(1)[0][0]])


def test_a_later_block_that_fails_does_not_fail_an_earlier_one() -> None:
    found = named(4)
    source = Source([], ValueError("no CAR"), alone=found[:2])
    cids = [cid for cid, _ in found]
    assert got(source, cids[:2], wanted=cids) == [block for _, block in found[:2]]


def test_blocks_that_their_cids_hold_are_not_handed_on():
    (real,) = named(1)
    sections = [car.section(Cid(1, RAW, b"\0\0"), b"")] * 1_000 + [car.section(*real)]
    assert blocks_in(car.CarReader())(car.header([ROOT]) + b"".join(sections)) == [real]
