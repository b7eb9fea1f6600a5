"""Inline files of jobs, asked of their requesters by hash. Does not live here: the check (``node.storage.inline``)."""

from __future__ import annotations

from functools import partial

import trio

from node import limits
from node.errors import BlobRefused, MalformedMessage, PeerGone, StorageError
from node.messages import InlineWanted
from node.model import PeerId, Sha256
from node.transport.base import Transport
from node.transport.resume import resumed


class InlineFetcher:
    """Contents over a transport; streams that break are gone on with."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def fetch(self, origin: PeerId, sha256: Sha256, size: int) -> bytes:
        """See ``node.storage.inline.Contents``."""
        got = bytearray()
        try:
            with trio.fail_after(limits.INLINE_FETCH_S):
                await resumed(partial(self._stream, origin, sha256, size, got), lambda: len(got))
        except trio.TooSlowError as error:
            raise StorageError(f"its requester took {limits.INLINE_FETCH_S:g} s to send an inline file") from error
        except (PeerGone, BlobRefused, MalformedMessage) as error:
            raise StorageError(f"an inline file cannot be had from its requester: {error}") from error
        return bytes(got)

    async def _stream(self, origin: PeerId, sha256: Sha256, size: int, got: bytearray) -> None:
        async with self._transport.fetch(origin, InlineWanted(sha256, len(got))) as blob:
            if len(got) + blob.size != size:
                raise StorageError("what the requester sends is not the inline file that the job names")
            async for chunk in blob.chunks:
                got += chunk
