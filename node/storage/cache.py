"""Inputs that were fetched, shared between executions: kept under a limit, the one used longest ago goes first.

One owner, the event loop's thread, and no locks: between two awaits the books are right. Space is reserved before a
fetch; what an execution uses is never evicted; those who want what is being fetched wait for it, share its failure,
and when the one who fetches is cancelled the next of them begins anew.
Does not live here: how an entry lies on disk (``node.storage.kept_inputs``), how an input is fetched (the drivers; they
also stop at the size that they announced: here it is checked at the end only).
"""

from __future__ import annotations

import errno
import hashlib
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import trio

from node.ambient import Offload
from node.errors import NoRoom, OperatorError, StorageError
from node.room import need_room
from node.storage.kept_inputs import Entry, KeptInputs

log = logging.getLogger("quorate.storage")

Fetch = Callable[[Path], Awaitable[None]]

_T = TypeVar("_T")
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(eq=False, slots=True)
class _UnderWay:
    """One fetch, for those who wait for it."""

    over: trio.Event = field(default_factory=trio.Event)
    error: StorageError | NoRoom | None = None


class InputCache:
    """The inputs under ``folder``, at most ``bytes_max`` in all. Making it raises OperatorError; blocking."""

    def __init__(self, folder: Path, bytes_max: int, offload: Offload) -> None:
        self._kept = KeptInputs(folder)
        self._bytes_max = bytes_max
        self._offload = offload
        self._whole: OrderedDict[str, Entry] = OrderedDict()  # by name; the one used longest ago is first
        self._users: Counter[str] = Counter()  # who uses or waits for it, by name
        self._under_way: dict[str, _UnderWay] = {}
        self._reserved = 0  # bytes
        self._taken = 0  # bytes of all whole entries
        for entry in self._kept.entries:
            self._adopt(entry)
        try:
            for entry in self._over_the_limit():
                self._kept.dropped(entry)
        except OSError as error:
            raise OperatorError(f"{error.filename or folder} cannot be used: {error.strerror}") from error

    def has(self, key: str) -> bool:
        """Whether ``held`` would fetch nothing."""
        return _name(key) in self._whole

    async def to_fetch(self, key: str, size: int) -> int:
        """Bytes that ``held`` would add to this disk now; none where somebody is fetching it. Raises NoRoom as
        ``need_room`` does.
        """
        if self.has(key) or _name(key) in self._under_way:
            return 0
        await self.need_room(size)
        return size

    async def need_room(self, size: int) -> None:
        """Raise NoRoom unless an input of ``size`` bytes would be taken now. Nothing is reserved, nothing evicted."""
        self._need_share(size)
        evictable = self._taken - self._in_use()
        await self._offload(need_room, self._kept.folder, size + self._reserved - evictable)

    @asynccontextmanager
    async def held(self, key: str, size: int, fetch: Fetch) -> AsyncIterator[Path]:
        """The input as a path, valid and unchanged inside the context; read-only for whoever gets it.

        ``key`` says all that its bytes depend on. ``fetch`` writes a file or folder of at most ``size`` bytes at
        exactly the path that it is given (whose parent is there), and raises StorageError; it may be called again
        after it was cancelled. Raises StorageError, NoRoom.
        """
        name = _name(key)
        self._users[name] += 1
        try:
            yield (await self._found(name, size, fetch)).path
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]

    async def _found(self, name: str, size: int, fetch: Fetch) -> Entry:
        while True:
            entry = self._whole.get(name)
            if entry is None:
                await self._follow_or_lead(name, size, fetch)
                continue
            self._whole.move_to_end(name)
            if await self._offload(self._kept.used, entry):
                return entry
            self._forget(entry)

    async def _follow_or_lead(self, name: str, size: int, fetch: Fetch) -> None:
        under_way = self._under_way.get(name)
        if under_way is None:
            return await self._lead(name, size, fetch)
        await under_way.over.wait()
        if under_way.error is not None:
            raise type(under_way.error)(str(under_way.error)) from under_way.error
        return None

    async def _lead(self, name: str, size: int, fetch: Fetch) -> None:
        under_way = self._under_way[name] = _UnderWay()
        try:
            await self._reserve_and_fetch(name, size, fetch)
        except (StorageError, NoRoom) as error:
            under_way.error = error
            raise
        finally:
            del self._under_way[name]
            under_way.over.set()

    async def _reserve_and_fetch(self, name: str, size: int, fetch: Fetch) -> None:
        self._need_share(size)
        self._reserved += size
        try:
            await self._evict(self._over_the_limit())
            await self._need_disk()
            entry = await self._fetched(name, size, fetch)
        except OSError as error:
            kind = NoRoom if error.errno in _FULL else StorageError
            raise kind(f"the input cannot be kept on this node: {error.strerror}") from error
        finally:
            self._reserved -= size
        self._adopt(entry)
        await self._evict(self._over_the_limit())  # An entry takes a little more than its bytes.

    async def _fetched(self, name: str, size: int, fetch: Fetch) -> Entry:
        path = await self._offload(self._kept.begun)
        try:
            await fetch(path)
            return await self._offload(self._kept.finished, name, path, size)
        finally:
            with trio.CancelScope(shield=True):  # Removing is bounded by the size that was reserved.
                await self._cleared(self._kept.abandoned, path)

    def _adopt(self, entry: Entry) -> None:
        replaced = self._whole.pop(entry.name, None)
        self._whole[entry.name] = entry
        self._taken += entry.disk_bytes - (replaced.disk_bytes if replaced else 0)

    def _forget(self, entry: Entry) -> None:
        if self._whole.get(entry.name) is entry:
            del self._whole[entry.name]
            self._taken -= entry.disk_bytes

    def _in_use(self) -> int:
        return sum(self._whole[name].disk_bytes for name in self._users if name in self._whole)

    def _need_share(self, size: int) -> None:
        needed = self._reserved + self._in_use()
        if size + needed > self._bytes_max:
            raise NoRoom(
                f"the inputs of this node may take {self._bytes_max} bytes in all (--input-cache): {needed} of them are"
                f" in use, and it needs {size} more"
            )

    async def _need_disk(self) -> None:
        """Evict until the disk has what is reserved and its own reserve. Raises NoRoom when that is not enough."""
        while True:
            try:
                return await self._offload(need_room, self._kept.folder, self._reserved)
            except NoRoom:
                oldest = self._oldest()
                if oldest is None:
                    raise
                await self._evict([oldest])

    def _over_the_limit(self) -> list[Entry]:
        """What has to go, already out of the books."""
        evicted = []
        while self._taken + self._reserved > self._bytes_max:
            oldest = self._oldest()
            if oldest is None:
                break
            evicted.append(oldest)
        return evicted

    def _oldest(self) -> Entry | None:
        """The entry used longest ago that nobody uses, taken out of the books."""
        entry = next((entry for name, entry in self._whole.items() if name not in self._users), None)
        if entry is not None:
            self._forget(entry)
        return entry

    async def _evict(self, entries: list[Entry]) -> None:
        with trio.CancelScope(shield=True):  # They are out of the books, so they must leave the disk.
            for entry in entries:
                await self._cleared(self._kept.dropped, entry)

    async def _cleared(self, remove: Callable[[_T], None], what: _T) -> None:
        try:
            await self._offload(remove, what)
        except OSError as error:  # The sweep at the next start tries again.
            log.warning("not_removed", extra={"what": str(what), "reason": error.strerror})


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
