"""Whether bids are enough, and whose results can be compared."""

from __future__ import annotations

import msgspec
from unit.shards import spec

from node.journal.records import Answer
from node.requester.bids import comparable, have_all_answered, is_enough, patience_s, ready, too_few
from node.requester.life import Bidding


def bids(engines):
    return Bidding(tuple(Answer(peer=f"p{number}", runs_with=engine) for number, engine in enumerate(engines)))


def declined(*reasons):
    return tuple(Answer(peer=f"p{number}", code="data", reason=reason) for number, reason in enumerate(reasons))


def test_the_most_frequent_reason_comes_first():
    text = too_few(Bidding(declined("b", "a", "c", "a", "b", "a")), spec())
    assert text.endswith("3 declined: a; 2 declined: b; 1 declined: c")


def test_equally_frequent_reasons_come_in_their_order():
    assert too_few(Bidding(declined("b", "a")), spec()).endswith("1 declined: a; 1 declined: b")


def test_a_decline_without_words_is_its_code():
    assert too_few(Bidding(declined("")), spec()).endswith("1 declined: data")


def test_silence_is_said():
    assert too_few(Bidding(), spec()) == "0 of the 4 bids needed came within 10 s; no other node answered"


def test_results_of_one_engine_are_compared_that_of_most_bids():
    wanted = spec()
    state = bids("abbab")
    assert [bid.peer for bid in comparable(state, wanted)] == ["p1", "p2", "p4"]
    assert [bid.peer for bid in comparable(bids("abba"), wanted)] == ["p0", "p3"]


def test_bids_are_enough_when_so_many_of_one_engine_are_in_as_will_run():
    wanted = spec()
    assert wanted.deal.bids_needed == 4
    assert [is_enough(bids(engines), wanted) for engines in ("aaa", "aaaa", "aaab", "aabb", "abab", "ababa")] == [
        False,
        True,
        wanted.deal.concurrency <= 3,
        False,
        False,
        wanted.deal.concurrency <= 3,
    ]


def test_where_nothing_is_compared_any_engines_will_do():
    wanted = msgspec.structs.replace(spec(), verifier="noop")
    assert is_enough(bids("abcd"), wanted)
    assert len(comparable(bids("abcd"), wanted)) == 4


def test_bids_of_several_engines_are_named_when_none_has_enough():
    text = too_few(bids("abab"), spec())
    assert text.startswith("results can be compared only of one engine, and bids are of several: 2: a; 2: b")


def waits(*seconds):
    return Bidding(tuple(Answer(peer=f"p{number}", wait_s=wait_s) for number, wait_s in enumerate(seconds)))


def test_bids_that_would_have_to_wait_are_set_apart_unless_lots_alone_decide():
    state = waits(0.0, 5.0, 0.0)
    assert ready(state, spec()).bidders == ("p0", "p2")
    assert ready(state, spec(ready_first=False)) == state
    assert ready(Bidding(declined("a")), spec()) == Bidding(declined("a"))


def test_others_are_heard_for_no_longer_than_the_wait_that_they_could_save():
    """Three will run it: the third of the shortest waits is what it takes with these bids."""
    assert patience_s(waits(40.0, 5.0, 0.0, 7.0), spec()) == 7.0
    assert patience_s(waits(0.0, 0.0, 0.0, 9.0), spec()) == 0.0


def test_nobody_else_can_bid_when_all_that_were_asked_have_answered():
    state = waits(1.0, 0.0)
    assert have_all_answered(state, {"p0", "p1"})
    assert have_all_answered(state, {"p1"})
    assert not have_all_answered(state, {"p0", "p2"})
    assert not have_all_answered(state, {"p0", "p1", "p2"})
