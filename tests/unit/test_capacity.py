"""The ledger: never above the total, greedy with backfill."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.compute.capacity import OVERTAKEN_MAX, Ledger, Need, refusal


def ledger(cores):
    return Ledger(Need(cores * 1000, 100, 100))


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


def test_what_fits_alone_is_not_starved_by_small_ones_without_end():
    """It is overtaken so often and no more; then everything behind it waits with it."""
    book = ledger(10)
    assert book.ask("small 0", Need(1000, 0, 0))
    assert not book.ask("large", Need(10_000, 0, 0))
    numbers = iter(range(1, 1000))
    running, began = ["small 0"], 0
    while True:
        name = f"small {next(numbers)}"
        if not book.ask(name, Need(1000, 0, 0)):
            break
        began += 1
        running.append(name)
        assert book.give_back(running.pop(0)) == ()
    assert began == OVERTAKEN_MAX
    started = [name for done in running for name in book.give_back(done)]
    assert started == ["large"]
    assert book.give_back("large") == (name,)


def test_what_fits_alone_is_not_starved_by_small_ones_that_wait_behind_it():
    """Each that ends would let the next one in."""
    book = ledger(10)
    assert book.ask("stays", Need(1000, 0, 0))
    assert book.ask("wide", Need(9000, 0, 0))
    assert not book.ask("large", Need(10_000, 0, 0))
    small = [f"small {number}" for number in range(2 * OVERTAKEN_MAX)]
    assert not any(book.ask(name, Need(9000, 0, 0)) for name in small)
    began, done = [], "wide"
    while started := book.give_back(done):
        (done,) = started
        began.append(done)
    assert began == small[:OVERTAKEN_MAX]
    assert book.give_back("stays") == ("large",)
    assert book.give_back("large") == (small[OVERTAKEN_MAX],)


def test_nothing_passes_one_that_was_overtaken_often_enough_in_the_same_moment():
    book = ledger(100)
    assert book.ask("wide", Need(100_000, 0, 0))
    assert not book.ask("first", Need(1000, 0, 0))
    assert not book.ask("large", Need(100_000, 0, 0))
    small = [f"small {number}" for number in range(2 * OVERTAKEN_MAX)]
    assert not any(book.ask(name, Need(1000, 0, 0)) for name in small)
    assert book.give_back("wide") == ("first", *small[:OVERTAKEN_MAX])


def test_whoever_was_held_up_by_one_that_gives_up_starts_at_once():
    book = ledger(10)
    book.ask("small", Need(1000, 0, 0))
    book.ask("large", Need(10_000, 0, 0))
    for number in range(OVERTAKEN_MAX):
        book.ask(number, Need(100, 0, 0))
        book.give_back(number)
    assert not book.ask("held up", Need(100, 0, 0))
    assert not book.would_start(Need(1, 0, 0))
    assert book.withdraw("large") == ("held up",)
    assert book.withdraw("large") == ()


@given(
    st.lists(
        st.tuples(st.integers(1, 10), st.integers(0, 3), st.integers(0, 3), st.booleans()), min_size=1, max_size=60
    )
)
def test_whatever_comes_and_goes_the_total_holds_and_each_is_started_once(steps):
    gpus = ("a", "b", "c")
    total = Need(10_000, 10, 10, 3)
    book = Ledger(total, gpus)
    running, waiting = {}, {}

    def begun(executions):
        for execution in executions:
            running[execution] = waiting.pop(execution)
        had = [gpu for execution in running for gpu in book.gpus_of(execution)]
        assert len(had) == len(set(had)) == sum(need.gpus for need in running.values())
        assert sum(need.cpu_m for need in running.values()) == total.cpu_m - book.left.cpu_m <= total.cpu_m
        assert min(book.left.cpu_m, book.left.memory_bytes, book.left.disk_bytes, book.left.gpus) >= 0

    for number, (cpu, memory, wanted_gpus, ends) in enumerate(steps):
        waiting[number] = Need(cpu * 1000, memory, memory, wanted_gpus)
        begun((number,) if book.ask(number, waiting[number]) else ())
        if ends and running:
            done = next(iter(running))
            del running[done]
            begun(book.give_back(done))
            assert book.give_back(done) == ()
    while running:
        done = next(iter(running))
        del running[done]
        begun(book.give_back(done))
    assert not waiting
    assert book.left == total


def test_a_gpu_is_given_to_one_at_a_time_and_by_name():
    book = Ledger(Need(1000, 0, 0, 2), ("GPU-1", "GPU-2"))
    assert book.ask("a", Need(1, 0, 0, 1))
    assert book.ask("b", Need(1, 0, 0, 1))
    assert not book.ask("c", Need(1, 0, 0, 1))
    assert (book.gpus_of("a"), book.gpus_of("b"), book.gpus_of("c")) == (("GPU-1",), ("GPU-2",), ())
    assert book.keep_disk("b", 0) == ("c",)
    assert (book.gpus_of("b"), book.gpus_of("c")) == ((), ("GPU-2",))
    book.give_back("b")
    assert not book.would_start(Need(1, 0, 0, 1))


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


@pytest.mark.parametrize("over", [Need(2, 1, 1), Need(1, 2, 1), Need(1, 1, 2), Need(1, 1, 1, 1)])
def test_a_need_over_the_limit_is_refused_in_words(over):
    assert refusal(Need(1, 1, 1), Need(1, 1, 1)) is None
    assert "this node gives a job" in (refusal(over, Need(1, 1, 1)) or "")
