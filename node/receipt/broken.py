"""What the checks of a receipt say when something in it is wrong. Never leaves ``node.receipt``."""

from __future__ import annotations

from collections.abc import Sequence


class BrokenError(Exception):
    """The first thing that is wrong, for people."""


def require(holds: bool, why: str) -> None:
    """Raise BrokenError unless it holds."""
    if not holds:
        raise BrokenError(why)


def distinct(names: Sequence[str]) -> bool:
    """Whether nothing is there twice."""
    return len(set(names)) == len(names)
