"""Results in a folder that several nodes see, such as an NFS share: below one that the operator lists.

They come as a partial folder, named after the place, that is renamed when it is whole and synced. Whoever else may
write to the share may put links there at any time, so every step below the listed folder is relative to an open folder
and follows none.
Does not live here: hashing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from node import limits
from node.ambient import Offload
from node.durable import is_large, sync_filesystem, syncs_whole
from node.errors import BadResult, NoRoom, OperatorError, StorageError
from node.model import ExecutionId, JobId, LocalPublisher, PeerId
from node.publisher import base

_FLAG = "--local-publish"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ATTEMPTS = 8
_LONGEST = base.below(PeerId("f" * 64), JobId("f" * 32), limits.SHARDS_MAX, ExecutionId("f" * 32))


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder below a listed one, which is ``root``: the names on the way down, and its own."""

    root: Path
    above: tuple[str, ...]
    name: str

    @property
    def path(self) -> Path:
        return self.root.joinpath(*self.above, self.name)


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
        if self._listed(where) is None:
            return f"this node publishes nothing to {where.folder}; its operator opens folders with {_FLAG} FOLDER"
        if len(_location(where, _LONGEST)) > limits.LOCATION_CHARS_MAX:
            return f"the place in {where.folder} takes more than {limits.LOCATION_CHARS_MAX} characters as a URI"
        return None

    async def publish(self, where: LocalPublisher, below: str, results: Path) -> str:
        """See Publishing."""
        place = self._place(where, below)
        partial = f"{_partials(place)}{os.urandom(8).hex()}"  # Another winner may be publishing the same.
        try:
            await self._offload(_copied, results, place, partial)
            await self._offload(_named, place, partial)
        finally:
            with trio.CancelScope(shield=True):  # Deleting a folder is bounded by its limits.
                await self._offload(_dropped, place, partial)
        return _location(where, below)

    async def retract(self, where: LocalPublisher, below: str) -> None:
        """See Publishing. Of the folders on the way, those go that are named in ``below`` and left empty."""
        place = self._place(where, below)
        await self._offload(_taken_back, place, below.count("/"))

    @asynccontextmanager
    async def published(self, where: LocalPublisher, below: str, location: str, bytes_max: int) -> AsyncIterator[Path]:
        """See Publishing: the folder itself, whose bytes are counted as they are hashed."""
        place = self._place(where, below)
        if location != _location(where, below):
            raise BadResult(f"it says that it published to {location[:200]!r}, and not to {_location(where, below)}")
        await self._offload(_check_is_there, place)
        yield place.path

    def _place(self, where: LocalPublisher, below: str) -> _Place:
        listed = self._listed(where)
        if listed is None:
            raise StorageError(self.refusal(where))
        *above, name = (Path(where.folder).relative_to(listed) / below).parts
        return _Place(self._roots[listed], tuple(above), name)

    def _listed(self, where: LocalPublisher) -> Path | None:
        folder = Path(where.folder)
        return next((listed for listed in self._roots if listed in (folder, *folder.parents)), None)


def _location(where: LocalPublisher, below: str) -> str:
    return (Path(where.folder) / below).as_uri()


def _root(folder: Path, private: Path) -> Path:
    real = folder.resolve()
    try:
        is_folder = real.is_dir()
    except OSError as error:
        raise OperatorError(f"{_FLAG} {folder}: {error.strerror}") from error
    if not is_folder:
        raise OperatorError(f"{_FLAG} {folder}: there is no such folder")
    if real == Path("/") or real == private or private in real.parents or real in private.parents:
        raise OperatorError(f"{_FLAG} {folder}: results would get among the node's own files; list another folder")
    if not os.access(real, os.W_OK | os.X_OK):
        raise OperatorError(f"{_FLAG} {folder}: this node may not write there")
    return real


def _check_is_there(place: _Place) -> None:
    try:
        with _opened(place) as folder:
            os.close(os.open(place.name, _FOLDER, dir_fd=folder))
    except OSError as error:
        why = f"{place.path} is not there on the requester ({error.strerror}): do both see the same share?"
        raise StorageError(why) from error


def _partials(place: _Place) -> str:
    """How the names begin that results of this place alone have before they are whole."""
    return f".partial-{place.name}-"


def _copied(results: Path, place: _Place, partial: str) -> None:
    try:
        _make_partial(results, place, partial)
        with _opened(place) as folder:
            is_synced_whole = is_large(results) and syncs_whole(folder)
            _fill(results, folder, partial, is_synced_whole=is_synced_whole)
            if is_synced_whole:
                sync_filesystem(folder)
    except OSError as error:
        raise _cannot(place, error) from error


