"""A file of this machine as a blob to send."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from node import limits
from node.ambient import Offload
from node.errors import BlobRefused
from node.transport.base import Blob


async def file_blob(path: Path, offset: int, offload: Offload) -> Blob:
    """``path`` from ``offset`` to its end as it is now. Raises BlobRefused when that cannot be read."""
    file, size = await offload(_opened, path, offset)
    return Blob(size, _chunks(file, size, offload))


def _opened(path: Path, offset: int) -> tuple[BinaryIO, int]:
    try:
        file = open(path, "rb", buffering=0, opener=_regular)  # noqa: SIM115  (closed by the chunks)
        size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise BlobRefused("the file cannot be read any more") from error
    if offset > size:
        file.close()
        raise BlobRefused(f"the file ends at {size}, before {offset}")
    file.seek(offset)
    return file, size - offset


def _regular(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


async def _chunks(file: BinaryIO, size: int, offload: Offload) -> AsyncIterator[bytes]:
    with file:
        while size > 0:
            chunk = await offload(file.read, min(size, limits.BLOB_CHUNK_BYTES))
            if not chunk:
                return  # It has become shorter; the receiver hears no end marker.
            size -= len(chunk)
            yield chunk
