"""Time, chance and blocking work as arguments, so that roles can be simulated.

The simulator passes virtual time, a seeded source and ``inline``; ``serve`` passes ``AMBIENT``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import trio

THREADS_MAX = 16

_T = TypeVar("_T")


class Offload(Protocol):
    """Runs a blocking call somewhere else; not cancelled half-way: the caller waits for its end."""

    def __call__(self, call: Callable[..., _T], *args: Any) -> Awaitable[_T]:
        """Await the result, or the exception, of ``call(*args)``."""


class Threads:
    """Offload to worker threads, at most ``THREADS_MAX`` at once."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(THREADS_MAX)

    async def __call__(self, call: Callable[..., _T], *args: Any) -> _T:
        """See Offload."""
        return await trio.to_thread.run_sync(call, *args, limiter=self._limiter)


async def inline(call: Callable[..., _T], *args: Any) -> _T:
    """Offload for the simulator: autojump clocks do not see threads."""
    await trio.lowlevel.checkpoint()
    return call(*args)


@dataclass(frozen=True, slots=True)
class Ambient:
    """What a role gets of the outside world besides its drivers."""

    now: Callable[[], float] = time.time  # seconds since 1970-01-01 UTC
    token: Callable[[int], bytes] = secrets.token_bytes  # n cryptographically random bytes
    offload: Offload = field(default_factory=Threads)
