"""CAR files, version 1: blocks in a row (https://ipld.io/specs/transport/car/carv1/).

Lives here: the format, both ways; pure. Does not live here: which blocks a file or folder has, and in which order
(``packing``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from node import varint
from node.limits import BLOCK_BYTES_MAX, CAR_HEADER_BYTES_MAX
from node.storage.ipfs.cid import CHARS_MAX, Cid

# The header is DAG-CBOR of one shape: {"roots": [CID, ...], "version": 1}.
_ROOTS, _VERSION_1 = b"\xa2\x65roots", b"\x67version\x01"
_VERSION_2 = b"\xa1\x67version\x02"
_CID_TAG = b"\xd8\x2a"
_BYTES, _ARRAY = 0x40, 0x80  # CBOR's major types


def header(roots: Sequence[Cid]) -> bytes:
    """What a CAR file begins with."""
    cids = b"".join(_CID_TAG + _head(_BYTES, len(cid.raw) + 1) + b"\x00" + cid.raw for cid in roots)
    body = _ROOTS + _head(_ARRAY, len(roots)) + cids + _VERSION_1
    return varint.encode(len(body)) + body


def section(cid: Cid, block: bytes) -> bytes:
    """A block in a CAR file."""
    return varint.encode(len(cid.raw) + len(block)) + cid.raw + block


class CarReader:
    """Blocks from a CAR file that comes in pieces of any size; each is checked against its CID.

    It keeps one block at most. Every call raises ValueError for what is no CAR file, or one with a wrong block.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._roots: tuple[Cid, ...] | None = None

    @property
    def roots(self) -> tuple[Cid, ...]:
        """What the file says it is about; a claim. Empty before the header has come."""
        return self._roots or ()

    def feed(self, data: bytes) -> Iterator[tuple[Cid, bytes]]:
        """The blocks that are complete with this piece; to be used up before the next."""
        self._rest += data
        at = 0
        try:
            while (body := self._body(at)) is not None:
                start, at = body
                if self._roots is None:
                    self._roots = _roots(bytes(self._rest[start:at]))
                else:
                    yield _block(self._rest, start, at)
        finally:
            del self._rest[:at]

    def end(self) -> None:
        """There are no more pieces."""
        if self._rest or self._roots is None:
            raise ValueError("a CAR file that is cut off")

    def _body(self, at: int) -> tuple[int, int] | None:
        """Where the next header or section begins and ends, unless more must come."""
        prefix = bytes(self._rest[at : at + varint.BYTES_MAX])
        if len(prefix) < varint.BYTES_MAX and all(byte & 0x80 for byte in prefix):
            return None
        size, length = varint.decode(prefix, 0)
        if size > (CAR_HEADER_BYTES_MAX if self._roots is None else BLOCK_BYTES_MAX + CHARS_MAX):
            raise ValueError(f"no CAR file, or one with a section of {size} bytes")
        start = at + length
        return (start, start + size) if len(self._rest) - start >= size else None


def _block(held: bytearray, start: int, end: int) -> tuple[Cid, bytes]:
    """One copy of the block, which is most of what reading a CAR file costs besides its hash."""
    cid, length = Cid.from_prefix(bytes(held[start : min(start + CHARS_MAX, end)]))
    with memoryview(held) as view:
        block = bytes(view[start + length : end])
    if len(block) > BLOCK_BYTES_MAX:
        raise ValueError(f"a block of {len(block)} bytes")
    if not cid.matches(block):
        raise ValueError(f"a block that is not {cid}, as which it came")
    return cid, block


def _roots(raw: bytes) -> tuple[Cid, ...]:
    if raw.startswith(_VERSION_2):
        raise ValueError("a CAR file of version 2; version 1 is read (`car extract`, `ipfs dag export` give it)")
    if not raw.startswith(_ROOTS) or not raw.endswith(_VERSION_1):
        raise ValueError("no CAR file of version 1: its header is not one")
    count, at = _size(raw, len(_ROOTS), _ARRAY)
    roots = []
    for _ in range(count):
        if raw[at : at + 2] != _CID_TAG:
            raise ValueError("no CAR file of version 1: a root is no CID")
        size, at = _size(raw, at + 2, _BYTES)
        if raw[at : at + 1] != b"\x00":
            raise ValueError("no CAR file of version 1: a root is no CID")
        roots.append(Cid.from_bytes(raw[at + 1 : at + size]))
        at += size
    if at != len(raw) - len(_VERSION_1):
        raise ValueError("no CAR file of version 1: its header is not one")
    return tuple(roots)


def _head(major: int, size: int) -> bytes:
    """CBOR's head of a size under 65,536, in its shortest form."""
    if size < 24:
        return bytes((major | size,))
    return bytes((major | 24, size)) if size < 256 else bytes((major | 25,)) + size.to_bytes(2, "big")


def _size(raw: bytes, at: int, major: int) -> tuple[int, int]:
    """The size in the head at this offset, and the offset after it."""
    first = raw[at] if at < len(raw) else 0
    width = {24: 1, 25: 2}.get(first & 0x1F, 0)
    size = int.from_bytes(raw[at + 1 : at + 1 + width], "big") if width else first & 0x1F
    if raw[at : at + 1 + width] != _head(major, size):
        raise ValueError("no CAR file of version 1: its header is not DAG-CBOR")
    return size, at + 1 + width
