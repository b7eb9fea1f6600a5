"""Life of one job on its requester, as a pure state machine over how many of its shards are in which state.

    Bidding --enough bids, lots drawn--> Working --last shard settled, something won--> Filing --whole, named--> Ended
       |                                    |                                             |
       +------ window closed, cancelled ----+---- nothing won ----------------------------+--> Ended

``step`` is the only way from one state to the next, and costs the same however many shards there are. It performs
nothing: it returns the effects it wants, and ``node.requester.role`` performs them, after the new state is durable when
the phase changed. What one shard won is kept whatever becomes of the others.

Lives here: which event leads where. Does not live here: the life of a shard (``node.requester.shard``), how lots are
drawn (``node.verifier.draw``), what goes into which message (``node.requester.role``).
"""

from __future__ import annotations

from dataclasses import replace

from node import limits
from node.journal.records import Answer, Failure, Tally
from node.model import JobSpec, about
from node.requester.bids import comparable, is_enough, patience_s, ready, too_few
from node.requester.effects import Decline, DrawLots, File, HearOthers, JobEffect, Note, Stop, Work
from node.requester.ends import all_over, end_of_all, ended_as, moved, totals
from node.requester.life import (
    Answered,
    Bidding,
    BidWindowClosed,
    CancelAsked,
    CannotKeep,
    Drawn,
    Ended,
    Event,
    Filed,
    Filing,
    JobDeadline,
    Left,
    Moved,
    NoBetter,
    State,
    Stopped,
    Trouble,
    Working,
)
from node.spec import room_s

Step = tuple[State, tuple[JobEffect, ...]]


def step(state: State, event: Event, *, spec: JobSpec, shards: int) -> Step:
    """One transition. An event that means nothing in ``state`` changes nothing, because peers repeat themselves."""
    match state:
        case Bidding():
            return _bidding(state, event, spec, shards)
        case Working():
            return _working(state, event, shards)
        case Filing():
            return _filing(state, event)
        case Ended():
            return state, _too_late(event)


def _too_late(event: Event) -> tuple[Decline, ...]:
    return (Decline(event.peer),) if isinstance(event, Answered) and event.code is None else ()


def _bidding(state: Bidding, event: Event, spec: JobSpec, shards: int) -> Step:
    match event:
        case Answered():
            return _answered(state, event, spec)
        case Left(peer) if peer in state.bidders:
            # It may come back, hear the offer again and bid again.
            return Bidding(tuple(answer for answer in state.answers if answer.peer != peer)), ()
        case Drawn(draw):
            return Working(answers=state.answers, draw=draw, tally=Tally(waiting=shards)), (Work(),)
        case NoBetter() | BidWindowClosed() if is_enough(state, spec):
            return state, (_lots(state, spec),)
        case BidWindowClosed():
            reason = too_few(state, spec)
            failure = Failure(code="bids", reason=reason)
            tally = Tally(failed=shards)
            return _over(Ended(state="failed", answers=state.answers, tally=tally, failure=failure, reason=reason))
        case CancelAsked():
            return _over(Ended(state="cancelled", answers=state.answers, tally=Tally(cancelled=shards)))
        case _:
            return state, ()


def _answered(state: Bidding, event: Answered, spec: JobSpec) -> Step:
    others = tuple(answer for answer in state.answers if answer.peer != event.peer)
    if len(others) < len(state.answers) and (event.code is not None or event.peer in state.bidders):
        return state, ()  # Who declined may come back and bid; nothing else is heard twice.
    if is_enough(ready(state, spec), spec) or len(others) >= limits.BIDS_MAX:
        return state, _too_late(event)
    if event.code is None and event.wait_s > (allowed_s := room_s(spec)):
        reason = f"room in {about(event.wait_s)}; an execution of it waits {about(allowed_s)} at most"
        after, notes = _answered(state, Answered(event.peer, "full", reason), spec)
        return after, (Decline(event.peer), *notes)
    answer = Answer(
        peer=event.peer,
        code=event.code,
        reason=event.reason,
        slots=event.slots,
        holds=event.holds,
        runs_with=event.runs_with,
        wait_s=event.wait_s,
    )
    after = Bidding((*others, answer))
    if event.code is not None:
        return after, (Note("declined", event.peer, text=event.reason),)
    note = Note("bid", event.peer, text=_terms(event))
    if is_enough(able := ready(after, spec), spec):
        return after, (note, _lots(able, spec))
    if is_enough(after, spec) and not is_enough(state, spec):
        return after, (note, HearOthers(patience_s(after, spec)))
    return after, (note,)


def _terms(bid: Answered) -> str:
    holds = "it holds the data" if bid.holds else ""
    return ", ".join(filter(None, [holds, f"it has room in {about(bid.wait_s)}" if bid.wait_s else ""]))


def _lots(state: Bidding, spec: JobSpec) -> DrawLots:
    bids, deal = comparable(state, spec), spec.deal
    holders = tuple(bid.peer for bid in bids if bid.holds and deal.holders_first)
    waiting = tuple(bid.peer for bid in bids if bid.wait_s and deal.ready_first)
    return DrawLots(tuple(bid.peer for bid in bids), holders, waiting)


def _working(state: Working, event: Event, shards: int) -> Step:
    match event:
        case Moved():
            return _moved(state, event, shards)
        case CancelAsked():
            return _stopped(state, Stopped(), "cancelled", "")
        case JobDeadline():
            reason = "the job had all the time that its shards may take, and did not end"
            return _stopped(state, Stopped(Failure(code="time", reason=reason)), "failed", reason)
        case _:
            return state, _too_late(event)


def _moved(state: Working, event: Moved, shards: int) -> Step:
    tally = moved(state.tally, event.before, event.after)
    after = replace(state, tally=tally)
    notes: tuple[Note, ...] = ()
    if event.after == "failed":
        after = replace(after, failed=state.failed or Trouble(event.shard, event.reason, event.failure))
        notes = (Note("shard_failed", text=event.reason, shard=event.shard),) if shards > 1 else ()
    if event.after == "not_verified":
        after = replace(after, not_verified=state.not_verified or Trouble(event.shard, event.reason))
    if tally.waiting + tally.running + tally.handing_over:
        return after, notes
    end, effects = _filed_first(end_of_all(after, shards))
    return end, (*notes, *effects)


def _stopped(state: Working, event: Stopped, end: str, reason: str) -> Step:
    stopped = replace(state, tally=all_over(state.tally, end))
    after, effects = _filed_first(ended_as(stopped, end, failure=event.failure, reason=reason))
    return after, (Stop(event), *effects)


def _filed_first(end: Ended) -> Step:
    """What was won is filed before the job ends, however it ends."""
    return (Filing(then=end), (File(),)) if end.tally.completed else _over(end)


def _filing(state: Filing, event: Event) -> Step:
    match event:
        case Filed(results):
            return _over(replace(state.then, results=results))
        case CannotKeep(why):
            failure = Failure(code="room", reason=why)
            return _over(replace(state.then, state="failed", failure=failure, reason=why))
        case _:
            return state, _too_late(event)


def _over(end: Ended) -> Step:
    """The last step of any job: bidders are told that it is over."""
    bidders = tuple(answer.peer for answer in end.answers if answer.code is None)
    shards = f" ({totals(end.tally)})" if sum(_counts(end.tally)) > 1 else ""
    return end, (*map(Decline, bidders), Note("ended", text=(end.reason or end.state) + shards))


def _counts(tally: Tally) -> tuple[int, ...]:
    return tally.completed, tally.not_verified, tally.failed, tally.cancelled
