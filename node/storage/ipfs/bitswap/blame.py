"""What is held against a neighbour: blocks that nobody asked it for. Pure; time is an argument.

A block may come twice, or after it was cancelled, as often as wants were sent to its sender. Anything else is a strike,
and too many of them ban the sender.
Does not live here: what a ban means (``asking``, ``exchange``).
"""

from __future__ import annotations

from collections import OrderedDict

from node.model import PeerId

STRIKES_MAX = 3  # One more is a ban.
BANNED_S = 600.0
_BANNED_MAX = 1_024  # The ban of longest ago is forgotten.
_REMEMBERED_MAX = 16_384  # Blocks that may still come though nobody wants them any more.


class Blame:
    """Strikes and bans. ``duplicates`` and ``unwanted`` count blocks that were of no use."""

    def __init__(self) -> None:
        self._strikes: dict[PeerId, int] = {}
        self._banned: OrderedDict[PeerId, float] = OrderedDict()
        self._settled: OrderedDict[bytes, None] = OrderedDict()
        self.duplicates = 0
        self.unwanted = 0

    def settled(self, multihash: bytes) -> None:
        """Nobody wants this block any more."""
        self._settled[multihash] = None
        if len(self._settled) > _REMEMBERED_MAX:
            self._settled.popitem(last=False)

    def went(self, peer: PeerId) -> None:
        """It is no neighbour any more. A ban stays."""
        self._strikes.pop(peer, None)

    def is_banned(self, peer: PeerId, now: float) -> bool:
        """Whether it is not to be asked, and nothing of it to be taken."""
        return self._banned.get(peer, now) > now

    def useless(self, peer: PeerId, multihash: bytes, credit: int, now: float) -> None:
        """A block that nobody wants. ``credit``: the wants that were sent to the peer, less the blocks that came."""
        if multihash in self._settled and credit >= 0:
            self.duplicates += 1
        else:
            self.strike(peer, now)

    def strike(self, peer: PeerId, now: float) -> None:
        """A block that nobody can have asked for."""
        self.unwanted += 1
        self._strikes[peer] = self._strikes.get(peer, 0) + 1
        if self._strikes[peer] > STRIKES_MAX:
            self._banned[peer] = now + BANNED_S
            self._banned.move_to_end(peer)
            if len(self._banned) > _BANNED_MAX:
                self._banned.popitem(last=False)
