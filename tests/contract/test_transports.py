"""Both transports keep the contract: libp2p over loopback sockets, memory in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import trio
from contract.blob_streams import BlobContract
from contract.guests import GuestContract
from contract.protocol_streams import Both, StreamContract
from contract.transports import SessionContract, World, identity
from trio.testing import MockClock

from node import limits
from node.transport.base import Transport
from node.transport.libp2p.link import Timing
from node.transport.libp2p.transport import Libp2pTransport
from node.transport.memory import Faults, MemoryTransport, Network

if TYPE_CHECKING:
    _memory: type[Both] = MemoryTransport
    _libp2p: type[Both] = Libp2pTransport


class MemoryWorld:
    """A network in bad weather."""

    stall_s = limits.BLOB_STALL_S

    def __init__(self, faults: Faults) -> None:
        self.network = Network(Random(1), faults)

    def transport(self, number: int) -> Transport:
        return self.network.join(identity(number).peer_id)

    async def break_connection(self, one: Transport, other: Transport) -> None:
        self.network.break_connection(one.local_id, other.local_id)
        await trio.lowlevel.checkpoint()


class InVirtualTime:
    """How the memory transport's tests run."""

    def run(self, main: Callable[[], Any]) -> None:
        trio.run(main, clock=MockClock(autojump_threshold=0))


class TestMemorySessions(InVirtualTime, SessionContract):
    """The simulator's network."""

    def world(self) -> World:
        return MemoryWorld(Faults())


class TestMemorySessionsInBadWeather(InVirtualTime, SessionContract):
    """The same while connections break all the time."""

    def world(self) -> World:
        return MemoryWorld(Faults(breaks=0.02, delay_s_max=0.5))


class TestMemoryBlobs(InVirtualTime, BlobContract):
    """The simulator's blob streams."""

    def world(self) -> World:
        return MemoryWorld(Faults())


class TestMemoryStreams(InVirtualTime, StreamContract):
    """Other protocols on the simulator's network."""

    def world(self) -> World:
        return MemoryWorld(Faults())


class TestMemoryGuests(InVirtualTime, GuestContract):
    """Guests on the simulator's network."""

    def world(self) -> World:
        return MemoryWorld(Faults())


class Libp2pWorld:
    """Sockets on loopback; what takes long is shortened."""

    timing = Timing(blob_stall_s=1.0, rejoin_s=5.0)
    stall_s = timing.blob_stall_s

    def transport(self, number: int) -> Transport:
        return Libp2pTransport(identity(number), "127.0.0.1", 0, self.timing)

    async def break_connection(self, one: Transport, other: Transport) -> None:
        """Reset the socket, as a router that forgets does."""
        assert isinstance(one, Libp2pTransport)
        link = one._guests.neighbours.get(other.local_id)
        if link is not None:
            await link.muxer.secured_conn.close()


class InRealTime:
    """How the libp2p transport's tests run."""

    def run(self, main: Callable[[], Any]) -> None:
        trio.run(main)

    def world(self) -> World:
        return Libp2pWorld()


class TestLibp2pSessions(InRealTime, SessionContract):
    """Real sockets, Noise and Yamux."""


class TestLibp2pBlobs(InRealTime, BlobContract):
    """The same for blob streams."""


class TestLibp2pStreams(InRealTime, StreamContract):
    """The same for streams of other protocols."""


class TestLibp2pGuests(InRealTime, GuestContract):
    """The same for guests."""
