"""Data by CID: the unsealed copy where there is one, else IPFS.

The choice is made once for each execution, when its input is prepared. A copy that is here and unusable (unreadable, a
pipe) counts as none, and the operator's log says so; one that was checked and does not give its CID does not: whoever
asked for the check is told. A name that is no CID, as ``apples``, can have an unsealed copy and is never asked of IPFS.
Does not live here: the two drivers.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TypeVar

from node.errors import Absent, StorageError, Unconfirmed
from node.model import CidInput, PeerId
from node.storage.base import Entry, Prepared, Storage
from node.storage.ipfs.paths import path_in

log = logging.getLogger("quorate.storage")

_T = TypeVar("_T")


class Combo:
    """Storage over two others. Where neither has the data, the reason names what both say."""

    name = "combo"

    def __init__(self, unsealed: Storage[CidInput] | None, ipfs: Storage[CidInput]) -> None:
        self._unsealed = unsealed
        self._ipfs = ipfs

    async def size(self, ref: CidInput) -> int:
        """See Storage."""
        async with self._chosen(ref) as storage:
            return await storage.size(ref)

    async def to_fetch(self, ref: CidInput) -> int:
        """See Storage."""
        size, why = await self._of_copy(ref, lambda copies: copies.to_fetch(ref))
        if size is None:
            with _in_view_of(why, ref):
                size = await self._ipfs.to_fetch(ref)
        return size

    async def list(self, ref: CidInput) -> tuple[Entry, ...]:
        """See Storage."""
        async with self._chosen(ref) as storage:
            return await storage.list(ref)

    @asynccontextmanager
    async def prepared(self, ref: CidInput, origin: PeerId) -> AsyncIterator[Prepared]:
        """See Storage."""
        async with AsyncExitStack() as held:
            found, why = await self._of_copy(ref, lambda copies: held.enter_async_context(copies.prepared(ref, origin)))
            if found is None:
                with _in_view_of(why, ref):
                    found = await held.enter_async_context(self._ipfs.prepared(ref, origin))
            yield found

    @asynccontextmanager
    async def _chosen(self, ref: CidInput) -> AsyncIterator[Storage[CidInput]]:
        """As an execution would choose."""
        copies, why = await self._of_copy(ref, partial(_looked_at, ref))
        if copies is not None:
            yield copies
        else:
            with _in_view_of(why, ref):
                yield self._ipfs

    async def _of_copy(self, ref: CidInput, ask: Callable[[Storage[CidInput]], Awaitable[_T]]) -> tuple[_T | None, str]:
        """What unsealed copies answer; or None, and why none counts. Raises Unconfirmed."""
        if self._unsealed is None:
            return None, ""
        try:
            return await ask(self._unsealed), ""
        except Unconfirmed:
            raise
        except Absent as error:
            return None, str(error)
        except StorageError as error:
            log.warning("unsealed_copy_unusable", extra={"cid": ref.cid, "reason": str(error)})
            return None, str(error)


async def _looked_at(ref: CidInput, storage: Storage[CidInput]) -> Storage[CidInput]:
    """It, if it has the data."""
    await storage.to_fetch(ref)
    return storage


@contextmanager
def _in_view_of(why: str, ref: CidInput) -> Iterator[None]:
    """What IPFS says comes after what was said of the unsealed copy. Raises StorageError, also for what is no CID."""
    try:
        path_in(ref)
        yield
    except StorageError as error:
        raise type(error)(f"{why}, and IPFS: {error}" if why else str(error)) from error
