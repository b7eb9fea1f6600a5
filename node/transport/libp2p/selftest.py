"""What we rely on of py-libp2p 0.8.1, tried at every start: each countermeasure of ``hardening`` and ``muxing`` works.

Takes some 30 ms. Lives here: one small proof per countermeasure. Does not live here: attacks over real connections
(``tests/integration``).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import libp2p.stream_muxer.yamux.yamux as yamux
import trio
from libp2p.utils.varint import encode_uvarint
from nacl.signing import SigningKey

from node import limits
from node.errors import OperatorError, PeerGone
from node.identity import Identity
from node.transport.libp2p.hardening import Exact, Negotiator, contained
from node.transport.libp2p.muxing import REPLIES_MAX, Muxer, Stream
from node.transport.libp2p.pacing import Overrun
from node.transport.libp2p.upgrade import Upgrader, answer, ask

VERSION = "0.8.1"
HANG_S = 10.0
_NAMES_OF_YAMUX = ("_write_frame", "start", "open_stream", "accept_stream", "handle_incoming", "_finalize_stream")
_NAMES_OF_STREAM = ("write", "read", "reset", "close", "_auto_tune_and_send_window_update")


class _Broken(Exception):
    """A proof failed."""


async def check() -> None:
    """Raises OperatorError that names what does not hold."""
    for name, proof in _PROOFS.items():
        try:
            with trio.fail_after(HANG_S):
                await proof()
        except (_Broken, PeerGone, AttributeError, TypeError, trio.TooSlowError) as error:
            raise OperatorError(
                f"libp2p {version('libp2p')} is not what this node was hardened for: {name}: {error}. "
                f"Install libp2p=={VERSION}, unchanged."
            ) from error


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise _Broken(what)


async def _raises(expected: type[BaseException], call: Callable[[], Awaitable[object]], what: str) -> None:
    try:
        await call()
    except expected:
        return
    raise _Broken(what)


async def _the_version() -> None:
    _must(version("libp2p") == VERSION, "another version")
    _must(all(hasattr(yamux.Yamux, name) for name in _NAMES_OF_YAMUX), "Yamux has changed")
    _must(Stream.__mro__[1].__name__ == "YamuxStream", "YamuxStream has changed")
    _must(all(hasattr(Stream.__mro__[1], name) for name in _NAMES_OF_STREAM), "YamuxStream has changed")


async def _the_rebinding() -> None:
    _must(yamux.YamuxStream is Stream, "streams are the library's")
    _must(yamux.MAX_WINDOW_SIZE == limits.STREAM_WINDOW_BYTES, "windows grow too far")


async def _tiny_pieces() -> None:
    pieces = [b"x"] * 300
    _must(await Exact(_giving(pieces)).read(300) == b"x" * 300, "300 pieces are not read as one")


async def _long_names() -> None:
    negotiator = Negotiator(Exact(_giving([encode_uvarint(2**30)])), _swallow)
    with contained("negotiating"):
        await _raises(Exception, negotiator.read, "a protocol name may have any length")


async def _windows() -> None:
    stream = _stream(1)
    await _raises(Overrun, lambda: _set(stream, "recv_window", -1), "a window may be overrun")
    stream.send_window = 0
    with trio.move_on_after(0.001) as waited:
        await stream.write(b"x")
    _must(waited.cancelled_caught, "a write does not wait for the window")


async def _plain_frames() -> None:
    """Data for an open stream is with it before the library's loop has seen the next frame; what is too long, never."""
    ping, data = (yamux.TYPE_PING, 0, 7), (yamux.TYPE_DATA, 1, 2)
    frames = [struct.pack("!BBHII", 0, kind, 0, stream, size) for kind, stream, size in (data, ping)]
    connection = SimpleNamespace(read=Exact(_giving([frames[0], b"ab", frames[1], frames[0][:-4] + b"\xff" * 4])).read)
    muxer = Muxer(connection, "peer", is_initiator=False)
    muxer.streams[1] = stream = Stream(1, muxer, is_initiator=False)
    muxer.stream_buffers[1], muxer.stream_events[1] = bytearray(), trio.Event()
    _must(await muxer.secured_conn.read(12) == frames[1], "the library does not see the other frames")
    _must(await stream.receive() == b"ab", "data do not reach their stream")
    await _raises(Overrun, lambda: muxer.secured_conn.read(12), "a frame of four gigabytes is read")


