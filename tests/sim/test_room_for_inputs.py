"""What open bids would have a node fetch is counted before it bids again: no more is promised than the disk takes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import trio
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node.errors import NoRoom
from node.model import CidInput
from node.storage.base import Prepared
from node.storage.sources import Sources
from node.wiring import Node

ROOM = 100


class Elsewhere:
    """Everything is to be had, and every input has 60 bytes."""

    name = "elsewhere"

    def __init__(self, folder):
        self._folder = folder

    async def to_fetch(self, ref):
        await trio.lowlevel.checkpoint()
        return 60

    @asynccontextmanager
    async def prepared(self, ref, origin):
        yield Prepared(self._folder, self.name)


async def room(size):
    await trio.lowlevel.checkpoint()
    if size > ROOM:
        raise NoRoom(f"there is room for {ROOM} bytes, it needs {size}")


def small_disk(parts):
    return Node(replace(parts, storage=Sources({CidInput: Elsewhere(parts.data_dir)}, room=room)))


def needs(cid, path="/inputs", **deal):
    return spec("noop", inputs=(CidInput(cid=cid, path=path),), **{"concurrency": 1, "bid_window_s": 30.0} | deal)


async def answer(nodes, job):
    """What the one node says to an offer, while it still wants bids."""
    record = await nodes.nodes[0].jobs.submit(CLIENT, job)
    while not record.answers:
        await trio.sleep(0.1)
        record = await nodes.nodes[0].jobs.find(CLIENT, record.job)
    return record.answers[0]


def test_open_bids_count_and_each_input_counts_once():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"), node=small_disk)
            assert (await answer(nodes, needs("x", min_bids=2))).code is None
            assert (await answer(nodes, needs("x", "/elsewhere", min_bids=2))).code is None
            refused = await answer(nodes, needs("y", min_bids=2))
            assert (refused.code, "needs 120" in refused.reason) == ("disk", True)
            await trio.sleep(60)  # The windows of the first two are closed, and they had one bid.
            assert (await answer(nodes, needs("y", min_bids=2))).code is None

    simulate(main)


def test_offers_that_are_looked_at_together_are_not_all_promised_the_same_room():
    async def main():
        async with cluster(2) as nodes:
            await nodes.start(says(b"r"), node=small_disk)
            codes = []

            async def offered(cid):
                codes.append((await answer(nodes, needs(cid, min_bids=2))).code)

            async with trio.open_nursery() as nursery:
                for number in range(5):
                    nursery.start_soon(offered, str(number))
            assert codes.count(None) == 1

    simulate(main)


def test_a_bid_that_is_taken_up_or_lost_is_promised_nothing_any_more():
    async def main():
        async with cluster(3) as nodes:
            await nodes.start(says(b"r"), node=small_disk)
            for number in range(4):
                record = await nodes.submit(msgspec.structs.replace(needs(str(number)), name=f"job{number}"))
                assert record.state == "completed", record.failure

    simulate(main)
