"""Bodies out of a stream that comes in pieces of any size, each with its length in front. Pure.

Does not live here: how a protocol writes a length, and what its bodies mean (``node.transport.libp2p.wire``,
``node.storage.ipfs.bitswap.wire``).
"""

from __future__ import annotations

from collections.abc import Callable

from node.errors import MalformedMessage

ReadLength = Callable[[bytearray, int], tuple[int, int]]
"""The length that is written at this offset, and the bytes that it takes itself; 0 and 0 while they are not all there.

Raises MalformedMessage.
"""


class Framing:
    """``bytes_max`` may be changed between bodies. A longer one raises MalformedMessage before any of it is kept."""

    def __init__(self, bytes_max: int, read_length: ReadLength) -> None:
        self.bytes_max = bytes_max
        self._read_length = read_length
        self._buffer = bytearray()
        self._start = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left over."""
        return self._start == len(self._buffer)

    @property
    def announced(self) -> int:
        """Bytes of the body that is under way; 0 when that is not known. Raises MalformedMessage."""
        length, _ = self._head()
        return length

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        if self._start:
            del self._buffer[: self._start]
            self._start = 0
        self._buffer += data

    def next(self) -> bytes | None:
        """The next body, or None when it is not complete yet. Raises MalformedMessage."""
        length, begin = self._head()
        if not begin or len(self._buffer) < begin + length:
            return None
        self._start = begin + length
        with memoryview(self._buffer) as view:
            return bytes(view[begin : self._start])

    def _head(self) -> tuple[int, int]:
        """The length of the body under way and where it begins; 0 and 0 when that is not known yet."""
        length, size = self._read_length(self._buffer, self._start)
        if length > self.bytes_max:
            raise MalformedMessage(f"a body of {length} bytes, at most {self.bytes_max} may come")
        return length, self._start + size if size else 0
