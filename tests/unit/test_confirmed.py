"""Copies checked against their CID: what is believed, what costs a second reading, and what is not believed at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from node import limits
from node.ambient import Offload, Threads, inline
from node.errors import StorageError
from node.storage.confirmed import CHECKS_AT_ONCE, Confirmed, fingerprint
from node.storage.ipfs.cid import Cid
from node.storage.ipfs.importer import cid_of
from node.storage.ipfs.layout import PROFILES, V1_2025
from node.storage.looking import Looking

OTHER = Cid.of(b"other", 0x55)
HANG_S = 60.0


class Reads:
    """Counts how often a copy was read, at the points where its reading may be ended."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def a_copy(folder: Path) -> Path:
    copy = folder / "copy"
    (copy / "sub").mkdir(parents=True)
    (copy / "a").write_bytes(b"hello")
    (copy / "sub" / "b").write_bytes(b"x" * 300_000)
    return copy


def asked(confirmed: Confirmed, copy: Path, cid: Cid) -> bool:
    async def main() -> bool:
        with trio.fail_after(HANG_S):
            return await confirmed.confirms(copy, cid)

    return trio.run(main)


def memory(file: Path | None, reads: Callable[[], None], offload: Offload = inline) -> Confirmed:
    return Confirmed(file, offload, reads)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_bytes_that_give_the_cid_in_any_profile_are_confirmed(tmp_path: Path, profile) -> None:
    copy = a_copy(tmp_path)
    confirmed = memory(None, Reads())
    assert asked(confirmed, copy, cid_of(copy, profile))
    (copy / "a").write_bytes(b"hellO")
    assert not asked(confirmed, copy, Cid.of(b"x", 0x70))


def test_what_was_read_once_is_not_read_again_and_not_after_a_restart_either(tmp_path: Path) -> None:
    copy, file = a_copy(tmp_path), tmp_path / "confirmed.json"
    cid, reads = cid_of(copy, V1_2025), Reads()
    confirmed = memory(file, reads)
    assert asked(confirmed, copy, cid)
    assert not asked(confirmed, copy, OTHER)
    before = reads.count
    for again in (confirmed, memory(file, reads)):
        assert asked(again, copy, cid)
        assert not asked(again, copy, OTHER)
    assert reads.count == before


def touch(copy: Path) -> None:
    os.utime(copy / "a", ns=(1, 1))


def grow(copy: Path) -> None:
    status = (copy / "a").stat()
    (copy / "a").write_bytes(b"hello, longer")
    os.utime(copy / "a", ns=(status.st_atime_ns, status.st_mtime_ns))


def replace(copy: Path) -> None:
    status = (copy / "a").stat()
    (copy / "new").write_bytes(b"HELLO")
    os.utime(copy / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (copy / "new").rename(copy / "a")


def write(copy: Path) -> None:
    (copy / "sub" / "b").write_bytes(b"x" * 300_001)


def add(copy: Path) -> None:
    (copy / "sub" / "c").touch()


def add_folder(copy: Path) -> None:
    (copy / "empty").mkdir()


def remove(copy: Path) -> None:
    (copy / "sub" / "b").unlink()


def swap(copy: Path) -> None:
    (copy / "a").rename(copy / "t")
    (copy / "sub" / "b").rename(copy / "a")
    (copy / "t").rename(copy / "sub" / "b")


@pytest.mark.parametrize("change", [touch, grow, replace, write, add, add_folder, remove, swap])
def test_any_change_of_a_copy_costs_a_reading(tmp_path: Path, change: Callable[[Path], None]) -> None:
    copy = a_copy(tmp_path)
    cid, reads = cid_of(copy, V1_2025), Reads()
    confirmed = memory(None, reads)
    assert asked(confirmed, copy, cid)
    before = reads.count
    change(copy)
    assert asked(confirmed, copy, cid) is (change is touch)
    assert reads.count > before


def test_two_places_or_two_cids_are_two_questions(tmp_path: Path) -> None:
    copy = a_copy(tmp_path)
    cid = cid_of(copy, V1_2025)
    confirmed = memory(None, Reads())
    assert asked(confirmed, copy, cid)
    assert not asked(confirmed, copy / "sub", cid)
    assert not asked(confirmed, copy, OTHER)
    assert asked(confirmed, copy, cid)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"known":{}}x',
        b'{"version":2,"known":{}}',
        b'{"version":1,"known":{"short":["%s",true]}}' % (b"0" * 64),
        b'{"version":1,"known":{"%s":["%s","yes"]}}' % (b"0" * 64, b"0" * 64),
        b"[" * 100_000,
        b" " * (512 * limits.COPIES_CONFIRMED_MAX + 1),
    ],
)
def test_a_file_that_is_not_as_we_write_it_is_forgotten_and_written_anew(tmp_path: Path, content: bytes) -> None:
    copy, file = a_copy(tmp_path), tmp_path / "confirmed.json"
    cid, reads = cid_of(copy, V1_2025), Reads()
    file.write_bytes(content)
    assert asked(memory(file, reads), copy, cid)
    before = reads.count
    assert before
    assert asked(memory(file, reads), copy, cid)
    assert reads.count == before


