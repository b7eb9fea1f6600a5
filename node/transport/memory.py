"""A whole network inside one process: the transport of the simulator, with faults on demand.

It keeps the contract of ``base.Transport`` and is as nasty as the contract allows: messages are late, connections
break and are resumed, sessions are lost, blobs break off. Everything runs in the event loop of the caller (no threads),
every draw comes from one ``Random``, so a seed and a virtual clock reproduce a run.

Lives here: nodes, sessions between them, time of delivery. Does not live here: blob streams (``memory_blobs``), other
protocols (``memory_protocols``), scenarios (``tests/sim``).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from random import Random

import trio

from node import limits
from node.errors import PeerGone
from node.messages import BlobRequest, Message, decode, encode
from node.model import PeerId
from node.transport.address import Address
from node.transport.base import Blob, Receiver
from node.transport.memory_blobs import fetched
from node.transport.memory_protocols import MemoryProtocols
from node.transport.memory_session import Faults, Session, Way
from node.transport.memory_streams import Connection

_PORT = 4001


class Network:
    """The air between nodes."""

    def __init__(self, random: Random, faults: Faults | None = None) -> None:
        self.random = random
        self.faults = faults or Faults()
        self.trace: list[tuple[float, PeerId, PeerId, str]] = []  # (delivered at, sender, receiver, message type)
        self.online: dict[PeerId, MemoryTransport] = {}
        self._hosts: dict[PeerId, str] = {}
        self._sessions: dict[frozenset[PeerId], Session] = {}
        self._guests: dict[frozenset[PeerId], Connection] = {}
        self._island: frozenset[PeerId] = frozenset()
        self._cut: set[PeerId] = set()

    def join(self, peer: PeerId) -> MemoryTransport:
        """A transport for ``peer``; it is on the network while its ``run`` runs. A restart joins again."""
        number = len(self._hosts) + 1
        host = self._hosts.setdefault(peer, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        return MemoryTransport(self, Address("ip4", host, _PORT, peer))

    def cut(self, peer: PeerId) -> None:
        """Pull the plug of a node: its sessions end unless ``heal`` comes within ``limits.PEER_REJOIN_S``."""
        self._cut.add(peer)
        self._hold()

    def partition(self, island: Collection[PeerId]) -> None:
        """Nobody on the island and nobody off it hear each other, until ``heal``."""
        self._island = frozenset(island)
        self._hold()

    def heal(self) -> None:
        """Undo every ``cut`` and ``partition``; sessions that still stand are resumed."""
        self._cut.clear()
        self._island = frozenset()
        for session in tuple(self._sessions.values()):
            if self._stands(session):
                self._resume(session, trio.current_time())
            else:
                self._end(session)

    def break_connection(self, one: PeerId, other: PeerId, *, for_s: float = 1.0) -> None:
        """Break the connection of two nodes. A session is resumed, and loses nothing, if that is soon enough."""
        self._end_guest(frozenset((one, other)))
        session = self.session(one, other)
        if session is not None:
            self._break(session, for_s)

    def lose(self, one: PeerId, other: PeerId) -> None:
        """End a session: both hear ``left``, what was under way is lost."""
        session = self.session(one, other)
        if session is not None:
            self._end(session)

    def session(self, one: PeerId, other: PeerId) -> Session | None:
        """The session of two nodes, if there is one."""
        return self._sessions.get(frozenset((one, other)))

    def connected(self, one: PeerId, other: PeerId) -> bool:
        """Whether bytes pass between two nodes at this moment."""
        session = self.session(one, other)
        return session is not None and session.resumes_at <= trio.current_time() and self.reachable(one, other)

    def reachable(self, one: PeerId, other: PeerId) -> bool:
        """Whether no cut and no partition is between them."""
        return not {one, other} & self._cut and (one in self._island) == (other in self._island)

    def delay_s(self) -> float:
        """How long something takes from one node to another."""
        return self.random.uniform(self.faults.delay_s_min, self.faults.delay_s_max)

    def happens(self, chance: float) -> bool:
        """Whether a fault strikes."""
        return chance > 0 and self.random.random() < chance

    def connection(self, one: PeerId, other: PeerId) -> Connection | None:
        """What carries streams between two nodes at this moment."""
        session = self.session(one, other)
        if session is not None and self.connected(one, other):
            return session.connection
        return self._guests.get(frozenset((one, other)))

    async def travel(self, one: PeerId, target: Address) -> MemoryTransport:
        """Reach who listens at an address. Raises PeerGone."""
        await trio.sleep(self.delay_s())
        if not self.reachable(one, target.peer):
            await trio.sleep(limits.DIAL_S)
            raise PeerGone("no answer")
        there = self.online.get(target.peer)
        if there is None or target.text not in there.addresses:
            raise PeerGone("nobody listens there")
        return there

    def introduce(self, one: PeerId, other: PeerId) -> None:
        """Connect two nodes without a session: each is the other's guest. Raises PeerGone for too many."""
        nodes = {peer: self.online[peer] for peer in (one, other)}
        for peer in nodes:
            if sum(peer in ends for ends in self._guests) >= limits.GUESTS_MAX:
                raise PeerGone("too many guests")
        self._guests[frozenset(nodes)] = Connection(nodes)
        self._notice(nodes)

    def part(self, one: PeerId, other: PeerId) -> None:
        """End whatever connects two nodes."""
        self.lose(one, other)
        self._end_guest(frozenset((one, other)))

    def connect(self, one: PeerId, other: PeerId) -> None:
        """Connect two nodes that are online: resume their session, or begin one; each is told."""
        self._end_guest(frozenset((one, other)))
        session = self.session(one, other)
        if session is not None and self._stands(session):
            self._resume(session, trio.current_time())
            return
        if session is not None:
            self._end(session)
        session = self._sessions[frozenset((one, other))] = Session(self.online[one], self.online[other])
        for node in session.nodes.values():
            node.hear_joined(session)
        self._notice(session.nodes)

    def leave(self, peer: PeerId) -> None:
        """A node has gone off the network. One that was ``cut`` says no goodbye: the others notice in time."""
        self.online.pop(peer, None)
        if peer not in self._cut:
            for session in [session for session in self._sessions.values() if peer in session.ends]:
                self._end(session)
        for ends in [ends for ends in self._guests if peer in ends]:
            self._end_guest(ends)

    def carry(self, sender: PeerId, session: Session, message: Message) -> None:
        """Send one message on its way."""
        frame = encode(message)
        way = session.ways[sender]
        way.flying_bytes += len(frame)
        if len(way.frames) >= limits.OUTBOX_FRAMES_MAX or way.flying_bytes > limits.OUTBOX_BYTES_MAX:
            self._end(session)
            return
        after = way.frames[-1][0] if way.frames else -math.inf
        way.frames.append((max(after, trio.current_time() + self.delay_s()), frame))
        self._schedule(session, way)
        if self.happens(self.faults.loses):
            self._end(session)
        elif self.happens(self.faults.breaks):
            self._break(session, self.random.uniform(0.0, limits.PEER_REJOIN_S / 2))

    def _hold(self) -> None:
        for session in self._sessions.values():
            if not self.reachable(*session.ends):
                self._break(session, math.inf)
        for ends in [ends for ends in self._guests if not self.reachable(*ends)]:
            self._end_guest(ends)

    def _end_guest(self, ends: frozenset[PeerId]) -> None:
        connection = self._guests.pop(ends, None)
        if connection is not None:
            connection.end()
            self._notice(connection.nodes)

    def _notice(self, nodes: dict[PeerId, MemoryTransport], at: float = -math.inf) -> None:
        """Have both nodes see how they are connected, now or later."""
        for node, other in zip(nodes.values(), reversed(nodes), strict=True):
            node.agenda.put(max(at, trio.current_time()), functools.partial(node.notice, other))

    def _break(self, session: Session, for_s: float) -> None:
        now = trio.current_time()
        session.resumes_at = max(session.resumes_at, now + for_s)
        session.connection.end()
        session.connection = Connection(session.nodes)
        self._notice(session.nodes)
        if for_s > limits.PEER_REJOIN_S:
            for node in session.nodes.values():
                node.agenda.put(now + limits.PEER_REJOIN_S, lambda: self._give_up(session))
        else:
            self._resume(session, session.resumes_at)

    def _resume(self, session: Session, at: float) -> None:
        session.resumes_at = at
        self._notice(session.nodes, at)
        for way in session.ways.values():
            self._schedule(session, way)

    def _give_up(self, session: Session) -> None:
        if session.alive and session.resumes_at > trio.current_time():
            self._end(session)

    def _end(self, session: Session) -> None:
        if session.alive:
            session.alive = False
            del self._sessions[frozenset(session.ends)]
            session.connection.end()
            self._notice(session.nodes)
            for node in session.nodes.values():
                node.hear_left(session)

    def _stands(self, session: Session) -> bool:
        return all(self.online.get(peer) is node for peer, node in session.nodes.items())

    def _schedule(self, session: Session, way: Way) -> None:
        if way.frames and session.resumes_at < math.inf:
            due = max(way.frames[0][0], session.resumes_at)
            session.nodes[way.to].agenda.put(due, lambda: self._pump(session, way))

    def _pump(self, session: Session, way: Way) -> None:
        now = trio.current_time()
        while session.alive and session.resumes_at <= now and way.frames and way.frames[0][0] <= now:
            _, frame = way.frames.popleft()
            way.flying_bytes -= len(frame)
            sender, message = session.other(way.to), decode(frame)
            self.trace.append((now, sender, way.to, type(message).__name__))
            session.nodes[way.to].receiver.received(sender, message)
        if session.alive:
            self._schedule(session, way)


