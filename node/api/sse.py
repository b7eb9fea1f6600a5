"""Server-sent events (WHATWG HTML, 9.2) as an answer: frames as they come, and signs of life between them.

The stream ends with its frames, when the caller goes away, or when it does not take what it is sent
(``limits.HTTP_STALL_S``). Does not live here: what is in a frame.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, asynccontextmanager
from typing import TypeVar

import trio
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from typing_extensions import override

from node import limits
from node.api.bodies import while_there

_T = TypeVar("_T")
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


@asynccontextmanager
async def framed(
    opened: AbstractAsyncContextManager[AsyncIterator[_T]], frame: Callable[[_T], bytes]
) -> AsyncIterator[AsyncGenerator[bytes]]:
    """``Frames`` of what is opened, each item as ``frame`` writes it."""
    async with opened as items:
        yield (frame(item) async for item in items)


class Frames(ASGIResponse):
    """An answer that lasts as long as its frames. ``place`` is held meanwhile; both may raise, before the first byte.

    The frames themselves raise nothing.
    """

    __slots__ = ("_frames", "_place")

    def __init__(
        self, place: AbstractContextManager[None], frames: AbstractAsyncContextManager[AsyncGenerator[bytes]]
    ) -> None:
        super().__init__(media_type="text/event-stream")
        self._place = place
        self._frames = frames

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what ``place`` and the opening of the frames raise."""
        with self._place:
            async with self._frames as frames:
                await _stream(frames, receive, send)


async def _stream(frames: AsyncGenerator[bytes], receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    async with aclosing(frames), while_there(receive) as nursery:
        nursery.start_soon(_keep_alive, send)
        async for frame in frames:
            await _flush(send, frame)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _keep_alive(send: Send) -> None:
    """Comments, so that whoever is gone without a word is noticed, and proxies do not cut a quiet stream."""
    while True:
        await trio.sleep(limits.EVENT_KEEPALIVE_S)
        await _flush(send, b": still here\n\n")


async def _flush(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
