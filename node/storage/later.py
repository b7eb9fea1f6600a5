"""A driver that is made when it is first asked: what most nodes never use costs them neither memory nor time.

Does not live here: which drivers are made so, and what can be wrong with their configuration, which is looked at before
(``node.inputs``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from node.ambient import Offload
from node.model import PeerId
from node.storage.base import Entry, Prepared, Resolves, Storage


class Later:
    """Storage as ``make`` makes it, once. ``make`` may take its time, as importing does; what it raises is raised."""

    def __init__(self, name: str, make: Callable[[], Storage[Any]], offload: Offload) -> None:
        self.name = name
        self._make = make
        self._offload = offload
        self._storage: Storage[Any] | None = None
        self._making = trio.Lock()

    async def resolved(self, ref: Any) -> Any:
        """See Resolves; the same where the driver does not."""
        storage = await self._made()
        return await storage.resolved(ref) if isinstance(storage, Resolves) else ref

    async def size(self, ref: Any) -> int:
        """See Storage."""
        return await (await self._made()).size(ref)

    async def to_fetch(self, ref: Any) -> int:
        """See Storage."""
        return await (await self._made()).to_fetch(ref)

    async def list(self, ref: Any) -> tuple[Entry, ...]:
        """See Storage."""
        return await (await self._made()).list(ref)

    @asynccontextmanager
    async def prepared(self, ref: Any, origin: PeerId) -> AsyncIterator[Prepared]:
        """See Storage."""
        storage = await self._made()
        async with storage.prepared(ref, origin) as found:
            yield found

    async def _made(self) -> Storage[Any]:
        async with self._making:
            if self._storage is None:
                self._storage = await self._offload(self._make)
            return self._storage
