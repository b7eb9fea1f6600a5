"""The ``h1:`` hash of a folder of results on disk. Blocking: a role calls it through ``Ambient.offload``.

Go's ``dirhash`` follows links and opens FIFOs; here a symlink, FIFO, socket or device anywhere in the tree is an error
of that execution, and nothing but regular files is read. Every step is relative to an open folder and follows no link,
so a tree that changes meanwhile cannot lead outside of itself.

Lives here: reading and hashing. Does not live here: which names are harmless, the text that is hashed
(``node.verifier.manifest``).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from node import limits
from node.errors import ExecutionFailed, StorageError
from node.model import DirHash, Sha256, VotedOn
from node.verifier.manifest import PREFIX, Line, Manifest, manifest_of, name_problem, voted

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WINDOW_BYTES = 256 * limits.KiB
_NOTHING: Mapping[str, bytes] = {}
# What the workload can bring about with what it leaves; anything else is this machine's fault.
_OF_THE_RESULT = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.ENXIO})


@dataclass(frozen=True, slots=True)
class HashedTree:
    """A folder of results as it was read, once. Sizes and contents are in the order of the manifest."""

    manifest: Manifest
    sizes: tuple[int, ...]  # bytes
    contents: tuple[bytes, ...] | None  # None: all together are more than limits.INLINE_BYTES_MAX

    @property
    def total_bytes(self) -> int:
        """Size of all files together."""
        return sum(self.sizes)


def hash_tree(root: Path, *, files_max: int, bytes_max: int, besides: Mapping[str, bytes] = _NOTHING) -> HashedTree:
    """Hash every file below ``root``, and small ones that are ``besides`` those in the result, by name, and not there.

    Raises ExecutionFailed: ``result`` for something that cannot be hashed, ``output`` for more than ``files_max`` files
    or folders or more than ``bytes_max`` bytes. Raises StorageError when this machine cannot read what lies there.
    """
    walk = _Walk(files_max, bytes_max)
    for name, content in besides.items():
        walk.add(f"{PREFIX}/{name}", content)
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            walk.folder(folder, PREFIX)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(f"{root} cannot be read: {error.strerror}") from error
    return walk.end()


def h1_of(path: Path, vote_on: VotedOn = "all") -> DirHash:
    """The hash of any folder, as if it were a result. Raises as ``hash_tree`` does."""
    return voted(hash_tree(path, files_max=limits.RESULT_FILES_MAX, bytes_max=2**62).manifest, vote_on).h1()


class _Walk:
    """One pass over one tree."""

    def __init__(self, files_max: int, bytes_max: int) -> None:
        self._files_max = files_max
        self._bytes_max = bytes_max
        self._lines: list[Line] = []
        self._sizes: dict[str, int] = {}
        self._contents: dict[str, bytes] = {}
        self._folders = 0
        self._bytes = 0
        self._window = memoryview(bytearray(_WINDOW_BYTES))

    def folder(self, folder: int, prefix: str) -> None:
        """Everything below one open folder; at most ``limits.RESULT_DEPTH_MAX`` of them are open at once."""
        self._folders += 1
        if self._folders > self._files_max:
            raise ExecutionFailed("output", f"more than {self._files_max} folders of results")
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}/{_decoded(entry.name, prefix)}"
                problem = name_problem(name)
                if problem is not None:
                    raise ExecutionFailed("result", f"{problem}: {name[:200]!r}")
                if name in self._sizes:
                    raise ExecutionFailed("result", f"{name!r} is a name that is not the workload's to use")
                if entry.is_file(follow_symlinks=False):
                    self._file(folder, entry.name, name)
                elif entry.is_dir(follow_symlinks=False):
                    self._subfolder(folder, entry.name, name)
                else:
                    raise _special(name)

    def add(self, name: str, content: bytes) -> None:
        """A small file that does not lie there."""
        self._bytes += len(content)
        self._sizes[name] = len(content)
        self._contents[name] = content
        self._lines.append(Line(Sha256(hashlib.sha256(content).hexdigest()), name))

    def end(self) -> HashedTree:
        """What was found, in the order of the manifest."""
        manifest = manifest_of(self._lines)
        names = [line.name for line in manifest.lines]
        small = self._bytes <= limits.INLINE_BYTES_MAX
        return HashedTree(
            manifest,
            tuple(self._sizes[name] for name in names),
            tuple(self._contents[name] for name in names) if small else None,
        )

    def _subfolder(self, parent: int, entry: str, name: str) -> None:
        folder = _opened(entry, _FOLDER, parent, name)
        try:
            self.folder(folder, name)
        finally:
            os.close(folder)

    def _file(self, parent: int, entry: str, name: str) -> None:
        if len(self._lines) == self._files_max:
            raise ExecutionFailed("output", f"more than {self._files_max} files of results")
        file = _opened(entry, _FILE, parent, name)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise _special(name)
            self._bytes += status.st_size
            if self._bytes > self._bytes_max:
                raise ExecutionFailed("output", f"more than {self._bytes_max} bytes of results")
            self._sizes[name] = status.st_size
            self._lines.append(Line(Sha256(self._hashed(file, status.st_size, name)), name))
        finally:
            os.close(file)

    def _hashed(self, file: int, size: int, name: str) -> str:
        if size <= limits.INLINE_BYTES_MAX:
            content = os.read(file, size + 1)
            if self._bytes <= limits.INLINE_BYTES_MAX:
                self._contents[name] = content
            return _unchanged(hashlib.sha256(content).hexdigest(), len(content), size, name)
        digest = hashlib.sha256()
        read = 0
        while count := os.readv(file, (self._window,)):
            digest.update(self._window[:count])
            read += count
            if read > size:
                break
        return _unchanged(digest.hexdigest(), read, size, name)


def _decoded(entry: str, prefix: str) -> str:
    """The name's own bytes as UTF-8, whatever the locale of this process says."""
    try:
        return entry if entry.isascii() else os.fsencode(entry).decode()
    except UnicodeDecodeError as error:
        raise ExecutionFailed("result", f"a name that is not valid UTF-8 in {prefix!r}: {entry!r}") from error


def _opened(entry: str, flags: int, parent: int, name: str) -> int:
    try:
        return os.open(entry, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in _OF_THE_RESULT:
            raise ExecutionFailed("result", f"{name!r} cannot be read: {error.strerror}") from error
        raise


def _special(name: str) -> ExecutionFailed:
    return ExecutionFailed("result", f"{name!r} is neither a file nor a folder (a link, a pipe, a socket or a device)")


def _unchanged(digest: str, read: int, size: int, name: str) -> str:
    if read != size:
        raise ExecutionFailed("result", f"{name!r} changed while it was read")
    return digest
