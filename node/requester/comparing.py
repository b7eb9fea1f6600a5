"""After a vote that nobody won: what do the groups disagree on? One node of each says which files it has.

Nothing is asked before the vote is closed, and nothing that is said is believed unless it gives the hash that its node
had proposed. Whoever is gone, silent or long-winded is passed over for another node of its group, and the whole has a
limit: a job's end does not wait for it any longer.
Does not live here: what the answer means for the shard (``node.requester.shard``).
"""

from __future__ import annotations

import logging

import trio

from node import limits
from node.ambient import Ambient
from node.errors import BadResult, PeerError
from node.journal.records import ExecutionRecord
from node.messages import ListWanted
from node.model import VotedOn
from node.requester.delivery import Feed
from node.requester.effects import Compare
from node.requester.life import Compared, Comparing
from node.requester.live import LiveJob
from node.transport.base import Transport
from node.transport.whole import fetched_whole
from node.verifier.differences import differences_told, differing
from node.verifier.manifest import Manifest, parse_sized, voted

log = logging.getLogger("quorate.requester")

_AT_ONCE = 4  # Each holds a list of every group in memory.


class Comparisons:
    """Performs Compare, and feeds Compared."""

    def __init__(self, transport: Transport, ambient: Ambient, feed: Feed) -> None:
        self._transport = transport
        self._ambient = ambient
        self._to = feed
        self._places = trio.CapacityLimiter(_AT_ONCE)
        self._open = 0
        self._orders_in, self._orders = trio.open_memory_channel[tuple[LiveJob, Compare]](limits.COMPARISONS_MAX)

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            async for live, order in self._orders:
                nursery.start_soon(self._serve, live, order)

    def order(self, live: LiveJob, order: Compare) -> None:
        """Answers soon, or at once where there are too many."""
        if self._open == limits.COMPARISONS_MAX:
            self._to.feed_shard(live, order.shard, Compared())
            return
        self._open += 1
        self._orders_in.send_nowait((live, order))

    async def _serve(self, live: LiveJob, order: Compare) -> None:
        lists: list[Manifest] = []
        vote_on = live.base.spec.vote_on
        with trio.move_on_after(limits.COMPARE_S):
            async with self._places:
                if isinstance(live.shards[order.shard], Comparing):  # Else its job was stopped meanwhile.
                    await self._ask_groups(order, vote_on, lists)
        self._open -= 1
        names = await self._ambient.offload(differing, lists, vote_on)
        self._to.feed_shard(live, order.shard, Compared(differences_told(names, vote_on) if names else ""))

    async def _ask_groups(self, order: Compare, vote_on: VotedOn, lists: list[Manifest]) -> None:
        async with trio.open_nursery() as nursery:
            for group in order.groups:
                nursery.start_soon(self._ask_group, group, vote_on, lists)

    async def _ask_group(self, group: tuple[ExecutionRecord, ...], vote_on: VotedOn, lists: list[Manifest]) -> None:
        for run in group:
            with trio.move_on_after(limits.COMPARE_NODE_S):
                try:
                    lists.append(await self._ask(run, vote_on))
                except PeerError as error:
                    log.info("not_compared", extra={"execution": run.execution, "peer": run.peer, "why": str(error)})
                else:
                    return

    async def _ask(self, run: ExecutionRecord, vote_on: VotedOn) -> Manifest:
        wanted, most = ListWanted(run.execution), limits.COMPARED_LIST_BYTES
        body = await fetched_whole(self._transport, run.peer, wanted, most)
        return await self._ambient.offload(_checked, body, run, vote_on)


def _checked(body: bytes, run: ExecutionRecord, vote_on: VotedOn) -> Manifest:
    manifest, _ = parse_sized(body)
    if voted(manifest, vote_on).h1() != run.hash:
        raise BadResult("the list is not that of the result which it proposed")
    return manifest
