"""Connections without a session: whom we let stay, who makes room, and over which connection a neighbour is reached.

A guest is few among many: there is a limit in all and for each address, the connection that nobody has used for longest
makes room, and guests have room of their own (``admission``), so that they never cost a peer its place. Guests that we
dialled because somebody wants them stay, though nobody uses them.

Lives here: the decisions; no I/O. Does not live here: peers (``peering``), tasks (``life``).
"""

from __future__ import annotations

from collections import Counter

import trio

from node import limits
from node.errors import PeerGone
from node.model import PeerId
from node.transport.libp2p.admission import prefix_of
from node.transport.libp2p.link import Link, Timing
from node.transport.libp2p.peering import Peering
from node.transport.neighbours import Neighbours

LINKS_PER_GUEST = 2  # Two who dial each other at once have so many.
IN_USE_S = 5.0  # Who said something so recently does not make room for a stranger.
WANTED_MAX = limits.GUESTS_MAX // 2


class Guests:
    """All guests of a node."""

    def __init__(self, peering: Peering, timing: Timing) -> None:
        self.neighbours: Neighbours[Link] = Neighbours()
        self._peering = peering
        self._timing = timing
        self._links: dict[PeerId, list[Link]] = {}
        peering.linked = self._relinked

    def has(self, link: Link) -> bool:
        """Whether this link is a guest's."""
        return link in self._links.get(link.peer, ())

    def admit(self, link: Link) -> None:
        """Let a connection stay; nothing when it may already. Raises PeerGone."""
        if self.has(link):
            return
        if self._peering.is_with_us(link.peer):
            raise PeerGone("there is a session with this peer")
        if len(self._links.get(link.peer, ())) >= LINKS_PER_GUEST:
            raise PeerGone("this guest is here already")
        self._make_room(link)
        self._links.setdefault(link.peer, []).append(link)
        link.used_at = trio.current_time()
        link.stay()
        self._choose(link.peer)

    def leave(self, link: Link) -> None:
        """A link has ended, or is no guest's any more."""
        if self.has(link):
            self._links[link.peer].remove(link)
            if not self._links[link.peer]:
                del self._links[link.peer]
            self._choose(link.peer)

    def want(self, peer: PeerId) -> bool:
        """Whether that guest is here; then it stays, though nobody uses its connection. PeerGone for too many."""
        links = self._links.get(peer, [])
        if links and not any(link.is_wanted for link in links):
            self._check_wanted()
            links[0].is_wanted = True
        return bool(links)

    def sweep(self) -> None:
        """End connections that are dead, or that nobody has used for long."""
        now = trio.current_time()
        for link in self._all():
            if now - link.muxer.heard_at > self._timing.guest_silent_s:
                link.end("silent for too long")
            elif not link.is_wanted and now - link.used_at > self._timing.guest_idle_s:
                link.end("nobody uses this connection")
        self._check_unread()

    def _check_unread(self) -> None:
        """Peers count too: whoever sends what nobody reads, on many streams, pays when all together sent too much."""
        links = [*self._all(), *(peer.link for peer in self._peering.all() if peer.link is not None)]
        unread = {link: link.muxer.unread_bytes for link in links}
        while sum(unread.values()) > limits.UNREAD_BYTES:
            most = max(unread, key=lambda link: unread[link])
            most.end("too much that nobody reads")
            del unread[most]

    def _all(self) -> list[Link]:
        return [link for links in self._links.values() for link in links]

    def _make_room(self, newcomer: Link) -> None:
        if newcomer.is_wanted:
            self._check_wanted()
        prefix = _prefix(newcomer)
        near = [link for link in self._all() if prefix and not link.is_wanted and _prefix(link) == prefix]
        if not newcomer.is_wanted and len(near) >= limits.GUESTS_PER_ADDRESS_MAX:
            self._end_idle(near, newcomer)
        elif len(self._all()) >= limits.GUESTS_MAX:
            self._end_idle(self._crowd(), newcomer)

    def _check_wanted(self) -> None:
        if sum(link.is_wanted for link in self._all()) >= WANTED_MAX:
            raise PeerGone("we want as many guests as we may")

    def _crowd(self) -> list[Link]:
        """Those of the address that has most: who comes with many addresses pays with its own."""
        counts = Counter(_prefix(link) for link in self._all() if not link.is_wanted)
        most, _ = counts.most_common(1)[0]
        return [link for link in self._all() if _prefix(link) == most]

    def _end_idle(self, links: list[Link], newcomer: Link) -> None:
        """End the one that nobody has used for longest. Raises PeerGone when all are in use."""
        since = trio.current_time() if newcomer.is_wanted else trio.current_time() - IN_USE_S
        idle = [link for link in links if not link.is_wanted and link.used_at <= since]
        if not idle:
            raise PeerGone("we have as many guests as we may")
        link = min(idle, key=lambda link: link.used_at)
        link.end("made room for another guest")
        self.leave(link)

    def _relinked(self, peer: PeerId) -> None:
        """A session of that peer uses another link, or none: with a session there is no need for a guest's link."""
        if self._peering.is_with_us(peer):
            mine = self._peering.link_of(peer)
            for link in self._links.pop(peer, []):
                if link is not mine:
                    link.end("a session is used instead")
        self._choose(peer)

    def _choose(self, peer: PeerId) -> None:
        guests = self._links.get(peer)
        self.neighbours.put(peer, self._peering.link_of(peer) or (guests[0] if guests else None))


def _prefix(link: Link) -> str:
    return prefix_of(link.seen.host) if link.seen.kind.startswith("ip") else link.seen.host
