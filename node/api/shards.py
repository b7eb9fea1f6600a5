"""The route of a job's shards, how many of them a job is shown with, and what each of them sees of the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, get_args

from litestar import Request, get
from litestar.params import FromPath, QueryParameter

from node import limits
from node.api.services import api_of
from node.api.viewing import Paths, job_view, shard_view
from node.api.views import JobView, ShardList
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
    """The shards of a job, by their numbers. For the next page give the last number that came as `after`.

    Of the paths that a shard sees there are the first ten, and how many there are.
    """
    wanted = tuple(state for state in _STATES if state == of_state)
    if of_state and not wanted:
        raise CallerError(f"expected one of {', '.join(_STATES)} in state")
    jobs = api_of(request).services.jobs
    record = await jobs.find(request.auth, job)
    shards = await jobs.shards(request.auth, record.job, after=after, limit=limit, states=wanted)
    paths = await _paths(request, record, shards)
    return ShardList(shards=tuple(shard_view(shard, paths) for shard in shards))


async def viewed(request: Caller, record: JobRecord) -> JobView:
    """A job as it is shown: with the details of shards that failed, then of others."""
    shards = await _shown(request, record)
    return job_view(record, shards, await _paths(request, record, shards))


async def _shown(request: Caller, record: JobRecord) -> list[ShardRecord]:
    jobs, most = api_of(request).services.jobs, limits.SHARDS_SHOWN
    first = await jobs.shards(request.auth, record.job, limit=most)
    if record.shards <= most:
        troubled = [shard for shard in first if shard.state in _TROUBLED]
    else:
        troubled = list(await jobs.shards(request.auth, record.job, limit=most, states=_TROUBLED))
    others = [shard for shard in first if shard.state not in _TROUBLED]
    return (troubled + others)[:most]


async def _paths(request: Caller, record: JobRecord, shards: Sequence[ShardRecord]) -> Paths:
    """What these shards see; without sharding that is every input."""
    numbers = [shard.shard for shard in shards]
    if record.plan_sha256 is None:
        return dict.fromkeys(numbers, tuple(ref.path for ref in record.spec.inputs))
    return await api_of(request).services.jobs.paths(request.auth, record.job, numbers)
