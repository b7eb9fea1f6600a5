"""py-libp2p 0.8.1, made fit to face strangers. What we replace of it or lean on is here, and in ``muxing`` (Yamux).

We use three parts of the library and compose them ourselves: multistream-select, Noise and Yamux. Its host, swarm,
peerstore, identify, TCP transport and resource manager are not used at all, so their defects cannot be reached:
streams accepted before authentication, handlers whose exceptions end the host, inbound slots that are never given back,
shared ports, dials without a deadline, peerstores filled by strangers. What is left and needs a countermeasure:

* ``Endpoint``: a read gives exactly what was asked for, however small the pieces (the library gives up after 100);
* ``Negotiator``: a protocol name has a length limit (the library reads any announced length, before authentication);
* ``Muxer.handle_incoming``: reading never waits for writing, or two ends that both send would wait for each other;
* ``Muxer._write_frame``: a cancelled writer never tears a frame, and a peer that takes no bytes is given up;
* ``Muxer.streams``: a limit on the streams that a peer may open on one connection;
* ``Paced``: frames that cost nothing to send do not hold up the node, and too many of them end the connection;
* ``Plain``: the frames that nearly all are take 13 µs instead of 32, no longer one than a window is read, and
  an end that is said with an acknowledgement is heard (the library drops it);
* ``Stream.send_window``: a full window is waited for without polling and without giving up after 5 s;
* ``Stream.recv_window``: a peer that sends more than it was granted loses the connection (the library only logs);
* ``Stream.receive``: what came before the end of a connection can still be read; who is cancelled loses no byte; a
  reset is never taken for an end (the library does, if nothing was left to read), and our own wakes who reads;
* ``Muxer._finalize_stream_locked``: a stream that is over has nothing in common with a new one of its number;
* ``Stream._auto_tune_and_send_window_update``: what was read is granted anew by the half window, not by every read;
* ``Stream.forget``: what nobody will read does not stay for a minute;
* ``Muxer.open_stream``: an opening that is cancelled gives its place back;
* ``contained``: whatever the library raises while it handles a peer's bytes is that peer's fault, and ends there;
* ``silence``: the library logs errors for what is normal on a network.

``selftest`` proves each of them at start-up; the version is pinned exactly.
Does not live here: what to do with streams.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trio
from libp2p.abc import IMultiselectCommunicator, IRawConnection
from libp2p.connection_types import ConnectionType
from libp2p.exceptions import ParseError
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError, IOException
from libp2p.protocol_muxer.exceptions import MultiselectCommunicatorError
from libp2p.utils.varint import encode_delim, read_varint_prefixed_bytes_limited

from node import limits
from node.errors import PeerError, PeerGone

RECEIVE_BYTES = 64 * limits.KiB


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
