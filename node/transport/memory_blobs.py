"""Blob streams of the memory network: the far side's chunks, late, cut to size, and broken off in bad weather.

Lives here: what a fetch in the simulator is. Does not live here: sessions and messages (``memory``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import trio

from node import limits
from node.errors import BlobRefused, MalformedMessage, NodeError, PeerGone
from node.messages import BlobRequest, decode_request, encode
from node.model import PeerId
from node.transport.base import Blob

if TYPE_CHECKING:
    from node.transport.memory import MemoryTransport
    from node.transport.memory_session import Session


@asynccontextmanager
async def fetched(reader: MemoryTransport, peer: PeerId, request: BlobRequest) -> AsyncIterator[Blob]:
    """See Transport.fetch."""
    network = reader.network
    session = network.session(reader.local_id, peer)
    await trio.sleep(network.delay_s())
    if peer == reader.local_id:
        server = reader
    elif session is not None and session.alive and network.connected(reader.local_id, peer):
        server = network.online[peer]
    else:
        raise PeerGone("no session")
    asked = decode_request(encode(request))
    async with _served(server, reader.local_id, asked) as blob:
        yield Blob(blob.size, _Chunks(reader, session, blob))


@asynccontextmanager
async def _served(server: MemoryTransport, sender: PeerId, request: BlobRequest) -> AsyncIterator[Blob]:
    if server.serving.get(sender, 0) >= limits.BLOB_STREAMS_PER_PEER:
        raise BlobRefused("too many blobs at once")
    server.serving[sender] = server.serving.get(sender, 0) + 1
    async with AsyncExitStack() as ends:
        ends.callback(lambda: server.serving.update({sender: server.serving[sender] - 1}))
        blob = await _served_blob(server, sender, request)
        ends.push_async_callback(blob.aclose)
        yield blob


async def _served_blob(server: MemoryTransport, sender: PeerId, request: BlobRequest) -> Blob:
    try:
        return await server.receiver.blob(sender, request)
    except BlobRefused:
        raise
    except NodeError as error:
        raise BlobRefused("not available") from error


class _Chunks:
    """The reader's end of a stream."""

    def __init__(self, reader: MemoryTransport, session: Session | None, blob: Blob) -> None:
        self._reader = reader
        self._session = session
        self._source = blob.chunks
        self._left = blob.size
        self._rest = b""
        self._read_at = trio.current_time()

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        stalled = trio.current_time() - self._read_at > limits.BLOB_STALL_S
        if not self._rest:
            await trio.sleep(self._reader.network.delay_s())
            self._check_weather(stalled=stalled)
            await self._refill()
        chunk = self._rest[: limits.BLOB_CHUNK_BYTES]
        self._rest = self._rest[limits.BLOB_CHUNK_BYTES :]
        self._read_at = trio.current_time()
        return chunk

    def _check_weather(self, *, stalled: bool) -> None:
        network, session = self._reader.network, self._session
        broken = session is not None and not (session.alive and network.connected(*session.ends))
        if stalled or broken or network.happens(network.faults.blob_breaks):
            raise PeerGone("the stream broke off")

    async def _refill(self) -> None:
        try:
            self._rest = await anext(self._source)
            while not self._rest:
                self._rest = await anext(self._source)
        except StopAsyncIteration:
            if self._left:
                raise PeerGone(f"the stream ended {self._left} bytes early") from None
            raise
        except NodeError as error:
            raise PeerGone("the far side could not go on") from error
        self._left -= len(self._rest)
        if self._left < 0:
            raise MalformedMessage("more bytes than announced")
