"""Alarms: in order, on time, and nothing is held on to once cancelled."""

from __future__ import annotations

import gc
import weakref

import trio
from trio.testing import MockClock

from node.alarms import Alarms


def simulate(main):
    return trio.run(main, clock=MockClock(autojump_threshold=0))


async def ringing(alarms, seconds):
    with trio.move_on_after(seconds):
        await alarms.run()


def test_they_ring_at_their_time_in_order_also_when_set_out_of_order():
    async def main():
        alarms, rung = Alarms(), []
        for seconds in (5, 1, 3, 1):
            alarms.after(seconds, lambda seconds=seconds: rung.append((seconds, trio.current_time())))
        begun = trio.current_time()
        await ringing(alarms, 10)
        return [(seconds, at - begun) for seconds, at in rung]

    assert simulate(main) == [(1, 1), (1, 1), (3, 3), (5, 5)]


def test_one_that_is_set_while_waiting_for_a_later_one_rings_first():
    async def main():
        alarms, rung = Alarms(), []
        alarms.after(100, lambda: rung.append("late"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ringing, alarms, 50)
            await trio.sleep(1)
            alarms.after(1, lambda: rung.append("soon"))
        return rung

    assert simulate(main) == ["soon"]


def test_one_may_set_another_when_it_rings():
    async def main():
        alarms, rung = Alarms(), []
        alarms.after(1, lambda: alarms.after(1, lambda: rung.append(trio.current_time())))
        begun = trio.current_time()
        await ringing(alarms, 10)
        return rung[0] - begun

    assert simulate(main) == 2


def test_a_cancelled_one_does_not_ring_and_lets_go_of_what_it_held():
    class Held:
        def __call__(self):
            raise AssertionError("rang")

    async def main():
        alarms, held = Alarms(), Held()
        gone = weakref.ref(held)
        alarm = alarms.after(1, held)
        alarm.cancel()
        alarm.cancel()
        del held
        gc.collect()
        assert gone() is None
        await ringing(alarms, 10)

    simulate(main)


def test_many_cancelled_ones_do_not_pile_up():
    async def main():
        alarms = Alarms()
        for _ in range(10_000):
            alarms.after(1000, lambda: None).cancel()
        return len(alarms._heap)

    assert simulate(main) < 1000
