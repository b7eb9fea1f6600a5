"""The job's machine: bids, how its shards add up, and the ways a job ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.shards import PEERS, spec

from node import limits
from node.journal.records import Failure, ResultsRecord, Tally
from node.requester.effects import Decline, DrawLots, File, Note, Stop, Work
from node.requester.life import (
    Answered,
    Bidding,
    BidWindowClosed,
    CancelAsked,
    CannotKeep,
    Drawn,
    Ended,
    Filed,
    Filing,
    JobDeadline,
    Left,
    Moved,
    Stopped,
    Working,
)
from node.requester.machine import step
from node.verifier.draw import lots

RESULTS = ResultsRecord(hash="h1:", files=3, bytes=5, folder="f")
LOST = Failure(code="executions", reason="all were lost")


def once(state, event, the_spec=None, shards=1):
    """One step, and no lots drawn."""
    return step(state, event, spec=the_spec or spec(), shards=shards)


def play(events, state=None, the_spec=None, shards=1):
    """Feed events; draw lots when asked to, as the role does. Returns the state and every effect."""
    state, performed, to_come = state or Bidding(), [], list(events)
    while to_come:
        state, effects = once(state, to_come.pop(0), the_spec, shards)
        performed.extend(effects)
        for effect in effects:
            if isinstance(effect, DrawLots):
                to_come.insert(0, Drawn(lots(effect.bidders, effect.holders, "1" * 64, effect.waiting)))
    return state, performed


def working(shards=1):
    state, performed = play(map(Answered, PEERS[:4]), shards=shards)
    assert isinstance(state, Working)
    assert performed[-1] == Work()
    return state


def begins(shard):
    return Moved(shard=shard, before="waiting", after="running")


def ends(shard, how):
    why = {"failed": {"failure": LOST, "reason": LOST.reason}, "not_verified": {"reason": "a draw"}}.get(how, {})
    return Moved(shard=shard, before="running", after=how, **why)


def told(effects):
    return [effect.peer for effect in effects if isinstance(effect, Decline)]


def test_nobody_is_chosen_before_min_bids_are_in():
    state, performed = play(map(Answered, PEERS[:3]))
    assert isinstance(state, Bidding)
    assert not any(isinstance(effect, Work | DrawLots) for effect in performed)


def test_lots_are_drawn_among_all_bidders_and_the_holders_are_told_apart():
    bids = [Answered(node, holds=node in PEERS[1:3]) for node in PEERS[:4]]
    state, performed = play([*bids[:1], Answered(PEERS[5], "full", "busy", holds=True), *bids[1:]], shards=9)
    assert DrawLots(tuple(PEERS[:4]), tuple(PEERS[1:3])) in performed
    assert state.draw.holders == tuple(sorted(PEERS[1:3]))
    assert state.tally == Tally(waiting=9)
    _, performed = play(bids, the_spec=spec(holders_first=False))
    assert DrawLots(tuple(PEERS[:4]), ()) in performed


def test_what_a_bidder_offers_is_kept():
    state, _ = play([Answered(PEERS[0], slots=5, holds=True)])
    assert (state.answers[0].slots, state.answers[0].holds) == (5, True)


def test_a_node_that_answers_twice_is_heard_once():
    state, _ = play([Answered(PEERS[0]), Answered(PEERS[0]), Answered(PEERS[0], "full", "busy")])
    assert len(state.answers) == 1


def test_a_bidder_that_left_does_not_count_and_may_bid_again():
    state, _ = play([Answered(PEERS[0]), Left(PEERS[0])])
    assert state == Bidding()
    state, _ = play([Answered(PEERS[0])], state)
    assert state.bidders == (PEERS[0],)


def test_who_declined_says_it_once_and_may_bid_later():
    state, _ = play([Answered(PEERS[0], "full", "busy")])
    assert once(state, Answered(PEERS[0], "data", "gone")) == (state, ())
    state, effects = once(state, Answered(PEERS[0]))
    assert [answer.peer for answer in state.answers] == [PEERS[0]]
    assert effects == (Note("bid", PEERS[0]),)


def test_so_many_answers_and_no_more():
    the_spec = spec(min_bids=256)
    state = Bidding()
    for number in range(limits.BIDS_MAX):
        state, _ = once(state, Answered(f"p{number}", "full", "busy"), the_spec)
    assert len(state.answers) == limits.BIDS_MAX
    assert once(state, Answered("late"), the_spec) == (state, (Decline("late"),))
    assert once(state, Answered("late", "full", "busy"), the_spec) == (state, ())


def test_a_bid_between_the_last_one_needed_and_the_draw_comes_too_late():
    state = Bidding()
    for node in PEERS[:4]:
        state, effects = once(state, Answered(node))
    assert [effect for effect in effects if isinstance(effect, DrawLots)] == [DrawLots(tuple(PEERS[:4]), ())]
    assert once(state, Answered(PEERS[4])) == (state, (Decline(PEERS[4]),))
    assert once(state, Answered(PEERS[4], "full", "busy")) == (state, ())


def filing():
    return play([begins(0), ends(0, "completed")], working())[0]


@pytest.mark.parametrize("make", [working, filing, lambda: play([CancelAsked()])[0]])
def test_a_late_bid_is_declined_and_a_late_decline_is_nothing(make):
    state = make()
    assert once(state, Answered(PEERS[5])) == (state, (Decline(PEERS[5]),))
    assert once(state, Answered(PEERS[5], "full", "busy")) == (state, ())
    assert once(state, Left(PEERS[0])) == (state, ())
    assert once(state, BidWindowClosed()) == (state, ())


def test_too_few_bids_say_how_many_came_and_why_the_others_declined():
    events = [Answered(PEERS[0]), *(Answered(node, "data", "does not hold apples") for node in PEERS[1:3])]
    state, _ = play([*events, BidWindowClosed()], shards=3)
    assert (state.state, state.failure.code, state.tally) == ("failed", "bids", Tally(failed=3))
    assert "1 of the 4 bids" in state.failure.reason
    assert "2 declined: does not hold apples" in state.reason


def test_bidders_are_told_when_there_will_be_no_draw():
    state, _ = play([Answered(PEERS[0]), Answered(PEERS[1], "full", "busy"), Answered(PEERS[2])])
    for event in (BidWindowClosed(), CancelAsked()):
        _, effects = once(state, event)
        assert told(effects) == [PEERS[0], PEERS[2]]


def test_what_was_won_is_filed_before_the_job_completes():
    state, performed = play([begins(0), ends(0, "completed")], working())
    assert isinstance(state, Filing)
    assert performed == [File()]
    state, performed = play([Filed(RESULTS)], state)
    assert (state.state, state.results, state.tally) == ("completed", RESULTS, Tally(completed=1))
    assert told(performed) == PEERS[:4]
    assert performed[-1] == Note("ended", text="completed")


@pytest.mark.parametrize(("how", "end"), [("failed", "failed"), ("not_verified", "not_verified")])
def test_a_job_of_one_shard_ends_as_that_does_in_its_words(how, end):
    state, performed = play([begins(0), ends(0, how)], working())
    assert (state.state, state.results) == (end, None)
    assert state.failure == (LOST if how == "failed" else None)
    assert state.reason == ("all were lost" if how == "failed" else "a draw")
    assert performed[-1].text == state.reason
    assert not any(effect.kind == "shard_failed" for effect in performed if isinstance(effect, Note))


def test_what_some_shards_won_is_kept_when_others_failed():
    state = working(4)
    moves = [*map(begins, range(4)), ends(1, "completed"), ends(3, "not_verified"), ends(2, "failed")]
    state, performed = play(moves, state, shards=4)
    assert isinstance(state, Working)
    assert Note("shard_failed", text="all were lost", shard=2) in performed
    state, performed = play([ends(0, "failed"), Filed(RESULTS)], state, shards=4)
    assert (state.state, state.results) == ("failed", RESULTS)
    assert state.failure == Failure(code="executions", reason="2 of 4 shards failed; shard 2: all were lost")
    assert performed[-1].text.endswith("(1 completed, 1 not verified, 2 failed)")


def test_a_job_is_not_verified_when_a_shard_was_not_and_none_failed():
    moves = [begins(0), ends(0, "not_verified"), begins(1), ends(1, "completed"), begins(2), ends(2, "not_verified")]
    state, _ = play([*moves, Filed(RESULTS)], working(3), shards=3)
    assert (state.state, state.failure) == ("not_verified", None)
    assert state.reason == "2 of 3 shards were not verified; shard 0: a draw"


@pytest.mark.parametrize(("event", "end"), [(CancelAsked(), "cancelled"), (JobDeadline(), "failed")])
def test_a_job_that_is_stopped_keeps_what_was_won(event, end):
    state, performed = play([begins(0), ends(0, "completed"), begins(1), event], working(4), shards=4)
    assert isinstance(state, Filing)
    (stop,) = [effect for effect in performed if isinstance(effect, Stop)]
    assert (stop.event == Stopped()) == (end == "cancelled")
    state, _ = play([CancelAsked(), JobDeadline(), Filed(RESULTS)], state, shards=4)
    assert (state.state, state.results) == (end, RESULTS)
    assert state.tally == (Tally(completed=1, cancelled=3) if end == "cancelled" else Tally(completed=1, failed=3))


@pytest.mark.parametrize(("event", "code"), [(CancelAsked(), None), (JobDeadline(), "time")])
def test_a_job_that_is_stopped_before_anything_was_won_is_over_at_once(event, code):
    state, performed = play([begins(0), event], working(2), shards=2)
    assert isinstance(state, Ended)
    assert (state.failure and state.failure.code) == code
    assert isinstance(performed[0], Stop)
    assert told(performed) == PEERS[:4]


def test_a_job_whose_outcome_is_known_cannot_be_cancelled_any_more():
    state = filing()
    assert once(state, CancelAsked()) == (state, ())
    assert once(state, JobDeadline()) == (state, ())


def test_results_that_cannot_be_filed_fail_the_job():
    state, _ = play([CannotKeep("disk full")], filing())
    assert (state.state, state.failure.code, state.results) == ("failed", "room", None)
    assert state.reason == "disk full"


def test_an_ended_job_stays_as_it_is():
    ended, _ = play([CancelAsked()], working(2), shards=2)
    for event in (begins(0), ends(0, "failed"), Left(PEERS[0]), CancelAsked(), JobDeadline(), Filed(RESULTS)):
        assert once(ended, event, shards=2) == (ended, ())


ENDS = st.sampled_from(["completed", "failed", "not_verified"])


@given(st.lists(ENDS, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_however_shards_end_they_are_counted_and_the_worst_names_the_job(how, random):
    count = len(how)
    state, order = working(count), list(range(count))
    random.shuffle(order)
    for shard in order:
        state, _ = play([begins(shard)], state, shards=count)
    random.shuffle(order)
    for shard in order:
        assert isinstance(state, Working)
        state, _ = play([ends(shard, how[shard])], state, shards=count)
    if isinstance(state, Filing):
        state, _ = play([Filed(RESULTS)], state, shards=count)
    assert state.tally == Tally(**{each: how.count(each) for each in set(how)})
    assert (state.results is not None) == ("completed" in how)
    worst = "failed" if "failed" in how else "not_verified" if "not_verified" in how else "completed"
    assert state.state == worst
