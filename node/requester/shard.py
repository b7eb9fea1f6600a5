"""Life of one shard, as a pure state machine that knows of no other.

    Running --last execution ended, vote won--> HandingOver --kept--> Settled
       |    --groups, and none of them won----> Comparing --compared, or too late--> Settled
       |                                             |
       +------ no verdict, stopped ------------------+--> Settled

``step_shard`` is the only way from one state to the next, and costs the same however many shards the job has. A node
has at most one execution of a shard. Executions wait for their turn on their node (``node.requester.schedule``); the
vote waits for all of them.

Lives here: which event leads where. Does not live here: how votes are counted (``node.verifier``), what a shard's end
means for its job (``node.requester.machine``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec

from node.journal.records import ExecutionRecord, Failure, ShardRecord, ShardResults, VerdictRecord
from node.model import Deal, DirHash, ExecutionId, PeerId, about
from node.requester.effects import Compare, Dismiss, Engage, Extend, Fetch, Note, ShardEffect
from node.requester.ends import failure_of_all, judged, stopped, verdict_record, verdict_text
from node.requester.life import (
    Began,
    CannotKeep,
    Compared,
    Comparing,
    HandingOver,
    Kept,
    Left,
    Lied,
    NotHandedOver,
    Proposal,
    RunDeadline,
    RunFailed,
    Running,
    Settled,
    Shard,
    ShardEvent,
    Stopped,
    TurnCame,
    Waits,
)
from node.verifier.base import Verdict
from node.verifier.vote import NotVerified, Unchecked, Verified

Judge = Callable[[Mapping[PeerId, DirHash]], Verdict]
Step = tuple[Shard, tuple[ShardEffect, ...]]
_Open = Running | HandingOver | Comparing

GROUPS_COMPARED = 4  # The largest, after a vote that nobody won.

_NOT_COMPARED = "in which files the groups differ is not known: too few of their nodes told in time"


def begun(shard: int, peers: Sequence[PeerId], ids: Sequence[ExecutionId]) -> Running:
    """A shard whose executions wait for their turns."""
    return Running(
        shard=shard,
        executions=tuple(
            ExecutionRecord(execution=execution, shard=shard, peer=peer, state="waiting")
            for peer, execution in zip(peers, ids, strict=True)
        ),
    )


def judge_of(judge: Callable[[Mapping[PeerId, DirHash], Deal], Verdict], deal: Deal) -> Judge:
    """A verifier's judgement for one deal."""
    return lambda votes: judge(votes, deal)


def step_shard(state: Shard, event: ShardEvent, judge: Judge) -> Step:
    """One transition. An event that means nothing in ``state`` changes nothing, because peers repeat themselves."""
    match state:
        case Running():
            return _running(state, event, judge)
        case HandingOver():
            return _handing_over(state, event)
        case Comparing():
            return _comparing(state, event)
        case Settled():
            return state, ()


def expects(state: Shard | None, peer: PeerId, execution: ExecutionId) -> bool:
    """Whether a proposal of this node for this execution would mean anything: worth the work of opening it."""
    return isinstance(state, Running) and _open(state, peer, execution) is not None


def is_under_way(run: ExecutionRecord) -> bool:
    """Whether its node works on it."""
    return run.state in ("accepted", "running")


def _running(state: Running, event: ShardEvent, judge: Judge) -> Step:
    match event:
        case TurnCame(peer):
            return _turn_came(state, peer)
        case Waits(peer, execution, wait_s):
            return _waits(state, peer, execution, wait_s)
        case Began(peer, execution, sources):
            return _began(state, peer, execution, sources)
        case Proposal(peer, execution):
            return _proposed(state, event, judge) if _open(state, peer, execution) else (state, ())
        case RunFailed(peer, execution, code, reason):
            run = _open(state, peer, execution)
            return _failed(state, run, code, reason, judge) if run else (state, ())
        case Left(peer):
            run = next((run for run in state.executions if run.peer == peer and not _has_ended(run)), None)
            return _failed(state, run, "lost", "the node went away", judge) if run else (state, ())
        case RunDeadline(execution):
            run = next((run for run in state.executions if run.execution == execution and is_under_way(run)), None)
            return _failed(state, run, "late", "no answer by the deadline", judge) if run else (state, ())
        case Stopped(failure):
            return _stopped(state, failure)
        case _:
            return state, ()


