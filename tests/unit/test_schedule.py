"""Which execution begins next: never more than a node takes, shards in their order, and never a look at all of them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.requester.schedule import HELD_MAX, WINDOW_MAX, Begin, Schedule, Turn, slots_for, window_for

NODES = ("a", "b", "c")


def everybody(_):
    return NODES


def all_due(schedule):
    """What may be done now."""
    due = []
    while (one := schedule.next()) is not None:
        due.append(one)
    return due


def turns(due):
    return [(one.shard, one.peer) for one in due if isinstance(one, Turn)]


def begun(due):
    return [one.shard for one in due if isinstance(one, Begin)]


def made(shards, slots, drawn=everybody, window=16):
    return Schedule(shards, slots if isinstance(slots, dict) else dict.fromkeys(NODES, slots), drawn, window=window)


def test_one_shard_is_begun_on_all_its_nodes_at_once():
    assert all_due(made(1, 1)) == [Begin(0, NODES, (), ()), *(Turn(0, node) for node in NODES)]


def test_a_node_works_on_as_many_as_it_bid_for_and_gets_the_next_when_one_ends():
    schedule = made(5, {"a": 2, "b": 1, "c": 5})
    assert Counter(peer for _, peer in turns(all_due(schedule))) == {"a": 2, "b": 1, "c": 5}
    schedule.ended("a", is_held=True)
    assert turns(all_due(schedule)) == [(2, "a")]
    schedule.ended("b", is_held=False)
    assert turns(all_due(schedule)) == [(1, "b")]


def test_only_so_many_shards_are_begun_and_not_settled():
    schedule = made(9, 64, window=4)
    assert begun(all_due(schedule)) == [0, 1, 2, 3]
    for node in NODES:
        schedule.ended(node, is_held=True)
    assert all_due(schedule) == []
    schedule.settled(NODES)
    assert begun(all_due(schedule)) == [4]


def test_a_window_is_never_wider_than_its_limit():
    schedule = made(2 * WINDOW_MAX, 64, lambda shard: (f"n{shard}",), window=10 * WINDOW_MAX)
    schedule._slots = {f"n{shard}": 1 for shard in range(2 * WINDOW_MAX)}
    assert len(begun(all_due(schedule))) == WINDOW_MAX


def test_a_node_that_keeps_many_results_gets_no_more_of_the_job():
    schedule = made(2 * HELD_MAX, {"a": 64}, lambda _: ("a",), window=2 * HELD_MAX)
    count = 0
    while due := turns(all_due(schedule)):
        count += len(due)
        for _ in due:
            schedule.ended("a", is_held=True)
    assert count == HELD_MAX
    schedule.settled(("a",))
    assert turns(all_due(schedule)) == [(HELD_MAX, "a")]


def test_bidders_that_are_drawn_for_nothing_are_spared_with_the_last_shard():
    order = [("a",), ("b",)]
    schedule = made(2, 1, lambda shard: order[shard])
    first, _, last, _ = all_due(schedule)
    assert first.spared == ()
    assert last.spared == ("c",)
    assert schedule.engaged == {"a", "b"}


def test_a_node_whose_turn_has_not_come_when_the_last_shard_begins_is_not_spared():
    schedule = made(3, {"a": 1, "b": 1, "c": 1}, lambda _: ("a", "b"))
    assert [one.spared for one in all_due(schedule) if isinstance(one, Begin)][-1] == ("c",)


def test_what_a_node_that_left_would_have_run_is_lost_and_nobody_else_is_asked():
    schedule = made(4, 1, window=2)
    all_due(schedule)
    schedule.left("b")
    schedule.ended("a", is_held=True)
    assert turns(all_due(schedule)) == [(1, "a")]
    schedule.settled(("a", "c"))
    (begin, *_) = all_due(schedule)
    assert (begin.peers, begin.lost) == (NODES, ("b",))
    schedule.ended("b", is_held=False)  # What it had open is told as lost, and opens nothing.
    assert all_due(schedule) == []


@pytest.mark.parametrize(("shards", "window"), [(1_000, 16), (4_000, 16)])
def test_each_shard_costs_its_own_draw_and_nothing_of_the_others(shards, window):
    drawn = []
    schedule = made(shards, 3, lambda shard: drawn.append(shard) or NODES, window=window)
    steps, most_waiting = 0, 0
    under_way = Counter()
    while due := all_due(schedule):
        steps += len(due)
        most_waiting = max(most_waiting, *map(len, schedule._queues.values()))
        for shard, peer in turns(due):
            schedule.ended(peer, is_held=True)
            under_way[shard] += 1
            if under_way[shard] == len(NODES):
                schedule.settled(NODES)
    assert drawn == list(range(shards))
    assert steps == shards * (1 + len(NODES))
    assert most_waiting <= window


@given(
    st.integers(1, 30),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 4), min_size=3),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
def test_every_execution_of_every_shard_comes_once_in_order_and_within_the_slots(shards, slots, window, random):
    nodes = sorted(slots)
    draws = [tuple(random.sample(nodes, 3)) for _ in range(shards)]
    schedule = Schedule(shards, slots, lambda shard: draws[shard], window=window)
    came, open_now, ended = [], [], Counter()
    while True:
        for one in all_due(schedule):
            if isinstance(one, Begin):
                assert one.peers == draws[one.shard]
            else:
                came.append((one.shard, one.peer))
                open_now.append((one.shard, one.peer))
        counts = Counter(peer for _, peer in open_now)
        assert all(counts[peer] <= slots[peer] for peer in nodes)
        assert sum(0 < ended[shard] < 3 for shard in range(shards)) <= window
        if not open_now:
            break
        shard, peer = open_now.pop(random.randrange(len(open_now)))
        ended[shard] += 1
        schedule.ended(peer, is_held=ended[shard] != 1)
        if ended[shard] == 3:
            schedule.settled(draws[shard][1:])
    assert sorted(came) == sorted((shard, peer) for shard in range(shards) for peer in draws[shard])
    for node in nodes:
        mine = [shard for shard, peer in came if peer == node]
        assert mine == sorted(mine)


def test_windows_fill_every_slot_twice():
    assert window_for({"a": 1, "b": 1}, 2) == 16
    assert window_for({"a": 64, "b": 64, "c": 1}, 3) == 86


def test_long_paths_mean_few_executions_at_once():
    assert slots_for((("/a",), ("/b", "/c"))) == limits.SLOTS_MAX
    assert slots_for((("/a",), ("/" + "x" * (limits.ACCEPTED_PATHS_BYTES // 2 - 1),))) == 2
    assert slots_for((("/" + "x" * limits.ACCEPTED_PATHS_BYTES,),)) == 1
