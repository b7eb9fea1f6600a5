"""The address book: who is said to listen where. Pure.

What peers say of others are hints. Hints never push out anybody we are connected to, and never replace what a peer said
of itself; of all others, whoever we heard of longest ago is forgotten first.

Lives here: what is remembered and forgotten. Does not live here: when to dial and whom to tell (``role``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from node import limits
from node.model import PeerId
from node.transport.address import dialable


@dataclass(slots=True)
class _Entry:
    addresses: tuple[str, ...]
    is_first_hand: bool  # from the peer itself, over a session
    is_connected: bool = False


class Book:
    """Addresses by peer, the one heard of longest ago first."""

    def __init__(self, own: PeerId, peers_max: int = limits.BOOK_PEERS_MAX) -> None:
        self._own = own
        self._peers_max = peers_max
        self._entries: OrderedDict[PeerId, _Entry] = OrderedDict()

    def __len__(self) -> int:
        """How many peers are known."""
        return len(self._entries)

    def addresses(self, peer: PeerId) -> tuple[str, ...]:
        """Where a peer is said to listen, best first; empty when nobody knows."""
        entry = self._entries.get(peer)
        return entry.addresses if entry else ()

    def connected(self, peer: PeerId, addresses: Iterable[str]) -> None:
        """A session with ``peer`` began, which says that it listens there."""
        self._note(peer, _Entry(_usable(addresses, peer, loopback=True), is_first_hand=True, is_connected=True))

    def disconnected(self, peer: PeerId) -> None:
        """The session is over; what the peer said is remembered like anybody's."""
        entry = self._entries.get(peer)
        if entry is not None:
            entry.is_connected = False
            self._trim()

    def hinted(self, peer: PeerId, addresses: Iterable[str], *, loopback: bool) -> None:
        """Somebody says that ``peer`` listens there; ``loopback``: addresses of this machine's own may be meant."""
        usable = _usable(addresses, peer, loopback=loopback)
        if usable and not self.has_met(peer):
            self._note(peer, _Entry(usable, is_first_hand=False))

    def forget(self, peer: PeerId) -> None:
        """Nobody reaches this peer; one that is connected stays."""
        entry = self._entries.get(peer)
        if entry is not None and not entry.is_connected:
            del self._entries[peer]

    def has_met(self, peer: PeerId) -> bool:
        """Whether we have ever had a session with ``peer``, as far as we remember."""
        entry = self._entries.get(peer)
        return entry is not None and entry.is_first_hand

    def candidates(self) -> tuple[PeerId, ...]:
        """Who could be dialled: known, not connected, the one heard of last first."""
        return tuple(peer for peer, entry in reversed(self._entries.items()) if not entry.is_connected)

    def first_hand(self) -> tuple[tuple[PeerId, tuple[str, ...]], ...]:
        """What may be told to others: connected peers that listen somewhere, the one heard of last first."""
        return tuple(
            (peer, entry.addresses)
            for peer, entry in reversed(self._entries.items())
            if entry.is_connected and entry.addresses
        )

    def _note(self, peer: PeerId, entry: _Entry) -> None:
        if peer == self._own:
            return
        self._entries[peer] = entry
        self._entries.move_to_end(peer)
        self._trim()

    def _trim(self) -> None:
        while len(self._entries) > self._peers_max:
            oldest = next((peer for peer, entry in self._entries.items() if not entry.is_connected), None)
            if oldest is None:
                return
            del self._entries[oldest]


def _usable(addresses: Iterable[str], peer: PeerId, *, loopback: bool) -> tuple[str, ...]:
    return tuple(address.text for address in dialable(addresses, peer) if loopback or not address.is_loopback)