def _has_ended(run: ExecutionRecord) -> bool:
    return run.state in ("proposed", "failed")


def _open(state: Running, peer: PeerId, execution: ExecutionId) -> ExecutionRecord | None:
    """The execution, if it is this node's and under way."""
    return next(
        (run for run in state.executions if run.execution == execution and run.peer == peer and is_under_way(run)), None
    )


def _with(state: Running, changed: ExecutionRecord) -> Running:
    return replace(state, executions=tuple(changed if run.peer == changed.peer else run for run in state.executions))


def _turn_came(state: Running, peer: PeerId) -> Step:
    run = next((run for run in state.executions if run.peer == peer and run.state == "waiting"), None)
    if run is None:
        return state, ()
    run = msgspec.structs.replace(run, state="accepted")
    return _with(state, run), (Note("drawn", peer, run.execution, shard=state.shard), Engage(run))


def _waits(state: Running, peer: PeerId, execution: ExecutionId, wait_s: float) -> Step:
    """Once: a node that says so again gets no more time."""
    run = _open(state, peer, execution)
    if run is None or run.state == "running" or run.wait_s or not wait_s:
        return state, ()
    run = msgspec.structs.replace(run, wait_s=wait_s)
    note = Note("queued", peer, execution, f"waits for room, {about(wait_s)}", state.shard)
    return _with(state, run), (note, Extend(run))


def _began(state: Running, peer: PeerId, execution: ExecutionId, sources: tuple[str, ...]) -> Step:
    run = _open(state, peer, execution)
    if run is None or run.state == "running":
        return state, ()
    note = Note("started", peer, execution, shard=state.shard)
    after = _with(state, msgspec.structs.replace(run, state="running", sources=sources))
    return replace(after, started=(*state.started, execution)), (note,)


def _proposed(state: Running, event: Proposal, judge: Judge) -> Step:
    run = _open(state, event.peer, event.execution)
    assert run is not None
    value = "" if event.signed is None else event.signed.statement.hash
    after = _with(state, msgspec.structs.replace(run, state="proposed", hash=value, reason=event.problem))
    if event.signed is not None:
        after = replace(after, ballots={**state.ballots, event.peer: event.signed})
    # The hash stays out of the history until the vote is closed.
    return _counted(after, Note("proposed", event.peer, event.execution, event.problem, state.shard), judge)


def _failed(state: Running, run: ExecutionRecord, code: str, reason: str, judge: Judge) -> Step:
    ended = msgspec.structs.replace(run, state="failed", code=code, reason=reason)
    note = Note("execution_failed", run.peer, run.execution, f"{code}: {reason}", state.shard)
    return _counted(_with(state, ended), note, judge)


def _counted(state: Running, note: Note, judge: Judge) -> Step:
    """The vote, once every execution has ended."""
    if not all(map(_has_ended, state.executions)):
        return state, (note,)
    votes = {run.peer: DirHash(run.hash or "") for run in state.executions if run.state == "proposed"}
    if not votes:
        after, effects = _settled(state, failure=failure_of_all(state.executions))
        return after, (note, *effects)
    verdict = judge(votes)
    record = verdict_record(verdict)
    after = replace(state, executions=tuple(judged(run, record) for run in state.executions))
    notes = (note, Note("verdict", text=verdict_text(record), shard=state.shard))
    match verdict:
        case NotVerified():
            settled, effects = _compare(after, record)
            return settled, (*notes, *effects)
        case Verified() | Unchecked():
            return _win(after, record, notes)


def _compare(state: Running, verdict: VerdictRecord) -> Step:
    """The groups are asked what they differ in, where there are several that can be."""
    hashes = [group.hash for group in verdict.groups if group.hash][:GROUPS_COMPARED]
    if len(hashes) < 2:
        return _settled(state, verdict=verdict)
    groups = tuple(tuple(run for run in state.executions if run.hash == value) for value in hashes)
    after = Comparing(shard=state.shard, executions=state.executions, ballots=state.ballots, verdict=verdict)
    return after, (Compare(state.shard, groups),)


