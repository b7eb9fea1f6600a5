"""A job's state, and a shard's, as what is kept and shown. Pure."""

from __future__ import annotations

from typing import assert_never

import msgspec

from node import limits
from node.journal.records import ExecutionRecord, JobRecord, JobState, ShardRecord, ShardState, Tally
from node.model import JobSpec
from node.requester.effects import Note
from node.requester.life import (
    Bidding,
    Comparing,
    Ended,
    Filing,
    HandingOver,
    Moved,
    Running,
    Settled,
    Shard,
    State,
    Working,
)
from node.spec import room_s

TOLD_SHARDS_MAX = 32  # Of a job with more, the history tells verdicts and failures alone.

_ALWAYS_TOLD = frozenset({"verdict", "compared", "liar", "shard_failed"})


def record_of(base: JobRecord, state: State, at: float) -> JobRecord:
    """``base`` (what was submitted) with what ``state`` knows; ``at`` is when it ended, if it has."""
    match state:
        case Bidding(answers):
            return msgspec.structs.replace(base, answers=answers)
        case Working():
            return msgspec.structs.replace(
                base, state=_phase(state.tally), answers=state.answers, draw=state.draw, tally=state.tally
            )
        case Filing():
            return _ended(base, state.then, "handing_over")
        case Ended():
            record = _ended(base, state, state.state)
            return msgspec.structs.replace(
                record, failure=state.failure, reason=state.reason, results=state.results, ended_at=at
            )
        case _:
            assert_never(state)


def shard_record(state: Shard) -> ShardRecord:
    """A shard that has begun."""
    match state:
        case Running():
            return ShardRecord(shard=state.shard, state="running", executions=state.executions)
        case Comparing():
            return ShardRecord(shard=state.shard, state="running", executions=state.executions, verdict=state.verdict)
        case HandingOver():
            return ShardRecord(
                shard=state.shard, state="handing_over", executions=state.executions, verdict=state.verdict
            )
        case Settled():
            return state.record
        case _:
            assert_never(state)


def life_s(spec: JobSpec, shards: int) -> float:
    """Seconds from submission by which a job has ended, whatever happens.

    Bids, then all shards one after the other: each may wait for room, run for its time limit, answer late, and be
    handed over. With as many nodes as the deal asks for and one slot on each this is what it takes if every shard takes
    all that it may.
    """
    shard_s = room_s(spec) + spec.timeout_s + limits.REPLY_S + limits.HAND_OVER_S
    return spec.deal.bid_window_s + shards * shard_s + limits.COMMITS_S


def executions_of(state: Shard) -> tuple[ExecutionRecord, ...]:
    """Of a shard that has begun."""
    return state.record.executions if isinstance(state, Settled) else state.executions


def moved_between(before: Shard, after: Shard) -> Moved | None:
    """What its job hears of a shard's step; nothing when it stays in its state."""
    if type(before) is type(after) or isinstance(after, Comparing):
        return None
    shown = shard_record(after)
    failure, verdict = shown.failure, shown.verdict
    reason = failure.reason if failure else verdict.reason if verdict and shown.state == "not_verified" else ""
    was: ShardState = "running" if isinstance(before, Running | Comparing) else "handing_over"
    return Moved(shard=shown.shard, before=was, after=shown.state, reason=reason, failure=failure)


def never_begun(shard: int, job: JobRecord) -> ShardRecord:
    """A shard that has no record of its own: it waits, or its job ended before."""
    ends: dict[str, ShardState] = {"cancelled": "cancelled", "failed": "failed"}
    return ShardRecord(shard=shard, state=ends.get(job.state, "waiting"), failure=job.failure)


def is_told(note: Note, shards: int) -> bool:
    """Whether the history of a job with so many shards has room for this."""
    return shards <= TOLD_SHARDS_MAX or note.shard is None or note.kind in _ALWAYS_TOLD


def _phase(tally: Tally) -> JobState:
    return "running" if tally.waiting + tally.running else "handing_over"


def _ended(base: JobRecord, end: Ended, state: JobState) -> JobRecord:
    return msgspec.structs.replace(base, state=state, answers=end.answers, draw=end.draw, tally=end.tally)
