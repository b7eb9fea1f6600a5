"""Small reads are counted and give way; long ones earn more of them."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from node import limits
from node.transport.libp2p.pacing import READS_PER_TURN, SMALL_BYTES, Overrun, Paced

BURST = 4 * limits.SMALL_READS_PER_S


class _Ready:
    """A connection that has always something to read, and so never lets another task run."""

    colour = "blue"

    async def read(self, n: int) -> bytes:
        return bytes(n)


def test_others_have_their_turn_between_reads_that_never_wait() -> None:
    async def main() -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            paced = Paced(_Ready())
            for _ in range(10 * READS_PER_TURN):
                await paced.read(12)
            nursery.cancel_scope.cancel()
        assert turns >= 7  # One of its ten may be lost at either end, as the run queue is shuffled.

    trio.run(main)


def test_more_small_reads_than_a_burst_are_an_overrun() -> None:
    async def main() -> None:
        paced = Paced(_Ready())
        for _ in range(BURST):
            await paced.read(SMALL_BYTES - 1)
        with pytest.raises(Overrun):
            await paced.read(SMALL_BYTES - 1)

    trio.run(main, clock=trio.testing.MockClock())


def test_time_pays_for_small_reads() -> None:
    async def main() -> None:
        paced = Paced(_Ready())
        for _ in range(BURST):
            await paced.read(12)
        await trio.sleep(0.5)
        for _ in range(limits.SMALL_READS_PER_S // 2):
            await paced.read(12)
        with pytest.raises(Overrun):
            await paced.read(12)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_bulk_data_pays_for_its_own_headers() -> None:
    async def main() -> None:
        paced = Paced(_Ready())
        for _ in range(BURST + 100):
            await paced.read(12)
            await paced.read(SMALL_BYTES)

    trio.run(main, clock=trio.testing.MockClock())


def test_bulk_data_saves_up_no_more_than_a_burst() -> None:
    async def main() -> None:
        paced = Paced(_Ready())
        for _ in range(10):
            await paced.read(SMALL_BYTES)
        for _ in range(BURST):
            await paced.read(12)
        with pytest.raises(Overrun):
            await paced.read(12)

    trio.run(main, clock=trio.testing.MockClock())


def test_the_rest_of_a_connection_is_as_it_was() -> None:
    async def main() -> None:
        assert Paced(_Ready()).colour == "blue"

    trio.run(main)
