"""Which images are here because jobs needed them, the one used longest ago first, also over a restart.

The operator's own images are never among them. Does not live here: pulling and removing (``images``).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

_DECODER = msgspec.json.Decoder(dict[str, int])


class Pulled:
    """Kept in ``file``; ``bytes_max`` is for all together."""

    def __init__(self, file: Path, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._file = file
        self._sizes: dict[str, int] = {}

    def open(self) -> None:
        """Read what is kept; what cannot be read is nothing. Blocking."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            self._sizes = _DECODER.decode(self._file.read_bytes())

    def use(self, name: str) -> None:
        """It is used now."""
        if name in self._sizes:
            self._sizes[name] = self._sizes.pop(name)

    def add(self, name: str, size: int) -> None:
        """It is here now, and used."""
        self._sizes.pop(name, None)
        self._sizes[name] = size

    def drop(self, name: str) -> None:
        """It is here no more, or not ours."""
        self._sizes.pop(name, None)

    def in_the_way(self) -> tuple[str, ...]:
        """What has to go so that the rest is within the limit; never the one used last."""
        excess, found = sum(self._sizes.values()) - self.bytes_max, []
        for name, size in list(self._sizes.items())[:-1]:
            if excess <= 0:
                break
            found.append(name)
            excess -= size
        return tuple(found)

    def save(self) -> None:
        """Whole or not at all. Blocking. Raises OSError."""
        partial = self._file.with_suffix(".part")
        partial.write_bytes(msgspec.json.encode(self._sizes))
        os.replace(partial, self._file)
