"""Nodes that exchange blocks on a memory network, and neighbours of them that a test speaks for.

Lives here: making them. Does not live here: what is tested with them.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio
from contract.transports import Recorder, identity
from trio.testing import MockClock

from node import limits
from node.ambient import Ambient, inline
from node.model import PeerId
from node.storage.ipfs.bitswap import wire
from node.storage.ipfs.bitswap.wire import Message
from node.storage.ipfs.cid import Cid
from node.storage.ipfs.embedded import Embedded
from node.transport.base import ByteStream
from node.transport.memory import Faults, MemoryTransport, Network

HANG_S = 10_000.0  # virtual


@dataclass(frozen=True)
class Swapper:
    """A node of ours."""

    transport: MemoryTransport
    blocks: Embedded
    scope: trio.CancelScope

    @property
    def id(self) -> PeerId:
        return self.transport.local_id

    async def fetched(self, *cids: Cid) -> list[bytes]:
        """Blocks, as a reader of one DAG gets them."""
        async with self.blocks.session(cids[0]) as session:
            session.want(cids[1:])
            return [await session.get(cid) for cid in cids]


@dataclass
class Stranger:
    """A neighbour whose every word a test chooses. ``heard``: messages to it; ``on_message`` may answer them."""

    transport: MemoryTransport
    protocol: str = wire.V120
    heard: list[Message] = field(default_factory=list)
    on_message: Callable[[PeerId, Message], Awaitable[None]] | None = None
    changed: trio.Event = field(default_factory=trio.Event)

    @property
    def id(self) -> PeerId:
        return self.transport.local_id

    async def says(self, peer: PeerId, *messages: Message) -> None:
        """On a stream of its own, which ends."""
        await self.says_bytes(peer, b"".join(wire.encode(message, self.protocol) for message in messages))

    async def says_bytes(self, peer: PeerId, data: bytes) -> None:
        async with self.transport.open(peer, [self.protocol]) as (_, stream):
            await stream.send_all(data)
            await stream.send_eof()

    async def until(self, holds: Callable[[list[Message]], bool]) -> None:
        """Wait until what was heard is so."""
        while not holds(self.heard):
            self.changed = trio.Event()
            await self.changed.wait()

    async def listen(self, peer: PeerId, protocol: str, stream: ByteStream) -> None:
        frames = wire.Frames(limits.BITSWAP_MESSAGE_BYTES_MAX)
        while data := await stream.receive_some():
            frames.feed(data)
            while (body := frames.next()) is not None:
                message = wire.decode(body)
                self.heard.append(message)
                self.changed.set()
                if self.on_message is not None:
                    await self.on_message(peer, message)

    @property
    def wants(self) -> list[wire.Want]:
        return [want for message in self.heard for want in message.wants]

    @property
    def told(self) -> dict[bytes, bool]:
        return {known.cid: known.has for message in self.heard for known in message.presences}

    @property
    def blocks(self) -> list[bytes]:
        return [block.data for message in self.heard for block in message.blocks]


@dataclass
class Pond:
    """A memory network, and who swims in it."""

    folder: Path
    nursery: trio.Nursery
    network: Network

    async def node(
        self,
        number: int,
        bytes_max: int = limits.GiB,
        pinned_s: float = math.inf,
        missing_s: float = limits.BITSWAP_MISSING_S,
        peers: Sequence[str] = (),
    ) -> Swapper:
        """A node with the blocks that an earlier one of that number had; it dials ``peers``."""
        transport = self.network.join(identity(number).peer_id)
        ambient = Ambient(now=trio.current_time, offload=inline)
        blocks = Embedded(transport, self.folder / f"node{number}", bytes_max, ambient, pinned_s, missing_s)
        scope = trio.CancelScope()

        async def life() -> None:
            with scope:
                await blocks.run(peers)

        self.nursery.start_soon(life)
        await self.nursery.start(transport.run, Recorder())
        return Swapper(transport, blocks, scope)

    async def stranger(self, number: int, protocol: str = wire.V120) -> Stranger:
        stranger = Stranger(self.network.join(identity(number).peer_id), protocol)
        stranger.transport.serve(protocol, stranger.listen)
        await self.nursery.start(stranger.transport.run, Recorder())
        return stranger

    async def connect(self, one: Swapper | Stranger, other: Swapper | Stranger) -> None:
        """Until both know."""
        await one.transport.connect(other.transport.addresses[0])
        await other.transport.connect(one.transport.addresses[0])


@asynccontextmanager
async def pond(folder: Path, faults: Faults | None = None) -> AsyncIterator[Pond]:
    """Everybody's life."""
    async with trio.open_nursery() as nursery:
        with trio.fail_after(HANG_S):
            yield Pond(folder, nursery, Network(Random(1), faults))
        nursery.cancel_scope.cancel()


def swim(test: Callable[[Pond], Awaitable[None]], folder: Path, faults: Faults | None = None) -> None:
    """Run a test in virtual time."""

    async def main() -> None:
        async with pond(folder, faults) as where:
            await test(where)

    trio.run(main, clock=MockClock(autojump_threshold=0))