def _make_partial(results: Path, place: _Place, partial: str) -> None:
    """And what is on the way; again when somebody takes his own back and thinks that way empty."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with _opened(place, make=True) as folder:
                os.mkdir(partial, _mode(results), dir_fd=folder)
        except FileNotFoundError:
            if attempt == _ATTEMPTS:
                raise
        else:
            return


def _taken_back(place: _Place, own: int) -> None:
    try:
        _remove_all(place)
        _remove_empty(place, own)
    except OSError as error:
        raise StorageError(f"what was published to {place.path} cannot be taken back: {error.strerror}") from error


def _remove_all(place: _Place) -> None:
    """Its results, whole or not."""
    with suppress(FileNotFoundError), _opened(place) as folder:
        there = os.listdir(folder)
        for name in [name for name in there if name == place.name or name.startswith(_partials(place))]:
            with suppress(FileNotFoundError):
                _remove(folder, name)
        os.fsync(folder)


def _remove_empty(place: _Place, own: int) -> None:
    """The last ``own`` folders above a place, from below, until one has something in it."""
    for depth in range(len(place.above), len(place.above) - own, -1):
        try:
            with _opened(_Place(place.root, place.above[: depth - 1], "")) as folder:
                os.rmdir(place.above[depth - 1], dir_fd=folder)
        except FileNotFoundError:
            continue
        except OSError:  # Others' results are in it, or the folder is not ours to remove.
            return


def _named(place: _Place, partial: str) -> None:
    """Instead of whatever has its name: a winner may have put something else there before, or be doing so."""
    try:
        with _opened(place) as folder:
            _put(folder, partial, place.name)
            os.fsync(folder)
    except OSError as error:
        raise _cannot(place, error) from error


def _put(folder: int, partial: str, name: str) -> None:
    old = f"{partial}.old"
    for attempt in range(1, _ATTEMPTS + 1):
        with suppress(FileNotFoundError):
            os.rename(name, old, src_dir_fd=folder, dst_dir_fd=folder)
        try:
            os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:  # Somebody was faster.
            if attempt == _ATTEMPTS:
                raise
        else:
            return
        finally:
            with suppress(OSError):
                _remove(folder, old)


def _dropped(place: _Place, partial: str) -> None:
    with suppress(OSError), _opened(place) as folder:
        _remove(folder, partial)


def _cannot(place: _Place, error: OSError) -> NoRoom:
    return NoRoom(f"the results cannot be published to {place.path}, where no link is followed: {error.strerror}")


@contextmanager
def _opened(place: _Place, *, make: bool = False) -> Iterator[int]:
    """The folder that the place is in. Raises OSError, also for a link on the way."""
    handle = os.open(place.root, _FOLDER)
    try:
        for name in place.above:
            if make:
                _make(handle, name)
            above, handle = handle, os.open(name, _FOLDER, dir_fd=handle)
            os.close(above)
        yield handle
    finally:
        os.close(handle)


def _make(parent: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)


def _copy_folder(source: Path, parent: int, name: str, *, is_synced_whole: bool) -> None:
    os.mkdir(name, _mode(source), dir_fd=parent)
    _fill(source, parent, name, is_synced_whole=is_synced_whole)


def _fill(source: Path, parent: int, name: str, *, is_synced_whole: bool) -> None:
    """Synced here, unless it will be as a whole: a path that is gone through again might lead to something else.

    What is there belongs to this node, so no more than its own limits can be found in it.
    """
    folder = os.open(name, _FOLDER, dir_fd=parent)
    try:
        with os.scandir(source) as entries:
            for entry in entries:
                copy = _copy_folder if entry.is_dir(follow_symlinks=False) else _copy_file
                copy(Path(entry.path), folder, entry.name, is_synced_whole=is_synced_whole)
        if not is_synced_whole:
            os.fsync(folder)
    finally:
        os.close(folder)


def _mode(folder: Path) -> int:
    return folder.stat().st_mode & 0o777 | 0o700


def _copy_file(source: Path, parent: int, name: str, *, is_synced_whole: bool) -> None:
    with source.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777 | 0o600
        with os.fdopen(os.open(name, _NEW_FILE, mode, dir_fd=parent), "wb") as copy:
            shutil.copyfileobj(file, copy, limits.BLOB_CHUNK_BYTES)
            copy.flush()
            if not is_synced_whole:
                os.fsync(copy.fileno())


def _remove(parent: int, name: str, depth: int = 0) -> None:
    """Whatever it is, and nothing that it leads to. Raises OSError, also for a tree that is deeper than results are."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        if depth > limits.RESULT_DEPTH_MAX:
            raise
        folder = os.open(name, _FOLDER, dir_fd=parent)
        try:
            for entry in os.listdir(folder):
                _remove(folder, entry, depth + 1)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=parent)
