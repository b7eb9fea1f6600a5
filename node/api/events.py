"""The route of a job's events: server-sent events (WHATWG HTML, 9.2), from any point of its history on.

The stream ends after the event ``ended``, when the caller goes away, or when it does not take what it is sent
(``limits.HTTP_STALL_S``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import trio
from litestar import Request, get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from typing_extensions import override

from node import limits
from node.api.bodies import while_there
from node.api.services import Api, api_of
from node.api.viewing import event_view
from node.errors import CallerError
from node.journal.records import JobEvent
from node.model import ClientId

_SEQ_DIGITS_MAX = 15
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


class EventStream(ASGIResponse):
    """An answer that lasts as long as the job."""

    __slots__ = ("_after", "_api", "_client", "_job")

    def __init__(self, api: Api, client: ClientId, job: str, after: int) -> None:
        super().__init__(media_type="text/event-stream")
        self._api = api
        self._client = client
        self._job = job
        self._after = after

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises NotFound, Conflict, TooMany before the first byte."""
        jobs = self._api.services.jobs
        with self._api.streams.one(self._client):
            async with jobs.events(self._client, self._job, self._after) as events:
                await _stream(events, receive, send)


@get("/jobs/{job:str}/events", operation_id="followJob")
async def follow(request: Request[Any, Any, Any], job: FromPath[str]) -> EventStream:
    """The history of a job and then what happens, as server-sent events; ends after the event `ended`.

    `Last-Event-ID` names the last event that the caller has; what follows it is sent.
    """
    return EventStream(api_of(request), request.auth, job, _after(request.headers.get("last-event-id", "")))


def frame(event: JobEvent) -> bytes:
    """One event as it is on the wire."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.kind.encode(), msgspec.json.encode(event_view(event)))


def _after(last_event_id: str) -> int:
    if not last_event_id:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdecimal()) or len(last_event_id) > _SEQ_DIGITS_MAX:
        raise CallerError("expected the id of an event in Last-Event-ID")
    return int(last_event_id)


async def _stream(events: AsyncIterator[JobEvent], receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    async with while_there(receive) as nursery:
        nursery.start_soon(_keep_alive, send)
        async for event in events:
            await _flush(send, frame(event))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _keep_alive(send: Send) -> None:
    """Comments, so that whoever is gone without a word is noticed, and proxies do not cut a quiet stream."""
    while True:
        await trio.sleep(limits.EVENT_KEEPALIVE_S)
        await _flush(send, b": still here\n\n")


async def _flush(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
