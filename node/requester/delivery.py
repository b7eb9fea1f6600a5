"""From the vote to the kept results: winners are asked in turn, and what becomes of it goes back as events.

One task for each job with winners. However it ends, nothing of a job without results stays on the disk.
Does not live here: what a winner sends and how that is checked (``node.requester.handover``), who is asked next
(``node.requester.machine``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from node import limits
from node.ambient import Ambient
from node.errors import BadResult, BlobRefused, MalformedMessage, NoRoom, PeerGone
from node.identity import Identity
from node.journal.records import ResultsRecord
from node.model import cut
from node.receipt.sign import make
from node.receipt.statement import Facts
from node.requester.handover import HandOvers, Incoming
from node.requester.life import CannotKeep, Ended, Event, Fetch, HandingOver, Kept, Lied, NotHandedOver
from node.requester.live import LiveJob
from node.requester.record import record_of, shard_of

log = logging.getLogger("quorate.requester")

_ORDERS_MAX = limits.JOBS_ACTIVE_MAX + 1  # One for each job at most.

Feed = Callable[[LiveJob, Event, bytes | None], None]


class Deliveries:
    """Fetches what won. ``feed`` takes what came of it, with the receipt when the results are kept."""

    def __init__(self, identity: Identity, hand_overs: HandOvers, ambient: Ambient, feed: Feed) -> None:
        self._identity = identity
        self._hand_overs = hand_overs
        self._ambient = ambient
        self._feed = feed
        self._orders_in, self._orders = trio.open_memory_channel[tuple[LiveJob, Fetch]](_ORDERS_MAX)

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            async for live, order in self._orders:
                nursery.start_soon(self._deliver, live, order)

    def order(self, live: LiveJob, order: Fetch) -> None:
        """Ask this winner; the one before, if any, has answered."""
        self._orders_in.send_nowait((live, order))

    async def _deliver(self, live: LiveJob, order: Fetch) -> None:
        with trio.CancelScope() as scope:
            live.fetching = scope
            if isinstance(live.state, HandingOver):
                await self._fetch(live, order, live.state)
        live.fetching = None
        state, incoming = live.state, live.incoming
        if incoming is not None and isinstance(state, Ended) and state.results is None:
            live.incoming = None
            await self._hand_overs.abandon(incoming)

    async def _fetch(self, live: LiveJob, order: Fetch, state: HandingOver) -> None:
        try:
            if live.incoming is None:
                live.incoming = await self._hand_overs.begin(live.base)
            with trio.fail_after(_share_s(live, state)):
                results = await self._hand_overs.fetch(live.incoming, order)
            receipt = await self._receipt(live, state, live.incoming, results)
        except (BadResult, MalformedMessage) as error:
            log.warning("liar", extra={"job": live.job, "peer": order.peer, "what": str(error)})
            self._feed(live, Lied(order.peer, cut(str(error))), None)
        except trio.TooSlowError:
            self._feed(live, NotHandedOver(order.peer, "it took more than its share of the time"), None)
        except (PeerGone, BlobRefused) as error:
            self._feed(live, NotHandedOver(order.peer, cut(str(error))), None)
        except NoRoom as error:
            self._feed(live, CannotKeep(str(error)), None)
        else:
            self._feed(live, Kept(results), receipt)

    async def _receipt(self, live: LiveJob, state: HandingOver, incoming: Incoming, kept: ResultsRecord) -> bytes:
        assert incoming.manifest is not None
        facts = Facts(
            record=record_of(live.base, state, 0.0),
            shards=(shard_of(record_of(live.base, state, 0.0), kept),),
            plan=None,
            proposals=tuple(state.proposals.values()),
            manifest=incoming.manifest,
            finished_at=self._ambient.now(),
        )
        return await self._ambient.offload(make, self._identity, facts)


def _share_s(live: LiveJob, state: HandingOver) -> float:
    """Seconds for the winner that is asked: what is left, by the winners that are left, so that none takes it all."""
    assert live.hand_over_by is not None
    return max(0.0, live.hand_over_by - trio.current_time()) / len(state.asking)
