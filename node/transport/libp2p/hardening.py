"""py-libp2p 0.8.1, made fit to face strangers. Every private name of it that we replace or lean on is in this file.

We use three parts of the library and compose them ourselves: multistream-select, Noise and Yamux. Its host, swarm,
peerstore, identify, TCP transport and resource manager are not used at all, so their defects cannot be reached:
streams accepted before authentication, handlers whose exceptions end the host, inbound slots that are never given back,
shared ports, dials without a deadline, peerstores filled by strangers. What is left and needs a countermeasure:

* ``Endpoint``: a read gives exactly what was asked for, however small the pieces (the library gives up after 100);
* ``Negotiator``: a protocol name has a length limit (the library reads any announced length, before authentication);
* ``Muxer._write_frame``: a cancelled writer never tears a frame, and a peer that takes no bytes is given up;
* ``Muxer.streams``: a limit on the streams that a peer may open on one connection;
* ``Paced``: frames that cost nothing to send do not hold up the node, and too many of them end the connection;
* ``Stream.send_window``: a full window is waited for without polling and without giving up after 5 s;
* ``Stream.recv_window``: a peer that sends more than it was granted loses the connection (the library only logs);
* ``Stream.receive``: what came before the end of a connection can still be read;
* ``Stream.forget``: what nobody will read does not stay for a minute;
* ``Muxer.open_stream``: an opening that is cancelled gives its place back;
* ``contained``: whatever the library raises while it handles a peer's bytes is that peer's fault, and ends there;
* ``silence``: the library logs errors for what is normal on a network.

``selftest`` proves each of them at start-up; the version is pinned exactly.
Does not live here: what to do with streams.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import libp2p.stream_muxer.yamux.yamux as yamux
import trio
from libp2p.abc import IMultiselectCommunicator, IRawConnection
from libp2p.connection_types import ConnectionType
from libp2p.exceptions import ParseError
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError, IOException
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError
from libp2p.utils.varint import encode_delim, read_varint_prefixed_bytes_limited

from node import limits
from node.errors import PeerError, PeerGone
from node.transport.libp2p.pacing import Overrun, Paced

RECEIVE_BYTES = 64 * limits.KiB
LAST_WRITE_S = 0.5
_HEADER = struct.Struct(yamux.YAMUX_HEADER_FORMAT)
_PAYLOAD_BYTES = yamux.MAX_MESSAGE_SIZE - yamux.HEADER_SIZE


def install() -> None:
    """Put our classes where the library names its own; idempotent."""
    yamux.YamuxStream = Stream
    yamux.MAX_WINDOW_SIZE = limits.STREAM_WINDOW_BYTES


def silence() -> None:
    """Let the library log nothing: what an operator should know, we log; ``libp2p`` logs errors for normal ends."""
    logging.getLogger("libp2p").setLevel(logging.CRITICAL + 1)


@contextmanager
def contained(doing: str) -> Iterator[None]:
    """Turn whatever the library raises over a peer's bytes into PeerGone.

    The third broad ``except`` of this program, on purpose: Noise, protobuf, Yamux and multistream raise some thirty
    unrelated classes (KeyError and AssertionError among them) for bytes that a stranger chooses. No code of ours but
    the classes of this file runs inside.
    """
    try:
        yield
    except PeerError:
        raise
    except Exception as error:
        raise PeerGone(f"{doing}: {_root(error)}") from error
    except BaseExceptionGroup as group:  # Cancelled beside an error: only the cancellation goes on.
        cancelled, _ = group.split(trio.Cancelled)
        raise (cancelled or group) from None


def _root(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__} {error}"[: limits.REASON_CHARS_MAX]


class Exact:
    """Reads of exactly so many bytes from a source that gives any number; b"" from it is the end."""

    def __init__(self, receive: Callable[[], Awaitable[bytes]]) -> None:
        self._receive = receive
        self._buffer = bytearray()

    async def read(self, n: int) -> bytes:
        """Exactly ``n`` bytes, or IncompleteReadError."""
        while len(self._buffer) < n:
            more = await self._receive()
            if not more:
                have = len(self._buffer)
                raise IncompleteReadError("the stream ended", expected_bytes=n, received_bytes=have)
            self._buffer += more
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    async def some(self) -> bytes:
        """What is there, at least one byte; b"" at the end."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        return await self._receive()


