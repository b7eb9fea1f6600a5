"""Steps the machines of jobs and of their shards, keeps what comes of it, and lets it be seen and performed after that.

One event may move a shard, its job and the shards behind it; all of it is one change, written in one transaction before
its effects are performed. Only changes of phase are written: what a node said since is repeated by the next one. Which
execution ids were given out is not written either, because a restart ends a job.
Does not live here: the decisions (``node.requester.machine``, ``shard``, ``schedule``), performing (``role``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from node.ambient import Ambient
from node.journal.base import Entry, Journal, SaveJob, SaveShards
from node.journal.records import JobEvent, JobRecord, ShardRecord
from node.model import ExecutionId, PeerId
from node.requester.effects import Decline, File, GoOn, Note, Performed, ShardEffect, Stop, Work
from node.requester.life import (
    Event,
    Filing,
    Left,
    Moved,
    Settled,
    Shard,
    ShardEvent,
    Stopped,
    TurnCame,
    Working,
)
from node.requester.live import Change, LiveJob
from node.requester.machine import step
from node.requester.record import executions_of, is_told, moved_between, record_of, shard_record
from node.requester.schedule import Begin, Schedule, Turn, window_for
from node.requester.shard import Judge, begun, is_under_way, judge_of, step_shard
from node.verifier.base import Verifier
from node.verifier.draw import chosen

_BEGUN_AT_ONCE = 64  # Shards; the next ones when everybody else had a turn.

Perform = Callable[[LiveJob, tuple[Performed, ...]], None]


class Steps:
    """``perform`` is given effects, ``ended`` a job that is over and has been seen to be."""

    def __init__(
        self,
        journal: Journal,
        verifiers: Mapping[str, Verifier],
        ambient: Ambient,
        perform: Perform,
        ended: Callable[[LiveJob], None],
    ) -> None:
        self._journal = journal
        self._verifiers = verifiers
        self._ambient = ambient
        self._perform = perform
        self._ended = ended
        self._by_execution: dict[ExecutionId, tuple[LiveJob, int]] = {}

    def find(self, execution: ExecutionId) -> tuple[LiveJob, int] | None:
        """The job and the shard of an execution whose shard is not settled."""
        return self._by_execution.get(execution)

    def open(self, live: LiveJob, then: Callable[[], None]) -> None:
        """Write a new job down; ``then`` follows when that is durable."""
        events = self._noted(live, (Note("submitted"),))
        unsaved, live.noted = tuple(live.noted), []
        entry = SaveJob(live.base, unsaved, plan=live.plan)
        self._write(live, (entry,), partial(self._show, live, live.base, events, (), then))

    def tell(self, live: LiveJob, notes: tuple[Note, ...]) -> None:
        """Lines of history that no event brings about."""
        live.show(live.shown, self._noted(live, notes))

    def feed(self, live: LiveJob, event: Event, receipt: bytes | None = None) -> None:
        """An event of the job, and all that follows from it."""
        change = Change()
        self._step_job(live, event, change)
        self._commit(live, change, receipt)

    def feed_shard(self, live: LiveJob, shard: int, event: ShardEvent) -> None:
        """An event of a shard; of one that has not begun it means nothing."""
        change = Change()
        self._step_shard(live, shard, event, change)
        self._commit(live, change)

    def left(self, live: LiveJob, peer: PeerId) -> None:
        """Whatever the peer was doing for this job, and would have done, is lost."""
        change = Change()
        self._step_job(live, Left(peer), change)
        if live.schedule is not None:
            live.schedule.left(peer)
        for shard in tuple(live.under_way):
            self._step_shard(live, shard, Left(peer), change)
        self._commit(live, change)

    def go_on(self, live: LiveJob) -> None:
        """Begin more shards, if more may."""
        change = Change()
        self._engage(live, change)
        self._commit(live, change)

    # The machines ------------------------------------------------------------------------------

    def _step_job(self, live: LiveJob, event: Event, change: Change) -> None:
        before = live.state
        live.state, effects = step(before, event, spec=live.base.spec, shards=live.base.shards)
        if live.state is not before:
            change.is_of_job = True
            change.is_of_phase |= type(live.state) is not type(before)
        for effect in effects:
            match effect:
                case Work():
                    self._work(live, change)
                case Stop(event=stopped):
                    self._stop(live, stopped, change)
                case _:
                    change.effects.append(effect)

    def _step_shard(self, live: LiveJob, shard: int, event: ShardEvent, change: Change) -> None:
        before = live.shards.get(shard)
        if before is None:
            return
        after, effects = step_shard(before, event, self._judge(live))
        if after is before:
            return
        self._put(live, before, after, effects, change)
        moved = moved_between(before, after)
        if moved is not None:
            self._step_job(live, moved, change)
        self._engage(live, change)

    def _judge(self, live: LiveJob) -> Judge:
        spec = live.base.spec
        return judge_of(self._verifiers[spec.verifier].judge, spec.deal)

    def _put(
        self, live: LiveJob, before: Shard, after: Shard, effects: tuple[ShardEffect, ...], change: Change
    ) -> None:
        shard = shard_record(after).shard
        live.shards[shard] = after
        change.changed[shard] = None
        if type(before) is not type(after):
            change.moved[shard] = None
        change.effects.extend(effects)
        self._keep_books(live, before, after)

    def _keep_books(self, live: LiveJob, before: Shard, after: Shard) -> None:
        assert live.schedule is not None
        for old, new in zip(executions_of(before), executions_of(after), strict=True):
            if is_under_way(old) and not is_under_way(new):
                live.schedule.ended(new.peer, is_held=new.state == "proposed")
                alarm = live.deadlines.pop(new.execution, None)
                if alarm is not None:
                    alarm.cancel()
        if isinstance(after, Settled):
            del live.under_way[after.record.shard]
            runs = after.record.executions
            for run in runs:
                del self._by_execution[run.execution]
            live.schedule.settled(tuple(run.peer for run in runs if run.state == "proposed"))

    def _stop(self, live: LiveJob, event: Stopped, change: Change) -> None:
        judge = self._judge(live)
        for shard in tuple(live.under_way):
            before = live.shards[shard]
            after, effects = step_shard(before, event, judge)
            self._put(live, before, after, effects, change)

    # What begins next --------------------------------------------------------------------------

    def _work(self, live: LiveJob, change: Change) -> None:
        assert isinstance(live.state, Working)
        draw, count = live.state.draw, live.base.spec.deal.concurrency
        slots = {bid.peer: min(bid.slots, live.slots_max) for bid in live.state.answers if bid.code is None}
        live.schedule = Schedule(
            live.base.shards,
            slots,
            lambda shard: chosen(draw, live.job, shard, count),
            window=window_for(slots, count),
        )
        self._engage(live, change)

    def _engage(self, live: LiveJob, change: Change) -> None:
        if change.is_engaging or live.schedule is None:
            return  # Whoever is engaging already sees what this brings about.
        change.is_engaging = True
        last = live.schedule.begun + _BEGUN_AT_ONCE
        while isinstance(live.state, Working):
            if live.schedule.begun == last:
                change.effects.append(GoOn())
                break
            match live.schedule.next():
                case Begin() as due:
                    self._begin(live, due, change)
                case Turn(shard, peer):
                    self._step_shard(live, shard, TurnCame(peer), change)
                case None:
                    break
        change.is_engaging = False

    def _begin(self, live: LiveJob, due: Begin, change: Change) -> None:
        ids = tuple(ExecutionId(self._ambient.token(16).hex()) for _ in due.peers)
        state = begun(due.shard, due.peers, ids)
        live.shards[due.shard] = state
        live.under_way[due.shard] = None
        self._by_execution.update(dict.fromkeys(ids, (live, due.shard)))
        change.changed[due.shard] = change.moved[due.shard] = None
        change.effects.extend(map(Decline, due.spared))
        self._step_job(live, Moved(shard=due.shard, before="waiting", after="running"), change)
        for peer in due.lost:
            self._step_shard(live, due.shard, Left(peer), change)

    # Durable first -----------------------------------------------------------------------------

    def _commit(self, live: LiveJob, change: Change, receipt: bytes | None = None) -> None:
        if isinstance(live.state, Filing) and not change.is_empty:
            # The end follows, and is written with this; nobody is let go before that.
            change.effects.remove(File())
            live.held = change
            self._perform(live, (File(),))
            return
        if live.held is not None and not change.is_empty:
            change, live.held = live.held.and_then(change), None
        effects = tuple(effect for effect in change.effects if not _is_untold(effect, live.base.shards))
        then = partial(self._perform, live, effects)
        if change.is_empty:  # Answers to a peer: there is nothing to keep.
            then()
            return
        record = record_of(live.base, live.state, self._ambient.now())
        events = self._noted(live, tuple(effect for effect in effects if isinstance(effect, Note)))
        show = partial(self._show, live, record, events, self._records(live, change.changed), then)
        if change.is_durable:
            self._write(live, (self._entry(live, record, change, receipt),), show)
        elif live.saving:
            self._write(live, (), show)  # Behind what came before.
        else:
            show()

    def _entry(self, live: LiveJob, record: JobRecord, change: Change, receipt: bytes | None) -> Entry:
        events, live.noted = tuple(live.noted), []
        shards = self._records(live, change.moved)
        if change.is_of_phase:
            return SaveJob(record, events, receipt, shards)
        return SaveShards(live.job, shards, events)

    def _records(self, live: LiveJob, shards: Iterable[int]) -> tuple[ShardRecord, ...]:
        return tuple(shard_record(live.shards[shard]) for shard in shards)

    def _noted(self, live: LiveJob, notes: tuple[Note, ...]) -> list[JobEvent]:
        at = self._ambient.now()
        return [live.note(note, at) for note in notes]

    def _write(self, live: LiveJob, entries: tuple[Entry, ...], then: Callable[[], None]) -> None:
        live.saving += 1

        def durable() -> None:
            live.saving -= 1
            then()

        self._journal.write(entries, durable)

    def _show(
        self,
        live: LiveJob,
        record: JobRecord,
        events: list[JobEvent],
        shards: tuple[ShardRecord, ...],
        then: Callable[[], None],
    ) -> None:
        live.show(record, events, shards)
        if record.ended:
            self._ended(live)
        then()


def _is_untold(effect: Performed, shards: int) -> bool:
    return isinstance(effect, Note) and not is_told(effect, shards)
