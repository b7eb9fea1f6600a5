"""Small result files, up to a thousand to an answer: one request for each would take a minute for ten thousand shards.

Lives here: which files come so, and cutting an answer into them by the sizes in the list, each checked before it is
written. Does not live here: files that come alone, and going on in the middle of one (``cli.download``).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from cli.errors import BrokenAnswer
from node import limits
from node.api.views import FileView

SMALL_BYTES = 64 * limits.KiB
TOGETHER_MIN = 16  # Fewer neighbours come alone, and can go on where they broke off.

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def runs(files: Sequence[FileView], partial: Path) -> Iterator[range]:
    """Neighbours in the list that are small and not in the folder yet, by where they stand in it."""

    def comes_so(index: int) -> bool:
        return files[index].size <= SMALL_BYTES and not os.path.lexists(partial / files[index].name)

    for small, group in groupby(range(len(files)), comes_so):
        indices = list(group)
        for at in range(0, len(indices), limits.FILES_JOINED_MAX):
            run = indices[at : at + limits.FILES_JOINED_MAX]
            if small and len(run) >= TOGETHER_MIN:
                yield range(run[0], run[-1] + 1)


def received(pieces: Iterator[bytes], files: Sequence[FileView], partial: Path) -> Iterator[FileView]:
    """Each file once it is in place. Raises BrokenAnswer, OSError; what was yielded before stays, and is right."""
    waiting = bytearray()
    for file in files:
        while len(waiting) < file.size:
            piece = next(pieces, b"")
            if not piece:
                raise _broken(file, f"ended after {len(waiting)} of {file.size} bytes")
            waiting += piece
        content = bytes(waiting[: file.size])
        del waiting[: file.size]
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise _broken(file, "is not the one that won (its sha256 differs)")
        _put(partial / file.name, content)
        yield file
    if waiting or any(pieces):
        raise BrokenAnswer(f"the node sent more than the {len(files)} result files that it was asked for")


def _broken(file: FileView, what: str) -> BrokenAnswer:
    return BrokenAnswer(
        f"the result file {file.name!r} {what}", "nothing of it is kept; try again, or tell the operator"
    )


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, _NEW, 0o600), "wb") as out:
        out.write(content)
