"""Results in S3 or Azure, below places that the operator lists for publishing, with the node's own credentials.

A tree of objects is not put in one step: so it goes where nothing else does, and the requester lists and reads it
before anybody hears of it. Does not live here: object stores themselves (``node.storage.object_store``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from node.errors import BadResult, StorageError
from node.model import ObjectInput, ObjectPublisher, PeerId
from node.storage.object_store import ObjectInputs, ObjectStore


class ObjectPublishing:
    """Publishing to ``store``, reading back through ``inputs`` (over the same store)."""

    name = "object_store"

    def __init__(self, store: ObjectStore, inputs: ObjectInputs, local_id: PeerId) -> None:
        self._store = store
        self._inputs = inputs
        self._local_id = local_id

    def refusal(self, where: ObjectPublisher) -> str | None:
        """See Publishing."""
        try:
            self._store.allowed(where.url)
        except StorageError as error:
            return str(error)
        return None

    async def publish(self, where: ObjectPublisher, below: str, results: Path) -> str:
        """See Publishing."""
        location = _location(where, below)
        await self._store.put_tree(results, location)
        return location

    async def retract(self, where: ObjectPublisher, below: str) -> None:
        """See Publishing."""
        await self._store.delete_tree(_location(where, below))

    @asynccontextmanager
    async def published(self, where: ObjectPublisher, below: str, location: str, bytes_max: int) -> AsyncIterator[Path]:
        """See Publishing."""
        if location != _location(where, below):
            raise BadResult(f"it says that it published to {location[:200]!r}, and not to {_location(where, below)}")
        ref = ObjectInput(url=location, path="/results")
        found = await self._inputs.size(ref)
        if found != bytes_max:
            raise BadResult(f"{location} has {found} bytes where results of {bytes_max} won")
        async with self._inputs.prepared(ref, self._local_id) as here:
            yield here.path


def _location(where: ObjectPublisher, below: str) -> str:
    return f"{where.url.rstrip('/')}/{below}"
