"""A job's state as the snapshot that is kept and shown. Pure."""

from __future__ import annotations

import msgspec

from node.journal.records import JobRecord, ResultsRecord, ShardRecord, ShardResults
from node.requester.life import Bidding, Ended, HandingOver, Running, State


def record_of(base: JobRecord, state: State, at: float) -> JobRecord:
    """``base`` (what was submitted) with what ``state`` knows; ``at`` is when it ended, if it has."""
    match state:
        case Bidding(answers):
            return msgspec.structs.replace(base, answers=answers)
        case Running():
            return msgspec.structs.replace(
                base, state="running", answers=state.answers, draw=state.draw, executions=state.executions
            )
        case HandingOver():
            return msgspec.structs.replace(
                base,
                state="handing_over",
                answers=state.answers,
                draw=state.draw,
                executions=state.executions,
                verdict=state.verdict,
            )
        case Ended():
            return msgspec.structs.replace(
                base,
                state=state.state,
                answers=state.answers,
                draw=state.draw,
                executions=state.executions,
                verdict=state.verdict,
                failure=state.failure,
                results=state.results,
                ended_at=at,
            )


def shard_of(record: JobRecord, kept: ResultsRecord | None) -> ShardRecord:
    """The one shard of a job."""
    results = None
    if kept is not None:
        results = ShardResults(
            hash=kept.hash, files=kept.files, bytes=kept.bytes, peer=kept.peer, exit_code=kept.exit_code
        )
    return ShardRecord(
        shard=0,
        state="waiting" if record.state == "bidding" else record.state,
        executions=record.executions,
        verdict=record.verdict,
        failure=record.failure,
        results=results,
    )
