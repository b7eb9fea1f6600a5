"""The requester's shell: moves messages in and effects out, makes states durable first. It decides nothing itself.

Lives here: which message means which event, which effect becomes which message, what is written before what is sent.
Does not live here: the decisions (``node.requester.machine``), fetching (``handover``), what clients ask (``desk``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import msgspec
import trio

from node import limits
from node.alarms import Alarms
from node.ambient import Ambient
from node.errors import BlobRefused
from node.identity import Identity, pseudonym
from node.journal.base import Journal, SaveJob
from node.journal.records import Failure, JobEvent, JobRecord
from node.messages import (
    Accept,
    Bid,
    BidRejected,
    InlineWanted,
    ModuleWanted,
    NoResults,
    Offer,
    Proposed,
    Release,
    Results,
)
from node.messages import Decline as Declined
from node.model import ExecutionId, JobId, PeerId, Sha256
from node.requester.delivery import Deliveries
from node.requester.handover import HandOvers
from node.requester.hearing import Inbound, event_of
from node.requester.inlines import inline_blob
from node.requester.life import (
    Bidding,
    BidWindowClosed,
    Decline,
    Dismiss,
    DrawLots,
    Drawn,
    Effect,
    Engage,
    Event,
    Fetch,
    HandOverDeadline,
    Left,
    Note,
    RunDeadline,
    Running,
)
from node.requester.live import LiveJob
from node.requester.machine import expects, step
from node.requester.record import record_of
from node.transport.base import Blob, Transport
from node.transport.files import file_blob
from node.vault.modules import Modules
from node.vault.results import Results as ResultsVault
from node.verifier.base import Verifier
from node.verifier.draw import draw

log = logging.getLogger("quorate.requester")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Where a requester keeps things."""

    journal: Journal
    results: ResultsVault
    modules: Modules


