"""A file of this machine, or bytes in memory, as a blob to send."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from node import limits
from node.ambient import Offload
from node.errors import BlobRefused, StorageError
from node.transport.base import Blob


async def file_blob(path: Path, offset: int, offload: Offload) -> Blob:
    """``path`` from ``offset`` to its end as it is now. Raises BlobRefused when that cannot be read.

    The chunks raise StorageError when the disk does not give them.
    """
    file, size = await offload(_opened, path, offset)
    return Blob(size, _Chunks(file, size, offload))


def bytes_blob(content: bytes | memoryview) -> Blob:
    """``content``, which is kept for as long as it is being sent."""
    return Blob(len(content), _parts(memoryview(content)))


async def _parts(content: memoryview) -> AsyncIterator[bytes]:
    for begin in range(0, len(content), limits.BLOB_CHUNK_BYTES):
        yield bytes(content[begin : begin + limits.BLOB_CHUNK_BYTES])


def _opened(path: Path, offset: int) -> tuple[BinaryIO, int]:
    try:
        file = open(path, "rb", buffering=0, opener=_no_link)  # noqa: SIM115  (closed by the chunks)
    except OSError as error:
        raise BlobRefused("the file cannot be read any more") from error
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or offset > found.st_size:
        file.close()
        raise BlobRefused(f"the file ends at {found.st_size}, before {offset}, or is no file")
    file.seek(offset)
    return file, found.st_size - offset


def _read(file: BinaryIO, count: int) -> bytes:
    try:
        return file.read(count)
    except OSError as error:
        raise StorageError(f"a file cannot be read any more: {error.strerror}") from error


def _no_link(path: str, flags: int) -> int:
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
            chunk = await self._offload(_read, self._file, min(self._left, limits.BLOB_CHUNK_BYTES))
            self._left -= len(chunk)
        if not chunk:  # At the end; or the file has become shorter, and the receiver hears no end marker.
            self._file.close()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Let go of the file."""
        self._file.close()
