"""Workers between their runs: which of them stay warm, and how one ends, with all that it had.

Does not live here: which one is taken (``pool``), what a run is (``executor``).
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import trio

from node.ambient import Offload
from node.executor.wasm.desk import Desk
from node.executor.wasm.pool import Key, Pool
from node.executor.wasm.processes import Child
from node.executor.wasm.protocol import WorkerSpec
from node.executor.wasm.tasks import paths_of
from node.removal import remove

IDLE_MAX = 8  # A further idle worker ends the one that is idle for longest.


@dataclass(frozen=True, slots=True)
class Start:
    """What a worker is started with."""

    key: Key
    code: tuple[Path, ...]
    staging: Path
    desk: Desk
    has_view: bool

    @property
    def spec(self) -> WorkerSpec:
        """What the zygote is told."""
        return WorkerSpec(
            code=tuple(map(os.fsencode, self.code)),
            settings=self.key.settings,
            memory_bytes=self.key.memory_bytes,
            reads=paths_of(self.key.reads),
            staging=os.fsencode(self.staging),
            has_view=self.has_view,
        )


@dataclass(slots=True)
class Worker:
    """A process that runs one module for one tenant, again and again."""

    start: Start
    child: Child
    is_shared: bool  # with further runs of the same key
    mounts: int = 0  # in the view of its one run; 0: it has none
    runs: int = 0


class Workers:
    """The idle ones, none for longer than ``idle_s``; ``rest`` is called when there were none for as long again."""

    def __init__(self, offload: Offload, idle_s: float, rest: Callable[[], None]) -> None:
        self._offload = offload
        self._idle_s = idle_s
        self._rest = rest
        self._pool: Pool[Worker] = Pool(IDLE_MAX, idle_s)
        self._kept = trio.Event()
        self._leaving: list[Worker] = []  # Each is a process, and those are bounded by the runs.
        self._left = trio.Event()

    async def serve(self) -> None:
        """Until cancelled; then no worker is left."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._expire)
                nursery.start_soon(self._see_off)
        finally:
            self._dismiss(self._pool.expired(math.inf))
            with trio.CancelScope(shield=True):  # Bounded by how long a process may take to end.
                await self._end_all()

    def take(self, key: Key) -> Worker | None:
        """A warm one, no longer idle."""
        while (worker := self._pool.take(key)) is not None and worker.child.over:
            self._dismiss([worker])
        return worker

    def keep(self, worker: Worker) -> None:
        """It is idle."""
        self._dismiss(self._pool.give(worker.start.key, worker, trio.current_time()))
        self._kept.set()

    async def end(self, worker: Worker) -> None:
        """Kill it, wait for that, and remove what it had; not cancelled half-way."""
        await worker.child.end()
        with trio.CancelScope(shield=True):  # Bounded by the limits of its runs.
            await self._offload(_cleared, worker)

    def _dismiss(self, workers: Iterable[Worker]) -> None:
        for worker in workers:
            worker.child.dismiss()
            self._leaving.append(worker)
        self._left.set()

    async def _see_off(self) -> None:
        """One that broke out may have filled its folder while it was idle: nobody waits for the removal."""
        while True:
            await self._end_all()
            self._left = trio.Event()
            await self._left.wait()

    async def _end_all(self) -> None:
        while self._leaving:
            await self.end(self._leaving.pop())

    async def _expire(self) -> None:
        """End workers that are idle for too long, and say when there have been none for a while."""
        while True:
            expiry = self._pool.next_expiry()
            if expiry is not None:
                await trio.sleep_until(expiry)
                self._dismiss(self._pool.expired(trio.current_time()))
                continue
            with trio.move_on_after(self._idle_s) as scope:
                await self._kept.wait()
            self._kept = trio.Event()
            if scope.cancelled_caught:
                self._rest()


def _cleared(worker: Worker) -> None:
    with contextlib.suppress(OSError):  # Then the sweep at the next start tries again.
        if worker.start.key.reads:
            remove(worker.start.staging)
    worker.start.desk.clear()
