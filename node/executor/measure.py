"""How much a run has written: a walk over its results that ends at the limit, and what no walk meets.

Does not live here: who looks when (the engines, during a run and after it).
"""

from __future__ import annotations

import contextlib
import os
import resource
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from node import limits


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may lie in a results folder."""

    output_bytes: int  # sizes of all files, as they would be read
    output_files: int  # files, folders and links that the workload made


def excess(results: bytes, given: int, allowance: Allowance, *, hidden_bytes: int = 0) -> str | None:
    """Which limit is passed and by what flag it is raised; None when none is. Raises OSError.

    ``given`` entries were there before the run, and ``hidden_bytes`` are written where this does not look. Entries that
    vanish meanwhile do not count; links are not followed.
    """
    count, size, path_max = -given, hidden_bytes, len(results) + limits.RESULT_NAME_BYTES_MAX
    if size > allowance.output_bytes:
        return too_long(allowance.output_bytes)
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


def nameless_bytes(results: bytes) -> int:
    """Sizes of the files of ``results`` that this process has open and whose names are gone; they fill a disk too."""
    sizes: dict[int, int] = {}
    for number in range(resource.getrlimit(resource.RLIMIT_NOFILE)[0]):
        with contextlib.suppress(OSError):  # No such descriptor, or no longer.
            found = os.fstat(number)
            if found.st_nlink == 0 and stat.S_ISREG(found.st_mode) and _lay_in(results, number):
                sizes[found.st_ino] = found.st_size
    return sum(sizes.values())


def too_long(output_bytes: int) -> str:
    """The one wording for all who see it: the walk, and the node when the kernel ended the process."""
    return f"wrote more than {output_bytes} bytes; raise --disk"


def _lay_in(results: bytes, number: int) -> bool:
    """Not so a deleted input: the workload did not write that."""
    return os.readlink(b"/proc/self/fd/%d" % number).startswith(results + b"/")


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
