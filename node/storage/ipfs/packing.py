"""A file or folder of this machine as a CAR file: blocking, in two readings, so that the root comes first.

Lives here: the order of the blocks: depth first from the root, each once. Does not live here: the format (``car``).
Memory: the blocks that hold links, about 50 bytes for each MiB of files, and the names of all blocks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from node.errors import StorageError
from node.storage.ipfs import car, hamt, unixfs
from node.storage.ipfs.cid import Cid
from node.storage.ipfs.importer import Checkpoint, imported, naming
from node.storage.ipfs.layout import Layout, Profile
from node.storage.ipfs.unixfs import Kind


def pack(path: Path, profile: Profile, out: Callable[[bytes], object], checkpoint: Checkpoint = lambda: None) -> Cid:
    """Hand the CAR file to ``out``, piece by piece; its root.

    Raises StorageError as ``import_tree`` does, and what ``out`` raises.
    """
    nodes: dict[Cid, bytes] = {}
    root = imported(path, [Layout(profile, nodes.__setitem__, with_leaves=False)], checkpoint)[0].cid
    out(car.header([root]))
    _Packing(profile, nodes, out, checkpoint).entry(root, path.resolve())
    return root


class _Packing:
    """The second reading: what it finds must be what the first found."""

    def __init__(
        self, profile: Profile, nodes: dict[Cid, bytes], out: Callable[[bytes], object], checkpoint: Checkpoint
    ) -> None:
        self._nodes = nodes
        self._out = out
        self._checkpoint = checkpoint
        self._chunk_bytes = profile.chunk_bytes
        self._layout = Layout(profile, self._put)
        self._done: set[Cid] = set()

    def entry(self, cid: Cid, path: Path) -> None:
        """A file or folder, unless it is there already."""
        if cid in self._done:
            return
        node = self._node(cid)
        if node is not None and node.kind in (Kind.DIRECTORY, Kind.SHARD):
            self._folder(cid, node, path)
            return
        with naming(path):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._file(cid, path, handle, 0)
        finally:
            os.close(handle)

    def _folder(self, cid: Cid, node: unixfs.Node, path: Path) -> None:
        self._put(cid, self._nodes[cid])
        if node.kind is Kind.DIRECTORY:
            for link in node.links:
                self.entry(link.cid, path / link.name)
            return
        for slot in hamt.slots_of(node):
            below = slot.link.cid
            if slot.name:
                self.entry(below, path / slot.name)
            elif below not in self._done:
                self._folder(below, unixfs.decode(self._nodes[below]), path)

    def _file(self, cid: Cid, path: Path, handle: int, offset: int) -> None:
        """A file, or the part of it that begins at ``offset``."""
        if cid in self._done:
            return
        self._checkpoint()
        node = self._node(cid)
        if node is None:
            with naming(path):
                chunk = os.pread(handle, self._chunk_bytes, offset)
            self._leaf(cid, path, chunk)
            return
        self._put(cid, self._nodes[cid])
        for link, size in zip(node.links, node.block_sizes, strict=True):
            self._file(link.cid, path, handle, offset)
            offset += size

    def _leaf(self, cid: Cid, path: Path, chunk: bytes) -> None:
        if self._layout.leaf(memoryview(chunk)).cid != cid:
            raise StorageError(f"{path} has changed while it was read")

    def _node(self, cid: Cid) -> unixfs.Node | None:
        """What a block that holds links says; None of a leaf."""
        block = self._nodes.get(cid)
        return None if block is None else unixfs.decode(block)

    def _put(self, cid: Cid, block: bytes) -> None:
        self._done.add(cid)
        self._out(car.section(cid, block))
