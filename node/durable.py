"""What a power cut must not take: a file, a folder or a whole tree brought to the disk. Blocking; through Offload.

fsync(2) brings the bytes of one file, or the names in one folder, and waits for the journal and the disk each time: for
100,000 files that is a minute. syncfs(2) brings everything that anybody has written to the filesystem, in one go: it
costs next to nothing for many small files, and seconds when another process has gigabytes that are not written yet.
Both report a failed write-back (syncfs since Linux 5.8; before, it says nothing), but syncfs each failure once, and of
any file: of trees that are synced at the same time on a failing disk, one may be told of another's.
Does not live here: giving what is whole its name, which comes after.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Iterator
from itertools import chain, islice
from pathlib import Path

# So many are 50 ms one by one (ext4, virtual NVMe); one syncfs is 3 ms there on a disk at rest, 20 ms beside a writer
# of 300 MB/s, and 700 ms with 1.5 GB to be written first, which is what the usual few files are not to wait for.
_ONE_BY_ONE_MAX = 256
_LIBC = ctypes.CDLL(None, use_errno=True)

# linux/magic.h: ext, XFS, Btrfs, tmpfs, overlayfs, NFS. With FUSE, SMB or 9p syncfs brings what was written to a daemon
# or a server, and fsync alone from there to the disk; of others it is not known.
_SYNCED_WHOLE = frozenset({0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630, 0x6969})
_STATFS_BYTES = 256  # struct statfs, which begins with the kind of filesystem, is shorter.


def sync(path: str | Path) -> None:
    """The bytes of a file, or the names in a folder. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(top: Path, without: Collection[str] = ()) -> None:
    """A file, or a folder and all in it, where there are only files and folders; not the name of ``top`` itself.

    ``without``: paths of folders in it that were synced before. Raises OSError.
    """
    found = _found(os.fspath(top), without)
    first = list(islice(found, _ONE_BY_ONE_MAX + 1))
    if len(first) <= _ONE_BY_ONE_MAX or not _synced_whole(top):
        for path in chain(first, found):
            sync(path)


def is_large(top: Path) -> bool:
    """Whether ``sync_tree`` would not go one by one. For who writes a copy of the tree, and syncs it himself."""
    return next(islice(_found(os.fspath(top), ()), _ONE_BY_ONE_MAX, None), None) is not None


def syncs_whole(handle: int) -> bool:
    """Whether ``sync_filesystem`` reaches the disk from this open file or folder, as fsync(2) does."""
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if _LIBC.fstatfs(handle, found):
        return False
    return ctypes.c_long.from_buffer(found).value in _SYNCED_WHOLE


def sync_filesystem(handle: int) -> None:
    """Everything on the filesystem of an open file or folder. Raises OSError."""
    if _LIBC.syncfs(handle):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _synced_whole(path: Path) -> bool:
    """By its filesystem, where that is as good as one by one."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        is_enough = syncs_whole(handle)
        if is_enough:
            sync_filesystem(handle)
    finally:
        os.close(handle)
    return is_enough


def _found(top: str, without: Collection[str]) -> Iterator[str]:
    """Each folder and each file, once."""
    waiting = [top]
    while waiting:
        path = waiting.pop()
        yield path
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                waiting.extend(entry.path for entry in entries if entry.path not in without)
