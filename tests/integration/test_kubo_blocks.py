"""A real Kubo daemon as a source of blocks and a place to keep them: files and folders of every shape, both ways."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import trio
from doubles.fetching import fetched, tree_of
from doubles.kubo import Kubo as Daemon
from doubles.trees import FOLDERS, bytes_of, planted

from node.ambient import Threads
from node.errors import DriverUnavailable, OperatorError, StorageError
from node.limits import KiB, MiB
from node.storage.ipfs import reader
from node.storage.ipfs.cid import Cid
from node.storage.ipfs.kubo import Kubo
from node.storage.ipfs.rpc import Patience

PROFILE_2025 = ("--cid-version=1", "--chunker=size-1048576", "--max-file-links=1024")
NOWHERE = Cid.parse("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
QUICK = Patience(find_s=0.5, block_s=0.5)


@pytest.fixture
def source(quiet_kubo: Daemon) -> Kubo:
    return Kubo(quiet_kubo.api, Threads(), QUICK)


@pytest.mark.parametrize(
    "flags", [(), ("--cid-version=1",), PROFILE_2025, ("--trickle",)], ids=lambda flags: flags[-1:]
)
@pytest.mark.parametrize("size", [0, 1, 256 * KiB + 1, 3 * MiB, 46 * MiB])
def test_a_file_comes_as_it_was_added(
    quiet_kubo: Daemon, source: Kubo, tmp_path: Path, size: int, flags: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_bytes(bytes_of(size))
    cid = Cid.parse(quiet_kubo.add(tmp_path / "file", *flags))
    assert fetched(source, cid, tmp_path / "out").read_bytes() == bytes_of(size)


@pytest.mark.parametrize("shape", ["no entries", "a wrapped file", "nested", "sharded in sharded"])
@pytest.mark.parametrize("flags", [(), PROFILE_2025], ids=["v0", "2025"])
def test_a_folder_comes_as_it_was_added(
    quiet_kubo: Daemon, source: Kubo, tmp_path: Path, shape: str, flags: tuple[str, ...]
) -> None:
    planted(tmp_path / "in", FOLDERS[shape]())
    cid = Cid.parse(quiet_kubo.add(tmp_path / "in", "--hidden", *flags))
    assert tree_of(fetched(source, cid, tmp_path / "out")) == tree_of(tmp_path / "in")


def test_a_thousand_files_come_in_one_stream(quiet_kubo: Daemon, source: Kubo, tmp_path: Path) -> None:
    names = {f"{number:04d}.txt": os.urandom(1 + number * 7) for number in range(1_000)}
    planted(tmp_path / "in", names)
    cid = Cid.parse(quiet_kubo.add(tmp_path / "in", *PROFILE_2025))
    assert tree_of(fetched(source, cid, tmp_path / "out")) == names


def test_blocks_that_come_again_come_again(source: Kubo, quiet_kubo: Daemon, tmp_path: Path) -> None:
    """The stream has each block once; far apart, and next to each other."""
    once, far = os.urandom(MiB), os.urandom(12 * MiB)
    content = once * 3 + far + once + far[: 2 * MiB] + bytes(20 * MiB) + once
    (tmp_path / "file").write_bytes(content)
    for flags in ((), PROFILE_2025):
        cid = Cid.parse(quiet_kubo.add(tmp_path / "file", *flags))
        out = fetched(source, cid, tmp_path / f"out{len(flags)}")
        assert out.read_bytes() == content


def test_a_listing_reads_no_contents_and_a_reader_may_skip(quiet_kubo: Daemon, source: Kubo, tmp_path: Path) -> None:
    planted(tmp_path / "in", {f"{number:02d}": os.urandom(3 * MiB) for number in range(12)})
    for flags in ((), PROFILE_2025):
        cid = Cid.parse(quiet_kubo.add(tmp_path / "in", *flags))

        async def main(cid: Cid = cid) -> list[tuple[str, int]]:
            async with source.session(cid) as session:
                return [(entry.path, entry.size) for entry in await reader.listing(session, cid)]

        assert trio.run(main) == [("", 0), *((f"{number:02d}", 3 * MiB) for number in range(12))]


def test_what_is_there_is_had_and_what_is_nowhere_is_not(quiet_kubo: Daemon, source: Kubo, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"here")
    cid = Cid.parse(quiet_kubo.add(tmp_path / "file"))
    assert trio.run(source.has, cid)
    assert not trio.run(source.has, NOWHERE)


def test_what_is_nowhere_is_a_reason_by_a_deadline(source: Kubo, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=f"Kubo does not find the block {NOWHERE} within 0.5 s"):
        fetched(source, NOWHERE, tmp_path / "out")


def test_a_daemon_fetches_from_the_peers_that_it_knows(
    kubo: Daemon, quiet_kubo: Daemon, source: Kubo, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(content := os.urandom(5 * MiB))
    cid = Cid.parse(kubo.add(tmp_path / "file", *PROFILE_2025))
    quiet_kubo.swarm_connect(kubo.swarm)
    assert trio.run(source.has, cid)
    assert fetched(source, cid, tmp_path / "out").read_bytes() == content


@pytest.mark.parametrize("shape", [*FOLDERS, "file", "large file"])
def test_what_is_added_has_the_cid_of_the_profile_and_is_pinned(
    quiet_kubo: Daemon, source: Kubo, tmp_path: Path, shape: str
) -> None:
    path = tmp_path / "in"
    if shape in FOLDERS:
        planted(path, FOLDERS[shape]())
    else:
        path.write_bytes(bytes_of(5 if shape == "file" else 17 * MiB))
    cid = trio.run(source.add, path)
    assert f"{cid} recursive" in quiet_kubo.ipfs("pin", "ls", "--type=recursive", str(cid)).decode()
    if shape in ("nested", "sharded", "file", "large file"):  # elsewhere the daemon's own estimate is another one
        assert quiet_kubo.add(path, "--only-hash", "--hidden", *PROFILE_2025) == str(cid)
    assert tree_of(fetched(source, cid, tmp_path / "out")) == tree_of(path)


def test_what_cannot_be_added_is_a_reason_and_nothing_is_pinned(
    quiet_kubo: Daemon, source: Kubo, tmp_path: Path
) -> None:
    planted(tmp_path / "in", {"a": random.Random(7).randbytes(3 * MiB)})
    (tmp_path / "in" / "z").symlink_to("/etc/passwd")
    before = sorted(quiet_kubo.ipfs("pin", "ls", "--type=recursive").split())
    for path, reason in (
        (tmp_path / "in", "z is a symbolic link"),
        (tmp_path / "none", "cannot be read: No such file"),
        (Path("/dev/zero"), "neither a folder nor a regular file"),
    ):
        with pytest.raises(StorageError, match=reason):
            trio.run(source.add, path)
    assert sorted(quiet_kubo.ipfs("pin", "ls", "--type=recursive").split()) == before


def test_a_daemon_that_is_not_there_says_so_everywhere(tmp_path: Path) -> None:
    source = Kubo("/ip4/127.0.0.1/tcp/1", Threads(), Patience(restart_s=0.1))
    (tmp_path / "file").write_bytes(b"x")
    nobody = "the Kubo daemon at /ip4/127.0.0.1/tcp/1 does not answer"
    with pytest.raises(DriverUnavailable, match=nobody):
        trio.run(source.version)
    with pytest.raises(StorageError, match=nobody):
        trio.run(source.has, NOWHERE)
    with pytest.raises(StorageError, match=nobody):
        fetched(source, NOWHERE, tmp_path / "out")
    with pytest.raises(StorageError, match=nobody):
        trio.run(source.add, tmp_path / "file")


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:5001", "http://127.0.0.1:5001", "/ip4/127.0.0.1", "/unix/run/ipfs.sock", "/ip4/x/tcp/1"]
)
def test_an_address_that_is_none_stops_the_node_before_it_starts(address: str) -> None:
    with pytest.raises(OperatorError, match=r"--ipfs-connect .*expected a multiaddr like"):
        Kubo(address, Threads())
