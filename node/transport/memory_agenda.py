"""What a node of the memory network has yet to do, in order of time."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable

import trio


class Agenda:
    """Plain calls, each at its time; at the same time in the order in which they were put here."""

    def __init__(self) -> None:
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._woken = trio.Event()

    def put(self, due: float, call: Callable[[], None]) -> None:
        """Have a call made at a time."""
        heapq.heappush(self._calls, (due, next(self._order), call))
        self._woken.set()

    def perform(self) -> None:
        """Make the calls that are due."""
        while self._calls and self._calls[0][0] <= trio.current_time():
            _, _, call = heapq.heappop(self._calls)
            call()

    async def due(self) -> None:
        """Wait for the next one."""
        self._woken = trio.Event()
        with trio.move_on_at(self._calls[0][0] if self._calls else math.inf):
            await self._woken.wait()
