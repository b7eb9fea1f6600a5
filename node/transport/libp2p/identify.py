"""What we say of ourselves to who asks (https://github.com/libp2p/specs/blob/master/identify/README.md). Pure.

One protobuf message with its length in front, and multiaddrs in their binary form, both written by hand: six fields
that we only ever write need no generated parser. We ask nobody, and take no pushes: what a stranger says of itself is
proved by nothing, and keeping it has filled other nodes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from node import varint
from node.identity import public_key_of
from node.model import PeerId
from node.transport.address import Address

PROTOCOL_VERSION = "ipfs/0.1.0"  # What the peers that look at it expect.
_PUBLIC_KEY, _LISTEN, _PROTOCOL, _OBSERVED, _VERSION, _AGENT = 1, 2, 3, 4, 5, 6
_KEY_HEAD = bytes.fromhex("08011220")  # key type Ed25519, 32 bytes of key
_CODES = {"ip4": 4, "ip6": 41, "dns": 53, "dns4": 54, "dns6": 55}
_TCP = 6


@dataclass(frozen=True, slots=True)
class Card:
    """Who we are. ``observed`` is where the asking end was seen."""

    peer: PeerId
    agent: str
    protocols: Sequence[str]
    listen: Sequence[Address]
    observed: Address


def encode(card: Card) -> bytes:
    """The answer on an identify stream."""
    message = b"".join(
        (
            _field(_VERSION, PROTOCOL_VERSION.encode()),
            _field(_AGENT, card.agent.encode()),
            _field(_PUBLIC_KEY, _KEY_HEAD + public_key_of(card.peer)),
            *(_field(_LISTEN, _binary(address)) for address in card.listen),
            _field(_OBSERVED, _binary(card.observed)),
            *(_field(_PROTOCOL, protocol.encode()) for protocol in card.protocols),
        )
    )
    return varint.encode(len(message)) + message


def _field(number: int, body: bytes) -> bytes:
    return varint.encode(number << 3 | 2) + varint.encode(len(body)) + body


def _binary(address: Address) -> bytes:
    if address.kind.startswith("ip"):
        host = ipaddress.ip_address(address.host).packed
    else:
        host = varint.encode(len(address.host)) + address.host.encode()
    return varint.encode(_CODES[address.kind]) + host + varint.encode(_TCP) + address.port.to_bytes(2, "big")
