"""Files of the web: resolved once by the requester, fetched into the cache by the nodes that run the job.

A job's file is pinned by size and sha256, or size and ETag; whoever is given something else says that the source
changed. Does not live here: where a job may make a node ask (``node.storage.reach``), what is compared
(``node.storage.seen``), names (``node.storage.places``).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import trio

from node import limits
from node.ambient import Offload
from node.errors import StorageError
from node.model import PeerId, Sha256, UrlInput
from node.storage.base import Entry, Prepared
from node.storage.cache import InputCache
from node.storage.http import Answer
from node.storage.places import file_name
from node.storage.reach import Reach
from node.storage.seen import Seen, check_same, seen_in

_WRITE_BYTES = 1 * limits.MiB


class WebFiles:
    """Storage over http and https. No call but ``resolved`` and ``prepared`` asks anybody anything.

    So no file that its requester has seen counts as absent: what bids cost must not be somebody else's.
    """

    name = "url"

    def __init__(self, reach: Reach, cache: InputCache, offload: Offload) -> None:
        self._reach = reach
        self._cache = cache
        self._offload = offload

    async def resolved(self, ref: UrlInput) -> UrlInput:
        """The same with what the server says of it; what a client gave is checked. For the requester, once per job.

        GET and not HEAD: servers answer them differently, and signed URLs are for one of them. A file without size,
        or without both digest and ETag, is read once and hashed. Raises StorageError.
        """
        file_name(ref.url)
        async with self._reach.answer(ref.url, limits.URL_BYTES_MAX) as answer:
            seen = seen_in(answer.headers, answer.declared_bytes)
            if seen.size is None or (seen.etag is None and seen.sha256 is None and ref.sha256 is None):
                seen = await _measured(ref.url, answer, seen)
        if not seen.size:
            raise StorageError(f"{ref.url} is empty")
        check_same(ref, seen)
        return msgspec.structs.replace(ref, size=seen.size, etag=seen.etag, sha256=seen.sha256 or ref.sha256)

    async def size(self, ref: UrlInput) -> int:
        """See Storage."""
        return _pinned(ref)

    async def to_fetch(self, ref: UrlInput) -> int:
        """See Storage."""
        return await self._cache.to_fetch(_key(ref), _pinned(ref))

    async def list(self, ref: UrlInput) -> tuple[Entry, ...]:
        """See Storage: a file."""
        return (Entry("", _pinned(ref), is_folder=False),)

    @asynccontextmanager
    async def prepared(self, ref: UrlInput, origin: PeerId) -> AsyncIterator[Prepared]:
        """See Storage."""
        async with self._cache.held(_key(ref), _pinned(ref), partial(self._fetch, ref)) as path:
            yield Prepared(path, self.name)

    async def _fetch(self, ref: UrlInput, path: Path) -> None:
        size = _pinned(ref)
        limit_s = limits.URL_SETUP_S + size / limits.URL_BYTES_PER_S_MIN
        try:
            with trio.fail_after(limit_s):
                async with self._reach.answer(ref.url, limits.URL_BYTES_MAX) as answer:
                    check_same(ref, seen_in(answer.headers, answer.declared_bytes))
                    sha256, got = await self._written(answer, path, size)
        except trio.TooSlowError as error:
            raise StorageError(f"{ref.url} takes longer than {limit_s:.0f} s") from error
        check_same(ref, Seen(got, ref.etag, sha256))

    async def _written(self, answer: Answer, path: Path, bytes_max: int) -> tuple[Sha256, int]:
        """The body as a file, read until it is too long; its hash and its bytes."""
        digest, got, pieces, waiting = hashlib.sha256(), 0, list[bytes](), 0
        async for piece in answer:
            pieces.append(piece)
            waiting += len(piece)
            got += len(piece)
            if got > bytes_max:
                break
            if waiting >= _WRITE_BYTES:
                await self._offload(_append, path, pieces, digest)
                pieces, waiting = [], 0
        await self._offload(_append, path, pieces, digest)
        return Sha256(digest.hexdigest()), got


def _pinned(ref: UrlInput) -> int:
    """The size that the requester saw. Raises StorageError for a reference that does not say which bytes it means."""
    file_name(ref.url)
    if ref.size is None or (ref.etag is None and ref.sha256 is None):
        raise StorageError(f"{ref.url} has no size, or neither sha256 nor ETag: its requester never looked it up")
    return ref.size


def _key(ref: UrlInput) -> str:
    """All that the bytes depend on."""
    version = ref.sha256 if ref.sha256 is not None else ref.etag
    return f"url {ref.size} {version} {ref.url}"


async def _measured(url: str, answer: Answer, seen: Seen) -> Seen:
    digest, size = hashlib.sha256(), 0
    try:
        with trio.fail_after(limits.URL_MEASURE_S):
            async for piece in answer:
                digest.update(piece)
                size += len(piece)
                _need_measurable(url, size)
    except trio.TooSlowError as error:
        raise StorageError(f"{url} tells neither size nor version, and reading it takes too long") from error
    return Seen(size, seen.etag, Sha256(digest.hexdigest()))


def _need_measurable(url: str, size: int) -> None:
    if size > limits.URL_MEASURE_BYTES:
        raise StorageError(
            f"{url} has more than {limits.URL_MEASURE_BYTES} bytes, and its server tells not both its size and an ETag"
            " or a digest (RFC 9530), so that nobody could see it change; serve it with these"
        )


def _append(path: Path, pieces: list[bytes], digest: hashlib._Hash) -> None:
    with path.open("ab") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
