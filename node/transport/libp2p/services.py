"""What is answered on streams that are not of our own protocols: identify, ping, and what others in this node serve.

Lives here: which protocols there are, and the two that every libp2p node is expected to answer. Does not live here: how
a stream works (``streams``), bitswap (``node.storage.ipfs``).
"""

from __future__ import annotations

from typing import Final

import trio

from node import limits
from node.errors import PeerGone
from node.model import PeerId
from node.transport.address import Address
from node.transport.base import Answer, ByteStream
from node.transport.libp2p import identify
from node.transport.libp2p.link import Link
from node.transport.libp2p.session import Bucket
from node.transport.libp2p.wire import BLOB, CONTROL

IDENTIFY: Final = "/ipfs/id/1.0.0"
PING: Final = "/ipfs/ping/1.0.0"

PING_BYTES = 32
PINGS_PER_LINK = 2  # Streams; the specification allows so many.
PINGS_PER_S = 10.0  # On one stream; who sends more waits.
PINGS_AT_ONCE = 20.0


class Services:
    """The protocols of a node."""

    def __init__(self, local_id: PeerId, agent: str) -> None:
        self.addresses: tuple[Address, ...] = ()
        self._local_id = local_id
        self._agent = agent
        self._answers: dict[str, Answer] = {}

    @property
    def spoken(self) -> tuple[str, ...]:
        """Whoever is connected may ask for these."""
        return (IDENTIFY, PING, *self._answers)

    def add(self, protocol: str, answer: Answer) -> None:
        """Serve one more."""
        assert protocol not in (CONTROL, BLOB, *self.spoken), protocol
        self._answers[protocol] = answer

    async def answer(self, link: Link, protocol: str, stream: ByteStream) -> None:
        """Answer a stream of that connection. Raises what the answers raise."""
        if protocol == IDENTIFY:
            await self._identify(link, stream)
        elif protocol == PING:
            await _echo(link, stream)
        else:
            await self._answers[protocol](link.peer, protocol, stream)

    async def _identify(self, link: Link, stream: ByteStream) -> None:
        near = link.seen.is_loopback
        listen = [address for address in self.addresses if near or not address.is_loopback]
        protocols = (CONTROL, BLOB, *self.spoken)
        listen = listen[: limits.ADDRESSES_PER_PEER_MAX]
        await stream.send_all(identify.encode(identify.Card(self._local_id, self._agent, protocols, listen, link.seen)))


async def _echo(link: Link, stream: ByteStream) -> None:
    if link.pinging >= PINGS_PER_LINK:
        raise PeerGone("too many ping streams")
    link.pinging += 1
    try:
        await _echo_all(stream)
    finally:
        link.pinging -= 1


async def _echo_all(stream: ByteStream) -> None:
    """Answer pings to the end, at their rate at most."""
    pending, bucket = b"", Bucket(PINGS_PER_S, PINGS_AT_ONCE, trio.current_time())
    while data := await stream.receive_some():
        pending += data
        while len(pending) >= PING_BYTES:
            if not bucket.take(trio.current_time()):
                await trio.sleep(1 / PINGS_PER_S)
                bucket.take(trio.current_time())
            await stream.send_all(pending[:PING_BYTES])
            pending = pending[PING_BYTES:]


async def ping(stream: ByteStream) -> None:
    """Ask once. Raises PeerGone."""
    await stream.send_all(bytes(PING_BYTES))
    echoed = 0
    while echoed < PING_BYTES:
        data = await stream.receive_some()
        if not data:
            raise PeerGone("a ping was not answered")
        echoed += len(data)
