"""Which worker runs next, and which idle one ends: a table, no processes.

Does not live here: starting and ending (``executor``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from node.executor.wasm.settings import Settings
from node.model import Sha256

_W = TypeVar("_W")


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder as it is now: another one that takes its place is not reached by who could reach it."""

    path: bytes
    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Key:
    """Whom a worker belongs to, for life: nothing warm goes from one tenant to another."""

    tenant: str
    module: Sha256
    memory_bytes: int  # A limit of the process.
    settings: Settings
    reads: tuple[Place, ...]  # The inputs that it can reach, and no others,
    results: bytes  # The folder in which results lie: its own moves among them.


@dataclass(frozen=True, slots=True)
class _Idle(Generic[_W]):
    key: Key
    worker: _W
    since: float


class Pool(Generic[_W]):
    """Idle workers, at most ``size``, none idle for longer than ``life_s``. Times are any one monotonic clock's."""

    def __init__(self, size: int, life_s: float) -> None:
        self._size = size
        self._life_s = life_s
        self._idle: list[_Idle[_W]] = []  # The one idle for longest first.

    def take(self, key: Key) -> _W | None:
        """The worker of ``key`` that was busy last (its caches are warmest), no longer idle."""
        for i in range(len(self._idle) - 1, -1, -1):
            if self._idle[i].key == key:
                return self._idle.pop(i).worker
        return None

    def give(self, key: Key, worker: _W, now: float) -> list[_W]:
        """``worker`` is idle; returns those that must end to make room."""
        self._idle.append(_Idle(key, worker, now))
        surplus = max(0, len(self._idle) - self._size)
        old, self._idle = self._idle[:surplus], self._idle[surplus:]
        return [idle.worker for idle in old]

    def expired(self, now: float) -> list[_W]:
        """Those idle for too long, no longer here."""
        old = [idle for idle in self._idle if idle.since + self._life_s <= now]
        self._idle = self._idle[len(old) :]
        return [idle.worker for idle in old]

    def next_expiry(self) -> float | None:
        """When ``expired`` should be asked again; None while nobody is idle."""
        return self._idle[0].since + self._life_s if self._idle else None
