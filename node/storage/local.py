"""Files and folders of this machine, below folders that its operator lists: for development, and for NFS shares.

Nothing is copied. A listed folder may be a link, read once at start; below it no link is followed on the way to what a
job names, and links in it lead nowhere out of it. The node's own data folder is never shown, nor what it lies in.
Whoever may write to a listed folder is trusted not to swap what a job is reading.
Does not live here: walking (``node.storage.tree``).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from node.ambient import Offload
from node.errors import Absent, OperatorError, StorageError
from node.model import LocalInput, PeerId
from node.storage import tree
from node.storage.base import Entry, Prepared

_FLAG = "--local-input"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Root:
    """A listed folder, as it is called and where it is."""

    called: Path
    real: Path


class LocalFiles:
    """Storage below ``folders``, never of ``private``. Raises OperatorError for what is no folder to be shown."""

    name = "local"

    def __init__(self, folders: Sequence[Path], private: Path, offload: Offload) -> None:
        self._never = (*tree.NEVER, private.resolve())
        self._roots = tuple(_root(folder, self._never) for folder in folders)
        self._offload = offload

    async def size(self, ref: LocalInput) -> int:
        """See Storage."""
        return await self._offload(self._look, ref, tree.size)

    async def to_fetch(self, ref: LocalInput) -> int:
        """See Storage: nothing is fetched."""
        await self._offload(self._look, ref, Path)
        return 0

    async def list(self, ref: LocalInput) -> tuple[Entry, ...]:
        """See Storage: files and folders; links and special files are left out."""
        return await self._offload(self._look, ref, tree.listed)

    @asynccontextmanager
    async def prepared(self, ref: LocalInput, origin: PeerId) -> AsyncIterator[Prepared]:
        """See Storage: the path itself."""
        yield Prepared(await self._offload(self._look, ref, Path), self.name, self._offload)

    def _look(self, ref: LocalInput, look: Callable[[Path], _T]) -> _T:
        path = self._found(ref)
        if path is None:
            raise Absent(f"{ref.source} is not on this node")
        try:
            return look(path)
        except StorageError as error:
            raise StorageError(f"{ref.source} {error}") from error

    def _found(self, ref: LocalInput) -> Path | None:
        """Where it lies; None if nothing does."""
        root, parts = self._place(ref)
        path = root.joinpath(*parts)
        if any(path.is_relative_to(place) or place.is_relative_to(path) for place in self._never):
            raise StorageError(f"{ref.source} holds, or is, what this node shows to nobody; name a folder below it")
        try:
            there = tree.reached(root, parts) and tree.usable(path)
        except StorageError as error:
            raise StorageError(f"{ref.source} {error}") from error
        return path if there else None

    def _place(self, ref: LocalInput) -> tuple[Path, tuple[str, ...]]:
        """The listed folder, and the way from it. The way has no ``..``: the rules of a spec, and checked again."""
        source = Path(ref.source)
        for root in self._roots:
            if source.is_relative_to(root.called) and ".." not in source.parts:
                return root.real, source.relative_to(root.called).parts
        raise StorageError(f"{ref.source} is below no folder that the operator of this node lists ({_FLAG})")


def _root(folder: Path, never: Sequence[Path]) -> _Root:
    called = Path(os.path.abspath(folder))
    try:
        real = called.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise OperatorError(f"{_FLAG} {folder}: {getattr(error, 'strerror', None) or error}") from error
    if not real.is_dir():
        raise OperatorError(f"{_FLAG} {folder}: it is no folder; list the one that it is in")
    if any(real.is_relative_to(place) for place in never):
        raise OperatorError(f"{_FLAG} {folder}: this is no place for the data of jobs")
    return _Root(called, real)
