"""What a shard sees of its inputs: guest paths from a requester to places on this machine that they cannot lead out of.

Lives here: which input a path is part of, and the way down to it, which follows no link. Does not live here: where an
input lies (``node.storage``), how files are shown to a workload (``node.executor``).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from node.errors import ExecutionFailed, StorageError
from node.executor.base import Mount

Part = tuple[str, ...]  # names from the input on down; none: the input itself

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STEPS = frozenset(("", ".", ".."))  # Names that lead nowhere or back.


def parts_of(inputs: Sequence[str], paths: Sequence[str]) -> dict[int, list[Part]]:
    """The parts of each input (by its index; those with none are not there), none of them inside another. Pure.

    ``inputs`` are their guest paths, none inside another. Raises ExecutionFailed for a path that is not in its shortest
    form, or of no input.
    """
    places = {tuple(path.split("/")[1:]): index for index, path in enumerate(inputs)}
    found: dict[int, list[Part]] = {}
    for path in sorted(path.split("/") for path in paths):
        names = tuple(path[1:])
        if path[0] or not _STEPS.isdisjoint(names):
            raise ExecutionFailed("data", f"the shard has a path that is not in its shortest form: {_shown(path)}")
        depth = next((depth for depth in range(1, len(names) + 1) if names[:depth] in places), None)
        if depth is None:
            raise ExecutionFailed("data", f"the shard has a path that is of no input: {_shown(path)}")
        parts = found.setdefault(places[names[:depth]], [])
        part = names[depth:]
        # Whatever lies in a folder follows it at once.
        if not parts or part[: len(parts[-1])] != parts[-1]:
            parts.append(part)
    return found


def mounted(root: Path, guest: str, parts: Sequence[Part]) -> list[Mount]:
    """The mounts that show these parts of the input at ``root``, and nothing else of it, where they belong. Blocking.

    Raises StorageError for a part that is not there, or is a link, or behind one, or neither a file nor a folder.
    """
    if list(parts) == [()]:
        return [Mount(root, guest)]
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"the input at {guest} cannot be opened: {error.strerror}") from error
    try:
        for part in parts:
            _check(folder, part, guest)
    finally:
        os.close(folder)
    return [Mount(root.joinpath(*part), "/".join((guest, *part)), guest, root) for part in parts]


def _check(folder: int, part: Part, guest: str) -> None:
    opened: list[int] = []
    try:
        for name in part[:-1]:
            folder = os.open(name, _FOLDER, dir_fd=folder)
            opened.append(folder)
        mode = os.stat(part[-1], dir_fd=folder, follow_symlinks=False).st_mode
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise StorageError(f"the input at {guest} has nothing at {_shown(part)}: {why}") from error
    finally:
        for each in opened:
            os.close(each)
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise StorageError(f"{_shown(part)} of the input at {guest} is neither a file nor a folder")


def _shown(names: Sequence[str]) -> str:
    path = "/".join(names)
    return repr(path if len(path) <= 200 else path[:199] + "…")
