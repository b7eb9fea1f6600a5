"""The route of a job's events: server-sent events, from any point of its history on, up to the event ``ended``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec
from litestar import Request, get
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from typing_extensions import override

from node.api.services import Api, api_of
from node.api.sse import stream
from node.api.viewing import event_view
from node.errors import CallerError
from node.journal.records import JobEvent
from node.model import ClientId

_SEQ_DIGITS_MAX = 15


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
                await stream(_frames(events), receive, send)


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


async def _frames(events: AsyncIterator[JobEvent]) -> AsyncGenerator[bytes, None]:
    async for event in events:
        yield frame(event)
