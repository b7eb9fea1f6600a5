"""When to try an unreachable peer again, and when to give up on it. Pure: time is an argument, chance too."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from node import limits
from node.model import PeerId

RETRY_S_MIN, RETRY_S_MAX = 0.5, 60.0


def pause_s(failures: int, chance: float) -> float:
    """How long to wait after so many failures in a row; ``chance`` in [0, 1) spreads it over half to all of that."""
    full = min(RETRY_S_MIN * 2.0 ** min(failures - 1, 16), RETRY_S_MAX)
    return full * (0.5 + chance / 2)


@dataclass(frozen=True, slots=True)
class _Failure:
    count: int
    again_at: float


class Retries:
    """Failures in a row, by peer; those of the longest ago are forgotten first."""

    def __init__(self) -> None:
        self._failures: OrderedDict[PeerId, _Failure] = OrderedDict()

    def due_at(self, peer: PeerId) -> float:
        """When ``peer`` may be tried."""
        failure = self._failures.get(peer)
        return failure.again_at if failure else float("-inf")

    def failed(self, peer: PeerId, now: float, chance: float) -> int:
        """One more failure; how many in a row that makes."""
        before = self._failures.pop(peer, None)
        count = before.count + 1 if before else 1
        self._failures[peer] = _Failure(count, now + pause_s(count, chance))
        if len(self._failures) > limits.BOOK_PEERS_MAX:
            self._failures.popitem(last=False)
        return count

    def succeeded(self, peer: PeerId) -> None:
        """The next failure is the first."""
        self._failures.pop(peer, None)
