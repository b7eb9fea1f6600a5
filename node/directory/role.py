"""Who is out there: joins the network through its bootstrap peers, and gets to know the rest from peers.

Lives here: dialling, dialling again, and peer exchange. Does not live here: what is remembered (``book``), how long to
wait (``retries``), who may stay (the transport). A hint costs a few dials at most: it is never believed, only tried.
"""

from __future__ import annotations

import functools
import logging
import math
from collections import deque
from collections.abc import Callable

import trio

from node import limits
from node.ambient import Ambient
from node.directory.book import Book
from node.directory.retries import Retries, pause_s
from node.errors import PeerGone
from node.messages import KnownPeer, Message, PeersKnown
from node.model import PeerId
from node.transport.address import dialable
from node.transport.base import Transport

log = logging.getLogger("quorate.directory")

DIALS_MAX = 8  # At once; further hints wait in the book.
HINT_TRIES = 3  # Then it was a bad hint. Whom we have met is tried for ever.
HINTS_PER_SESSION = 512  # A peer that names more is not listened to.
TOLD_PEERS_MAX = 64  # In one message.
AUDIENCE_MAX = 16  # Peers that hear of a newcomer.
INTRODUCE_S = 1.0  # Newcomers of so long are introduced together, after they could dial by themselves.


class Directory:
    """Keeps this node among the others. ``joined``, ``left`` and ``received`` are plain calls of the transport's."""

    def __init__(self, transport: Transport, bootstrap: tuple[str, ...], ambient: Ambient) -> None:
        self._transport = transport
        self._bootstrap = bootstrap
        self._ambient = ambient
        self._book = Book(transport.local_id)
        self._retries = Retries()
        self._dialling: set[PeerId] = set()
        self._hints_left: dict[PeerId, int] = {}
        self._local: set[PeerId] = set()  # peers on this machine, whose loopback is ours
        self._newcomers: deque[PeerId] = deque(maxlen=TOLD_PEERS_MAX)
        self._news = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Dial and introduce until cancelled. The transport runs already."""
        async with trio.open_nursery() as nursery:
            for address in self._bootstrap:
                if not address.endswith(f"/p2p/{self._transport.local_id}"):
                    nursery.start_soon(self._keep, address)
            for _ in range(DIALS_MAX):
                nursery.start_soon(self._explore)
            nursery.start_soon(self._introduce)
            task_status.started()

    def joined(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        """Tell the newcomer whom we know; others hear of it a little later."""
        self._hints_left[peer] = HINTS_PER_SESSION
        self._retries.succeeded(peer)
        if any(address.is_loopback for address in dialable(addresses, peer)):
            self._local.add(peer)
        known = tuple(KnownPeer(other, where) for other, where in self._book.first_hand() if other != peer)
        self._book.connected(peer, addresses)
        if known:
            self._transport.send(peer, PeersKnown(known[:TOLD_PEERS_MAX]))
        self._newcomers.append(peer)
        self._tell()

    def left(self, peer: PeerId) -> None:
        """It stays in the book, and is tried again."""
        self._book.disconnected(peer)
        self._hints_left.pop(peer, None)
        self._local.discard(peer)
        self._tell()

    def received(self, sender: PeerId, message: Message) -> None:
        """Hints where others listen; any other message is somebody else's."""
        if not isinstance(message, PeersKnown):
            return
        for known in message.peers:
            left = self._hints_left.get(sender, 0)
            if left == 0:
                return
            self._hints_left[sender] = left - 1
            self._book.hinted(PeerId(known.peer), known.addresses, loopback=sender in self._local)
        self._tell()

    async def _keep(self, address: str) -> None:
        """Stay connected to a bootstrap peer, for ever; its address is the operator's, not a hint."""
        failures = 0
        while True:
            try:
                peer = await self._transport.dial(address)
            except PeerGone as error:
                failures += 1
                if failures & (failures - 1) == 0:  # the 1st, 2nd, 4th, 8th … time
                    extra = {"address": address, "reason": str(error), "failures": failures}
                    log.warning("bootstrap_peer_not_reached", extra=extra)
            else:
                failures = 0
                await self._until(functools.partial(self._is_away, peer))
            await trio.sleep(pause_s(max(failures, 1), self._chance()))

    async def _explore(self) -> None:
        """Dial whom we have heard of, one at a time, while there is room for more peers."""
        while True:
            peer, due_at = self._next()
            if peer is None or due_at > trio.current_time():
                with trio.move_on_at(due_at):
                    await self._news.wait()
                continue
            self._dialling.add(peer)
            try:
                await self._try(peer)
            finally:
                self._dialling.discard(peer)

    def _next(self) -> tuple[PeerId | None, float]:
        """Whom to dial next, and when."""
        if len(self._transport.peers) >= limits.PEERS_MAX:
            return None, math.inf
        free = [peer for peer in self._book.candidates() if peer not in self._dialling]
        peer = min(free, key=self._retries.due_at, default=None)
        return peer, math.inf if peer is None else self._retries.due_at(peer)

    async def _try(self, peer: PeerId) -> None:
        for address in self._book.addresses(peer):
            try:
                await self._transport.dial(address)
            except PeerGone as error:
                log.debug("peer_not_reached", extra={"address": address, "reason": str(error)})
            else:
                return
        failures = self._retries.failed(peer, trio.current_time(), self._chance())
        if failures >= HINT_TRIES and not self._book.has_met(peer):
            self._book.forget(peer)

    async def _introduce(self) -> None:
        """Tell others of newcomers; one message a second at most to each."""
        while True:
            await self._until(lambda: bool(self._newcomers))
            await trio.sleep(INTRODUCE_S)
            newcomers = tuple(dict.fromkeys(self._newcomers))
            self._newcomers.clear()
            for peer in self._audience():
                known = [KnownPeer(other, self._book.addresses(other)) for other in newcomers if other != peer]
                told = tuple(entry for entry in known if entry.addresses)
                if told:
                    self._transport.send(peer, PeersKnown(told))

    def _audience(self) -> tuple[PeerId, ...]:
        peers = self._transport.peers
        begin = int(self._chance() * len(peers))
        return (peers[begin:] + peers[:begin])[:AUDIENCE_MAX]

    def _is_away(self, peer: PeerId) -> bool:
        return peer not in self._transport.peers

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _chance(self) -> float:
        """A draw from [0, 1)."""
        return int.from_bytes(self._ambient.token(4), "big") / 2**32
