"""UnixFS: files and folders as dag-pb (https://specs.ipfs.tech/unixfs/).

Lives here: what the data of one node says, checked against its links. Does not live here: how a file becomes nodes
(``importer``), how sharded folders are laid out (``hamt``), how a DAG is walked (``walk``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from node import varint
from node.limits import DAG_NAME_BYTES_MAX
from node.storage.ipfs import dagpb
from node.storage.ipfs.dagpb import Link

DIRECTORY_DATA = b"\x08\x01"
MURMUR3 = 0x22
FANOUT_MAX = 1024  # as in Kubo

_VARINT, _BYTES = 0, 2  # wire types
_TYPE, _DATA, _SIZE, _BLOCK_SIZE, _HASH, _FANOUT, _MODE, _MTIME = range(1, 9)
_WIRE = {_DATA: _BYTES, _MTIME: _BYTES}


class Kind(IntEnum):
    """As in the specification."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    SHARD = 5


_KINDS = {kind.value: kind for kind in Kind}


class Node(NamedTuple):
    """A node of a file or a folder. Of a file: ``size`` bytes, first ``data``, then what each link leads to."""

    kind: Kind
    data: bytes  # of a shard: the bit field
    size: int
    block_sizes: tuple[int, ...]  # of a file: bytes below each link
    fanout: int
    links: tuple[Link, ...]


def decode(block: bytes) -> Node:
    """Raises ValueError for what is no UnixFS, is a link or a metadata node, or contradicts itself."""
    node = _decoded(block)
    match node.kind:
        case Kind.RAW | Kind.FILE:
            _check_file(node)
        case Kind.SHARD:
            _check_shard(node)
        case Kind.METADATA | Kind.SYMLINK:
            raise ValueError(f"a {node.kind.name.lower()} node, which no job is given")
        case Kind.DIRECTORY:
            pass
    return node


def file_data(size: int, block_sizes: Iterable[int]) -> bytes:
    """The data of a file's inner node."""
    sizes = b"".join(b"\x20" + varint.encode(one) for one in block_sizes)
    return b"\x08\x02\x18" + varint.encode(size) + sizes


def leaf_ends(size: int) -> tuple[bytes, bytes]:
    """What stands before and after ``size`` bytes of a file in a dag-pb block that holds nothing else."""
    length = varint.encode(size)
    head = b"\x08\x02" + (b"\x12" + length if size else b"")
    tail = b"\x18" + length
    return b"\x0a" + varint.encode(len(head) + size + len(tail)) + head, tail


def shard_data(bits: int, fanout: int) -> bytes:
    """The data of a shard whose slot ``n`` is taken when bit ``n`` is set."""
    field = bits.to_bytes((bits.bit_length() + 7) // 8, "big")
    head = b"\x08\x05\x12" + varint.encode(len(field)) + field
    return head + b"\x28" + varint.encode(MURMUR3) + b"\x30" + varint.encode(fanout)


def check_name(name: str) -> None:
    """Raises ValueError for what cannot be the name of a file or folder here."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"the name {name[:DAG_NAME_BYTES_MAX]!r}")
    if len(name.encode()) > DAG_NAME_BYTES_MAX:
        raise ValueError(f"a name of {len(name.encode())} bytes")


def _decoded(block: bytes) -> Node:
    below = dagpb.decode(block)
    numbers: dict[int, int] = {}
    data: bytes | None = None
    sizes: list[int] = []
    for field, value in _fields(below.data):
        if isinstance(value, bytes):
            data = value if field == _DATA else data
        elif field == _BLOCK_SIZE and len(sizes) < len(below.links):
            sizes.append(value)
        elif field == _BLOCK_SIZE:
            raise ValueError("a file with more sizes of parts than parts")
        elif field in numbers:
            raise ValueError("not UnixFS: a repeated field")
        else:
            numbers[field] = value
    kind = _KINDS.get(numbers.get(_TYPE, -1))
    if kind is None:
        raise ValueError("not UnixFS: no type that exists")
    if numbers.get(_HASH, MURMUR3) != MURMUR3:
        raise ValueError("a sharded folder by another hash than murmur3")
    data = data or b""
    size = numbers.get(_SIZE, len(data) + sum(sizes))
    return Node(kind, data, size, tuple(sizes), numbers.get(_FANOUT, 0), below.links)


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(raw):
        field, wire = raw[at] >> 3, raw[at] & 7
        if not _TYPE <= field <= _MTIME or wire != _WIRE.get(field, _VARINT):
            raise ValueError("not UnixFS: an unknown field")
        at += 1
        value, at = (raw[at], at + 1) if at < len(raw) and raw[at] < 0x80 else varint.decode(raw, at)
        if wire == _VARINT:
            yield field, value
        elif value > len(raw) - at:
            raise ValueError("not UnixFS: a field that ends behind its data")
        else:
            yield field, raw[at : at + value]
            at += value


def _check_file(node: Node) -> None:
    parts = sum(node.block_sizes)
    if len(node.block_sizes) < len(node.links):
        raise ValueError("a file with fewer sizes of parts than parts")
    if 0 in node.block_sizes:
        raise ValueError("a file with a part that is empty")
    if node.size != len(node.data) + parts:
        raise ValueError(f"a file of {node.size} bytes whose parts have {len(node.data) + parts}")


def _check_shard(node: Node) -> None:
    fanout = node.fanout
    if fanout % 8 or fanout & (fanout - 1) or not 8 <= fanout <= FANOUT_MAX:
        raise ValueError(f"a sharded folder with a fan-out of {fanout}")
    bits = int.from_bytes(node.data, "big")
    if bits.bit_length() > fanout or bits.bit_count() != len(node.links):
        raise ValueError("a sharded folder whose bit field is not that of its links")
