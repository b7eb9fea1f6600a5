"""Blocks on disk: what is given is what its name says, the limit holds, pins stay, and a kill spoils nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from doubles.blockstores import SIZE, Clock, block, file_of, files, key, store_test

from node import limits
from node.ambient import Ambient, Threads, inline
from node.errors import NoRoom, OperatorError, StorageError
from node.storage.ipfs import blockfiles
from node.storage.ipfs.blockfiles import BlockFiles, Rotten, disk_bytes
from node.storage.ipfs.blockstore import Blockstore


def test_what_is_put_is_there_also_after_a_restart(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(1), block(2)])
        again = Blockstore(tmp_path, SIZE, Ambient(offload=inline))
        assert [await again.has(key(n)) for n in (1, 2, 3)] == [True, True, False]
        assert await again.get(key(1)) == block(1)[1]
        assert await again.get(key(3)) is None
        assert await again.absent([key(3), key(2), key(4)]) == [key(3), key(4)]
        await again.run()
        assert again.taken == store.taken == 2 * SIZE

    store_test(main, tmp_path)


def test_the_same_block_again_takes_nothing(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(1), block(1)])
        await store.put([block(1)])
        assert store.taken == SIZE

    store_test(main, tmp_path)


def test_two_writers_of_one_block_count_it_once(tmp_path: Path):
    async def main() -> None:
        store = Blockstore(tmp_path, 100 * SIZE, Ambient(offload=Threads()))
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(store.put, [block(number) for number in range(10)])
        assert store.taken == 10 * SIZE

    trio.run(main)


def test_an_empty_block_is_a_block(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(0, 0)])
        assert await store.get(key(0, 0)) == b""

    store_test(main, tmp_path)


def test_the_block_used_longest_ago_goes_first(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        for number in range(4):
            clock.now_s += 100
            await store.put([block(number)])
        clock.now_s += 100
        await store.get(key(0))
        await store.put([block(4), block(5)])
        assert [await store.has(key(n)) for n in range(6)] == [True, False, False, True, True, True]
        assert store.taken == 4 * SIZE

    store_test(main, tmp_path, blocks_max=4)


def test_what_was_used_is_known_after_a_restart(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        for number in range(3):
            clock.now_s += 100
            await store.put([block(number)])
        clock.now_s += 100
        await store.get(key(0))
        again = Blockstore(tmp_path, 3 * SIZE, Ambient(now=clock, offload=inline))
        await again.run()
        await again.put([block(3)])
        assert [await again.has(key(n)) for n in range(4)] == [True, False, True, True]

    store_test(main, tmp_path)


def test_a_use_is_not_noted_more_often_than_once_a_minute(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(1)])
        put_at = clock.now_s
        clock.now_s += blockfiles.TOUCH_S
        await store.get(key(1))
        assert file_of(tmp_path, 1).stat().st_mtime == put_at
        clock.now_s += 1
        await store.get(key(1))
        assert file_of(tmp_path, 1).stat().st_mtime == clock.now_s

    store_test(main, tmp_path)


def test_of_very_many_blocks_one_that_is_old_goes(tmp_path: Path):
    shelves = BlockFiles(tmp_path, sample_files=50)
    shelves_time = [(block(number), float(number)) for number in range(500)]
    for one, used_at in shelves_time:
        shelves.write([one], used_at)
    assert shelves.evict(100 * SIZE) == 100 * SIZE
    kept = [number for number in range(500) if shelves.has(key(number))]
    assert len(kept) == 400
    assert sum(kept) / len(kept) > 280  # Of a random choice it would be 250, of the exact one 300.
    assert all(shelves.has(key(number)) for number in range(450, 500))


def test_a_block_that_rotted_is_not_given_and_makes_room_for_a_sound_one(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(1), block(2)])
        for number in (1, 2):
            path = file_of(tmp_path, number)
            path.write_bytes(path.read_bytes()[: -number * 100] + b"x" * 100)
        assert await store.get(key(1)) is None
        assert await store.get_some([key(2)], 10) == [None]
        assert store.taken == 0
        assert not await store.has(key(1))
        await store.put([block(1)])
        assert await store.get(key(1)) == block(1)[1]

    store_test(main, tmp_path)


def test_several_are_read_until_it_is_enough(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(n) for n in range(5)])
        asked = [key(0), None, key(9), key(1), key(2)]
        assert await store.get_some(asked, 2 * SIZE) == [block(0)[1], None, None, block(1)[1]]
        assert await store.get_some(asked, 1) == [block(0)[1]]

    store_test(main, tmp_path)


def test_a_file_that_grew_is_not_read_to_its_end(tmp_path: Path):
    shelves = BlockFiles(tmp_path)
    shelves.write([block(1)], 0.0)
    os.truncate(file_of(tmp_path, 1), 2**40)
    found = shelves.read(key(1), 0.0)
    assert isinstance(found, Rotten)


def test_the_disk_keeps_its_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def main(store: Blockstore, clock: Clock) -> None:
        almost_full = SimpleNamespace(f_bavail=limits.DISK_RESERVE_BYTES + limits.BLOCK_BYTES_MAX - 1, f_frsize=1)
        monkeypatch.setattr(os, "statvfs", lambda path: almost_full)
        with pytest.raises(NoRoom, match="reserve"):
            await store.put([block(1)])
        assert store.taken == 0
        assert not files(tmp_path)

    store_test(main, tmp_path)


def test_a_disk_that_gives_nothing_says_so(tmp_path: Path):
    async def main(store: Blockstore, clock: Clock) -> None:
        await store.put([block(1)])
        path = file_of(tmp_path, 1)
        path.unlink()
        path.mkdir()
        with pytest.raises(StorageError, match="disk cannot be read"):
            await store.get(key(1))

    store_test(main, tmp_path)


def test_a_folder_that_cannot_be_used_is_the_operators_to_see(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="file"):
        BlockFiles(tmp_path / "file")


def test_sizes_are_counted_as_the_disk_does():
    assert [disk_bytes(size) for size in (0, 1, 4096, 4097)] == [4096, 4096, 4096, 8192]


def test_a_disk_that_gives_no_look_is_no_room_and_not_the_end_of_the_node(tmp_path: Path):
    async def test(store: Blockstore, _: Clock) -> None:
        await store.put([block(number) for number in range(3)])
        for folder in ("evictable", "pins"):
            (tmp_path / folder).rename(tmp_path / f"{folder}.away")
        with pytest.raises(NoRoom):
            await store.put([block(3)])
        with pytest.raises(NoRoom):
            await store.pin(key(0), [key(0)])
        await store.run()
        assert store.taken == 3 * SIZE

    store_test(test, tmp_path, blocks_max=3)


WRITER = """
import hashlib, itertools, sys
from pathlib import Path
from types import SimpleNamespace
from node.storage.ipfs.blockfiles import BlockFiles
shelves = BlockFiles(Path(sys.argv[1]))
for number in itertools.count():
    data = number.to_bytes(4, "big") * 200_000
    multihash = b"\\x12\\x20" + hashlib.sha256(data).digest()
    shelves.write([(multihash, data)], 0.0)
    if number % 3 == 0:
        shelves.pin(multihash, [multihash], 0.0)
    print(number, flush=True)
"""


def test_a_kill_leaves_whole_blocks_alone(tmp_path: Path):
    for lines in (1, 4, 9):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                assert writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        shelves = BlockFiles(tmp_path)
        assert not files(tmp_path / "incoming")
        assert not list((tmp_path / "pins").glob("*.partial"))
        for shelf in ("evictable", "pinned"):
            for path in files(tmp_path / shelf):
                data = path.read_bytes()
                assert path.name == blockfiles._name(b"\x12\x20" + hashlib.sha256(data).digest())
        pins = {path.name for path in files(tmp_path / "pins")}
        assert {path.name for path in files(tmp_path / "pinned")} == pins
        for number in range(lines):
            assert shelves.has(key(number, 800_000))
