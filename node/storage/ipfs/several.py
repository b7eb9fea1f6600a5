"""Several sources of blocks as one: asked in their order, each stands in for those before it, block by block.

Does not live here: the sources.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from node.errors import StorageError
from node.storage.ipfs.base import Blocks, BlockSession
from node.storage.ipfs.cid import Cid


class Several:
    """See Blocks. At least one; what is added is kept by the first."""

    name = "several"

    def __init__(self, sources: Sequence[Blocks]) -> None:
        assert sources
        self._sources = tuple(sources)

    async def has(self, cid: Cid) -> bool:
        """See Blocks. Raises StorageError, too, when one does not have it and another cannot be asked."""
        reasons = []
        for source in self._sources:
            try:
                if await source.has(cid):
                    return True
            except StorageError as error:
                reasons.append(str(error))
        if reasons:
            raise StorageError("; ".join(reasons))
        return False

    @asynccontextmanager
    async def session(self, root: Cid) -> AsyncIterator[BlockSession]:
        """See Blocks."""
        async with AsyncExitStack() as stack:
            yield _Session(self._sources, root, stack)

    async def add(self, path: Path, pin: str = "") -> Cid:
        """See Blocks."""
        return await self._sources[0].add(path, pin)

    async def unpin(self, pin: str) -> None:
        """See Blocks."""
        await self._sources[0].unpin(pin)


class _Session:
    """Begins with the first source, and stays with the last one that gave a block."""

    def __init__(self, sources: Sequence[Blocks], root: Cid, stack: AsyncExitStack) -> None:
        self._sources = sources
        self._root = root
        self._stack = stack
        self._sessions: dict[int, BlockSession] = {}
        self._at = 0

    def want(self, cids: Sequence[Cid]) -> None:
        if self._at in self._sessions:
            self._sessions[self._at].want(cids)

    def at_hand(self, cid: Cid, bytes_max: int) -> bytes | None:
        session = self._sessions.get(self._at)
        return None if session is None else session.at_hand(cid, bytes_max)

    async def get(self, cid: Cid) -> bytes:
        reasons = []
        for _ in self._sources:
            try:
                return await (await self._session()).get(cid)
            except StorageError as error:
                reasons.append(str(error))
            self._at = (self._at + 1) % len(self._sources)
        raise StorageError("; ".join(reasons))

    async def _session(self) -> BlockSession:
        session = self._sessions.get(self._at)
        if session is None:
            session = await self._stack.enter_async_context(self._sources[self._at].session(self._root))
            self._sessions[self._at] = session
        return session
