"""From the vote to the kept results: winners are asked in turn, and what becomes of it goes back as events.

A job is served by a few tasks at a time, all jobs together by a limited number of fetches. However it ends, nothing of
a shard without results stays on the disk, nor of a job without any.
Does not live here: what a winner sends and how that is checked (``node.requester.handover``), who is asked next
(``node.requester.shard``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

import trio

from node import limits
from node.ambient import Ambient
from node.errors import BadResult, BlobRefused, MalformedMessage, NoRoom, PeerGone, StorageError
from node.identity import Identity
from node.model import cut
from node.receipt.sign import make
from node.receipt.statement import Facts
from node.requester.effects import Fetch
from node.requester.handover import HandOvers
from node.requester.incoming import Incoming
from node.requester.life import (
    CannotKeep,
    Ended,
    Event,
    Filed,
    Filing,
    HandingOver,
    Kept,
    Lied,
    NotHandedOver,
    Settled,
    ShardEvent,
)
from node.requester.live import LiveJob
from node.requester.record import record_of, shard_record
from node.verifier.manifest import Manifest

log = logging.getLogger("quorate.requester")

_TASKS_MAX = (limits.HAND_OVERS_PER_JOB + 1) * limits.JOBS_ACTIVE_MAX  # Of each job so many, and one that files.


class Feed(Protocol):
    """What takes what came of it."""

    def feed(self, live: LiveJob, event: Event, receipt: bytes | None = None) -> None:
        """An event of the job; with the receipt when its results are filed."""

    def feed_shard(self, live: LiveJob, shard: int, event: ShardEvent) -> None:
        """An event of one shard."""


class Deliveries:
    """Fetches what won, shard by shard, and files it when all are settled."""

    def __init__(self, identity: Identity, hand_overs: HandOvers, ambient: Ambient, feed: Feed) -> None:
        self._identity = identity
        self._hand_overs = hand_overs
        self._ambient = ambient
        self._to = feed
        self._places = trio.CapacityLimiter(limits.HAND_OVERS_MAX)
        self._jobs_in, self._jobs = trio.open_memory_channel[LiveJob](_TASKS_MAX)

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            async for live in self._jobs:
                nursery.start_soon(self._serve, live)

    def order(self, live: LiveJob, order: Fetch) -> None:
        """Ask this winner; the one of the shard before, if any, has answered."""
        if order.shard in live.incoming:
            live.orders.appendleft(order)  # Its time is running.
        else:
            live.orders.append(order)
        self._staff(live)

    def file(self, live: LiveJob) -> None:
        """Every shard is settled: fetches under way end, and the last task at work makes it whole."""
        _end_fetches(live)
        self._staff(live)

    def let_go(self, live: LiveJob) -> None:
        """The job is over: fetches under way end, and what nobody will see is deleted."""
        _end_fetches(live)
        if live.collected is not None and live.shown.results is None:
            self._staff(live)

    def _staff(self, live: LiveJob) -> None:
        """One task more, if it may be. The first one alone makes the place for the results."""
        if live.tasks < (limits.HAND_OVERS_PER_JOB if live.collected else 1):
            live.tasks += 1
            self._jobs_in.send_nowait(live)

    def _staff_for_orders(self, live: LiveJob) -> None:
        if live.orders:
            self._staff(live)

    async def _serve(self, live: LiveJob) -> None:
        while live.orders:
            order = live.orders.popleft()
            self._staff_for_orders(live)
            await self._deliver(live, order)
        if live.tasks == 1:
            await self._conclude(live)
        live.tasks -= 1

    async def _conclude(self, live: LiveJob) -> None:
        if isinstance(live.state, Filing):
            await self._file(live)
        if live.collected is not None and isinstance(live.state, Ended) and live.state.results is None:
            collected, live.collected = live.collected, None
            await self._hand_overs.abandon(collected)

    # A shard -----------------------------------------------------------------------------------

    async def _deliver(self, live: LiveJob, order: Fetch) -> None:
        with trio.CancelScope() as scope:
            live.fetching.add(scope)
            async with self._places:
                if isinstance(live.shards[order.shard], HandingOver):
                    await self._fetch(live, order)
        live.fetching.discard(scope)
        await self._clear(live, order.shard)

    async def _clear(self, live: LiveJob, shard: int) -> None:
        """Nothing stays of a shard that is settled without results."""
        state = live.shards[shard]
        if not isinstance(state, Settled):
            return
        incoming = live.incoming.pop(shard, None)
        if incoming is not None and state.record.results is None and live.base.shards > 1:
            await self._hand_overs.drop(incoming)

    async def _fetch(self, live: LiveJob, order: Fetch) -> None:
        try:
            incoming = await self._incoming(live, order.shard)
            with trio.fail_after(_share_s(live, incoming)):
                results = await self._hand_overs.fetch(incoming, order)
        except (BadResult, MalformedMessage) as error:
            log.warning("liar", extra={"job": live.job, "peer": order.peer, "what": str(error)})
            event: ShardEvent = Lied(order.peer, cut(str(error)))
        except trio.TooSlowError:
            event = NotHandedOver(order.peer, "it took more than its share of the time")
        except (PeerGone, BlobRefused, StorageError) as error:
            event = NotHandedOver(order.peer, cut(str(error)))
        except NoRoom as error:
            event = CannotKeep(str(error))
        except OSError as error:  # This machine's trouble, wherever a driver met it: no file left to open, a bad disk.
            event = NotHandedOver(order.peer, cut(f"this node could not read it: {error.strerror}"))
        else:
            if not isinstance(live.shards[order.shard], HandingOver):
                return  # Its job was stopped with the last byte.
            incoming.collected.keep(incoming)
            event = Kept(results)
        self._to.feed_shard(live, order.shard, event)

    async def _incoming(self, live: LiveJob, shard: int) -> Incoming:
        if live.collected is None:
            live.collected = await self._hand_overs.begin(live.base)
            self._staff_for_orders(live)
        incoming = live.incoming.get(shard)
        if incoming is None:
            incoming = live.incoming[shard] = live.collected.incoming(shard)
            incoming.by = trio.current_time() + limits.HAND_OVER_S
        return incoming

    # The job -----------------------------------------------------------------------------------

    async def _file(self, live: LiveJob) -> None:
        assert isinstance(live.state, Filing)
        assert live.collected is not None
        try:
            results, receipt = await self._hand_overs.finish(live.collected, self._receipt(live, live.state))
        except NoRoom as error:
            self._to.feed(live, CannotKeep(str(error)))
        else:
            self._to.feed(live, Filed(results), receipt)

    def _receipt(self, live: LiveJob, state: Filing) -> Callable[[Manifest], bytes]:
        """What makes it once all files are known; the rest of it is known now."""
        settled = [live.shards[shard] for shard in sorted(live.shards)]
        facts = partial(
            Facts,
            record=record_of(live.base, state, 0.0),
            shards=tuple(map(shard_record, settled)),
            plan=live.plan,
            proposals=tuple(ballot for shard in settled for ballot in shard.ballots.values()),
            finished_at=self._ambient.now(),
        )
        return lambda manifest: make(self._identity, facts(manifest=manifest))


def _end_fetches(live: LiveJob) -> None:
    for scope in tuple(live.fetching):
        scope.cancel()


def _share_s(live: LiveJob, incoming: Incoming) -> float:
    """Seconds for the winner that is asked: what is left, by the winners that are left, so that none takes it all."""
    state = live.shards[incoming.shard]
    assert incoming.by is not None
    assert isinstance(state, HandingOver)
    return max(0.0, incoming.by - trio.current_time()) / len(state.asking)
