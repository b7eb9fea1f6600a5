"""Where a worker that stays may write: one folder of its own, lent out as the results folder of one run after another.

Landlock's rules are of a folder itself and go with it wherever it is moved, and they cannot be changed for a process
that has begun. So the folder that the worker may write to takes the place of a run's results for as long as the run
lasts. Then it is emptied, when the results were small and are in memory; else what is in it is moved into a fresh
folder, and the two change places. What ran before, and the results of others, which lie beside it, are out of the
worker's reach.
Does not live here: when (``executor``).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from node.removal import remove

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2

_libc = ctypes.CDLL(None, use_errno=True)


class Desk:
    """``folder`` is its name while it is not lent; it must lie on the filesystem of the results. All calls block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def made(self) -> int:
        """A descriptor that stands for it, whatever it is called meanwhile; the caller closes it. Raises OSError."""
        self.folder.mkdir(0o700)
        try:
            return os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:  # A node without descriptors must not fill its disk with folders as well.
            self.folder.rmdir()
            raise

    def lend(self, results: Path) -> None:
        """Put it in the place of ``results``, an empty folder or none. Raises OSError."""
        self.folder.rename(results)

    def take_back(self, results: Path, names: Iterable[str]) -> None:
        """Leave a fresh folder at ``results``, with these of its entries. Raises OSError, also when it has others."""
        self.folder.mkdir(0o700)  # Its name is free while it is lent.
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # A run that failed need not have made all of them.
                (results / name).rename(self.folder / name)
        _exchange(self.folder, results)
        _need_empty(self.folder)

    def empty(self, results: Path, names: Iterable[str]) -> None:
        """Leave nothing at ``results``, of which these are the entries. Raises OSError, also when it has others."""
        for name in names:
            self._delete(results / name)
        _need_empty(results)
        results.rename(self.folder)

    def clear(self) -> None:
        """Remove it, if it is not lent."""
        with contextlib.suppress(OSError):  # Then whoever sweeps the results at the next start tries again.
            remove(self.folder)

    def _delete(self, entry: Path) -> None:
        """Not looked into where the worker still reaches it: a name there may be a link to anywhere the next moment."""
        try:
            entry.unlink(missing_ok=True)
        except IsADirectoryError:
            entry.rename(self.folder)  # As in ``take_back``, a free name, and out of its reach.
            if self.folder.is_symlink():
                self.folder.unlink()
            else:
                remove(self.folder)


def _need_empty(folder: Path) -> None:
    if any(folder.iterdir()):
        raise FileExistsError(errno.ENOTEMPTY, "it left more than it was asked for")


def _exchange(one: Path, other: Path) -> None:
    """At once, so that who looks for results finds some at any time."""
    paths = (os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    if _libc.renameat2(_AT_FDCWD, *paths, _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
