"""The route of a job's events: server-sent events, from any point of its history on, up to the event ``ended``."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get
from litestar.params import FromPath

from node.api.services import api_of
from node.api.sse import Frames, framed
from node.api.viewing import event_view
from node.errors import CallerError
from node.journal.records import JobEvent

_SEQ_DIGITS_MAX = 15


@get("/jobs/{job:str}/events", operation_id="followJob")
async def follow(request: Request[Any, Any, Any], job: FromPath[str]) -> Frames:
    """The history of a job and then what happens, as server-sent events; ends after the event `ended`.

    `Last-Event-ID` names the last event that the caller has; what follows it is sent.
    """
    api, after = api_of(request), _after(request.headers.get("last-event-id", ""))
    return Frames(api.streams.one(request.auth), framed(api.services.jobs.events(request.auth, job, after), frame))


def frame(event: JobEvent) -> bytes:
    """One event as it is on the wire."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.kind.encode(), msgspec.json.encode(event_view(event)))


def _after(last_event_id: str) -> int:
    if not last_event_id:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdecimal()) or len(last_event_id) > _SEQ_DIGITS_MAX:
        raise CallerError("expected the id of an event in Last-Event-ID")
    return int(last_event_id)
