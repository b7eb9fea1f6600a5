"""Routes of jobs: submit, list, look, cancel, receipt. Everything here is about the caller's own jobs."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.params import FromPath, QueryParameter

from node import limits, spec
from node.api.bodies import preferred_wait_s, small_body, while_there
from node.api.openapi import RECEIPT_JSON
from node.api.services import api_of
from node.api.shards import viewed
from node.api.viewing import summary_view
from node.api.views import JobList, JobView, PlanView
from node.errors import NodeError, TooMany
from node.journal.records import JobRecord
from node.model import JobSpec, Plan

Caller = Request[Any, Any, Any]
Limit = Annotated[int, QueryParameter(ge=1, le=limits.JOBS_LISTED_MAX, description="How many jobs at most.")]


@post("/jobs", operation_id="submitJob")
async def submit(request: Caller) -> Response[JobView]:
    """Submit a job.

    From this answer on the job survives a crash of the node. With `Prefer: wait=N` the answer comes when the job has
    ended, or after N seconds with the job as it is then.
    """
    body = await small_body(request, limits.SPEC_BODY_BYTES_MAX)
    record = await api_of(request).services.jobs.submit(request.auth, spec.parse(body))
    headers = {"location": f"/v1/jobs/{record.job}"}
    wait_s = preferred_wait_s(request.headers)
    if wait_s is not None:
        with contextlib.suppress(TooMany):  # Of waiting alone: the job is taken, and the caller must hear of it.
            record = await _awaited(request, record, wait_s)
            headers["preference-applied"] = f"wait={wait_s:.0f}"
    return Response(await viewed(request, record), headers=headers)


@post("/plan", operation_id="planJob", status_code=200)
async def plan(request: Caller) -> PlanView:
    """The shards that a spec would have if it were submitted now; nothing is submitted.

    The inputs are listed by this node, as at a submission.
    """
    wanted = spec.parse(await small_body(request, limits.SPEC_BODY_BYTES_MAX))
    found: Plan | NodeError = ()
    async with while_there(request.receive):
        found = await _planned(request, wanted)
    if isinstance(found, NodeError):
        raise found
    return PlanView(shards=found)


@get("/jobs", operation_id="listJobs")
async def recent(request: Caller, limit: Limit = 100) -> JobList:
    """The newest jobs of the caller."""
    records = await api_of(request).services.jobs.recent(request.auth, limit)
    return JobList(jobs=tuple(map(summary_view, records)))


@get("/jobs/{job:str}", operation_id="getJob")
async def describe(request: Caller, job: FromPath[str]) -> Response[JobView]:
    """One job, by its id or the beginning of it. `Prefer: wait=N` waits for its end."""
    record = await api_of(request).services.jobs.find(request.auth, job)
    wait_s = preferred_wait_s(request.headers)
    if wait_s is None:
        return Response(await viewed(request, record))
    record = await _awaited(request, record, wait_s)
    return Response(await viewed(request, record), headers={"preference-applied": f"wait={wait_s:.0f}"})


@post("/jobs/{job:str}/cancel", operation_id="cancelJob", status_code=200)
async def cancel(request: Caller, job: FromPath[str]) -> JobView:
    """End a job. One that has ended stays as it is (409)."""
    return await viewed(request, await api_of(request).services.jobs.cancel(request.auth, job))


@get("/jobs/{job:str}/receipt", operation_id="getReceipt", media_type=RECEIPT_JSON)
async def receipt(request: Caller, job: FromPath[str]) -> bytes:
    """The signed receipt, byte for byte: an in-toto Statement in a DSSE envelope."""
    return await api_of(request).services.jobs.receipt(request.auth, job)


async def _planned(request: Caller, wanted: JobSpec) -> Plan | NodeError:
    """An error as a value: a nursery would wrap it."""
    try:
        return await api_of(request).services.jobs.plan(request.auth, wanted)
    except NodeError as error:
        return error


async def _awaited(request: Caller, record: JobRecord, seconds: float) -> JobRecord:
    """The job once it has ended; as it was before if the caller does not wait for the answer. Raises TooMany."""
    api = api_of(request)
    if not record.ended:
        with api.waits.one(request.auth):
            async with while_there(request.receive):
                record = await api.services.jobs.wait(request.auth, record.job, seconds)
    return record
