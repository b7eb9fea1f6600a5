"""What every implementation of Protocols must do about neighbours: who comes and goes, and connections of guests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from contract.protocol_streams import ECHO, Answers, Node, acquainted, echo, nodes, started
from contract.transports import World, identity, numbered, together

from node.errors import PeerGone
from node.model import PeerId
from node.transport.base import ByteStream


async def said_back(here: Node, there: Node) -> None:
    """A stream works."""
    async with here.open(there, ECHO) as (_, stream):
        await stream.send_all(b"hello")
        await stream.send_eof()
        assert await stream.receive_some()


class GuestContract:
    """Inherit, define ``run`` and ``world``; pytest collects the rest."""

    def run(self, main: Callable[[], Any]) -> None:
        raise NotImplementedError

    def world(self) -> World:
        raise NotImplementedError

    def pair_test(self, check: Callable[[World, Node, Node], Any], answers: Answers | None = None) -> None:
        """Run ``check(world, one, other)`` with two nodes that echo and do not know each other."""

        async def main() -> None:
            world = self.world()
            async with nodes(world, answers or {ECHO: echo}, {ECHO: echo}) as (one, other):
                await check(world, one, other)

        self.run(main)

    def test_a_guest_is_a_neighbour_to_both_and_a_peer_to_none(self) -> None:
        async def check(world: World, one: Node, other: Node) -> None:
            assert await one.transport.connect(other.address) == other.id
            await one.watcher.until("came")
            await other.watcher.until("came")
            assert one.transport.neighbours == (other.id,)
            assert other.transport.neighbours == (one.id,)
            assert one.transport.peers == other.transport.peers == ()
            await said_back(one, other)
            await said_back(other, one)
            assert one.heard.events == other.heard.events == []

        self.pair_test(check)

    def test_our_own_peers_are_neighbours_and_need_no_other_connection(self) -> None:
        async def check(world: World, one: Node, other: Node) -> None:
            await acquainted(one, other)
            assert await one.transport.connect(other.address) == other.id
            assert await other.transport.connect(one.address) == one.id
            assert one.watcher.events == [("came", other.id)]
            assert one.transport.neighbours == (other.id,)
            await said_back(one, other)

        self.pair_test(check)

    def test_a_guest_that_opens_a_session_is_a_peer_from_then_on(self) -> None:
        async def check(world: World, one: Node, other: Node) -> None:
            await one.transport.connect(other.address)
            await other.watcher.until("came")
            await together(one, other)
            one.transport.send(other.id, numbered(1))
            await other.heard.until_messages(1)
            await one.watcher.until("came", "went", "came")
            await other.watcher.until("came", "went", "came")
            await said_back(one, other)
            await said_back(other, one)

        self.pair_test(check)

    def test_a_guest_that_we_want_may_still_open_a_session(self) -> None:
        async def check(world: World, one: Node, other: Node) -> None:
            await one.transport.connect(other.address)
            await other.watcher.until("came")
            assert await other.transport.connect(one.address) == one.id
            await together(one, other)
            await said_back(other, one)

        self.pair_test(check)

    def test_a_neighbour_whose_node_stops_has_gone(self) -> None:
        async def check(world: World, one: Node, other: Node) -> None:
            await one.transport.connect(other.address)
            await other.watcher.until("came")
            await other.stop()
            await one.watcher.until("came", "went")
            assert one.transport.neighbours == ()
            with pytest.raises(PeerGone):
                await said_back(one, other)

        self.pair_test(check)

    def test_a_connection_that_breaks_takes_its_streams_along_and_the_next_one_is_news(self) -> None:
        cancelled = trio.Event()

        async def wait(peer: PeerId, protocol: str, stream: ByteStream) -> None:
            await stream.send_all(b"x")
            try:
                await trio.sleep_forever()
            finally:
                cancelled.set()

        async def check(world: World, one: Node, other: Node) -> None:
            await acquainted(other, one)
            async with other.open(one, ECHO) as (_, stream):
                assert await stream.receive_some() == b"x"
                await world.break_connection(one.transport, other.transport)
                with pytest.raises(PeerGone):
                    await stream.receive_some()
            await cancelled.wait()
            await one.watcher.until("came", "went", "came")
            await other.watcher.until("came", "went", "came")
            assert one.heard.comings() == other.heard.comings() == ["joined"]

        self.pair_test(check, {ECHO: wait})

    def test_a_guest_that_is_kept_is_dialled_again(self) -> None:
        async def check(world: World, one: Node, other: Node) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.transport.keep, other.address)
                await one.watcher.until("came")
                await other.watcher.until("came")
                await world.break_connection(one.transport, other.transport)
                await one.watcher.until("came", "went", "came")
                await other.watcher.until("came", "went", "came")
                await said_back(one, other)
                nursery.cancel_scope.cancel()

        self.pair_test(check)

    @pytest.mark.parametrize("fault", ["nobody there", "somebody else there", "rubbish", "ourselves"])
    def test_a_guest_that_cannot_be_reached_is_gone(self, fault: str) -> None:
        async def check(world: World, one: Node, other: Node) -> None:
            stranger = identity(99).peer_id
            address = {
                "nobody there": f"/ip4/127.0.0.1/tcp/9/p2p/{stranger}",
                "somebody else there": other.address.replace(other.id, stranger),
                "rubbish": "tcp://example.org",
                "ourselves": one.address,
            }[fault]
            with pytest.raises(PeerGone):
                await one.transport.connect(address)
            assert one.watcher.events == other.watcher.events == []
            assert one.transport.neighbours == ()

        self.pair_test(check)

    def test_two_who_connect_at_once_are_neighbours(self) -> None:
        async def check(world: World, one: Node, other: Node) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.transport.connect, other.address)
                nursery.start_soon(other.transport.connect, one.address)
            assert one.transport.neighbours == (other.id,)
            assert other.transport.neighbours == (one.id,)
            await said_back(one, other)
            await said_back(other, one)

        self.pair_test(check)

    def test_a_node_that_comes_back_is_a_neighbour_again(self) -> None:
        async def main() -> None:
            world = self.world()
            async with nodes(world, {ECHO: echo}, {ECHO: echo}) as (one, other), trio.open_nursery() as nursery:
                await one.transport.connect(other.address)
                await other.stop()
                await one.watcher.until("came", "went")
                again = await started(nursery, world.transport(2), {ECHO: echo})
                await one.transport.connect(again.address)
                await said_back(one, again)
                nursery.cancel_scope.cancel()

        self.run(main)
