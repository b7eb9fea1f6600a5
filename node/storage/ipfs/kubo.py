"""A Kubo daemon as a source of blocks, and as a place to keep what is added.

Lives here: what is asked of it, in which order, and what its restarts mean. Does not live here: the calls themselves
(``rpc``), reading a DAG that way (``car_session``), what the blocks mean (``reader``).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from node.ambient import Offload
from node.errors import DriverUnavailable, StorageError
from node.storage.ipfs.base import BlockSession
from node.storage.ipfs.car import CarReader
from node.storage.ipfs.car_session import Receive, blocks_in, car_session
from node.storage.ipfs.cid import Cid
from node.storage.ipfs.layout import V1_2025
from node.storage.ipfs.packing import pack
from node.storage.ipfs.rpc import Patience, Rpc

log = logging.getLogger("quorate.storage")

_ASK_AGAIN_S = 0.25


class Kubo:
    """Blocks of a daemon at a multiaddr. It need not be there: then every call says so, with its address.

    Raises OperatorError for what is no address of a daemon.
    """

    name = "kubo"

    def __init__(self, address: str, offload: Offload, patience: Patience | None = None) -> None:
        self._rpc = Rpc(address, patience)
        self._offload = offload

    async def version(self) -> str:
        """Of the daemon, like ``0.43.0``. Raises DriverUnavailable: nobody is there, or it is no Kubo."""
        return await self._rpc.version()

    async def tell(self) -> None:
        """One line for the operator, at the start: the daemon that is there, or that none is. The node goes on."""
        try:
            log.info("kubo", extra={"version": await self._rpc.version()})
        except DriverUnavailable as error:
            log.warning("no_kubo", extra={"reason": str(error), "so": "data that is on IPFS alone is declined"})

    async def has(self, cid: Cid) -> bool:
        """See Blocks: what lies there is known at once, for anything else it is given a few seconds."""
        try:
            return await self._rpc.has(cid) or await self._rpc.has(cid, self._rpc.patience.find_s)
        except DriverUnavailable as error:
            raise StorageError(str(error)) from error

    def session(self, root: Cid) -> AbstractAsyncContextManager[BlockSession]:
        """See Blocks. Its daemon may restart once."""
        return car_session(root, self._exported, _Restartable(self._rpc).block, self._offload)

    async def add(self, path: Path, pin: str = "") -> Cid:
        """See Blocks; the daemon's pins have no names.

        The blocks are ours, sent as a CAR, and not those of the ``add`` call: the CID of a large folder would depend on
        the daemon's configuration, and the library leaves out, with a word on stdout, what it cannot read.
        """
        try:
            return await self._rpc.pinned_import(partial(pack, path, V1_2025))
        except DriverUnavailable as error:
            raise StorageError(str(error)) from error

    async def unpin(self, pin: str) -> None:
        """See Blocks: nothing is. A daemon has one pin for a CID, whoever asked for it, so it may be its operator's."""
        log.info("kubo_pin_stays", extra={"pin": pin})

    @asynccontextmanager
    async def _exported(self, root: Cid) -> AsyncIterator[Receive]:
        async with self._rpc.export(root, blocks_in(CarReader())) as export:
            yield export.receive


class _Restartable:
    """Single blocks, from a daemon that may go away once and come back."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._has_restarted = False

    async def block(self, cid: Cid) -> bytes:
        """See ``Rpc.block``."""
        had_restarted = self._has_restarted  # of several calls all fail with one restart
        try:
            return await self._rpc.block(cid)
        except DriverUnavailable:
            if had_restarted:
                raise
        self._has_restarted = True
        with trio.move_on_after(self._rpc.patience.restart_s):
            await self._back()
        return await self._rpc.block(cid)

    async def _back(self) -> None:
        """Until it answers. Nothing tells when a port is open again, so it is asked."""
        while True:
            try:
                await self._rpc.version()
            except DriverUnavailable:
                await trio.sleep(_ASK_AGAIN_S)
            else:
                return
