"""A Kubo daemon that dies, restarts, lies silent or lacks a block in the middle of a fetch; a reader that goes away.

Each ends in the data or in a reason by a deadline, never in less than all of the data.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from doubles.fetching import GUARD_S, fetch, fetched
from doubles.kubo import Kubo as Daemon
from doubles.webanswers import Talk, breaks_off, hangs_up, says, stalls, web_server

from node.ambient import Threads
from node.errors import DriverUnavailable, StorageError
from node.limits import KUBO_CALLS_MAX, MiB
from node.storage.ipfs.base import BlockSession
from node.storage.ipfs.cid import RAW, Cid
from node.storage.ipfs.kubo import Kubo
from node.storage.ipfs.rpc import Patience

PROFILE_2025 = ("--cid-version=1", "--chunker=size-1048576", "--max-file-links=1024")
SIZE = 60 * MiB  # more than what sockets and threads hold
IN_THE_MIDDLE = 20
QUICK = Patience(find_s=0.5, block_s=1, stall_s=1, restart_s=20)


@pytest.fixture
def content() -> bytes:
    return os.urandom(SIZE)


@pytest.fixture
def cid(kubo: Daemon, tmp_path: Path, content: bytes) -> Cid:
    (tmp_path / "file").write_bytes(content)
    return Cid.parse(kubo.add(tmp_path / "file", *PROFILE_2025))


class Interrupted(Kubo):
    """At one of the blocks something happens, once."""

    def __init__(self, daemon: Daemon, what: object, patience: Patience = QUICK) -> None:
        super().__init__(daemon.api, Threads(), patience)
        self._what = what
        self.happened = 0

    def session(self, root: Cid):
        return _Counted(super().session(root), self)

    def count(self) -> None:
        self.happened += 1
        if self.happened == IN_THE_MIDDLE:
            self._what()


class _Counted:
    def __init__(self, inner, source: Interrupted) -> None:
        self._inner, self._source = inner, source

    async def __aenter__(self):
        self._session: BlockSession = await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error):
        return await self._inner.__aexit__(*error)

    def want(self, cids):
        self._session.want(cids)

    def at_hand(self, cid: Cid, bytes_max: int) -> bytes | None:
        return None

    async def get(self, cid: Cid) -> bytes:
        self._source.count()
        return await self._session.get(cid)


@contextmanager
def silent(daemon: Daemon) -> Iterator[None]:
    daemon.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        daemon.signal(signal.SIGCONT)


def test_a_restart_in_the_middle_is_waited_for(kubo: Daemon, cid: Cid, content: bytes, tmp_path: Path) -> None:
    source = Interrupted(kubo, lambda: (kubo.kill(), kubo.start()))
    assert fetched(source, cid, tmp_path / "out").read_bytes() == content
    assert source.happened >= IN_THE_MIDDLE


def test_a_daemon_that_is_killed_and_comes_back_later_is_waited_for(
    kubo: Daemon, cid: Cid, content: bytes, tmp_path: Path
) -> None:
    again = threading.Timer(1.0, kubo.start)

    def dies() -> None:
        kubo.kill()
        again.start()

    assert fetched(Interrupted(kubo, dies), cid, tmp_path / "out").read_bytes() == content
    again.join()


def test_a_daemon_that_is_killed_and_does_not_come_back_is_a_reason(kubo: Daemon, cid: Cid, tmp_path: Path) -> None:
    source = Interrupted(kubo, kubo.kill, Patience(restart_s=0.5))
    with pytest.raises(StorageError, match=f"the Kubo daemon at {kubo.api} does not answer"):
        fetched(source, cid, tmp_path / "out")


def test_a_daemon_that_goes_away_again_and_again_is_a_reason(kubo: Daemon, cid: Cid, tmp_path: Path) -> None:
    source = Interrupted(kubo, lambda: (kubo.kill(), kubo.start()), Patience(restart_s=0.5))

    def also_later() -> None:
        if source.happened == IN_THE_MIDDLE + 5:
            kubo.kill()

    count = source.count
    source.count = lambda: (count(), also_later())
    with pytest.raises(StorageError, match="does not answer"):
        fetched(source, cid, tmp_path / "out")


@pytest.mark.parametrize("flags", [PROFILE_2025, ()], ids=["raw leaves", "dag-pb leaves"])
def test_a_missing_block_in_the_middle_is_named(
    kubo: Daemon, content: bytes, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """Kubo ends such a stream as if it were complete."""
    (tmp_path / "file").write_bytes(content)
    cid = kubo.add(tmp_path / "file", *flags)
    blocks = kubo.ipfs("refs", "--recursive", cid).decode().split()
    lost = blocks[len(blocks) // 2]
    kubo.ipfs("pin", "rm", cid)
    kubo.ipfs("block", "rm", lost)
    source = Kubo(kubo.api, Threads(), QUICK)
    with pytest.raises(StorageError, match=f"Kubo does not find the block {lost} within 1 s"):
        fetched(source, Cid.parse(cid), tmp_path / "out")


def test_a_daemon_that_falls_silent_is_a_reason(kubo: Daemon, cid: Cid, tmp_path: Path) -> None:
    source = Interrupted(
        kubo, lambda: kubo.signal(signal.SIGSTOP), Patience(block_s=0.5, stall_s=0.5, restart_s=0.5, grace_s=0.1)
    )
    with pytest.raises(StorageError, match=f"the Kubo daemon at {kubo.api} does not answer in time"):
        fetched(source, cid, tmp_path / "out")


def test_a_cancel_ends_the_fetch_and_its_threads_also_while_the_daemon_is_silent(
    kubo: Daemon, cid: Cid, tmp_path: Path
) -> None:
    source = Interrupted(kubo, lambda: kubo.signal(signal.SIGSTOP), Patience(stall_s=GUARD_S * 10))

    async def main() -> bool:
        with trio.move_on_after(1) as scope:
            await fetch(source, cid, tmp_path / "out")
        return scope.cancelled_caught

    before = set(threading.enumerate())
    assert trio.run(main)
    assert source.happened >= IN_THE_MIDDLE
    for thread in set(threading.enumerate()) - before:
        if "Trio" not in thread.name:  # those are kept for whoever is next
            thread.join(GUARD_S)
            assert not thread.is_alive()


def test_a_cancelled_upload_stops_and_pins_nothing(kubo: Daemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(SIZE))
    source = Kubo(kubo.api, Threads(), QUICK)
    before = kubo.ipfs("pin", "ls", "--type=recursive")

    async def main() -> bool:
        with trio.move_on_after(0.5) as scope:
            await source.add(tmp_path / "file")
        return scope.cancelled_caught

    with silent(kubo):
        assert trio.run(main)
    assert kubo.ipfs("pin", "ls", "--type=recursive") == before


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (says(b"<html>a router</html>", content_type="text/html"), "is no Kubo"),
        (says(b"not found", 404), "is no Kubo"),
        (hangs_up, "does not answer"),
        (breaks_off(b'{"Version":"0.43.0"}', 5), "does not answer"),
    ],
    ids=["html", "404", "hangs up", "breaks off"],
)
def test_what_answers_and_is_no_kubo_is_a_reason(answers, reason: str) -> None:
    with web_server({"": answers}) as web:
        source = Kubo(f"/ip4/127.0.0.1/tcp/{web.port}", Threads(), QUICK)
        with pytest.raises(DriverUnavailable, match=reason):
            trio.run(source.version)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'"x"', b'{"a":1}{"a":2}', b"[" * 100_000])
@pytest.mark.parametrize("status", [200, 500])
def test_json_that_no_kubo_sends_is_a_reason_for_every_call(body: bytes, status: int, tmp_path: Path) -> None:
    cid = Cid.of(BLOCK, RAW)
    (tmp_path / "file").write_bytes(BLOCK)

    async def main(source: Kubo) -> None:
        with pytest.raises(DriverUnavailable, match="is no Kubo"):
            await source.version()
        await source.tell()
        with pytest.raises(StorageError, match="is no Kubo"):
            await source.has(cid)
        with pytest.raises(StorageError, match="is no Kubo"):
            await source.add(tmp_path / "file")
        async with source.session(cid) as session:
            session.want([cid, Cid.of(b"", RAW)])
            with trio.fail_after(GUARD_S), pytest.raises(StorageError):
                await session.get(cid)

    with web_server({"": says(body, status, content_type="application/json")}) as web:
        trio.run(main, Kubo(f"/ip4/127.0.0.1/tcp/{web.port}", Threads(), Patience(restart_s=0.1)))


def test_whether_it_has_a_block_is_known_by_a_deadline_though_all_threads_wait_for_its_last_words() -> None:
    def drips(talk: Talk) -> None:
        talk.begin(**{"Content-Type": "application/json"})
        with suppress(OSError):
            while not talk.web.over.wait(0.02):
                talk.wfile.write(b" ")

    async def main(source: Kubo) -> None:
        async def asked() -> None:
            with pytest.raises(StorageError, match="in time"):
                await source.has(Cid.of(BLOCK, RAW))

        with trio.fail_after(GUARD_S):
            async with trio.open_nursery() as nursery:
                for _ in range(KUBO_CALLS_MAX + 1):
                    nursery.start_soon(asked)

    with web_server({"": drips}) as web:
        trio.run(main, Kubo(f"/ip4/127.0.0.1/tcp/{web.port}", Threads(), replace(QUICK, grace_s=0.2)))


BLOCK = b"a block of a file"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (says(b"something else"), "is something else"),
        (says(bytes(3 * MiB)), "is something else"),
        (breaks_off(BLOCK, 5), "does not answer"),
        (stalls(BLOCK, 5), "does not answer"),
        (says(b'{"Message":"no such luck","Code":0,"Type":"error"}', 500), "Kubo says: no such luck"),
    ],
    ids=["wrong bytes", "too many", "breaks off", "slow", "an error"],
)
def test_a_wrong_or_slow_block_is_a_reason_and_no_data(answers, reason: str, tmp_path: Path) -> None:
    def version(talk: Talk) -> None:
        says(b'{"Version":"0.43.0"}', content_type="application/json")(talk)

    with web_server({"": answers, "/api/v0/version": version}) as web:
        source = Kubo(
            f"/ip4/127.0.0.1/tcp/{web.port}", Threads(), Patience(block_s=0.2, stall_s=0.1, restart_s=0.1, grace_s=0.1)
        )
        with pytest.raises(StorageError, match=reason):
            fetched(source, Cid.of(BLOCK, RAW), tmp_path / "out")
    assert not (tmp_path / "out").exists()
