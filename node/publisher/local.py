"""Results in a folder that several nodes see, such as an NFS share: below one that the operator lists.

They come as a partial folder that is renamed when it is whole and synced. Does not live here: hashing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from node.ambient import Offload
from node.errors import BadResult, NoRoom, StorageError
from node.model import LocalPublisher
from node.removal import remove

_FLAG = "--local-publish"


class LocalPublishing:
    """Publishing below ``roots``: absolute folders without links in them."""

    name = "local"

    def __init__(self, roots: Sequence[Path], offload: Offload) -> None:
        self._roots = tuple(roots)
        self._offload = offload

    def refusal(self, where: LocalPublisher) -> str | None:
        """See Publishing."""
        folder = Path(where.folder)
        if any(folder == root or root in folder.parents for root in self._roots):
            return None
        return f"this node publishes nothing to {where.folder} ({_FLAG} lists the folders it may write to)"

    async def publish(self, where: LocalPublisher, below: str, results: Path) -> str:
        """See Publishing."""
        target = self._target(where, below)
        partial = target.with_name(f".partial-{target.name}")
        await self._offload(_copied, results, partial, target)
        return target.as_uri()

    @asynccontextmanager
    async def published(self, where: LocalPublisher, below: str, location: str, bytes_max: int) -> AsyncIterator[Path]:
        """See Publishing: the folder itself, whose bytes are counted as they are hashed."""
        target = self._target(where, below)
        if location != target.as_uri():
            raise BadResult(f"it says that it published to {location}, and not to {target.as_uri()}")
        if not await self._offload(_is_folder, target):
            raise StorageError(f"{target} is not there on the requester: do both see the same share?")
        yield target

    def _target(self, where: LocalPublisher, below: str) -> Path:
        why_not = self.refusal(where)
        if why_not is not None:
            raise StorageError(why_not)
        return Path(where.folder) / below


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _copied(results: Path, partial: Path, target: Path) -> None:
    try:
        remove(partial)
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _check_is_below(target)
        shutil.copytree(results, partial, symlinks=True)
        _sync_tree(partial)
        remove(target)
        partial.rename(target)
        _sync(target.parent)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise NoRoom(f"the results cannot be published to {target}: {error}") from error


def _check_is_below(target: Path) -> None:
    """No link on the way leads elsewhere than the path says."""
    if target.parent.resolve() != target.parent:
        raise NoRoom(f"{target.parent} goes through a link; publish to the folder that it leads to")


def _sync_tree(top: Path) -> None:
    for folder, _, files in os.walk(top):
        for name in files:
            _sync(Path(folder) / name)
        _sync(Path(folder))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
