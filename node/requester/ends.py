"""How a job ends: who is told, in records and in words. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

from node.journal.records import ExecutionRecord, Failure, Group, ResultsRecord, VerdictRecord
from node.model import Deal
from node.requester.life import Bidding, Decline, Dismiss, Effect, Ended, HandingOver, Note, Running
from node.verifier.base import Verdict
from node.verifier.vote import NotVerified, Unchecked, Verified


def ended(
    state: Literal["completed", "not_verified", "failed", "cancelled"],
    before: Bidding | Running | HandingOver,
    notes: tuple[Note, ...] = (),
    *,
    verdict: VerdictRecord | None = None,
    failure: Failure | None = None,
    results: ResultsRecord | None = None,
) -> tuple[Ended, tuple[Effect, ...]]:
    """The last step of any job: bidders, and nodes that still hold something of it, are told that it is over."""
    if isinstance(before, HandingOver):
        verdict = before.verdict
    draw, executions = (None, ()) if isinstance(before, Bidding) else (before.draw, before.executions)
    if state == "cancelled":
        executions = tuple(map(_cancelled, executions))
    after = Ended(
        state=state,
        answers=before.answers,
        draw=draw,
        executions=executions,
        verdict=verdict,
        failure=failure,
        results=results,
    )
    text = failure.reason if failure else verdict.reason if verdict and state == "not_verified" else state
    return after, (*notes, *_told(before), Note("ended", text=text))


def _told(before: Bidding | Running | HandingOver) -> tuple[Effect, ...]:
    match before:
        case Bidding():
            return tuple(map(Decline, before.bidders))
        case Running():
            return (Dismiss(before.executions),)
        case HandingOver():  # The losers of a vote were dismissed with the verdict.
            return (Dismiss(tuple(run for run in before.executions if run.agreed)),)


def judged(run: ExecutionRecord, verdict: VerdictRecord) -> ExecutionRecord:
    """The run with its side of the vote; runs without a proposal have none."""
    if run.state != "proposed":
        return run
    return msgspec.structs.replace(run, agreed=run.hash == verdict.hash != "")  # Without a winner it is empty.


def verdict_record(verdict: Verdict) -> VerdictRecord:
    """A verdict as it is kept and shown."""
    groups = tuple(Group(hash=group.hash, peers=group.peers) for group in verdict.groups)
    match verdict:
        case Verified(winner):
            return VerdictRecord(kind="verified", hash=winner, groups=groups)
        case Unchecked(winner):
            return VerdictRecord(kind="unchecked", hash=winner, groups=groups)
        case NotVerified(reason):
            return VerdictRecord(kind="not_verified", groups=groups, reason=reason)


def verdict_text(verdict: VerdictRecord) -> str:
    """A verdict in a line."""
    sizes = ", ".join(str(len(group.peers)) for group in verdict.groups)
    match verdict.kind:
        case "verified":
            return f"verified: {len(verdict.groups[0].peers)} agree on {verdict.hash} (groups: {sizes})"
        case "unchecked":
            return f"not checked (noop): {verdict.hash}"
        case "not_verified":
            return f"not verified: {verdict.reason} (groups: {sizes})"


def too_few(state: Bidding, deal: Deal) -> str:
    """Why bidding failed: how many came, how many it takes, and what the others said."""
    heard, declined = len(state.bidders), [answer for answer in state.answers if answer.code is not None]
    text = f"{heard} of the {deal.bids_needed} bids needed came within {deal.bid_window_s:g} s"
    if not declined:
        return f"{text}; no other node answered"
    reasons = Counter(answer.reason or answer.code for answer in declined)
    counted = "; ".join(f"{count} declined: {reason}" for reason, count in sorted(reasons.items(), key=_most_first))
    return f"{text}; {counted}"


def failure_of_all(state: Running) -> Failure:
    """Why there is nothing to vote on."""
    reasons = Counter((run.code, run.reason) for run in state.executions)
    (code, reason), count = min(reasons.items(), key=_most_first)
    total = len(state.executions)
    text = f"no execution gave a result: {count} of {total} ended with {code}: {reason}"
    timed_out = all(run.code in ("time", "late") for run in state.executions)
    return Failure(code="time" if timed_out else "executions", reason=text)


def _most_first(item: tuple[object, int]) -> tuple[int, str]:
    return -item[1], str(item[0])


def _cancelled(run: ExecutionRecord) -> ExecutionRecord:
    if run.state in ("proposed", "failed"):
        return run
    return msgspec.structs.replace(run, state="failed", code="cancelled", reason="the owner cancelled the job")
