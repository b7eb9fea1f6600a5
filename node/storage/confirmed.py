"""Whether the bytes of a copy give the CID that it goes by: checked once, then remembered while it lies as it does.

What is remembered of a copy is a hash over the path, kind, size, mtime and inode of everything in it; that a copy was
found wanting is remembered too, so that asking again costs a walk and not a reading. A small file carries it over
restarts; whatever is wrong with that file costs a check and nothing else. Whoever can write to a copy and set its times
back is not noticed: the check is against mistakes and rot, not against the machine's own users.
Does not live here: how a CID is made of files (``ipfs.importer``), where copies lie (``filecoin_unsealed``).
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from weakref import WeakValueDictionary

import msgspec
import trio

from node import limits
from node.ambient import Offload
from node.errors import StorageError
from node.model import Hex64
from node.storage import tree
from node.storage.ipfs.cid import Cid
from node.storage.ipfs.importer import confirms

log = logging.getLogger("quorate.storage")

CHECKS_AT_ONCE = 2  # Each keeps a disk and a thread busy for as long as its copy is large.

_FILE_BYTES_MAX = 512 * limits.COPIES_CONFIRMED_MAX  # A longer file is not ours.


class _Known(msgspec.Struct, frozen=True, array_like=True):
    fingerprint: Hex64
    confirmed: bool


class _Remembered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is on disk. Its version goes up when more ways to make a CID are tried."""

    known: dict[Hex64, _Known]  # by the hash of place and CID; the one used longest ago is first
    version: Literal[1] = 1


class Confirmed:
    """Checks copies, and remembers ``most`` of them. ``file`` None: for the life of this process.

    ``checkpoint`` is called while a copy is read and raises to end that: trio's own wherever ``offload`` is threads.
    """

    def __init__(
        self,
        file: Path | None,
        offload: Offload,
        checkpoint: Callable[[], object] = trio.from_thread.check_cancelled,
        most: int = limits.COPIES_CONFIRMED_MAX,
    ) -> None:
        self._file = file
        self._offload = offload
        self._checkpoint = checkpoint
        self._most = most
        self._known: OrderedDict[str, _Known] | None = None
        self._checks = trio.CapacityLimiter(CHECKS_AT_ONCE)
        self._locks: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()
        self._on_disk = trio.Lock()

    async def confirms(self, copy: Path, cid: Cid) -> bool:
        """Whether the bytes at ``copy`` give ``cid``. Reads all of them unless it is known; cancelling ends that soon.

        Raises StorageError: it cannot be read, changes meanwhile, or takes longer than ``limits.CONFIRM_S``.
        """
        key = _key(copy, cid)
        lock = self._locks.setdefault(key, trio.Lock())
        with trio.move_on_after(limits.CONFIRM_S):
            async with lock:
                return await self._known_or_checked(key, copy, cid)
        raise StorageError(f"took longer than {limits.CONFIRM_S:g} s to check")

    async def _known_or_checked(self, key: str, copy: Path, cid: Cid) -> bool:
        known = await self._memory()
        before = await self._offload(fingerprint, copy)
        found = known.get(key)
        if found is None or found.fingerprint != before:
            async with self._checks:
                confirmed = await self._offload(_checked, copy, cid, before, self._checkpoint)
            found = known[key] = _Known(before, confirmed)
            known.move_to_end(key)
            log.info("copy_checked", extra={"copy": str(copy), "cid": str(cid), "confirmed": confirmed})
            await self._save(known)
        else:
            known.move_to_end(key)
        return found.confirmed

    async def _memory(self) -> OrderedDict[str, _Known]:
        async with self._on_disk:
            if self._known is None:
                self._known = await self._offload(_loaded, self._file)
            return self._known

    async def _save(self, known: OrderedDict[str, _Known]) -> None:
        while len(known) > self._most:
            known.popitem(last=False)
        if self._file is not None:
            async with self._on_disk:
                body = msgspec.json.encode(_Remembered(dict(known)))
                await self._offload(_written, self._file, body)


def fingerprint(copy: Path) -> str:
    """64 hex digits that change when anything in the copy is replaced, added, removed or written to. Blocking.

    Raises StorageError as ``tree.walk`` does.
    """
    return tree.fingerprint(tree.walk(copy))


def _checked(copy: Path, cid: Cid, before: str, checkpoint: Callable[[], object]) -> bool:
    confirmed = confirms(copy, cid, checkpoint)
    if fingerprint(copy) != before:
        raise StorageError("changed while it was checked")
    return confirmed


def _key(copy: Path, cid: Cid) -> str:
    return hashlib.sha256(b"%s\0%s" % (os.fsencode(copy), str(cid).encode())).hexdigest()


def _loaded(file: Path | None) -> OrderedDict[str, _Known]:
    try:
        if file is not None and file.exists():
            return OrderedDict(_remembered(file).known)
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors.
        log.warning("confirmations_forgotten", extra={"file": str(file), "reason": str(error)})
    return OrderedDict()


def _remembered(file: Path) -> _Remembered:
    with file.open("rb") as opened:
        body = opened.read(_FILE_BYTES_MAX + 1)
    if len(body) > _FILE_BYTES_MAX:
        raise ValueError(f"longer than {_FILE_BYTES_MAX} bytes")
    return msgspec.json.decode(body, type=_Remembered)


def _written(file: Path, body: bytes) -> None:
    """Whole or not at all; nothing waits for the disk, because what a power cut leaves is forgotten."""
    fresh = file.with_suffix(".new")
    try:
        fresh.write_bytes(body)
        fresh.replace(file)
    except OSError as error:
        log.warning("confirmations_not_kept", extra={"file": str(file), "reason": error.strerror})
