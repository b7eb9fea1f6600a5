"""Yamux of py-libp2p 0.8.1, made fit to face strangers: the streams of a connection and the frames they travel in.

Lives here: every private name of the library's Yamux that we replace or lean on; ``hardening`` says what for.
Does not live here: what to do with streams.
"""

from __future__ import annotations

import struct
from typing import Any

import libp2p.stream_muxer.yamux.yamux as yamux
import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH
from libp2p.stream_muxer.exceptions import MuxedStreamError, MuxedStreamReset

from node import limits
from node.transport.libp2p.pacing import Overrun, Paced
from node.transport.libp2p.plain import Plain

RECEIVE_BYTES = 64 * limits.KiB
LAST_WRITE_S = 0.5
REPLIES_MAX = (
    2 * limits.STREAMS_PER_CONNECTION
)  # Frames that a peer has asked for and not taken; one more ends the connection.
_HEADER = struct.Struct(yamux.YAMUX_HEADER_FORMAT)
_PAYLOAD_BYTES = MAX_PLAINTEXT_LENGTH - yamux.HEADER_SIZE  # A frame is one message of Noise, not one and a bit.


def install() -> None:
    """Put our classes where the library names its own; idempotent."""
    yamux.YamuxStream = Stream
    yamux.MAX_WINDOW_SIZE = limits.STREAM_WINDOW_BYTES


class Stream(yamux.YamuxStream):  # type: ignore[misc]
    """A Yamux stream whose windows are kept: ours by the peer, the peer's by us."""

    def __init__(self, stream_id: int, conn: Muxer, is_initiator: bool) -> None:
        self._changed = trio.Event()
        self._send_window = self._recv_window = 0
        self._closed = False
        self._came = bytearray()
        self._owed = 0  # read, and not granted anew
        super().__init__(stream_id, conn, is_initiator)

    @property
    def send_window(self) -> int:
        """How much we may still send."""
        return self._send_window

    @send_window.setter
    def send_window(self, size: int) -> None:
        self._send_window = size
        self._changed.set()

    @property
    def recv_window(self) -> int:
        """How much the peer may still send."""
        return self._recv_window

    @recv_window.setter
    def recv_window(self, size: int) -> None:
        if size < 0:
            raise Overrun(f"{-size} bytes more than the window")
        self._recv_window = size

    @property
    def closed(self) -> bool:
        """Whether the stream is over in both directions."""
        return self._closed

    @closed.setter
    def closed(self, closed: bool) -> None:
        self._closed = closed
        self._changed.set()
        if closed and self._is_listed:
            self.conn.stream_events[self.stream_id].set()

    async def write(self, data: bytes | memoryview) -> None:
        """All of ``data``, waiting for the peer's window as long as the caller does."""
        view = memoryview(data)
        while view:
            size = min(await self._window(), _PAYLOAD_BYTES, len(view))
            self.send_window -= size
            header = _HEADER.pack(0, yamux.TYPE_DATA, 0, self.stream_id, size)
            await self.conn._write_frame(header + view[:size])
            view = view[size:]

    @property
    def is_open(self) -> bool:
        """Whether more may come: no end of it, of this side or of the connection is known."""
        ended = self._closed or self.recv_closed or self.reset_received or self.conn.event_shutting_down.is_set()
        return not ended and self._is_listed

    def take(self, data: bytes) -> None:
        """See plain.Open."""
        if self.is_open:
            self.recv_window -= len(data)
            self.conn.stream_buffers[self.stream_id] += data
            self.conn.stream_events[self.stream_id].set()

    async def receive(self) -> bytes:
        """What has come, at least one byte; b"" when the peer has ended its side. Raises MuxedStreamReset.

        What came just before the connection ended is given too; the library forgets it. Nothing is awaited once bytes
        are taken, so that a reader who is cancelled has lost none.
        """
        await trio.lowlevel.checkpoint()
        await self._auto_tune_and_send_window_update()
        while self.is_open and not self._unread():
            if self.conn.stream_events[self.stream_id].is_set():  # Another one may be waited for.
                self.conn.stream_events[self.stream_id] = trio.Event()
            await self.conn.stream_events[self.stream_id].wait()
        came = self._unread()
        if not came and (self.reset_received or not self.recv_closed):
            raise MuxedStreamReset("the stream was reset, or its connection ended")
        data = bytes(came[:RECEIVE_BYTES])
        del came[:RECEIVE_BYTES]
        self._owed += len(data)
        return data

    async def forget(self) -> None:
        """Both ways have ended, and nobody reads on."""
        self._unread().clear()
        await self.conn._finalize_stream(self, fully_closed=True)

    async def _auto_tune_and_send_window_update(self, *, bytes_read: int = 0) -> None:
        """Who reads half a window gets one of twice the size, to the limit. The library calls this after its reads."""
        self._owed += bytes_read
        if self._owed < self.target_recv_window // 2 or not self.is_open:
            return
        owed, self._owed = self._owed, 0
        growth = min(self.target_recv_window, yamux.MAX_WINDOW_SIZE - self.target_recv_window)
        grant = owed + growth
        self.target_recv_window += growth
        self.recv_window += grant
        try:
            await self.send_window_update(grant)
        except trio.Cancelled:  # Before it was written: what is being written is.
            self.recv_window -= grant
            self.target_recv_window -= growth
            self._owed += owed
            raise

    @property
    def _is_listed(self) -> bool:
        """Whether its number is still its own: a peer may use those of streams that are over for others."""
        return self.conn.streams.get(self.stream_id) is self

    def _unread(self) -> bytearray:
        if self._is_listed:
            self._came = self.conn.stream_buffers[self.stream_id]
        return self._came

    async def _window(self) -> int:
        while True:
            if self.closed or self.send_closed:
                raise MuxedStreamError("the stream is closed for sending")
            if self.send_window > 0:
                return self.send_window
            if self._changed.is_set():  # Another one may be waited for.
                self._changed = trio.Event()
            await self._changed.wait()


