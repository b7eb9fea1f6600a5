"""A job under way, as the role holds it and as watchers see it.

``state`` and ``shards`` are where the machines are; ``shown``, ``shown_shards`` and ``events`` are what has become
durable or needs not to be.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field

import trio

from node import limits
from node.alarms import Alarm
from node.journal.records import JobEvent, JobRecord, ShardRecord
from node.model import ExecutionId, JobId, PeerId, Plan, Sha256
from node.requester.effects import Fetch, Note, Performed
from node.requester.incoming import Collected, Incoming
from node.requester.life import Bidding, Shard, State
from node.requester.schedule import Schedule


@dataclass(slots=True)
class Change:
    """What one event brings about in a job and its shards: written in one go, then shown and performed."""

    effects: list[Performed] = field(default_factory=list)
    changed: dict[int, None] = field(default_factory=dict)  # shards
    moved: dict[int, None] = field(default_factory=dict)  # of them, those that are in another state now
    is_of_job: bool = False  # how many shards are in which state, or more
    is_of_phase: bool = False  # the job itself is in another state
    is_engaging: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to keep or to show."""
        return not (self.changed or self.is_of_job)

    @property
    def is_durable(self) -> bool:
        """Whether it must be on disk before its effects are performed."""
        return self.is_of_phase or bool(self.moved)

    def and_then(self, other: Change) -> Change:
        """Both, in this order."""
        return Change(
            effects=[*self.effects, *other.effects],
            changed=self.changed | other.changed,
            moved=self.moved | other.moved,
            is_of_job=True,
            is_of_phase=self.is_of_phase or other.is_of_phase,
        )


@dataclass(slots=True, eq=False)
class LiveJob:
    """One job between its submission and the end of its last watcher."""

    base: JobRecord
    spec_bytes: int  # and those of its inline files and its plan
    module_bytes: int
    contents: Mapping[Sha256, bytes] = field(default_factory=dict)  # of the spec's inline files
    plan: Plan | None = None  # None: one shard that sees all inputs whole
    slots_max: int = limits.SLOTS_MAX  # executions under way on one node
    state: State = field(default_factory=Bidding)
    shards: dict[int, Shard] = field(default_factory=dict)  # those that have begun
    under_way: dict[int, None] = field(default_factory=dict)  # of them, those that are not settled
    schedule: Schedule | None = None  # once lots are drawn
    shown: JobRecord = field(init=False)
    shown_shards: dict[int, ShardRecord] = field(default_factory=dict)
    events: list[JobEvent] = field(default_factory=list)  # shown
    noted: list[JobEvent] = field(default_factory=list)  # not yet in the journal
    last_seq: int = 0
    saving: int = 0  # writes on their way to the journal
    held: Change | None = None  # until what was won is filed
    offered: bool = False  # its submission is durable
    asked: set[PeerId] = field(default_factory=set)  # who has heard the offer in its present session
    asked_before: dict[PeerId, int] = field(default_factory=dict)  # how often, in all sessions
    told_by: Counter[PeerId] = field(default_factory=Counter)  # lines of progress
    told: set[PeerId] = field(default_factory=set)  # bidders who know already that it is over for them
    logged: dict[int, ExecutionId] = field(default_factory=dict)  # by shard: whose output was shown before its vote
    collected: Collected | None = None
    incoming: dict[int, Incoming] = field(default_factory=dict)  # of the shards that are handing over
    orders: deque[Fetch] = field(default_factory=deque)
    tasks: int = 0  # that fetch and file
    fetching: set[trio.CancelScope] = field(default_factory=set)
    deadlines: dict[ExecutionId, Alarm] = field(default_factory=dict)  # of executions under way
    alarms: list[Alarm] = field(default_factory=list)
    changed: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.shown = self.base

    @property
    def job(self) -> JobId:
        """Its id."""
        return self.base.job

    def ask(self, peer: PeerId) -> bool:
        """Count an offer to ``peer``; False when it has had enough of them, or enough others have."""
        times = self.asked_before.get(peer, 0)
        if times >= limits.OFFERS_PER_PEER or (not times and len(self.asked_before) >= limits.BIDS_MAX):
            return False
        self.asked_before[peer] = times + 1
        self.asked.add(peer)
        return True

    def note(self, note: Note, at: float) -> JobEvent:
        """Number one line of history; it is shown by ``show``, and kept with the next write."""
        self.last_seq += 1
        event = JobEvent(
            seq=self.last_seq,
            at=at,
            kind=note.kind,
            peer=note.peer,
            execution=note.execution,
            shard=note.shard if self.base.shards > 1 else None,
            text=note.text,
        )
        self.noted.append(event)
        return event

    def show(self, record: JobRecord, events: list[JobEvent], shards: Iterable[ShardRecord] = ()) -> None:
        """Let watchers see this."""
        self.shown = record
        self.shown_shards.update((shard.shard, shard) for shard in shards)
        self.events.extend(events)
        self.changed.set()
        self.changed = trio.Event()

    async def ended(self) -> JobRecord:
        """The record once the job has ended."""
        while not self.shown.ended:
            await self.changed.wait()
        return self.shown

    async def taken(self) -> JobRecord:
        """The record once the submission is durable."""
        while not self.offered:
            await self.changed.wait()
        return self.shown

    async def history(self, after: int) -> AsyncGenerator[JobEvent, None]:
        """Events with ``seq`` > ``after``, then live, until the last one."""
        position = max(0, after)  # seq counts from 1 without gaps
        while True:
            while position < len(self.events):
                position += 1
                yield self.events[position - 1]
            if self.shown.ended:
                return
            await self.changed.wait()
