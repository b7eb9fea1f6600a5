"""The ledger: never above the total, greedy with backfill."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.compute.capacity import Ledger, Need, refusal
from node.config import Capacity


def ledger(cores):
    return Ledger(
        Capacity(
            total_cpu=cores,
            total_memory_bytes=100,
            total_disk_bytes=100,
            job_cpu=cores,
            job_memory_bytes=100,
            job_disk_bytes=100,
        )
    )


def rounds(cores, jobs):
    """Which jobs run together, when each round ends before the next begins."""
    book = ledger(cores)
    now = [i for i, need in enumerate(jobs) if book.ask(i, Need(need * 1000, 0, 0))]
    history = []
    while now:
        assert sum(jobs[i] for i in now) <= cores
        history.append(now)
        now = [i for done in now for i in book.give_back(done)]
    assert book.left == Need(cores * 1000, 100, 100)
    return history


@pytest.mark.parametrize(
    ("jobs", "first"), [([5, 5, 5, 5], [0, 1]), ([9, 9, 9, 1, 1, 1], [0, 3]), ([10, 10], [0]), ([1] * 3, [0, 1, 2])]
)
def test_jobs_start_in_order_and_small_ones_fill_the_gaps(jobs, first):
    history = rounds(10, jobs)
    assert history[0] == first
    assert sorted(i for now in history for i in now) == list(range(len(jobs)))


@given(st.lists(st.integers(1, 10), max_size=20))
def test_every_job_gets_its_turn_and_the_total_is_never_exceeded(jobs):
    assert sorted(i for now in rounds(10, jobs) for i in now) == list(range(len(jobs)))


def test_who_withdraws_is_never_started():
    book = ledger(1)
    assert book.ask("a", Need(1000, 0, 0))
    assert not book.ask("b", Need(1000, 0, 0))
    book.withdraw("b")
    assert book.give_back("a") == ()
    assert book.waiting == 0


def test_results_that_are_kept_hold_their_disk_alone():
    book = ledger(1)
    book.ask("a", Need(1000, 50, 80))
    assert not book.ask("b", Need(1000, 50, 80))
    assert book.keep_disk("a", 10) == ("b",)
    assert book.left == Need(0, 50, 10)
    book.give_back("a")
    book.give_back("b")
    assert book.left == Need(1000, 100, 100)


@pytest.mark.parametrize("over", [Need(2, 1, 1), Need(1, 2, 1), Need(1, 1, 2)])
def test_a_need_over_the_limit_is_refused_in_words(over):
    assert refusal(Need(1, 1, 1), Need(1, 1, 1)) is None
    assert "this node gives a job" in (refusal(over, Need(1, 1, 1)) or "")
