"""Blocks in memory, as a session: what a reader reads in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from node.errors import StorageError
from node.storage.ipfs.cid import DAG_PB, RAW, Cid
from node.storage.ipfs.importer import import_tree
from node.storage.ipfs.layout import V1_2025, Profile


class HeldBlocks:
    """A source of blocks, and a session of it, over a dictionary. It notes what was wanted and what was got.

    ``is_prompt``: what was wanted before something was waited for is at hand from then on.
    """

    name = "held"

    def __init__(self, *, is_prompt: bool = False) -> None:
        self.is_prompt = is_prompt
        self.came: set[Cid] = set()
        self._came_to = 0
        self.blocks: dict[Cid, bytes] = {}
        self.wanted: list[Cid] = []
        self.got: list[Cid] = []

    def forget(self) -> None:
        """What was wanted and got until now."""
        self.wanted.clear()
        self.got.clear()
        self.came.clear()
        self._came_to = 0

    def put(self, cid: Cid, block: bytes) -> None:
        self.blocks[cid] = block

    def raw(self, block: bytes) -> Cid:
        return self._named(block, RAW)

    def node(self, block: bytes) -> Cid:
        return self._named(block, DAG_PB)

    def imported(self, path: Path, profile: Profile = V1_2025) -> Cid:
        return import_tree(path, profile, self.put).cid

    def want(self, cids: Sequence[Cid]) -> None:
        self.wanted.extend(cids)

    def at_hand(self, cid: Cid, bytes_max: int) -> bytes | None:
        block = self.blocks[cid] if cid in self.came else None
        return None if block is None or len(block) > bytes_max else block

    async def get(self, cid: Cid) -> bytes:
        await trio.lowlevel.checkpoint()
        self.got.append(cid)
        if self.is_prompt:
            self.came.update(self.wanted[self._came_to :])
            self._came_to = len(self.wanted)
        block = self.blocks.get(cid)
        if block is None:
            raise StorageError(f"the block {cid} is nowhere")
        return block

    async def has(self, cid: Cid) -> bool:
        await trio.lowlevel.checkpoint()
        return cid in self.blocks

    @asynccontextmanager
    async def session(self, root: Cid) -> AsyncIterator[HeldBlocks]:
        await trio.lowlevel.checkpoint()
        yield self

    async def add(self, path: Path, pin: str = "") -> Cid:
        await trio.lowlevel.checkpoint()
        return self.imported(path)

    async def unpin(self, pin: str) -> None:
        await trio.lowlevel.checkpoint()

    def _named(self, block: bytes, codec: int) -> Cid:
        cid = Cid.of(block, codec)
        self.blocks[cid] = block
        return cid
