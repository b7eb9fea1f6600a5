"""How much a run has written: a walk over its results that ends at the limit.

Does not live here: who looks when (``watch`` during a run, ``worker`` after it).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from node import limits


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may lie in a results folder."""

    output_bytes: int  # sizes of all files, as they would be read
    output_files: int  # files, folders and links that the workload made


def excess(results: bytes, given: int, allowance: Allowance) -> str | None:
    """Which limit is passed and by what flag it is raised; None when none is.

    ``given`` entries were there before the run. Entries that vanish meanwhile do not count; links are not followed.
    """
    count, size, path_max = -given, 0, len(results) + limits.RESULT_NAME_BYTES_MAX
    for entry in _entries(results):
        count += 1
        if len(entry.path) > path_max:
            return f"nested folders to over {limits.RESULT_NAME_BYTES_MAX} bytes of path; nest them less"
        if count > allowance.output_files:
            return f"wrote more than {allowance.output_files} files; write fewer, larger ones"
        if not entry.is_dir(follow_symlinks=False):
            size += _size(entry)
        if size > allowance.output_bytes:
            return too_long(allowance.output_bytes)
    return None


def too_long(output_bytes: int) -> str:
    """The one wording for all who see it: the walk, and the node when the kernel ended the process."""
    return f"wrote more than {output_bytes} bytes; raise --disk"


def _entries(results: bytes) -> Iterator[os.DirEntry[bytes]]:
    """All that lies below, a folder before what is in it."""
    folders = [results]
    while folders:
        for entry in _inside(folders.pop()):
            yield entry
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)


def _inside(folder: bytes) -> Iterator[os.DirEntry[bytes]]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from entries


def _size(entry: os.DirEntry[bytes]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
