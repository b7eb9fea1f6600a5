"""A file of this machine as a blob to send."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from node import limits
from node.ambient import Offload
from node.errors import BlobRefused
from node.transport.base import Blob


async def file_blob(path: Path, offset: int, offload: Offload) -> Blob:
    """``path`` from ``offset`` to its end as it is now. Raises BlobRefused when that cannot be read."""
    file, size = await offload(_opened, path, offset)
    return Blob(size, _Chunks(file, size, offload))


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


class _Chunks:
    """Reads as it is asked; closed at the end, or by ``aclose`` whether it was begun or not."""

    def __init__(self, file: BinaryIO, size: int, offload: Offload) -> None:
        self._file = file
        self._left = size
        self._offload = offload

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        chunk = b""
        if self._left > 0:
            chunk = await self._offload(self._file.read, min(self._left, limits.BLOB_CHUNK_BYTES))
            self._left -= len(chunk)
        if not chunk:  # At the end; or the file has become shorter, and the receiver hears no end marker.
            self._file.close()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Let go of the file."""
        self._file.close()
