"""A walk through a DAG of files and folders from strangers: which block is due next, and what it turned out to be.

Lives here: every decision and every bound; pure, it is handed the blocks. Does not live here: getting them
(``reader``), writing what is found (``tree_writer``). A DAG has no cycles, but a block may be linked to a million
times, and every size in it is only a claim: what is followed is counted, and what is claimed is compared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import NamedTuple

from node.errors import StorageError
from node.limits import (
    BLOCK_BYTES_MAX,
    BLOCK_LINKS_MAX,
    DAG_ENTRIES_MAX,
    DAG_FILE_DEPTH_MAX,
    DAG_FOLDERS_DEEP_MAX,
    DAG_PART_BYTES_MIN,
    DAG_PATH_BYTES_MAX,
    DAG_PENDING_MAX,
    FETCH_AHEAD_BLOCKS,
    FETCH_AHEAD_BYTES,
    KiB,
    MiB,
)
from node.storage.ipfs import hamt, unixfs
from node.storage.ipfs.cid import RAW, Cid
from node.storage.ipfs.unixfs import Kind

_INNER_BYTES = 256 * KiB  # What a block that holds links is taken to have, for fetching ahead.
_ASKED_MAX = 4 * FETCH_AHEAD_BLOCKS  # Also when what came early has put much before what was asked for.
_EARLY_BLOCK_BYTES = 64 * KiB  # A larger block is taken when it is due: 65,536 links take a quarter of a second.
_EARLY_BYTES = 512 * KiB  # Of blocks taken at once, for the same reason.
_EARLY_DUE_MAX = 65_536  # With more links met and not yet followed nothing is taken early,
_READY_BYTES = 4 * MiB  # nor with so many bytes of files found and not yet due.

AtHand = Callable[[Cid, int], bytes | None]
"""See ``BlockSession.at_hand``."""


class FolderFound(NamedTuple):
    """A folder; everything in it comes later."""

    path: str


class FileFound(NamedTuple):
    """A file. With contents, its bytes come next, exactly so many; without, ``size`` is a claim."""

    path: str
    size: int


class BytesFound(NamedTuple):
    """The next bytes of the last file."""

    data: bytes


Found = FolderFound | FileFound | BytesFound


class _Role(Enum):
    ENTRY = 0  # a file or folder
    SHARD = 1  # more of a folder
    PART = 2  # more of a file


@dataclass(slots=True)
class _Due:
    role: _Role
    cid: Cid
    size: int  # bytes below it: of a part exactly, else a claim
    path: str = ""
    level: int = 0  # of a shard or a part below its root
    place: int = 0  # of a shard: the slots that led there (``hamt.path_of``)
    fanout: int = 0
    is_asked: bool = False
    found: list[Found] | None = None  # what it turned out to be before it was due
    ready_bytes: int = 0  # of that

    @property
    def cost(self) -> int:
        """Bytes of its block, by what is claimed: what must hold links is no larger than such blocks are."""
        return _INNER_BYTES if self.size > BLOCK_BYTES_MAX else self.size


class Walk:
    """Depth first from ``root``: take the block that is ``due`` until none is. Paths are relative to the root, ``""``.

    Files of more than ``limit_bytes`` in all are refused. Without ``contents`` leaves are not due, unless the root is
    one. Raises StorageError for a DAG that is no files and folders, contradicts itself or breaks a limit.
    """

    def __init__(self, root: Cid, limit_bytes: int, *, contents: bool) -> None:
        self._root = root
        self._limit_bytes = limit_bytes
        self._contents = contents
        self._due = deque([_Due(_Role.ENTRY, root, 0)])
        self._entries = self._shards = self._parts = self._bytes = 0
        self._asked = self._ready_bytes = 0

    @property
    def due(self) -> Cid | None:
        """The block to be taken next; None at the end."""
        return self._due[0].cid if self._due else None

    def ahead(self, *, only_new: bool = False) -> list[Cid]:
        """Blocks that will be due soon, in their order; each is told once. ``only_new``: up to the first that was."""
        asked, size = [], 0
        for item in islice(self._due, FETCH_AHEAD_BLOCKS):
            if item.found is not None:
                continue
            size += item.cost
            if size > FETCH_AHEAD_BYTES or self._asked >= _ASKED_MAX or (only_new and item.is_asked):
                break
            if not item.is_asked:
                item.is_asked = True
                self._asked += 1
                asked.append(item.cid)
        return asked

    def take(self, block: bytes) -> list[Found]:
        """What the block that was due has turned out to be."""
        item = self._due.popleft()
        found = self._understood(item, block)
        if len(self._due) > DAG_PENDING_MAX:
            raise self._refused("so many links at once")
        return found

    def take_early(self, at_hand: AtHand) -> None:
        """Take blocks that hold links, or little, and came before they are due; what is found waits in its place."""
        near = [self._due.popleft() for _ in range(min(len(self._due), FETCH_AHEAD_BLOCKS))]
        placed: list[_Due] = []
        taken = 0
        for item in near:
            is_full = taken > _EARLY_BYTES or len(placed) + len(self._due) > _EARLY_DUE_MAX
            if item.is_asked and item.cid.codec != RAW and not is_full and self._ready_bytes < _READY_BYTES:
                taken += self._take_one_early(item, at_hand, placed)
            else:
                placed.append(item)
        self._due.extendleft(reversed(placed))

    def ready(self) -> list[Found]:
        """What is due next and was taken early."""
        ready: list[Found] = []
        while self._due and (found := self._due[0].found) is not None:
            self._ready_bytes -= self._due.popleft().ready_bytes
            ready += found
        return ready

    def _take_one_early(self, item: _Due, at_hand: AtHand, placed: list[_Due]) -> int:
        """Place it, or what it leads to, behind those; bytes of its block, if it is at hand."""
        block = at_hand(item.cid, _EARLY_BLOCK_BYTES)
        if block is None:
            placed.append(item)
            return 0
        rest = len(self._due)
        found = self._understood(item, block)
        if found:
            item.found, item.ready_bytes = found, len(block)
            self._ready_bytes += len(block)
            placed.append(item)
        placed += [self._due.popleft() for _ in range(len(self._due) - rest)]
        return len(block)

    def _understood(self, item: _Due, block: bytes) -> list[Found]:
        self._asked -= item.is_asked
        item.is_asked = False
        try:
            return self._taken(item, block)
        except ValueError as error:
            where = f"{self._root}/{item.path}".rstrip("/")
            raise StorageError(f"{where} cannot be used: its block {item.cid} is {error}") from error

    def _taken(self, item: _Due, block: bytes) -> list[Found]:
        if item.cid.codec == RAW:
            return self._raw(item, block)
        node = unixfs.decode(block)
        if item.role is _Role.PART:
            return self._part(item, node)
        if item.role is _Role.SHARD:
            if node.kind is not Kind.SHARD or node.fanout != item.fanout:
                raise ValueError("no shard of the folder that has it")
            return self._slots(item, node)
        return self._entry(item, node)

    def _raw(self, item: _Due, block: bytes) -> list[Found]:
        if item.role is _Role.SHARD:
            raise ValueError("no shard of the folder that has it")
        if item.role is _Role.PART:
            _check_size(item, len(block))
            return [BytesFound(block)]
        self._add_bytes(len(block))
        return [FileFound(item.path, len(block)), BytesFound(block)]

    def _part(self, item: _Due, node: unixfs.Node) -> list[Found]:
        if node.kind not in (Kind.FILE, Kind.RAW):
            raise ValueError("no part of the file that has it")
        _check_size(item, node.size)
        return self._inside(item, node)

    def _entry(self, item: _Due, node: unixfs.Node) -> list[Found]:
        if node.kind is Kind.SHARD:
            return [FolderFound(item.path), *self._slots(item, node)]
        if node.kind is Kind.DIRECTORY:
            return [FolderFound(item.path), *self._children(item, node)]
        self._add_bytes(node.size)
        return [FileFound(item.path, node.size), *(self._inside(item, node) if self._contents else ())]

    def _inside(self, item: _Due, node: unixfs.Node) -> list[Found]:
        """A node's own bytes, before those of its parts."""
        if node.links and item.level >= DAG_FILE_DEPTH_MAX:
            raise self._refused(f"a file of more than {DAG_FILE_DEPTH_MAX} levels")
        self._parts += len(node.links)
        if self._parts > BLOCK_LINKS_MAX + self._bytes // DAG_PART_BYTES_MIN:
            raise self._refused(f"a file in parts of less than {DAG_PART_BYTES_MIN} bytes")
        parts = zip(node.links, node.block_sizes, strict=True)
        self._push(_Due(_Role.PART, link.cid, size, item.path, item.level + 1) for link, size in parts)
        return [BytesFound(node.data)] if node.data else []

    def _children(self, item: _Due, node: unixfs.Node) -> list[Found]:
        if len({link.name for link in node.links}) < len(node.links):
            raise ValueError("a folder with a name that occurs twice")
        return self._add_entries([self._child(item, link.name, link.cid, link.tsize) for link in node.links])

    def _slots(self, item: _Due, node: unixfs.Node) -> list[Found]:
        due = []
        for slot in hamt.slots_of(node):
            place = item.place * node.fanout + slot.place
            if not slot.name:
                below = item.level + 1
                due.append(_Due(_Role.SHARD, slot.link.cid, slot.link.tsize, item.path, below, place, node.fanout))
            elif hamt.path_of(slot.name, node.fanout, item.level) == place:
                due.append(self._child(item, slot.name, slot.link.cid, slot.link.tsize))
            else:
                raise ValueError(f"a sharded folder with {slot.name!r} where it does not belong")
        return self._add_entries(due)

    def _child(self, item: _Due, name: str, cid: Cid, size: int) -> _Due:
        unixfs.check_name(name)
        path = f"{item.path}/{name}" if item.path else name
        if len(path.encode()) > DAG_PATH_BYTES_MAX:
            raise self._refused(f"a path of more than {DAG_PATH_BYTES_MAX} bytes")
        if path.count("/") >= DAG_FOLDERS_DEEP_MAX:
            raise self._refused(f"more than {DAG_FOLDERS_DEEP_MAX} folders inside each other")
        return _Due(_Role.ENTRY, cid, size, path)

    def _add_entries(self, due: list[_Due]) -> list[Found]:
        """Files that are known without their block are found at once when nobody wants their contents."""
        shards = sum(item.role is _Role.SHARD for item in due)
        self._shards += shards
        self._entries += len(due) - shards
        if max(self._shards, self._entries) > DAG_ENTRIES_MAX:
            raise self._refused(f"more than {DAG_ENTRIES_MAX} files and folders")
        known = [item for item in due if item.cid.codec == RAW and not self._contents]
        self._push(item for item in due if item.cid.codec != RAW or self._contents)
        for item in known:
            self._add_bytes(item.size)
        return [FileFound(item.path, item.size) for item in known]

    def _push(self, due: Iterable[_Due]) -> None:
        self._due.extendleft(reversed(list(due)))

    def _add_bytes(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limit_bytes:
            raise self._refused(f"more than {self._limit_bytes} bytes")

    def _refused(self, what: str) -> StorageError:
        return StorageError(f"{self._root} is refused: it has {what}")


def _check_size(item: _Due, size: int) -> None:
    if size != item.size:
        raise ValueError(f"a part of {size} bytes that is said to have {item.size}")
