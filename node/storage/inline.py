"""Small files that a spec names by size and hash: from the requester of the job, once, into the cache.

The bytes are checked before they reach the cache, and asked of each requester on its own: so a requester that sends
nothing, or something else, holds up its own executions alone.
Does not live here: how a requester is asked (``node.compute.inline``).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from node.ambient import Offload
from node.errors import InvalidSpec, StorageError
from node.model import InlineFile, InlineInput, PeerId, Sha256
from node.spec_data import check_inputs
from node.storage.base import Entry, Prepared, entries_of
from node.storage.cache import InputCache


class Contents(Protocol):
    """Where the bytes come from."""

    async def fetch(self, origin: PeerId, sha256: Sha256, size: int) -> bytes:
        """What ``origin`` sends for this hash: at most ``size`` bytes, not checked. Raises StorageError in time."""


class InlineFiles:
    """Storage over the inline files of specs."""

    name = "inline"

    def __init__(self, contents: Contents, cache: InputCache, offload: Offload) -> None:
        self._contents = contents
        self._cache = cache
        self._offload = offload

    async def size(self, ref: InlineInput) -> int:
        """See Storage."""
        return _size(ref)

    async def to_fetch(self, ref: InlineInput) -> int:
        """See Storage: never absent, because whoever offers the job has them."""
        return await self._cache.to_fetch(_key(ref), _size(ref))

    async def list(self, ref: InlineInput) -> tuple[Entry, ...]:
        """See Storage."""
        _need_sound(ref)
        return entries_of({name: _bytes_of(file) for name, file in ref.files.items()})

    @asynccontextmanager
    async def prepared(self, ref: InlineInput, origin: PeerId) -> AsyncIterator[Prepared]:
        """See Storage."""
        size, key, contents = _size(ref), _key(ref), dict[str, bytes]()
        if not self._cache.has(key):
            contents = {name: await self._content(file, origin) for name, file in ref.files.items()}
        async with self._cache.held(key, size, partial(self._write, ref, origin, contents)) as path:
            yield Prepared(path, self.name)

    async def _write(self, ref: InlineInput, origin: PeerId, contents: Mapping[str, bytes], path: Path) -> None:
        if not contents:  # It was here a moment ago, and somebody deleted it.
            contents = {name: await self._content(file, origin) for name, file in ref.files.items()}
        await self._offload(_written, path, contents)

    async def _content(self, file: InlineFile, origin: PeerId) -> bytes:
        if file.content is not None:
            return file.content
        assert file.sha256 is not None
        content = await self._contents.fetch(origin, Sha256(file.sha256), _bytes_of(file))
        if len(content) != file.size or hashlib.sha256(content).hexdigest() != file.sha256:
            raise StorageError("what the requester sent is not the inline file that the job names")
        return content


def _need_sound(ref: InlineInput) -> None:
    try:
        check_inputs((ref,))
    except InvalidSpec as error:
        raise StorageError(f"an inline file is not as it must be: {error.problem}") from error


def _bytes_of(file: InlineFile) -> int:
    return len(file.content) if file.content is not None else file.size or 0


def _size(ref: InlineInput) -> int:
    _need_sound(ref)
    return sum(map(_bytes_of, ref.files.values()))


def _key(ref: InlineInput) -> str:
    """All that the bytes depend on; where it is shown does not count."""
    named = sorted((name, _hash_of(file)) for name, file in ref.files.items())
    return f"inline {hashlib.sha256(repr(named).encode()).hexdigest()}"


def _hash_of(file: InlineFile) -> str:
    return file.sha256 if file.content is None and file.sha256 else hashlib.sha256(file.content or b"").hexdigest()


def _written(path: Path, contents: Mapping[str, bytes]) -> None:
    path.mkdir()
    for name, content in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
