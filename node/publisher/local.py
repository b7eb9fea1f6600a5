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
from node.errors import BadResult, NoRoom, OperatorError, StorageError
from node.model import LocalPublisher
from node.removal import remove

_FLAG = "--local-publish"


class LocalPublishing:
    """Publishing below ``folders``, never in ``private``. Raises OperatorError for what is no folder to write to.

    A listed folder may be a link, read once, here; below it none is followed.
    """

    name = "local"

    def __init__(self, folders: Sequence[Path], private: Path, offload: Offload) -> None:
        self._roots = {folder: _root(folder, private.resolve()) for folder in folders}
        self._offload = offload

    def refusal(self, where: LocalPublisher) -> str | None:
        """See Publishing."""
        if self._listed(where) is not None:
            return None
        return f"this node publishes nothing to {where.folder} ({_FLAG} lists the folders it may write to)"

    async def publish(self, where: LocalPublisher, below: str, results: Path) -> str:
        """See Publishing."""
        target = self._target(where, below)
        partial = target.with_name(f".partial-{target.name}")
        await self._offload(_copied, results, partial, target)
        return _location(where, below)

    @asynccontextmanager
    async def published(self, where: LocalPublisher, below: str, location: str, bytes_max: int) -> AsyncIterator[Path]:
        """See Publishing: the folder itself, whose bytes are counted as they are hashed."""
        target = self._target(where, below)
        if location != _location(where, below):
            raise BadResult(f"it says that it published to {location[:200]!r}, and not to {_location(where, below)}")
        if not await self._offload(_is_folder, target):
            raise StorageError(f"{target} is not there on the requester: do both see the same share?")
        yield target

    def _target(self, where: LocalPublisher, below: str) -> Path:
        listed = self._listed(where)
        if listed is None:
            raise StorageError(self.refusal(where))
        return self._roots[listed] / Path(where.folder).relative_to(listed) / below

    def _listed(self, where: LocalPublisher) -> Path | None:
        folder = Path(where.folder)
        return next((listed for listed in self._roots if listed in (folder, *folder.parents)), None)


def _location(where: LocalPublisher, below: str) -> str:
    return (Path(where.folder) / below).as_uri()


def _root(folder: Path, private: Path) -> Path:
    real = folder.resolve()
    if not real.is_dir():
        raise OperatorError(f"{_FLAG} {folder}: there is no such folder")
    if real == Path("/") or real == private or private in real.parents or real in private.parents:
        raise OperatorError(f"{_FLAG} {folder}: results would get among the node's own files; list another folder")
    if not os.access(real, os.W_OK | os.X_OK):
        raise OperatorError(f"{_FLAG} {folder}: this node may not write there")
    return real


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
