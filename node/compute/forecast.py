"""How long an execution would wait for room here: what ``wait_s`` of a bid means. Pure.

The queue is played forward in strict order of arrival, with every execution taking as long as it is expected to. A
small one may start earlier than that, because it may fill a gap; nothing that arrives later is counted. What one is
expected to take is the median of the last runs of its kind (the same program of the same client), where there are
some; else its time limit by the share of their limits that other runs took here, the median again; else its limit.
Once it has taken longer than expected, only its limit is known. So it is an upper estimate on a node that knows
nothing, and tends to the median on one that has seen much.
Does not live here: what is reserved (``node.compute.capacity``), clocks.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from statistics import median

from node import limits
from node.compute.capacity import Need

SHARES_MIN = 8  # Runs of whatever kind, before they say anything about another kind.


class Seen:
    """Run times of this node."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[str, deque[float]] = OrderedDict()
        self._shares: deque[float] = deque(maxlen=8 * limits.TIMES_SEEN_MAX)

    def took(self, kind: str, seconds: float, limit_s: float) -> None:
        """A run of that kind has ended by itself."""
        times = self._kinds.setdefault(kind, deque(maxlen=limits.TIMES_SEEN_MAX))
        times.append(seconds)
        self._kinds.move_to_end(kind)
        if len(self._kinds) > limits.KINDS_SEEN_MAX:
            self._kinds.popitem(last=False)
        self._shares.append(min(1.0, seconds / limit_s))

    def expected_s(self, kind: str, limit_s: float) -> float:
        """How long a run takes; never more than its limit."""
        times = self._kinds.get(kind)
        if times:
            return min(limit_s, median(times))
        return limit_s * (median(self._shares) if len(self._shares) >= SHARES_MIN else 1.0)

    def remaining_s(self, kind: str, limit_s: float, elapsed_s: float) -> float:
        """How much longer one takes that has run for so long."""
        expected_s = self.expected_s(kind, limit_s)
        return max(0.0, (expected_s if elapsed_s < expected_s else limit_s) - elapsed_s)


@dataclass(frozen=True, slots=True)
class Outlook:
    """How it looks when all that wait have begun, ``at`` seconds from now: what is left, and who ends when after that.

    Whoever comes next follows from it, so it is made once for all of them.
    """

    at: float
    left: Need
    ends: tuple[tuple[float, Need], ...]  # in their order

    def wait_s(self, need: Need) -> float:
        """Seconds until there is room for it; infinite if there never is."""
        return self.behind(need, 0.0).at

    def behind(self, need: Need, takes_s: float) -> Outlook:
        """How it looks when this one, which takes so long, has begun too."""
        at, left = self.at, self.left
        for number, (ends_at, given) in enumerate((*self.ends, (math.inf, need))):
            if need.within(left):
                ends = [*self.ends[number:], (at + takes_s, need)]
                return Outlook(at, left.minus(need), tuple(sorted(ends, key=itemgetter(0))))
            at, left = ends_at, left.plus(given)
        return Outlook(math.inf, left, ())


def outlook(left: Need, running: Iterable[tuple[float, Need]], ahead: Iterable[tuple[float, Need]]) -> Outlook:
    """``running``: when each gives back what, in seconds from now. ``ahead``: how long each of those that wait will
    take, in their order.
    """
    order = count()
    ends = [(at, next(order), taken) for at, taken in running]
    heapq.heapify(ends)
    now = 0.0
    for takes_s, wanted in ahead:
        while not wanted.within(left):
            if not ends:
                return Outlook(math.inf, left, ())
            now, _, given = heapq.heappop(ends)
            left = left.plus(given)
        left = left.minus(wanted)
        heapq.heappush(ends, (now + takes_s, next(order), wanted))
    return Outlook(now, left, tuple((at, given) for at, _, given in sorted(ends)))