class Requester:
    """Serves the jobs of this node's clients until cancelled."""

    def __init__(
        self,
        identity: Identity,
        transport: Transport,
        keeping: Keeping,
        verifiers: Mapping[str, Verifier],
        ambient: Ambient,
    ) -> None:
        self._identity = identity
        self._transport = transport
        self._keeping = keeping
        self._verifiers = verifiers
        self._ambient = ambient
        self._hand_overs = HandOvers(transport, keeping.results, ambient)
        self._deliveries = Deliveries(identity, self._hand_overs, ambient, self._feed)
        self._alarms = Alarms()
        self._by_execution: dict[ExecutionId, LiveJob] = {}
        self.live: dict[JobId, LiveJob] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The whole life; ``started`` once the jobs that a restart cut off have been ended."""
        await self._end_cut_off()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._alarms.run)
            nursery.start_soon(self._deliveries.run)
            task_status.started()

    # What the network says ---------------------------------------------------------------------

    def joined(self, peer: PeerId) -> None:
        """A newcomer hears every offer that still wants bids."""
        for live in self.live.values():
            if isinstance(live.state, Bidding) and live.offered:
                self._offer(live, (peer,))

    def left(self, peer: PeerId) -> None:
        """Whatever the peer was doing for us is lost."""
        for live in tuple(self.live.values()):
            if peer in live.asked:
                live.asked.discard(peer)
                self.feed(live, Left(peer))

    def received(self, sender: PeerId, message: Inbound | Results | NoResults) -> None:
        """One message of a compute node."""
        if isinstance(message, Results | NoResults):
            self._hand_overs.received(sender, message)
            return
        if isinstance(message, Bid | Declined):
            self._answered(sender, message)
            return
        execution = ExecutionId(message.execution)
        live = self._by_execution.get(execution)
        if live is None or (isinstance(message, Proposed) and not expects(live.state, sender, execution)):
            return
        self.feed(live, event_of(self._identity, live.job, sender, message))

    def _answered(self, sender: PeerId, message: Bid | Declined) -> None:
        live = self.live.get(JobId(message.job))
        if live is not None and sender in live.asked:
            self.feed(live, event_of(self._identity, live.job, sender, message))
        elif isinstance(message, Bid):  # The job is over; the bidder should not keep its offer.
            self._transport.send(sender, BidRejected(message.job))

    async def blob(self, sender: PeerId, request: ModuleWanted | InlineWanted) -> Blob:
        """A module or an inline file, for a node that was chosen to run its job. Raises BlobRefused."""
        if isinstance(request, InlineWanted):
            return inline_blob((live for live in self.live.values() if _runs(live, sender)), request)
        wanted = Sha256(request.sha256)
        if not any(live.base.spec.engine.module == wanted and _runs(live, sender) for live in self.live.values()):
            raise BlobRefused("no job that you run here needs this module")
        path = await self._ambient.offload(self._keeping.modules.path, wanted)
        if path is None:
            raise BlobRefused("the module is no longer here")
        return await file_blob(path, request.offset, self._ambient.offload)

    # What clients want (node.requester.desk) ---------------------------------------------------

    def open(self, live: LiveJob) -> None:
        """Take a job on: durable first, then offered. ``LiveJob.taken`` tells when it cannot be lost any more."""
        record = live.base
        self.live[live.job] = live
        self._keeping.modules.hold(Sha256(record.spec.engine.module))
        self._save(live, record, (Note("submitted"),), partial(self._opened, live))

    def feed(self, live: LiveJob, event: Event) -> None:
        """One step of a job's machine, and what follows from it."""
        self._feed(live, event, None)

    def _feed(self, live: LiveJob, event: Event, receipt: bytes | None) -> None:
        before = live.state
        spec = live.base.spec
        live.state, effects = step(before, event, spec=spec, judge=self._verifiers[spec.verifier].judge)
        if live.state is before:
            self._perform(live, effects)  # Answers to a peer: there is nothing to keep.
            return
        record = record_of(live.base, live.state, self._ambient.now())
        notes = tuple(effect for effect in effects if isinstance(effect, Note))
        then = partial(self._perform, live, effects)
        if type(live.state) is not type(before) or live.saving:
            self._save(live, record, notes, then, receipt)
        else:
            self._show(live, record, self._noted(live, notes))
            then()

    # Durable first -----------------------------------------------------------------------------

    def _noted(self, live: LiveJob, notes: tuple[Note, ...]) -> list[JobEvent]:
        at = self._ambient.now()
        return [live.note(note, at) for note in notes]

    def _save(
        self,
        live: LiveJob,
        record: JobRecord,
        notes: tuple[Note, ...],
        then: partial[None],
        receipt: bytes | None = None,
    ) -> None:
        events = self._noted(live, notes)
        unsaved, live.noted = tuple(live.noted), []
        live.saving += 1

        def durable() -> None:
            live.saving -= 1
            self._show(live, record, events)
            then()

        self._keeping.journal.write((SaveJob(record, unsaved, receipt),), durable)

    def _show(self, live: LiveJob, record: JobRecord, events: list[JobEvent]) -> None:
        live.show(record, events)
        if record.ended and self.live.pop(live.job, None) is not None:
            self._keeping.modules.let_go(Sha256(record.spec.engine.module))
            for alarm in live.alarms:
                alarm.cancel()
            for run in record.executions:
                self._by_execution.pop(run.execution, None)
            if live.fetching is not None:
                live.fetching.cancel()

    async def _end_cut_off(self) -> None:
        failure = Failure(
            code="restart", reason="the requester stopped in the middle of this job; submit it again to run it"
        )
        for record in await self._ambient.offload(self._keeping.journal.unfinished):
            at = self._ambient.now()
            ended = msgspec.structs.replace(record, state="failed", failure=failure, ended_at=at)
            seq = len(await self._ambient.offload(self._keeping.journal.events, record.job)) + 1
            event = JobEvent(seq=seq, at=at, kind="ended", text=failure.reason)
            log.warning("job_cut_off", extra={"job": record.job})
            await self._ambient.offload(self._keeping.results.delete, record)  # Whole perhaps, and not journalled.
            self._keeping.journal.write((SaveJob(ended, (event,)),))
        await self._ambient.offload(self._keeping.results.sweep)

    # What the machine wants --------------------------------------------------------------------

    def _opened(self, live: LiveJob) -> None:
        live.offered = True
        if not isinstance(live.state, Bidding):
            return  # Cancelled meanwhile.
        self._arm(live, live.base.spec.deal.bid_window_s, BidWindowClosed())
        self._offer(live, (self._transport.local_id, *self._transport.peers))

    def _offer(self, live: LiveJob, peers: tuple[PeerId, ...]) -> None:
        asked = tuple(peer for peer in peers if live.ask(peer))
        if not asked:
            return
        client = pseudonym(self._identity.peer_id, live.base.client)
        offer = Offer(live.job, client, live.base.spec, live.module_bytes)
        for peer in asked:
            self._transport.send(peer, offer)
        self._show(live, live.shown, self._noted(live, tuple(Note("offered", peer) for peer in asked)))

    def _perform(self, live: LiveJob, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case DrawLots(bidders):
                    self._draw(live, bidders)
                case Engage():
                    self._engage(live, effect)
                case Fetch():
                    self._fetch(live, effect)
                case Dismiss(executions):
                    for run in executions:
                        self._transport.send(run.peer, Release(run.execution))
                case Decline(peer):
                    self._transport.send(peer, BidRejected(live.job))
                case Note():
                    _log_note(live, effect)

    def _draw(self, live: LiveJob, bidders: tuple[PeerId, ...]) -> None:
        count = live.base.spec.deal.concurrency
        drawn = draw(bidders, self._ambient.token(32).hex(), live.job, 0, count)
        ids = tuple(ExecutionId(self._ambient.token(16).hex()) for _ in range(count))
        self._by_execution.update(dict.fromkeys(ids, live))
        self.feed(live, Drawn(drawn, ids))

    def _engage(self, live: LiveJob, effect: Engage) -> None:
        for run in effect.executions:
            self._transport.send(run.peer, Accept(live.job, run.shard, run.execution))
        for peer in effect.rejected:
            self._transport.send(peer, BidRejected(live.job))
        self._arm(live, live.base.spec.timeout_s + limits.REPLY_S, RunDeadline())

    def _fetch(self, live: LiveJob, order: Fetch) -> None:
        if live.hand_over_by is None:  # All winners together.
            live.hand_over_by = trio.current_time() + limits.HAND_OVER_S
            self._arm(live, limits.HAND_OVER_S, HandOverDeadline())
        self._deliveries.order(live, order)

    def _arm(self, live: LiveJob, seconds: float, event: Event) -> None:
        live.alarms.append(self._alarms.after(seconds, partial(self.feed, live, event)))


def _runs(live: LiveJob, peer: PeerId) -> bool:
    return isinstance(live.state, Running) and peer in live.state.draw.chosen


def _log_note(live: LiveJob, note: Note) -> None:
    fields = {"job": live.job, "peer": note.peer, "execution": note.execution, "text": note.text}
    log.info("job_" + note.kind, extra={key: value for key, value in fields.items() if value})
