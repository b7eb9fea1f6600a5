"""Looking at files that may lie on a mount that hangs: in threads of its own, each given up after a while.

The kernel lets nobody end such a thread, so it stays until the mount answers, and so few can be lost this way that the
rest of the node never lacks any. Only what reads may be done here: who has given up does not know what still happens.
Does not live here: what is looked at (``tree``, the drivers).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import trio

from node.errors import StorageError

THREADS_MAX = 16  # With all of them lost, everybody who looks is told so after the same while.

_T = TypeVar("_T")


class Looking:
    """An Offload whose calls are given up after ``within_s``, or when they are cancelled. Raises StorageError."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._limiter = trio.CapacityLimiter(THREADS_MAX)

    async def __call__(self, call: Callable[..., _T], *args: Any) -> _T:
        """See Offload."""
        with trio.move_on_after(self._within_s):
            return await trio.to_thread.run_sync(call, *args, abandon_on_cancel=True, limiter=self._limiter)
        raise StorageError(f"cannot be read: its file system does not answer within {self._within_s:g} s")
