"""Modules of other requesters' jobs: fetched once, checked against their name, kept in the node's cache."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import trio

from node import limits
from node.ambient import Offload
from node.errors import BlobRefused, CallerError, ExecutionFailed, InvalidModule, MalformedMessage, PeerGone
from node.messages import ModuleWanted
from node.model import PeerId, Sha256
from node.transport.base import Transport
from node.transport.resume import resumed
from node.vault.modules import Modules, Upload


class ModuleFetcher:
    """Modules by hash. From each requester one is fetched at a time, so that a slow one holds up its own runs alone."""

    def __init__(self, transport: Transport, modules: Modules, offload: Offload) -> None:
        self._transport = transport
        self._modules = modules
        self._offload = offload
        self._under_way: dict[PeerId, trio.Event] = {}
        self._places = trio.CapacityLimiter(limits.MODULE_FETCHES_MAX)

    def held(self, module: Sha256) -> AbstractContextManager[None]:
        """Where the module lies it stays, for as long as the context."""
        return self._modules.held(module)

    def here(self, module: Sha256) -> Path | None:
        """Where the module lies, if it does. Blocking."""
        return self._modules.path(module)

    async def fetched(self, requester: PeerId, module: Sha256) -> Path:
        """Where the module lies, from its requester if need be. Raises ExecutionFailed (it cannot be had), NoRoom."""
        while (path := await self._offload(self._modules.path, module)) is None:
            under_way = self._under_way.get(requester)
            if under_way is None:
                await self._lead(requester, module)
            else:
                await under_way.wait()
        return path

    async def _lead(self, requester: PeerId, wanted: Sha256) -> None:
        done = self._under_way[requester] = trio.Event()
        try:
            async with self._places:
                with trio.fail_after(limits.MODULE_FETCH_S):
                    await self._fetch(requester, wanted)
        except trio.TooSlowError as error:
            raise ExecutionFailed("module", f"its requester took {limits.MODULE_FETCH_S:g} s to send it") from error
        finally:
            del self._under_way[requester]
            done.set()

    async def _fetch(self, requester: PeerId, wanted: Sha256) -> None:
        upload = await self._offload(self._modules.upload)
        try:
            await resumed(partial(self._stream, requester, wanted, upload), lambda: upload.size)
            await self._finish(upload, wanted)
        except (PeerGone, BlobRefused, MalformedMessage, CallerError, InvalidModule) as error:
            raise ExecutionFailed("module", f"the module cannot be had from its requester: {error}") from error
        finally:
            with trio.CancelScope(shield=True):  # Two system calls.
                await self._offload(upload.abandon)

    async def _stream(self, requester: PeerId, wanted: Sha256, upload: Upload) -> None:
        async with self._transport.fetch(requester, ModuleWanted(wanted, upload.size)) as blob:
            async for chunk in blob.chunks:
                await self._offload(upload.write, chunk)

    async def _finish(self, upload: Upload, wanted: Sha256) -> None:
        if upload.sha256 != wanted:
            raise ExecutionFailed("module", "what the requester sent is not the module that the job names")
        await self._offload(upload.finish)
        await self._offload(self._modules.trim)
