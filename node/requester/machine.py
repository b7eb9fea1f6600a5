"""Life of one job on its requester, as a pure state machine.

    Bidding --enough bids, lots drawn--> Running --last run ended, vote won--> HandingOver --kept--> Ended
       |                                    |                                      |
       +------ window closed, cancelled ----+---- no verdict, cancelled -----------+--> Ended

``step`` is the only way from one state to the next. It performs nothing: it returns the effects it wants, and
``node.requester.role`` performs them, after the new state is durable when the phase changed. A job has one shard, so a
node has at most one execution of it.

Lives here: which event leads where. Does not live here: how votes are counted (``node.verifier``), how lots are drawn
(``node.verifier.draw``), what goes into which message (``node.requester.role``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from node import limits
from node.journal.records import Answer, ExecutionRecord, Failure, VerdictRecord
from node.model import Deal, DirHash, Draw, ExecutionId, JobSpec, PeerId
from node.requester.ends import ended, failure_of_all, judged, too_few, verdict_record, verdict_text
from node.requester.life import (
    Answered,
    Began,
    Bidding,
    BidWindowClosed,
    CancelAsked,
    CannotKeep,
    Decline,
    Dismiss,
    DrawLots,
    Drawn,
    Effect,
    Ended,
    Engage,
    Event,
    Fetch,
    HandingOver,
    HandOverDeadline,
    Kept,
    Left,
    Lied,
    Note,
    NotHandedOver,
    Proposal,
    RunDeadline,
    RunFailed,
    Running,
    State,
)
from node.verifier.base import Verdict
from node.verifier.vote import NotVerified, Unchecked, Verified

Judge = Callable[[Mapping[PeerId, DirHash], Deal], Verdict]
Step = tuple[State, tuple[Effect, ...]]


def step(state: State, event: Event, *, spec: JobSpec, judge: Judge) -> Step:
    """One transition. An event that means nothing in ``state`` changes nothing, because peers repeat themselves."""
    match state:
        case Bidding():
            return _bidding(state, event, spec.deal)
        case Running():
            return _running(state, event, spec, judge)
        case HandingOver():
            return _handing_over(state, event)
        case Ended():
            return state, (Decline(event.peer),) if isinstance(event, Answered) and event.code is None else ()


def expects(state: State, peer: PeerId, execution: ExecutionId) -> bool:
    """Whether a proposal of this node for this execution would mean anything: worth the work of opening it."""
    return isinstance(state, Running) and _open(state, peer, execution) is not None


def _bidding(state: Bidding, event: Event, deal: Deal) -> Step:
    match event:
        case Answered():
            return _answered(state, event, deal)
        case Left(peer) if peer in state.bidders:
            # It may come back, hear the offer again and bid again.
            return Bidding(tuple(answer for answer in state.answers if answer.peer != peer)), ()
        case Drawn(draw, ids):
            return _drawn(state, draw, ids)
        case BidWindowClosed():
            reason = too_few(state, deal)
            return ended("failed", state, failure=Failure(code="bids", reason=reason))
        case CancelAsked():
            return ended("cancelled", state)
        case _:
            return state, ()


def _answered(state: Bidding, event: Answered, deal: Deal) -> Step:
    others = tuple(answer for answer in state.answers if answer.peer != event.peer)
    if len(others) < len(state.answers) and (event.code is not None or event.peer in state.bidders):
        return state, ()  # Who declined may come back and bid; nothing else is heard twice.
    if len(state.bidders) >= deal.bids_needed or len(others) >= limits.BIDS_MAX:
        return state, (Decline(event.peer),) if event.code is None else ()
    answer = Answer(peer=event.peer, code=event.code, reason=event.reason)
    after = Bidding((*others, answer))
    if event.code is not None:
        return after, (Note("declined", event.peer, text=event.reason),)
    note = Note("bid", event.peer)
    enough = len(after.bidders) == deal.bids_needed
    return after, (note, DrawLots(after.bidders)) if enough else (note,)


def _drawn(state: Bidding, draw: Draw, ids: tuple[ExecutionId, ...]) -> Step:
    executions = tuple(
        ExecutionRecord(execution=execution, shard=0, peer=PeerId(peer), state="accepted")
        for peer, execution in zip(draw.chosen, ids, strict=True)
    )
    rejected = tuple(peer for peer in state.bidders if peer not in draw.chosen)
    notes = tuple(Note("drawn", run.peer, run.execution) for run in executions)
    return Running(answers=state.answers, draw=draw, executions=executions), (*notes, Engage(executions, rejected))


def _running(state: Running, event: Event, spec: JobSpec, judge: Judge) -> Step:
    match event:
        case Began(peer, execution):
            return _began(state, peer, execution)
        case Proposal(peer, execution):
            return _proposed(state, event, spec, judge) if _open(state, peer, execution) else (state, ())
        case RunFailed(peer, execution, code, reason):
            run = _open(state, peer, execution)
            return _failed(state, (run,), code, reason, spec, judge) if run else (state, ())
        case Left(peer):
            runs = tuple(run for run in state.executions if run.peer == peer and _is_open(run))
            return _failed(state, runs, "lost", "the node went away", spec, judge) if runs else (state, ())
        case RunDeadline():
            runs = tuple(filter(_is_open, state.executions))
            return _failed(state, runs, "late", "no answer by the deadline", spec, judge)
        case CancelAsked():
            return ended("cancelled", state)
        case Answered(peer, None):
            return state, (Decline(peer),)
        case _:
            return state, ()


def _is_open(run: ExecutionRecord) -> bool:
    return run.state in ("accepted", "running")


def _open(state: Running, peer: PeerId, execution: ExecutionId) -> ExecutionRecord | None:
    """The execution, if it is this node's and has not ended."""
    return next(
        (run for run in state.executions if run.execution == execution and run.peer == peer and _is_open(run)), None
    )


