"""Who runs, who waits for room, and about how long: the ledger with what is known of time. Pure; one owner.

Does not live here: the sums (``node.compute.capacity``), the estimate (``node.compute.forecast``), clocks.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from node import limits
from node.compute.capacity import Ledger, Need
from node.compute.forecast import Outlook, Seen, outlook
from node.model import ExecutionId, PeerId, about

OUTLOOK_S = 0.1  # So long an outlook holds, whatever ends meanwhile: whoever asks 1,000 times costs little.
WAIT_S_MIN = 0.1  # Of whoever does have to wait.


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """What an execution wants. ``kind``: the same for runs that may well take equally long."""

    requester: PeerId
    kind: str
    need: Need
    limit_s: float


@dataclass(slots=True)
class _Running:
    booking: Booking
    since: float


@dataclass(slots=True)
class _Kept:
    disk_bytes: int
    since: float
    limit_s: float


class Queue:
    """All times are moments of one clock, in seconds; the executions that a call returns may start, in that order."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: dict[ExecutionId, Booking] = {}
        self._waiting_of: Counter[PeerId] = Counter()
        self._running: dict[ExecutionId, _Running] = {}
        self._kept: dict[ExecutionId, _Kept] = {}
        self._runs = Seen()
        self._keeps = Seen()
        self._outlook: tuple[float, Outlook] | None = None  # and when it was made

    @property
    def total(self) -> Need:
        """All that there is."""
        return self._ledger.total

    @property
    def left(self) -> Need:
        """What nobody has."""
        return self._ledger.left

    def refusal(self, need: Need, requester: PeerId, now: float) -> str | None:
        """Why no more of that requester may come to wait, and when to ask again; None when it may, or need not wait."""
        if self._ledger.would_start(need):
            return None
        full, of_it = self.overfull(), self._waiting_of[requester]
        if full is not None:
            return f"{full}; {again(self.wait_s(need, now))}"
        if of_it >= limits.EXECUTIONS_WAITING_PER_REQUESTER:
            return f"{of_it} executions of yours wait here already; {again(self.wait_s(need, now))}"
        return None

    def overfull(self) -> str | None:
        """Why nothing more may come to wait at all."""
        waiting = self._ledger.waiting
        return f"{waiting} executions wait here already" if waiting >= limits.EXECUTIONS_WAITING_MAX else None

    def wait_s(self, need: Need, now: float) -> float:
        """How long one that came now would wait, about; 0: not at all."""
        if self._ledger.would_start(need):
            return 0.0
        made_at, ahead = self._outlook or (-math.inf, None)
        if ahead is None or now - made_at > OUTLOOK_S:
            made_at, ahead = self._outlook = now, self._looked_ahead(now)
        return max(WAIT_S_MIN, ahead.wait_s(need) - (now - made_at))

    def gpus_of(self, execution: ExecutionId) -> tuple[str, ...]:
        """See Ledger."""
        return self._ledger.gpus_of(execution)

    def ask(self, execution: ExecutionId, booking: Booking, now: float) -> bool:
        """Start it now (True), or have it wait."""
        if self._ledger.ask(execution, booking.need):
            self._running[execution] = _Running(booking, now)
            return True
        if self._outlook is not None:
            made_at, ahead = self._outlook
            self._outlook = made_at, ahead.behind(booking.need, self._taking(booking)[0])
        self._waiting[execution] = booking
        self._waiting_of[booking.requester] += 1
        return False

    def proposed(self, execution: ExecutionId, disk_bytes: int, now: float, keep_s: float) -> tuple[ExecutionId, ...]:
        """It has ended by itself, and its results are kept for so long at most."""
        ran = self._running.pop(execution)
        self._runs.took(ran.booking.kind, now - ran.since, ran.booking.limit_s)
        self._kept[execution] = _Kept(disk_bytes, now, keep_s)
        return self._begun(self._ledger.keep_disk(execution, disk_bytes), now)

    def withdraw(self, execution: ExecutionId, now: float) -> tuple[ExecutionId, ...]:
        """If it waits, it does not any more."""
        if self._forget_waiting(execution) is None:
            return ()
        return self._begun(self._ledger.withdraw(execution), now)

    def give_back(self, execution: ExecutionId, now: float) -> tuple[ExecutionId, ...]:
        """Nothing of it is left; again, nothing happens."""
        self._forget_waiting(execution)
        self._running.pop(execution, None)
        kept = self._kept.pop(execution, None)
        if kept is not None:
            self._keeps.took("", now - kept.since, kept.limit_s)
        return self._begun(self._ledger.give_back(execution), now)

    def _begun(self, executions: tuple[ExecutionId, ...], now: float) -> tuple[ExecutionId, ...]:
        for execution in executions:
            booking = self._forget_waiting(execution)
            assert booking is not None
            self._running[execution] = _Running(booking, now)
        return executions

    def _forget_waiting(self, execution: ExecutionId) -> Booking | None:
        booking = self._waiting.pop(execution, None)
        if booking is not None:
            self._waiting_of[booking.requester] -= 1
            self._waiting_of += Counter()  # forgets zeros
        return booking

    def _looked_ahead(self, now: float) -> Outlook:
        running = [(self._remaining_s(each, now), each.booking.need) for each in self._running.values()]
        kept = [(self._kept_s(each, now), Need(0, 0, each.disk_bytes)) for each in self._kept.values()]
        return outlook(self._ledger.left, [*running, *kept], map(self._taking, self._waiting.values()))

    def _remaining_s(self, ran: _Running, now: float) -> float:
        return self._runs.remaining_s(ran.booking.kind, ran.booking.limit_s, now - ran.since)

    def _kept_s(self, kept: _Kept, now: float) -> float:
        return self._keeps.remaining_s("", kept.limit_s, now - kept.since)

    def _taking(self, booking: Booking) -> tuple[float, Need]:
        return self._runs.expected_s(booking.kind, booking.limit_s), booking.need


def again(seconds: float) -> str:
    """When to try again, in words."""
    return "try again later" if math.isinf(seconds) else f"try again in {about(seconds)}"
