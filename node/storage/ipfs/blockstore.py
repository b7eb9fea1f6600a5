"""The node's own blocks under a limit: the one used longest ago goes first, a pinned one never.

One owner of the count, the event loop; the work is done by ``blockfiles`` behind Offload.
Does not live here: the files and what survives a kill (``blockfiles``), who is served from them (``bitswap``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import trio

from node import limits
from node.ambient import Ambient
from node.errors import NoRoom, StorageError
from node.storage.ipfs.blockfiles import BlockFiles, Rotten, disk_bytes

log = logging.getLogger("quorate.blockstore")

_SLACK = 64  # An eviction frees one part in so many of the limit at a time, if that is a large block at least.

_T = TypeVar("_T")


class Blockstore:
    """Blocks by their sha2-256 multihash, in one folder. Making it raises OperatorError.

    How much is there is known once ``run`` has counted; until then only what is added counts against the limit.
    """

    def __init__(self, folder: Path, bytes_max: int, ambient: Ambient) -> None:
        self._files = BlockFiles(folder)
        self._bytes_max = bytes_max
        self._slack = bytes_max // _SLACK if bytes_max // _SLACK >= limits.BLOCK_BYTES_MAX else 0
        self._ambient = ambient
        self._taken = 0
        self._writing: set[bytes] = set()
        self._pinning = trio.Lock()  # ``BlockFiles`` takes pins one at a time; holding it is what a pin is

    @property
    def taken(self) -> int:
        """Bytes of the disk that are taken, as far as it is known."""
        return self._taken

    async def run(self) -> None:
        """Count what is there; ends when that is done. What cannot be counted is not, until the next start."""
        try:
            found = await self._ambient.offload(self._files.taken)
        except OSError as error:
            log.warning("blocks_not_counted", extra={"reason": error.strerror})
        else:
            self._taken += found  # not as it was before the count

    async def has(self, multihash: bytes) -> bool:
        """Whether the block is here."""
        return await self._ambient.offload(self._files.has, multihash)

    async def absent(self, multihashes: Sequence[bytes]) -> list[bytes]:
        """Those that are not here, in their order."""
        return await self._ambient.offload(self._files.absent, multihashes)

    async def get(self, multihash: bytes) -> bytes | None:
        """The block, checked; None when it is not here. Raises StorageError when the disk does not give it."""
        return self._sound(await self._ambient.offload(self._files.read, multihash, self._ambient.now()))

    async def get_some(self, multihashes: Sequence[bytes | None], enough: int) -> list[bytes | None]:
        """The first of these blocks, as ``get`` gives them, until they have ``enough`` bytes."""
        found = await self._ambient.offload(_read_some, self._files, multihashes, enough, self._ambient.now())
        return [self._sound(block) for block in found]

    async def put(self, blocks: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep blocks, each with the multihash that was found to be its own, until there is need of room.

        Raises NoRoom: everything is pinned, or the disk is at its reserve.
        """
        fresh = [(multihash, block) for multihash, block in blocks if multihash not in self._writing]
        names = {multihash for multihash, _ in fresh}
        self._writing |= names
        try:
            cost = sum(disk_bytes(len(block)) for _, block in fresh)
            await self._counted(cost, lambda: self._files.write(fresh, self._ambient.now()))
        finally:
            self._writing -= names

    async def write(self, cost: int, call: Callable[[BlockFiles], tuple[_T, int]]) -> _T:
        """What ``call`` gives, which writes blocks in a worker thread and says what they took. Raises NoRoom.

        ``cost``: what they take at most, by ``disk_bytes``.
        """
        given: list[_T] = []
        await self._counted(cost, lambda: _measured(self._files, call, given))
        return given[0]

    async def pin(self, pin: bytes, multihashes: Iterable[bytes]) -> None:
        """Never evict these until ``unpin(pin)``; they take the place of what the pin had.

        Raises NoRoom: one of them is not here.
        """
        async with self._pinning:
            await self._ambient.offload(self._files.pin, pin, multihashes, self._ambient.now())

    async def unpin(self, pin: bytes) -> None:
        """The blocks of this pin may be evicted, those apart that another pin has. Raises StorageError."""
        async with self._pinning:
            await self._ambient.offload(self._files.unpin, pin)

    async def let_go(self, older_s: float) -> None:
        """Unpin what was pinned longer ago than that. What cannot be is tried again when this is called again."""
        count = 0
        try:
            while gone := await self._let_some_go(self._ambient.now() - older_s):
                count += gone
        except StorageError as error:
            log.warning("pins_not_let_go", extra={"reason": str(error)})
        if count:
            log.info("pins_let_go", extra={"pins": count})

    async def _let_some_go(self, before: float) -> int:
        async with self._pinning:
            return await self._ambient.offload(self._files.unpin_some, before)

    async def _counted(self, cost: int, call: Callable[[], int]) -> None:
        """Make room for ``cost``, and count what was really taken of it."""
        over = self._taken + cost - self._bytes_max
        if over > 0:
            freed = await self._ambient.offload(self._files.evict, over + self._slack)
            self._taken -= freed
        if self._taken + cost > self._bytes_max:
            raise NoRoom(
                f"the node's blocks take {self._taken} bytes that are pinned, of {self._bytes_max};"
                f" there is no room for {cost} more"
            )
        self._taken += cost
        took = 0
        try:
            took = await self._ambient.offload(call)
        finally:
            self._taken += took - cost

    def _sound(self, found: bytes | Rotten | None) -> bytes | None:
        if isinstance(found, Rotten):
            self._taken -= found.size
            log.warning("block_rotted", extra={"bytes": found.size})
            return None
        return found


def _read_some(
    files: BlockFiles, multihashes: Sequence[bytes | None], enough: int, now: float
) -> list[bytes | Rotten | None]:
    found: list[bytes | Rotten | None] = []
    for multihash in multihashes:
        block = None if multihash is None else files.read(multihash, now)
        found.append(block)
        enough -= len(block) if isinstance(block, bytes) else 0
        if enough <= 0:
            break
    return found


def _measured(files: BlockFiles, call: Callable[[BlockFiles], tuple[_T, int]], given: list[_T]) -> int:
    value, took = call(files)
    given.append(value)
    return took
