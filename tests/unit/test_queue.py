"""The queue: who may come to wait, for how long about, and that nothing is given back twice."""

from __future__ import annotations

import pytest
from doubles.peers import peer

from node import limits
from node.compute.capacity import Ledger, Need
from node.compute.queue import OUTLOOK_S, WAIT_S_MIN, Booking, Queue, again

ANNA, BERT = peer(1), peer(2)
WHOLE = Need(1000, 100, 100)


def queue():
    return Queue(Ledger(WHOLE))


def booking(requester=ANNA, need=WHOLE, kind="k", limit_s=60.0):
    return Booking(requester=requester, kind=kind, need=need, limit_s=limit_s)


def test_a_wait_counts_down_with_what_runs():
    busy = queue()
    assert busy.wait_s(WHOLE, 0.0) == 0.0
    assert busy.ask("a", booking(), 0.0)
    assert [busy.wait_s(WHOLE, now) for now in (0.0, 20.0)] == [60.0, 40.0]
    assert not busy.ask("b", booking(), 20.0)
    assert busy.wait_s(WHOLE, 20.0) == 100.0
    assert busy.give_back("a", 30.0) == ("b",)
    assert busy.wait_s(WHOLE, 31.0) == 59.0


def test_a_wait_is_learnt_from_runs_of_the_same_kind_that_ended_by_themselves():
    busy = queue()
    for number in range(3):
        busy.ask(number, booking(), 100.0 * number)
        busy.proposed(number, 0, 100.0 * number + 5, 3600.0)
        busy.give_back(number, 100.0 * number + 6)
    busy.ask("killed", booking(), 400.0)
    busy.give_back("killed", 401.0)
    busy.ask("d", booking(), 1000.0)
    assert busy.wait_s(WHOLE, 1001.0) == 4.0
    assert busy.ask("e", booking(), 1001.0) is False
    assert busy.wait_s(WHOLE, 1001.0) == 9.0


def test_who_has_to_wait_is_never_told_that_it_has_not():
    busy = queue()
    busy.ask("a", booking(), 0.0)
    assert busy.wait_s(WHOLE, 59.95) == busy.wait_s(WHOLE, 70.0) == WAIT_S_MIN


def test_the_outlook_holds_for_a_moment_and_who_joins_the_queue_counts_at_once():
    busy = queue()
    busy.ask("a", booking(), 0.0)
    assert busy.wait_s(WHOLE, 0.0) == 60.0
    made = busy._outlook
    assert busy.wait_s(WHOLE, 0.05) == pytest.approx(59.95)
    assert busy._outlook is made
    busy.ask("b", booking(), 0.05)
    assert busy.wait_s(WHOLE, 0.05) == pytest.approx(119.95)
    busy.withdraw("b", 0.06)
    assert busy.wait_s(WHOLE, 0.06) == pytest.approx(119.94)
    assert busy.wait_s(WHOLE, OUTLOOK_S + 0.01) == pytest.approx(59.89)
    busy.give_back("a", 0.2)
    assert busy.wait_s(WHOLE, 0.2) == 0.0


def test_results_that_are_kept_hold_the_disk_until_they_are_usually_fetched():
    busy = queue()
    assert busy.ask("a", booking(), 0.0)
    busy.proposed("a", 50, 1.0, 3600.0)
    assert busy.wait_s(Need(1000, 100, 50), 1.0) == 0.0
    assert busy.wait_s(WHOLE, 1.0) == 3600.0
    busy.give_back("a", 3.0)
    busy.ask("b", booking(), 10.0)
    busy.proposed("b", 50, 11.0, 3600.0)
    assert busy.wait_s(WHOLE, 11.0) == 2.0


def test_a_requester_may_have_so_many_wait_and_others_may_still_come():
    busy = queue()
    busy.ask("runs", booking(), 0.0)
    for number in range(limits.EXECUTIONS_WAITING_PER_REQUESTER):
        assert busy.refusal(WHOLE, ANNA, 0.0) is None
        busy.ask(number, booking(), 0.0)
    assert "of yours wait here already; try again in" in busy.refusal(WHOLE, ANNA, 0.0)
    assert busy.refusal(WHOLE, BERT, 0.0) is None
    assert busy.withdraw(0, 1.0) == ()
    assert busy.refusal(WHOLE, ANNA, 1.0) is None


def test_what_can_start_at_once_is_never_refused_for_the_queue():
    busy = queue()
    busy.ask("runs", booking(need=Need(1, 1, 1)), 0.0)
    for number in range(limits.EXECUTIONS_WAITING_MAX):
        busy.ask(number, booking(), 0.0)
    assert busy.refusal(Need(1, 1, 1), ANNA, 0.0) is None
    assert busy.refusal(WHOLE, BERT, 0.0).startswith("1024 executions wait here already")
    assert busy.overfull() == "1024 executions wait here already"
    busy.give_back(5, 1.0)
    assert busy.overfull() is None


def test_who_waits_and_gives_up_is_forgotten():
    busy = queue()
    busy.ask("a", booking(), 0.0)
    busy.ask("b", booking(), 0.0)
    assert busy.give_back("b", 1.0) == ()
    assert busy.give_back("a", 2.0) == ()
    assert busy.give_back("a", 3.0) == ()
    assert busy.left == busy.total
    assert (busy._waiting, dict(busy._waiting_of), busy._running, busy._kept) == ({}, {}, {}, {})


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.1, "about 1 s"),
        (40.4, "about 40 s"),
        (119.0, "about 119 s"),
        (120.0, "about 2 min"),
        (7200.0, "about 2 h"),
        (1e9, "a very long time"),
    ],
)
def test_times_are_said_as_people_say_them(seconds, words):
    assert again(seconds) == f"try again in {words}"


def test_what_never_ends_is_said_otherwise():
    assert again(float("inf")) == "try again later"
