"""The requester's shell: moves messages in and effects out, makes states durable first. It decides nothing itself.

Lives here: which message means which event, which effect becomes which message, what is written before what is sent.
Does not live here: the decisions (``node.requester.machine``, ``shard``, ``schedule``), fetching (``delivery``), what
clients ask (``desk``), what a restart cut off (``cut_off``).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import trio

from node import limits
from node.alarms import Alarms
from node.ambient import Ambient
from node.errors import BlobRefused
from node.identity import Identity, pseudonym
from node.journal.base import Journal
from node.journal.records import ExecutionRecord
from node.messages import (
    Accept,
    Bid,
    BidRejected,
    InlineWanted,
    ModuleWanted,
    NoResults,
    Offer,
    Progress,
    Proposed,
    Release,
    Results,
)
from node.messages import Decline as Declined
from node.model import ExecutionId, JobId, PeerId, Sha256, cut, module_of
from node.publisher.base import Publishers
from node.requester.bids import have_all_answered
from node.requester.comparing import Comparisons
from node.requester.cut_off import end_cut_off
from node.requester.delivery import Deliveries
from node.requester.effects import (
    Compare,
    Decline,
    Dismiss,
    DrawLots,
    Engage,
    Extend,
    Fetch,
    File,
    GoOn,
    HearOthers,
    Note,
    Performed,
)
from node.requester.handover import HandOvers
from node.requester.hearing import Inbound, answer_of, event_of
from node.requester.inlines import inline_blob
from node.requester.life import (
    Bidding,
    BidWindowClosed,
    Drawn,
    Event,
    JobDeadline,
    NoBetter,
    RunDeadline,
    Working,
)
from node.requester.live import LiveJob
from node.requester.shard import expects
from node.requester.steps import Steps
from node.requester.tailing import Logs
from node.spec import room_s
from node.transport.base import Blob, Transport
from node.transport.files import file_blob
from node.vault.modules import Modules
from node.vault.results import Results as ResultsVault
from node.verifier.base import Verifier
from node.verifier.draw import lots

log = logging.getLogger("quorate.requester")

# What goes well of one execution or bid; a node tells of it at --log-level debug, and of jobs always.
_DETAILS = frozenset({"bid", "declined", "drawn", "queued", "started", "proposed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Where a requester keeps things."""

    journal: Journal
    results: ResultsVault
    modules: Modules
    publishers: Publishers


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
        self._ambient = ambient
        self._hand_overs = HandOvers(transport, keeping.results, keeping.publishers, ambient)
        self._steps = Steps(keeping.journal, verifiers, ambient, self._perform, self._ended)
        self._deliveries = Deliveries(identity, self._hand_overs, ambient, self._steps)
        self._comparisons = Comparisons(transport, ambient, self._steps)
        self.logs = Logs(transport, keeping.results, ambient)
        self._alarms = Alarms()
        self.live: dict[JobId, LiveJob] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The whole life; ``started`` once the jobs that a restart cut off have been ended."""
        await end_cut_off(self._keeping.journal, self._keeping.results, self._ambient)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._alarms.run)
            nursery.start_soon(self._deliveries.run)
            nursery.start_soon(self._comparisons.run)
            task_status.started()

    # What the network says ---------------------------------------------------------------------

    def joined(self, peer: PeerId) -> None:
        """A newcomer hears every offer that still wants bids."""
        for live in self.live.values():
            if isinstance(live.state, Bidding) and live.offered:
                self._offer(live, (peer,))

    def left(self, peer: PeerId) -> None:
        """Whatever the peer was doing for us is lost."""
        self._hand_overs.left(peer)
        for live in tuple(self.live.values()):
            if peer in live.asked:
                live.asked.discard(peer)
                self._steps.left(live, peer)
                self._heard(live)

    def received(self, sender: PeerId, message: Inbound | Results | NoResults) -> None:
        """One message of a compute node."""
        if isinstance(message, Results | NoResults):
            self._hand_overs.received(sender, message)
            return
        if isinstance(message, Bid | Declined):
            self._answered(sender, message)
            return
        execution = ExecutionId(message.execution)
        found = self._steps.find(execution)
        if found is None:
            return
        live, shard = found
        if isinstance(message, Progress):
            self._progressed(live, shard, sender, message)
        elif not isinstance(message, Proposed) or expects(live.shards[shard], sender, execution):
            self._steps.feed_shard(live, shard, event_of(self._identity, live.job, shard, sender, message))

    def _progressed(self, live: LiveJob, shard: int, sender: PeerId, message: Progress) -> None:
        execution = ExecutionId(message.execution)
        if expects(live.shards[shard], sender, execution) and live.told_by[sender] < limits.PROGRESS_LINES:
            live.told_by[sender] += 1
            note = Note("progress", sender, execution, text=cut(message.text), shard=shard)
            self._steps.tell(live, (note,))

    def _answered(self, sender: PeerId, message: Bid | Declined) -> None:
        live = self.live.get(JobId(message.job))
        if live is not None and sender in live.asked:
            self._steps.feed(live, answer_of(sender, message))
            self._heard(live)
        elif isinstance(message, Bid):  # The job is over; the bidder should not keep its offer.
            self._transport.send(sender, BidRejected(message.job))

    def _heard(self, live: LiveJob) -> None:
        if isinstance(live.state, Bidding) and have_all_answered(live.state, live.asked):
            self._steps.feed(live, NoBetter())

    async def blob(self, sender: PeerId, request: ModuleWanted | InlineWanted) -> Blob:
        """A module or an inline file, for a node that was chosen to run its job. Raises BlobRefused."""
        if isinstance(request, InlineWanted):
            return inline_blob((live for live in self.live.values() if _runs(live, sender)), request)
        wanted = Sha256(request.sha256)
        if not any(module_of(live.base.spec.engine) == wanted and _runs(live, sender) for live in self.live.values()):
            raise BlobRefused("no job that you run here needs this module")
        path = await self._ambient.offload(self._keeping.modules.path, wanted)
        if path is None:
            raise BlobRefused("the module is no longer here")
        return await file_blob(path, request.offset, self._ambient.offload)

    # What clients want (node.requester.desk) ---------------------------------------------------

    def open(self, live: LiveJob) -> None:
        """Take a job on: durable first, then offered. ``LiveJob.taken`` tells when it cannot be lost any more."""
        self.live[live.job] = live
        module = module_of(live.base.spec.engine)
        if module is not None:
            self._keeping.modules.hold(module)
        self._steps.open(live, partial(self._opened, live))

    def feed(self, live: LiveJob, event: Event) -> None:
        """One step of a job's machine, and what follows from it."""
        self._steps.feed(live, event)

    def _opened(self, live: LiveJob) -> None:
        live.offered = True
        if not isinstance(live.state, Bidding):
            return  # Cancelled meanwhile.
        self._arm(live, live.base.spec.deal.bid_window_s, BidWindowClosed())
        self._arm(live, live.base.deadline - live.base.submitted_at, JobDeadline())
        self._offer(live, (self._transport.local_id, *self._transport.peers))

    def _offer(self, live: LiveJob, peers: tuple[PeerId, ...]) -> None:
        asked = tuple(peer for peer in peers if live.ask(peer))
        if not asked:
            return
        client = pseudonym(self._identity.peer_id, live.base.client)
        offer = Offer(live.job, client, live.base.spec, live.module_bytes)
        for peer in asked:
            self._transport.send(peer, offer)
        self._steps.tell(live, tuple(Note("offered", peer) for peer in asked))

    def _arm(self, live: LiveJob, seconds: float, event: Event) -> None:
        live.alarms.append(self._alarms.after(seconds, partial(self._steps.feed, live, event)))

    def _ended(self, live: LiveJob) -> None:
        if self.live.pop(live.job, None) is not None:
            module = module_of(live.base.spec.engine)
            if module is not None:
                self._keeping.modules.let_go(module)
            for alarm in (*live.alarms, *live.deadlines.values()):
                alarm.cancel()
            live.deadlines.clear()
            self._deliveries.let_go(live)

    # What the machines want --------------------------------------------------------------------

    def _perform(self, live: LiveJob, effects: tuple[Performed, ...]) -> None:
        for effect in effects:
            self._perform_one(live, effect)

    def _perform_one(self, live: LiveJob, effect: Performed) -> None:
        match effect:
            case DrawLots() | HearOthers():
                self._choose(live, effect)
            case Engage() | Extend():
                self._engage(live, effect)
            case Fetch():
                self._deliveries.order(live, effect)
            case Compare():
                self._comparisons.order(live, effect)
            case File():
                self._deliveries.file(live)
            case Dismiss(executions, retract):
                self._dismiss(executions, retract=retract)
            case Decline(peer):
                self._decline(live, peer)
            case GoOn():
                self._alarms.after(0, partial(self._steps.go_on, live))
            case Note():
                _log_note(live, effect)
            case _:
                assert_never(effect)

    def _choose(self, live: LiveJob, effect: DrawLots | HearOthers) -> None:
        if isinstance(effect, HearOthers):
            self._arm(live, effect.seconds, NoBetter())
            return
        salt = self._ambient.token(32).hex()
        self._steps.feed(live, Drawn(lots(effect.bidders, effect.holders, salt, effect.waiting)))

    def _dismiss(self, executions: tuple[ExecutionRecord, ...], *, retract: bool) -> None:
        for run in executions:
            self._transport.send(run.peer, Release(run.execution, retract))

    def _engage(self, live: LiveJob, effect: Engage | Extend) -> None:
        run, spec = effect.run, live.base.spec
        seconds = spec.timeout_s + limits.REPLY_S
        if isinstance(effect, Extend):
            seconds += room_s(spec)
        else:
            paths = None if live.plan is None else live.plan[run.shard]
            self._transport.send(run.peer, Accept(live.job, run.shard, run.execution, paths))
        if self._steps.find(run.execution) is not None:
            self._arm_run(live, run, seconds)

    def _arm_run(self, live: LiveJob, run: ExecutionRecord, seconds: float) -> None:
        armed = live.deadlines.get(run.execution)
        if armed is not None:
            armed.cancel()
        late = partial(self._steps.feed_shard, live, run.shard, RunDeadline(run.execution))
        live.deadlines[run.execution] = self._alarms.after(seconds, late)

    def _decline(self, live: LiveJob, peer: PeerId) -> None:
        if peer not in live.told:
            live.told.add(peer)
            self._transport.send(peer, BidRejected(live.job))


def _runs(live: LiveJob, peer: PeerId) -> bool:
    return isinstance(live.state, Working) and live.schedule is not None and peer in live.schedule.engaged


def _log_note(live: LiveJob, note: Note) -> None:
    level = logging.DEBUG if note.kind in _DETAILS else logging.INFO
    if not log.isEnabledFor(level):
        return
    fields = {"job": live.job, "shard": note.shard, "peer": note.peer, "execution": note.execution, "text": note.text}
    log.log(level, "job_" + note.kind, extra={key: value for key, value in fields.items() if value not in (None, "")})
