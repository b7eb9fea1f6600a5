"""The answering side of bitswap: what each peer is still to be told. Pure; time is an argument.

Blocks are public: whoever is connected may ask for any, as everywhere in IPFS. Each peer has its own queue, in order
of the priorities that it states, so a peer competes with itself; whose turn it is is decided elsewhere.
A want that is not here is answered once and forgotten, where Kubo would remember it.

Lives here: the queues and their limits. Does not live here: reading blocks, sending (``exchange``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter

from node import limits
from node.model import PeerId
from node.storage.ipfs.bitswap.wire import PART_BYTES, Message, Want

BURST_S = 4.0


@dataclass(eq=False, slots=True)
class _Queue:
    wants: dict[bytes, Want] = field(default_factory=dict)  # by CID
    refused: dict[bytes, None] = field(default_factory=dict)  # CIDs that there was no place for
    is_sorted: bool = True
    paid_until: float = float("-inf")


class Answering:
    """Queues of wants by peer. ``waiting``: who has one that is not empty."""

    def __init__(self) -> None:
        self._queues: dict[PeerId, _Queue] = {}
        self.waiting: dict[PeerId, None] = {}

    def went(self, peer: PeerId) -> None:
        """It is no neighbour any more."""
        self._queues.pop(peer, None)
        self.waiting.pop(peer, None)

    def forget(self, peer: PeerId) -> None:
        """What it wanted cannot be sent to it."""
        queue = self._queues.get(peer)
        if queue is not None:
            queue.wants.clear()
            queue.refused.clear()
        self.waiting.pop(peer, None)

    def pause_s(self, peer: PeerId, now: float) -> float:
        """How long to wait before more of what this peer says is read."""
        queue = self._queues.get(peer)
        return max(0.0, queue.paid_until - now) if queue is not None else 0.0

    def hear(self, peer: PeerId, message: Message, now: float, idle_bytes: int = 0) -> None:
        """Take in a message. ``idle_bytes``: of it that mean nothing to us, and had to be read all the same."""
        queue = self._queues.setdefault(peer, _Queue())
        if message.full:
            queue.wants.clear()
            queue.refused.clear()
        for want in message.wants:
            _note(queue, want)
        self._wait(peer, queue)
        cost = 1 + len(message.wants) + len(message.presences) + idle_bytes / PART_BYTES
        queue.paid_until = max(queue.paid_until, now - BURST_S) + cost / limits.BITSWAP_WANTS_PER_S

    def next(self, peer: PeerId, count: int) -> tuple[list[Want], list[bytes]]:
        """The wants to answer next, and CIDs to be denied unseen; of each no more than ``count``."""
        queue = self._queues.get(peer)
        if queue is None:
            return [], []
        if not queue.is_sorted:
            queue.wants = {want.cid: want for want in sorted(queue.wants.values(), key=_PRIORITY, reverse=True)}
            queue.is_sorted = True
        return list(islice(queue.wants.values(), count)), list(islice(queue.refused, count))

    def done(self, peer: PeerId, wants: Iterable[Want], refused: Iterable[bytes]) -> None:
        """These are answered. One that was cancelled, or said anew, since ``next`` gave it stays as it is now."""
        queue = self._queues.get(peer)
        if queue is None:
            return
        for want in wants:
            if queue.wants.get(want.cid) is want:
                del queue.wants[want.cid]
        for cid in refused:
            queue.refused.pop(cid, None)
        self._wait(peer, queue)

    def _wait(self, peer: PeerId, queue: _Queue) -> None:
        if queue.wants or queue.refused:
            self.waiting[peer] = None
        else:
            self.waiting.pop(peer, None)


_PRIORITY = attrgetter("priority")


def _note(queue: _Queue, want: Want) -> None:
    if want.cancels:
        queue.wants.pop(want.cid, None)
        queue.refused.pop(want.cid, None)
    elif want.cid in queue.wants or len(queue.wants) < limits.BITSWAP_WANTS_PER_PEER:
        queue.wants[want.cid] = want
        queue.is_sorted = False
    elif want.tells_dont_have and len(queue.refused) < limits.BITSWAP_WANTS_PER_PEER:
        queue.refused[want.cid] = None
