"""Streams of other protocols over real connections: bulk beside messages, far ends that stop talking or listening."""

from __future__ import annotations

import pytest
import trio
from contract.protocol_streams import DEAF, ECHO, Node, acquainted, deaf, nodes
from contract.transports import World, identity, numbered

from node import limits
from node.errors import PeerGone
from node.model import PeerId
from node.transport.base import ByteStream, Transport
from node.transport.libp2p.link import Timing
from node.transport.libp2p.transport import Libp2pTransport

BULK_BYTES = 128 * limits.MiB


class Sockets:
    """Nodes on loopback, of one timing."""

    stall_s = limits.BLOB_STALL_S

    def __init__(self, timing: Timing) -> None:
        self._timing = timing

    def transport(self, number: int) -> Transport:
        return Libp2pTransport(identity(number), "127.0.0.1", 0, self._timing)

    async def break_connection(self, one: Transport, other: Transport) -> None:
        raise NotImplementedError


def impatient(**times: float) -> World:
    return Sockets(Timing(**times))


async def give(peer: PeerId, protocol: str, stream: ByteStream) -> None:
    for _ in range(BULK_BYTES // limits.MiB):
        await stream.send_all(bytes(limits.MiB))


def test_messages_arrive_while_bulk_goes_both_ways() -> None:
    async def main() -> None:
        async with nodes(impatient(), {ECHO: give}, {ECHO: give}) as (one, other):
            await acquainted(one, other)
            got = 0

            async def take(here: Node, there: Node) -> None:
                nonlocal got
                async with here.open(there, ECHO) as (_, stream):
                    while data := await stream.receive_some():
                        got += len(data)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(take, one, other)
                nursery.start_soon(take, other, one)
                for number in range(10):
                    one.transport.send(other.id, numbered(number))
                    await other.heard.until_messages(number + 1)
                assert got < 2 * BULK_BYTES, "the messages waited for all of it"
            assert got == 2 * BULK_BYTES
            assert one.heard.comings() == other.heard.comings() == ["joined"]

    trio.run(main)


def test_a_far_end_that_takes_nothing_loses_the_stream_and_not_the_session() -> None:
    async def main() -> None:
        async with nodes(impatient(protocol_stall_s=0.3), {}, {DEAF: deaf}) as (one, other):
            await acquainted(one, other)
            async with one.open(other, DEAF) as (_, stream):
                with pytest.raises(PeerGone, match=r"0\.3 s"):
                    await stream.send_all(bytes(8 * limits.MiB))
            assert one.transport.peers == (other.id,)

    trio.run(main)


def test_a_far_end_that_says_nothing_loses_the_stream_and_not_the_session() -> None:
    async def main() -> None:
        async with nodes(impatient(protocol_idle_s=0.3), {}, {DEAF: deaf}) as (one, other):
            await acquainted(one, other)
            async with one.open(other, DEAF) as (_, stream):
                with pytest.raises(PeerGone, match=r"0\.3 s"):
                    await stream.receive_some()
            assert one.transport.peers == (other.id,)

    trio.run(main)


def test_a_far_end_that_never_ends_its_way_does_not_keep_who_closes() -> None:
    async def main() -> None:
        async with nodes(impatient(protocol_close_s=0.3), {}, {DEAF: deaf}) as (one, other):
            await acquainted(one, other)
            with trio.fail_after(10):
                async with one.open(other, DEAF) as (_, stream):
                    await stream.send_eof()
            assert one.transport.peers == (other.id,)

    trio.run(main)


def test_many_streams_at_once_on_both_ends_all_arrive() -> None:
    async def echo_all(peer: PeerId, protocol: str, stream: ByteStream) -> None:
        while data := await stream.receive_some():
            await stream.send_all(data)

    async def main() -> None:
        async with nodes(impatient(), {ECHO: echo_all}, {ECHO: echo_all}) as (one, other):
            await acquainted(one, other)

            async def say(here: Node, there: Node) -> None:
                async with here.open(there, ECHO) as (_, stream), trio.open_nursery() as nursery:
                    nursery.start_soon(stream.send_all, bytes(limits.MiB))
                    got = 0
                    while got < limits.MiB:
                        got += len(await stream.receive_some())

            async with trio.open_nursery() as nursery:
                for _ in range(limits.PROTOCOL_STREAMS_PER_PEER):
                    nursery.start_soon(say, one, other)
                    nursery.start_soon(say, other, one)

    trio.run(main)
