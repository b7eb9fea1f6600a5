"""One reader of one DAG: what it wants is fetched ahead of it, within its share of the memory.

Lives here: the window, waiting, deadlines. Does not live here: whom to ask (``asking``), streams (``exchange``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import trio

from node import limits
from node.errors import StorageError
from node.storage.ipfs.bitswap.asking import Asking
from node.storage.ipfs.blockstore import Blockstore
from node.storage.ipfs.cid import RAW, Cid

WANTS_MIN, WANTS_MAX = 4, 256  # under way, whatever the size of blocks
_LOOK_S = 0.25  # A reader looks this often whether there is still hope.
_USUAL_BYTES = 256 * limits.KiB
_WEIGHT = 0.1
_EMPTY = Cid.of(b"", RAW).multihash


@dataclass(eq=False, slots=True)
class _Waiter:
    event: trio.Event = field(default_factory=trio.Event)
    block: bytes | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What readers have in common. ``share_bytes``: of the memory, for each; ``said``: there may be wants to send.

    ``expects``: whether nobody is there, but somebody may be in a moment.
    """

    asking: Asking
    store: Blockstore
    share_bytes: Callable[[], int]
    said: Callable[[], None]
    expects: Callable[[], bool]
    missing_s: float  # see ``limits.BITSWAP_MISSING_S``


class Session:
    """Implements ``BlockSession``. Blocks that come before they are read are held; too many of them go to the disk."""

    def __init__(self, around: Surroundings, circle: int, root: Cid) -> None:
        self._around = around
        self._circle = circle
        self._root = root
        self._hints: dict[bytes, Cid] = {}  # by multihash, as everything here
        self._open: set[bytes] = set()
        self._held: dict[bytes, bytes] = {}
        self._held_bytes = 0
        self._waiting: dict[bytes, _Waiter] = {}
        self._usual_bytes = float(_USUAL_BYTES)
        self._progress_at = trio.current_time()
        self._has_come = False  # a block, from somebody
        self._work = trio.Event()

    def want(self, cids: Sequence[Cid]) -> None:
        """See BlockSession."""
        for cid in cids:
            has = cid.multihash in self._open or cid.multihash in self._held or known_block(cid) is not None
            if not has and len(self._hints) < limits.BITSWAP_HINTS_MAX:
                self._hints[cid.multihash] = cid
        self._work.set()

    def at_hand(self, cid: Cid, bytes_max: int) -> bytes | None:
        """See BlockSession."""
        block = self._held.get(cid.multihash)
        return None if block is None or len(block) > bytes_max else self._taken(cid.multihash)

    async def get(self, cid: Cid) -> bytes:
        """See BlockSession."""
        known = known_block(cid)
        if known is not None:
            return known
        self._hints.pop(cid.multihash, None)
        block = self._taken(cid.multihash)
        if block is None and cid.multihash not in self._open:
            block = await self._around.store.get(cid.multihash)
        if block is None:  # It may have come while we looked.
            block = self._taken(cid.multihash)
        if block is None:
            return await self._awaited(cid)
        await trio.lowlevel.checkpoint()
        return block

    def arrived(self, multihash: bytes, block: bytes) -> None:
        """A block that this reader wants, found to be what it wants."""
        self._open.discard(multihash)
        self._progress_at, self._has_come = trio.current_time(), True
        self._usual_bytes += (len(block) - self._usual_bytes) * _WEIGHT
        waiter = self._waiting.pop(multihash, None)
        if waiter is not None:
            waiter.block = block
            waiter.event.set()
        elif multihash not in self._held:
            self._hold(multihash, block)
        self._work.set()

    async def feed(self) -> None:
        """Ask for what the reader said it will want, as far as the window goes; until cancelled."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while batch := self._next_hints():
                absent = set(await self._around.store.absent(list(batch)))
                await trio.lowlevel.checkpoint_if_cancelled()  # Looking is not cut short, and the reader may have gone.
                for multihash in absent:
                    self._want_now(batch[multihash])
                self._around.said()

    def _next_hints(self) -> dict[bytes, Cid]:
        """What to look up now: nothing while a quarter of the window is not yet free, so that few messages do."""
        fits = max(WANTS_MIN, self._around.share_bytes() / self._usual_bytes)  # What is held takes of this alone:
        room = int(min(WANTS_MAX, fits - self._held_bytes / self._usual_bytes)) - len(self._open)  # it may be larger.
        if room < int(min(WANTS_MAX, fits)) // 4:
            return {}
        batch = dict(islice(self._hints.items(), room))
        for multihash in batch:
            del self._hints[multihash]
        return batch

    def _want_now(self, cid: Cid, *, urgent: bool = False) -> None:
        if cid.multihash not in self._held:
            self._open.add(cid.multihash)
            self._around.asking.open(self._circle, cid, trio.current_time(), urgent=urgent)

    def _hold(self, multihash: bytes, block: bytes) -> None:
        self._held[multihash] = block
        self._held_bytes += len(block)
        while self._held_bytes > 2 * self._around.share_bytes():  # They were put into the blockstore as well.
            self._taken(next(iter(self._held)))

    def _taken(self, multihash: bytes) -> bytes | None:
        block = self._held.pop(multihash, None)
        if block is not None:
            self._held_bytes -= len(block)
            self._work.set()
        return block

    async def _awaited(self, cid: Cid) -> bytes:
        waiter = self._waiting.setdefault(cid.multihash, _Waiter())
        self._want_now(cid, urgent=True)
        self._around.said()
        started = hopeful_at = trio.current_time()
        while True:
            now = trio.current_time()
            if not self._is_hopeless(cid):
                hopeful_at = now
            elif now - hopeful_at >= self._around.missing_s:
                raise StorageError(self._why(cid))
            if now - max(started, self._progress_at) >= limits.BITSWAP_STALL_S:
                raise StorageError(self._why(cid))
            with trio.move_on_after(_LOOK_S):
                await waiter.event.wait()
            if waiter.block is not None:
                return waiter.block

    def _is_hopeless(self, cid: Cid) -> bool:
        """Nobody has it, or nobody is there; but who is being dialled may come, and who gave us a part of it back."""
        asking = self._around.asking
        is_waited_for = self._has_come or self._around.expects()
        return asking.is_denied(cid.multihash) or (asking.is_alone and not is_waited_for)

    def _why(self, cid: Cid) -> str:
        what = f"block {cid} of {self._root}" if cid != self._root else f"{cid}"
        asking = self._around.asking
        if asking.is_alone:
            return f"{what} cannot be had: no IPFS node is connected"
        asked = asking.asked(self._circle)
        if asking.is_denied(cid.multihash):
            return f"{what} cannot be had: all {asked} connected IPFS nodes were asked and none has it"
        return f"{what} did not come within {limits.BITSWAP_STALL_S:g} s; {asked} IPFS nodes were asked"


def known_block(cid: Cid) -> bytes | None:
    """A block that needs nobody: one that its CID holds, or the empty one, which Kubo says it does not have."""
    return b"" if cid.multihash == _EMPTY else cid.inlined
