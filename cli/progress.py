"""How far a download has come, told now and then and not before it takes long."""

from __future__ import annotations

import time
from collections.abc import Callable

from cli.quantities import shown_size

EVERY_S = 5.0


class Progress:
    """``told`` hears a line every EVERY_S seconds, as long as anything comes."""

    def __init__(
        self, files: int, size: int, told: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``files`` and ``size`` (bytes): all that is to come."""
        self._goal = f"of {files} files, {{}} of {shown_size(size)}"
        self._told = told
        self._clock = clock
        self._files = self._bytes = 0
        self._next = clock() + EVERY_S

    def came(self, *, files: int = 0, size: int = 0) -> None:
        """So many files more are there, or so many bytes."""
        self._files += files
        self._bytes += size
        if self._clock() >= self._next:
            self._next = self._clock() + EVERY_S
            self._told(f"{self._files} {self._goal.format(shown_size(self._bytes))}")
