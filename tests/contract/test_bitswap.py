"""The exchange of blocks between nodes on a memory network, in virtual time."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio
from doubles.swappers import Pond, swim

from node import limits
from node.ambient import inline
from node.errors import NoRoom, StorageError
from node.storage.ipfs import reader
from node.storage.ipfs.cid import RAW, Cid
from node.transport.memory import Faults


def tree(folder: Path, seed: int = 1) -> Path:
    """A folder with a file of many chunks, small ones, an empty one and one below."""
    random = Random(seed)
    (folder / "below").mkdir(parents=True)
    (folder / "large").write_bytes(random.randbytes(5 * limits.MiB + 17))
    (folder / "empty").write_bytes(b"")
    for number in range(20):
        (folder / "below" / f"{number}").write_bytes(random.randbytes(number * 100))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def block(number: int, size: int = 100) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


def test_a_folder_goes_from_one_node_to_another(tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver, taker = await pond.node(1), await pond.node(2)
        await pond.connect(taker, giver)
        root = await giver.blocks.add(tree(tmp_path / "in"))
        assert await taker.blocks.has(root)
        async with taker.blocks.session(root) as session:
            await reader.write(session, root, tmp_path / "out", 2**30, inline)

    swim(main, tmp_path)
    assert contents(tmp_path / "out") == contents(tmp_path / "in")


def test_what_is_here_is_not_asked_for(tmp_path: Path):
    async def main(pond: Pond) -> None:
        node, stranger = await pond.node(1), await pond.stranger(2)
        await pond.connect(node, stranger)
        root = await node.blocks.add(tree(tmp_path / "in"))
        assert await node.blocks.has(root)
        async with node.blocks.session(root) as session:
            await reader.write(session, root, tmp_path / "out", 2**30, inline)
        assert not stranger.wants

    swim(main, tmp_path)
    assert contents(tmp_path / "out") == contents(tmp_path / "in")


def test_what_was_fetched_is_kept_and_given_on(tmp_path: Path):
    async def main(pond: Pond) -> None:
        first, second, third = [await pond.node(number) for number in (1, 2, 3)]
        await pond.connect(first, second)
        await pond.connect(second, third)
        (tmp_path / "file").write_bytes(bytes(3_000_000))
        root = await first.blocks.add(tmp_path / "file")
        assert not await third.blocks.has(root)
        await second.fetched(root)
        assert await third.blocks.has(root)
        assert await third.fetched(root) == await first.fetched(root)

    swim(main, tmp_path)


def test_a_cid_that_holds_its_block_needs_nobody(tmp_path: Path):
    async def main(pond: Pond) -> None:
        node = await pond.node(1)
        inlined = Cid.from_bytes(b"\x01\x55\x00\x02hi")
        assert await node.blocks.has(inlined)
        assert await node.fetched(inlined) == [b"hi"]
        assert await node.fetched(Cid.from_bytes(b"\x01\x55\x00\x00")) == [b""]

    swim(main, tmp_path)


def test_the_empty_block_needs_nobody_because_kubo_never_has_it(tmp_path: Path):
    async def main(pond: Pond) -> None:
        node = await pond.node(1)
        empty = Cid.of(b"", RAW)
        assert await node.blocks.has(empty)
        assert await node.fetched(empty, empty) == [b"", b""]

    swim(main, tmp_path)


def test_who_gave_a_part_may_come_back(tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver, taker = await pond.node(1), await pond.node(2)
        cids = [Cid.of(block(number), RAW) for number in range(2)]
        await giver.blocks._store.put([(cids[0].multihash, block(0))])
        await pond.connect(taker, giver)
        async with taker.blocks.session(cids[0]) as session:
            await session.get(cids[0])
            pond.network.part(taker.id, giver.id)
            await giver.blocks._store.put([(cids[1].multihash, block(1))])

            async def return_late() -> None:
                await trio.sleep(limits.BITSWAP_MISSING_S * 2)
                await pond.connect(taker, giver)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(return_late)
                assert await session.get(cids[1]) == block(1)

    swim(main, tmp_path)


def test_one_task_may_read_two_dags_at_once(tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver, taker = await pond.node(1), await pond.node(2)
        await pond.connect(taker, giver)
        cids = [Cid.of(block(number), RAW) for number in range(2)]
        await giver.blocks._store.put([(cid.multihash, block(number)) for number, cid in enumerate(cids)])
        async with taker.blocks.session(cids[0]) as one, taker.blocks.session(cids[1]) as other:
            assert [await one.get(cids[0]), await other.get(cids[1])] == [block(0), block(1)]

    swim(main, tmp_path)


def test_an_empty_file_can_be_fetched(tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver, taker = await pond.node(1), await pond.node(2)
        await pond.connect(taker, giver)
        (tmp_path / "empty").touch()
        root = await giver.blocks.add(tmp_path / "empty")
        assert await taker.fetched(root, root) == [b"", b""]

    swim(main, tmp_path)


def test_blocks_come_from_whoever_has_them(tmp_path: Path):
    async def main(pond: Pond) -> None:
        taker, *givers = [await pond.node(number) for number in range(1, 5)]
        cids = [Cid.of(block(number), RAW) for number in range(60)]
        for number, giver in enumerate(givers):
            await pond.connect(taker, giver)
            await giver.blocks._store.put(
                [(cid.multihash, block(at)) for at, cid in enumerate(cids) if at % 3 == number]
            )
        assert await taker.fetched(*cids) == [block(number) for number in range(60)]

    swim(main, tmp_path)


def test_in_bad_weather_it_takes_longer(tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver, other, taker = [await pond.node(number) for number in (1, 2, 3)]
        root = await giver.blocks.add(tree(tmp_path / "in"))
        assert await other.blocks.add(tmp_path / "in") == root
        await pond.connect(taker, giver)
        await pond.connect(taker, other)

        async def breaks() -> None:
            for _ in range(5):
                await trio.sleep(1.5)
                for one in (giver, other):
                    pond.network.part(taker.id, one.id)
                    await pond.connect(taker, one)

        pond.nursery.start_soon(breaks)
        async with taker.blocks.session(root) as session:
            await reader.write(session, root, tmp_path / "out", 2**30, inline)

    swim(main, tmp_path, Faults(delay_s_min=0.1, delay_s_max=1.0))
    assert contents(tmp_path / "out") == contents(tmp_path / "in")


def test_a_giver_that_comes_later_is_asked(tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver, taker = await pond.node(1), await pond.node(2)
        root = await giver.blocks.add(tree(tmp_path / "in"))
        found = []

        async def fetch() -> None:
            found.extend(await taker.fetched(root))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch)
            await trio.sleep(5)
            await pond.connect(giver, taker)
        assert Cid.of(found[0], root.codec) == root

    swim(main, tmp_path)


def test_what_nobody_has_is_said_soon_and_how_many_were_asked(tmp_path: Path):
    async def main(pond: Pond) -> None:
        taker, other, another = [await pond.node(number) for number in (1, 2, 3)]
        cid = Cid.of(b"nowhere", RAW)
        with pytest.raises(StorageError, match="no IPFS node is connected"):
            await taker.fetched(cid)
        with pytest.raises(StorageError, match="no IPFS node is connected"):
            await taker.blocks.has(cid)
        await pond.connect(taker, other)
        await pond.connect(taker, another)
        start = trio.current_time()
        with pytest.raises(StorageError, match="all 2 connected IPFS nodes were asked"):
            await taker.fetched(cid)
        assert trio.current_time() - start < limits.BITSWAP_MISSING_S + 3
        assert not await taker.blocks.has(cid)

    swim(main, tmp_path)


def test_silence_ends_by_a_deadline(tmp_path: Path):
    async def main(pond: Pond) -> None:
        taker, silent = await pond.node(1), await pond.stranger(2)
        await pond.connect(taker, silent)
        cid = Cid.of(b"nowhere", RAW)
        start = trio.current_time()
        assert not await taker.blocks.has(cid)
        assert trio.current_time() - start == pytest.approx(limits.BITSWAP_HAS_S, abs=1)
        start = trio.current_time()
        with pytest.raises(StorageError, match="did not come within 30 s; 1 IPFS nodes were asked"):
            await taker.fetched(cid)
        assert trio.current_time() - start == pytest.approx(limits.BITSWAP_STALL_S, abs=2)

    swim(main, tmp_path)


def test_a_reader_that_stops_takes_its_wants_back(tmp_path: Path):
    async def main(pond: Pond) -> None:
        taker, silent = await pond.node(1), await pond.stranger(2)
        await pond.connect(taker, silent)
        cids = [Cid.of(block(number), RAW) for number in range(3)]
        with trio.move_on_after(2):
            await taker.fetched(*cids)
        await silent.until(lambda heard: len(silent.wants) >= 6)
        assert [want.cancels for want in silent.wants] == [False] * 3 + [True] * 3
        assert not taker.blocks._exchange._sessions

    swim(main, tmp_path)


def test_what_was_unpinned_makes_room(tmp_path: Path):
    async def main(pond: Pond) -> None:
        node = await pond.node(1, bytes_max=5 * limits.MiB)
        for number in (1, 2):
            (tmp_path / f"{number}").write_bytes(Random(number).randbytes(2 * limits.MiB))
        first = await node.blocks.add(tmp_path / "1")
        assert await node.blocks.add(tmp_path / "1") == first
        await node.blocks._store.put([(Cid.of(bytes(limits.MiB), RAW).multihash, bytes(limits.MiB))])
        (tmp_path / "3").write_bytes(bytes(4 * limits.MiB))
        with pytest.raises(NoRoom, match="pinned"):
            await node.blocks.add(tmp_path / "3")
        assert await node.blocks.has(first)
        await node.blocks.unpin(str(first))
        third = Random(3).randbytes(4 * limits.MiB)
        (tmp_path / "2").write_bytes(third)
        second = await node.blocks.add(tmp_path / "2")
        assert await node.blocks.has(second)

    swim(main, tmp_path)


def test_what_was_added_long_ago_makes_room_and_is_there_until_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "PINS_CHECKED_S", 1.0)

    async def main(pond: Pond) -> None:
        node = await pond.node(1, bytes_max=7 * limits.MiB, pinned_s=10 * limits.PINS_CHECKED_S)
        for number in (1, 2):
            (tmp_path / f"{number}").write_bytes(Random(number).randbytes(2 * limits.MiB))
        first, second = [await node.blocks.add(tmp_path / f"{number}", f"{number}") for number in (1, 2)]
        await trio.sleep(9 * limits.PINS_CHECKED_S)
        await node.blocks.add(tmp_path / "2", "2")
        await trio.sleep(3 * limits.PINS_CHECKED_S)
        assert await node.blocks.has(first)
        (tmp_path / "3").write_bytes(Random(3).randbytes(4 * limits.MiB))
        await node.blocks.add(tmp_path / "3", "3")
        async with node.blocks.session(second) as session:
            await reader.write(session, second, tmp_path / "out", 2**30, inline)
        with pytest.raises(NoRoom, match="pinned"):
            await node.blocks.add(tmp_path / "1", "1")

    swim(main, tmp_path)


def test_what_cannot_be_kept_is_read_all_the_same(tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver, taker = await pond.node(1), await pond.node(2, bytes_max=2 * limits.MiB)
        await pond.connect(taker, giver)
        (tmp_path / "pinned").write_bytes(Random(9).randbytes(2 * limits.MiB - 16 * limits.KiB))
        await taker.blocks.add(tmp_path / "pinned")
        root = await giver.blocks.add(tree(tmp_path / "in"))
        async with taker.blocks.session(root) as session:
            await reader.write(session, root, tmp_path / "out", 2**30, inline)

    swim(main, tmp_path)
    assert contents(tmp_path / "out") == contents(tmp_path / "in")


def test_readers_beyond_the_limit_wait_and_all_are_served(tmp_path: Path):
    async def main(pond: Pond) -> None:
        giver, taker = await pond.node(1), await pond.node(2)
        await pond.connect(taker, giver)
        root = await giver.blocks.add(tree(tmp_path / "in"))
        most = 0

        async def fetch(number: int) -> None:
            nonlocal most
            async with taker.blocks.session(root) as session:
                most = max(most, len(taker.blocks._exchange._sessions))
                await reader.write(session, root, tmp_path / f"out{number}", 2**30, inline)

        async with trio.open_nursery() as nursery:
            for number in range(limits.BITSWAP_READERS_MAX + 5):
                nursery.start_soon(fetch, number)
        assert most == limits.BITSWAP_READERS_MAX

    swim(main, tmp_path)
    for number in range(limits.BITSWAP_READERS_MAX + 5):
        assert contents(tmp_path / f"out{number}") == contents(tmp_path / "in")