async def _grants() -> None:
    granted: list[bytes] = []

    async def write(data: bytes) -> None:
        granted.append(data)

    muxer = Muxer(SimpleNamespace(write=write), "peer", is_initiator=True)
    muxer.streams[1] = stream = Stream(1, muxer, is_initiator=True)
    half = stream.target_recv_window // 2
    await stream._auto_tune_and_send_window_update(bytes_read=half - 1)
    _must(not granted, "every read is granted anew")
    await stream._auto_tune_and_send_window_update(bytes_read=1)
    _must(stream.recv_window == 4 * half + half and len(granted) == 1, "half a window is not granted anew")


async def _replies() -> None:
    muxer = Muxer(SimpleNamespace(), "peer", is_initiator=True)
    muxer._reading = trio.lowlevel.current_task()
    for _ in range(REPLIES_MAX):
        await muxer._write_frame(b"pong")
    await _raises(Overrun, lambda: muxer._write_frame(b"pong"), "a peer may ask for any number of replies")


async def _cancelled_opening() -> None:
    muxer = Muxer(SimpleNamespace(), "peer", is_initiator=True)
    await muxer._write_lock.acquire()
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 0.001
        nursery.start_soon(muxer.open_stream)
    _must(not muxer.streams and muxer.stream_backlog_semaphore.value == 256, "a cancelled opening keeps its place")


async def _stream_flood() -> None:
    streams = Muxer(SimpleNamespace(), "peer", is_initiator=False).streams
    for number in range(limits.STREAMS_PER_CONNECTION):
        streams[2 * number + 1] = _stream(2 * number + 1)
    await _raises(Overrun, lambda: _set_item(streams, 1001, _stream(1001)), "a peer may open any number of streams")


async def _whole_frames() -> None:
    written: list[bytes] = []

    async def slow(data: bytes) -> None:
        await trio.sleep(0.002)
        written.append(data)

    muxer = Muxer(SimpleNamespace(write=slow), "peer", is_initiator=True)
    with trio.move_on_after(0.0005):
        await muxer._write_frame(b"whole")
    _must(written == [b"whole"], "a cancelled write tears a frame")


async def _authentication() -> None:
    one, other, stranger = (Identity(SigningKey.generate()) for _ in range(3))
    async with _pair() as (here, there), trio.open_nursery() as nursery:
        nursery.start_soon(Upgrader(other).inbound, there)
        muxer = await Upgrader(one).outbound(here, other.peer_id)
        _must(str(muxer.peer_id) == other.peer_id, "the far end is not who it proved to be")
    async with _pair() as (here, there), trio.open_nursery() as nursery:
        nursery.start_soon(Upgrader(other).inbound, there)
        outbound = Upgrader(one).outbound
        await _raises(PeerGone, lambda: outbound(here, stranger.peer_id), "somebody else is taken for a peer")
        nursery.cancel_scope.cancel()


async def _no_plaintext() -> None:
    async with _pair() as (here, there), trio.open_nursery() as nursery:
        ends = [Negotiator(Exact(stream.receive_some), stream.send_all) for stream in (here, there)]

        async def serve() -> None:
            with contained("negotiating"):
                await answer(("/noise",), ends[1])

        async def try_plaintext() -> None:
            with contained("negotiating"):
                await ask(("/plaintext/2.0.0",), ends[0])

        nursery.start_soon(serve)
        await _raises(PeerGone, try_plaintext, "plaintext is spoken")
        nursery.cancel_scope.cancel()


_PROOFS: dict[str, Callable[[], Awaitable[None]]] = {
    "version": _the_version,
    "rebinding": _the_rebinding,
    "tiny pieces": _tiny_pieces,
    "long protocol names": _long_names,
    "windows": _windows,
    "plain frames": _plain_frames,
    "grants": _grants,
    "replies": _replies,
    "cancelled opening": _cancelled_opening,
    "stream flood": _stream_flood,
    "whole frames": _whole_frames,
    "authentication": _authentication,
    "no plaintext": _no_plaintext,
}


def _stream(number: int) -> Stream:
    return Stream(number, Muxer(SimpleNamespace(), "peer", is_initiator=False), is_initiator=False)


def _giving(pieces: list[bytes]) -> Callable[[], Awaitable[bytes]]:
    rest = iter(pieces)

    async def receive() -> bytes:
        return next(rest, b"")

    return receive


async def _swallow(data: bytes) -> None:
    """A writer that nobody reads."""


async def _set(target: Any, name: str, value: object) -> None:
    setattr(target, name, value)


async def _set_item(target: Any, key: int, value: object) -> None:
    target[key] = value


@asynccontextmanager
async def _pair() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    one, other = (trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in socket.socketpair())
    async with one, other:
        yield one, other
