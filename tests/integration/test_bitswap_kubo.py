"""Blocks exchanged with a real Kubo daemon, both ways, over real connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio
from contract.transports import Recorder
from doubles.kubo import Kubo
from doubles.peers import identity
from doubles.trees import files_in

from node import limits
from node.ambient import Ambient
from node.errors import StorageError
from node.storage.ipfs import reader, unixfs
from node.storage.ipfs.cid import RAW, Cid
from node.storage.ipfs.embedded import Embedded
from node.transport.libp2p.transport import Libp2pTransport

HANG_S = 120.0
AMBIENT = Ambient()

Test = Callable[[Libp2pTransport, Embedded], Awaitable[None]]


@asynccontextmanager
async def node(folder: Path, peers: tuple[str, ...] = ()) -> AsyncIterator[tuple[Libp2pTransport, Embedded]]:
    """A node of ours on loopback, that stays connected to ``peers``."""
    transport = Libp2pTransport(identity(1), "127.0.0.1", 0)
    blocks = Embedded(transport, folder, limits.GiB, AMBIENT)
    async with trio.open_nursery() as nursery:
        await nursery.start(transport.run, Recorder())
        nursery.start_soon(blocks.run, peers)
        yield transport, blocks
        nursery.cancel_scope.cancel()


def run(test: Test, folder: Path, *peers: str) -> None:
    """Run a test with one node."""

    async def main() -> None:
        with trio.fail_after(HANG_S):
            async with node(folder, peers) as (transport, blocks):
                await test(transport, blocks)

    trio.run(main)


def tree(folder: Path, large_bytes: int = 20 * limits.MiB + 11) -> Path:
    """A folder of a large file, an empty one, and many small ones below."""
    random = Random(7)
    (folder / "below").mkdir(parents=True)
    (folder / "large").write_bytes(random.randbytes(large_bytes))
    (folder / "empty").touch()
    for number in range(300):
        (folder / "below" / f"file {number}").write_bytes(random.randbytes(number * 7))
    return folder


def sharded(folder: Path) -> Path:
    """A folder of so many files with such names that Kubo and we shard it, some shards below others."""
    folder.mkdir()
    for number in range(3_000):
        (folder / f"a rather long name, so that the folder is large, {'x' * 60} {number}").write_bytes(b"%d" % number)
    return folder


async def fetch(blocks: Embedded, root: Cid, target: Path) -> None:
    async with blocks.session(root) as session:
        await reader.write(session, root, target, limits.GiB, AMBIENT.offload)


async def some_came(blocks: Embedded) -> None:
    while not blocks._store.taken:  # noqa: ASYNC110  (the store tells nobody)
        await trio.sleep(0.01)


@pytest.mark.parametrize("flags", [(), ("--cid-version=1",), ("--cid-version=1", "--chunker=size-1048576")])
def test_ours_fetches_a_folder_from_kubo(flags: tuple[str, ...], quiet_kubo: Kubo, tmp_path: Path):
    root = Cid.parse(quiet_kubo.add(tree(tmp_path / "in"), *flags))

    async def main(transport: Libp2pTransport, blocks: Embedded) -> None:
        await transport.connect(quiet_kubo.swarm)
        assert await blocks.has(root)
        await fetch(blocks, root, tmp_path / "out")

    run(main, tmp_path / "node")
    assert files_in(tmp_path / "out") == files_in(tmp_path / "in")


def test_kubo_fetches_a_folder_from_ours(quiet_kubo: Kubo, tmp_path: Path):
    async def main(transport: Libp2pTransport, blocks: Embedded) -> None:
        root = await blocks.add(tree(tmp_path / "in"))
        await trio.to_thread.run_sync(quiet_kubo.swarm_connect, transport.addresses[0])
        await trio.to_thread.run_sync(quiet_kubo.ipfs, "get", "--output", str(tmp_path / "out"), str(root))

    run(main, tmp_path / "node")
    assert files_in(tmp_path / "out") == files_in(tmp_path / "in")


@pytest.mark.parametrize("flags", [(), ("--cid-version=1",)])
def test_ours_fetches_a_sharded_folder_from_kubo(flags: tuple[str, ...], quiet_kubo: Kubo, tmp_path: Path):
    root = Cid.parse(quiet_kubo.add(sharded(tmp_path / "in"), *flags))

    async def main(transport: Libp2pTransport, blocks: Embedded) -> None:
        await transport.connect(quiet_kubo.swarm)
        async with blocks.session(root) as session:
            assert unixfs.decode(await session.get(root)).kind is unixfs.Kind.SHARD
        await fetch(blocks, root, tmp_path / "out")

    run(main, tmp_path / "node")
    assert files_in(tmp_path / "out") == files_in(tmp_path / "in")


def test_kubo_fetches_a_sharded_folder_from_ours(quiet_kubo: Kubo, tmp_path: Path):
    async def main(transport: Libp2pTransport, blocks: Embedded) -> None:
        root = await blocks.add(sharded(tmp_path / "in"))
        async with blocks.session(root) as session:
            assert unixfs.decode(await session.get(root)).kind is unixfs.Kind.SHARD
        await trio.to_thread.run_sync(quiet_kubo.swarm_connect, transport.addresses[0])
        await trio.to_thread.run_sync(quiet_kubo.ipfs, "get", "--output", str(tmp_path / "out"), str(root))

    run(main, tmp_path / "node")
    assert files_in(tmp_path / "out") == files_in(tmp_path / "in")


def test_kubo_fetches_through_the_connection_that_ours_made(quiet_kubo: Kubo, tmp_path: Path):
    async def main(transport: Libp2pTransport, blocks: Embedded) -> None:
        (tmp_path / "file").write_bytes(Random(8).randbytes(3_000_000))
        root = await blocks.add(tmp_path / "file")
        await transport.connect(quiet_kubo.swarm)
        got = await trio.to_thread.run_sync(quiet_kubo.ipfs, "cat", str(root))
        assert got == (tmp_path / "file").read_bytes()

    run(main, tmp_path / "node")


def test_what_kubo_does_not_have_is_said(quiet_kubo: Kubo, tmp_path: Path):
    async def main(transport: Libp2pTransport, blocks: Embedded) -> None:
        await transport.connect(quiet_kubo.swarm)
        root = Cid.of(b"nobody has this", RAW)
        assert not await blocks.has(root)
        with pytest.raises(StorageError, match="all 1 connected IPFS nodes were asked"):
            await fetch(blocks, root, tmp_path / "out")

    run(main, tmp_path / "node")


def test_kubo_may_be_restarted_under_a_fetch(kubo: Kubo, tmp_path: Path):
    root = Cid.parse(kubo.add(tree(tmp_path / "in", 4 * limits.MiB), "--chunker=size-4096"))

    async def main(transport: Libp2pTransport, blocks: Embedded) -> None:
        async def hurt() -> None:
            await some_came(blocks)
            await trio.to_thread.run_sync(kubo.kill)
            await trio.to_thread.run_sync(kubo.start)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hurt)
            await fetch(blocks, root, tmp_path / "out")

    run(main, tmp_path / "node", kubo.swarm)
    assert files_in(tmp_path / "out") == files_in(tmp_path / "in")
