"""Modules of other requesters' jobs: fetched once, checked against their name, kept in the node's cache."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import trio

from node.ambient import Offload
from node.errors import BlobRefused, CallerError, ExecutionFailed, InvalidModule, MalformedMessage, PeerGone
from node.messages import ModuleWanted
from node.model import PeerId, Sha256, WasmEngine
from node.transport.base import Transport
from node.transport.resume import resumed
from node.vault.modules import Modules, Upload


class ModuleFetcher:
    """Modules by hash; however many runs ask at once, one fetch is under way."""

    def __init__(self, transport: Transport, modules: Modules, offload: Offload) -> None:
        self._transport = transport
        self._modules = modules
        self._offload = offload
        self._under_way: dict[Sha256, trio.Event] = {}

    async def path(self, requester: PeerId, engine: WasmEngine) -> Path:
        """Where the module lies. Raises ExecutionFailed (it cannot be had, or is another one), NoRoom."""
        wanted = Sha256(engine.module)
        while wanted in self._under_way:
            await self._under_way[wanted].wait()
        path = self._modules.path(wanted)
        if path is not None:
            return path
        self._under_way[wanted] = trio.Event()
        try:
            await self._fetch(requester, wanted)
        finally:
            self._under_way.pop(wanted).set()
        path = self._modules.path(wanted)
        if path is None:
            raise ExecutionFailed("module", "the module did not stay in the cache of this node")
        return path

    async def _fetch(self, requester: PeerId, wanted: Sha256) -> None:
        upload = await self._offload(self._modules.upload)
        try:
            await resumed(partial(self._stream, requester, wanted, upload), lambda: upload.size)
            await self._finish(upload, wanted)
        except (PeerGone, BlobRefused, MalformedMessage, CallerError, InvalidModule) as error:
            raise ExecutionFailed("module", f"the module cannot be had from its requester: {error}") from error
        finally:
            upload.abandon()

    async def _stream(self, requester: PeerId, wanted: Sha256, upload: Upload) -> None:
        async with self._transport.fetch(requester, ModuleWanted(wanted, upload.size)) as blob:
            async for chunk in blob.chunks:
                await self._offload(upload.write, chunk)

    async def _finish(self, upload: Upload, wanted: Sha256) -> None:
        if upload.sha256 != wanted:
            raise ExecutionFailed("module", "what the requester sent is not the module that the job names")
        await self._offload(upload.finish)
        await self._offload(self._modules.trim, frozenset({wanted}))
