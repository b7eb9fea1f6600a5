"""Which IP addresses a job's URL may lead to: those of the public Internet, and what the operator adds. Pure.

The tables are IANA's special-purpose registries (RFC 6890 and its updates), and not those of ``ipaddress``, which
change from one release of Python to the next. An IPv6 address that stands for an IPv4 one (mapped: RFC 4291, NAT64:
RFC 6052) is judged as that. Does not live here: names and their resolution (``node.storage.reach``).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from node.errors import OperatorError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NO_PUBLIC_V4 = tuple(
    (IPv4Network(block), what)
    for block, what in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "a carrier's"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("168.63.129.16/32", "a cloud's own"),  # Azure's, for its virtual machines alone.
    )
)
_NO_PUBLIC_V6 = tuple(
    (IPv6Network(block), what)
    for block, what in (
        ("::1/128", "loopback"),
        ("::/128", "unspecified"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),  # Teredo among them, which has an IPv4 address in it.
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "of a tunnel"),  # 6to4, likewise; nobody serves files there since RFC 7526.
        ("3fff::/20", "for documentation"),
    )
)
_PUBLIC_V6 = IPv6Network("2000::/3")  # All that was ever given out.
_NAT64 = IPv6Network("64:ff9b::/96")


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """What ``--allow-url-cidr`` says. Raises OperatorError."""
    return tuple(_network(text) for text in texts)


def listed(address: str, allowed: Iterable[Network]) -> bool:
    """Whether the operator allows it by name."""
    judged = _judged(ip_address(address))
    return any(judged.version == network.version and judged in network for network in allowed)


def refusal(address: str) -> str | None:
    """What an address is that no job may make this node ask, unless its operator says so; None for a public one."""
    judged = _judged(ip_address(address))
    blocks: Iterable[tuple[Network, str]] = _NO_PUBLIC_V4 if judged.version == 4 else _NO_PUBLIC_V6
    found = next((what for block, what in blocks if judged in block), None)
    if found is None and judged.version == 6 and judged not in _PUBLIC_V6:
        return "reserved"
    return found


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise OperatorError(f"--allow-url-cidr {text!r}: {error}; expected a network like 192.168.7.0/24") from error


def _judged(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return IPv6Address(int(address))  # Without its zone, which only a link-local one has.