def _with(state: Running, *changed: ExecutionRecord) -> Running:
    by_id = {run.execution: run for run in changed}
    return replace(state, executions=tuple(by_id.get(run.execution, run) for run in state.executions))


def _began(state: Running, peer: PeerId, execution: ExecutionId) -> Step:
    run = _open(state, peer, execution)
    if run is None or run.state == "running":
        return state, ()
    return _with(state, msgspec.structs.replace(run, state="running")), (Note("started", peer, execution),)


def _proposed(state: Running, event: Proposal, spec: JobSpec, judge: Judge) -> Step:
    run = _open(state, event.peer, event.execution)
    assert run is not None
    value = "" if event.signed is None else event.signed.statement.hash
    after = _with(state, msgspec.structs.replace(run, state="proposed", hash=value, reason=event.problem))
    if event.signed is not None:
        after = replace(after, proposals={**state.proposals, event.peer: event.signed})
    # The hash stays out of the history until the vote is closed.
    return _counted(after, (Note("proposed", event.peer, event.execution, event.problem),), spec, judge)


def _failed(
    state: Running, runs: tuple[ExecutionRecord, ...], code: str, reason: str, spec: JobSpec, judge: Judge
) -> Step:
    ended = tuple(msgspec.structs.replace(run, state="failed", code=code, reason=reason) for run in runs)
    notes = tuple(Note("execution_failed", run.peer, run.execution, f"{code}: {reason}") for run in runs)
    return _counted(_with(state, *ended), notes, spec, judge)


def _counted(state: Running, notes: tuple[Note, ...], spec: JobSpec, judge: Judge) -> Step:
    """The vote, once every execution has ended."""
    if any(map(_is_open, state.executions)):
        return state, notes
    votes = {run.peer: DirHash(run.hash or "") for run in state.executions if run.state == "proposed"}
    if not votes:
        return ended("failed", state, notes, failure=failure_of_all(state))
    verdict = judge(votes, spec.deal)
    record = verdict_record(verdict)
    after = replace(state, executions=tuple(judged(run, record) for run in state.executions))
    notes = (*notes, Note("verdict", text=verdict_text(record)))
    match verdict:
        case NotVerified():
            return ended("not_verified", after, notes, verdict=record)
        case Verified() | Unchecked():
            return _win(after, record, notes)


def _win(state: Running, verdict: VerdictRecord, notes: tuple[Note, ...]) -> Step:
    winners = tuple(run for run in state.executions if run.agreed)
    losers = tuple(run for run in state.executions if not run.agreed)
    after = HandingOver(
        answers=state.answers,
        draw=state.draw,
        executions=state.executions,
        proposals=state.proposals,
        verdict=verdict,
        asking=tuple(run.peer for run in winners),
    )
    return after, (*notes, _fetch(after), Dismiss(losers))


def _fetch(state: HandingOver) -> Fetch:
    run = next(run for run in state.executions if run.peer == state.asking[0])
    return Fetch(run.peer, run.execution, DirHash(run.hash or ""))


def _handing_over(state: HandingOver, event: Event) -> Step:
    match event:
        case Kept(results):
            note = Note("kept", results.peer, text=results.hash)
            return ended("completed", state, (note,), results=results)
        case Lied(peer, what) if peer == state.asking[0]:
            runs = tuple(
                msgspec.structs.replace(run, lied=what) if run.peer == peer else run for run in state.executions
            )
            return _next_winner(replace(state, executions=runs), Note("liar", peer, text=what), what)
        case NotHandedOver(peer, why) if peer == state.asking[0]:
            return _next_winner(state, Note("execution_failed", peer, text=why), why)
        case CannotKeep(why):
            return ended("failed", state, failure=Failure(code="room", reason=why))
        case HandOverDeadline():
            reason = "the winners did not hand over what won in time"
            return ended("failed", state, failure=Failure(code="hand_over", reason=reason))
        case CancelAsked():
            return ended("cancelled", state)
        case Answered(peer, None):
            return state, (Decline(peer),)
        case _:
            return state, ()


def _next_winner(state: HandingOver, note: Note, why: str) -> Step:
    after = replace(state, asking=state.asking[1:])
    if after.asking:
        return after, (note, _fetch(after))
    reason = f"no winner handed over what won; the last one: {why}"
    return ended("failed", after, (note,), failure=Failure(code="hand_over", reason=reason))