class Endpoint(IRawConnection):  # type: ignore[misc]  # libp2p is Any to the type checker, here and below
    """A socket as Noise and Yamux want it."""

    def __init__(self, socket: trio.SocketStream, *, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self._socket = socket
        self._exact = Exact(self._receive)

    async def read(self, n: int | None = None) -> bytes:
        """Exactly ``n`` bytes."""
        assert n is not None
        return await self._exact.read(n)

    async def write(self, data: bytes) -> None:
        """All of ``data``. Raises ConnectionClosedError."""
        try:
            await self._socket.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError(str(error)) from error

    async def close(self) -> None:
        """End the connection."""
        await self._socket.aclose()

    def get_remote_address(self) -> tuple[str, int] | None:
        """The library's interface; we ask the socket ourselves."""
        return None

    def get_transport_addresses(self) -> list[object]:
        """The library's interface."""
        return []

    def get_connection_type(self) -> ConnectionType:
        """The library's interface."""
        return ConnectionType.DIRECT

    async def _receive(self) -> bytes:
        try:
            return bytes(await self._socket.receive_some(RECEIVE_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError(str(error)) from error


class Negotiator(IMultiselectCommunicator):  # type: ignore[misc]
    """multistream-select's messages, none longer than ``limits.PROTOCOL_BYTES_MAX``."""

    def __init__(self, reader: Any, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._reader = reader  # anything whose ``read(n)`` gives exactly n bytes
        self._write = write

    async def write(self, msg_str: str | None) -> None:
        """Send one message."""
        await self._write(encode_delim((msg_str or "").encode()))

    async def read(self) -> str:
        """Receive one message. Raises MultiselectCommunicatorError."""
        try:
            body: bytes = await read_varint_prefixed_bytes_limited(self._reader, limits.PROTOCOL_BYTES_MAX)
        except (ParseError, IOException) as error:
            raise MultiselectCommunicatorError(str(error)) from error
        if not body.endswith(b"\n"):
            raise MultiselectCommunicatorError("a protocol name without a newline")
        return body[:-1].decode()


class Stream(yamux.YamuxStream):  # type: ignore[misc]
    """A Yamux stream whose windows are kept: ours by the peer, the peer's by us."""

    def __init__(self, stream_id: int, conn: Muxer, is_initiator: bool) -> None:
        self._changed = trio.Event()
        self._send_window = self._recv_window = 0
        self._closed = False
        self._came = bytearray()
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

    async def write(self, data: bytes | memoryview) -> None:
        """All of ``data``, waiting for the peer's window as long as the caller does."""
        view = memoryview(data)
        while view:
            size = min(await self._window(), _PAYLOAD_BYTES, len(view))
            self.send_window -= size
            header = _HEADER.pack(0, yamux.TYPE_DATA, 0, self.stream_id, size)
            await self.conn._write_frame(header + view[:size])
            view = view[size:]

    async def receive(self) -> bytes:
        """What has come, at least one byte; b"" when the peer has ended its side.

        What came just before the connection ended is given too; the library forgets it.
        """
        came = self.conn.stream_buffers.get(self.stream_id, self._came)
        self._came = came
        try:
            return bytes(await self.read(RECEIVE_BYTES))
        except MuxedStreamError as error:
            if not came and not isinstance(error, MuxedStreamEOF):
                raise
        data = bytes(came)
        came.clear()
        return data

    async def forget(self) -> None:
        """Both ways have ended, and nobody reads on."""
        self.conn.stream_buffers.get(self.stream_id, self._came).clear()
        await self.conn._finalize_stream(self, fully_closed=True)

    async def _window(self) -> int:
        while True:
            if self.closed or self.send_closed:
                raise MuxedStreamError("the stream is closed for sending")
            if self.send_window > 0:
                return self.send_window
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
        self.secured_conn: Any = Paced(self.secured_conn)
        self.streams = _Streams()
        self.write_stall_s = limits.WRITE_STALL_S
        self._writing = trio.CancelScope()

    @property
    def heard_at(self) -> float:
        """When the far end last sent anything, be it an answer to a ping of the library's."""
        return float(self.secured_conn.heard_at)

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

    async def _write_frame(self, data: bytes) -> None:
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
