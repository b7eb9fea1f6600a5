"""What is given away and what is left: a ledger of reservations. Pure; one owner.

Reservations wait in order, but one that fits now starts before a larger one that does not (greedy with backfill); the
sum of what is taken is never above the total. CPU is counted in thousandths of a core, so that sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from node import limits
from node.config import Capacity
from node.model import ExecutionId, Resources


@dataclass(frozen=True, slots=True)
class Need:
    """Thousandths of a core; bytes; bytes."""

    cpu_m: int
    memory_bytes: int
    disk_bytes: int

    def within(self, other: Need) -> bool:
        """Whether ``other`` has room for it."""
        return (
            self.cpu_m <= other.cpu_m
            and self.memory_bytes <= other.memory_bytes
            and self.disk_bytes <= other.disk_bytes
        )


def need_of(resources: Resources, input_bytes: int = 0) -> Need:
    """What one execution reserves."""
    cpu_m = max(1, round(resources.cpu * 1000))
    return Need(cpu_m, resources.memory_bytes, resources.disk_bytes + input_bytes)


def job_limit(capacity: Capacity) -> Need:
    """The most that one job may ask for; never more than there is, or it would wait for ever."""
    return Need(
        round(min(capacity.job_cpu, capacity.total_cpu) * 1000),
        min(capacity.job_memory_bytes, capacity.total_memory_bytes),
        min(capacity.job_disk_bytes, capacity.total_disk_bytes),
    )


def refusal(need: Need, limit: Need) -> str | None:
    """Why a need is over a limit, in words; None when it is not."""
    if need.cpu_m > limit.cpu_m:
        return f"it asks for {need.cpu_m / 1000:g} cores, this node gives a job {limit.cpu_m / 1000:g}"
    if need.memory_bytes > limit.memory_bytes:
        return f"it asks for {need.memory_bytes} bytes of memory, this node gives a job {limit.memory_bytes}"
    if need.disk_bytes > limit.disk_bytes:
        return f"it asks for {need.disk_bytes} bytes of disk, this node gives a job {limit.disk_bytes}"
    return None


def slots(need: Need, total: Need) -> int:
    """How many executions of one job to have under way: as many as fit when there is nothing else, but not too many."""
    fit = min(total.cpu_m // need.cpu_m, total.memory_bytes // need.memory_bytes, total.disk_bytes // need.disk_bytes)
    return max(1, min(limits.SLOTS_MAX, fit))


class Ledger:
    """Who has what, and who waits."""

    def __init__(self, capacity: Capacity) -> None:
        self.total = Need(round(capacity.total_cpu * 1000), capacity.total_memory_bytes, capacity.total_disk_bytes)
        self._left = self.total
        self._taken: dict[ExecutionId, Need] = {}
        self._waiting: dict[ExecutionId, Need] = {}

    @property
    def left(self) -> Need:
        """What nobody has."""
        return self._left

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def ask(self, execution: ExecutionId, need: Need) -> bool:
        """Take it now (True), or wait for it."""
        assert execution not in self._taken
        assert execution not in self._waiting
        if not need.within(self._left):
            self._waiting[execution] = need
            return False
        self._take(execution, need)
        return True

    def withdraw(self, execution: ExecutionId) -> None:
        """It does not wait any more. What it has taken already stays taken."""
        self._waiting.pop(execution, None)

    def keep_disk(self, execution: ExecutionId, disk_bytes: int) -> tuple[ExecutionId, ...]:
        """The run is over, its results stay. Returns who may start now, in order."""
        self._give(execution)
        self._take(execution, Need(0, 0, disk_bytes))
        return self._started()

    def give_back(self, execution: ExecutionId) -> tuple[ExecutionId, ...]:
        """Nothing of it is left. Returns who may start now, in order."""
        self._waiting.pop(execution, None)
        self._give(execution)
        return self._started()

    def _started(self) -> tuple[ExecutionId, ...]:
        started = []
        for execution, need in tuple(self._waiting.items()):
            if need.within(self._left):
                del self._waiting[execution]
                self._take(execution, need)
                started.append(execution)
        return tuple(started)

    def _take(self, execution: ExecutionId, need: Need) -> None:
        left = self._left
        self._left = Need(
            left.cpu_m - need.cpu_m, left.memory_bytes - need.memory_bytes, left.disk_bytes - need.disk_bytes
        )
        self._taken[execution] = need

    def _give(self, execution: ExecutionId) -> None:
        need = self._taken.pop(execution, Need(0, 0, 0))
        left = self._left
        self._left = Need(
            left.cpu_m + need.cpu_m, left.memory_bytes + need.memory_bytes, left.disk_bytes + need.disk_bytes
        )
