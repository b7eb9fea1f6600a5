"""JSON of what ends with a very long list, made in pieces. Pure.

A call into C lets no other thread run before it returns: encoding 100,000 files with long names in one keeps the event
loop out for 60 to 100 ms, and so does their base64, wherever it is done.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence

import msgspec

from node import limits

_ITEMS = 4096
_PIECE_BYTES = 3 * limits.MiB  # A multiple of three and of four: only the last piece is padded, however it is read.


def filled(empty: bytes, items: Sequence[object], encoder: msgspec.json.Encoder) -> bytes:
    """``empty`` is the compact JSON of an object whose last field is a list without items; the same with these."""
    assert empty.endswith(b"[]}")
    pieces = (encoder.encode(items[at : at + _ITEMS])[1:-1] for at in range(0, len(items), _ITEMS))
    return b"".join((empty[:-2], b",".join(pieces), empty[-2:]))


def base64(text: bytes) -> bytes:
    """Standard base64 (RFC 4648, section 4)."""
    view = memoryview(text)
    return b"".join(b64encode(view[at : at + _PIECE_BYTES]) for at in range(0, len(text), _PIECE_BYTES))


def from_base64(text: bytes | memoryview) -> bytes:
    """The other way. Raises ValueError."""
    view = memoryview(text)
    pieces = (b64decode(view[at : at + _PIECE_BYTES], validate=True) for at in range(0, len(view), _PIECE_BYTES))
    return b"".join(pieces)
