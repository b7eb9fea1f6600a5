"""Reading what a caller sends: never more than was agreed, never slower than agreed.

Bodies are read from ASGI directly, so that a refusal costs no memory and an upload is never buffered.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from litestar import Request
from litestar.datastructures import Headers
from litestar.exceptions import HTTPException
from litestar.types import Receive

from node import limits
from node.errors import TooLarge

_WAIT = re.compile(r"(?:\A|[,;\s])wait\s*=\s*\"?([0-9]{1,6})")


class TooSlow(HTTPException):
    """The caller stopped sending in the middle."""

    status_code = 408


class BrokenOff(HTTPException):
    """The caller went away in the middle; nobody hears this answer."""

    status_code = 400


def declared_length(headers: Headers, bytes_max: int, hint: str = "") -> int | None:
    """Content-Length, if there is one. Raises TooLarge, with the hint, before a byte of the body is read."""
    text = headers.get("content-length", "")
    length = int(text) if text.isdecimal() else None
    if length is not None and length > bytes_max:
        raise TooLarge(f"expected at most {bytes_max} bytes, and Content-Length says {length}{hint and f'; {hint}'}")
    return length


async def next_chunk(receive: Receive) -> tuple[bytes, bool]:
    """The next piece of a body, and whether there is more. Raises TooSlow, BrokenOff."""
    with trio.move_on_after(limits.HTTP_CHUNK_S):
        message = await receive()
        if message["type"] != "http.request":
            raise BrokenOff(detail="the request broke off")
        return message.get("body", b""), message.get("more_body", False)
    raise TooSlow(detail=f"nothing came for {limits.HTTP_CHUNK_S:.0f} s")


async def small_body(request: Request[Any, Any, Any], bytes_max: int) -> bytes:
    """A whole body. Raises TooLarge, TooSlow (all of it has as long as one piece of an upload), BrokenOff."""
    declared_length(request.headers, bytes_max)
    body, more = b"", True
    with trio.move_on_after(limits.HTTP_CHUNK_S):
        while more:
            chunk, more = await next_chunk(request.receive)
            body += chunk
            if len(body) > bytes_max:
                raise TooLarge(f"expected at most {bytes_max} bytes")
        return body
    raise TooSlow(detail=f"expected the whole body within {limits.HTTP_CHUNK_S:.0f} s")


def preferred_wait_s(headers: Headers) -> float | None:
    """N of ``Prefer: wait=N`` (RFC 7240), at most ``limits.WAIT_S_MAX``."""
    match = _WAIT.search(headers.get("prefer", ""))
    return None if match is None else min(float(match[1]), limits.WAIT_S_MAX)


@asynccontextmanager
async def while_there(receive: Receive) -> AsyncIterator[trio.Nursery]:
    """Work that is pointless without the caller: the body is cancelled, quietly, when the caller goes away.

    Tasks of the nursery end with the body. What the caller still sends is thrown away.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
        yield nursery
        nursery.cancel_scope.cancel()


async def _cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
