"""The route of an execution's output: server-sent events, live while it runs, and of what is kept afterwards.

Bytes travel in base64, because they need not be text. The stream ends after the event ``end``.
Does not live here: whose output a caller is shown (``node.requester.showing``).
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.params import FromPath, QueryParameter

from node import limits
from node.api.services import api_of
from node.api.sse import Frames, framed
from node.api.views import LogView
from node.errors import CallerError, Conflict, NotFound
from node.model import ExecutionId
from node.requester.jobs import LogItem, LogsAsked, Seen

_SEEN = re.compile(r"([0-9a-f]{32})\.([0-9]{1,18})\.([0-9]{1,18})\Z", re.ASCII)
_BEGINNING = re.compile(r"[0-9a-f]{0,32}\Z")

Caller = Request[Any, Any, Any]
Shard = Annotated[
    int | None,
    QueryParameter(ge=0, lt=limits.SHARDS_MAX, description="Of which shard; by default that of `execution`, else 0."),
]
Execution = Annotated[str, QueryParameter(description="The beginning of an execution's id; by default any.")]
Follow = Annotated[bool, QueryParameter(description="Go on until the job has ended.")]


@get("/jobs/{job:str}/logs", operation_id="followLogs")
async def follow(
    request: Caller,
    job: FromPath[str],
    shard: Shard = None,
    execution: Execution = "",
    follow: Follow = False,
) -> Frames:
    """The output of one execution of a shard, as server-sent events; ends after the event `end`.

    While the vote over the shard is open, one execution is shown and no other: the first that started, or the one that
    was asked for before any was shown. What comes from a run under way is its node's word; afterwards what is kept is
    shown. `Last-Event-ID` names the last event that the caller has; what follows it is sent.
    """
    if not _BEGINNING.match(execution):
        raise CallerError("expected the beginning of an execution's id, hex digits, in execution")
    seen = _seen(request.headers.get("last-event-id", ""))
    if shard is None:
        shard = await _shard_of(request, job, execution)
    asked = LogsAsked(shard=shard, execution=execution, follow=follow, seen=seen)
    api = api_of(request)
    items = api.services.jobs.logs(request.auth, job, asked)
    return Frames(api.log_streams.one(request.auth), framed(items, partial(frame, shard=shard)))


def frame(item: LogItem, shard: int) -> bytes:
    """One item as it is on the wire."""
    seen = item.seen
    number = b"" if seen is None else f"id: {seen.execution}.{seen.stdout}.{seen.stderr}\n".encode()
    return b"%sevent: %s\ndata: %s\n\n" % (number, item.kind.encode(), msgspec.json.encode(_view(item, shard)))


def _view(item: LogItem, shard: int) -> LogView:
    seen = item.seen
    return LogView(
        kind=item.kind,
        shard=shard,
        execution=None if seen is None else seen.execution,
        peer=item.peer,
        stdout=0 if seen is None else seen.stdout,
        stderr=0 if seen is None else seen.stderr,
        data=item.data,
        text=item.text,
    )


async def _shard_of(request: Caller, job: str, execution: str) -> int:
    """The shard that this is an execution of; where none is named, the first. Raises NotFound, Conflict."""
    jobs = api_of(request).services.jobs
    record = await jobs.find(request.auth, job)
    if not execution or record.shards == 1:
        return 0
    found, after = set[int](), -1
    while page := await jobs.shards(request.auth, record.job, after=after, limit=limits.SHARDS_LISTED_MAX):
        found |= {shard.shard for shard in page if any(run.execution.startswith(execution) for run in shard.executions)}
        after = page[-1].shard
    if not found:
        raise NotFound(f"job {record.job} has no execution {execution!r}; `job shards ID --json` lists them")
    if len(found) > 1:
        raise Conflict(f"{execution!r} is the beginning of several execution ids; give more of it")
    return found.pop()


def _seen(last_event_id: str) -> Seen | None:
    if not last_event_id:
        return None
    match = _SEEN.match(last_event_id)
    if match is None:
        raise CallerError("expected the id of an event of this stream in Last-Event-ID")
    return Seen(execution=ExecutionId(match[1]), stdout=int(match[2]), stderr=int(match[3]))
