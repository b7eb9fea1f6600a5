"""Who has a live connection, over which streams are opened; and staying connected to somebody.

Lives here: telling who watches. Does not live here: which of several connections to a peer counts (the transports).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

from node.errors import PeerGone
from node.model import PeerId
from node.transport.base import Neighbourhood

log = logging.getLogger("quorate.transport")

PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 60.0  # between dials of somebody whom we want

_Link = TypeVar("_Link")


class Neighbours(Generic[_Link]):
    """One connection for each neighbour."""

    def __init__(self) -> None:
        self._links: dict[PeerId, _Link] = {}
        self._watchers: list[Neighbourhood] = []
        self._changed = trio.Event()

    @property
    def ids(self) -> tuple[PeerId, ...]:
        """Everybody, sorted."""
        return tuple(sorted(self._links))

    def get(self, peer: PeerId) -> _Link | None:
        """The connection to a neighbour."""
        return self._links.get(peer)

    def watch(self, watcher: Neighbourhood) -> None:
        """Tell of changes from now on."""
        self._watchers.append(watcher)

    def put(self, peer: PeerId, link: _Link | None) -> None:
        """This connection is used from now on, or none; nothing when it is so already."""
        before = self._links.get(peer)
        if link is before:
            return
        if before is not None:
            del self._links[peer]
            for watcher in self._watchers:
                watcher.went(peer)
        if link is not None:
            self._links[peer] = link
            for watcher in self._watchers:
                watcher.came(peer)
        self._changed.set()
        self._changed = trio.Event()

    async def gone(self, peer: PeerId) -> None:
        """Wait until that peer is no neighbour."""
        while peer in self._links:
            await self._changed.wait()


async def stay(connect: Callable[[str], Awaitable[PeerId]], neighbours: Neighbours[_Link], address: str) -> None:
    """See Protocols.keep. The pause is short again after a connection that lasted."""
    failures, pause_s = 0, PAUSE_S_MIN
    while True:
        begun_at = trio.current_time()
        try:
            await neighbours.gone(await connect(address))
        except PeerGone as error:
            failures += 1
            if failures & (failures - 1) == 0:  # the 1st, 2nd, 4th, 8th … time
                extra = {"address": address, "reason": str(error), "failures": failures}
                log.warning("neighbour_not_reached", extra=extra)
        else:
            failures = 0
            pause_s = PAUSE_S_MIN if trio.current_time() - begun_at > PAUSE_S_MAX else pause_s
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S_MAX)
