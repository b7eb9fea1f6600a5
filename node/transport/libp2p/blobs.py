"""Blob streams: one request, one header, chunks, an end marker. Every wait for the far end has the stall limit.

Lives here: both ends of a stream. Does not live here: which blobs there are (``Receiver.blob``), framing (``wire``).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

from node import limits
from node.errors import BlobRefused, MalformedMessage, NodeError, PeerGone, StorageError
from node.messages import BlobRequest, decode_request, encode
from node.model import PeerId
from node.transport.base import Blob, Receiver
from node.transport.libp2p.hardening import Exact, contained
from node.transport.libp2p.link import Link
from node.transport.libp2p.muxing import Stream
from node.transport.libp2p.upgrade import discard, open_stream
from node.transport.libp2p.wire import (
    BLOB,
    END_MARKER,
    BlobRefusal,
    BlobSize,
    Bodies,
    decode_header,
    encode_header,
    prefixed,
)

log = logging.getLogger("quorate.transport")


class _Talk:
    """What is said on one blob stream, from either end."""

    def __init__(self, stream: Stream, reader: Exact, stall_s: float) -> None:
        self._stream = stream
        self._reader = reader
        self._stall_s = stall_s
        self.bodies = Bodies(limits.OPENING_BYTES_MAX)

    async def put(self, data: bytes) -> None:
        """Write. Raises PeerGone."""
        with self._in_time("writing a blob stream"):
            await self._stream.write(data)

    async def body(self) -> bytes:
        """The next body. Raises PeerGone, MalformedMessage."""
        while (body := self.bodies.next()) is None:
            if not await self._feed():
                raise PeerGone("the blob stream ended early")
        return body

    async def close(self) -> None:
        """Say that we have said everything, and wait until the far end has too. Raises PeerGone."""
        with self._in_time("closing a blob stream"):
            await self._stream.close()
        if await self._feed():
            raise PeerGone("the far end talks on")

    async def _feed(self) -> bool:
        with self._in_time("reading a blob stream"):
            data = await self._reader.some()
        self.bodies.feed(data)
        return bool(data)

    @contextmanager
    def _in_time(self, doing: str) -> Iterator[None]:
        with in_time(self._stall_s), contained(doing):
            yield


@contextmanager
def in_time(limit_s: float) -> Iterator[None]:
    """PeerGone instead of waiting longer."""
    try:
        with trio.fail_after(limit_s):
            yield
    except trio.TooSlowError as error:
        raise PeerGone(f"no answer for {limit_s:g} s") from error


async def serve(receiver: Receiver, link: Link, ends: tuple[Stream, Exact], stall_s: float) -> None:
    """Answer one request. Raises PeerGone, MalformedMessage; the caller discards the stream."""
    talk = _Talk(*ends, stall_s)
    request = decode_request(await talk.body())
    if link.blobs >= limits.BLOB_STREAMS_PER_PEER:
        await talk.put(_refusal("too many blobs at once"))
    else:
        link.blobs += 1
        try:
            await _answer(talk, receiver, link.peer, request)
        finally:
            link.blobs -= 1
    await talk.close()


async def _answer(talk: _Talk, receiver: Receiver, peer: PeerId, request: BlobRequest) -> None:
    try:
        blob = await receiver.blob(peer, request)
    except BlobRefused as refused:
        await talk.put(_refusal(str(refused)))
        return
    except NodeError as error:
        log.warning("blob_not_served", extra={"peer": peer, "reason": str(error)})
        await talk.put(_refusal("not available"))
        return
    try:
        await _send(talk, blob)
    except PeerGone:
        raise
    except NodeError as error:  # Ours; the reader sees the stream end without the marker.
        log.warning("blob_broke_off", extra={"peer": peer, "reason": str(error)})
        raise PeerGone("we could not go on") from error
    finally:
        await blob.aclose()


async def _send(talk: _Talk, blob: Blob) -> None:
    await talk.put(encode_header(BlobSize(blob.size)))
    left = blob.size
    async for chunk in blob.chunks:
        left -= len(chunk)
        if left < 0:
            raise StorageError("the blob is longer than it was")
        for begin in range(0, len(chunk), limits.BLOB_CHUNK_BYTES):
            await talk.put(prefixed(chunk[begin : begin + limits.BLOB_CHUNK_BYTES]))
    if left:
        raise StorageError("the blob is shorter than it was")
    await talk.put(END_MARKER)


def _refusal(reason: str) -> bytes:
    return encode_header(BlobRefusal(reason[: limits.REASON_CHARS_MAX]))


@asynccontextmanager
async def fetched(link: Link, request: BlobRequest, stall_s: float) -> AsyncIterator[Blob]:
    """See Transport.fetch."""
    with in_time(stall_s):
        stream, reader = await open_stream(link.muxer, BLOB)
    talk = _Talk(stream, reader, stall_s)
    try:
        await talk.put(prefixed(encode(request)))
        header = decode_header(await talk.body())
        if isinstance(header, BlobRefusal):
            raise BlobRefused(header.reason)
        chunks = _Chunks(talk, header.size)
        yield Blob(header.size, chunks)
    finally:
        await discard(stream)


class _Chunks:
    """The reader's end."""

    def __init__(self, talk: _Talk, size: int) -> None:
        self._talk = talk
        self._left = size
        self._rest = b""
        self._ended = False
        talk.bodies.bytes_max = limits.BLOB_CHUNK_BYTES_MAX

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        if not self._rest:
            await self._next_body()
        chunk = self._rest[: limits.BLOB_CHUNK_BYTES]
        self._rest = self._rest[limits.BLOB_CHUNK_BYTES :]
        return chunk

    async def _next_body(self) -> None:
        if self._ended:
            raise StopAsyncIteration
        self._rest = await self._talk.body()
        self._left -= len(self._rest)
        if self._left < 0:
            raise MalformedMessage("more bytes than announced")
        if not self._rest:
            if self._left:
                raise PeerGone(f"the blob ended {self._left} bytes early")
            self._ended = True
            raise StopAsyncIteration


@asynccontextmanager
async def own(receiver: Receiver, local_id: PeerId, request: BlobRequest) -> AsyncIterator[Blob]:
    """A blob that we ask ourselves for, in bounded chunks as from anybody."""
    blob = await receiver.blob(local_id, request)
    try:
        yield Blob(blob.size, _cut(blob))
    finally:
        await blob.aclose()


async def _cut(blob: Blob) -> AsyncIterator[bytes]:
    async for chunk in blob.chunks:
        for begin in range(0, len(chunk), limits.BLOB_CHUNK_BYTES):
            yield chunk[begin : begin + limits.BLOB_CHUNK_BYTES]
