"""Whose turn it is where few places must serve everybody: nobody's many pieces of work keep another's one waiting.

A small module can take a compiler for a minute, a sparse result a thread for as long, and whoever sends one can send a
thousand. So a party has all places but one at most, and among those who wait it is the turn of the party that was
served longest ago, then of the tenant of it, then of whoever came first. A party is what stands before the first slash
of a tenant: a requester may name any number of clients.
Does not live here: what is done in a place.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

REMEMBERED_MAX = 1024  # Who was served longest ago counts as never served.


@dataclass(eq=False, slots=True)
class _Waiter:
    tenant: str
    turn: trio.Event = field(default_factory=trio.Event)

    @property
    def party(self) -> str:
        return self.tenant.partition("/")[0]


class Turns:
    """So many ``places`` at a time, at least 2."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting: list[_Waiter] = []  # in order of arrival
        self._busy: Counter[str] = Counter()  # places by party
        self._served: OrderedDict[str, int] = OrderedDict()  # parties and tenants, by the number of their last turn
        self._turns = 0

    @asynccontextmanager
    async def one(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
        waiter = _Waiter(tenant)
        self._waiting.append(waiter)
        self._give()
        try:
            await waiter.turn.wait()
            yield
        finally:
            if waiter.turn.is_set():
                self._busy[waiter.party] -= 1
                self._busy += Counter()  # forgets zeros
            else:
                self._waiting.remove(waiter)
            self._give()

    def _give(self) -> None:
        while self._busy.total() < self._places:
            able = [waiter for waiter in self._waiting if self._busy[waiter.party] < self._places - 1]
            if not able:
                return
            chosen = min(able, key=self._last_turn)
            self._waiting.remove(chosen)
            self._busy[chosen.party] += 1
            self._note(chosen)
            chosen.turn.set()

    def _last_turn(self, waiter: _Waiter) -> tuple[int, int]:
        return self._served.get(waiter.party, 0), self._served.get(waiter.tenant, 0)

    def _note(self, waiter: _Waiter) -> None:
        self._turns += 1
        for name in (waiter.tenant, waiter.party):
            self._served[name] = self._turns
            self._served.move_to_end(name)
        while len(self._served) > REMEMBERED_MAX:
            self._served.popitem(last=False)
