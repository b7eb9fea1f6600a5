"""Numbers of files, as a program sees them: given in the order in which it meets the files.

Hosts number files as they like, and use the number of a deleted one again sooner or later. So a number is given once,
and what stood for a deleted file is forgotten before the host can use it again. Pure.
"""

from __future__ import annotations

NAMELESS = 1  # An open file whose name is gone.
_FIRST = 2
_STREAM = 0  # Standard streams have no number.


class Inodes:
    """One run's."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._next = _FIRST

    def number(self, real: int, links: int = 1) -> int:
        """What stands for the host's number of a file with ``links`` names."""
        if real == _STREAM:
            return _STREAM
        if links == 0:
            return NAMELESS
        known = self._numbers.get(real)
        if known is None:
            known = self._numbers[real] = self._next
            self._next += 1
        return known

    def forget(self, real: int) -> None:
        """The file is deleted."""
        self._numbers.pop(real, None)