class _Streams(dict[int, Stream]):
    """The streams of a connection, not more than a peer may open."""

    def __setitem__(self, stream_id: int, stream: Stream) -> None:  # type: ignore[explicit-override]
        if not stream.is_initiator:
            opened = sum(1 for other in self.values() if not other.is_initiator)
            if opened >= limits.STREAMS_PER_CONNECTION:
                raise Overrun(f"more than {opened} streams")
        super().__setitem__(stream_id, stream)


class Muxer(yamux.Yamux):  # type: ignore[misc]
    """Yamux whose frames are whole or the last."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.secured_conn: Any = Plain(Paced(self.secured_conn), self)
        self.streams = _Streams()
        self.write_stall_s = limits.WRITE_STALL_S
        self._reading: trio.lowlevel.Task | None = None
        self._replies: list[bytes] = []  # what reading has to say: acknowledgements, pongs, resets
        self._replied = trio.Event()
        self._writing = trio.CancelScope()

    @property
    def heard_at(self) -> float:
        """When the far end last sent anything, be it an answer to a ping of the library's."""
        return float(self.secured_conn.heard_at)

    @property
    def unread_bytes(self) -> int:
        """What has come on all streams and was not read."""
        return sum(map(len, self.stream_buffers.values()))

    def open(self, stream_id: int) -> Stream | None:
        """See plain.Streams."""
        stream: Stream | None = self.streams.get(stream_id)
        return stream if stream is not None and stream.is_open else None

    def hasten(self) -> None:
        """The connection is about to end: what is still written must not take long."""
        self.write_stall_s = min(self.write_stall_s, LAST_WRITE_S)
        self._writing.deadline = min(self._writing.deadline, trio.current_time() + LAST_WRITE_S)

    async def open_stream(self) -> Stream:
        """A new stream; the far end is told, and may say nothing yet."""
        await self.stream_backlog_semaphore.acquire()
        stream = Stream(self.next_stream_id, self, is_initiator=True)
        stream._owns_backlog_slot = True
        self.next_stream_id += 2
        self.stream_buffers[stream.stream_id] = bytearray()
        self.stream_events[stream.stream_id] = trio.Event()
        self.streams[stream.stream_id] = stream
        try:
            await self._write_frame(_HEADER.pack(0, yamux.TYPE_WINDOW_UPDATE, yamux.FLAG_SYN, stream.stream_id, 0))
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._finalize_stream(stream, fully_closed=True)
            raise
        return stream

    def _finalize_stream_locked(self, stream: Stream, *, fully_closed: bool) -> None:
        """The end of a stream is not that of another one which has its number now."""
        super()._finalize_stream_locked(stream, fully_closed=fully_closed and stream._is_listed)

    async def handle_incoming(self) -> None:
        """Read frames to the end of the connection, while a task beside it writes the replies."""
        self._reading = trio.lowlevel.current_task()
        async with trio.open_nursery() as replying:
            replying.start_soon(self._reply)
            await super().handle_incoming()
            replying.cancel_scope.cancel()

    async def _reply(self) -> None:
        try:
            while True:
                while self._replies:
                    frames = b"".join(self._replies)
                    self._replies.clear()
                    await self._write_frame(frames)
                self._replied = trio.Event()
                await self._replied.wait()
        except ConnectionClosedError:
            return  # Reading ends too.

    async def _write_frame(self, data: bytes) -> None:
        if trio.lowlevel.current_task() is self._reading:
            if len(self._replies) >= REPLIES_MAX:
                raise Overrun(f"{REPLIES_MAX} replies that nobody takes")
            self._replies.append(data)
            self._replied.set()
            return
        async with self._write_lock:
            if self.event_closed.is_set():
                raise ConnectionClosedError("the connection is closed")
            deadline = trio.current_time() + self.write_stall_s
            with trio.CancelScope(shield=True, deadline=deadline) as self._writing:
                await self.secured_conn.write(data)
            if self._writing.cancelled_caught:
                self.event_shutting_down.set()
                with trio.CancelScope(shield=True):
                    await self.secured_conn.close()  # wakes the read loop, which cleans up
                raise ConnectionClosedError(f"the peer took no data for {self.write_stall_s:g} s")
