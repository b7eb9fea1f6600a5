"""Transport over TCP, Noise and Yamux. Implements ``base.Transport`` and ``base.Protocols``.

Lives here: what the roles call, and what runs while the node does. Does not live here: connections
(``connections``, ``life``), which of them counts (``peering``, ``guests``), the library (``hardening``, ``upgrade``).
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio

from node import limits
from node.errors import PeerGone
from node.identity import Identity
from node.messages import BlobRequest, Hello, Message, decode, encode
from node.model import PeerId
from node.transport.address import Address, parse
from node.transport.base import Answer, Blob, ByteStream, Neighbourhood, Receiver
from node.transport.libp2p.blobs import fetched, own
from node.transport.libp2p.connections import Attempt, Connections
from node.transport.libp2p.guests import Guests
from node.transport.libp2p.hardening import silence
from node.transport.libp2p.life import Node
from node.transport.libp2p.link import Timing
from node.transport.libp2p.listening import addresses_of, listen
from node.transport.libp2p.muxing import install
from node.transport.libp2p.peering import Peering
from node.transport.libp2p.selftest import check
from node.transport.libp2p.services import Services
from node.transport.libp2p.streams import opened
from node.transport.libp2p.upgrade import Upgrader
from node.transport.neighbours import stay

AGENT = "quorate/1"
ATTEMPTS_MAX = 64


class Libp2pTransport:
    """One node on the network. ``swarm_port`` 0 takes a free one."""

    def __init__(self, identity: Identity, host: str, swarm_port: int, timing: Timing | None = None) -> None:
        self._identity = identity
        self._host, self._port = host, swarm_port
        self._timing = timing or Timing()
        self._addresses: tuple[str, ...] = ()
        self._peering = Peering(identity.peer_id, secrets.token_bytes, self._timing.offender_s)
        self._guests = Guests(self._peering, self._timing)
        self._services = Services(identity.peer_id, AGENT)
        self._attempts_in, self._attempts = trio.open_memory_channel[Attempt](ATTEMPTS_MAX)
        self._soon: deque[Callable[[], None]] = deque()
        self._soon_woken = trio.Event()
        self._receiver: Receiver | None = None

    @property
    def local_id(self) -> PeerId:
        """See Transport."""
        return self._identity.peer_id

    @property
    def addresses(self) -> tuple[str, ...]:
        """See Transport. Loopback comes first when we listen on every interface."""
        return self._addresses

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """See Transport."""
        return self._peering.ids

    @property
    def neighbours(self) -> tuple[PeerId, ...]:
        """See Protocols."""
        return self._guests.neighbours.ids

    def serve(self, protocol: str, answer: Answer) -> None:
        """See Protocols."""
        self._services.add(protocol, answer)

    def watch(self, neighbourhood: Neighbourhood) -> None:
        """See Protocols."""
        self._guests.neighbours.watch(neighbourhood)

    async def run(self, receiver: Receiver, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See Transport. Raises OperatorError also for a library that was not hardened for, or a foreign host."""
        install()
        silence()
        await check()
        listeners = await listen(self._host, self._port)
        self._services.addresses = addresses_of(listeners, self.local_id)
        self._addresses = tuple(address.text for address in self._services.addresses)
        self._receiver = receiver
        self._peering.hello = Hello(agent=AGENT, addresses=self._addresses[: limits.ADDRESSES_PER_PEER_MAX])
        self._peering.joined, self._peering.left = receiver.joined, receiver.left
        node = Node(self.local_id, self._peering, self._guests, self._services, receiver, self._timing)
        connections = Connections(node, Upgrader(self._identity), self._attempts)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connections.run, listeners)
                nursery.start_soon(self._keep_alive)
                nursery.start_soon(self._do_soon)
                task_status.started()
        finally:
            self._peering.forget_all()

    def send(self, to: PeerId, message: Message) -> None:
        """See Transport."""
        frame = encode(message)
        peer = self._peering.get(to)
        if to == self.local_id and self._receiver is not None:
            receiver = self._receiver
            self._call_soon(lambda: receiver.received(to, decode(frame)))
        elif peer is not None and peer.session.is_full:
            self._call_soon(lambda: self._peering.drop(peer, "it acknowledges nothing"))
        elif peer is not None:
            peer.session.push(frame)
            if peer.link is not None:
                peer.link.wake()

    async def dial(self, address: str) -> PeerId:
        """See Transport."""
        await trio.lowlevel.checkpoint()
        target = self._target(address)
        self._peering.check(target.peer)
        if not self._peering.is_with_us(target.peer):
            reason = await self._attempt(Attempt(target))
            if not self._peering.is_with_us(target.peer):
                raise PeerGone(reason)
        return target.peer

    async def connect(self, address: str) -> PeerId:
        """See Protocols."""
        await trio.lowlevel.checkpoint()
        target = self._target(address)
        if not self._peering.is_with_us(target.peer) and not self._guests.want(target.peer):
            reason = await self._attempt(Attempt(target, as_guest=True))
            if target.peer not in self.neighbours:
                raise PeerGone(reason)
        return target.peer

    async def keep(self, address: str) -> None:
        """See Protocols."""
        await stay(self.connect, self._guests.neighbours, address)

    @asynccontextmanager
    async def open(self, peer: PeerId, protocols: Sequence[str]) -> AsyncIterator[tuple[str, ByteStream]]:
        """See Protocols."""
        link = self._guests.neighbours.get(peer)
        if link is None:
            raise PeerGone("there is no connection to this peer")
        async with opened(link, protocols, self._timing) as protocol_and_stream:
            yield protocol_and_stream

    @asynccontextmanager
    async def fetch(self, peer: PeerId, request: BlobRequest) -> AsyncIterator[Blob]:
        """See Transport."""
        async with self._asked(peer, request) as blob:
            yield blob

    def _target(self, address: str) -> Address:
        try:
            target = parse(address)
        except ValueError as error:
            raise PeerGone(str(error)) from error
        self._peering.check_name(target.peer)
        if not target.is_dialable:
            raise PeerGone(f"nothing can be reached at {address}")
        return target

    async def _attempt(self, attempt: Attempt) -> str:
        try:
            await self._attempts_in.send(attempt)
            await attempt.done.wait()
        finally:
            attempt.abandon()
        return attempt.reason

    def _asked(self, peer: PeerId, request: BlobRequest) -> AbstractAsyncContextManager[Blob]:
        if peer == self.local_id and self._receiver is not None:
            return own(self._receiver, peer, request)
        known = self._peering.get(peer)
        if known is None or known.link is None:
            raise PeerGone("there is no session with this peer")
        return fetched(known.link, request, self._timing.blob_stall_s)

    def _call_soon(self, call: Callable[[], None]) -> None:
        self._soon.append(call)
        self._soon_woken.set()

    async def _do_soon(self) -> None:
        while True:
            for _ in range(len(self._soon)):
                self._soon.popleft()()
            if not self._soon:
                self._soon_woken = trio.Event()
            await self._soon_woken.wait()

    async def _keep_alive(self) -> None:
        """Every link says something at each tick, and hears something, or it is over.

        Anything counts as heard: on a slow line an acknowledgement behind bulk may take longer than silence may last.
        """
        while True:
            await trio.sleep(self._timing.keepalive_s)
            self._guests.sweep()
            for peer in self._peering.all():
                if peer.link is None:
                    continue
                if trio.current_time() - peer.link.muxer.heard_at > self._timing.silent_s:
                    self._peering.drop(peer, "silent for too long")
                else:
                    peer.session.ask_ack()
                    peer.link.wake()
