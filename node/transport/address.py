"""Multiaddrs of the one shape nodes use: host, TCP port, peer id (https://github.com/multiformats/multiaddr).

Lives here: reading and writing them, and which of them can be dialled at all. Pure; no libp2p, so that whoever keeps
addresses need not import it. Does not live here: resolving names, dialling.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from node import limits
from node.identity import public_key_of
from node.model import PeerId

_TEXT_CHARS_MAX = 256
_DNS_NAME = re.compile(r"\A[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?\Z")
_DNS_KINDS = ("dns", "dns4", "dns6")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer listens. ``kind`` is ``ip4``, ``ip6``, ``dns``, ``dns4`` or ``dns6``."""

    kind: str
    host: str
    port: int
    peer: PeerId

    @property
    def text(self) -> str:
        """The multiaddr."""
        return f"/{self.kind}/{self.host}/tcp/{self.port}/p2p/{self.peer}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can mean anything by it."""
        return _ip(self) is not None and ipaddress.ip_address(self.host).is_loopback

    @property
    def is_dialable(self) -> bool:
        """Whether a connection can go there: a port, and a host that is one machine."""
        ip = _ip(self)
        return self.port > 0 and not (ip is not None and (ip.is_unspecified or ip.is_multicast or _is_broadcast(ip)))


def parse(text: str) -> Address:
    """Read ``/ip4/1.2.3.4/tcp/1235/p2p/12D3KooW…``. Raises ValueError saying what is wrong."""
    if len(text) > _TEXT_CHARS_MAX:
        raise ValueError(f"an address of {len(text)} characters")
    match text.split("/"):
        case ["", kind, host, "tcp", port, "p2p", peer]:
            public_key_of(peer)
            return Address(kind, _host(kind, host), _port(port), PeerId(peer))
        case _:
            raise ValueError(f"{text!r} is not of the form /ip4/HOST/tcp/PORT/p2p/PEER_ID")


def of_ip(ip: str, port: int, peer: PeerId) -> Address:
    """The address of a socket's end. Raises ValueError when ``ip`` is none."""
    parsed = ipaddress.ip_address(ip.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    parsed = mapped or parsed
    return Address(f"ip{parsed.version}", str(parsed), port, peer)


def dialable(texts: Iterable[str], peer: PeerId) -> tuple[Address, ...]:
    """Those of ``texts`` that can be dialled and name ``peer``: without repeats, in order, capped."""
    found: dict[Address, None] = {}
    for text in texts:
        try:
            address = parse(text)
        except ValueError:
            continue  # A hint; a wrong one is no event.
        if address.peer == peer and address.is_dialable:
            found[address] = None
    return tuple(found)[: limits.ADDRESSES_PER_PEER_MAX]


def _host(kind: str, host: str) -> str:
    if kind == "ip4":
        return str(ipaddress.IPv4Address(host))
    if kind == "ip6":
        return str(ipaddress.IPv6Address(host))
    if kind in _DNS_KINDS and _DNS_NAME.match(host):
        return host
    raise ValueError(f"/{kind}/{host} names no host")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535):
        raise ValueError(f"{text!r} is no port")
    return int(text)


def _ip(address: Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    return ipaddress.ip_address(address.host) if address.kind.startswith("ip") else None


def _is_broadcast(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return ip.version == 4 and str(ip) == "255.255.255.255"
