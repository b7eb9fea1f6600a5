"""Which execution of a job begins next: shards in their order, nodes by how much they take. Pure; one owner.

A node works on at most as many executions of a job as it bid for, takes up shards in their order, and gets the next one
when one ends. Only so many shards are begun and not settled at a time: what has won and waits to be handed over holds
up what comes behind it, so that nodes do not fill their disks with results nobody fetches. Because every node takes
shards in the same order, the first shard that is not settled never waits for a later one.

Nothing here looks at all shards: a shard costs its draw when it is begun, and a step for each of its executions.
A node that left keeps its place in the draw: what it would have run is lost, and nobody else is asked.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from node import limits
from node.model import PeerId, Plan

HELD_MAX = 128  # Executions of one job on one node that have begun and whose shard is not settled.
WINDOW_MAX = 1_024  # Shards begun and not settled.


@dataclass(frozen=True, slots=True)
class Begin:
    """This shard is begun, on these nodes, in the order of the draw. ``lost``: those of them that have left.

    ``spared`` comes with the last shard: bidders that were not drawn for any.
    """

    shard: int
    peers: tuple[PeerId, ...]
    lost: tuple[PeerId, ...]
    spared: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """This node has room for its execution of this shard."""

    shard: int
    peer: PeerId


class Schedule:
    """Of one job. ``slots`` are those of all bidders; ``drawn`` gives the nodes of a shard."""

    def __init__(
        self, shards: int, slots: Mapping[PeerId, int], drawn: Callable[[int], tuple[PeerId, ...]], *, window: int
    ) -> None:
        self._shards = shards
        self._slots = dict(slots)
        self._drawn = drawn
        self._window = min(window, WINDOW_MAX)
        self._begun = 0
        self._unsettled = 0
        self._queues: dict[PeerId, deque[int]] = {}  # shards that wait for a node
        self._able: dict[PeerId, None] = {}  # nodes that have a queue and room
        self._open: Counter[PeerId] = Counter()
        self._held: Counter[PeerId] = Counter()  # open ones, and those whose shard is not settled
        self._gone: set[PeerId] = set()
        self.engaged: set[PeerId] = set()  # nodes that have been given something

    @property
    def begun(self) -> int:
        """How many shards have been begun: those with a lower number."""
        return self._begun

    def next(self) -> Begin | Turn | None:
        """What to do now; None: nothing until something ends."""
        for peer in self._able:
            return self._turn(peer)
        if self._begun < self._shards and self._unsettled < self._window:
            return self._begin()
        return None

    def ended(self, peer: PeerId, *, is_held: bool) -> None:
        """An execution that had begun has ended; ``is_held``: its node keeps a result of it."""
        self._open[peer] -= 1
        self._held[peer] -= not is_held
        self._check(peer)

    def settled(self, held_by: tuple[PeerId, ...]) -> None:
        """A shard is settled, and these nodes keep nothing of it any more."""
        self._unsettled -= 1
        for peer in held_by:
            self._held[peer] -= 1
            self._check(peer)

    def left(self, peer: PeerId) -> None:
        """It will not run anything any more."""
        self._gone.add(peer)
        self._queues.pop(peer, None)
        self._able.pop(peer, None)

    def _begin(self) -> Begin:
        shard = self._begun
        peers = self._drawn(shard)
        self._begun += 1
        self._unsettled += 1
        for peer in peers:
            if peer not in self._gone:
                self._queues.setdefault(peer, deque()).append(shard)
                self._check(peer)
        lost = tuple(peer for peer in peers if peer in self._gone)
        return Begin(shard, peers, lost, self._spared() if self._begun == self._shards else ())

    def _spared(self) -> tuple[PeerId, ...]:
        return tuple(
            peer
            for peer in self._slots
            if peer not in self.engaged and peer not in self._queues and peer not in self._gone
        )

    def _turn(self, peer: PeerId) -> Turn:
        shard = self._queues[peer].popleft()
        self._open[peer] += 1
        self._held[peer] += 1
        self.engaged.add(peer)
        del self._able[peer]  # Behind the others, if it has room for more.
        self._check(peer)
        return Turn(shard, peer)

    def _check(self, peer: PeerId) -> None:
        has_room = self._open[peer] < self._slots[peer] and self._held[peer] < HELD_MAX
        if has_room and self._queues.get(peer):
            self._able[peer] = None
        else:
            self._able.pop(peer, None)


def window_for(slots: Mapping[PeerId, int], concurrency: int) -> int:
    """How many shards to have under way: enough for every slot twice."""
    return max(16, 2 * -(-sum(slots.values()) // concurrency))


def slots_for(plan: Plan) -> int:
    """How many executions may be under way on one node, by how long the paths are that they come with."""
    widest = max(sum(map(len, shard)) for shard in plan)
    return max(1, min(limits.SLOTS_MAX, limits.ACCEPTED_PATHS_BYTES // widest))
