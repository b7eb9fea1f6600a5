"""Dag-pb: blocks that hold bytes and named links (https://ipld.io/specs/codecs/dag-pb/spec/).

Lives here: the codec. It reads what Kubo reads and writes what Kubo writes, byte for byte. Does not live here: what
the bytes mean (``unixfs``).
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import NamedTuple

from node import varint
from node.limits import BLOCK_BYTES_MAX, BLOCK_LINKS_MAX
from node.storage.ipfs.cid import Cid

# A field's number and its wire type in one byte.
_DATA, _LINK = 0x0A, 0x12
_HASH, _NAME, _TSIZE = 0x0A, 0x12, 0x18


class Link(NamedTuple):
    """``tsize``: bytes of all blocks below, as whoever made the link claims."""

    cid: Cid
    name: str
    tsize: int


class Node(NamedTuple):
    """A block taken apart; links in the order in which they are written."""

    links: tuple[Link, ...]
    data: bytes


def encode(links: Iterable[Link], data: bytes) -> bytes:
    """The block: links, sorted by the bytes of their names (stable), then the data."""
    parts = [
        part for _, part in sorted(((link.name.encode(), encoded_link(link)) for link in links), key=itemgetter(0))
    ]
    return b"".join((*parts, bytes((_DATA,)), varint.encode(len(data)), data))


def encoded_link(link: Link) -> bytes:
    """What a link adds to a block."""
    raw, name = link.cid.raw, link.name.encode()
    body = b"".join((
        bytes((_HASH,)), varint.encode(len(raw)), raw,
        bytes((_NAME,)), varint.encode(len(name)), name,
        bytes((_TSIZE,)), varint.encode(link.tsize),
    ))  # fmt: skip
    return bytes((_LINK,)) + varint.encode(len(body)) + body


def decode(block: bytes) -> Node:
    """Raises ValueError for what is no dag-pb, has unknown fields, or more links than ``BLOCK_LINKS_MAX``."""
    if len(block) > BLOCK_BYTES_MAX:
        raise ValueError(f"a block of {len(block)} bytes")
    links: list[Link] = []
    data, at, sections = None, 0, b""
    while at < len(block):
        field = block[at]
        value, at = _bytes(block, at + 1)
        if sections[-1:] != bytes((field,)):
            sections += bytes((field,))
        if field == _LINK and len(links) < BLOCK_LINKS_MAX:
            links.append(_link(value))
        elif field == _DATA and data is None:
            data = value
        else:
            raise ValueError("not dag-pb: an unknown or repeated field, or too many links")
    if len(sections) > 2:
        raise ValueError("not dag-pb: its links are not in one place")
    return Node(tuple(links), data or b"")


def _link(raw: bytes) -> Link:
    """Hash, then name, then size, as the specification has them; the last two may be missing."""
    if raw[:1] != bytes((_HASH,)):
        raise ValueError("not dag-pb: a link without a hash")
    cid, at = _bytes(raw, 1)
    name, tsize = b"", 0
    if raw[at : at + 1] == bytes((_NAME,)):
        name, at = _bytes(raw, at + 1)
    if raw[at : at + 1] == bytes((_TSIZE,)):
        tsize, at = varint.decode(raw, at + 1)
    if at != len(raw):
        raise ValueError("not dag-pb: a link with an unknown, repeated or misplaced field")
    return Link(Cid.from_bytes(cid), _text(name), tsize)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise ValueError("a name that is not UTF-8") from error


def _bytes(raw: bytes, at: int) -> tuple[bytes, int]:
    size, at = (raw[at], at + 1) if at < len(raw) and raw[at] < 0x80 else varint.decode(raw, at)  # Mostly one byte.
    if size > len(raw) - at:
        raise ValueError("not dag-pb: a field that ends behind its block")
    return raw[at : at + size], at + size
