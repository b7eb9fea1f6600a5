"""The compute role's shell: runs what it is given, hands over what won.

Everything that is kept of an execution belongs to its requester, and ends when that releases it, leaves, or is silent
for too long. Nothing of a result leaves this node before its requester has said that it won, but for the list of its
files once it has proposed, and what it writes to stdout and stderr: to its requester alone.
Does not live here: which offers are bid on (``node.compute.offers``), how one run goes (``node.compute.run``).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from node import limits
from node.alarms import Alarms
from node.ambient import Ambient
from node.compute.account import Accounts, paths_weight
from node.compute.admission import Abilities
from node.compute.blobs import Wanted, blob_of
from node.compute.offers import Offers
from node.compute.publish import published, take_back, take_back_all
from node.compute.queue import Queue
from node.compute.run import Bench, Execution, run
from node.messages import (
    WAIT_S_MAX,
    Accept,
    BidRejected,
    Failed,
    HandOver,
    NoResults,
    Offer,
    Progress,
    Proposed,
    Queued,
    Release,
    Results,
    Started,
)
from node.model import ExecutionId, JobId, PeerId, VaultPublisher, cut
from node.transport.base import Blob, Transport

log = logging.getLogger("quorate.compute")

_Work = Callable[[], Awaitable[object]]

Inbound = Offer | Accept | BidRejected | HandOver | Release
# Each offer that is looked at, each execution and each clearing is one piece of work; we are our own requester too.
_WORK_MAX = (limits.PEERS_MAX + 1) * (limits.OFFERS_CONSIDERED_PER_PEER + 2 * limits.EXECUTIONS_PER_REQUESTER)


class Compute:
    """Serves requesters until cancelled."""

    def __init__(self, transport: Transport, bench: Bench, able: Abilities, queue: Queue, ambient: Ambient) -> None:
        self._transport = transport
        self._bench = bench
        self._queue = queue
        self._ambient = ambient
        self._alarms = Alarms()
        self._accounts = Accounts()
        self._offers = Offers(transport, able, self._accounts, queue, self._begin)
        self._given: dict[ExecutionId, Execution] = {}  # until nothing of them is left here
        self._work_in, self._work = trio.open_memory_channel[_Work](_WORK_MAX)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The whole life; cancelling it ends every workload and deletes what they left. Raises OperatorError."""
        await self._ambient.offload(self._bench.sweep)
        left_over = await self._ambient.offload(self._bench.untold.left_over)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._alarms.run)
                nursery.start_soon(take_back_all, self._bench, left_over)
                for engine in self._bench.engines.values():
                    nursery.start_soon(engine.serve)
                task_status.started()
                async for work in self._work:
                    nursery.start_soon(work)
        finally:
            with trio.CancelScope(shield=True):  # Bounded by what all runs together may write.
                await self._ambient.offload(self._bench.sweep)

    # What the network says ---------------------------------------------------------------------

    def left(self, peer: PeerId) -> None:
        """Nobody waits for what that requester ordered."""
        account = self._accounts.find(peer)
        if account is None:
            return
        account.leave()
        for given in [given for given in self._given.values() if given.requester == peer]:
            self._release(given)
        self._accounts.forget_unused(peer)

    def received(self, sender: PeerId, message: Inbound) -> None:
        """One message of a requester."""
        match message:
            case Offer():
                self._offers.received(sender, message)
            case Accept():
                self._accepted(sender, message)
            case BidRejected(job):
                self._rejected(sender, JobId(job))
            case HandOver(execution):
                self._hand_over(sender, ExecutionId(execution))
            case Release(execution, retract):
                given = self._of(sender, ExecutionId(execution))
                if given is not None:
                    given.taken.heard_at = trio.current_time()
                    given.is_retracted = retract
                    self._release(given)

    async def blob(self, sender: PeerId, request: Wanted) -> Blob:
        """What its own requester may read of an execution. Raises BlobRefused."""
        return await blob_of(self._bench, self._of(sender, ExecutionId(request.execution)), request)

    # Executions --------------------------------------------------------------------------------

    def _rejected(self, sender: PeerId, job: JobId) -> None:
        account = self._accounts.find(sender)
        if account is not None:
            account.forget(job)
            self._accounts.forget_unused(sender)

    def _accepted(self, sender: PeerId, accept: Accept) -> None:
        execution = ExecutionId(accept.execution)
        if execution in self._given:
            return
        account = self._accounts.find(sender)
        taken = None if account is None else account.take(JobId(accept.job))
        if account is None or taken is None:
            self._transport.send(sender, Failed(execution, "full", "this node has no offer of that job (any more)"))
            return
        full = self._queue.overfull() or account.refusal(taken.offer, paths_weight(accept.paths))
        if full is not None:
            self._transport.send(sender, Failed(execution, "full", full))
            return
        account.begin(taken.offer, paths_weight(accept.paths))
        taken.heard_at = trio.current_time()
        given = Execution(execution, sender, account, taken, accept.shard, accept.paths)
        self._given[execution] = given
        self._reserve(given)
        self._begin(partial(self._work_on, given))

    def _reserve(self, given: Execution) -> None:
        booking, now = given.booking, trio.current_time()
        wait_s = self._queue.wait_s(booking.need, now)
        if self._queue.ask(given.execution, booking, now):
            self._start((given.execution,))
        else:
            log.info("waits_for_room", extra={"execution": given.execution, "wait_s": round(wait_s, 1)})
            self._transport.send(given.requester, Queued(given.execution, min(wait_s, WAIT_S_MAX)))

    async def _work_on(self, given: Execution) -> None:
        answer: Proposed | Failed | None = None
        with given.scope:
            answer = await run(self._bench, given, partial(self._started, given), partial(self._progressed, given))
        if isinstance(answer, Proposed) and given.state != "released":
            assert given.results is not None
            given.state = "proposed"
            now = trio.current_time()
            keep_s = given.kept_until - now
            self._start(self._queue.proposed(given.execution, given.results.disk_bytes, now, keep_s))
            self._keep(given)
            self._tell(given, answer)
            return
        if isinstance(answer, Failed) and given.state != "released":
            self._tell(given, answer)
        await self._clear(given)

    def _keep(self, given: Execution) -> None:
        """For as long as its requester says anything about the job, and a while longer."""
        left_s = given.kept_until - trio.current_time()
        if left_s > 0:
            given.expiry = self._alarms.after(left_s, partial(self._keep, given))
        else:
            self._release(given)

    def _started(self, given: Execution, sources: tuple[str, ...]) -> None:
        self._transport.send(given.requester, Started(given.execution, sources))

    def _progressed(self, given: Execution, text: str) -> None:
        self._transport.send(given.requester, Progress(given.execution, cut(text)))

    def _tell(self, given: Execution, answer: Proposed | Failed) -> None:
        outcome = "proposed" if isinstance(answer, Proposed) else f"{answer.code}: {answer.reason}"
        log.info("execution_ended", extra={"execution": given.execution, "job": given.job, "outcome": outcome})
        self._transport.send(given.requester, answer)

    def _hand_over(self, sender: PeerId, execution: ExecutionId) -> None:
        given = self._of(sender, execution)
        if given is not None:
            given.taken.heard_at = trio.current_time()
        if given is None or given.results is None:
            self._transport.send(sender, NoResults(execution, "this node no longer has the results"))
        elif given.state == "proposed":  # Once: a repeated one would have us send it all again.
            given.state = "won"
            log.debug("won", extra={"execution": execution, "job": given.job})
            if isinstance(given.spec.publisher, VaultPublisher):
                self._transport.send(sender, given.results.handed_over)
            else:
                given.is_publishing, given.scope = True, trio.CancelScope()
                self._begin(partial(self._publish, given))

    async def _publish(self, given: Execution) -> None:
        answer: Results | NoResults | None = None
        with given.scope:
            answer = await published(self._bench, given)
        if answer is not None and given.state != "released":
            given.is_told = isinstance(answer, Results)
            self._transport.send(given.requester, answer)
            await self._take_back(given)
        given.is_publishing = False
        if given.state == "released":
            await self._clear(given)

    async def _take_back(self, given: Execution) -> None:
        """What was published, if nobody was told where, or its requester has said that it does not count.

        Else a receipt may name it. That a requester left, or is silent, says nothing.
        """
        if given.publication is not None and (given.is_retracted or not given.is_told):
            publication, given.publication = given.publication, None
            await take_back(self._bench, publication)

    def _release(self, given: Execution) -> None:
        """Stop it if it runs, delete what is kept. Its id stays taken until nothing of it is left."""
        if given.state == "released":
            return
        given.state = "released"
        self._start(self._queue.withdraw(given.execution, trio.current_time()))
        given.scope.cancel()
        if given.expiry is not None:  # Else its work is under way, and clears up behind itself.
            given.expiry.cancel()
            if not given.is_publishing:
                self._begin(partial(self._clear, given))

    async def _clear(self, given: Execution) -> None:
        self._start(self._queue.withdraw(given.execution, trio.current_time()))
        await self._bench.clear(given)
        self._start(self._queue.give_back(given.execution, trio.current_time()))
        await self._take_back(given)
        del self._given[given.execution]
        given.account.end(given.taken.offer, paths_weight(given.paths))
        self._accounts.forget_unused(given.requester)

    def _start(self, executions: tuple[ExecutionId, ...]) -> None:
        for execution in executions:
            self._given[execution].gpus = self._queue.gpus_of(execution)
            self._given[execution].room.set()

    def _of(self, sender: PeerId, execution: ExecutionId) -> Execution | None:
        given = self._given.get(execution)
        return given if given is not None and given.requester == sender and given.state != "released" else None

    # Bookkeeping -------------------------------------------------------------------------------

    def _begin(self, work: _Work) -> None:
        try:
            self._work_in.send_nowait(work)
        except trio.WouldBlock as error:
            raise AssertionError("more work than offers and executions can give") from error
