"""Files of this machine, or bytes in memory, as a blob to send."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Sequence
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


async def files_blob(folder: Path, files: list[tuple[str, int]], offset: int, offload: Offload) -> Blob:
    """Files below ``folder``, of which path and size are given, one behind the other; the first from ``offset`` on.

    At least one, which is opened now, each of the others when its turn comes. Raises BlobRefused when the first cannot
    be read. The chunks raise StorageError where one cannot, or does not have its size.
    """
    named = [(f"{folder}/{path}", size) for path, size in files]
    file, left = await offload(_opened, named[0][0], offset, named[0][1])
    return Blob(sum(size for _, size in files) - offset, _Chunks(file, left, offload, named[1:]))


def bytes_blob(content: bytes | memoryview) -> Blob:
    """``content``, which is kept for as long as it is being sent."""
    return Blob(len(content), _parts(memoryview(content)))


async def _parts(content: memoryview) -> AsyncIterator[bytes]:
    for begin in range(0, len(content), limits.BLOB_CHUNK_BYTES):
        yield bytes(content[begin : begin + limits.BLOB_CHUNK_BYTES])


def _opened(path: str | Path, offset: int, size: int | None = None) -> tuple[BinaryIO, int]:
    """And how many bytes are left of it; ``size``: what it must have."""
    try:
        file = open(path, "rb", buffering=0, opener=_no_link)  # noqa: SIM115  (closed by the chunks)
    except OSError as error:
        raise BlobRefused("the file cannot be read any more") from error
    found = os.fstat(file.fileno())
    problem = None
    if not stat.S_ISREG(found.st_mode) or offset > found.st_size:
        problem = f"the file ends at {found.st_size}, before {offset}, or is no file"
    elif size is not None and size != found.st_size:
        problem = f"the file has {found.st_size} bytes, and no longer {size}"
    if problem is not None:
        file.close()
        raise BlobRefused(problem)
    file.seek(offset)
    return file, found.st_size - offset


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


class _Chunks:
    """Reads as it is asked, of small files many at once; closed at the end, or by ``aclose`` whether begun or not."""

    def __init__(self, file: BinaryIO, left: int, offload: Offload, then: Sequence[tuple[str, int]] = ()) -> None:
        self._file = file
        self._left = left  # of this file
        self._offload = offload
        self._then = then
        self._behind = 0  # of those, how many had their turn

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._offload(self._filled)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _filled(self) -> bytes:
        """What can be read before an error is sent before it, so that the receiver can go on there."""
        pieces: list[bytes] = []
        room = limits.BLOB_CHUNK_BYTES
        try:
            while room and self._has_more():
                pieces.append(self._piece(room))
                room -= len(pieces[-1])
        except StorageError:
            if not pieces:
                raise
        return b"".join(pieces)

    def _has_more(self) -> bool:
        """Of this file, or of the next one that has any bytes."""
        while not self._left:
            self._file.close()
            if self._behind == len(self._then):
                return False
            path, size = self._then[self._behind]
            try:
                self._file, self._left = _opened(path, 0, size)
            except BlobRefused as error:
                raise StorageError(str(error)) from error
            self._behind += 1
        return True

    def _piece(self, room: int) -> bytes:
        try:
            piece = self._file.read(min(self._left, room))
        except OSError as error:
            raise StorageError(f"a file cannot be read any more: {error.strerror}") from error
        if not piece:
            raise StorageError(f"a file has become {self._left} bytes shorter")
        self._left -= len(piece)
        return piece
