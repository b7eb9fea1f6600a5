"""What the head of an answer says of the file, and whether it is what the requester saw. Pure.

Nodes that are given other bytes must be told apart from liars, so a job carries what its requester saw: the size, and
a sha256 or an ETag. With a sha256 an ETag decides nothing: mirrors of one file give it different ones.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from node.errors import StorageError
from node.model import Sha256, UrlInput

# RFC 9530: ``sha-256=:BASE64:``, of the whole file or, what is the same here, of this answer. RFC 3230 had no colons.
_DIGESTS = ("repr-digest", "content-digest", "digest")
_SHA256 = re.compile(r"(?:^|[\s,])sha-256=:?([A-Za-z0-9+/]{43}=):?(?=$|[\s,;])", re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?("[!#-~\x80-\xff]{0,500}")')


@dataclass(frozen=True, slots=True)
class Seen:
    """One version of a file; None for what the server does not say."""

    size: int | None  # bytes
    etag: str | None  # with its quotes, without ``W/``
    sha256: Sha256 | None


def seen_in(headers: Mapping[str, str], size: int | None) -> Seen:
    """What the headers of an answer say, whose body has ``size`` bytes."""
    etag = _ETAG.fullmatch(headers.get("etag", ""))
    digests = (_digest(headers.get(name, "")) for name in _DIGESTS)
    return Seen(size, etag[1] if etag else None, next((digest for digest in digests if digest), None))


def check_same(ref: UrlInput, seen: Seen) -> None:
    """Raises StorageError when a server has something else than when the job was submitted; silence is no change."""
    told: list[tuple[str, object, object]] = [("size", ref.size, seen.size), ("sha256", ref.sha256, seen.sha256)]
    if ref.sha256 is None:
        told.append(("ETag", ref.etag, seen.etag))
    for what, then, now in told:
        if then is not None and now is not None and then != now:
            raise StorageError(
                f"the source changed since the job was submitted ({what} was {then}, is {now}): {ref.url}"
            )
    if ref.sha256 is None and ref.etag is not None and seen.etag is None:
        raise StorageError(f"the source changed since the job was submitted (it has no ETag any more): {ref.url}")


def _digest(field: str) -> Sha256 | None:
    match = _SHA256.search(field)
    if match is None:
        return None
    try:
        return Sha256(base64.b64decode(match[1], validate=True).hex())
    except binascii.Error:
        return None
