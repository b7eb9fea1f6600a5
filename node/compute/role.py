"""The compute role's shell: answers offers, runs what it is given, hands over what won.

Everything that is kept of an execution belongs to its requester, and ends when that releases it, leaves, or is silent
for too long. Nothing of a result leaves this node before its requester has said that it won.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import trio

from node import limits
from node.alarms import Alarms
from node.ambient import Ambient
from node.compute.admission import Abilities, Refusal, refused_at_sight, refused_for_data
from node.compute.capacity import Ledger, need_of
from node.compute.run import Bench, Execution, run
from node.errors import BlobRefused
from node.messages import (
    Accept,
    Bid,
    BidRejected,
    Decline,
    Failed,
    FileWanted,
    HandOver,
    ManifestWanted,
    NoResults,
    Offer,
    Proposed,
    Release,
    Results,
    Started,
)
from node.model import ExecutionId, JobId, PeerId
from node.transport.base import Blob, Transport
from node.transport.files import file_blob
from node.verifier.manifest import render_sized

log = logging.getLogger("quorate.compute")

_Work = Callable[[], Awaitable[object]]

Inbound = Offer | Accept | BidRejected | HandOver | Release
# Each offer that is looked at, each execution and each clearing of one is one piece of work.
_WORK_MAX = limits.PEERS_MAX * (limits.OFFERS_CONSIDERED_PER_PEER + 2 * limits.EXECUTIONS_PER_REQUESTER)
_MANIFEST_INLINE_MAX = limits.FRAME_BYTES_MAX // 4


class Compute:
    """Serves requesters until cancelled."""

    def __init__(self, transport: Transport, bench: Bench, able: Abilities, ledger: Ledger, ambient: Ambient) -> None:
        self._transport = transport
        self._bench = bench
        self._able = able
        self._ledger = ledger
        self._ambient = ambient
        self._alarms = Alarms()
        self._offers: OrderedDict[tuple[PeerId, JobId], Offer] = OrderedDict()
        self._given: dict[ExecutionId, Execution] = {}
        self._considering: Counter[PeerId] = Counter()
        self._work_in, self._work = trio.open_memory_channel[_Work](_WORK_MAX)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The whole life; cancelling it ends every workload and deletes what they left."""
        await self._ambient.offload(self._bench.sweep)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._alarms.run)
            for engine in self._bench.engines.values():
                nursery.start_soon(engine.serve)
            task_status.started()
            async for work in self._work:
                nursery.start_soon(work)

    # What the network says ---------------------------------------------------------------------

    def left(self, peer: PeerId) -> None:
        """Nobody waits for what that requester ordered."""
        for key in [key for key in self._offers if key[0] == peer]:
            del self._offers[key]
        for given in [given for given in self._given.values() if given.requester == peer]:
            self._release(given)

    def received(self, sender: PeerId, message: Inbound) -> None:
        """One message of a requester."""
        match message:
            case Offer():
                self._offered(sender, message)
            case Accept(job, shard, execution):
                self._accepted(sender, JobId(job), shard, ExecutionId(execution))
            case BidRejected(job):
                self._offers.pop((sender, JobId(job)), None)
            case HandOver(execution):
                self._hand_over(sender, ExecutionId(execution))
            case Release(execution):
                given = self._of(sender, ExecutionId(execution))
                if given is not None:
                    self._release(given)

    async def blob(self, sender: PeerId, request: ManifestWanted | FileWanted) -> Blob:
        """A piece of a result that won. Raises BlobRefused."""
        given = self._of(sender, ExecutionId(request.execution))
        if given is None or given.state != "won" or given.tree is None:
            raise BlobRefused("no result of yours that has won is here")
        tree = given.tree
        if isinstance(request, ManifestWanted):
            body = render_sized(tree.manifest, tree.sizes)
            return Blob(len(body), _pieces(body))
        if request.index >= len(tree.manifest.lines):
            raise BlobRefused(f"the manifest has {len(tree.manifest.lines)} lines")
        name = tree.manifest.lines[request.index].name.partition("/")[2]
        path = self._bench.folder(given.execution) / name
        return await file_blob(path, request.offset, self._ambient.offload)

    # Offers ------------------------------------------------------------------------------------

    def _offered(self, sender: PeerId, offer: Offer) -> None:
        refused = refused_at_sight(offer, self._able, self._ledger.waiting)
        if refused is not None:
            self._decline(sender, offer, refused)
        elif not offer.spec.inputs:
            self._bid(sender, offer)
        elif self._considering[sender] >= limits.OFFERS_CONSIDERED_PER_PEER:
            self._decline(sender, offer, Refusal("full", "too many offers of yours are being looked at"))
        else:
            self._considering[sender] += 1
            self._begin(partial(self._consider, sender, offer))

    async def _consider(self, sender: PeerId, offer: Offer) -> None:
        try:
            refused = await refused_for_data(offer.spec, self._able)
        finally:
            self._considering[sender] -= 1
            self._considering += Counter()  # Forgets who has none.
        if refused is not None:
            self._decline(sender, offer, refused)
        else:
            self._bid(sender, offer)

    def _decline(self, sender: PeerId, offer: Offer, refused: Refusal) -> None:
        log.info("declined", extra={"job": offer.job, "requester": sender, "reason": refused.reason})
        self._transport.send(sender, Decline(offer.job, refused.code, refused.reason))

    def _bid(self, sender: PeerId, offer: Offer) -> None:
        self._offers[sender, JobId(offer.job)] = offer
        if len(self._offers) > limits.OFFERS_MAX:
            self._offers.popitem(last=False)
        log.info("bid", extra={"job": offer.job, "requester": sender})
        self._transport.send(sender, Bid(offer.job))

    # Executions --------------------------------------------------------------------------------

    def _accepted(self, sender: PeerId, job: JobId, shard: int, execution: ExecutionId) -> None:
        offer = self._offers.pop((sender, job), None)
        if offer is None or execution in self._given:
            return  # A repeated accept finds nothing to start.
        mine = sum(1 for given in self._given.values() if given.requester == sender)
        if mine >= limits.EXECUTIONS_PER_REQUESTER:
            reason = f"{mine} executions of yours are here already"
            self._transport.send(sender, Failed(execution, "full", reason))
            return
        given = Execution(execution, sender, job, shard, offer)
        self._given[execution] = given
        if self._ledger.ask(execution, need_of(offer.spec.resources)):
            given.room.set()
        self._begin(partial(self._work_on, given))

    async def _work_on(self, given: Execution) -> None:
        answer: Proposed | Failed | None = None
        with given.scope:
            answer = await run(self._bench, given, partial(self._started, given))
        released = self._given.get(given.execution) is not given
        if isinstance(answer, Proposed) and not released:
            self._start(self._ledger.keep_disk(given.execution, given.tree.total_bytes if given.tree else 0))
            given.kept = self._alarms.after(limits.RESULTS_KEPT_S, partial(self._release, given))
            self._tell(given, answer)
            return
        self._given.pop(given.execution, None)
        self._ledger.withdraw(given.execution)
        if isinstance(answer, Failed) and not released:
            self._tell(given, answer)
        await self._clear(given)

    def _started(self, given: Execution) -> None:
        self._transport.send(given.requester, Started(given.execution))

    def _tell(self, given: Execution, answer: Proposed | Failed) -> None:
        outcome = "proposed" if isinstance(answer, Proposed) else f"{answer.code}: {answer.reason}"
        log.info("execution_ended", extra={"execution": given.execution, "job": given.job, "outcome": outcome})
        self._transport.send(given.requester, answer)

    def _hand_over(self, sender: PeerId, execution: ExecutionId) -> None:
        given = self._of(sender, execution)
        if given is None or given.tree is None:
            self._transport.send(sender, NoResults(execution, "this node no longer has the results"))
            return
        given.state = "won"
        log.info("won", extra={"execution": execution, "job": given.job})
        self._transport.send(sender, _answer(given))

    def _release(self, given: Execution) -> None:
        """Stop it if it runs, delete what is kept; the work itself frees what it reserved when it has ended."""
        if self._given.pop(given.execution, None) is not given:
            return
        self._ledger.withdraw(given.execution)
        given.scope.cancel()
        if given.kept is not None:  # Else its work is under way, and clears up behind itself.
            given.kept.cancel()
            self._begin(partial(self._clear, given))

    async def _clear(self, given: Execution) -> None:
        await self._bench.clear(given.execution)
        self._free(given)

    def _free(self, given: Execution) -> None:
        self._start(self._ledger.give_back(given.execution))

    def _start(self, executions: tuple[ExecutionId, ...]) -> None:
        for execution in executions:
            self._given[execution].room.set()

    def _of(self, sender: PeerId, execution: ExecutionId) -> Execution | None:
        given = self._given.get(execution)
        return given if given is not None and given.requester == sender else None

    def _begin(self, work: _Work) -> None:
        try:
            self._work_in.send_nowait(work)
        except trio.WouldBlock as error:
            raise AssertionError("more work than offers and executions can give") from error


def _answer(given: Execution) -> Results:
    assert given.tree is not None
    tree = given.tree
    manifest = tree.manifest.render()
    if len(manifest) > _MANIFEST_INLINE_MAX or len(tree.sizes) > limits.INLINE_FILES_MAX:
        return Results(given.execution, None, None, None)
    return Results(given.execution, manifest, tree.sizes, tree.contents)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), limits.BLOB_CHUNK_BYTES):
        yield body[start : start + limits.BLOB_CHUNK_BYTES]
