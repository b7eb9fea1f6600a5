"""Data by CID from IPFS, whichever way its blocks come: what a job sees of them.

Lives here: names (``bafy…/folder/file``), sizes before a bid, deadlines of the whole, the cache. Does not live here:
sources of blocks (``kubo``, ``embedded``, ``gateway``), files and folders made of blocks (``reader``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from node import limits
from node.ambient import Offload
from node.errors import Absent, StorageError
from node.model import CidInput, PeerId
from node.storage.base import Entry, Prepared
from node.storage.cache import InputCache
from node.storage.ipfs import reader
from node.storage.ipfs.base import Blocks, BlockSession
from node.storage.ipfs.cid import Cid
from node.storage.ipfs.paths import path_in
from node.storage.ipfs.several import Several

_KNOWN_MAX = 1_024


class _Known(NamedTuple):
    """What a name leads to, which never changes."""

    cid: Cid
    size: int  # bytes of all its files, as its root claims; it is held to that


class Ipfs:
    """Storage over sources of blocks, the first of which also keeps what is added."""

    name = "ipfs"

    def __init__(self, blocks: Sequence[Blocks], cache: InputCache, offload: Offload) -> None:
        self._blocks = Several(blocks)
        self._cache = cache
        self._offload = offload
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def size(self, ref: CidInput) -> int:
        """See Storage."""
        return (await self._looked_up(ref)).size

    async def to_fetch(self, ref: CidInput) -> int:
        """See Storage: its root is here or can be got; nobody knows of the rest before it comes."""
        root, _ = path_in(ref)
        if not self._is_kept(ref) and root.inlined is None and not await self._blocks.has(root):
            raise Absent(f"{root} was found nowhere")
        known = await self._looked_up(ref)
        return await self._cache.to_fetch(_key(known.cid), known.size)

    async def list(self, ref: CidInput) -> tuple[Entry, ...]:
        """See Storage; sizes are claims, which the fetch is held to."""
        cid = (await self._looked_up(ref)).cid
        with _deadline(ref, limits.IPFS_LIST_S) as scope:
            async with self._blocks.session(cid) as session:
                return await reader.listing(_Paced(session, scope), cid, self._offload)

    @asynccontextmanager
    async def prepared(self, ref: CidInput, origin: PeerId) -> AsyncIterator[Prepared]:
        """See Storage."""
        known = await self._looked_up(ref)
        async with self._cache.held(_key(known.cid), known.size, partial(self._fetch, ref, known)) as path:
            yield Prepared(path, self.name)

    def _is_kept(self, ref: CidInput) -> bool:
        known = self._known.get(ref.cid)
        return known is not None and self._cache.has(_key(known.cid))

    async def _fetch(self, ref: CidInput, known: _Known, path: Path) -> None:
        with _deadline(ref, limits.IPFS_SETUP_S + known.size / limits.IPFS_BYTES_PER_S_MIN) as scope:
            async with self._blocks.session(known.cid) as session:
                await reader.write(_Paced(session, scope), known.cid, path, known.size, self._offload)

    async def _looked_up(self, ref: CidInput) -> _Known:
        known = self._known.get(ref.cid)
        if known is None:
            with _deadline(ref, limits.IPFS_LOOK_UP_S):
                known = self._known[ref.cid] = await self._look_up(*path_in(ref))
            if len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)
        self._known.move_to_end(ref.cid)
        return known

    async def _look_up(self, root: Cid, names: Sequence[str]) -> _Known:
        async with self._blocks.session(root) as session:
            cid = await reader.resolved(session, root, names, self._offload)
            return _Known(cid, await reader.size_of(session, cid, self._offload))


def _key(cid: Cid) -> str:
    """The same bytes have the same codec and multihash, whatever the version."""
    return f"ipfs {cid.codec:x} {cid.multihash.hex()}"


class _Paced:
    """A session whose deadline is put off by each block, since nobody knows before how many there are."""

    def __init__(self, session: BlockSession, scope: trio.CancelScope) -> None:
        self._session = session
        self._scope = scope

    def want(self, cids: Sequence[Cid]) -> None:
        self._session.want(cids)

    def at_hand(self, cid: Cid, bytes_max: int) -> bytes | None:
        block = self._session.at_hand(cid, bytes_max)
        if block is not None:
            self._put_off()
        return block

    async def get(self, cid: Cid) -> bytes:
        block = await self._session.get(cid)
        self._put_off()
        return block

    def _put_off(self) -> None:
        self._scope.deadline += 1 / limits.IPFS_BLOCKS_PER_S_MIN


@contextmanager
def _deadline(ref: CidInput, within_s: float) -> Iterator[trio.CancelScope]:
    began = trio.current_time()
    with trio.move_on_after(within_s) as scope:
        yield scope
    if scope.cancelled_caught:
        raise StorageError(f"{ref.cid} does not come from IPFS within {scope.deadline - began:.0f} s")
