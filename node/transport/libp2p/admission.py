"""Which inbound sockets we take: so many per address, so many that have not said who they are. Pure.

An address is an IPv4 /24 or an IPv6 /48, which is what one customer of a provider gets. Loopback has no limit per
address: whoever is there can do worse.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass, field

from node import limits

PREFIX_BITS = {4: 24, 6: 48}


def prefix_of(ip: str) -> str:
    """The part of an address that one limit counts; empty for loopback. Raises ValueError when ``ip`` is none."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return ""
    return str(ipaddress.ip_network((address, PREFIX_BITS[address.version]), strict=False))


@dataclass(slots=True)
class Admission:
    """Counts inbound sockets. Every one that ``enter`` admits is told of by ``leave``."""

    open_max: int = 2 * limits.PEERS_MAX + limits.GUESTS_MAX
    nameless_max: int = limits.PEERS_MAX
    _open: Counter[str] = field(default_factory=Counter)
    _nameless: Counter[str] = field(default_factory=Counter)

    def enter(self, prefix: str) -> bool:
        """Whether one more socket may come from there; it has not said who it is."""
        if self._open.total() >= self.open_max or self._nameless.total() >= self.nameless_max:
            return False
        if prefix and self._open[prefix] >= limits.CONNECTIONS_PER_ADDRESS_MAX:
            return False
        if prefix and self._nameless[prefix] >= limits.HANDSHAKES_PER_ADDRESS_MAX:
            return False
        self._open[prefix] += 1
        self._nameless[prefix] += 1
        return True

    def named(self, prefix: str) -> None:
        """A socket from there has said who it is."""
        _less(self._nameless, prefix)

    def leave(self, prefix: str, *, named: bool) -> None:
        """A socket from there is closed."""
        _less(self._open, prefix)
        if not named:
            _less(self._nameless, prefix)


def _less(counts: Counter[str], prefix: str) -> None:
    counts[prefix] -= 1
    assert counts[prefix] >= 0
    if not counts[prefix]:
        del counts[prefix]
