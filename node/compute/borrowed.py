"""Inputs that are used where they lie, and that others may change meanwhile: looked at before a run and after it.

A look is one walk of what the run sees, not of the whole input for a shard: names, sizes, times and inodes, no bytes.
What a program could not open, or what would hold it up, is refused before the run, with a reason; what changed during
it is, too, because an honest node would else be taken for a liar. Where runs must be the same on every node, so is a
file with two names among what the run sees: it is one file here, and may be two on another node.
Does not live here: what the node keeps itself (``node.storage.cache``), which nobody changes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from node import limits
from node.ambient import Offload
from node.errors import ExecutionFailed, StorageError
from node.executor.base import Mount
from node.storage import tree

Named = dict[tuple[int, int], str]  # files with further names, by device and inode: where each was seen first


@dataclass(frozen=True, slots=True)
class Borrowed:
    """One input as a run sees it, and how it lay before."""

    look: Offload
    mounts: tuple[Mount, ...]
    fingerprint: str

    async def need_unchanged(self) -> None:
        """Raise ExecutionFailed unless it lies as it did."""
        try:
            _, after = await self.look(_looked_at, self.mounts, None)
        except StorageError as error:
            raise ExecutionFailed("data", f"while the run was reading it, {error}") from error
        if after != self.fingerprint:
            guest = self.mounts[0].within or self.mounts[0].guest
            raise ExecutionFailed("data", f"the input at {guest} changed while the run was reading it")


async def borrowed(look: Offload, mounts: Sequence[Mount], named: Named | None) -> Borrowed:
    """``mounts``, at least one, of one input that is not the node's own, before the run. Raises StorageError.

    ``named``: what was seen in the other inputs of the run; None: a file may have as many names as it likes.
    """
    return Borrowed(look, *await look(_looked_at, mounts, named))


def _looked_at(mounts: Sequence[Mount], named: Named | None) -> tuple[tuple[Mount, ...], str]:
    """With those that need it marked as to be bound, and what they are of. Blocking."""
    fingerprint = tree.fingerprint(_everything(mounts, named))
    try:
        root = (mounts[0].root or mounts[0].host).stat()
    except OSError as error:
        raise StorageError(f"the input at {mounts[0].guest} cannot be read: {error.strerror}") from error
    return tuple(_marked(mount, (root.st_dev, root.st_ino)) for mount in mounts), fingerprint


def _marked(mount: Mount, inode: tuple[int, int]) -> Mount:
    return replace(mount, is_bound=mount.within is not None or mount.host.is_file(), inode=inode)


def _everything(mounts: Sequence[Mount], named: Named | None) -> Iterator[tree.Found]:
    left = limits.INPUT_ENTRIES_MAX
    for mount in mounts:
        try:
            for found in _shown(mount, left):
                left -= 1
                _need_one_name(found, named)
                yield found
        except StorageError as error:
            raise StorageError(f"the input at {mount.guest} {error}") from error


def _shown(mount: Mount, most: int) -> Iterator[tree.Found]:
    """By guest paths."""
    for found in tree.openable(mount.host, most):
        yield tree.Found(f"{mount.guest}/{found.path}" if found.path else mount.guest, found.status)


def _need_one_name(found: tree.Found, named: Named | None) -> None:
    """Also of one file that is shown in two places, if it has two names: nobody knows what it would be elsewhere."""
    status = found.status
    if named is None or not stat.S_ISREG(status.st_mode) or status.st_nlink == 1:
        return
    first = named.setdefault((status.st_dev, status.st_ino), found.path)
    if first != found.path:
        raise StorageError(f"has a file with two names, {first} and {found.path} (a hard link); give it as a copy")
