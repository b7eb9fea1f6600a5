"""The storage contract for data by CID, over the RPC of a real Kubo daemon and over its gateway."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from contract.storages import TREES, Can, StorageContract, put_on_disk
from doubles.kubo import Kubo as Daemon

from node.ambient import Threads
from node.model import CidInput
from node.storage.http import Http
from node.storage.ipfs import gateway, rpc
from node.storage.ipfs.driver import Ipfs
from node.storage.ipfs.gateway import Gateway
from node.storage.ipfs.kubo import Kubo

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
