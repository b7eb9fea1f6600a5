"""A short blob, whole. Does not live here: long ones, which go to disk piece by piece (``node.transport.resume``)."""

from __future__ import annotations

from node.errors import MalformedMessage
from node.messages import BlobRequest
from node.model import PeerId
from node.transport.base import Transport


async def fetched_whole(transport: Transport, peer: PeerId, request: BlobRequest, bytes_max: int) -> bytes:
    """What the peer answers. Raises MalformedMessage for more than ``bytes_max``, and as ``Transport.fetch``."""
    body = bytearray()
    async with transport.fetch(peer, request) as blob:
        if blob.size > bytes_max:
            raise MalformedMessage(f"an answer of {blob.size} bytes where at most {bytes_max} are taken")
        async for chunk in blob.chunks:
            body += chunk
    return bytes(body)  # Of the size that was checked: a transport gives no more.
