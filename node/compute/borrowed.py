"""Inputs that are used where they lie, and that others may change meanwhile: looked at before a run and after it.

A look is one walk of what the run sees, not of the whole input for a shard: names, sizes, times and inodes, no bytes.
What a program could not open, or what would hold it up, is refused before the run, with a reason; what changed during
it is, too, because an honest node would else be taken for a liar.
Does not live here: what the node keeps itself (``node.storage.cache``), which nobody changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from node import limits
from node.ambient import Offload
from node.errors import ExecutionFailed, StorageError
from node.executor.base import Mount
from node.storage import tree


@dataclass(frozen=True, slots=True)
class Borrowed:
    """One input as a run sees it, and how it lay before."""

    look: Offload
    mounts: tuple[Mount, ...]
    fingerprint: str

    async def need_unchanged(self) -> None:
        """Raise ExecutionFailed unless it lies as it did."""
        try:
            _, after = await self.look(_looked_at, self.mounts)
        except StorageError as error:
            raise ExecutionFailed("data", f"while the run was reading it, {error}") from error
        if after != self.fingerprint:
            guest = self.mounts[0].within or self.mounts[0].guest
            raise ExecutionFailed("data", f"the input at {guest} changed while the run was reading it")


async def borrowed(look: Offload, mounts: Sequence[Mount]) -> Borrowed:
    """``mounts``, at least one, of one input that is not the node's own, before the run. Raises StorageError."""
    return Borrowed(look, *await look(_looked_at, mounts))


def _looked_at(mounts: Sequence[Mount]) -> tuple[tuple[Mount, ...], str]:
    """With those that need it marked as to be bound. Blocking."""
    fingerprint = tree.fingerprint(_everything(mounts))
    return tuple(
        replace(mount, is_bound=mount.within is not None or mount.host.is_file()) for mount in mounts
    ), fingerprint


def _everything(mounts: Sequence[Mount]) -> Iterator[tree.Found]:
    left = limits.INPUT_ENTRIES_MAX
    for mount in mounts:
        try:
            for found in tree.openable(mount.host, left):
                left -= 1
                yield tree.Found(f"{mount.guest}/{found.path}", found.status)
        except StorageError as error:
            raise StorageError(f"the input at {mount.guest} {error}") from error
