"""A requester without a network: keeps jobs in memory and lets a test say what happens to them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

from node.errors import Conflict, NotFound
from node.journal.records import JobEvent, JobRecord, ShardRecord
from node.model import ClientId, JobId, JobSpec, PeerId, Plan
from node.requester.jobs import LogItem, LogsAsked
from node.spec import spec_hash

PEER = PeerId("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA")


class FakeJobs:
    """Implements ``node.requester.jobs.Jobs``; ``open_streams`` and ``waiting`` count calls under way, for tests."""

    def __init__(self) -> None:
        self.records: dict[JobId, JobRecord] = {}
        self.history: dict[JobId, list[JobEvent]] = {}
        self.receipts: dict[JobId, bytes] = {}
        self.shard_records: dict[JobId, tuple[ShardRecord, ...]] = {}
        self.plans: dict[JobId, Plan] = {}
        self.submit_error: Exception | None = None
        self.ends_at_once = False
        self.output: Callable[[JobId], AsyncIterator[LogItem]] = _says_nothing
        self.logs_asked: list[LogsAsked] = []
        self.logs_error: Exception | None = None
        self.open_streams = 0
        self.waiting = 0
        self.delivered = 0
        self._changed = trio.Event()
        self._counter = itertools.count(1)

    # What a test says -------------------------------------------------------------------------------------------

    def happens(self, job: JobId, kind: str, **changes: object) -> JobEvent:
        """An event of the job, and what it changes in the record."""
        events = self.history[job]
        event = JobEvent(seq=len(events) + 1, at=1_700_000_000.0 + len(events), kind=kind, peer=PEER, text="what came")
        events.append(event)
        self.records[job] = msgspec.structs.replace(self.records[job], **changes)
        changed, self._changed = self._changed, trio.Event()
        changed.set()
        return event

    def ends(self, job: JobId, state: str = "completed", **changes: object) -> None:
        """The last event."""
        self.happens(job, "ended", state=state, ended_at=1_700_000_100.0, **changes)

    # What the API asks ------------------------------------------------------------------------------------------

    async def submit(self, client: ClientId, spec: JobSpec) -> JobRecord:
        await trio.lowlevel.checkpoint()
        if self.submit_error is not None:
            raise self.submit_error
        job = JobId(f"{next(self._counter):08x}" + "ab" * 12)
        self.records[job] = JobRecord(
            job=job,
            client=client,
            spec=spec,
            spec_sha256=spec_hash(spec),
            submitted_at=1_700_000_000.0,
            deadline=1_700_001_000.0,
        )
        self.history[job] = []
        self.happens(job, "submitted")
        if self.ends_at_once:
            self.ends(job)
        return self.records[job]

    async def plan(self, client: ClientId, spec: JobSpec) -> Plan:
        await trio.lowlevel.checkpoint()
        if self.submit_error is not None:
            raise self.submit_error
        return (tuple(ref.path for ref in spec.inputs),)

    async def shards(
        self, client: ClientId, name: str, *, after: int = -1, limit: int, states: Collection[str] = ()
    ) -> tuple[ShardRecord, ...]:
        record = await self.find(client, name)
        kept = self.shard_records.get(record.job) or (ShardRecord(shard=0),)
        return tuple(shard for shard in kept if shard.shard > after and (not states or shard.state in states))[:limit]

    async def paths(self, client: ClientId, name: str, shards: Collection[int]) -> Mapping[int, Sequence[str]]:
        record = await self.find(client, name)
        return {shard: self.plans[record.job][shard] for shard in shards}

    async def find(self, client: ClientId, name: str) -> JobRecord:
        await trio.lowlevel.checkpoint()
        found = [r for r in self.records.values() if r.client == client and r.job.startswith(name)]
        if not found:
            raise NotFound(f"no job {name!r}")
        if len(found) > 1:
            raise Conflict(f"{name!r} is the beginning of {len(found)} job ids; give more of it")
        return found[0]

    async def recent(self, client: ClientId, limit: int) -> tuple[JobRecord, ...]:
        await trio.lowlevel.checkpoint()
        return tuple(r for r in reversed(self.records.values()) if r.client == client)[:limit]

    async def cancel(self, client: ClientId, name: str) -> JobRecord:
        record = await self.find(client, name)
        if record.ended:
            raise Conflict(f"job {record.job} has ended already ({record.state})")
        self.ends(record.job, "cancelled")
        return self.records[record.job]

    async def wait(self, client: ClientId, name: str, seconds: float) -> JobRecord:
        job = (await self.find(client, name)).job
        self.waiting += 1
        try:
            with trio.move_on_after(seconds):
                while not self.records[job].ended:
                    await self._changed.wait()
        finally:
            self.waiting -= 1
        return self.records[job]

    @asynccontextmanager
    async def events(self, client: ClientId, name: str, after: int) -> AsyncIterator[AsyncIterator[JobEvent]]:
        job = (await self.find(client, name)).job
        self.open_streams += 1
        try:
            yield _Follower(self, job, after)
        finally:
            self.open_streams -= 1

    @asynccontextmanager
    async def logs(self, client: ClientId, name: str, asked: LogsAsked) -> AsyncIterator[AsyncIterator[LogItem]]:
        record = await self.find(client, name)
        self.logs_asked.append(asked)
        if self.logs_error is not None:
            raise self.logs_error
        self.open_streams += 1
        try:
            yield self.output(record.job)
        finally:
            self.open_streams -= 1

    async def receipt(self, client: ClientId, name: str) -> bytes:
        record = await self.find(client, name)
        if record.job not in self.receipts:
            raise NotFound(f"job {record.job} has no receipt ({record.state})")
        return self.receipts[record.job]


async def _says_nothing(_: JobId) -> AsyncIterator[LogItem]:
    yield LogItem(kind="end")


class _Follower:
    """Iterates over the events of a job, those to come included."""

    def __init__(self, jobs: FakeJobs, job: JobId, after: int) -> None:
        self._jobs = jobs
        self._job = job
        self._next = after

    def __aiter__(self) -> _Follower:
        return self

    async def __anext__(self) -> JobEvent:
        await trio.lowlevel.checkpoint()
        history = self._jobs.history[self._job]
        while self._next >= len(history):
            if history and history[-1].kind == "ended":
                raise StopAsyncIteration
            await self._jobs._changed.wait()
        self._next += 1
        self._jobs.delivered += 1
        return history[self._next - 1]
