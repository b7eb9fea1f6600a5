"""The cache of inputs: what is shared, what is kept, what goes, and that no cancel leaves half an input."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest
import trio
from doubles.inputcaches import SLACK, Source, cache_in, guarded, left_in, partials, settled, used

from node import limits
from node.errors import NoRoom, OperatorError, StorageError


def test_an_input_is_fetched_once_and_found_again(tmp_path):
    async def main():
        source = Source()
        cache = cache_in(tmp_path)
        assert not cache.has("k")
        assert await used(cache, "k", source) == b"content"
        assert cache.has("k")
        assert await used(cache, "k", source) == b"content"
        assert source.fetches == 1

    guarded(main)


def test_an_input_survives_the_node_and_what_was_on_its_way_does_not(tmp_path):
    async def main():
        await used(cache_in(tmp_path), "k", Source())
        (tmp_path / "inputs" / ".partial-7").mkdir()
        (tmp_path / "inputs" / ".partial-7" / "input").write_bytes(b"half")
        (tmp_path / "inputs" / "stray").write_bytes(b"x")
        (tmp_path / "inputs" / f"{'0' * 64}.5.1").mkdir()
        again = cache_in(tmp_path)
        source = Source()
        assert again.has("k")
        assert await used(again, "k", source) == b"content"
        assert source.fetches == 0
        assert len(left_in(tmp_path)) == 1

    guarded(main)


def test_a_tree_is_kept_whole_and_its_files_are_read_only(tmp_path):
    async def fetch(path):
        (path / "a" / "b").mkdir(parents=True)
        (path / "a" / "b" / "f").write_bytes(b"deep")
        (path / "empty").mkdir()

    async def main():
        async with cache_in(tmp_path).held("k", 100, fetch) as path:
            assert (path / "a" / "b" / "f").read_bytes() == b"deep"
            assert (path / "a" / "b" / "f").stat().st_mode & 0o777 == 0o444
            assert (path / "empty").is_dir()

    guarded(main)


def test_two_who_want_the_same_share_one_fetch(tmp_path):
    async def main():
        source = Source(held_up=True)
        cache = cache_in(tmp_path)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(used, cache, "k", source)
            await settled()
            source.gate.set()
        assert source.fetches == 1

    guarded(main)


def test_what_is_being_fetched_needs_its_room_once(tmp_path):
    """A job over the same data would else be declined for as long as the first one fetches it."""

    async def main():
        source = Source(held_up=True)
        cache = cache_in(tmp_path)
        assert await cache.to_fetch("k", 600_000) == 600_000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(used, cache, "k", source, 600_000)
            await settled()
            assert await cache.to_fetch("k", 600_000) == 0
            with pytest.raises(NoRoom):
                await cache.to_fetch("other", 600_000)
            source.gate.set()
        assert await cache.to_fetch("other", 600_000) == 600_000

    guarded(main)


def test_when_the_one_who_fetches_is_cancelled_another_goes_on(tmp_path):
    async def main():
        source = Source(held_up=True)
        cache = cache_in(tmp_path)
        leader = trio.CancelScope()

        async def lead():
            with leader:
                await used(cache, "k", source)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lead)
            await settled()
            nursery.start_soon(used, cache, "k", source)
            nursery.start_soon(used, cache, "k", source)
            await settled()
            leader.cancel()
            await settled()
            assert len(partials(tmp_path)) == 1
            source.gate.set()
        assert source.fetches == 2
        assert cache.has("k")

    guarded(main)


def test_those_who_wait_share_the_failure_and_whoever_comes_later_tries_anew(tmp_path):
    async def main():
        gate = trio.Event()
        reasons, fetches = [], []

        async def fails(path):
            fetches.append(path)
            path.write_bytes(b"half")
            await gate.wait()
            raise StorageError("nobody has it")

        async def tells():
            with pytest.raises(StorageError, match="nobody has it"):
                await used(cache, "k", fails)
            reasons.append(1)

        cache = cache_in(tmp_path)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(tells)
            await settled()
            gate.set()
        assert (len(reasons), len(fetches)) == (3, 1)
        assert left_in(tmp_path) == []
        assert await used(cache, "k", Source()) == b"content"

    guarded(main)


def test_a_cancelled_fetch_leaves_nothing(tmp_path):
    async def main():
        cache = cache_in(tmp_path)
        with trio.move_on_after(0.01) as scope:
            await used(cache, "k", Source(held_up=True))
        assert scope.cancelled_caught
        assert left_in(tmp_path) == []
        assert not cache.has("k")
        await cache.need_room(1_000_000)

    guarded(main)


def test_more_than_was_announced_is_no_input(tmp_path):
    async def main():
        cache = cache_in(tmp_path)
        with pytest.raises(StorageError, match="more was fetched than the 6 bytes"):
            await used(cache, "k", Source(b"1234567"), size=6)
        assert left_in(tmp_path) == []
        assert await used(cache, "k", Source(b"123456"), size=6) == b"123456"

    guarded(main)


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo])
def test_what_is_neither_file_nor_folder_is_no_input(tmp_path, make):
    async def fetch(path):
        path.mkdir()
        make(path / "x")

    async def main():
        with pytest.raises(StorageError, match="neither a file nor a folder"):
            await used(cache_in(tmp_path), "k", fetch)
        assert left_in(tmp_path) == []

    guarded(main)


def test_the_input_used_longest_ago_goes_first(tmp_path):
    async def main():
        cache = cache_in(tmp_path)
        for key in "abc":
            await used(cache, key, Source(b"x" * 300_000), 300_000)
        await used(cache, "a", Source())
        await used(cache, "d", Source(b"x" * 300_000), 300_000)
        assert [key for key in "abcd" if cache.has(key)] == ["a", "c", "d"]
        assert len(left_in(tmp_path)) == 3

    guarded(main)


def test_what_was_used_when_outlives_the_node(tmp_path):
    async def main():
        cache = cache_in(tmp_path)
        for when, key in enumerate("abc"):
            async with cache.held(key, 300_000, Source(b"x" * 300_000)) as path:
                pass
            os.utime(path.parent, (when, 1 - when))
        again = cache_in(tmp_path)
        await used(again, "d", Source(b"x" * 300_000), 300_000)
        assert [key for key in "abcd" if again.has(key)] == ["a", "b", "d"]
        smaller = cache_in(tmp_path, 600_000 + SLACK)
        assert [key for key in "abcd" if smaller.has(key)] == ["a", "d"]
        assert len(left_in(tmp_path)) == 2

    guarded(main)


def test_what_is_in_use_is_never_evicted(tmp_path):
    async def main():
        cache = cache_in(tmp_path)
        async with cache.held("a", 600_000, Source(b"x" * 600_000)) as path:
            with pytest.raises(NoRoom, match="--input-cache"):
                await used(cache, "b", Source(), 600_000)
            with pytest.raises(NoRoom, match="--input-cache"):
                await cache.need_room(600_000)
            assert path.stat().st_size == 600_000
        await cache.need_room(600_000)
        assert cache.has("a")
        await used(cache, "b", Source(), 600_000)
        assert not cache.has("a")

    guarded(main)


def test_room_is_made_by_what_nobody_uses_however_old_the_rest_is(tmp_path, monkeypatch):
    async def main():
        cache = cache_in(tmp_path)
        async with cache.held("a", 300_000, Source(b"x" * 300_000)):
            await used(cache, "b", Source(b"x" * 300_000), 300_000)
            await used(cache, "c", Source(b"x" * 600_000), 600_000)
            assert [key for key in "abc" if cache.has(key)] == ["a", "c"]
            disk_of(monkeypatch, tmp_path, 1_000_000)
            await cache.need_room(700_000)
            with pytest.raises(NoRoom, match="the disk of this node"):
                await cache.need_room(710_000)

    guarded(main)


def test_what_is_reserved_counts_before_it_is_there(tmp_path):
    async def main():
        cache = cache_in(tmp_path)
        source = Source(held_up=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(used, cache, "a", source, 600_000)
            await settled()
            with pytest.raises(NoRoom):
                await used(cache, "b", Source(), 600_000)
            source.gate.set()
        await used(cache, "b", Source(), 900_000)

    guarded(main)


def test_an_input_larger_than_the_cache_is_never_begun(tmp_path):
    async def main():
        source = Source()
        with pytest.raises(NoRoom, match="2000000 more"):
            await used(cache_in(tmp_path), "k", source, 2_000_000)
        assert source.fetches == 0

    guarded(main)


def disk_of(monkeypatch, folder, size):
    """A disk that has ``size`` bytes besides its reserve, filled by what lies in the cache."""

    def statvfs(path):
        used_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        return SimpleNamespace(f_bavail=size + limits.DISK_RESERVE_BYTES - used_bytes, f_frsize=1)

    monkeypatch.setattr(os, "statvfs", statvfs)


def test_a_disk_that_fills_takes_from_the_cache_first_and_keeps_its_reserve(tmp_path, monkeypatch):
    async def main():
        cache = cache_in(tmp_path)
        disk_of(monkeypatch, tmp_path, 500_000)
        await used(cache, "a", Source(b"x" * 300_000), 300_000)
        await cache.need_room(300_000)
        await used(cache, "b", Source(b"x" * 300_000), 300_000)
        assert not cache.has("a")
        with pytest.raises(NoRoom, match="the disk of this node"):
            await used(cache, "c", Source(), 600_000)
        with pytest.raises(NoRoom, match="the disk of this node"):
            await cache.need_room(600_000)

    guarded(main)


def test_a_disk_that_is_full_is_a_reason_and_not_the_end(tmp_path):
    async def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    async def broken(path):
        raise OSError(errno.EIO, "Input/output error")

    async def main():
        cache = cache_in(tmp_path)
        with pytest.raises(NoRoom, match="No space left"):
            await used(cache, "k", full)
        with pytest.raises(StorageError, match="Input/output error"):
            await used(cache, "k", broken)
        assert await used(cache, "k", Source()) == b"content"

    guarded(main)


def test_an_input_that_somebody_deleted_is_fetched_again(tmp_path):
    async def main():
        cache = cache_in(tmp_path)
        async with cache.held("k", 100, Source()) as path:
            pass
        path.unlink()
        assert await used(cache, "k", Source(b"anew")) == b"anew"

    guarded(main)


def test_a_folder_that_cannot_be_used_is_the_operators(tmp_path):
    (tmp_path / "inputs").write_bytes(b"a file")
    with pytest.raises(OperatorError, match="inputs"):
        cache_in(tmp_path)
