"""The route of a job's shards, and how many of them a job is shown with."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from litestar import Request, get
from litestar.params import FromPath, QueryParameter

from node import limits
from node.api.services import api_of
from node.api.views import JobView, ShardList, job_view, shard_view
from node.errors import CallerError
from node.journal.records import JobRecord, ShardRecord, ShardState

_STATES: tuple[ShardState, ...] = get_args(ShardState)
_TROUBLED: tuple[ShardState, ...] = ("failed", "not_verified")

Caller = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=limits.SHARDS_LISTED_MAX, description="How many shards at most.")]
After = Annotated[int, QueryParameter(ge=-1, le=limits.SHARDS_MAX, description="Shards with a greater number.")]
State = Annotated[str, QueryParameter(name="state", description=f"Only those in this state: {', '.join(_STATES)}.")]


@get("/jobs/{job:str}/shards", operation_id="listShards")
async def listed(
    request: Caller, job: FromPath[str], after: After = -1, limit: Limit = 100, of_state: State = ""
) -> ShardList:
    """The shards of a job, by their numbers. For the next page give the last number that came as `after`."""
    wanted = tuple(state for state in _STATES if state == of_state)
    if of_state and not wanted:
        raise CallerError(f"expected one of {', '.join(_STATES)} in state")
    shards = await api_of(request).services.jobs.shards(request.auth, job, after=after, limit=limit, states=wanted)
    return ShardList(shards=tuple(map(shard_view, shards)))


async def viewed(request: Caller, record: JobRecord) -> JobView:
    """A job as it is shown: with the details of shards that failed, then of others."""
    return job_view(record, await _shown(request, record))


async def _shown(request: Caller, record: JobRecord) -> list[ShardRecord]:
    jobs, most = api_of(request).services.jobs, limits.SHARDS_SHOWN
    first = await jobs.shards(request.auth, record.job, limit=most)
    if record.shards <= most:
        troubled = [shard for shard in first if shard.state in _TROUBLED]
    else:
        troubled = list(await jobs.shards(request.auth, record.job, limit=most, states=_TROUBLED))
    others = [shard for shard in first if shard.state not in _TROUBLED]
    return (troubled + others)[:most]
