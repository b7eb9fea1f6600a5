"""A job under way, as the role holds it and as watchers see it.

``state`` is where the machine is; ``shown`` and ``events`` are what has become durable or needs not to be.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

import trio

from node import limits
from node.alarms import Alarm
from node.journal.records import JobEvent, JobRecord
from node.model import JobId, PeerId, Plan, Sha256
from node.requester.handover import Incoming
from node.requester.life import Bidding, Note, State


@dataclass(slots=True, eq=False)
class LiveJob:
    """One job between its submission and the end of its last watcher."""

    base: JobRecord
    spec_bytes: int
    module_bytes: int
    contents: Mapping[Sha256, bytes] = field(default_factory=dict)  # of the spec's inline files
    plan: Plan | None = None  # None: one shard that sees all inputs whole
    state: State = field(default_factory=Bidding)
    shown: JobRecord = field(init=False)
    events: list[JobEvent] = field(default_factory=list)  # shown
    noted: list[JobEvent] = field(default_factory=list)  # not yet in the journal
    last_seq: int = 0
    saving: int = 0  # snapshots on their way to the journal
    offered: bool = False  # its submission is durable
    asked: set[PeerId] = field(default_factory=set)  # who has heard the offer in its present session
    asked_before: dict[PeerId, int] = field(default_factory=dict)  # how often, in all sessions
    incoming: Incoming | None = None
    fetching: trio.CancelScope | None = None
    hand_over_by: float | None = None  # trio's clock
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
        """Number one line of history; it is shown by ``show``, and kept with the next snapshot."""
        self.last_seq += 1
        event = JobEvent(
            seq=self.last_seq, at=at, kind=note.kind, peer=note.peer, execution=note.execution, text=note.text
        )
        self.noted.append(event)
        return event

    def show(self, record: JobRecord, events: list[JobEvent]) -> None:
        """Let watchers see this."""
        self.shown = record
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
