"""From records to what the HTTP API says about them. Does not live here: the shapes (``node.api.views``), routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from node import limits
from node.api.views import (
    AnswerView,
    DrawView,
    EventView,
    ExecutionView,
    FailureView,
    GroupView,
    JobSummary,
    JobView,
    PathsView,
    ResultsView,
    ShardResultsView,
    ShardView,
    TallyView,
    VerdictView,
)
from node.journal.records import ExecutionRecord, JobEvent, JobRecord, ShardRecord, VerdictRecord

Paths = Mapping[int, Sequence[str]]  # by number of the shard: what it sees of the inputs


def instant(at: float) -> str:
    """Seconds since 1970 to RFC 3339 with milliseconds, UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_view(event: JobEvent) -> EventView:
    """An event as it is streamed."""
    return EventView(
        seq=event.seq,
        at=instant(event.at),
        kind=event.kind,
        peer=event.peer,
        execution=event.execution,
        shard=event.shard,
        text=event.text,
    )


def summary_view(record: JobRecord) -> JobSummary:
    """A job as a line."""
    return JobSummary(
        id=record.job,
        name=record.spec.name,
        state=record.state,
        submitted_at=instant(record.submitted_at),
        ended_at=None if record.ended_at is None else instant(record.ended_at),
        verdict=_verdict_word(record),
        shards=record.shards,
        completed=record.tally.completed,
        reason=_reason(record),
    )


def job_view(record: JobRecord, shards: Sequence[ShardRecord], paths: Paths) -> JobView:
    """A job, with the details of these shards."""
    draw, failure, results = record.draw, record.failure, record.results
    return JobView(
        id=record.job,
        name=record.spec.name,
        state=record.state,
        submitted_at=instant(record.submitted_at),
        deadline=instant(record.deadline),
        ended_at=None if record.ended_at is None else instant(record.ended_at),
        spec=record.spec,
        spec_sha256=record.spec_sha256,
        plan_sha256=record.plan_sha256,
        answers=tuple(msgspec.convert(answer, AnswerView, from_attributes=True) for answer in record.answers),
        draw=None if draw is None else DrawView(**msgspec.structs.asdict(draw)),
        shards=record.shards,
        tally=TallyView(**msgspec.structs.asdict(record.tally)),
        details=tuple(shard_view(shard, paths) for shard in shards),
        failure=None if failure is None else FailureView(code=failure.code, reason=failure.reason),
        reason=_reason(record),
        results=None if results is None else ResultsView(hash=results.hash, files=results.files, bytes=results.bytes),
    )


def shard_view(shard: ShardRecord, paths: Paths) -> ShardView:
    """One shard, whole but for its paths."""
    failure, results, seen = shard.failure, shard.results, paths.get(shard.shard, ())
    return ShardView(
        shard=shard.shard,
        state=shard.state,
        paths=PathsView(count=len(seen), first=tuple(seen[: limits.SHARD_PATHS_SHOWN])),
        executions=tuple(map(_execution_view, shard.executions)),
        verdict=None if shard.verdict is None else _verdict_view(shard.verdict),
        failure=None if failure is None else FailureView(code=failure.code, reason=failure.reason),
        results=None
        if results is None
        else ShardResultsView(
            hash=results.hash,
            files=results.files,
            bytes=results.bytes,
            peer=results.peer,
            exit_code=results.exit_code,
            location=results.location,
        ),
    )


def _execution_view(execution: ExecutionRecord) -> ExecutionView:
    return ExecutionView(
        execution=execution.execution,
        peer=execution.peer,
        state=execution.state,
        hash=execution.hash,
        code=execution.code,
        reason=execution.reason,
        agreed=execution.agreed,
        lied=execution.lied,
        sources=execution.sources,
        wait_s=execution.wait_s,
    )


def _verdict_view(verdict: VerdictRecord) -> VerdictView:
    groups = tuple(GroupView(hash=group.hash, peers=group.peers) for group in verdict.groups)
    return VerdictView(kind=verdict.kind, hash=verdict.hash, groups=groups, reason=verdict.reason)


def _verdict_word(record: JobRecord) -> str | None:
    """Of the whole job: what every one of its shards has."""
    if record.state == "completed":
        return "verified" if record.spec.verifier == "deterministic" else "unchecked"
    return "not_verified" if record.state == "not_verified" else None


def _reason(record: JobRecord) -> str:
    return record.reason or ("" if record.failure is None else record.failure.reason)
