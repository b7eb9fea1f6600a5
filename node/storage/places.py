"""Web addresses as jobs and servers give them: what is asked of whom, and what the file is called. Pure.

Strict on purpose: what two parsers could read in two ways is refused. Does not live here: which addresses a host may
have (``node.storage.addresses``), asking (``node.storage.reach``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from node import limits
from node.errors import InvalidSpec, StorageError
from node.model import cut
from node.spec_data import file_name as name_in_job

PORTS = {"http": 80, "https": 443}

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252}[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]{2,45}\]")
_TEXT = re.compile(r"[!-\[\]-~]*")  # ASCII that is seen, but no backslash, which some read as a slash


@dataclass(frozen=True, slots=True)
class Place:
    """Where to ask: a URL without fragment, and the parts of it that decide who is connected to."""

    url: str
    scheme: str  # "http" or "https"
    host: str  # as it stands there; an IPv6 address without brackets
    port: int


def place_of(url: str) -> Place:
    """Raises StorageError, which says what to write instead."""
    if len(url) > limits.URL_CHARS_MAX or not _TEXT.fullmatch(url):
        raise StorageError(f"{cut(url)!r} is no URL: percent-encode what is not ASCII, and backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise StorageError(f"{cut(url)!r} is no URL: {error}") from error
    if parts.scheme not in PORTS:
        raise StorageError(f"{cut(url)!r} begins with neither http:// nor https://")
    if "@" in parts.netloc:
        raise StorageError("a URL with a user's name or password would show them to everybody; leave them out")
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.rstrip(":")
    if not _HOST.fullmatch(host):
        raise StorageError(f"{cut(url)!r} names no host; write one that is not ASCII as xn--…")
    return Place(parts._replace(fragment="").geturl(), parts.scheme, host.strip("[]"), port or PORTS[parts.scheme])


def file_name(url: str) -> str:
    """What the file is called in the job, by the rules of a spec (``node.spec_data``). Raises StorageError."""
    try:
        return name_in_job(place_of(url).url)
    except InvalidSpec as error:
        raise StorageError(error.problem) from error


def redirected(place: Place, location: str) -> Place:
    """Where an answer sends us. Raises StorageError, also for https that would become http."""
    try:
        there = place_of(urljoin(place.url, location))
    except ValueError as error:
        raise StorageError(f"{place.host} redirects to what is no URL: {error}") from error
    except StorageError as error:
        raise StorageError(f"{place.host} redirects to where this node does not go: {error}") from error
    if (place.scheme, there.scheme) == ("https", "http"):
        raise StorageError(f"{place.host} redirects from https to http")
    return there
