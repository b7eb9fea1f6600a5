"""How connections come to be: accepted, dialled, and dialled again when they break.

Lives here: sockets until they are links, and what follows a link's end. Does not live here: the life of a link
(``life``), whose task count is bounded by what is admitted here (``admission``).
"""

from __future__ import annotations

import functools
import logging

import trio

from node.errors import PeerGone
from node.transport.address import Address, of_ip
from node.transport.libp2p.admission import Admission, prefix_of
from node.transport.libp2p.life import Node, live
from node.transport.libp2p.link import Link
from node.transport.libp2p.peering import Peer
from node.transport.libp2p.upgrade import Upgrader, peer_of

log = logging.getLogger("quorate.transport")

REDIAL_S_MIN, REDIAL_S_MAX = 0.05, 2.0


class Attempt:
    """One dial. ``done`` is set when a session uses the connection, we are a guest, or it has ended for ``reason``."""

    def __init__(self, target: Address, *, as_guest: bool = False) -> None:
        self.target = target
        self.as_guest = as_guest
        self.done = trio.Event()
        self.reason = ""
        self.scope = trio.CancelScope()

    def abandon(self) -> None:
        """Nobody waits for it any more; a connection that is in use stays."""
        if not self.done.is_set():
            self.scope.cancel()


class Connections:
    """All connections of a node, and the nursery they live in."""

    def __init__(
        self,
        node: Node,
        upgrader: Upgrader,
        attempts: trio.MemoryReceiveChannel[Attempt],
        admission: Admission | None = None,
    ) -> None:
        self._node = node
        self._upgrader = upgrader
        self._attempts = attempts
        self._admission = admission or Admission()

    async def run(self, listeners: list[trio.SocketListener]) -> None:
        """Accept and dial until cancelled."""
        async with trio.open_nursery() as nursery:
            accept = functools.partial(self._accepted, nursery=nursery)
            nursery.start_soon(functools.partial(trio.serve_listeners, accept, listeners, handler_nursery=nursery))
            async for attempt in self._attempts:
                nursery.start_soon(self._dial, attempt, nursery)

    async def _accepted(self, socket: trio.SocketStream, *, nursery: trio.Nursery) -> None:
        ip, port = _far_end(socket)
        prefix = prefix_of(ip) if ip else ""
        if not ip or not self._admission.enter(prefix):
            await trio.aclose_forcefully(socket)
            return
        named = False
        try:
            with trio.CancelScope(deadline=trio.current_time() + self._node.timing.dial_s) as scope:
                muxer = await self._upgrader.inbound(socket)
                self._admission.named(prefix)
                named = True
                link = Link(muxer, of_ip(ip, port, peer_of(muxer)), scope)
                await self._live(link, nursery)
        except PeerGone as error:
            log.debug("connection_refused", extra={"ip": ip, "reason": str(error)})
        finally:
            self._admission.leave(prefix, named=named)
            await trio.aclose_forcefully(socket)

    async def _dial(self, attempt: Attempt, nursery: trio.Nursery) -> None:
        """One dialled connection, from the socket to its end."""
        limit_s = self._node.timing.dial_s
        attempt.scope.deadline = trio.current_time() + limit_s
        try:
            with attempt.scope:
                socket = await trio.open_tcp_stream(attempt.target.host, attempt.target.port)
                try:
                    await self._dialled(socket, attempt, nursery)
                finally:
                    await trio.aclose_forcefully(socket)
        except (PeerGone, OSError) as error:
            attempt.reason = str(error)
        attempt.reason = attempt.reason or f"no answer within {limit_s:g} s"
        attempt.done.set()

    async def _dialled(self, socket: trio.SocketStream, attempt: Attempt, nursery: trio.Nursery) -> None:
        muxer = await self._upgrader.outbound(socket, attempt.target.peer)
        link = Link(muxer, attempt.target, attempt.scope, attached=attempt.done)
        link.is_wanted = attempt.as_guest
        try:
            await self._live(link, nursery)
        finally:
            attempt.reason = link.reason

    async def _live(self, link: Link, nursery: trio.Nursery) -> None:
        self._node.peering.check_name(link.peer)
        link.muxer.write_stall_s = self._node.timing.write_stall_s
        try:
            await live(self._node, link)
        finally:
            self._node.guests.leave(link)
            peer = self._node.peering.detach(link)
            if peer is not None:
                nursery.start_soon(self._rejoin, peer, nursery)

    async def _rejoin(self, peer: Peer, nursery: trio.Nursery) -> None:
        """A connection broke: wait for the peer, and dial it if we did before; after a while it has left."""
        peering = self._node.peering
        with trio.move_on_after(self._node.timing.rejoin_s):
            if peer.dialled is None:
                await self._changed(peer)
            else:
                await self._redial(peer, peer.dialled, nursery)
        if peering.is_missed(peer):
            peering.drop(peer, "did not come back")

    async def _redial(self, peer: Peer, address: Address, nursery: trio.Nursery) -> None:
        pause_s = REDIAL_S_MIN
        while self._node.peering.is_missed(peer):
            attempt = Attempt(address)
            nursery.start_soon(self._dial, attempt, nursery)
            try:
                await attempt.done.wait()
            finally:
                attempt.abandon()
            with trio.move_on_after(pause_s):
                await self._changed(peer)
            pause_s = min(2 * pause_s, REDIAL_S_MAX)

    async def _changed(self, peer: Peer) -> None:
        while self._node.peering.is_missed(peer):
            await peer.changed.wait()


def _far_end(socket: trio.SocketStream) -> tuple[str, int]:
    try:
        ip, port = socket.socket.getpeername()[:2]
    except OSError:
        return "", 0  # It has gone already.
    return str(ip), int(port)
