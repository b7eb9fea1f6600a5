"""Files and folders of this machine, walked as if whoever made them meant harm.

A walk goes from folder to folder by open descriptors and follows no link, so that nothing that is swapped meanwhile
leads out of the tree; it opens no file, so that no pipe or device holds it up. Links and special files are seen and
never counted. All of it blocks, and on a mount that hangs it hangs with it (``looking``).
Does not live here: which tree may be shown to whom (the drivers).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from node import limits
from node.errors import StorageError
from node.storage.base import Entry

NEVER = tuple(map(Path, ("/proc", "/sys", "/dev")))  # No data of jobs lies there.

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # What was there a moment ago, as a folder, is not.
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Found:
    """Anything that lies in a tree, links and special files too. ``path`` is relative to it; its root is ``""``."""

    path: str  # bytes that are no UTF-8 stand as surrogates, as everywhere in Python
    status: os.stat_result  # of itself, never of what a link leads to


def usable(path: Path) -> bool:
    """Whether a file or folder lies there that this process may read. ``path`` itself is no link.

    False if nothing does. Raises StorageError for anything else, in words that fit behind a name.
    """
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise StorageError(f"cannot be used: {error.strerror}") from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise StorageError("is neither a folder nor a regular file")
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise StorageError("may not be read by this node")
    return True


def reached(root: Path, parts: Sequence[str]) -> bool:
    """Whether something lies there, each part opened in the one before. Raises StorageError for a link on the way."""
    try:
        folder = os.open(root, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"cannot be reached: {error.strerror}") from error
    try:
        for part in parts:
            inner = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
            if stat.S_ISLNK(os.fstat(folder).st_mode):
                raise StorageError("leads through a link, and links are not followed; name what it leads to")
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise StorageError(f"cannot be reached: {error.strerror}") from error
    finally:
        os.close(folder)
    return True


def size(root: Path) -> int:
    """Bytes of all regular files, holes included. Raises StorageError."""
    return sum(found.status.st_size for found in walk(root) if stat.S_ISREG(found.status.st_mode))


def listed(root: Path) -> tuple[Entry, ...]:
    """Files and folders, the root included, sorted by path. Raises StorageError, also for a name that is no UTF-8."""
    return tuple(sorted(_entries(root), key=attrgetter("path")))


def walk(root: Path, most: int = limits.INPUT_ENTRIES_MAX) -> Iterator[Found]:
    """The root and everything below it, each folder before what is in it, else in no order; ``most`` in all.

    Raises StorageError, in words that fit behind a name: something cannot be read, changes meanwhile, or is too much.
    """
    for count, found in enumerate(_everything(root)):
        if count >= most:
            raise StorageError(f"holds more than {most} files and folders")
        yield found


def openable(root: Path, most: int = limits.INPUT_ENTRIES_MAX) -> Iterator[Found]:
    """As ``walk``, of what a program is to see.

    Raises StorageError too for what it could not open, or what would hold it up: a pipe, a device or a socket, a file
    that this process may not read, a name that is not UTF-8. Links are left to whoever confines the program.
    """
    for found in walk(root, most):
        problem = _why_not_openable(root, found)
        if problem is not None:
            raise StorageError(f"holds {_shown(found.path)}, which {problem}" if found.path else problem)
        yield found


def fingerprint(found: Iterable[Found]) -> str:
    """64 hex digits that change when anything in a tree is replaced, added, removed or written to.

    Whoever can write to it and set its times back is not noticed.
    """
    digest = hashlib.sha256()
    for line in sorted(map(_line, found)):
        digest.update(line)
    return digest.hexdigest()


def _why_not_openable(root: Path, found: Found) -> str | None:
    mode = found.status.st_mode
    if not _is_text(found.path):
        return "has a name that is not UTF-8, and so none that a job can open"
    if stat.S_ISREG(mode):  # What everybody may read is not asked for: one call less for each.
        is_readable = mode & stat.S_IROTH or os.access(root / found.path, os.R_OK, effective_ids=True)
        return None if is_readable else "may not be read by this node"
    is_left_alone = stat.S_ISDIR(mode) or (stat.S_ISLNK(mode) and found.path)
    return None if is_left_alone else "is neither a file nor a folder"


def _line(found: Found) -> bytes:
    status = found.status
    kind = stat.S_IFMT(status.st_mode)
    own = () if stat.S_ISDIR(kind) else (status.st_size, status.st_mtime_ns, status.st_ino)
    return b"%s\0%s\n" % (os.fsencode(found.path), repr((kind, *own)).encode())


def _entries(root: Path) -> Iterator[Entry]:
    for found in walk(root):
        mode = found.status.st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            continue
        if not _is_text(found.path):
            raise StorageError(f"holds a name that is not UTF-8, and so none that a job can open: {_shown(found.path)}")
        yield Entry(found.path, found.status.st_size if stat.S_ISREG(mode) else 0, is_folder=stat.S_ISDIR(mode))


def _everything(root: Path) -> Iterator[Found]:
    try:
        status = root.lstat()
        yield Found("", status)
        if stat.S_ISDIR(status.st_mode):
            yield from _in_folder(os.open(root, _OPEN), "", 1)
    except OSError as error:
        raise _problem("", error) from error


def _in_folder(folder: int, prefix: str, depth: int) -> Iterator[Found]:
    """What lies below an open folder, which is closed at the end: one descriptor for each level."""
    try:
        if depth > limits.INPUT_DEPTH_MAX:
            raise StorageError(f"holds folders that lie more than {limits.INPUT_DEPTH_MAX} deep")
        subfolders = []
        for found in _directly_in(folder, prefix):
            yield found
            if stat.S_ISDIR(found.status.st_mode):
                subfolders.append(found.path)
        for path in subfolders:
            yield from _in_folder(_opened(folder, path), f"{path}/", depth + 1)
    finally:
        os.close(folder)


def _directly_in(folder: int, prefix: str) -> Iterator[Found]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield Found(prefix + entry.name, entry.stat(follow_symlinks=False))
    except OSError as error:
        raise _problem(prefix, error) from error


def _opened(parent: int, path: str) -> int:
    try:
        return os.open(path.rpartition("/")[2], _OPEN, dir_fd=parent)
    except OSError as error:
        raise _problem(path, error) from error


def _problem(path: str, error: OSError) -> StorageError:
    what = _shown(path.rstrip("/")) or "it"
    if error.errno in _CHANGED:
        return StorageError(f"changed while it was read: {what} is no longer what it was")
    return StorageError(f"cannot be read: {what}: {error.strerror}")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    return os.fsencode(name).decode(errors="backslashreplace")