class MemoryTransport(MemoryProtocols):
    """One node's end of a Network. Implements ``base.Transport`` and ``base.Protocols``."""

    receiver: Receiver

    def __init__(self, network: Network, address: Address) -> None:
        super().__init__(network, address)
        self.serving: dict[PeerId, int] = {}  # blobs under way, by who asked
        self._sessions: dict[PeerId, Session] = {}  # as ``receiver`` has heard
        self._joins: dict[PeerId, trio.Event] = {}

    @property
    def addresses(self) -> tuple[str, ...]:
        """See Transport."""
        return (self.address.text,)

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """See Transport."""
        return tuple(sorted(self._sessions))

    async def run(self, receiver: Receiver, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See Transport. One task performs everything that reaches this node, in order of time."""
        assert self.local_id not in self.network.online, "this node runs already"
        self.receiver = receiver
        self.network.online[self.local_id] = self
        task_status.started()
        try:
            async with trio.open_nursery() as answering:
                while True:
                    self.agenda.perform()
                    self.answer_all(answering)
                    await self.agenda.due()
        finally:
            self.network.leave(self.local_id)

    def send(self, to: PeerId, message: Message) -> None:
        """See Transport."""
        session = self._sessions.get(to)
        if to == self.local_id:
            frame = encode(message)
            self.agenda.put(trio.current_time(), lambda: self.receiver.received(to, decode(frame)))
        elif session is not None and session.alive:
            self.network.carry(self.local_id, session, message)

    async def dial(self, address: str) -> PeerId:
        """See Transport."""
        await trio.lowlevel.checkpoint()
        target = self.target(address)
        if not self._joined(target.peer):
            await self._connect(target)
        return target.peer

    def fetch(self, peer: PeerId, request: BlobRequest) -> AbstractAsyncContextManager[Blob]:
        """See Transport."""
        return fetched(self, peer, request)

    def hear_joined(self, session: Session) -> None:
        """A session has begun."""
        peer = session.other(self.local_id)
        addresses = session.nodes[peer].addresses
        self._joins[peer] = joined = trio.Event()

        def tell() -> None:
            self._sessions[peer] = session
            self.receiver.joined(peer, addresses)
            joined.set()

        self.agenda.put(trio.current_time(), tell)

    def hear_left(self, session: Session) -> None:
        """A session has ended."""
        peer = session.other(self.local_id)

        def tell() -> None:
            del self._sessions[peer]
            self.receiver.left(peer)

        self.agenda.put(trio.current_time(), tell)

    def _joined(self, peer: PeerId) -> bool:
        return peer in self._sessions and self.network.connected(self.local_id, peer)

    async def _connect(self, target: Address) -> None:
        there = await self.network.travel(self.local_id, target)
        if not self.network.connected(self.local_id, target.peer):
            if limits.PEERS_MAX in (len(self.peers), len(there.peers)):
                raise PeerGone("too many peers")
            self.network.connect(self.local_id, target.peer)
        await self._joins[target.peer].wait()
