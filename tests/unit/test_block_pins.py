"""Pins: what has one stays, until it is let go of or its time is over, and a kill leaves all of one or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.blockstores import SIZE, Clock, block, files, key, store_test

from node import limits
from node.ambient import Ambient, inline
from node.errors import NoRoom
from node.storage.ipfs import blockfiles
from node.storage.ipfs.blockfiles import BlockFiles
from node.storage.ipfs.blockstore import Blockstore


def test_a_pinned_block_is_never_evicted_and_says_so_when_nothing_else_is_left(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(n) for n in range(3)])
        await store.pin(key(0), map(key, range(3)))
        await store.put([block(3)])
        await store.put([block(4)])
        assert [await store.has(key(n)) for n in range(5)] == [True, True, True, False, True]
        await store.pin(key(4), [key(4)])
        with pytest.raises(NoRoom, match="pinned"):
            await store.put([block(5)])
        await store.unpin(key(0))
        await store.put([block(5)])
        assert await store.has(key(4))
        assert store.taken == 4 * SIZE

    store_test(main, tmp_path, blocks_max=4)


def test_a_block_of_two_pins_stays_until_both_are_gone(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(n) for n in range(3)])
        await store.pin(key(0), [key(0), key(1)])
        await store.pin(key(2), [key(2), key(1)])
        await store.unpin(key(0))
        await store.unpin(key(0))
        clock.now_s += 1
        await store.put([block(n) for n in range(10, 12)])
        assert [await store.has(key(n)) for n in range(3)] == [False, True, True]
        await store.unpin(key(2))
        clock.now_s += 1
        await store.put([block(n) for n in range(12, 15)])
        assert not await store.has(key(1))

    store_test(main, tmp_path, blocks_max=4)


def test_a_pin_that_is_made_again_lets_go_of_what_it_had(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(n) for n in range(4)])
        await store.pin(b"name", [key(0), key(1), key(3)])
        await store.pin(b"other", [key(3)])
        await store.pin(b"name", [key(1), key(2)])
        assert {path.read_bytes() for path in files(tmp_path / "pinned")} == {block(n)[1] for n in (1, 2, 3)}
        await store.unpin(b"other")
        assert {path.read_bytes() for path in files(tmp_path / "pinned")} == {block(1)[1], block(2)[1]}
        with pytest.raises(NoRoom, match="evicted meanwhile"):
            await store.pin(b"name", [key(0), key(9)])
        assert {path.read_bytes() for path in files(tmp_path / "pinned")} == {block(1)[1], block(2)[1]}
        assert len(files(tmp_path / "pins")) == 1

    store_test(main, tmp_path)


@pytest.mark.parametrize("lists_bytes", [1, 8 * limits.MiB])
def test_pins_are_let_go_when_their_time_is_over(tmp_path: Path, lists_bytes: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blockfiles, "_LISTS_BYTES", lists_bytes)

    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(n) for n in range(5)])
        for number in range(4):
            await store.pin(key(number), [key(number), key(4)])
            clock.now_s += 10
        await store.pin(key(1), [key(1), key(4)])  # Now the newest.
        await store.let_go(40)
        assert len(files(tmp_path / "pins")) == 4  # The first is just as old as it may be.
        clock.now_s += 10
        await store.let_go(25)
        assert {path.read_bytes() for path in files(tmp_path / "pinned")} == {block(n)[1] for n in (1, 3, 4)}
        again = Blockstore(tmp_path, 1000 * SIZE, Ambient(now=clock, offload=inline))
        clock.now_s += 1000
        await again.let_go(30)
        assert not files(tmp_path / "pinned")
        assert not files(tmp_path / "pins")
        assert all([await again.has(key(n)) for n in range(5)])  # Until there is need of room.

    store_test(main, tmp_path)


def test_pins_that_a_disk_does_not_let_go_are_there_the_next_time(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(0)])
        await store.pin(b"name", [key(0)])
        clock.now_s += 100
        (tmp_path / "pins").rename(tmp_path / "away")
        await store.let_go(30)
        (tmp_path / "away").rename(tmp_path / "pins")
        assert files(tmp_path / "pinned")
        await store.let_go(30)
        assert not files(tmp_path / "pinned")

    store_test(main, tmp_path)


def test_a_pin_of_what_is_not_there_pins_nothing(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(0)])
        with pytest.raises(NoRoom, match="evicted meanwhile"):
            await store.pin(key(0), [key(0), key(1)])
        await store.put([block(n) for n in range(2, 4)])
        assert not await store.has(key(0))
        assert not files(tmp_path / "pins")

    store_test(main, tmp_path, blocks_max=2)


def test_a_pin_under_way_at_a_kill_is_undone_at_the_next_start(tmp_path: Path):
    shelves = BlockFiles(tmp_path)
    shelves.write([block(n) for n in range(3)], 0.0)
    shelves.pin(key(0), [key(0)], 0.0)
    (pin,) = files(tmp_path / "pins")
    names = [path.name for path in files(tmp_path / "evictable")]
    for half in (names, [*names, names[0][:20]]):
        (tmp_path / "pins" / f"{pin.name}-7.partial").write_text("\n".join(half))
        moved = tmp_path / "pinned" / names[0][-3:-1]
        moved.mkdir(exist_ok=True)
        (tmp_path / "evictable" / names[0][-3:-1] / names[0]).rename(moved / names[0])
        BlockFiles(tmp_path)
        assert sorted(path.name for path in files(tmp_path / "evictable")) == sorted(names)
        assert files(tmp_path / "pins") == [pin]
