"""Removes folders that others filled, however deep.

A workload can nest folders deeper than a path may be long, and than ``shutil.rmtree`` can recurse (Python 3.11); so
each folder is moved to the top before it is emptied, and no path is ever longer than the top's and two names.
Does not live here: what is removed when.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def remove(top: Path) -> None:
    """Remove the folder and all in it; nothing when it is not there. Blocking. Raises OSError."""
    prefix = os.urandom(8).hex()  # Begins no name of the workload's.
    count = 0
    waiting = [top]
    while waiting:
        folder = waiting[-1]
        found = len(waiting)
        _opened_up(folder)
        for entry in _entries(folder):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
            elif folder == top:
                waiting.append(Path(entry.path))
            else:
                count += 1
                _opened_up(Path(entry.path))
                waiting.append(Path(entry.path).rename(top / f"{prefix}{count}"))
        if len(waiting) == found:
            waiting.pop()
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()


def _opened_up(folder: Path) -> None:
    """A workload of our own user can take its folders' modes away, and so the way to what is in them."""
    with contextlib.suppress(FileNotFoundError):
        if folder.stat(follow_symlinks=False).st_mode & 0o700 != 0o700:
            folder.chmod(0o700)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
