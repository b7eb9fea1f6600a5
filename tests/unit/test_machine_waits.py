"""Bids of nodes that would have to wait for room: used when there are too few others, and not a moment sooner."""

from __future__ import annotations

from unit.shards import PEERS, spec
from unit.test_machine import once, play

from node.requester.effects import Decline, DrawLots, HearOthers, Note
from node.requester.life import Answered, Bidding, BidWindowClosed, Ended, Left, NoBetter, Working

BUSY = [Answered(PEERS[0], wait_s=40.0), Answered(PEERS[1], wait_s=3.0), Answered(PEERS[2], wait_s=9.0)]


def drawn(effects):
    return [effect for effect in effects if isinstance(effect, DrawLots)]


def test_enough_that_can_start_now_are_drawn_among_themselves():
    state, performed = play([*BUSY[:2], *map(Answered, PEERS[2:6])])
    assert drawn(performed) == [DrawLots(tuple(PEERS[2:6]), ())]
    assert isinstance(state, Working)
    assert state.draw.waiting == ()


def test_with_too_few_that_can_start_now_others_are_heard_for_a_while_and_then_all_are_drawn():
    state, performed = play([*BUSY, Answered(PEERS[3])])
    assert isinstance(state, Bidding)
    assert [effect for effect in performed if isinstance(effect, HearOthers)] == [HearOthers(9.0)]
    assert Note("bid", PEERS[1], text="it has room in about 3 s") in performed
    for event in (NoBetter(), BidWindowClosed()):
        after, performed = play([event], state)
        assert drawn(performed) == [DrawLots(tuple(PEERS[:4]), (), tuple(PEERS[:3]))]
        assert after.draw.waiting == tuple(sorted(PEERS[:3]))


def test_a_further_bid_changes_nothing_until_enough_can_start_now():
    state, _ = play([*BUSY, Answered(PEERS[3])])
    state, performed = play([Answered(PEERS[4]), Answered(PEERS[5])], state)
    assert isinstance(state, Bidding)
    assert not any(isinstance(effect, HearOthers | DrawLots) for effect in performed)


def test_nobody_is_drawn_while_all_bids_together_are_too_few():
    state, performed = play(BUSY)
    assert not any(isinstance(effect, HearOthers) for effect in performed)
    assert once(state, NoBetter()) == (state, ())
    ended, _ = play([BidWindowClosed()], state)
    assert isinstance(ended, Ended)
    assert ended.failure.code == "bids"


def test_a_bidder_that_leaves_meanwhile_is_not_drawn():
    state, _ = play([*BUSY, Answered(PEERS[3]), Left(PEERS[3])])
    assert once(state, NoBetter()) == (state, ())


def test_where_lots_alone_decide_a_wait_changes_nothing():
    state, performed = play([*BUSY, Answered(PEERS[3])], the_spec=spec(ready_first=False))
    assert drawn(performed) == [DrawLots(tuple(PEERS[:4]), ())]
    assert state.draw.waiting == ()


def test_a_bid_that_would_wait_for_longer_than_an_execution_may_is_none():
    state, effects = once(Bidding(), Answered(PEERS[0], wait_s=600.1))
    reason = "room in about 10 min; an execution of it waits about 10 min at most"
    assert effects == (Decline(PEERS[0]), Note("declined", PEERS[0], text=reason))
    assert [(answer.code, answer.wait_s) for answer in state.answers] == [("full", 0.0)]
    state, _ = once(Bidding(), Answered(PEERS[0], wait_s=600.0))
    assert state.bidders == (PEERS[0],)
