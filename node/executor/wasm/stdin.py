"""Standard input: a file of an input, opened on the way that the program sees, through no link.

Does not live here: which inputs are shown where (``staging``).
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from node.executor.wasm.staging import Unusable


@contextmanager
def opened(guest: str | None, shown: Sequence[tuple[str, str]]) -> Iterator[str | None]:
    """A path of this process that names the file while the context lasts; None for None.

    ``shown``: (host folder, guest path) of each input. Raises Unusable.
    """
    if guest is None:
        yield None
        return
    file = _open(guest, shown)
    try:
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)


def _open(guest: str, shown: Sequence[tuple[str, str]]) -> int:
    below = [(place, host) for host, place in shown if guest.startswith(place.rstrip("/") + "/")]
    if any(place.rstrip("/") == guest.rstrip("/") for _, place in shown):
        raise Unusable(f"standard input is to be {guest}, which is a folder; name a file in it")
    if not below:
        raise Unusable(f"standard input is to be {guest}, and the run sees no input there")
    place, host = max(below)  # The longest: all are beginnings of one path.
    *folders, name = posixpath.relpath(guest, place).split("/")
    current = os.open(host, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
            os.close(current)
            current = inner
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=current)
    except OSError as error:
        raise Unusable(f"standard input is to be {guest}, which cannot be opened: {error.strerror}") from error
    finally:
        os.close(current)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise Unusable(f"standard input is to be {guest}, which is not a file")
    return file
