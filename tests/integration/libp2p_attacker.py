"""Hostile far ends for the attack tests: from a bare socket to a peer with a session that says what it likes."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import trio
from contract.transports import Party, Recorder, identity, start

from node.errors import PeerGone
from node.identity import Identity
from node.messages import Hello
from node.transport.address import parse
from node.transport.base import Answer
from node.transport.libp2p import wire
from node.transport.libp2p.hardening import Exact, contained
from node.transport.libp2p.link import Timing
from node.transport.libp2p.muxing import Muxer, Stream
from node.transport.libp2p.transport import Libp2pTransport
from node.transport.libp2p.upgrade import Upgrader, open_stream

HANG_S = 60.0
QUICK = Timing(dial_s=2.0, rejoin_s=1.0, keepalive_s=0.1, silent_s=0.5, offender_s=0.3, blob_stall_s=0.5)
SLOW = Timing(dial_s=2.0, rejoin_s=1.0)
YAMUX = struct.Struct("!BBHII")
DATA, WINDOW, PING = 0, 1, 2
SYN, ACK = 1, 2
ATTACKER = 666
PING_PROTOCOL = "/ipfs/ping/1.0.0"


@asynccontextmanager
async def victim(
    timing: Timing = SLOW, heard: Recorder | None = None, answers: Mapping[str, Answer] | None = None
) -> AsyncIterator[Party]:
    """The node under attack; at the end an honest stranger must still be able to join it and talk to it."""
    async with trio.open_nursery() as nursery:
        with trio.fail_after(HANG_S):
            transport = Libp2pTransport(identity(1), "127.0.0.1", 0, timing)
            for protocol, answer in (answers or {}).items():
                transport.serve(protocol, answer)
            party = await start(nursery, transport, heard or Recorder())
            yield party
            await serves_honest_peers(party)
        nursery.cancel_scope.cancel()


async def serves_honest_peers(party: Party, number: int = 2) -> None:
    """Join, and be heard."""
    async with trio.open_nursery() as nursery:
        honest = await start(nursery, Libp2pTransport(identity(number), "127.0.0.1", 0), Recorder())
        assert await honest.transport.dial(party.address) == party.id
        await party.heard.until(lambda me: honest.id in party.transport.peers)
        nursery.cancel_scope.cancel()
    await party.heard.until(lambda me: honest.id not in party.transport.peers)


async def connect(party: Party) -> trio.SocketStream:
    """A bare socket to a node."""
    address = parse(party.address)
    return await trio.open_tcp_stream(address.host, address.port)


async def ended(socket: trio.SocketStream) -> bytes:
    """Everything the node says until it closes the connection."""
    said = b""
    try:
        while data := await socket.receive_some(65536):
            said += data
    except trio.BrokenResourceError:
        pass
    return said


@asynccontextmanager
async def authenticated(party: Party, who: Identity | None = None) -> AsyncIterator[Muxer]:
    """A connection that has proved who it is, and whose Yamux frames are written by hand (``muxer.secured_conn``)."""
    socket = await connect(party)
    async with socket:
        yield await Upgrader(who or identity(ATTACKER)).outbound(socket, party.id)


async def throw(muxer: Muxer, data: bytes) -> bool:
    """Write raw bytes into an authenticated connection; whether it still took them."""
    try:
        with contained("attacking"):
            await muxer.secured_conn.write(data)
    except PeerGone:
        return False
    return True


async def over(muxer: Muxer) -> None:
    """Read until the node has closed the connection."""
    try:
        with contained("attacking"):
            while True:
                await muxer.secured_conn.read(12)
    except PeerGone:
        return


class Impostor:
    """A peer with a session, whose frames are written by hand."""

    def __init__(self, muxer: Muxer, stream: Stream, reader: Exact) -> None:
        self.muxer = muxer
        self.stream = stream
        self._reader = reader
        self.pumping = trio.CancelScope()  # cancelled, it reads nothing more from its socket
        self._bodies = wire.Bodies(2**22)

    async def body(self) -> bytes:
        """The next body that the node sends."""
        while (body := self._bodies.next()) is None:
            data = await self._reader.some()
            assert data, "the node has ended the stream"
            self._bodies.feed(data)
        return body

    async def say(self, number: int, payload: bytes, acknowledged: int = 0) -> None:
        """Send a data frame."""
        await self.stream.write(wire.frame_head(wire.DATA, number, acknowledged, len(payload)) + payload)

    async def thrown_out(self) -> None:
        """Wait until the node has closed the connection."""
        await self.muxer.event_closed.wait()


@asynccontextmanager
async def impostor(
    party: Party, who: Identity | None = None, opening: wire.Opening | None = None
) -> AsyncIterator[Impostor]:
    """Join a node, honestly so far. The identity decides who opens first, as among honest nodes."""
    me = who or identity(ATTACKER)
    async with authenticated(party, me) as muxer, trio.open_nursery() as nursery:
        pumping = trio.CancelScope()

        async def pump() -> None:
            with pumping, contained("attacking"):
                await muxer.start()

        nursery.start_soon(pump)
        await muxer.event_started.wait()
        stream, reader = await open_stream(muxer, wire.CONTROL)
        fake = Impostor(muxer, stream, reader)
        fake.pumping = pumping
        await _greet(fake, me.peer_id > party.id, opening)
        await party.heard.until(lambda heard: me.peer_id in party.transport.peers)
        yield fake
        nursery.cancel_scope.cancel()


async def _greet(fake: Impostor, opens: bool, opening: wire.Opening | None) -> None:
    hello = Hello(agent="evil/1", addresses=())
    ours = opening or wire.Opening(nonce=b"e" * 16, known=None, received=0, hello=hello)
    if opens:
        await fake.stream.write(wire.encode_opening(ours))
        wire.decode_opening(await fake.body())
    else:
        wire.decode_opening(await fake.body())
        await fake.stream.write(wire.encode_opening(ours))


@asynccontextmanager
async def guest(party: Party, who: Identity | None = None) -> AsyncIterator[Muxer]:
    """A connection that never opens our control stream, and says so by a ping."""
    async with authenticated(party, who) as muxer, trio.open_nursery() as nursery:

        async def pump() -> None:
            with contained("attacking"):
                await muxer.start()

        nursery.start_soon(pump)
        await muxer.event_started.wait()
        await pinged(muxer)
        yield muxer
        nursery.cancel_scope.cancel()


async def pinged(muxer: Muxer) -> None:
    """One ping on a stream of its own. Raises PeerGone."""
    stream, reader = await open_stream(muxer, PING_PROTOCOL)
    with contained("attacking"):
        await stream.write(bytes(32))
        assert await reader.read(32) == bytes(32)
        await stream.reset()


async def eventually(holds: Callable[[], object]) -> None:
    """Wait for what the node does by and by."""
    with trio.fail_after(HANG_S):
        while True:
            if holds():
                return
            await trio.sleep(0.01)
