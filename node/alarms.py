"""All deadlines of a role in one task: a heap of moments, not a task for each."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count

import trio

_COMPACT_FROM = 256


class Alarm:
    """One call that is due; ``cancel`` lets go of what it would have called."""

    __slots__ = ("_owner", "call")

    def __init__(self, owner: Alarms, call: Callable[[], None]) -> None:
        self._owner = owner
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """It will not ring. Again, or after it rang: nothing happens."""
        if self.call is not None:
            self.call = None
            self._owner.cancelled()


class Alarms:
    """Calls plain functions at their time, in trio's clock."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._order = count()
        self._cancelled = 0
        self._sooner = trio.Event()

    def after(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """Call it ``seconds`` from now, unless cancelled before."""
        at = trio.current_time() + seconds
        if not self._heap or at < self._heap[0][0]:
            self._sooner.set()
        alarm = Alarm(self, call)
        heapq.heappush(self._heap, (at, next(self._order), alarm))
        return alarm

    def cancelled(self) -> None:
        """Cancelled entries stay in the heap until they are due, or are more than half of it."""
        self._cancelled += 1
        if self._cancelled * 2 > len(self._heap) > _COMPACT_FROM:
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._sooner = trio.Event()
            with trio.move_on_at(self._heap[0][0] if self._heap else math.inf):
                await self._sooner.wait()
            while self._heap and self._heap[0][0] <= trio.current_time():
                self._ring(heapq.heappop(self._heap)[2])

    def _ring(self, alarm: Alarm) -> None:
        call, alarm.call = alarm.call, None
        if call is None:
            self._cancelled -= 1
        else:
            call()
