"""Which driver serves which kind of input: one object that has all of them.

Does not live here: the drivers, and the choice between unsealed copies and IPFS (``node.storage.combo``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from node.errors import StorageError
from node.model import Input, LocalInput, ObjectInput, PeerId
from node.storage.base import Entry, Prepared, Resolves, Storage

Room = Callable[[int], Awaitable[None]]
Drivers = Mapping[type[Input], Storage[Any]]

_OPENED_BY: Mapping[type[Input], str] = {LocalInput: "--local-input FOLDER", ObjectInput: "--object-store URL"}


class Sources:
    """Storage for every kind of input that this node serves; what it does not serve raises StorageError."""

    name = "sources"

    def __init__(self, drivers: Drivers, names: tuple[str, ...] = (), room: Room | None = None) -> None:
        """``room`` raises NoRoom unless inputs of so many bytes could be fetched and kept now."""
        self._drivers = dict(drivers)
        self._names = names
        self._room = room

    @property
    def names(self) -> tuple[str, ...]:
        """What people are told that there is: by default the names of all drivers."""
        return self._names or tuple(driver.name for driver in self._drivers.values())

    def changes(self, ref: Input) -> bool:
        """Whether ``resolved`` may ask somebody else."""
        return isinstance(self._drivers.get(type(ref)), Resolves)

    async def resolved(self, ref: Input) -> Input:
        """The input as nodes are to hear of it: with what was seen of it, where it can change. Raises StorageError."""
        driver = self._drivers.get(type(ref))
        if not isinstance(driver, Resolves):
            return ref
        found: Input = await driver.resolved(ref)
        return found

    async def need_room(self, size: int) -> None:
        """Raise NoRoom unless inputs of ``size`` bytes in all would be taken now. Nothing is reserved."""
        if self._room is not None and size:
            await self._room(size)

    async def size(self, ref: Input) -> int:
        """See Storage."""
        return await self._driver(ref).size(ref)

    async def to_fetch(self, ref: Input) -> int:
        """See Storage."""
        return await self._driver(ref).to_fetch(ref)

    async def list(self, ref: Input) -> tuple[Entry, ...]:
        """See Storage."""
        return await self._driver(ref).list(ref)

    def prepared(self, ref: Input, origin: PeerId) -> AbstractAsyncContextManager[Prepared]:
        """See Storage."""
        return self._driver(ref).prepared(ref, origin)

    def _driver(self, ref: Input) -> Storage[Any]:
        driver = self._drivers.get(type(ref))
        if driver is None:
            opened = f"; its operator opens that with {_OPENED_BY[type(ref)]}" if type(ref) in _OPENED_BY else ""
            raise StorageError(f"this node serves no inputs of type {ref.__struct_config__.tag}{opened}")
        return driver
