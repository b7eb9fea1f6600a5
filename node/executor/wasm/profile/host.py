"""This machine, asked through the gate: wasmtime's own functions, over the gate's memory.

Does not live here: what the program gets to see of the answers (``hooks``).
"""

from __future__ import annotations

import struct
from functools import cached_property

from wasmtime import Func, Linker, Memory, Store

from node.executor.wasm.profile.calls import SUCCESS, WASI
from node.executor.wasm.profile.gate import LISTING_BYTES_MAX, PAGE_BYTES
from node.executor.wasm.profile.listing import TooLong

PATH_BYTES_MAX = 4096  # A longer one is no path on Linux.

_ANSWER, _PATH = 0, 64  # Where in the first page.
_LISTING = PAGE_BYTES
_GROWTH = 8  # wasmtime reads the whole folder again for each attempt.
_FOLDER = 3
_STAT = struct.Struct("<8xQB7xQ")  # inode, type, links


class Host:
    """One run's. Most runs never ask, so what it takes is looked up at the first need."""

    def __init__(self, store: Store, gate: Linker) -> None:
        self._store = store
        self._gate = gate

    def listing(self, descriptor: int) -> bytes | int:
        """All entries of an open folder, as wasmtime gives them; or the errno. Raises TooLong."""
        room = PAGE_BYTES
        while True:
            errno = self._call("host_fd_readdir", descriptor, _LISTING, room, 0, _ANSWER)
            if errno != SUCCESS:
                return errno
            (used,) = struct.unpack("<I", self._memory.read(self._store, _ANSWER, _ANSWER + 4))
            if used < room:
                return bytes(self._memory.read(self._store, _LISTING, _LISTING + used))
            if room == LISTING_BYTES_MAX:
                raise TooLong
            room = min(room * _GROWTH, LISTING_BYTES_MAX)
            self._reserve(_LISTING + room)

    def last_name_of(self, folder: int, path: bytes) -> int | None:
        """The inode of a file or folder that would be gone with this name; None when there would be another."""
        self._memory.write(self._store, path, _PATH)
        if self._call("host_path_filestat_get", folder, 0, _PATH, len(path), _ANSWER) != SUCCESS:
            return None
        found = bytes(self._memory.read(self._store, _ANSWER, _ANSWER + _STAT.size))
        inode, kind, links = _STAT.unpack(found)
        return inode if kind == _FOLDER or links == 1 else None

    @cached_property
    def _memory(self) -> Memory:
        memory = self._gate.get(self._store, WASI, "memory")
        assert isinstance(memory, Memory)
        return memory

    def _call(self, name: str, *arguments: int) -> int:
        function = self._gate.get(self._store, WASI, name)
        assert isinstance(function, Func)
        return int(function(self._store, *arguments))

    def _reserve(self, size: int) -> None:
        lacking = size - self._memory.data_len(self._store)
        if lacking > 0:
            self._memory.grow(self._store, -(-lacking // PAGE_BYTES))
