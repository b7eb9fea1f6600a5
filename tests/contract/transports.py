"""What every Transport must do. Each transport's test class inherits this and says how to make its world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
import trio
from nacl.signing import SigningKey

from node import limits
from node.errors import BlobRefused, PeerGone
from node.identity import Identity
from node.messages import BlobRequest, Message, Results, Started, encode
from node.model import PeerId
from node.transport.base import Blob, Transport

HANG_S = 100.0  # virtual or real; only a test that hangs gets there
EXECUTION = "ab" * 16


def identity(number: int) -> Identity:
    """Always the same key for a number."""
    return Identity(SigningKey(number.to_bytes(32, "big")))


def numbered(number: int) -> Started:
    """A small message that can be told from others."""
    return Started(execution=f"{number:032x}")


async def refuse(sender: PeerId, request: BlobRequest) -> Blob:
    """The blob service of who has none."""
    raise BlobRefused("nothing here")


@dataclass
class Recorder:
    """A Receiver that writes down what it hears."""

    service: Callable[[PeerId, BlobRequest], Any] = refuse
    events: list[tuple[str, PeerId]] = field(default_factory=list)
    messages: list[tuple[PeerId, Message]] = field(default_factory=list)
    hints: dict[PeerId, tuple[str, ...]] = field(default_factory=dict)
    on_joined: Callable[[PeerId], None] = lambda peer: None
    changed: trio.Event = field(default_factory=trio.Event)

    def joined(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        self.hints[peer] = addresses
        self._note("joined", peer)
        self.on_joined(peer)

    def left(self, peer: PeerId) -> None:
        self._note("left", peer)

    def received(self, sender: PeerId, message: Message) -> None:
        self.messages.append((sender, message))
        self._note("received", sender)

    async def blob(self, sender: PeerId, request: BlobRequest) -> Blob:
        blob: Blob = await self.service(sender, request)
        return blob

    def _note(self, event: str, peer: PeerId) -> None:
        self.events.append((event, peer))
        self.changed.set()

    async def until(self, holds: Callable[[Recorder], bool]) -> None:
        """Wait for something to have happened."""
        while not holds(self):
            self.changed = trio.Event()
            await self.changed.wait()

    async def until_messages(self, count: int) -> None:
        await self.until(lambda me: len(me.messages) >= count)

    def comings(self) -> list[str]:
        """joined and left, in order."""
        return [event for event, _ in self.events if event != "received"]


@dataclass
class Party:
    """One node: its transport, what it heard, and how to end it."""

    transport: Transport
    heard: Recorder
    scope: trio.CancelScope
    ended: trio.Event

    async def stop(self) -> None:
        self.scope.cancel()
        await self.ended.wait()

    @property
    def id(self) -> PeerId:
        return self.transport.local_id

    @property
    def address(self) -> str:
        return self.transport.addresses[0]


class World(Protocol):
    """Where the transports of a test live. ``stall_s``: their ``BLOB_STALL_S``."""

    stall_s: float

    def transport(self, number: int) -> Transport:
        """A new transport of identity ``number``."""

    async def break_connection(self, one: Transport, other: Transport) -> None:
        """Break it under them; they are to resume by themselves."""


@asynccontextmanager
async def parties(world: World, *recorders: Recorder) -> AsyncIterator[list[Party]]:
    """One running node per recorder."""
    async with trio.open_nursery() as nursery:
        with trio.fail_after(HANG_S):
            yield [await start(nursery, world.transport(number), heard) for number, heard in enumerate(recorders, 1)]
        nursery.cancel_scope.cancel()


async def start(nursery: trio.Nursery, transport: Transport, heard: Recorder) -> Party:
    """Run a node in a nursery."""
    scope, ended = trio.CancelScope(), trio.Event()

    async def life(*, task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await transport.run(heard, task_status=task_status)
        ended.set()

    await nursery.start(life)
    return Party(transport, heard, scope, ended)


async def together(one: Party, other: Party) -> None:
    """Connect two nodes and wait until both know."""
    assert await one.transport.dial(other.address) == other.id
    await one.heard.until(lambda me: ("joined", other.id) in me.events)
    await other.heard.until(lambda me: ("joined", one.id) in me.events)


class SessionContract:
    """Inherit, define ``run`` and ``world``; pytest collects the rest. Sessions and messages; blobs have a suite of
    their own (``blob_streams``)."""

    def run(self, main: Callable[[], Any]) -> None:
        raise NotImplementedError

    def world(self) -> World:
        raise NotImplementedError

    def test_a_dial_makes_both_ends_join_and_know_where_the_other_listens(self) -> None:
        async def main() -> None:
            async with parties(self.world(), Recorder(), Recorder()) as (one, other):
                await together(one, other)
                assert one.transport.peers == (other.id,)
                assert other.transport.peers == (one.id,)
                assert set(other.transport.addresses) & set(one.heard.hints[other.id])
                assert set(one.transport.addresses) & set(other.heard.hints[one.id])

        self.run(main)

    def test_a_second_dial_finds_the_session_that_is_there(self) -> None:
        async def main() -> None:
            async with parties(self.world(), Recorder(), Recorder()) as (one, other):
                await together(one, other)
                assert await one.transport.dial(other.address) == other.id
                assert await other.transport.dial(one.address) == one.id
                assert one.heard.comings() == other.heard.comings() == ["joined"]

        self.run(main)

    def test_messages_arrive_once_and_in_order_from_who_sent_them(self) -> None:
        async def main() -> None:
            async with parties(self.world(), Recorder(), Recorder()) as (one, other):
                await together(one, other)
                for number in range(500):
                    one.transport.send(other.id, numbered(number))
                    other.transport.send(one.id, numbered(1000 + number))
                await other.heard.until_messages(500)
                await one.heard.until_messages(500)
                assert other.heard.messages == [(one.id, numbered(number)) for number in range(500)]
                assert one.heard.messages == [(other.id, numbered(1000 + number)) for number in range(500)]

        self.run(main)

    def test_nothing_is_lost_or_doubled_when_the_connection_breaks(self) -> None:
        async def main() -> None:
            world = self.world()
            async with parties(world, Recorder(), Recorder()) as (one, other):
                await together(one, other)
                for batch in range(3):
                    for number in range(100 * batch, 100 * batch + 100):
                        one.transport.send(other.id, numbered(number))
                        other.transport.send(one.id, numbered(number))
                    await other.heard.until_messages(100 * batch + 10)
                    await world.break_connection(one.transport, other.transport)
                await other.heard.until_messages(300)
                await one.heard.until_messages(300)
                expected = [numbered(number) for number in range(300)]
                assert [message for _, message in other.heard.messages] == expected
                assert [message for _, message in one.heard.messages] == expected
                assert one.heard.comings() == other.heard.comings() == ["joined"]

        self.run(main)

    def test_two_who_dial_each_other_at_once_get_one_session_and_lose_nothing(self) -> None:
        async def main() -> None:
            greetings = Recorder(), Recorder()
            async with parties(self.world(), *greetings) as (one, other):
                for me in (one, other):
                    me.heard.on_joined = lambda peer, me=me: me.transport.send(peer, numbered(7))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(one.transport.dial, other.address)
                    nursery.start_soon(other.transport.dial, one.address)
                for number in range(50):
                    one.transport.send(other.id, numbered(number))
                    other.transport.send(one.id, numbered(number))
                for me in (one, other):
                    await me.heard.until_messages(51)
                    assert [message for _, message in me.heard.messages[1:]] == [numbered(n) for n in range(50)]
                    assert me.heard.comings() == ["joined"]

        self.run(main)

    def test_what_we_send_to_ourselves_arrives_but_not_while_we_send(self) -> None:
        async def main() -> None:
            async with parties(self.world(), Recorder()) as (one,):
                for number in range(3):
                    one.transport.send(one.id, numbered(number))
                assert one.heard.messages == []
                await one.heard.until_messages(3)
                assert one.heard.messages == [(one.id, numbered(number)) for number in range(3)]
                assert one.transport.peers == ()

        self.run(main)

    def test_a_message_may_be_as_long_as_a_frame_and_no_longer(self) -> None:
        async def main() -> None:
            def message(size: int) -> Results:
                return Results(execution=EXECUTION, manifest=bytes(size), sizes=None, files=None)

            room = limits.FRAME_BYTES_MAX - (len(encode(message(2**17))) - 2**17)
            async with parties(self.world(), Recorder(), Recorder()) as (one, other):
                await together(one, other)
                with pytest.raises(AssertionError):
                    one.transport.send(other.id, message(room + 1))
                one.transport.send(other.id, message(room))
                one.transport.send(other.id, numbered(1))
                await other.heard.until_messages(2)
                assert other.heard.messages == [(one.id, message(room)), (one.id, numbered(1))]

        self.run(main)

    def test_a_message_to_a_stranger_is_dropped(self) -> None:
        async def main() -> None:
            async with parties(self.world(), Recorder()) as (one,):
                one.transport.send(identity(99).peer_id, numbered(1))
                await trio.lowlevel.checkpoint()
                assert one.heard.events == []

        self.run(main)

    def test_a_peer_that_restarts_has_left_and_then_joined(self) -> None:
        async def main() -> None:
            world = self.world()
            async with parties(world, Recorder(), Recorder()) as (one, other), trio.open_nursery() as nursery:
                await together(one, other)
                await other.stop()
                again = await start(nursery, world.transport(2), Recorder())
                await again.transport.dial(one.address)
                await one.heard.until(lambda me: len(me.comings()) >= 3)
                assert one.heard.comings() == ["joined", "left", "joined"]
                one.transport.send(again.id, numbered(5))
                await again.heard.until_messages(1)
                nursery.cancel_scope.cancel()

        self.run(main)

    def test_a_peer_that_stops_has_left(self) -> None:
        async def main() -> None:
            async with parties(self.world(), Recorder(), Recorder()) as (one, other):
                await together(one, other)
                await other.stop()
                await one.heard.until(lambda me: me.comings() == ["joined", "left"])
                assert one.transport.peers == ()

        self.run(main)

    @pytest.mark.parametrize("fault", ["nobody there", "somebody else there", "rubbish", "no port", "ourselves"])
    def test_a_dial_that_cannot_succeed_says_so(self, fault: str) -> None:
        async def main() -> None:
            async with parties(self.world(), Recorder(), Recorder()) as (one, other):
                stranger = identity(99).peer_id
                address = {
                    "nobody there": f"/ip4/127.0.0.1/tcp/9/p2p/{stranger}",
                    "somebody else there": other.address.replace(other.id, stranger),
                    "rubbish": "tcp://example.org",
                    "no port": f"/ip4/127.0.0.1/tcp/0/p2p/{stranger}",
                    "ourselves": one.address,
                }[fault]
                with pytest.raises(PeerGone):
                    await one.transport.dial(address)
                assert one.heard.comings() == []

        self.run(main)
