"""What a node looks at before it bids: bounded for each requester, and over when that leaves."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import trio
from doubles.peers import identity, peer
from doubles.requesters import HandmadeRequester
from sim.cluster import cluster, says, simulate, spec

from node import limits
from node import messages as m
from node.compute.account import weight
from node.model import CidInput
from node.storage.sources import Sources
from node.wiring import Node

INPUT = (CidInput(cid="x", path="/inputs"),)


class Slow:
    """A probe that takes every job, after a while."""

    asked = 0

    async def refusal(self, question, requester):
        self.asked += 1
        await trio.sleep(30)


def test_offers_with_large_specs_are_looked_at_a_few_at_a_time():
    """Else one peer has this node hold as many of them as it can send."""
    slow = Slow()

    def probed(parts):
        return Node(replace(parts, probe=slow))

    async def main():
        async with cluster(2) as nodes:
            await nodes.start(says(b"r"), node=probed)
            stranger = HandmadeRequester(identity(9), nodes.network.join(peer(9)))
            await nodes.nursery.start(stranger.run, nodes.transports[0].addresses[0])
            engine = msgspec.structs.replace(spec("noop").engine, args=("x" * 10_000,) * 25)
            large = msgspec.structs.replace(spec("noop"), engine=engine)
            offers = [stranger.offer(large) for _ in range(20)]
            declined = await stranger.hears(m.Decline, job=offers[-1])
            assert (declined.code, "large specs" in declined.reason) == ("full", True)
            await stranger.hears(m.Bid, job=offers[0])
            await trio.sleep(60)
            await stranger.hears(m.Bid, job=stranger.offer(large))
            assert slow.asked == limits.OFFERS_CONSIDERED_BYTES // weight(large) + 1

    simulate(main)


class Unanswered:
    """Nobody hears what it has; counts who waits for that."""

    name = "unanswered"
    waiting = 0

    async def to_fetch(self, ref):
        self.waiting += 1
        try:
            await trio.sleep_forever()
        finally:
            self.waiting -= 1


def test_nothing_is_looked_at_for_who_has_left():
    """Else whoever comes again and again under new names has this node hold all that it ever offered."""
    made = []

    def hung(parts):
        made.append(Unanswered())
        return Node(replace(parts, storage=Sources({CidInput: made[0]})))

    async def main():
        async with cluster(2) as nodes:
            await nodes.start(says(b"r"), node=hung)
            for number in (7, 8, 9):
                stranger = HandmadeRequester(identity(number), nodes.network.join(peer(number)))
                await nodes.nursery.start(stranger.run, nodes.transports[0].addresses[0])
                for _ in range(10):
                    stranger.offer(spec("noop", inputs=INPUT))
                await trio.sleep(5)
                assert made[0].waiting == 10
                nodes.network.lose(peer(0), peer(number))
                await trio.sleep(60)
                assert made[0].waiting == 0
                assert not nodes.nodes[0].compute._accounts

    simulate(main)


class Far:
    """There are 5 bytes to fetch of everything."""

    name = "far"

    async def to_fetch(self, ref):
        return 5


class Coming(Far):
    """Is here by the second look."""

    def __init__(self):
        self._sizes = [5, 0]

    async def to_fetch(self, ref):
        await trio.lowlevel.checkpoint()
        return self._sizes.pop(0)


def test_an_offer_that_is_made_again_promises_what_it_takes_then():
    async def main():
        async with cluster(2) as nodes:
            storage = Sources({CidInput: Coming()})
            await nodes.start(says(b"r"), node=lambda parts: Node(replace(parts, storage=storage)))
            stranger = HandmadeRequester(identity(9), nodes.network.join(peer(9)))
            await nodes.nursery.start(stranger.run, nodes.transports[0].addresses[0])
            promises = nodes.nodes[0].compute._accounts.promises
            for holds, promised in ((False, 5), (True, 0)):
                stranger.offer(spec("noop", inputs=INPUT), "a" * 32)
                await stranger.hears(m.Bid, holds=holds)
                assert promises.total_bytes == promised

    simulate(main)


async def late(*_):
    """As a thread, which ends when it ends."""
    with trio.CancelScope(shield=True):
        await trio.sleep(100)
    return 5


class LateFar(Far):
    """That takes a while to find out."""

    to_fetch = late


@pytest.mark.parametrize(
    "storage", [Sources({CidInput: LateFar()}), Sources({CidInput: Far()}, room=late)], ids=["look", "room"]
)
def test_an_answer_that_comes_late_is_promised_to_nobody(storage):
    """Else the room that it takes would be kept free, and the offer remembered, until the node ends."""

    async def main():
        async with cluster(2) as nodes:
            await nodes.start(says(b"r"), node=lambda parts: Node(replace(parts, storage=storage)))
            stranger = HandmadeRequester(identity(9), nodes.network.join(peer(9)))
            await nodes.nursery.start(stranger.run, nodes.transports[0].addresses[0])
            stranger.offer(spec("noop", inputs=INPUT))
            await trio.sleep(5)
            nodes.network.lose(peer(0), peer(9))
            await trio.sleep(50)
            assert len(nodes.nodes[0].compute._accounts) == 1
            await trio.sleep(100)
            assert not nodes.nodes[0].compute._accounts

    simulate(main)
