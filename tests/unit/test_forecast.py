"""How long one would wait: an upper estimate on a node that knows nothing, the median on one that has seen much."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.compute.capacity import Ledger, Need
from node.compute.forecast import SHARES_MIN, Seen, outlook


def wait_s(need, left, running, ahead):
    return outlook(left, running, ahead).wait_s(need)


def cores(count):
    return Need(count, 0, 0)


def test_nothing_is_waited_for_where_there_is_room():
    assert wait_s(cores(2), cores(2), [(9.0, cores(8))], []) == 0.0


def test_room_comes_when_enough_of_those_that_run_have_ended():
    running = [(30.0, cores(4)), (10.0, cores(3)), (20.0, cores(3))]
    assert [wait_s(cores(count), cores(0), running, []) for count in (1, 3, 4, 6, 7, 10)] == [10, 10, 20, 20, 30, 30]


def test_who_waits_already_goes_first_and_takes_its_time():
    running = [(10.0, cores(10))]
    assert wait_s(cores(10), cores(0), running, [(5.0, cores(10)), (7.0, cores(10))]) == 22.0
    assert wait_s(cores(1), cores(0), running, [(5.0, cores(10))]) == 15.0
    assert wait_s(cores(1), cores(0), running, [(5.0, cores(9))]) == 10.0


def test_equal_moments_are_no_trouble():
    assert wait_s(cores(3), cores(0), [(1.0, cores(1)), (1.0, cores(1)), (1.0, cores(1))], [(0.0, cores(1))]) == 1.0


def test_what_never_fits_waits_for_ever_and_so_does_who_is_behind_it():
    assert wait_s(cores(11), cores(0), [(1.0, cores(10))], []) == math.inf
    assert wait_s(cores(1), cores(0), [(1.0, cores(10))], [(1.0, cores(11))]) == math.inf


@given(st.lists(st.integers(0, 100), max_size=8), st.integers(1, 10))
def test_it_is_what_the_ledger_does_when_everybody_takes_as_long_as_was_said(waiting, count):
    """Of equal sizes: others fill gaps, and let each other through."""
    book = Ledger(cores(10))
    assert book.ask("first", cores(10))
    for number in (*range(len(waiting)), "last"):
        book.ask(number, cores(count))
    promised = wait_s(cores(count), cores(0), [(50, cores(10))], [(takes, cores(count)) for takes in waiting])
    ends, began = [(50, "first")], {}
    while ends:
        now, done = ends.pop(ends.index(min(ends, key=lambda end: end[0])))
        for started in book.give_back(done):
            began[started] = now
            ends.append((now + (0 if started == "last" else waiting[started]), started))
    assert began["last"] == promised


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10)), max_size=6), st.integers(1, 11))
def test_who_joins_the_queue_one_by_one_is_as_if_all_had_been_there(waiting, last):
    running = [(5.0, cores(4)), (7.0, cores(6))]
    ahead = [(float(takes), cores(count)) for takes, count in waiting]
    grown = outlook(cores(0), running, [])
    for takes, need in ahead:
        grown = grown.behind(need, takes)
    assert grown.wait_s(cores(last)) == wait_s(cores(last), cores(0), running, ahead)


def test_without_experience_the_limit_is_all_that_is_known():
    assert Seen().expected_s("k", 600.0) == 600.0


def test_runs_of_the_same_kind_are_the_best_measure():
    seen = Seen()
    for seconds in (1.0, 100.0, 3.0):
        seen.took("k", seconds, 600.0)
    assert seen.expected_s("k", 600.0) == 3.0
    assert seen.expected_s("k", 2.0) == 2.0
    for _ in range(limits.TIMES_SEEN_MAX):
        seen.took("k", 7.0, 600.0)
    assert seen.expected_s("k", 600.0) == 7.0


def test_of_another_kind_it_is_the_share_that_others_took_of_their_limits():
    seen = Seen()
    for number in range(SHARES_MIN - 1):
        seen.took(f"{number}", 1.0, 100.0)
    assert seen.expected_s("new", 600.0) == 600.0
    seen.took("one more", 1.0, 100.0)
    assert seen.expected_s("new", 600.0) == 6.0


def test_what_has_taken_longer_than_expected_may_take_until_its_limit():
    seen = Seen()
    seen.took("k", 10.0, 600.0)
    assert seen.remaining_s("k", 600.0, 4.0) == 6.0
    assert seen.remaining_s("k", 600.0, 10.0) == 590.0
    assert seen.remaining_s("k", 600.0, 700.0) == 0.0


def test_so_many_kinds_are_remembered():
    seen = Seen()
    for number in range(limits.KINDS_SEEN_MAX + 1):
        seen.took(f"{number}", 1.0, 1.0)
    assert len(seen._kinds) == limits.KINDS_SEEN_MAX
    assert "0" not in seen._kinds
