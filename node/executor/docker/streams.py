"""What a container prints: taken apart, and written as it comes.

The engine's framing (Engine API, "Attach to a container"): a byte for the stream, three of zero, the length of what
follows in four, most significant first.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from pathlib import Path

import trio

from node.ambient import Offload
from node.errors import ExecutionFailed
from node.executor.measure import too_long
from node.model import STDERR, STDOUT

_HEAD = struct.Struct(">BxxxL")
_READ_BYTES = 64 * 1024
_SMALL_BYTES = 4 * 1024  # Written where it stands: a thread would cost more.
_NAMES = {1: STDOUT, 2: STDERR}


class Frames:
    """Pieces of bytes in, pieces of streams out, as soon as they are there."""

    def __init__(self) -> None:
        self._head = b""
        self._stream = 0
        self._left = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing of what has come."""
        return not self._left and not self._head

    def fed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(stream, bytes) of what has come; none of them empty."""
        found = []
        while data:
            if not self._left:
                self._head, data = (self._head + data)[: _HEAD.size], data[_HEAD.size - len(self._head) :]
                if len(self._head) == _HEAD.size:
                    self._stream, self._left = _HEAD.unpack(self._head)
                    self._head = b""
                continue
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            found.append((self._stream, piece))
        return found


async def copy(source: trio.socket.SocketType, results: Path, bytes_max: int, offload: Offload) -> None:
    """To ``stdout`` and ``stderr`` in ``results``, until the stream ends; whoever prints waits for whoever writes.

    Raises ExecutionFailed at more than ``bytes_max`` bytes of both, OSError when it cannot be kept or is cut off.
    """
    frames, left = Frames(), bytes_max
    while data := await _received(source):
        pieces = frames.fed(data)
        left -= sum(len(piece) for _, piece in pieces)
        if left < 0:
            raise ExecutionFailed("output", too_long(bytes_max))
        if len(data) > _SMALL_BYTES:
            await offload(_write, results, pieces)
        else:
            _write(results, pieces)
    if not frames.is_whole:
        raise OSError(errno.EPIPE, "the engine cut it off")


async def _received(source: trio.socket.SocketType) -> bytes:
    try:
        return await source.recv(_READ_BYTES)
    except OSError:  # The engine is gone; who follows its events says so.
        return b""


def _write(results: Path, pieces: Sequence[tuple[int, bytes]]) -> None:
    for stream, name in _NAMES.items():
        content = b"".join(piece for number, piece in pieces if number == stream)
        if content:
            with (results / name).open("ab") as file:
                file.write(content)
