"""Folders as a program lists them: sorted by the bytes of the names, as they were when it began to.

Source of the layout: wasi_snapshot_preview1.witx, ``dirent``. Pure.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable

LISTINGS_BYTES_MAX = 64 << 20  # Of all folders that a run is in the middle of listing. With more it ends.

_ENTRY = struct.Struct("<QQIB3x")  # cookie of the next one, inode, length of the name, type
_NUMBER = struct.Struct("<QB")


class TooLong(Exception):
    """More is listed than there is room for."""


class Listing:
    """One folder's entries, ready to be handed out. A cookie is the place of an entry among them."""

    def __init__(self, found: bytes, number: Callable[[int], int]) -> None:
        """``found``: the entries as the host gives them; ``number``: what stands for its inodes, asked in order."""
        data = bytearray()
        self._starts = array("Q")
        # A name has no NUL: what follows it does not change the order.
        for place, entry in enumerate(sorted(_names(found)), start=1):
            name, _, rest = entry.partition(b"\0")
            inode, kind = _NUMBER.unpack(rest)
            self._starts.append(len(data))
            data += _ENTRY.pack(place, number(inode), len(name), kind) + name
        self._data = bytes(data)

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        return len(self._data)

    def page(self, cookie: int, room: int) -> bytes:
        """At most ``room`` bytes from an entry on; the last entry may be cut, and the program asks for it again."""
        if cookie >= len(self._starts):
            return b""
        start = self._starts[cookie]
        return self._data[start : start + room]


class Listings:
    """One run's, by descriptor: begun anew at cookie 0, forgotten when the descriptor is closed."""

    def __init__(self) -> None:
        self._by_descriptor: dict[int, Listing] = {}

    def get(self, descriptor: int) -> Listing | None:
        """The one under way."""
        return self._by_descriptor.get(descriptor)

    def keep(self, descriptor: int, listing: Listing) -> None:
        """Raises TooLong."""
        self._by_descriptor[descriptor] = listing
        if sum(each.size for each in self._by_descriptor.values()) > LISTINGS_BYTES_MAX:
            raise TooLong

    def close(self, descriptor: int) -> None:
        """The descriptor is no more."""
        self._by_descriptor.pop(descriptor, None)

    def renumber(self, old: int, new: int) -> None:
        """The descriptor has another number, whose descriptor is no more."""
        listing = self._by_descriptor.pop(old, None)
        self.close(new)
        if listing is not None:
            self._by_descriptor[new] = listing


def _names(found: bytes) -> list[bytes]:
    """Of each entry its name, a NUL, and the rest: one small object for each, because there may be a million."""
    entries, at = [], 0
    while at < len(found):
        _, inode, length, kind = _ENTRY.unpack_from(found, at)
        at += _ENTRY.size + length
        entries.append(found[at - length : at] + b"\0" + _NUMBER.pack(inode, kind))
    return entries
