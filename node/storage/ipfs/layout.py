"""How bytes become blocks: the import profiles that Kubo has, and the CIDs that it makes with them.

Lives here: chunks into files, entries into folders; pure. Does not live here: reading files (``importer``).
Sources: IPIP-499 (https://specs.ipfs.tech/ipips/ipip-0499/), Kubo's ``config/profile.go``, boxo's
``ipld/unixfs/importer/balanced`` and ``ipld/unixfs/io/directory.go``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from node.limits import KiB, MiB
from node.storage.ipfs import dagpb, hamt, unixfs
from node.storage.ipfs.cid import DAG_PB, RAW, Cid
from node.storage.ipfs.dagpb import Link

FOLDER_BYTES_MAX = 256 * KiB  # a folder whose estimated size is larger is sharded

Put = Callable[[Cid, bytes], None]
"""Takes each block, those below before those above; a block that occurs twice may come twice."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that a CID depends on besides the bytes and the names."""

    name: str
    version: int
    chunk_bytes: int
    width: int  # parts of one node of a file
    has_raw_leaves: bool
    counts_whole_blocks: bool  # a folder's estimated size is that of its block, or that of its names and CIDs


V0_2015 = Profile("unixfs-v0-2015", 0, 256 * KiB, 174, has_raw_leaves=False, counts_whole_blocks=False)
V1_RAW_LEAVES = Profile("cid-version=1", 1, 256 * KiB, 174, has_raw_leaves=True, counts_whole_blocks=False)
V1_2025 = Profile("unixfs-v1-2025", 1, 1 * MiB, 1024, has_raw_leaves=True, counts_whole_blocks=True)
PROFILES = (V1_2025, V1_RAW_LEAVES, V0_2015)


class Imported(NamedTuple):
    """What a file or folder has become. ``size``: bytes of its files; ``dag_bytes``: of all its blocks."""

    cid: Cid
    size: int
    dag_bytes: int


class Layout:
    """Makes blocks by one profile, and hands them to ``put``, if anybody wants them: all, or all but leaves."""

    def __init__(self, profile: Profile, put: Put | None = None, *, with_leaves: bool = True) -> None:
        self.profile = profile
        self._put = put
        self._put_leaf = put if with_leaves else None

    def file(self) -> FileLayout:
        """A file to be given its bytes."""
        return FileLayout(self)

    def folder(self, entries: Sequence[tuple[str, Imported]]) -> Imported:
        """A folder of these, sharded when it is too large. Raises ValueError when it cannot be sharded."""
        links = [Link(made.cid, name, made.dag_bytes) for name, made in entries]
        size = sum(made.size for _, made in entries)
        link = hamt.shard(links, self.node) if self._is_large(links) else self.node(links, unixfs.DIRECTORY_DATA)
        return Imported(link.cid, size, link.tsize)

    def leaf(self, chunk: memoryview) -> Link:
        """A part of a file that is one block."""
        if self.profile.has_raw_leaves:
            return self._block((chunk,), RAW, self._put_leaf)
        head, tail = unixfs.leaf_ends(len(chunk))
        return self._block((head, chunk, tail), DAG_PB, self._put_leaf)

    def node(self, links: Sequence[Link], data: bytes) -> Link:
        """A block of links and data, as a link to it."""
        link = self._block((dagpb.encode(links, data),), DAG_PB, self._put)
        return link._replace(tsize=link.tsize + sum(below.tsize for below in links))

    def _block(self, parts: tuple[bytes | memoryview, ...], codec: int, put: Put | None) -> Link:
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        cid = Cid.of_digest(digest.digest(), codec, self.profile.version)
        if put is not None:
            put(cid, b"".join(parts))
        return Link(cid, "", sum(map(len, parts)))

    def _is_large(self, links: Sequence[Link]) -> bool:
        if self.profile.counts_whole_blocks:
            size = len(dagpb.encode((), unixfs.DIRECTORY_DATA)) + sum(len(dagpb.encoded_link(link)) for link in links)
        else:
            size = sum(len(link.name.encode()) + len(link.cid.raw) for link in links)
        return size > FOLDER_BYTES_MAX


class FileLayout:
    """A balanced tree over the chunks of one file: every chunk is as deep as every other."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._width = layout.profile.width
        self._levels: list[list[tuple[Link, int]]] = [[]]  # what has no parent yet, the leaves first; with its bytes

    def write(self, data: memoryview) -> None:
        """The next bytes: whole chunks, except at the end."""
        chunk_bytes = self._layout.profile.chunk_bytes
        for start in range(0, len(data), chunk_bytes):
            chunk = data[start : start + chunk_bytes]
            self._add(0, self._layout.leaf(chunk), len(chunk))

    def done(self) -> Imported:
        """The file is complete."""
        if self._levels == [[]]:
            self._add(0, self._layout.leaf(memoryview(b"")), 0)
        level = 0
        while level < len(self._levels) - 1 or len(self._levels[level]) > 1:
            if self._levels[level]:
                self._close(level)
            level += 1
        link, size = self._levels[level][0]
        return Imported(link.cid, size, link.tsize)

    def _add(self, level: int, link: Link, size: int) -> None:
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append((link, size))
        if len(self._levels[level]) == self._width:
            self._close(level)

    def _close(self, level: int) -> None:
        parts, self._levels[level] = self._levels[level], []
        sizes = [size for _, size in parts]
        node = self._layout.node([link for link, _ in parts], unixfs.file_data(sum(sizes), sizes))
        self._add(level + 1, node, sum(sizes))
