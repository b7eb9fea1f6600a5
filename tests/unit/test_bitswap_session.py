"""A reader's window: what is held in memory, and what comes while it looks elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio
import trio.testing
from doubles.wanting import ANNA, cid, data

from node.storage.ipfs.bitswap.asking import Asking
from node.storage.ipfs.bitswap.session import WANTS_MIN, Session, Surroundings

CIRCLE = 1
SHARE_BYTES = 50


class Disk:
    """A blockstore of what a test put there; ``looked`` happens while it is read."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}
        self.looked: Callable[[], object] = lambda: None

    async def get(self, multihash: bytes) -> bytes | None:
        found = self.blocks.get(multihash)
        await trio.lowlevel.checkpoint()
        self.looked()
        return found

    async def absent(self, multihashes: Sequence[bytes]) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        return [multihash for multihash in multihashes if multihash not in self.blocks]


def run(test: Callable[[Session, Disk, Asking], Awaitable[None]], share_bytes: int = SHARE_BYTES) -> None:
    async def main() -> None:
        core, disk = Asking(), Disk()
        core.came(ANNA, 0.0)
        core.begin(CIRCLE)
        around = Surroundings(core, disk, lambda: share_bytes, lambda: None, lambda: False, 8.0)  # type: ignore[arg-type]
        with trio.fail_after(30):
            await test(Session(around, CIRCLE, cid(0)), disk, core)

    trio.run(main)


def test_what_comes_and_is_not_read_is_held_to_a_limit():
    async def main(session: Session, disk: Disk, core: Asking) -> None:
        for number in range(100):
            session.arrived(cid(number).multihash, data(number))
            disk.blocks[cid(number).multihash] = data(number)
        assert session._held_bytes == sum(map(len, session._held.values())) <= 2 * SHARE_BYTES
        assert [await session.get(cid(number)) for number in range(100)] == [data(number) for number in range(100)]
        assert session._held_bytes == 0

    run(main)


def test_a_block_may_come_while_the_disk_is_asked_for_it():
    async def main(session: Session, disk: Disk, core: Asking) -> None:
        disk.looked = lambda: session.arrived(cid(1).multihash, data(1))
        assert await session.get(cid(1)) == data(1)
        assert not session._held

    run(main)


def test_no_more_is_asked_for_than_the_window_takes():
    async def main(session: Session, disk: Disk, core: Asking) -> None:
        disk.blocks[cid(0).multihash] = data(0)
        session.want([cid(number) for number in range(20)])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.feed)
            await trio.testing.wait_all_tasks_blocked()
            assert len(core.take(ANNA)) == WANTS_MIN
            session.arrived(cid(1).multihash, data(1))
            await session.get(cid(1))
            await trio.testing.wait_all_tasks_blocked()
            assert len(core.take(ANNA)) == 1
            nursery.cancel_scope.cancel()

    run(main)


def test_large_blocks_that_are_held_do_not_stop_the_asking_for_small_ones():
    async def main(session: Session, disk: Disk, core: Asking) -> None:
        for number in range(100):
            session.arrived(cid(number).multihash, bytes(4_000))
        for number in range(100, 300):
            session.arrived(cid(number).multihash, data(number))
        session.want([cid(number) for number in range(300, 400)])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.feed)
            await trio.testing.wait_all_tasks_blocked()
            assert len(core.take(ANNA)) == 100
            nursery.cancel_scope.cancel()

    run(main, share_bytes=1_000_000)


def test_what_is_at_hand_is_given_once_and_only_if_it_is_not_too_large():
    async def main(session: Session, disk: Disk, core: Asking) -> None:
        session.arrived(cid(1).multihash, data(1))
        size = len(data(1))
        assert session.at_hand(cid(1), size - 1) is None
        assert session.at_hand(cid(1), size) == data(1)
        assert session.at_hand(cid(1), size) is None
        assert session._held_bytes == 0

    run(main)
