"""Whose turn it is when many want the same few places."""

from __future__ import annotations

from collections.abc import Sequence

import trio
import trio.testing

from node.turns import Turns


def order(tenants: Sequence[str], places: int = 2) -> list[str]:
    """Who gets a place, one after the other, when all of them ask in this order and each holds it for a while."""
    served: list[str] = []
    clock = trio.testing.MockClock()

    async def main() -> None:
        turns = Turns(places)

        async def ask(tenant: str, seconds: float) -> None:
            async with turns.one(tenant):
                served.append(tenant)
                await trio.sleep(seconds)

        async with trio.open_nursery() as nursery:
            for number, tenant in enumerate(tenants):
                # No two places become free in the same tick, or trio shuffles who is seen first.
                nursery.start_soon(ask, tenant, 1 + number / 1000)
                await trio.testing.wait_all_tasks_blocked()
            clock.autojump_threshold = 0

    trio.run(main, clock=clock)
    return served


def test_nobody_has_all_places() -> None:
    async def main() -> None:
        turns = Turns(2)
        with trio.move_on_after(100):
            async with turns.one("greedy/1"), turns.one("greedy/2"):
                raise AssertionError("one party has both places")
        with trio.fail_after(1):
            async with turns.one("greedy/1"), turns.one("other"):
                pass

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_more_places_leave_one_to_others() -> None:
    assert order(["greedy/1", "greedy/2", "greedy/3", "late"], places=3)[:3] == ["greedy/1", "greedy/2", "late"]


def test_a_party_with_many_clients_waits_for_one_with_one() -> None:
    many = [f"greedy/{number}" for number in range(10)]
    assert order([*many, "a", *many, "b"])[:3] == ["greedy/0", "a", "b"]


def test_two_greedy_parties_hold_up_a_third_for_one_turn() -> None:
    served = order([*["x/1", "y/1"] * 10, "late"])
    assert served[:3] == ["x/1", "y/1", "late"]


def test_clients_of_one_party_take_turns() -> None:
    assert order(["p/1", "p/1", "p/1", "p/2"])[:2] == ["p/1", "p/2"]


def test_among_equals_the_first_comes_first() -> None:
    assert order(["a", "b", "c", "d", "e"]) == ["a", "b", "c", "d", "e"]


def test_whoever_gives_up_waiting_or_working_leaves_no_trace() -> None:
    async def main() -> None:
        turns = Turns(2)
        async with turns.one("a"):
            for tenant in ("a", "b"):  # The first never gets a place, the second has one.
                await given_up(turns, tenant)
        with trio.fail_after(1):
            async with turns.one("a"), turns.one("b"):
                pass

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def given_up(turns: Turns, tenant: str) -> None:
    with trio.move_on_after(1):
        async with turns.one(tenant):
            await trio.sleep_forever()
