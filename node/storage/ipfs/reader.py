"""A DAG of files and folders, from a block session: what it has, where a path in it leads, and all of it on disk.

Does not live here: what a block means and what is refused (``walk``), where blocks come from (``base``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path

import trio

from node.ambient import Offload, inline
from node.errors import StorageError
from node.limits import BLOCK_BYTES_MAX, KiB, MiB
from node.storage.base import Entry
from node.storage.ipfs import hamt, unixfs
from node.storage.ipfs.base import BlockSession
from node.storage.ipfs.cid import RAW, Cid
from node.storage.ipfs.tree_writer import TreeWriter
from node.storage.ipfs.unixfs import Kind
from node.storage.ipfs.walk import BytesFound, FileFound, FolderFound, Found, Walk

_CLAIM_MAX = 1 << 62  # A larger size is no claim to be taken seriously.
_HEAVY_BYTES = 64 * KiB  # A larger block of links is understood elsewhere: 65,536 links take a quarter of a second.
_BATCH_BYTES = 4 * MiB  # Written in one go.
_BATCH_FOUND = 1_024
_LOOK_BLOCKS, _LOOK_BYTES = 64, 4 * MiB  # Between looks ahead at all that will be due soon.


async def size_of(session: BlockSession, root: Cid, offload: Offload = inline) -> int:
    """Bytes of all files below, by one block; of a folder never less than that if nobody lies, and little more.

    A claim: ``write`` holds the DAG to a limit. Raises StorageError.
    """
    block = await _block(session, root)
    if root.codec == RAW:
        return len(block)
    node = await _decoded(block, root, offload)
    size = node.size if node.kind in (Kind.FILE, Kind.RAW) else sum(link.tsize for link in node.links)
    if size > _CLAIM_MAX:
        raise StorageError(f"{root} claims to have {size} bytes")
    return size


async def listing(session: BlockSession, root: Cid, offload: Offload = inline) -> tuple[Entry, ...]:
    """The tree, the root included as ``""``, sorted by path; no part of a file is fetched, so sizes are claims.

    Raises StorageError.
    """
    walk = Walk(root, _CLAIM_MAX, contents=False)
    entries: list[Entry] = []
    steps = _Steps(session, walk, offload)
    while walk.due is not None:
        entries.extend(_entries(await steps.next()))
    return tuple(sorted(entries, key=attrgetter("path")))


async def write(session: BlockSession, root: Cid, target: Path, limit_bytes: int, offload: Offload) -> int:
    """Write the file or folder at ``target``, which must not exist; its files' bytes, at most ``limit_bytes``.

    Raises StorageError; what was written until then stays, under a name that nobody must take for whole.
    """
    walk, writer = Walk(root, limit_bytes, contents=True), TreeWriter(target)
    steps = _Steps(session, walk, offload)
    batch: list[Found] = []
    size = total = 0
    try:
        while walk.due is not None:
            found = await steps.next()
            batch.extend(found)
            size += sum(len(one.data) for one in found if isinstance(one, BytesFound))
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_FOUND:
                await offload(writer.write, batch)
                total, size, batch = total + size, 0, []
        await offload(writer.write, batch)
    finally:
        writer.close()
    return total + size


async def resolved(session: BlockSession, root: Cid, names: Sequence[str], offload: Offload = inline) -> Cid:
    """What ``root/name/name`` is. Raises StorageError when there is no such thing."""
    cid = root
    for name in names:
        found = await _child(session, cid, name, offload)
        if found is None:
            raise StorageError(f"{root}/{'/'.join(names)} does not exist: there is no {name!r} in {cid}")
        cid = found
    return cid


class _Steps:
    """A walk step by step, with its session looking ahead: at what is new at once, at all of it now and then."""

    def __init__(self, session: BlockSession, walk: Walk, offload: Offload) -> None:
        self._session = session
        self._walk = walk
        self._offload = offload
        self._blocks = self._bytes = 0  # since it looked at all

    async def next(self) -> list[Found]:
        """What is due next, which must be something."""
        if self._blocks >= _LOOK_BLOCKS or self._bytes >= _LOOK_BYTES:
            self._blocks = self._bytes = 0
            self._walk.take_early(self._session.at_hand)
            self._want(self._walk.ahead())
            await trio.lowlevel.checkpoint()
        if ready := self._walk.ready():
            return ready
        self._want(self._walk.ahead(only_new=True))
        due = self._walk.due
        assert due is not None
        block = await self._block(due)
        self._blocks += 1
        self._bytes += len(block)
        return await self._offload(self._walk.take, block) if _is_heavy(block, due) else self._walk.take(block)

    def _want(self, cids: Sequence[Cid]) -> None:
        if cids:
            self._session.want(cids)

    async def _block(self, due: Cid) -> bytes:
        block = None if due.inlined is not None else self._session.at_hand(due, BLOCK_BYTES_MAX)
        return await _block(self._session, due) if block is None else block


def _entries(found: Iterable[Found]) -> Iterator[Entry]:
    for one in found:
        match one:
            case FolderFound(path):
                yield Entry(path, 0, is_folder=True)
            case FileFound(path, size):
                yield Entry(path, size, is_folder=False)
            case BytesFound():
                pass


async def _child(session: BlockSession, folder: Cid, name: str, offload: Offload) -> Cid | None:
    if folder.codec == RAW:
        return None
    node = await _decoded(await _block(session, folder), folder, offload)
    if node.kind is Kind.DIRECTORY:
        return next((link.cid for link in node.links if link.name == name), None)
    level = 0
    while node.kind is Kind.SHARD:
        slot = _slot(node, name, level, folder)
        if slot is None or slot.name:
            return None if slot is None else slot.link.cid
        level += 1
        node = await _decoded(await _block(session, slot.link.cid), slot.link.cid, offload)
    return None


def _slot(node: unixfs.Node, name: str, level: int, folder: Cid) -> hamt.Slot | None:
    try:
        return hamt.child_of(node, name, level)
    except ValueError as error:
        raise StorageError(f"{folder} cannot be used: it is {error}") from error


async def _block(session: BlockSession, cid: Cid) -> bytes:
    inlined = cid.inlined
    if inlined is None:
        return await session.get(cid)
    await trio.lowlevel.checkpoint()
    return inlined


async def _decoded(block: bytes, cid: Cid, offload: Offload) -> unixfs.Node:
    try:
        return await offload(unixfs.decode, block) if _is_heavy(block, cid) else unixfs.decode(block)
    except ValueError as error:
        raise StorageError(f"{cid} cannot be used: it is {error}") from error


def _is_heavy(block: bytes, cid: Cid) -> bool:
    return cid.codec != RAW and len(block) > _HEAVY_BYTES