def test_a_file_longer_than_we_write_is_not_believed(tmp_path: Path) -> None:
    copy, file, reads = a_copy(tmp_path), tmp_path / "confirmed.json", Reads()
    assert asked(memory(file, reads), copy, cid_of(copy, V1_2025))
    with file.open("ab") as opened:
        opened.write(b" " * (512 * limits.COPIES_CONFIRMED_MAX))
    before = reads.count
    assert asked(memory(file, reads), copy, cid_of(copy, V1_2025))
    assert reads.count > before


def test_a_file_that_cannot_be_read_or_written_costs_nothing_but_its_use(tmp_path: Path) -> None:
    copy, file = a_copy(tmp_path), tmp_path / "confirmed.json"
    file.mkdir()
    assert asked(memory(file, Reads()), copy, cid_of(copy, V1_2025))
    assert asked(memory(tmp_path / "missing" / "confirmed.json", Reads()), copy, cid_of(copy, V1_2025))


def test_links_in_a_copy_are_refused_and_not_followed(tmp_path: Path) -> None:
    copy = a_copy(tmp_path)
    (copy / "etc").symlink_to("/etc")
    with pytest.raises(StorageError, match="symbolic link"):
        asked(memory(None, Reads()), copy, OTHER)


def test_what_changes_while_it_is_read_is_not_believed(tmp_path: Path) -> None:
    copy = a_copy(tmp_path)
    cid = cid_of(copy, V1_2025)
    with pytest.raises(StorageError, match="changed"):
        asked(memory(None, lambda: touch(copy)), copy, cid)


def test_who_asks_for_the_same_meanwhile_waits_for_the_one_reading(tmp_path: Path) -> None:
    copy = a_copy(tmp_path)
    cid, reads = cid_of(copy, V1_2025), Reads()
    asked(memory(None, reads), copy, cid)
    once, reads.count = reads.count, 0

    async def main() -> None:
        confirmed = memory(None, reads, Threads())
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(confirmed.confirms, copy, cid)

    trio.run(main)
    assert reads.count == once


@pytest.mark.parametrize("offload", [Threads, lambda: Looking(HANG_S)], ids=["threads", "looking"])
def test_cancelling_ends_the_reading_soon_and_the_next_who_asks_begins_anew(
    tmp_path: Path, offload: Callable[[], Offload]
) -> None:
    copy = tmp_path / "copy"
    ended = threading.Event()

    def checkpoint() -> None:
        try:
            trio.from_thread.check_cancelled()
        except trio.Cancelled:
            ended.set()
            raise

    with copy.open("wb") as file:
        file.truncate(1 << 42)  # Longer than anybody waits.

    async def main() -> None:
        confirmed = Confirmed(None, offload(), checkpoint)
        for _ in range(2):
            ended.clear()
            with trio.move_on_after(0.2) as scope:
                await confirmed.confirms(copy, OTHER)
            assert scope.cancelled_caught
            assert await trio.to_thread.run_sync(ended.wait, HANG_S)
        os.truncate(copy, 5)
        copy.write_bytes(b"other")
        assert await confirmed.confirms(copy, OTHER)

    with_a_guard(main)


def test_few_copies_are_read_at_once(tmp_path: Path) -> None:
    copies = small_copies(tmp_path, CHECKS_AT_ONCE + 1)

    async def main() -> None:
        reading, go = [], trio.Event()

        async def offload(call, *args):
            if OTHER in args:
                reading.append(args)
                await go.wait()
            return await inline(call, *args)

        confirmed = memory(None, Reads(), offload)
        async with trio.open_nursery() as nursery:
            for copy in copies:
                nursery.start_soon(confirmed.confirms, copy, OTHER)
            await trio.testing.wait_all_tasks_blocked()
            assert len(reading) == CHECKS_AT_ONCE
            go.set()
        assert len(reading) == len(copies)

    with_a_guard(main)


def test_what_is_remembered_is_bounded_also_on_disk(tmp_path: Path) -> None:
    file, copies = tmp_path / "confirmed.json", small_copies(tmp_path, 3)
    confirmed = Confirmed(file, inline, Reads(), most=2)
    for copy in copies:
        asked(confirmed, copy, OTHER)
    assert file.read_text().count('",true]') == 2


@pytest.mark.parametrize("change", [lambda copy: os.utime(copy, ns=(1, 1)), lambda copy: None], ids=["read", "known"])
def test_what_was_asked_for_longest_ago_is_forgotten_first(tmp_path: Path, change: Callable[[Path], None]) -> None:
    first, second, third = small_copies(tmp_path, 3)
    reads = Reads()
    confirmed = Confirmed(None, inline, reads, most=2)
    asked(confirmed, first, OTHER)
    asked(confirmed, second, OTHER)
    change(first)
    asked(confirmed, first, OTHER)
    asked(confirmed, third, OTHER)
    before = reads.count
    asked(confirmed, first, OTHER)
    assert reads.count == before
    asked(confirmed, second, OTHER)
    assert reads.count > before


def small_copies(folder: Path, count: int) -> list[Path]:
    copies = [folder / str(number) for number in range(count)]
    for copy in copies:
        copy.write_bytes(b"other")
    return copies


def test_the_order_in_which_a_folder_is_read_does_not_matter(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    for number in range(50):
        (first / str(number)).touch()
        os.utime(first / str(number), ns=(1, 1))
    for number in reversed(range(50)):
        os.link(first / str(number), second / str(number))
    assert fingerprint(first) == fingerprint(second)


def with_a_guard(main) -> None:
    async def guarded() -> None:
        with trio.fail_after(HANG_S):
            await main()

    trio.run(guarded)
