"""Files and folders of this machine as CIDs and blocks: blocking work, with the memory of one chunk and one folder.

Lives here: reading a tree that may be hostile, or change meanwhile. Does not live here: which blocks they become
(``layout``), where the blocks go. Symbolic links, devices, pipes and names that are not UTF-8 are refused, so that
what has a CID here has the same one, and the same meaning, everywhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from node.errors import StorageError
from node.limits import INPUT_DEPTH_MAX, INPUT_ENTRIES_MAX, MiB
from node.storage.ipfs.cid import DAG_PB, Cid
from node.storage.ipfs.layout import PROFILES, V0_2015, V1_2025, FileLayout, Imported, Layout, Profile, Put

_READ_BYTES = 1 * MiB  # whole chunks of every profile
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC

Checkpoint = Callable[[], object]
"""Called between reads; raises to end the work, as ``trio.from_thread.check_cancelled`` does."""


def import_tree(
    path: Path, profile: Profile, put: Put | None = None, checkpoint: Checkpoint = lambda: None
) -> Imported:
    """Import what lies at ``path``; ``put`` gets every block. Links are not followed, but ``path`` may be one.

    Raises StorageError that names the path: it cannot be read, is no file or folder, has changed meanwhile; and what
    ``put`` raises.
    """
    return imported(path, [Layout(profile, put)], checkpoint)[0]


def imported(path: Path, layouts: Sequence[Layout], checkpoint: Checkpoint = lambda: None) -> list[Imported]:
    """The same for several layouts, with one reading. Raises StorageError as ``import_tree`` does."""
    return _Import(layouts, checkpoint).of(path)


def cid_of(path: Path, profile: Profile, checkpoint: Checkpoint = lambda: None) -> Cid:
    """The CID alone. Raises StorageError as ``import_tree`` does."""
    return import_tree(path, profile, None, checkpoint).cid


def confirms(path: Path, cid: Cid, checkpoint: Checkpoint = lambda: None) -> bool:
    """Whether Kubo makes this CID of what lies at ``path``, in one of its profiles; read once, whatever the profile.

    A file alone in a folder (``ipfs add --wrap-with-directory``) is confirmed as that folder, and only by it, since
    that is what a job would see. Raises StorageError as ``import_tree`` does.
    """
    found = imported(path, [Layout(profile) for profile in _candidates(cid)], checkpoint)
    return any((made.cid.codec, made.cid.multihash) == (cid.codec, cid.multihash) for made in found)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns the system's errors into StorageError with this path."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{_shown(path)} cannot be read: {error.strerror}") from error


def _candidates(cid: Cid) -> Sequence[Profile]:
    if cid.version == 0:
        return (V0_2015,)
    # A raw block is a whole file of one chunk; dag-pb may also be a CID of version 0 written anew as version 1.
    return PROFILES if cid.codec == DAG_PB else (V1_2025,)


class _Import:
    """One pass over a tree, for several layouts at once."""

    def __init__(self, layouts: Sequence[Layout], checkpoint: Checkpoint) -> None:
        self._layouts = layouts
        self._checkpoint = checkpoint
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._entries = 0

    def of(self, path: Path) -> list[Imported]:
        with naming(path):
            mode = os.stat(path).st_mode
        return self._opened(str(path), mode, None, path, 0)

    def _opened(self, name: str, mode: int, folder: int | None, path: Path, depth: int) -> list[Imported]:
        """Import an entry, looked at before it is opened (to open a device may do something), and again after."""
        _check_kind(path, mode)
        with naming(path):
            handle = os.open(name, _FLAGS | (os.O_NOFOLLOW if depth else 0), dir_fd=folder)
        try:
            now = os.fstat(handle)
            if stat.S_IFMT(now.st_mode) != stat.S_IFMT(mode):
                raise _changed(path)
            return self._folder(handle, path, depth) if stat.S_ISDIR(mode) else self._file(handle, path, now)
        finally:
            os.close(handle)

    def _folder(self, handle: int, path: Path, depth: int) -> list[Imported]:
        if depth >= INPUT_DEPTH_MAX:
            raise StorageError(f"{_shown(path)} is more than {INPUT_DEPTH_MAX} folders deep")
        columns: list[list[tuple[str, Imported]]] = [[] for _ in self._layouts]
        for name, mode in self._listed(handle, path):
            below = path / name
            made = self._opened(name, mode, handle, below, depth + 1)
            for column, one in zip(columns, made, strict=True):
                column.append((name, one))
        try:
            return [layout.folder(column) for layout, column in zip(self._layouts, columns, strict=True)]
        except ValueError as error:
            raise StorageError(f"{_shown(path)}: {error}") from error

    def _listed(self, handle: int, path: Path) -> list[tuple[str, int]]:
        """Names and modes, sorted so that imports are alike."""
        found = []
        with naming(path), os.scandir(handle) as entries:
            for entry in entries:
                self._count(path, entry.name)
                found.append((entry.name, entry.stat(follow_symlinks=False).st_mode))
        return sorted(found)

    def _count(self, path: Path, name: str) -> None:
        self._checkpoint()
        self._entries += 1
        if self._entries > INPUT_ENTRIES_MAX:
            raise StorageError(f"{_shown(path)}: more than {INPUT_ENTRIES_MAX} files and folders")
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise StorageError(f"{_shown(path / name)}: the name is not UTF-8") from error

    def _file(self, handle: int, path: Path, before: os.stat_result) -> list[Imported]:
        files = [layout.file() for layout in self._layouts]
        if self._read(handle, path, files, before.st_size) != before.st_size or _version(os.fstat(handle)) != _version(
            before
        ):
            raise _changed(path)
        return [file.done() for file in files]

    def _read(self, handle: int, path: Path, files: Sequence[FileLayout], expected: int) -> int:
        """Hand the bytes on; how many there were. What grows for ever is not read for ever."""
        total = 0
        while total <= expected and (size := self._filled(handle, path)):
            total += size
            for file in files:
                file.write(self._buffer[:size])
            self._checkpoint()
        return total

    def _filled(self, handle: int, path: Path) -> int:
        size = 0
        with naming(path):
            while size < _READ_BYTES and (more := os.readv(handle, [self._buffer[size:]])):
                size += more
        return size


def _check_kind(path: Path, mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise StorageError(f"{_shown(path)} is a symbolic link")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise StorageError(f"{_shown(path)} is neither a folder nor a regular file")


def _version(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _changed(path: Path) -> StorageError:
    return StorageError(f"{_shown(path)} has changed while it was read")


def _shown(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")
