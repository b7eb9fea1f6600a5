"""Uploaded WASM modules, by the sha256 of their bytes. Blocking; called through Offload.

``modules/<sha256>.wasm`` in the data folder: the requester's store and the compute node's cache in one. Which client
may use which module is the journal's to know. The module used longest ago goes when the cache is over its limit, but
none that a job or a run holds: so no requester can push out what the jobs of this node's own clients need.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from node import limits
from node.errors import InvalidModule, NoRoom, OperatorError, TooLarge
from node.model import Sha256
from node.room import need_room

HOW_TO_SHRINK = "build it without debug information (wasm-opt -Oz, or strip)"

_MAGIC = b"\0asm\x01\0\0\0"


class Upload:
    """A module on its way in: bytes to a temporary name, hashed as they come. Making one raises NoRoom."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        try:
            handle, name = tempfile.mkstemp(prefix=".incoming-", dir=folder)
        except OSError as error:
            raise NoRoom(f"the module cannot be kept: {error.strerror}") from error
        self._file = os.fdopen(handle, "wb")
        self._path = Path(name)
        self._folder = folder
        self._hash = hashlib.sha256()
        self._head = b""
        self._bytes_max = bytes_max
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append. Raises TooLarge, InvalidModule (as soon as the first bytes say so), NoRoom."""
        self.size += len(chunk)
        if self.size > self._bytes_max:
            raise TooLarge(f"expected at most {self._bytes_max} bytes; {HOW_TO_SHRINK}")
        if len(self._head) < len(_MAGIC):
            self._head += chunk[: len(_MAGIC) - len(self._head)]
            check_head(self._head, whole=False)
        self._hash.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise NoRoom(f"the module cannot be kept: {error.strerror}") from error

    @property
    def sha256(self) -> Sha256:
        """Of what has come so far."""
        return Sha256(self._hash.hexdigest())

    def finish(self) -> Sha256:
        """Keep it under its hash; again the same bytes is no error. Raises InvalidModule, NoRoom."""
        check_head(self._head, whole=True)
        sha256 = self.sha256
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.replace(self._folder / f"{sha256}.wasm")
        except OSError as error:
            raise NoRoom(f"the module cannot be kept: {error.strerror}") from error
        return sha256

    def abandon(self) -> None:
        """Leave nothing behind; after ``finish`` it does nothing. What cannot be removed is left to the next start."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


class Modules:
    """The folder of modules. Making it raises OperatorError when the folder cannot be used."""

    def __init__(self, folder: Path, cache_bytes: int = limits.MODULE_CACHE_BYTES) -> None:
        self._folder = folder
        self._cache_bytes = cache_bytes
        self._held: Counter[Sha256] = Counter()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left_over in folder.glob(".incoming-*"):
                left_over.unlink(missing_ok=True)
        except OSError as error:
            raise OperatorError(f"{folder} cannot be used: {error.strerror}") from error

    def upload(self) -> Upload:
        """Begin an upload; the caller finishes or abandons it. Raises NoRoom."""
        need_room(self._folder)
        return Upload(self._folder, limits.MODULE_BYTES_MAX)

    def path(self, sha256: Sha256) -> Path | None:
        """Where the module lies, marked as used now; None when it is not here, or not to be read."""
        path = self._folder / f"{sha256}.wasm"
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError:  # A disk that has become read-only: it can still be used.
            return path if os.path.exists(path) else None
        return path

    def size(self, sha256: Sha256) -> int | None:
        """Its length in bytes, marked as used now; None when it is not here."""
        path = self.path(sha256)
        try:
            return None if path is None else path.stat().st_size
        except OSError:
            return None

    @contextlib.contextmanager
    def held(self, sha256: Sha256) -> Iterator[None]:
        """Keep ``trim`` from deleting the module for as long as the context. In the event loop's thread."""
        self.hold(sha256)
        try:
            yield
        finally:
            self.let_go(sha256)

    def hold(self, sha256: Sha256) -> None:
        """Keep ``trim`` from deleting it until ``let_go`` was called as often. In the event loop's thread."""
        self._held[sha256] += 1

    def let_go(self, sha256: Sha256) -> None:
        """The end of one ``hold``."""
        self._held[sha256] -= 1
        if not self._held[sha256]:
            del self._held[sha256]

    def trim(self, keep: frozenset[Sha256] = frozenset()) -> None:
        """Delete the modules used longest ago until the folder is within its limit, but none of ``keep`` or held."""
        entries = sorted(_entries(self._folder))
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total > self._cache_bytes and path.stem not in keep and path.stem not in self._held:
                total -= _removed(path, size)


def _entries(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """When used (ns), bytes and path of each module; another thread may be making room at the same time."""
    for path in folder.glob("*.wasm"):
        with contextlib.suppress(OSError):
            found = path.stat()
            yield found.st_mtime_ns, found.st_size, path


def _removed(path: Path, size: int) -> int:
    """Bytes that this gave back."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return 0
    return size


def check_head(head: bytes, *, whole: bool) -> None:
    """Whether these first bytes can be those of a core module. Raises InvalidModule with what to do."""
    if whole and not head:
        raise InvalidModule("the module is empty; expected a WASM binary, as a compiler for wasm32-wasi writes it")
    if not _MAGIC.startswith(head) or (whole and len(head) < len(_MAGIC)):
        hint = (
            "this looks like WAT text; translate it with wat2wasm first"
            if head.startswith(b"(")
            else ("expected a WASM binary (version 1, not a component), as a compiler for wasm32-wasi writes it")
        )
        raise InvalidModule(f"not a WASM module: {hint}")
