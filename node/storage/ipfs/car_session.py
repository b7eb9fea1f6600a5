"""A DAG as a CAR stream, and block by block where that does not do: what Kubo's RPC and HTTP gateways have in common.

A stream is the quickest way to read everything in the order of a walk. It has each block once, may break off, may end
early without saying so, and is of no use to a reader who skips: then blocks are asked for one by one. Every block is
checked, whichever way it came. Does not live here: how a stream or a block is asked for (``kubo``, ``gateway``).
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from enum import Enum

import trio

from node.ambient import Offload
from node.errors import ResourceError, StorageError
from node.limits import BLOCK_BYTES_MAX, BLOCK_FETCH_S, MiB
from node.storage.ipfs.car import CarReader
from node.storage.ipfs.cid import Cid

log = logging.getLogger("quorate.storage")

_KEPT_BYTES = 8 * MiB  # Blocks that came and may be asked for: a stream that is further ahead is out of step.
_OBJECTS_BYTES = 512  # A block and its CID as objects, besides its bytes.
_PASSED_MAX = 65_536  # Blocks that may come twice without an end of the stream; some 10 MiB.
_AT_ONCE = 4  # Blocks that are asked for one by one.

Block = tuple[Cid, bytes]

Receive = Callable[[], Awaitable[list[Block] | None]]
"""The next blocks of a CAR, checked; None at its end. Raises StorageError, DriverUnavailable, ValueError (no CAR)."""

OpenCar = Callable[[Cid], AbstractAsyncContextManager[Receive]]
"""The CAR of all that is under a root."""

FetchBlock = Callable[[Cid], Awaitable[bytes]]
"""One block, unchecked. Raises StorageError, DriverUnavailable."""


class _Way(Enum):
    FIRST = 0  # nobody has yet asked for more than one block at a time
    STREAM = 1
    BLOCKS = 2  # for good: a second stream would send again what the first one has


def blocks_in(car: CarReader) -> Callable[[bytes], list[Block]]:
    """For the next bytes: the blocks that they complete. Blocking work.

    Without those that their CIDs hold: nobody asks for them, and there may be one in every five bytes.
    """
    return lambda piece: [found for found in car.feed(piece) if found[0].inlined is None]


@asynccontextmanager
async def car_session(root: Cid, open_car: OpenCar, fetch: FetchBlock, offload: Offload) -> AsyncIterator[CarSession]:
    """A BlockSession over both ways."""
    async with AsyncExitStack() as stack:
        yield CarSession(root, open_car, fetch, offload, stack)


class CarSession:
    """See BlockSession. Made by ``car_session``."""

    def __init__(
        self, root: Cid, open_car: OpenCar, fetch: FetchBlock, offload: Offload, stack: AsyncExitStack
    ) -> None:
        self._root = root
        self._open_car = open_car
        self._fetch = fetch
        self._offload = offload
        self._stack = stack
        self._way = _Way.FIRST
        self._receive: Receive | None = None
        self._kept: OrderedDict[Cid, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._passed: set[Cid] = set()  # what the stream will not bring again
        self._wanted: deque[Cid] = deque()

    def want(self, cids: Sequence[Cid]) -> None:
        """See BlockSession. Who wants several blocks reads on, most likely to the end."""
        if self._way is _Way.FIRST and len(cids) > 1:
            self._way = _Way.STREAM
        self._wanted.extend(cids)

    def at_hand(self, cid: Cid, bytes_max: int) -> bytes | None:
        """See BlockSession. Not when it would have to be asked for again."""
        block = self._kept.get(cid)
        return None if block is None or len(block) > bytes_max else block

    async def get(self, cid: Cid) -> bytes:
        """See BlockSession."""
        while self._wanted and self._wanted[0] == cid:
            self._wanted.popleft()
        if cid not in self._kept and self._way is _Way.STREAM and cid not in self._passed:
            await self._read_until(cid)
        block = self._kept.get(cid)
        if block is None:
            block = await self._fetched(cid)
        else:
            await trio.lowlevel.checkpoint()
        return block

    async def _read_until(self, cid: Cid) -> None:
        """Until the stream has brought the block, or has shown that it is of no more use."""
        reason = "it does not have the block that is due"
        try:
            with trio.move_on_after(BLOCK_FETCH_S):
                await self._read_towards(cid)
        except (ResourceError, ValueError) as error:
            reason = str(error)
        if cid not in self._kept:
            log.info("car_stream_given_up", extra={"cid": str(self._root), "reason": reason})
            self._way = _Way.BLOCKS
            await self._stack.aclose()

    async def _read_towards(self, cid: Cid) -> None:
        passed = 0
        while cid not in self._kept and passed <= _KEPT_BYTES and (blocks := await self._next_blocks()) is not None:
            for found, block in blocks:
                passed += _cost(block)
                self._keep(found, block)
                if len(self._passed) < _PASSED_MAX:
                    self._passed.add(found)

    async def _next_blocks(self) -> list[Block] | None:
        if self._receive is None:
            self._receive = await self._stack.enter_async_context(self._open_car(self._root))
        return await self._receive()

    async def _fetched(self, cid: Cid) -> bytes:
        """The block, and at the same time some of those that are due after it."""
        outcome: list[bytes | ResourceError] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._fetch_into, cid, outcome)
            for later in self._next_wanted():
                nursery.start_soon(self._fetch_into, later, [])
        if isinstance(outcome[0], ResourceError):
            raise StorageError(str(outcome[0])) from outcome[0]
        return outcome[0]

    def _next_wanted(self) -> list[Cid]:
        if self._way is not _Way.BLOCKS:
            return []
        later = [self._wanted.popleft() for _ in range(min(len(self._wanted), _AT_ONCE - 1))]
        return [cid for cid in dict.fromkeys(later) if cid not in self._kept]

    async def _fetch_into(self, cid: Cid, outcome: list[bytes | ResourceError]) -> None:
        try:
            block = await self._fetch(cid)
            if len(block) > BLOCK_BYTES_MAX or not await self._offload(cid.matches, block):
                raise StorageError(f"what was sent for the block {cid} is something else")
        except ResourceError as error:
            outcome.append(error)
        else:
            self._keep(cid, block)
            outcome.append(block)

    def _keep(self, cid: Cid, block: bytes) -> None:
        replaced = self._kept.pop(cid, None)
        self._kept_bytes += _cost(block) - (_cost(replaced) if replaced is not None else 0)
        self._kept[cid] = block
        while self._kept_bytes > _KEPT_BYTES:
            self._kept_bytes -= _cost(self._kept.popitem(last=False)[1])


def _cost(block: bytes) -> int:
    """Of memory: a hostile stream may have millions of blocks of one byte."""
    return len(block) + _OBJECTS_BYTES
