"""What every implementation of Protocols must do with streams; connections without a session are in ``guests``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
import trio
from contract.transports import HANG_S, Party, Recorder, World, identity, numbered, start, together

from node import limits
from node.errors import MalformedMessage, NotSpoken, PeerError, PeerGone, StorageError
from node.model import PeerId
from node.transport.base import Answer, ByteStream, Protocols, Transport

ECHO, LATER, DEAF = "/echo/1.0.0", "/echo/2.0.0", "/deaf/1.0.0"
MIB = limits.MiB


class Both(Transport, Protocols, Protocol):
    """A transport that carries other protocols too."""


@dataclass
class Watcher:
    """A Neighbourhood that writes down what it hears."""

    events: list[tuple[str, PeerId]] = field(default_factory=list)
    changed: trio.Event = field(default_factory=trio.Event)

    def came(self, peer: PeerId) -> None:
        self._note("came", peer)

    def went(self, peer: PeerId) -> None:
        self._note("went", peer)

    def _note(self, event: str, peer: PeerId) -> None:
        self.events.append((event, peer))
        self.changed.set()

    async def until(self, *events: str) -> None:
        """Wait until exactly this has happened, whoever it was."""
        while [event for event, _ in self.events] != list(events):
            assert len(self.events) <= len(events), self.events
            self.changed = trio.Event()
            await self.changed.wait()


async def echo(peer: PeerId, protocol: str, stream: ByteStream) -> None:
    """Say what was said, to the end."""
    while data := await stream.receive_some():
        await stream.send_all(data)


async def deaf(peer: PeerId, protocol: str, stream: ByteStream) -> None:
    """Read nothing."""
    await trio.sleep_forever()


def failing(error: Exception) -> Answer:
    """Fail once something was said."""

    async def answer(peer: PeerId, protocol: str, stream: ByteStream) -> None:
        await stream.receive_some()
        raise error

    return answer


async def whole(stream: ByteStream) -> bytes:
    """Everything to the end."""
    said = bytearray()
    while data := await stream.receive_some():
        said += data
    return bytes(said)


@dataclass
class Node(Party):
    """A party whose transport carries other protocols."""

    transport: Both
    watcher: Watcher

    def open(self, peer: Party, *protocols: str) -> Any:
        return self.transport.open(peer.id, protocols)


Answers = dict[str, Answer]


async def started(nursery: trio.Nursery, transport: Transport, answers: Answers) -> Node:
    """Run a node that answers."""
    watcher = Watcher()
    both: Any = transport
    both.watch(watcher)
    for protocol, answer in answers.items():
        both.serve(protocol, answer)
    party = await start(nursery, transport, Recorder())
    return Node(both, party.heard, party.scope, party.ended, watcher)


@asynccontextmanager
async def nodes(world: World, *answers: Answers) -> AsyncIterator[list[Node]]:
    """One running node for each set of answers; not connected yet."""
    async with trio.open_nursery() as nursery:
        with trio.fail_after(HANG_S):
            yield [await started(nursery, world.transport(number), each) for number, each in enumerate(answers, 1)]
        nursery.cancel_scope.cancel()


async def acquainted(one: Node, other: Node) -> None:
    """Open a session, and wait until both count as neighbours."""
    await together(one, other)
    await one.watcher.until("came")
    await other.watcher.until("came")


class StreamContract:
    """Inherit, define ``run`` and ``world``; pytest collects the rest."""

    def run(self, main: Callable[[], Any]) -> None:
        raise NotImplementedError

    def world(self) -> World:
        raise NotImplementedError

    def stream_test(self, answers: Answers, check: Callable[[Node, Node], Any]) -> None:
        """Run ``check(opener, server)`` with a session between them."""

        async def main() -> None:
            async with nodes(self.world(), {}, answers) as (opener, server):
                await acquainted(opener, server)
                await check(opener, server)

        self.run(main)

    @pytest.mark.parametrize("size", [0, 1, 5 * MIB + 17])
    def test_bytes_go_both_ways_and_each_way_has_its_own_end(self, size: int) -> None:
        data = bytes(range(256)) * (size // 256 + 1)

        async def check(opener: Node, server: Node) -> None:
            async with opener.open(server, ECHO) as (protocol, stream), trio.open_nursery() as nursery:
                assert protocol == ECHO

                async def say() -> None:
                    await stream.send_all(data[:size])
                    await stream.send_eof()
                    await stream.send_eof()

                nursery.start_soon(say)
                assert await whole(stream) == data[:size]
                assert await stream.receive_some() == b""

        self.stream_test({ECHO: echo}, check)

    def test_who_answers_is_told_who_asks_and_in_which_protocol(self) -> None:
        async def name(peer: PeerId, protocol: str, stream: ByteStream) -> None:
            await stream.send_all(f"{peer} {protocol}".encode())

        async def check(opener: Node, server: Node) -> None:
            async with opener.open(server, "/none/1.0.0", LATER, ECHO) as (protocol, stream):
                assert await whole(stream) == f"{opener.id} {protocol}".encode()
                assert protocol == LATER

        self.stream_test({ECHO: name, LATER: name}, check)

    def test_either_end_of_a_connection_may_open_streams(self) -> None:
        async def main() -> None:
            async with nodes(self.world(), {ECHO: echo}, {ECHO: echo}) as (one, other):
                await acquainted(one, other)
                for here, there in ((one, other), (other, one)):
                    async with here.open(there, ECHO) as (_, stream):
                        await stream.send_all(b"hello")
                        await stream.send_eof()
                        assert await whole(stream) == b"hello"

        self.run(main)

    def test_a_neighbour_that_speaks_none_of_the_protocols_is_told_from_one_that_is_gone(self) -> None:
        async def check(opener: Node, server: Node) -> None:
            for protocols in (["/none/1.0.0"], ["/none/1.0.0", "/none/2.0.0"]):
                with pytest.raises(NotSpoken):
                    async with opener.open(server, *protocols):
                        pass
            with pytest.raises(PeerGone) as gone:
                async with opener.transport.open(identity(99).peer_id, [ECHO]):
                    pass
            assert not isinstance(gone.value, NotSpoken)
            assert server.id in opener.transport.neighbours

        self.stream_test({ECHO: echo}, check)

    def test_who_is_not_read_is_held_up(self) -> None:
        async def check(opener: Node, server: Node) -> None:
            sent = 0
            async with opener.open(server, DEAF) as (_, stream):
                with trio.move_on_after(2.0):
                    while True:
                        await stream.send_all(bytes(64 * limits.KiB))
                        sent += 64 * limits.KiB
            assert 64 * limits.KiB <= sent <= 2 * limits.STREAM_WINDOW_BYTES

        self.stream_test({DEAF: deaf}, check)

    def test_what_was_sent_before_the_end_arrives_though_the_sender_leaves_at_once(self) -> None:
        heard: list[bytes] = []
        done = trio.Event()

        async def listen(peer: PeerId, protocol: str, stream: ByteStream) -> None:
            heard.append(await whole(stream))
            done.set()

        async def check(opener: Node, server: Node) -> None:
            async with opener.open(server, ECHO) as (_, stream):
                await stream.send_all(bytes(200_000))
                await stream.send_eof()
            await done.wait()
            assert heard == [bytes(200_000)]

        self.stream_test({ECHO: listen}, check)

    def test_an_answer_that_returns_has_said_what_it_said(self) -> None:
        async def tell(peer: PeerId, protocol: str, stream: ByteStream) -> None:
            await stream.send_all(bytes(200_000))

        async def check(opener: Node, server: Node) -> None:
            async with opener.open(server, ECHO) as (_, stream):
                await stream.send_all(b"never read")
                assert await whole(stream) == bytes(200_000)

        self.stream_test({ECHO: tell}, check)

    def test_a_stream_that_is_closed_without_its_end_is_no_whole_stream(self) -> None:
        ends: list[object] = []
        done = trio.Event()

        async def listen(peer: PeerId, protocol: str, stream: ByteStream) -> None:
            try:
                ends.append(await whole(stream))
            except PeerGone as error:
                ends.append(type(error))
            done.set()

        async def check(opener: Node, server: Node) -> None:
            async with opener.open(server, ECHO) as (_, stream):
                await stream.send_all(b"half of")
            await done.wait()
            assert ends == [PeerGone]
            with pytest.raises(PeerGone):
                await stream.send_all(b"more")
            with pytest.raises(PeerGone):
                await stream.receive_some()
            await stream.aclose()

        self.stream_test({ECHO: listen}, check)

    @pytest.mark.parametrize("error", [PeerError("I"), StorageError("cannot"), PeerGone("go on")])
    def test_an_answer_that_fails_ends_its_own_stream_alone(self, error: Exception) -> None:
        async def check(opener: Node, server: Node) -> None:
            async with opener.open(server, ECHO) as (_, other):
                async with opener.open(server, LATER) as (_, stream):
                    await stream.send_all(b"x")
                    with pytest.raises(PeerGone):
                        await whole(stream)
                await other.send_all(b"still here")
                assert await other.receive_some() in b"still here"
            opener.transport.send(server.id, numbered(1))
            await server.heard.until_messages(1)

        self.stream_test({ECHO: echo, LATER: failing(error)}, check)

    def test_what_is_malformed_costs_the_peer_its_connection(self) -> None:
        async def check(opener: Node, server: Node) -> None:
            async with opener.open(server, ECHO) as (_, stream):
                await stream.send_all(b"\xff")
                with pytest.raises(PeerGone):
                    await whole(stream)
            await server.watcher.until("came", "went")
            await opener.watcher.until("came", "went")
            assert server.heard.comings() == ["joined", "left"]
            assert opener.id not in server.transport.neighbours

        self.stream_test({ECHO: failing(MalformedMessage("rubbish"))}, check)

    def test_more_streams_at_once_than_are_answered_wait_for_their_turn_and_lose_nothing(self) -> None:
        async def check(opener: Node, server: Node) -> None:
            async with trio.open_nursery() as nursery:

                async def held(*, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
                    with trio.CancelScope() as scope:
                        async with opener.open(server, ECHO) as (_, stream):
                            await stream.send_all(b"x")
                            await stream.receive_some()
                            task_status.started(scope)
                            await trio.sleep_forever()

                scopes = [await nursery.start(held) for _ in range(limits.PROTOCOL_STREAMS_PER_PEER)]
                async with opener.open(server, ECHO) as (_, stream):
                    await stream.send_all(b"patience")
                    await stream.send_eof()
                    with trio.move_on_after(1.0) as waited:
                        await stream.receive_some()
                    assert waited.cancelled_caught
                    scopes[0].cancel()
                    assert await whole(stream) == b"patience"
                nursery.cancel_scope.cancel()

        self.stream_test({ECHO: echo}, check)
