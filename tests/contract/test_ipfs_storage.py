"""The storage contract for data by CID, over the RPC of a real Kubo daemon, its gateway, and bitswap."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from contract.storages import TREES, Can, StorageContract, put_on_disk
from contract.transports import Recorder
from doubles.kubo import Kubo as Daemon
from doubles.peers import identity

from node.ambient import Ambient, Threads
from node.limits import GiB
from node.model import CidInput
from node.storage.http import Http
from node.storage.ipfs import gateway, rpc
from node.storage.ipfs.driver import Ipfs
from node.storage.ipfs.embedded import Embedded
from node.storage.ipfs.gateway import Gateway
from node.storage.ipfs.kubo import Kubo
from node.transport.libp2p.transport import Libp2pTransport

AT = "/inputs/x"
NOWHERE = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
MALFORMED = (
    "apples",
    "Qm",
    NOWHERE[:-1],
    f"{NOWHERE}/../x",
    f"{NOWHERE}//x",
    "../x",
    "/ipfs/",
    "z" * 256,
)
UNUSABLE = (
    "bafyreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",  # dag-cbor
    "bafkr4ifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",  # blake3
)
FLAGS = ((), ("--cid-version=1", "--chunker=size-1048576"))


@dataclass
class Added:
    """Trees that were added to a daemon, each in another profile than the one before."""

    driver: Ipfs
    daemon: Daemon
    folder: Path

    def __post_init__(self):
        self.flags = itertools.cycle(FLAGS)

    async def put(self, name, tree):
        path = put_on_disk(self.folder / name, tree)
        return CidInput(cid=self.daemon.add(path, "--hidden", *next(self.flags)), path=AT)

    def nowhere(self):
        return [CidInput(cid=NOWHERE, path=AT), CidInput(cid=f"{NOWHERE}/a/b", path=AT)]

    def malformed(self):
        return [CidInput(cid=cid, path=AT) for cid in (*MALFORMED, *UNUSABLE)]


class OfDaemon(StorageContract):
    can = Can(trees=frozenset(TREES), fetches=True, knows_what_is_nowhere=True, has_exact_sizes=False)

    @pytest.fixture(autouse=True)
    def _daemon(self, quiet_kubo: Daemon) -> None:
        self.daemon = quiet_kubo

    @asynccontextmanager
    async def source(self, tmp_path, cache):
        folder = tmp_path / "in"
        folder.mkdir()
        yield Added(Ipfs([self.blocks()], cache, Threads()), self.daemon, folder)

    def blocks(self):
        raise NotImplementedError


class TestKubo(OfDaemon):
    def blocks(self):
        return Kubo(self.daemon.api, Threads(), rpc.Patience(find_s=0.3, block_s=0.3))


class TestGateway(OfDaemon):
    def blocks(self):
        return Gateway(self.daemon.gateway_url, Http(), Threads(), gateway.Patience(find_s=0.3, block_s=0.3))


@asynccontextmanager
async def embedded(number: int, folder: Path) -> AsyncIterator[tuple[Libp2pTransport, Embedded]]:
    """A node's own IPFS, on loopback."""
    transport = Libp2pTransport(identity(number), "127.0.0.1", 0)
    blocks = Embedded(transport, folder, GiB, Ambient())
    async with trio.open_nursery() as nursery:
        await nursery.start(transport.run, Recorder())
        nursery.start_soon(blocks.run, ())
        yield transport, blocks
        nursery.cancel_scope.cancel()


class TestEmbeddedFromKubo(OfDaemon):
    """By bitswap from the daemon."""

    @asynccontextmanager
    async def source(self, tmp_path, cache):
        (tmp_path / "in").mkdir()
        async with embedded(1, tmp_path / "blocks") as (transport, blocks):
            await transport.connect(self.daemon.swarm)
            yield Added(Ipfs([blocks], cache, Threads()), self.daemon, tmp_path / "in")


@dataclass
class AddedToNode(Added):
    """Trees that were added to another node of ours."""

    giver: Embedded

    async def put(self, name, tree):
        return CidInput(cid=str(await self.giver.add(put_on_disk(self.folder / name, tree))), path=AT)


class TestEmbeddedFromNode(StorageContract):
    """By bitswap from another node of ours; no daemon anywhere."""

    can = OfDaemon.can

    @asynccontextmanager
    async def source(self, tmp_path, cache):
        (tmp_path / "in").mkdir()
        async with (
            embedded(2, tmp_path / "given") as (listening, giver),
            embedded(1, tmp_path / "blocks") as (transport, blocks),
        ):
            await transport.connect(listening.addresses[0])
            yield AddedToNode(Ipfs([blocks], cache, Threads()), None, tmp_path / "in", giver)
