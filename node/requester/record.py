"""A job's state as the snapshot that is kept and shown. Pure."""

from __future__ import annotations

import msgspec

from node.journal.records import JobRecord
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