def _comparing(state: Comparing, event: ShardEvent) -> Step:
    match event:
        case Compared(text):
            reason = f"{state.verdict.reason}; {text}" if text else state.verdict.reason
            note = Note("compared", text=text or _NOT_COMPARED, shard=state.shard)
            settled, effects = _settled(state, verdict=msgspec.structs.replace(state.verdict, reason=reason))
            return settled, (note, *effects)
        case Stopped(failure):
            return _stopped(state, failure)
        case _:
            return state, ()


def _win(state: Running, verdict: VerdictRecord, notes: tuple[Note, ...]) -> Step:
    after = HandingOver(
        shard=state.shard,
        executions=state.executions,
        ballots=state.ballots,
        verdict=verdict,
        asking=tuple(run.peer for run in state.executions if run.agreed),
    )
    losers = tuple(run for run in state.executions if not run.agreed)
    return after, (*notes, _fetch(after), Dismiss(losers))


def _fetch(state: HandingOver) -> Fetch:
    run = next(run for run in state.executions if run.peer == state.asking[0])
    return Fetch(run.peer, run.execution, DirHash(run.hash or ""), state.shard)


def _handing_over(state: HandingOver, event: ShardEvent) -> Step:
    match event:
        case Kept(results):
            after, effects = _settled(state, verdict=state.verdict, results=results)
            return after, (Note("kept", results.peer, text=results.hash, shard=state.shard), *effects)
        case Lied(peer, what) if peer == state.asking[0]:
            runs = tuple(
                msgspec.structs.replace(run, lied=what) if run.peer == peer else run for run in state.executions
            )
            return _next_winner(replace(state, executions=runs), Note("liar", peer, text=what, shard=state.shard), what)
        case NotHandedOver(peer, why) if peer == state.asking[0]:
            return _next_winner(state, Note("execution_failed", peer, text=why, shard=state.shard), why)
        case CannotKeep(why):
            return _settled(state, verdict=state.verdict, failure=Failure(code="room", reason=why))
        case Stopped(failure):
            return _stopped(state, failure)
        case _:
            return state, ()


def _next_winner(state: HandingOver, note: Note, why: str) -> Step:
    after = replace(state, asking=state.asking[1:])
    if after.asking:
        return after, (note, _fetch(after))
    failure = Failure(code="hand_over", reason=f"no winner handed over what won; the last one: {why}")
    settled, effects = _settled(after, verdict=state.verdict, failure=failure)
    return settled, (note, *effects)


def _stopped(state: _Open, failure: Failure | None) -> Step:
    ended = replace(state, executions=tuple(stopped(run, failure) for run in state.executions))
    verdict = None if isinstance(state, Running) else state.verdict
    return _settled(ended, verdict=verdict, failure=failure, told=_told(state), was_stopped=True)


def _settled(
    before: _Open,
    *,
    verdict: VerdictRecord | None = None,
    failure: Failure | None = None,
    results: ShardResults | None = None,
    told: tuple[ExecutionRecord, ...] | None = None,
    was_stopped: bool = False,
) -> Step:
    """The last step of any shard: nodes that still hold something of it are told that it is over."""
    state = "completed" if results else "failed" if failure else "cancelled" if was_stopped else "not_verified"
    record = ShardRecord(
        shard=before.shard,
        state=state,  # type: ignore[arg-type]
        executions=before.executions,
        verdict=verdict,
        failure=failure,
        results=results,
    )
    dismissed = _told(before) if told is None else told
    return Settled(record=record, ballots=before.ballots), _dismissals(before, dismissed, results)


def _dismissals(before: _Open, told: tuple[ExecutionRecord, ...], results: ShardResults | None) -> tuple[Dismiss, ...]:
    """Of what winners may have published, only that counts which was read back and kept."""
    if not isinstance(before, HandingOver):  # Nobody was asked for results.
        return (Dismiss(told),)
    kept = tuple(run for run in told if results is not None and run.peer == results.peer)
    return Dismiss(kept), Dismiss(tuple(run for run in told if run not in kept), retract=True)


def _told(before: _Open) -> tuple[ExecutionRecord, ...]:
    if isinstance(before, HandingOver):  # The losers of a vote were dismissed with the verdict.
        return tuple(run for run in before.executions if run.agreed)
    return tuple(run for run in before.executions if run.state != "waiting")
