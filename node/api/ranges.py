"""Conditional and range requests over one file whose strong ETag is its sha256. Pure (RFC 9110, 13 and 14).

One range is served; a request for several is answered with the whole file, as the RFC allows, because an overlapping
list of them is an old way to make a server work (RFC 9110, 17.15).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes[ \t]*=[ \t]*([0-9]*)-([0-9]*)[ \t]*\Z", re.IGNORECASE)
_ETAG = re.compile(r'(W/)?"([^"]*)"')
_DIGITS_MAX = 19


@dataclass(frozen=True, slots=True)
class Whole:
    """200."""


@dataclass(frozen=True, slots=True)
class Part:
    """206: bytes ``first`` to ``last``, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Unchanged:
    """304: the caller has it."""


@dataclass(frozen=True, slots=True)
class Beyond:
    """416: nothing of the file lies there."""


Selection = Whole | Part | Unchanged | Beyond


def etag(sha256: str) -> str:
    """The strong entity tag of a file."""
    return f'"{sha256}"'


def select(tag: str, size: int, *, wanted: str | None, if_range: str | None, if_none_match: str | None) -> Selection:
    """Which bytes to send. ``wanted`` is the Range header; a malformed one is ignored, as if it were not there."""
    if if_none_match is not None and _matches(tag, if_none_match):
        return Unchanged()
    if wanted is None or (if_range is not None and if_range.strip() != tag):
        return Whole()
    match = _ONE_RANGE.match(wanted.strip())
    if match is None or max(map(len, match.groups())) > _DIGITS_MAX:
        return Whole()
    return _part(match[1], match[2], size)


def _part(first: str, last: str, size: int) -> Selection:
    if not first:
        return _suffix(last, size)
    if last and int(last) < int(first):
        return Whole()
    if int(first) >= size:
        return Beyond()
    return Part(int(first), min(int(last), size - 1) if last else size - 1)


def _suffix(length: str, size: int) -> Selection:
    if not length:
        return Whole()
    if int(length) == 0 or size == 0:
        return Beyond()
    return Part(max(size - int(length), 0), size - 1)


def _matches(tag: str, if_none_match: str) -> bool:
    """Weak comparison, as RFC 9110, 13.1.2 wants it."""
    if if_none_match.strip() == "*":
        return True
    return any(f'"{opaque}"' == tag for _, opaque in _ETAG.findall(if_none_match))
