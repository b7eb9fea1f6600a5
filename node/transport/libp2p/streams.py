"""Streams of protocols that are not ours: bytes, stall limits and ends. Implements ``base.ByteStream``.

Lives here: one stream, from either end. Does not live here: which protocols there are (``services``, whoever serves),
whether the far end may stay (``guests``).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import trio

from node import limits
from node.errors import MalformedMessage, NodeError, PeerGone
from node.transport.libp2p.blobs import in_time
from node.transport.libp2p.hardening import Exact, contained
from node.transport.libp2p.link import Link, Timing
from node.transport.libp2p.muxing import Stream
from node.transport.libp2p.upgrade import discard, open_one_of

log = logging.getLogger("quorate.transport")

SLICE_BYTES = 256 * limits.KiB  # What is sent within one stall limit.


class Talk:
    """One stream. Whatever goes over it is a use of its connection."""

    def __init__(self, link: Link, stream: Stream, reader: Exact, timing: Timing) -> None:
        self._link = link
        self._stream = stream
        self._reader = reader
        self._timing = timing
        self._heard_all = False
        self._said_all = False
        self._over = False

    async def receive_some(self) -> bytes:
        """See ByteStream."""
        if self._heard_all and not self._over:
            await trio.lowlevel.checkpoint()
            return b""
        with self._in_time(self._timing.protocol_idle_s, "reading a stream"):
            data = await self._reader.some()
        if not data:
            self._check_end()
            self._heard_all = True
        return data

    async def send_all(self, data: bytes) -> None:
        """See ByteStream."""
        with memoryview(data) as view:
            for begin in range(0, len(view), SLICE_BYTES):
                with self._in_time(self._timing.protocol_stall_s, "writing a stream"):
                    await self._stream.write(view[begin : begin + SLICE_BYTES])

    async def send_eof(self) -> None:
        """See ByteStream."""
        if self._said_all:
            await trio.lowlevel.checkpoint()
            return
        with self._in_time(self._timing.protocol_stall_s, "ending a stream"):
            await self._stream.close()
        self._said_all = True

    async def aclose(self) -> None:
        """See ByteStream. A far end that has not ended its way may yet: a reset would cost it our last words."""
        if self._over:
            await trio.lowlevel.checkpoint()
            return
        try:
            if self._said_all:
                await self._hear_out()
        finally:
            self._over = True
            await discard(self._stream)

    async def _hear_out(self) -> None:
        with trio.move_on_after(self._timing.protocol_close_s):
            try:
                while not self._heard_all:
                    await self.receive_some()
            except PeerGone:
                return

    def _check_end(self) -> None:
        """The library reads the end of a connection as the end of a stream."""
        if self._stream.reset_received or not self._stream.recv_closed:
            raise PeerGone("the stream broke off")

    @contextmanager
    def _in_time(self, limit_s: float, doing: str) -> Iterator[None]:
        if self._over:
            raise PeerGone("the stream is closed")
        with in_time(limit_s), contained(doing):
            yield
        self._link.used_at = trio.current_time()


@asynccontextmanager
async def opened(link: Link, protocols: Sequence[str], timing: Timing) -> AsyncIterator[tuple[str, Talk]]:
    """See Protocols.open."""
    with in_time(timing.dial_s):
        protocol, stream, reader = await open_one_of(link.muxer, protocols)
    talk = Talk(link, stream, reader, timing)
    try:
        yield protocol, talk
    finally:
        await talk.aclose()


async def answered(link: Link, talk: Talk, timing: Timing, answer: Callable[[], Awaitable[None]]) -> None:
    """Answer one stream, when its turn comes. Raises PeerGone, MalformedMessage; all else is over with the stream."""
    with in_time(timing.protocol_stall_s):
        await link.turns.acquire()
    try:
        await answer()
        await talk.send_eof()
        await talk.aclose()
    except MalformedMessage:
        raise
    except NodeError as error:
        log.debug("stream_failed", extra={"peer": link.peer, "reason": str(error)})
    finally:
        link.turns.release()
