"""What is given away and what is left: a ledger of reservations. Pure; one owner.

Reservations wait in the order of their arrival, but one that fits now starts before a larger one that does not (greedy
with backfill), until that has been overtaken ``OVERTAKEN_MAX`` times: then nothing behind it starts before it does. So
what fits alone is never starved by an endless stream of small ones. The sum of what is taken is never above the total.
CPU is counted in thousandths of a core, so that sums are exact; GPUs are given one by one, each to one execution.
Does not live here: how long anything takes (``node.compute.forecast``), who may ask (``node.compute.admission``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from node import limits
from node.config import Capacity
from node.model import ExecutionId, Resources

OVERTAKEN_MAX = 16


@dataclass(frozen=True, slots=True)
class Need:
    """Thousandths of a core; bytes; bytes; whole GPUs."""

    cpu_m: int
    memory_bytes: int
    disk_bytes: int
    gpus: int = 0

    def within(self, other: Need) -> bool:
        """Whether ``other`` has room for it."""
        return (
            self.cpu_m <= other.cpu_m
            and self.memory_bytes <= other.memory_bytes
            and self.disk_bytes <= other.disk_bytes
            and self.gpus <= other.gpus
        )

    def plus(self, other: Need) -> Need:
        """Both together."""
        return Need(
            self.cpu_m + other.cpu_m,
            self.memory_bytes + other.memory_bytes,
            self.disk_bytes + other.disk_bytes,
            self.gpus + other.gpus,
        )

    def minus(self, other: Need) -> Need:
        """What is left when ``other`` is taken away."""
        return self.plus(Need(-other.cpu_m, -other.memory_bytes, -other.disk_bytes, -other.gpus))


def need_of(resources: Resources, input_bytes: int = 0) -> Need:
    """What one execution reserves."""
    cpu_m = max(1, round(resources.cpu * 1000))
    return Need(cpu_m, resources.memory_bytes, resources.disk_bytes + input_bytes, resources.gpus)


def total_of(capacity: Capacity, gpus: int = 0) -> Need:
    """What all executions may have together, where the node has so many GPUs."""
    return Need(round(capacity.total_cpu * 1000), capacity.total_memory_bytes, capacity.total_disk_bytes, gpus)


def job_limit(capacity: Capacity, gpus: int = 0) -> Need:
    """The most that one job may ask for; never more than there is, or it would wait for ever."""
    total = total_of(capacity, gpus)
    return Need(
        min(round(capacity.job_cpu * 1000), total.cpu_m),
        min(capacity.job_memory_bytes, total.memory_bytes),
        min(capacity.job_disk_bytes, total.disk_bytes),
        gpus if capacity.job_gpus is None else min(capacity.job_gpus, gpus),
    )


def refusal(need: Need, limit: Need) -> str | None:
    """Why a need is over a limit, in words; None when it is not."""
    if need.cpu_m > limit.cpu_m:
        return f"it asks for {need.cpu_m / 1000:g} cores, this node gives a job {limit.cpu_m / 1000:g}"
    if need.memory_bytes > limit.memory_bytes:
        return f"it asks for {need.memory_bytes} bytes of memory, this node gives a job {limit.memory_bytes}"
    if need.disk_bytes > limit.disk_bytes:
        return f"it asks for {need.disk_bytes} bytes of disk, this node gives a job {limit.disk_bytes}"
    if need.gpus > limit.gpus:
        return f"it asks for {need.gpus} GPUs, this node gives a job {limit.gpus}"
    return None


def slots(need: Need, total: Need) -> int:
    """How many executions of one job to have under way: as many as fit when there is nothing else, but not too many."""
    fit = min(total.cpu_m // need.cpu_m, total.memory_bytes // need.memory_bytes, total.disk_bytes // need.disk_bytes)
    if need.gpus:
        fit = min(fit, total.gpus // need.gpus)
    return max(1, min(limits.SLOTS_MAX, fit))


@dataclass(slots=True)
class _Waiting:
    need: Need
    overtaken: int = 0  # by how many that came later


class Ledger:
    """Who has what, and who waits. ``gpus``: their ids."""

    def __init__(self, total: Need, gpus: Sequence[str] = ()) -> None:
        assert len(set(gpus)) == len(gpus) == total.gpus
        self.total = total
        self._left = total
        self._free_gpus = list(gpus)
        self._taken: dict[ExecutionId, Need] = {}
        self._gpus: dict[ExecutionId, tuple[str, ...]] = {}
        self._waiting: dict[ExecutionId, _Waiting] = {}

    @property
    def left(self) -> Need:
        """What nobody has."""
        return self._left

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def gpus_of(self, execution: ExecutionId) -> tuple[str, ...]:
        """The ids of those that it has."""
        return self._gpus.get(execution, ())

    def would_start(self, need: Need) -> bool:
        """Whether it would start at once if it were asked for now."""
        return need.within(self._left) and not _is_held_up(self._waiting.values())

    def ask(self, execution: ExecutionId, need: Need) -> bool:
        """Take it now (True), or wait for it."""
        assert execution not in self._taken
        assert execution not in self._waiting
        if not self.would_start(need):
            self._waiting[execution] = _Waiting(need)
            return False
        _overtake(self._waiting.values())
        self._take(execution, need)
        return True

    def withdraw(self, execution: ExecutionId) -> tuple[ExecutionId, ...]:
        """It does not wait any more; what it has taken stays taken. Returns who may start now, in order."""
        return () if self._waiting.pop(execution, None) is None else self._started()

    def keep_disk(self, execution: ExecutionId, disk_bytes: int) -> tuple[ExecutionId, ...]:
        """The run is over, its results stay. Returns who may start now, in order."""
        self._give(execution)
        self._take(execution, Need(0, 0, disk_bytes))
        return self._started()

    def give_back(self, execution: ExecutionId) -> tuple[ExecutionId, ...]:
        """Nothing of it is left; again, nothing happens. Returns who may start now, in order."""
        self._waiting.pop(execution, None)
        self._give(execution)
        return self._started()

    def _started(self) -> tuple[ExecutionId, ...]:
        started: list[ExecutionId] = []
        passed: list[_Waiting] = []
        for execution, waiting in tuple(self._waiting.items()):
            if waiting.need.within(self._left):
                del self._waiting[execution]
                _overtake(passed)
                self._take(execution, waiting.need)
                started.append(execution)
            else:
                passed.append(waiting)
            if _is_held_up(passed):
                break
        return tuple(started)

    def _take(self, execution: ExecutionId, need: Need) -> None:
        self._left = self._left.minus(need)
        self._taken[execution] = need
        if need.gpus:
            self._gpus[execution] = tuple(self._free_gpus[: need.gpus])
            del self._free_gpus[: need.gpus]

    def _give(self, execution: ExecutionId) -> None:
        self._left = self._left.plus(self._taken.pop(execution, Need(0, 0, 0)))
        self._free_gpus.extend(self._gpus.pop(execution, ()))


def _overtake(passed: Iterable[_Waiting]) -> None:
    for waiting in passed:
        waiting.overtaken += 1


def _is_held_up(waiting: Iterable[_Waiting]) -> bool:
    """Whether nobody may start before one of these. The first has waited longest, so it was overtaken most often."""
    first = next(iter(waiting), None)
    return first is not None and first.overtaken >= OVERTAKEN_MAX
