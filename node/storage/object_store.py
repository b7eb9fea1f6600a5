"""Objects of S3 and Azure as inputs, and as where results go: the driver over ``node.storage.objects``.

Only what lies in the places that the operator lists is read, or every job could read what the node's credentials can.
A listing pins every object by its ETag; one that changes before it is read fails the read. Reading asks for one piece
at a time, so that each request is short, a cancelled execution waits for none, and memory has a bound.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio

from node import limits
from node.ambient import Offload
from node.errors import Absent, StorageError
from node.model import ObjectInput, PeerId
from node.storage.base import Entry, Prepared
from node.storage.cache import InputCache
from node.storage.object_names import Listing, ObjectName, Stored, folder, listed_by_operator, one, parsed
from node.storage.objects import Objects

_T = TypeVar("_T")
_Piece = tuple[str, Stored, int, int]  # path in the listing, object, first byte, byte after the last

_THREADS_MAX = 16
_DELETED_AT_ONCE = 1_000  # What one request of S3 takes.
_DELETE_ROUNDS = 8  # Each with a listing of at most OBJECTS_MAX.


class ObjectStore:
    """What may be read of object stores, and put there, below ``listed`` alone, which ``flag`` has. Raises
    OperatorError for what is no such place.
    """

    def __init__(self, listed: Sequence[str], flag: str = "--object-store") -> None:
        self._listed = listed_by_operator(listed, flag)
        self._flag = flag
        self._objects = Objects()
        self._limiter = trio.CapacityLimiter(_THREADS_MAX)

    def allowed(self, url: str) -> ObjectName:
        """The place that a URL names. Raises StorageError for one that the operator does not list."""
        name = parsed(url)
        if not any(name.lies_in(place) for place in self._listed):
            raise StorageError(f"{name.url} is not among what the operator of this node lists ({self._flag})")
        return name

    async def listing(self, url: str) -> Listing | None:
        """What lies there now; None for nothing. Raises StorageError."""
        name = self.allowed(url)
        if not name.is_folder:
            stored = await self._asked(limits.OBJECT_CALL_S, self._objects.head, name)
            if stored is not None:
                return one(name, stored)
        found = await self._asked(limits.OBJECT_LIST_S, self._objects.below, name, limits.OBJECTS_MAX)
        if len(found) > limits.OBJECTS_MAX:
            raise StorageError(f"{name.url} has more than {limits.OBJECTS_MAX} objects; name a smaller part of it")
        return folder(name, found) if found else None

    async def piece(self, listing: Listing, stored: Stored, start: int, end: int) -> bytes:
        """Bytes of an object as it was listed; at most OBJECT_PIECE_BYTES. Raises StorageError, also for a change."""
        assert 0 < end - start <= limits.OBJECT_PIECE_BYTES
        return await self._asked(limits.OBJECT_CALL_S, self._objects.piece, listing.name, stored, start, end)

    async def put_tree(self, source: Path, url: str) -> None:
        """Write the files of a folder below a URL, in place of objects of the same keys. Raises StorageError.

        Objects are whole or absent; a tree that fails or is cancelled is partly there, and what else lies below the
        URL stays. So results go where nothing else does, and are listed and read again before anybody relies on them.
        """
        name = self.allowed(url)
        for path, size in await trio.to_thread.run_sync(_files, source, limiter=self._limiter):
            there = ObjectName(name.scheme, name.bucket, f"{name.key}/{path}".lstrip("/"), is_folder=False)
            await trio.to_thread.run_sync(self._put, there, source / path, size, limiter=self._limiter)

    async def delete_tree(self, url: str) -> None:
        """Delete every object below a URL, and none of exactly its name. Raises StorageError."""
        name = self.allowed(url)
        for _ in range(_DELETE_ROUNDS):  # A request may end at the first object that somebody else has deleted.
            found = await self._asked(limits.OBJECT_LIST_S, self._objects.below, name, limits.OBJECTS_MAX)
            keys = [stored.key for stored in found if name.key and stored.key.startswith(f"{name.key}/")]
            if not keys:
                return
            for start in range(0, len(keys), _DELETED_AT_ONCE):
                batch = keys[start : start + _DELETED_AT_ONCE]
                await trio.to_thread.run_sync(self._objects.delete, name, batch, limiter=self._limiter)
        raise StorageError(f"{name.url} does not become empty: the store keeps what is there, or it is being filled")

    def _put(self, name: ObjectName, path: Path, size: int) -> None:
        with path.open("rb") as file:
            self._objects.put(name, file, size, trio.from_thread.check_cancelled)

    async def _asked(self, limit_s: float, call: Callable[..., _T], *arguments: Any) -> _T:
        """A call that only reads; when it is given up its thread ends by itself, at the end of its request."""
        try:
            with trio.fail_after(limit_s):
                return await trio.to_thread.run_sync(call, *arguments, abandon_on_cancel=True, limiter=self._limiter)
        except trio.TooSlowError as error:
            raise StorageError(f"the object store gives no answer within {limit_s:g} s") from error


class ObjectInputs:
    """Storage over object stores."""

    name = "object_store"

    def __init__(self, store: ObjectStore, cache: InputCache, offload: Offload) -> None:
        self._store = store
        self._cache = cache
        self._offload = offload

    async def size(self, ref: ObjectInput) -> int:
        """See Storage."""
        return (await self._found(ref)).size

    async def to_fetch(self, ref: ObjectInput) -> int:
        """See Storage."""
        listing = await self._found(ref)
        return await self._cache.to_fetch(_key(listing), listing.size)

    async def list(self, ref: ObjectInput) -> tuple[Entry, ...]:
        """See Storage."""
        return (await self._found(ref)).entries

    @asynccontextmanager
    async def prepared(self, ref: ObjectInput, origin: PeerId) -> AsyncIterator[Prepared]:
        """See Storage."""
        listing = await self._found(ref)
        async with self._cache.held(_key(listing), listing.size, partial(self._fetch, listing)) as path:
            yield Prepared(path, self.name)

    async def _found(self, ref: ObjectInput) -> Listing:
        listing = await self._store.listing(ref.url)
        if listing is None:
            raise Absent(f"nothing lies at {ref.url}")
        return listing

    async def _fetch(self, listing: Listing, path: Path) -> None:
        await self._offload(_laid_out, listing, path)
        failures: list[StorageError | OSError] = []
        pieces = _pieces(listing)
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                try:
                    for relative, stored, start, end in pieces:
                        got = await self._store.piece(listing, stored, start, end)
                        await self._offload(_write, path / relative, start, got)
                except (StorageError, OSError) as error:
                    failures.append(error)
                    nursery.cancel_scope.cancel()

            for _ in range(limits.OBJECT_PIECES):
                nursery.start_soon(read)
        if failures:
            raise failures[0]


def _key(listing: Listing) -> str:
    """All that the bytes depend on."""
    versions = hashlib.sha256()
    for path, stored in listing.objects:
        versions.update(repr((path, stored.size, stored.etag)).encode())
    return f"object_store {listing.name.url} {versions.hexdigest()}"


def _pieces(listing: Listing) -> Iterator[_Piece]:
    for path, stored in listing.objects:
        for start in range(0, stored.size, limits.OBJECT_PIECE_BYTES):
            yield path, stored, start, min(start + limits.OBJECT_PIECE_BYTES, stored.size)


def _laid_out(listing: Listing, path: Path) -> None:
    """Every folder, and every file without its bytes."""
    if not listing.is_object:
        path.mkdir()
    for relative in listing.folders:
        (path / relative).mkdir()
    for relative, _ in listing.objects:
        (path / relative).touch(exist_ok=False)


def _write(path: Path, start: int, piece: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while piece:
            written = os.pwrite(handle, piece, start)
            piece, start = piece[written:], start + written
    finally:
        os.close(handle)


def _files(source: Path) -> list[tuple[str, int]]:
    """Path and size of every regular file; links are not followed."""
    found = []
    for top, _, names in os.walk(source):
        paths = [Path(top, name) for name in names]
        found += [(path.relative_to(source).as_posix(), path.lstat().st_size) for path in paths if _is_plain(path)]
    return sorted(found)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
