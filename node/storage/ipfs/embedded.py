"""IPFS without a daemon: blocks exchanged over this node's own connections, kept in its own folder.

Implements ``Blocks``; its parts are the blockstore, the exchange and the importer.
Does not live here: any of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import trio

from node import limits
from node.ambient import Ambient
from node.errors import NoRoom, StorageError
from node.storage import tree
from node.storage.ipfs.base import BlockSession
from node.storage.ipfs.bitswap.exchange import Exchange
from node.storage.ipfs.bitswap.session import known_block
from node.storage.ipfs.blockfiles import BlockFiles, disk_bytes
from node.storage.ipfs.blockstore import Blockstore
from node.storage.ipfs.cid import Cid
from node.storage.ipfs.importer import import_tree
from node.storage.ipfs.layout import V1_2025
from node.transport.base import Protocols

NAME = "bitswap"
_ENTRY_BYTES = 8 * limits.KiB  # What a file or folder takes at most besides its bytes: links, and its part of a shard.
_LINK_BYTES = 128  # The same for each chunk of a file.


class Embedded:
    """To be made before the transport runs, which has to run while this does. Making it raises OperatorError.

    What was added is pinned for ``pinned_s``; then it stays until there is need of room. ``missing_s``: how long a
    reader waits for a block that no neighbour has.
    """

    name = NAME

    def __init__(
        self,
        protocols: Protocols,
        folder: Path,
        bytes_max: int,
        ambient: Ambient,
        pinned_s: float = math.inf,
        missing_s: float = limits.BITSWAP_MISSING_S,
    ) -> None:
        self._protocols = protocols
        self._ambient = ambient
        self._store = Blockstore(folder, bytes_max, ambient)
        self._exchange = Exchange(protocols, self._store, missing_s)
        self._pinned_s = pinned_s

    async def run(self, peers: Sequence[str] = ()) -> None:
        """The whole life, until cancelled. ``peers``: multiaddrs of IPFS nodes to stay connected to."""
        if peers:
            self._exchange.expect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._store.run)
            nursery.start_soon(self._let_go)
            for address in peers:
                nursery.start_soon(self._protocols.keep, address)
            await self._exchange.run()

    async def has(self, cid: Cid) -> bool:
        """See Blocks."""
        if known_block(cid) is not None or await self._store.has(cid.multihash):
            return True
        if self._exchange.is_alone:
            raise StorageError(f"{cid} is not on this node, and no IPFS node is connected")
        return await self._exchange.somebody_has(cid)

    def session(self, root: Cid) -> AbstractAsyncContextManager[BlockSession]:
        """See Blocks."""
        return self._exchange.session(root)

    async def add(self, path: Path, pin: str = "") -> Cid:
        """See Blocks; again under the same name begins its time anew."""
        cost = await self._ambient.offload(_cost, path)
        listed: list[bytes] = []
        root = await self._store.write(cost, partial(_imported, path, self._ambient.now(), cost, listed))
        if root.inlined is None:
            await self._store.pin(_named(pin or str(root)), listed)
        return root

    async def unpin(self, pin: str) -> None:
        """See Blocks."""
        await self._store.unpin(_named(pin))

    async def _let_go(self) -> None:
        while True:
            await self._store.let_go(self._pinned_s)
            await trio.sleep(limits.PINS_CHECKED_S)


def _named(pin: str) -> bytes:
    return hashlib.sha256(pin.encode()).digest()


def _cost(path: Path) -> int:
    """What the blocks of a file or folder take of the disk at most."""
    sizes = (found.status.st_size for found in tree.walk(path))
    return sum(disk_bytes(size) + size // limits.MiB * _LINK_BYTES + _ENTRY_BYTES for size in sizes)


def _imported(path: Path, now: float, cost: int, listed: list[bytes], files: BlockFiles) -> tuple[Cid, int]:
    """Write all blocks, list them, and say what they took."""
    took = 0

    def put(cid: Cid, block: bytes) -> None:
        nonlocal took
        took += files.write([(cid.multihash, block)], now)
        listed.append(cid.multihash)
        if took > cost:
            raise NoRoom(f"{path} has become larger while it was read")

    root = import_tree(path, V1_2025, put).cid
    return root, took
