"""Frames of Yamux that nearly all are: bytes for a stream that is open, and nothing said with them.

The library gives each of them a dozen texts for a log that is off, two locks and a deadline, most of what a small
message costs. So they are taken here, in front of the library's read loop, which sees every other frame as it came.
Nothing longer than a window is read at all, whoever it is for. Acknowledgements of streams are taken off their frames:
the library would not see the end that some peers say in the same frame.
Does not live here: how fast frames may come (``pacing``), what streams do with their bytes (``muxing``).
"""

from __future__ import annotations

import struct
from typing import Any, Protocol

import libp2p.stream_muxer.yamux.yamux as yamux
import trio
from libp2p.io.exceptions import ConnectionClosedError

from node import limits
from node.transport.libp2p.pacing import Overrun, Paced

BODY_S = 60.0  # For what a header has announced.
_HEADER = struct.Struct(yamux.YAMUX_HEADER_FORMAT)


class Open(Protocol):
    """A stream that plain frames may be for."""

    @property
    def recv_window(self) -> int:
        """How much may still come."""

    def take(self, data: bytes) -> None:
        """More of it. Bytes for one that is gone meanwhile are nobody's."""


class Streams(Protocol):
    """The streams of a connection."""

    def open(self, stream_id: int) -> Open | None:
        """The one with this number if it may be sent to."""


class Plain:
    """A secured connection as the library's read loop sees it: a header, then what that announces."""

    def __init__(self, connection: Paced, streams: Streams) -> None:
        self._connection = connection
        self._streams = streams
        self._announced = 0  # bytes that the loop will ask for next

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def read(self, n: int) -> bytes:
        """What the loop asks for; meanwhile streams get theirs. Raises Overrun, ConnectionClosedError."""
        if self._announced or n != _HEADER.size:
            data = await self._connection.read(n)
            self._announced = max(0, self._announced - len(data))
            return data
        while len(header := await self._connection.read(n)) == n:
            header, (version, kind, flags, stream_id, size) = _without_ack(header)
            if kind != yamux.TYPE_DATA:
                return header
            if size > limits.STREAM_WINDOW_BYTES:
                raise Overrun(f"a frame of {size} bytes")
            stream = None if version or flags else self._streams.open(stream_id)
            if stream is None:
                self._announced = size
                return header
            if size > stream.recv_window:
                raise Overrun(f"{size - stream.recv_window} bytes more than the window")
            stream.take(await self._body(size))
        raise ConnectionClosedError("the connection ended within a header")

    async def _body(self, size: int) -> bytes:
        if not size:
            return b""
        with trio.fail_after(BODY_S):
            data = await self._connection.read(size)
        if len(data) < size:
            raise ConnectionClosedError("the connection ended within a frame")
        return data


def _without_ack(header: bytes) -> tuple[bytes, tuple[int, int, int, int, int]]:
    """A header, and what it says. That a stream is acknowledged means nothing here, and hides its end from the loop."""
    version, kind, flags, stream_id, size = _HEADER.unpack(header)
    if flags & yamux.FLAG_ACK and kind in (yamux.TYPE_DATA, yamux.TYPE_WINDOW_UPDATE):
        flags &= ~yamux.FLAG_ACK
        header = _HEADER.pack(version, kind, flags, stream_id, size)
    return header, (version, kind, flags, stream_id, size)
