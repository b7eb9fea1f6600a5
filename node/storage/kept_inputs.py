"""Fetched inputs as they lie on disk: a folder of entries, each whole by its name alone. Blocking; through Offload.

``inputs/<sha256 of the key>.<bytes>.<number>/input`` is one entry, a file or a folder; its mtime says when it was used.
What is on its way in or out is called ``.partial-<number>``, which no start takes for whole. An entry gets its name
after its bytes are on the disk, so that neither a killed node nor a power cut leaves a short one.
Files are made read-only. One that is hard-linked into a run (``node.executor.wasm.staging``) is shown in a read-only
folder, so that the guest can neither open it for writing nor link it elsewhere; the mode is a second line behind that.
Does not live here: what is kept for how long, and who waits for whom (``node.storage.cache``).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node import limits
from node.durable import sync_tree
from node.errors import OperatorError, StorageError
from node.removal import remove

_WHOLE = re.compile(r"([0-9a-f]{64})\.([0-9]{1,19})\.([0-9]{1,19})")
_PARTIAL = ".partial-"
_INPUT = "input"


@dataclass(frozen=True, slots=True)
class Entry:
    """A whole entry: the name of its key, what it takes of the disk, the folder that is all of it."""

    name: str
    disk_bytes: int
    folder: Path

    @property
    def path(self) -> Path:
        """The input."""
        return self.folder / _INPUT


class KeptInputs:
    """The folder. Making it sweeps what was on its way; raises OperatorError when it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = sorted(_found(folder))
            for left_over in {Path(entry.path) for entry in os.scandir(folder)} - {each.folder for _, _, each in found}:
                _removed(left_over)
        except OSError as error:
            raise OperatorError(f"{error.filename or folder} cannot be used: {error.strerror}") from error
        self._numbers = itertools.count(1 + max((number for _, number, _ in found), default=0))
        self.entries = tuple(entry for _, _, entry in found)

    def begun(self) -> Path:
        """A path for an input on its way in; its folder is there, and its own. Raises OSError."""
        partial = self._partial()
        partial.mkdir(mode=0o700)
        return partial / _INPUT

    def finished(self, name: str, path: Path, bytes_max: int) -> Entry:
        """What ``begun`` named is whole. Raises OSError, StorageError when it is more than ``bytes_max`` bytes."""
        disk_bytes = _settled(path, bytes_max)
        entry = Entry(name, disk_bytes, self.folder / f"{name}.{disk_bytes}.{next(self._numbers)}")
        path.parent.rename(entry.folder)
        return entry

    def used(self, entry: Entry) -> bool:
        """Mark as used now; False when somebody took it away."""
        try:
            os.utime(entry.folder)
        except FileNotFoundError:
            return False
        except OSError:  # A disk that has become read-only: it can still be read.
            pass
        return entry.path.exists()

    def dropped(self, entry: Entry) -> None:
        """Remove a whole entry; a crash at any moment leaves none that looks whole and is not. Raises OSError."""
        partial = self._partial()
        with contextlib.suppress(FileNotFoundError):
            entry.folder.rename(partial)
        remove(partial)

    def abandoned(self, path: Path) -> None:
        """Remove what ``begun`` named and what became of it. Raises OSError."""
        remove(path.parent)

    def _partial(self) -> Path:
        return self.folder / f"{_PARTIAL}{next(self._numbers)}"


def _found(folder: Path) -> Iterator[tuple[int, int, Entry]]:
    """When used (ns), number and entry; of two for one key the one that was used last counts."""
    for each in os.scandir(folder):
        match = _WHOLE.fullmatch(each.name)
        if match is not None and os.path.lexists(os.path.join(each.path, _INPUT)):
            used = each.stat(follow_symlinks=False).st_mtime_ns
            yield used, int(match[3]), Entry(match[1], int(match[2]), Path(each.path))


def _removed(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove(path)
    else:
        path.unlink()


def _settled(path: Path, bytes_max: int) -> int:
    """Bytes that the tree takes of the disk, once they are there. Its files are read-only from now on, for any user: a
    container's is somebody else.
    """
    size = taken = 0
    for found, entry_path in _walked(path):
        taken += found.st_size + limits.INPUT_ENTRY_BYTES
        if stat.S_ISREG(found.st_mode):
            size += found.st_size
            os.chmod(entry_path, 0o444)
        elif stat.S_ISDIR(found.st_mode):
            os.chmod(entry_path, 0o755)  # noqa: S103  (the folder above is the node's alone)
        else:
            raise StorageError("what was fetched holds something that is neither a file nor a folder")
        if size > bytes_max:
            raise StorageError(f"more was fetched than the {bytes_max} bytes that were announced")
    sync_tree(path)
    return taken


def _walked(top: Path) -> Iterator[tuple[os.stat_result, str]]:
    waiting = [os.fspath(top)]
    while waiting:
        path = waiting.pop()
        found = os.lstat(path)
        yield found, path
        if stat.S_ISDIR(found.st_mode):
            with os.scandir(path) as entries:
                waiting.extend(entry.path for entry in entries)
