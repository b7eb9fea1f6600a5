"""The ledger where one unit more or less goes unseen, and what a job may ask for at all."""

from __future__ import annotations

import dataclasses

import pytest

from node.compute.capacity import Ledger, Need, job_limit, need_of, slots, total_of
from node.config import Capacity
from node.model import Resources

CAPACITY = Capacity(
    total_cpu=2, total_memory_bytes=100, total_disk_bytes=100, job_cpu=1, job_memory_bytes=50, job_disk_bytes=60
)


@pytest.mark.parametrize("need", [Need(2000, 0, 0), Need(0, 100, 0), Need(0, 0, 100)])
def test_all_there_is_can_be_taken_and_one_more_cannot(need):
    book = Ledger(total_of(CAPACITY))
    assert book.ask("a", need)
    one_more = Need(*(min(1, each) for each in dataclasses.astuple(need)))
    assert not book.ask("b", one_more)
    assert book.give_back("a") == ("b",)
    assert book.give_back("b") == ()
    assert book.left == Need(2000, 100, 100)


def test_several_that_fit_start_together_and_in_order():
    book = Ledger(total_of(CAPACITY))
    assert book.ask("a", Need(2000, 0, 0))
    assert not any(book.ask(name, Need(1000, 0, 0)) for name in "bcd")
    assert book.give_back("a") == ("b", "c")
    assert book.waiting == 1


def test_who_gives_back_while_it_waits_waits_no_more():
    book = Ledger(total_of(CAPACITY))
    book.ask("a", Need(2000, 0, 0))
    book.ask("b", Need(1000, 0, 0))
    assert book.give_back("b") == ()
    assert book.give_back("a") == ()
    assert book.left == Need(2000, 100, 100)


def test_giving_back_what_was_never_taken_gives_nothing():
    book = Ledger(total_of(CAPACITY))
    assert book.give_back("a") == ()
    assert book.left == Need(2000, 100, 100)


def test_a_crumb_of_a_core_is_counted():
    assert need_of(Resources(cpu=0.0001)).cpu_m == 1
    assert need_of(Resources(cpu=1.5)).cpu_m == 1500


def test_inputs_that_have_to_be_fetched_take_disk():
    resources = Resources(memory_bytes=5, disk_bytes=7)
    assert need_of(resources, 4) == Need(100, 5, 11)
    assert need_of(resources) == Need(100, 5, 7)


def test_one_job_may_ask_for_its_share_and_never_for_more_than_there_is():
    assert job_limit(CAPACITY) == Need(1000, 50, 60)
    greedy = dataclasses.replace(CAPACITY, job_cpu=9, job_memory_bytes=900, job_disk_bytes=900)
    assert job_limit(greedy) == Need(2000, 100, 100)


def test_a_job_may_have_all_gpus_or_as_many_as_the_operator_says():
    assert job_limit(CAPACITY, 3).gpus == 3
    assert job_limit(dataclasses.replace(CAPACITY, job_gpus=2), 3).gpus == 2
    assert job_limit(dataclasses.replace(CAPACITY, job_gpus=9), 3).gpus == 3
    assert job_limit(CAPACITY).gpus == total_of(CAPACITY).gpus == 0


def test_gpus_limit_how_many_run_at_once():
    total = Need(64_000, 6400, 6400, 2)
    assert slots(Need(1000, 1, 1), total) == 64
    assert slots(Need(1000, 1, 1, 1), total) == 2
