"""Blocks as files, named by their multihash. Blocking; called through Offload by ``blockstore``.

``evictable/<shard>/<name>`` and ``pinned/<shard>/<name>`` hold blocks, the shard being the two characters before the
last of the name, as Kubo's flatfs has it: 1,024 folders however many blocks. ``pins/<name of a pin>`` lists the blocks
of a pinned DAG, and has the time when it was pinned. So it takes no memory to know what is pinned, and no look at
pinned blocks to evict others.

A block is written under ``incoming/`` and renamed, so a kill never leaves half of one under its name; and its hash is
checked by every read, so what a power cut or a bad disk left of a block is never given to anybody.
The time of a file is that of its last use, to ``TOUCH_S``.

Does not live here: how much may be kept (``blockstore``).
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from base64 import b32encode
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from node import limits
from node.errors import NoRoom, OperatorError, StorageError
from node.room import need_room

TOUCH_S = 60.0
SAMPLE_FILES = 2_048
_EVICTED_OF_SAMPLE = 8  # One of so many, the oldest.
_CLUSTER_BYTES = 4 * limits.KiB
_PARTIAL = ".partial"
_NAME_CHARS_MIN = 8
_LISTS_BYTES = 8 * limits.MiB  # Lists of pins that are let go at once, the last one apart: some 140,000 names.


class _File(NamedTuple):
    used_at: float
    size: int
    path: str


class Rotten(NamedTuple):
    """A block was here, is no longer what its name says, and was deleted. ``size``: what that gave back."""

    size: int


def disk_bytes(size: int) -> int:
    """What a block of so many bytes takes of a disk."""
    return max(1, -(-size // _CLUSTER_BYTES)) * _CLUSTER_BYTES


class BlockFiles:
    """One folder of blocks. Making it raises OperatorError, and takes no longer for a million blocks than for one."""

    def __init__(self, folder: Path, sample_files: int = SAMPLE_FILES) -> None:
        self._folder = folder
        self._sample_files = sample_files
        self._evictable, self._pinned = str(folder / "evictable"), str(folder / "pinned")
        self._pins, self._incoming = folder / "pins", folder / "incoming"
        self._numbers = itertools.count()
        self._next_shard = 0
        try:
            for path in (self._evictable, self._pinned, self._pins, self._incoming):
                os.makedirs(path, mode=0o700, exist_ok=True)
            for left_over in self._incoming.iterdir():
                left_over.unlink()
            self._release(list(self._pins.glob(f"*{_PARTIAL}")))
        except OSError as error:
            raise OperatorError(f"{folder} cannot be used: {error.strerror}") from error

    def has(self, multihash: bytes) -> bool:
        """Whether there is a file for it."""
        name = _name(multihash)
        return os.path.exists(_path(self._evictable, name)) or os.path.exists(_path(self._pinned, name))

    def absent(self, multihashes: Iterable[bytes]) -> list[bytes]:
        """Those that are not here."""
        return [multihash for multihash in multihashes if not self.has(multihash)]

    def read(self, multihash: bytes, now: float) -> bytes | Rotten | None:
        """The block, checked, and marked as used now. Raises StorageError for what cannot be read."""
        name = _name(multihash)
        for shelf in (self._evictable, self._pinned):
            path = _path(shelf, name)
            try:
                block = _used(path, now)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageError(f"a block on this node's disk cannot be read: {error.strerror}") from error
            if hashlib.sha256(block).digest() == multihash[2:]:
                return block
            with contextlib.suppress(OSError):
                os.unlink(path)
            return Rotten(disk_bytes(len(block)))
        return None

    def write(self, blocks: Iterable[tuple[bytes, bytes]], now: float) -> int:
        """Keep blocks, each with its multihash, evictable unless they are pinned. What this took of the disk.

        Raises NoRoom, also when the disk would be left with less than its reserve.
        """
        need_room(self._folder, limits.BLOCK_BYTES_MAX)
        return sum(self._write(multihash, block, now) for multihash, block in blocks)

    def _write(self, multihash: bytes, block: bytes, now: float) -> int:
        if self.has(multihash):
            return 0
        name = _name(multihash)
        temporary = str(self._incoming / f"{next(self._numbers)}")
        try:
            with open(temporary, "xb", buffering=0) as file:
                file.write(block)
            os.utime(temporary, (now, now))
            _move(temporary, _path(self._evictable, name))
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise NoRoom(f"a block cannot be kept: {error.strerror}") from error
        return disk_bytes(len(block))

    def evict(self, need: int) -> int:
        """Delete evictable blocks, those used longest ago first, until so many bytes are given back; how many were.

        Of few blocks the order is exact. Of many, samples of ``SAMPLE_FILES`` are taken in turn, and the oldest eighth
        of each goes: what was used of late stays, and no million of files is looked at for one.
        Where the disk does not let itself be looked at, nothing more is given back.
        """
        freed = 0
        with contextlib.suppress(OSError):
            shards = sorted(os.listdir(self._evictable))
            looked_at = 0  # shards since anything was found to delete
            while freed < need and looked_at < len(shards):
                sample, count = self._sample(shards)
                gone = _deleted(sample, need - freed)
                freed += gone
                looked_at = 0 if gone else looked_at + count
        return freed

    def taken(self) -> int:
        """Bytes of the disk that all blocks take. A walk: a few seconds for a million of them. Raises OSError."""
        shards = (
            os.path.join(shelf, shard) for shelf in (self._evictable, self._pinned) for shard in os.listdir(shelf)
        )
        return sum(disk_bytes(file.size) for shard in shards for file in _files(shard))

    def pin(self, pin: bytes, listed: Iterable[bytes], now: float) -> None:
        """Keep the listed blocks until ``unpin``, in place of what the pin had. Raises NoRoom: one is no longer here.

        A kill leaves all of them pinned or none. One call about pins at a time.
        """
        partial = self._partial(_name(pin))
        try:
            _write_names(partial, map(_name, listed))
            for name in _names(partial):
                self._keep(name)
            os.utime(partial, (now, now))
            replaced = self._aside(_name(pin))
            partial.rename(self._pins / _name(pin))
        except (OSError, NoRoom) as error:
            with contextlib.suppress(OSError):  # What stays is released at the next start.
                self._release([partial])
            raise NoRoom(f"a DAG cannot be pinned: {error}") from error
        with contextlib.suppress(OSError):  # The same.
            self._release(replaced)

    def unpin(self, pin: bytes) -> None:
        """Let the blocks of a pinned DAG be evicted, unless another one has them too. Not pinned: nothing.

        Raises StorageError.
        """
        try:
            self._release(self._aside(_name(pin)))
        except OSError as error:
            raise StorageError(f"a pin cannot be removed: {error.strerror}") from error

    def unpin_some(self, before: float) -> int:
        """The same of what was pinned before that time; how many pins, so few that their lists fit into memory."""
        due: list[str] = []
        list_bytes = 0
        try:
            for file in _files(str(self._pins)):
                if file.used_at < before and not file.path.endswith(_PARTIAL) and list_bytes < _LISTS_BYTES:
                    list_bytes += file.size
                    due.append(os.path.basename(file.path))
            self._release([partial for name in due for partial in self._aside(name)])
        except OSError as error:
            raise StorageError(f"a pin cannot be removed: {error.strerror}") from error
        return len(due)

    def _partial(self, name: str) -> Path:
        return self._pins / f"{name}-{next(self._numbers)}{_PARTIAL}"

    def _aside(self, name: str) -> list[Path]:
        """A pin as one that is not whole any more; none when there is none."""
        partial = self._partial(name)
        try:
            (self._pins / name).rename(partial)
        except FileNotFoundError:
            return []
        return [partial]

    def _keep(self, name: str) -> None:
        pinned = _path(self._pinned, name)
        try:
            _move(_path(self._evictable, name), pinned)
        except FileNotFoundError:
            if not os.path.exists(pinned):
                raise NoRoom("a block of it was evicted meanwhile") from None

    def _release(self, partials: Sequence[Path]) -> None:
        """The inverse of ``pin``, however far that came."""
        free = {name for partial in partials for name in _names(partial)}
        for pin in self._pins.iterdir() if free else ():
            if pin.suffix != _PARTIAL:
                free.difference_update(_names(pin))
        for name in free:
            with contextlib.suppress(FileNotFoundError):
                _move(_path(self._pinned, name), _path(self._evictable, name))
        for partial in partials:
            partial.unlink(missing_ok=True)

    def _sample(self, shards: list[str]) -> tuple[list[_File], int]:
        """Files of the shards whose turn it is, and how many shards that were."""
        sample: list[_File] = []
        for count in range(1, len(shards) + 1):
            self._next_shard = (self._next_shard + 1) % len(shards)
            sample += _files(os.path.join(self._evictable, shards[self._next_shard]))
            if len(sample) >= self._sample_files:
                return sample, count
        return sample, len(shards)


def _used(path: str, now: float) -> bytes:
    with open(path, "rb", buffering=0) as file:
        found = os.fstat(file.fileno())
        if now - found.st_mtime > TOUCH_S:
            with contextlib.suppress(OSError):  # A disk that has become read-only can still be used.
                os.utime(file.fileno(), (now, now))
        return file.read(limits.BLOCK_BYTES_MAX + 1)


def _deleted(sample: list[_File], need: int) -> int:
    freed = 0
    for file in sorted(sample, key=attrgetter("used_at"))[: max(1, len(sample) // _EVICTED_OF_SAMPLE)]:
        if freed >= need:
            break
        with contextlib.suppress(OSError):
            os.unlink(file.path)
            freed += disk_bytes(file.size)
    return freed


def _files(shard: str) -> Iterator[_File]:
    """Of one folder; others may be deleting at the same time."""
    with contextlib.suppress(FileNotFoundError), os.scandir(shard) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                found = entry.stat(follow_symlinks=False)
                yield _File(found.st_mtime, found.st_size, entry.path)


def _move(path: str, to: str) -> None:
    try:
        os.rename(path, to)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(to), mode=0o700, exist_ok=True)
        os.rename(path, to)


def _write_names(path: Path, names: Iterable[str]) -> None:
    with path.open("x") as file:
        file.writelines(f"{name}\n" for name in names)
        file.flush()
        os.fsync(file.fileno())


def _names(path: Path) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError), path.open() as file:
        for line in file:
            if line.endswith("\n") and len(line) > _NAME_CHARS_MIN:  # A kill may have cut the list of a partial pin.
                yield line[:-1]


def _path(shelf: str, name: str) -> str:
    return f"{shelf}/{name[-3:-1]}/{name}"


def _name(multihash: bytes) -> str:
    return b32encode(multihash).decode().rstrip("=").lower()
