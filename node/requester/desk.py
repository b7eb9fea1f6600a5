"""What clients ask of the requester: ``node.requester.jobs.Jobs``, over the role and the journal."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from functools import partial

import trio

from node import limits
from node.ambient import Ambient
from node.errors import Conflict, InvalidSpec, NotFound, TooMany
from node.journal.records import JobEvent, JobRecord, ShardRecord, ShardState, Tally
from node.model import ClientId, JobId, JobSpec, Plan, Sha256, module_of
from node.requester.drafting import Draft, Drafting, Pins
from node.requester.jobs import LogItem, LogsAsked
from node.requester.life import CancelAsked
from node.requester.live import LiveJob
from node.requester.pages import kept_page, live_page
from node.requester.record import life_s
from node.requester.role import Keeping, Requester
from node.requester.schedule import slots_for
from node.spec import canonical, check_size, plan_sha256, sha256_of

_ID_CHARS = 32
_LATELY_S = 1.0
_WAITED_FOR = 64  # jobs that have just ended, whose waiting client is shown them next
_SEVERAL = 2  # enough to know that a prefix is not unique


class JobDesk:
    """Implements Jobs."""

    def __init__(self, requester: Requester, keeping: Keeping, pins: Pins, ambient: Ambient) -> None:
        self._requester = requester
        self._keeping = keeping
        self._journal = keeping.journal
        self._ambient = ambient
        self._drafting = Drafting(pins, ambient.offload)
        self._lately: dict[tuple[ClientId, Sha256], int] = {}  # what has been checked, and its size
        self._lately_until = 0.0  # trio's clock
        self._waited_for: dict[JobId, tuple[JobRecord, Mapping[int, ShardRecord]]] = {}

    async def submit(self, client: ClientId, spec: JobSpec) -> JobRecord:
        """See Jobs."""
        module = module_of(spec.engine)
        with nullcontext() if module is None else self._keeping.modules.held(module):
            module_bytes = 0 if module is None else await self._module_bytes(client, module)
            self._check_quota(client, 0)  # Before others are asked for it.
            self._check_publisher(spec)
            draft = await self._drafting.draft(client, spec)
            text = canonical(draft.spec)
            check_size(text)  # Pins make it longer.
            live = LiveJob(
                await self._submitted(client, draft, text), len(text) + draft.extra_bytes, module_bytes, draft.contents
            )
            if draft.plan is not None:
                live.plan, live.slots_max = draft.plan, await self._ambient.offload(slots_for, draft.plan)
            self._check_quota(client, live.spec_bytes, live.base.shards)
            self._requester.open(live)
        return await live.taken()

    def _check_publisher(self, spec: JobSpec) -> None:
        """What is published is read back here before anybody hears of it."""
        why_not = self._keeping.publishers.refusal(spec.publisher)
        if why_not is not None:
            raise InvalidSpec("$.publisher", why_not)

    async def plan(self, client: ClientId, spec: JobSpec) -> Plan:
        """See Jobs."""
        draft = await self._drafting.draft(client, spec)
        return draft.plan or (tuple(ref.path for ref in spec.inputs),)

    async def _submitted(self, client: ClientId, draft: Draft, text: bytes) -> JobRecord:
        shards = 1 if draft.plan is None else len(draft.plan)
        planned = None if draft.plan is None else await self._ambient.offload(plan_sha256, draft.plan)
        now = self._ambient.now()
        return JobRecord(
            job=JobId(self._ambient.token(_ID_CHARS // 2).hex()),
            client=client,
            spec=draft.spec,
            spec_sha256=sha256_of(text),
            submitted_at=now,
            deadline=now + life_s(draft.spec, shards),
            shards=shards,
            plan_sha256=planned,
            tally=Tally(waiting=shards),
        )

    async def find(self, client: ClientId, name: str) -> JobRecord:
        """See Jobs."""
        if len(name) == _ID_CHARS:
            return await self._exactly(client, name)
        kept = await self._ambient.offload(partial(self._journal.jobs, client, name, limit=_SEVERAL))
        found = {record.job: record for record in kept}
        found.update({live.job: live.shown for live in self._live_of(client) if live.job.startswith(name)})
        if len(found) > 1:
            raise Conflict(f"{name!r} is the beginning of several job ids; give more of it")
        if not found:
            raise NotFound(f"no job {name!r}")
        return next(iter(found.values()))

    async def _exactly(self, client: ClientId, name: str) -> JobRecord:
        live = self._live(client, name)
        return live.shown if live is not None else await self._ambient.offload(self._kept, client, name)

    def _kept(self, client: ClientId, name: str) -> JobRecord:
        """By its whole id. Blocking. Raises NotFound."""
        record = self._journal.job(JobId(name))
        if record is None or record.client != client:
            raise NotFound(f"no job {name!r}")
        return record

    async def shards(
        self, client: ClientId, name: str, *, after: int = -1, limit: int, states: Collection[ShardState] = ()
    ) -> tuple[ShardRecord, ...]:
        """See Jobs."""
        whole = JobId(name) if len(name) == _ID_CHARS else (await self.find(client, name)).job
        live = self._live(client, whole)
        shown = self._waited_for.get(whole) if live is None else (live.shown, live.shown_shards)
        if shown is not None and shown[0].client == client:
            record, begun = shown
            return tuple(live_page(record, begun, after, limit, states))
        page = partial(kept_page, self._journal, after=after, limit=limit, states=states)
        return await self._ambient.offload(lambda: page(self._kept(client, whole)))

    async def paths(self, client: ClientId, name: str, shards: Collection[int]) -> Mapping[int, Sequence[str]]:
        """See Jobs."""
        record = await self.find(client, name)
        live = self._live(client, record.job)
        if live is None:
            return await self._ambient.offload(self._journal.paths, record.job, shards)
        return {} if live.plan is None else {shard: live.plan[shard] for shard in shards}

    async def recent(self, client: ClientId, limit: int) -> tuple[JobRecord, ...]:
        """See Jobs."""
        kept = await self._ambient.offload(partial(self._journal.jobs, client, limit=limit))
        live = {live.job: live.shown for live in self._live_of(client)}
        merged = {record.job: record for record in kept} | live
        return tuple(sorted(merged.values(), key=_newest_first)[:limit])

    async def cancel(self, client: ClientId, name: str) -> JobRecord:
        """See Jobs."""
        record = await self.find(client, name)
        live = self._live(client, record.job)
        if live is None or record.ended:
            raise Conflict(f"job {record.job} has ended already ({record.state})")
        self._requester.feed(live, CancelAsked())
        ended = await live.ended()
        if ended.state != "cancelled":  # What it had won was being filed.
            raise Conflict(f"job {record.job} has ended already ({ended.state})")
        return ended

    async def wait(self, client: ClientId, name: str, seconds: float) -> JobRecord:
        """See Jobs."""
        record = await self.find(client, name)
        live = self._live(client, record.job)
        if live is None:
            return record
        with trio.move_on_after(seconds):
            await live.ended()
            self._remember(live)
        return live.shown

    def _remember(self, live: LiveJob) -> None:
        """Its shards do not change any more, and reading them back would cost as much as all else at its end."""
        if live.base.shards <= limits.SHARDS_SHOWN:
            self._waited_for[live.job] = live.shown, live.shown_shards
        if len(self._waited_for) > _WAITED_FOR:
            del self._waited_for[next(iter(self._waited_for))]

    @asynccontextmanager
    async def events(self, client: ClientId, name: str, after: int) -> AsyncIterator[AsyncIterator[JobEvent]]:
        """See Jobs."""
        record = await self.find(client, name)
        live = self._live(client, record.job)
        history = self._kept_history(record.job, after) if live is None else live.history(after)
        async with aclosing(history) as events:
            yield events

    @asynccontextmanager
    async def logs(self, client: ClientId, name: str, asked: LogsAsked) -> AsyncIterator[AsyncIterator[LogItem]]:
        """See Jobs."""
        record = await self.find(client, name)
        if asked.shard >= record.shards:
            raise NotFound(f"job {record.job} has no shard {asked.shard}, its shards are 0 to {record.shards - 1}")
        live = self._live(client, record.job)
        if live is None:
            (shard,) = await self.shards(client, record.job, after=asked.shard - 1, limit=1)
            found = self._requester.logs.of_ended(record, shard, asked)
        else:
            found = self._requester.logs.of_live(live, asked)
        async with found as items:
            yield items

    async def receipt(self, client: ClientId, name: str) -> bytes:
        """See Jobs."""
        record = await self.find(client, name)
        receipt = await self._ambient.offload(self._journal.receipt, record.job)
        if receipt is None:
            raise NotFound(f"job {record.job} has no receipt ({record.state})")
        return receipt

    async def _module_bytes(self, client: ClientId, module: Sha256) -> int:
        """As ``_checked``, but once a second for many jobs: it costs more than the rest of a submission."""
        if trio.current_time() > self._lately_until:
            self._lately.clear()
            self._lately_until = trio.current_time() + _LATELY_S
        size = self._lately.get((client, module))
        if size is None:
            size = self._lately[client, module] = await self._ambient.offload(self._checked, client, module)
        return size

    def _checked(self, client: ClientId, module: Sha256) -> int:
        """Blocking: the size of a module that this client may use and that is here. Raises InvalidSpec, NoRoom."""
        self._keeping.results.need_room()
        size = self._keeping.modules.size(module)
        if size is None or self._journal.module_size(client, module) is None:
            raise InvalidSpec(
                "$.engine.module", f"expected a module that you uploaded (POST /v1/modules), not {module}"
            )
        return size

    def _check_quota(self, client: ClientId, spec_bytes: int, shards: int = 1) -> None:
        everybodys = self._requester.live.values()
        mine = self._live_of(client)
        if len(mine) >= limits.JOBS_ACTIVE_PER_CLIENT or len(everybodys) >= limits.JOBS_ACTIVE_MAX:
            raise TooMany(f"{len(mine)} of your jobs are under way, and this node takes no more; wait for some to end")
        bytes_mine = spec_bytes + sum(live.spec_bytes for live in mine)
        bytes_all = spec_bytes + sum(live.spec_bytes for live in everybodys)
        shards_mine = shards + sum(live.base.shards for live in mine)
        shards_all = shards + sum(live.base.shards for live in everybodys)
        if shards_mine > limits.SHARDS_ACTIVE_PER_CLIENT or shards_all > limits.SHARDS_ACTIVE_MAX:
            raise TooMany(f"your jobs under way have {shards_mine} shards with this one; wait for some to end")
        if bytes_mine > limits.SPECS_ACTIVE_BYTES_PER_CLIENT or bytes_all > limits.SPECS_ACTIVE_BYTES:
            raise TooMany(
                f"the specs of your jobs under way have {bytes_mine} bytes with this one; wait for some to end"
            )

    def _live(self, client: ClientId, name: str) -> LiveJob | None:
        live = self._requester.live.get(JobId(name))
        return live if live is not None and live.base.client == client else None

    def _live_of(self, client: ClientId) -> list[LiveJob]:
        return [live for live in self._requester.live.values() if live.base.client == client]

    async def _kept_history(self, job: JobId, after: int) -> AsyncGenerator[JobEvent, None]:
        for event in await self._ambient.offload(self._journal.events, job, after):
            yield event


def _newest_first(record: JobRecord) -> tuple[float, str]:
    return -record.submitted_at, record.job
