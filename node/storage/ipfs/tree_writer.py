"""Files and folders written as a walk finds them: blocking, never outside the target, never over what exists.

Does not live here: whether names and sizes are harmless (``walk``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from node.errors import StorageError
from node.storage.ipfs.walk import BytesFound, FileFound, FolderFound, Found

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755  # whatever the umask is: jobs run as somebody else


class TreeWriter:
    """Writes what is found at ``target``, which must not exist. Nothing is synced: it can be fetched again."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._file: int | None = None

    def write(self, found: Iterable[Found]) -> None:
        """Raises StorageError when the disk does not take it."""
        path = self._target
        try:
            for one in found:
                match one:
                    case BytesFound(data):
                        self._write(data)
                    case FileFound(name):
                        path = self._target / name
                        self._open(path)
                    case FolderFound(name):
                        path = self._target / name
                        path.mkdir(_FOLDER_MODE)
                        path.chmod(_FOLDER_MODE)
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """No more comes."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self, path: Path) -> None:
        self.close()
        self._file = os.open(path, _FLAGS, _FILE_MODE)
        os.fchmod(self._file, _FILE_MODE)

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]
