"""Randomness that is the same on every node: SHAKE-256 of the shard's seed and of the number of the call. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

_PIECE_BYTES = 1 << 20  # A longer call is answered in pieces, each with a number of its own.


class Randomness:
    """One run's."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._calls = 0

    def pieces(self, size: int) -> Iterator[bytes]:
        """``size`` bytes."""
        while size > 0:
            piece = min(size, _PIECE_BYTES)
            yield hashlib.shake_256(b"quorate random %d of %b" % (self._calls, self._seed)).digest(piece)
            self._calls += 1
            size -= piece
