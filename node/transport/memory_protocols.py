"""Other protocols on the memory network. Implements ``base.Protocols``.

Lives here: who opens and answers streams, and guests: connections of two nodes that have no session. Does not live
here: streams (``memory_streams``), sessions and messages (``memory``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from node import limits
from node.errors import MalformedMessage, NodeError, NotSpoken, PeerGone
from node.model import PeerId
from node.transport.address import Address, parse
from node.transport.base import Answer, ByteStream, Neighbourhood
from node.transport.memory_agenda import Agenda
from node.transport.memory_streams import Connection, MemoryStream
from node.transport.neighbours import Neighbours, stay

if TYPE_CHECKING:
    from node.transport.memory import Network


class MemoryProtocols:
    """The part of a node that is not about its own protocol."""

    def __init__(self, network: Network, address: Address) -> None:
        self.network = network
        self.address = address
        self.agenda = Agenda()
        self.answers: dict[str, Answer] = {}
        self._asked: deque[tuple[Connection, PeerId, str, MemoryStream]] = deque()
        self._neighbours: Neighbours[Connection] = Neighbours()

    @property
    def local_id(self) -> PeerId:
        """See Transport."""
        return self.address.peer

    @property
    def neighbours(self) -> tuple[PeerId, ...]:
        """See Protocols."""
        return self._neighbours.ids

    def serve(self, protocol: str, answer: Answer) -> None:
        """See Protocols."""
        assert protocol not in self.answers, protocol
        self.answers[protocol] = answer

    def watch(self, neighbourhood: Neighbourhood) -> None:
        """See Protocols."""
        self._neighbours.watch(neighbourhood)

    @asynccontextmanager
    async def open(self, peer: PeerId, protocols: Sequence[str]) -> AsyncIterator[tuple[str, ByteStream]]:
        """See Protocols."""
        connection = self._neighbours.get(peer)
        if connection is None:
            raise PeerGone("there is no connection to this peer")
        await trio.sleep(self.network.delay_s())
        there = connection.nodes[peer]
        spoken = [protocol for protocol in protocols if protocol in there.answers]
        if connection.over:
            raise PeerGone("the connection broke")
        if not spoken:
            raise NotSpoken("the peer speaks none of " + ", ".join(protocols))
        here, far = connection.pair(self.network)
        there.ask(connection, self.local_id, spoken[0], far)
        try:
            yield spoken[0], here
        finally:
            with trio.CancelScope(shield=True):
                await here.aclose()

    async def connect(self, address: str) -> PeerId:
        """See Protocols."""
        await trio.lowlevel.checkpoint()
        target = self.target(address)
        if self._neighbours.get(target.peer) is None:
            await self.network.travel(self.local_id, target)
            if self.network.connection(self.local_id, target.peer) is None:
                self.network.introduce(self.local_id, target.peer)
            self.notice(target.peer)
        return target.peer

    async def keep(self, address: str) -> None:
        """See Protocols."""
        await stay(self.connect, self._neighbours, address)

    def target(self, address: str) -> Address:
        """Whom to dial. Raises PeerGone for what is no address, and for our own."""
        try:
            target = parse(address)
        except ValueError as error:
            raise PeerGone(str(error)) from error
        if target.peer == self.local_id:
            raise PeerGone("this address is our own")
        return target

    def ask(self, connection: Connection, peer: PeerId, protocol: str, stream: MemoryStream) -> None:
        """A neighbour has opened a stream."""
        self._asked.append((connection, peer, protocol, stream))
        self.agenda.put(trio.current_time(), lambda: None)

    def notice(self, peer: PeerId) -> None:
        """The connection to that peer may be another one by now."""
        self._neighbours.put(peer, self.network.connection(self.local_id, peer))

    def answer_all(self, tasks: trio.Nursery) -> None:
        """Begin to answer the streams that were opened."""
        while self._asked:
            connection, peer, protocol, stream = self._asked.popleft()
            if connection.over:
                stream.reset()
            else:
                tasks.start_soon(self._answer, connection, peer, protocol, stream)

    async def _answer(self, connection: Connection, peer: PeerId, protocol: str, stream: MemoryStream) -> None:
        turns = connection.turns[self.local_id]

        async def in_turn() -> None:
            with trio.move_on_after(limits.PROTOCOL_STALL_S) as waiting:
                await turns.acquire()
            if not waiting.cancelled_caught:
                try:
                    await self._answered(peer, protocol, stream)
                finally:
                    turns.release()

        try:
            await connection.while_it_lasts(in_turn)
        finally:
            stream.reset_unless_ended()

    async def _answered(self, peer: PeerId, protocol: str, stream: MemoryStream) -> None:
        try:
            await self.answers[protocol](peer, protocol, stream)
            await stream.send_eof()
        except MalformedMessage:
            self.network.part(self.local_id, peer)
        except NodeError:
            stream.reset()
