"""Data by CID: the unsealed copy where there is one, else IPFS.

The choice is made once for each execution, when its input is prepared. A copy that is here and unusable (unreadable, a
pipe) counts as none, and the operator's log says so; one that was checked and does not give its CID does not: whoever
asked for the check is told. A name that is no CID, as ``apples``, can have an unsealed copy and is never asked of IPFS.
Does not live here: the two drivers.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from node.errors import StorageError, Unconfirmed
from node.model import CidInput, PeerId
from node.storage.base import Entry, Prepared, Storage
from node.storage.ipfs.paths import path_in

log = logging.getLogger("quorate.storage")


class Combo:
    """Storage over two others. Where neither has the data, the reason names what both say."""

    name = "combo"

    def __init__(self, unsealed: Storage[CidInput] | None, ipfs: Storage[CidInput]) -> None:
        self._unsealed = unsealed
        self._ipfs = ipfs

    async def has(self, ref: CidInput) -> bool:
        """See Storage."""
        why = await self._why_not_unsealed(ref)
        if why is None:
            return True
        with _in_view_of(why, ref):
            return await self._ipfs.has(ref)

    async def size(self, ref: CidInput) -> int:
        """See Storage."""
        async with self._chosen(ref) as storage:
            return await storage.size(ref)

    async def to_fetch(self, ref: CidInput) -> int:
        """See Storage."""
        async with self._chosen(ref) as storage:
            return await storage.to_fetch(ref)

    async def list(self, ref: CidInput) -> tuple[Entry, ...]:
        """See Storage."""
        async with self._chosen(ref) as storage:
            return await storage.list(ref)

    @asynccontextmanager
    async def prepared(self, ref: CidInput, origin: PeerId) -> AsyncIterator[Prepared]:
        """See Storage."""
        async with AsyncExitStack() as held:
            async with self._chosen(ref) as storage:
                found = await held.enter_async_context(storage.prepared(ref, origin))
            yield found

    @asynccontextmanager
    async def _chosen(self, ref: CidInput) -> AsyncIterator[Storage[CidInput]]:
        why = await self._why_not_unsealed(ref)
        if why is None:
            assert self._unsealed is not None
            yield self._unsealed
        else:
            with _in_view_of(why, ref):
                yield self._ipfs

    async def _why_not_unsealed(self, ref: CidInput) -> str | None:
        """None: it is. Raises Unconfirmed."""
        if self._unsealed is None:
            return ""
        try:
            if await self._unsealed.has(ref):
                return None
        except Unconfirmed:
            raise
        except StorageError as error:
            log.warning("unsealed_copy_unusable", extra={"cid": ref.cid, "reason": str(error)})
            return str(error)
        return f"no unsealed copy of {ref.cid} is here"


@contextmanager
def _in_view_of(why: str, ref: CidInput) -> Iterator[None]:
    """What IPFS says comes after what was said of the unsealed copy. Raises StorageError, also for what is no CID."""
    try:
        path_in(ref)
        yield
    except StorageError as error:
        raise StorageError(f"{why}, and IPFS: {error}" if why else str(error)) from error
