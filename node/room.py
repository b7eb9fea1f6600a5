"""Whether the disk has room for more: what clients and peers bring stops before the disk is full.

What is left then is for the journal, which the node cannot do without. Blocking.
"""

from __future__ import annotations

import os
from pathlib import Path

from node import limits
from node.errors import NoRoom


def need_room(folder: Path, more_bytes: int = 0) -> None:
    """Raise NoRoom unless the disk of ``folder`` takes so much more and keeps its reserve."""
    try:
        found = os.statvfs(folder)
    except OSError as error:
        raise NoRoom(f"the disk of this node cannot be used: {error.strerror}") from error
    free = found.f_bavail * found.f_frsize
    if free < more_bytes + limits.DISK_RESERVE_BYTES:
        raise NoRoom(
            f"the disk of this node has {free} bytes free; it takes {more_bytes} more and a reserve of"
            f" {limits.DISK_RESERVE_BYTES}"
        )
