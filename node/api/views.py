"""What the HTTP API says about jobs and nodes: its own structs, version ``/v1``, and the conversions from records.

Lives here: shapes of answers, used by the server and by the command line. Does not live here: routes, status codes.
Times are RFC 3339 in UTC. A field that does not apply is null; nothing is left out.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from node.journal.records import ExecutionRecord, JobEvent, JobRecord, VerdictRecord
from node.model import JobSpec


class _View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything that is answered."""


class AnswerView(_View, frozen=True, kw_only=True):
    """What a node answered to the offer: ``code`` null means it bid."""

    peer: str
    code: str | None
    reason: str


class DrawView(_View, frozen=True, kw_only=True):
    """Who was chosen, and the salt that anyone can check it with."""

    salt: str
    chosen: tuple[str, ...]


class ExecutionView(_View, frozen=True, kw_only=True):
    """One run on one node. ``state``: accepted, running, proposed or failed."""

    execution: str
    shard: int
    peer: str
    state: str
    hash: str | None
    code: str | None
    reason: str
    agreed: bool | None
    lied: str | None


class GroupView(_View, frozen=True, kw_only=True):
    """Nodes that proposed the same hash."""

    hash: str
    peers: tuple[str, ...]


class VerdictView(_View, frozen=True, kw_only=True):
    """``kind``: verified, not_verified or unchecked (noop)."""

    kind: str
    hash: str
    groups: tuple[GroupView, ...]
    reason: str


class FailureView(_View, frozen=True, kw_only=True):
    """Why the job ended without results."""

    code: str
    reason: str


class ResultsView(_View, frozen=True, kw_only=True):
    """What is kept for the owner."""

    hash: str
    files: int
    bytes: int
    peer: str
    exit_code: int | None


class JobView(_View, frozen=True, kw_only=True):
    """A job. ``state``: bidding, running, handing_over; completed, not_verified, failed, cancelled."""

    id: str
    name: str
    state: str
    submitted_at: str
    deadline: str
    ended_at: str | None
    spec: JobSpec
    spec_sha256: str
    answers: tuple[AnswerView, ...]
    draw: DrawView | None
    executions: tuple[ExecutionView, ...]
    verdict: VerdictView | None
    failure: FailureView | None
    results: ResultsView | None


class PlanView(_View, frozen=True, kw_only=True):
    """The shards of a spec: what each sees of the inputs, as paths of the job."""

    shards: tuple[tuple[str, ...], ...]


class JobSummary(_View, frozen=True, kw_only=True):
    """One line of a list."""

    id: str
    name: str
    state: str
    submitted_at: str
    ended_at: str | None
    verdict: str | None
    reason: str


class JobList(_View, frozen=True, kw_only=True):
    """The newest jobs of the caller."""

    jobs: tuple[JobSummary, ...]


class EventView(_View, frozen=True, kw_only=True):
    """One line of a job's history; the ``data`` of a server-sent event whose ``id`` is ``seq``."""

    seq: int
    at: str
    kind: str
    peer: str | None
    execution: str | None
    text: str


class FileView(_View, frozen=True, kw_only=True):
    """One result file; ``name`` is relative to the results folder."""

    name: str
    size: int
    sha256: str


class ManifestView(_View, frozen=True, kw_only=True):
    """All result files of a job, and their directory hash."""

    hash: str
    files: tuple[FileView, ...]


class ModuleView(_View, frozen=True, kw_only=True):
    """An uploaded module."""

    sha256: str
    size: int


class NodeView(_View, frozen=True, kw_only=True):
    """The node that answers. ``peer_id`` is the audience of tokens for it."""

    peer_id: str
    version: str
    addresses: tuple[str, ...]
    engines: tuple[str, ...]
    storages: tuple[str, ...]
    peers: int


class PeerList(_View, frozen=True, kw_only=True):
    """Peers with a session, sorted."""

    peers: tuple[str, ...]


class Problem(_View, frozen=True, kw_only=True):
    """RFC 9457 problem details. ``code`` is stable; ``path`` names the offending field: ``$.deal.concurrency``."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    path: str | None = None


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
        verdict=None if record.verdict is None else record.verdict.kind,
        reason=_reason(record),
    )


def job_view(record: JobRecord) -> JobView:
    """A job, whole."""
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
        answers=tuple(AnswerView(peer=a.peer, code=a.code, reason=a.reason) for a in record.answers),
        draw=None if draw is None else DrawView(salt=draw.salt, chosen=draw.chosen),
        executions=tuple(map(_execution_view, record.executions)),
        verdict=None if record.verdict is None else _verdict_view(record.verdict),
        failure=None if failure is None else FailureView(code=failure.code, reason=failure.reason),
        results=None
        if results is None
        else ResultsView(
            hash=results.hash, files=results.files, bytes=results.bytes, peer=results.peer, exit_code=results.exit_code
        ),
    )


def _execution_view(execution: ExecutionRecord) -> ExecutionView:
    return ExecutionView(
        execution=execution.execution,
        shard=execution.shard,
        peer=execution.peer,
        state=execution.state,
        hash=execution.hash,
        code=execution.code,
        reason=execution.reason,
        agreed=execution.agreed,
        lied=execution.lied,
    )


def _verdict_view(verdict: VerdictRecord) -> VerdictView:
    groups = tuple(GroupView(hash=group.hash, peers=group.peers) for group in verdict.groups)
    return VerdictView(kind=verdict.kind, hash=verdict.hash, groups=groups, reason=verdict.reason)


def _reason(record: JobRecord) -> str:
    if record.failure is not None:
        return record.failure.reason
    return "" if record.verdict is None else record.verdict.reason
