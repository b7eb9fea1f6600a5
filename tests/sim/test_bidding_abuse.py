"""Nodes that come and go, answer twice or unasked: bounded history, and nobody keeps an offer that is over."""

from __future__ import annotations

import pytest
import trio
from doubles.peers import peer
from doubles.requesters import by_hand
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node import limits
from node import messages as m
from node.executor.scripted import Play

STRANGER = 9


def test_a_node_that_comes_and_goes_makes_no_endless_history():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"))
            handmade = await by_hand(nodes, STRANGER)
            job = (await nodes.nodes[0].jobs.submit(CLIENT, spec("noop", min_bids=9, bid_window_s=600.0))).job
            for _ in range(30):
                handmade.say(m.Bid(job), m.Bid(job), m.Decline(job, "full", "no"), m.Bid(job))
                await trio.sleep(1)
                nodes.network.lose(peer(0), peer(STRANGER))
                await handmade.transport.dial(nodes.transports[0].addresses[0])
            record = await nodes.nodes[0].jobs.cancel(CLIENT, job)
            async with nodes.nodes[0].jobs.events(CLIENT, job, 0) as events:
                kinds = [event.kind async for event in events if event.peer == peer(STRANGER)]
            assert record.state == "cancelled"
            assert kinds.count("offered") == limits.OFFERS_PER_PEER
            assert kinds.count("bid") <= limits.OFFERS_PER_PEER

    simulate(main)


def test_a_bid_for_a_job_that_is_over_or_unknown_is_rejected():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"))
            handmade = await by_hand(nodes, STRANGER)
            over = (await nodes.submit(spec("noop", min_bids=9))).job
            handmade.say(m.Bid(over), m.Bid("f" * 32))
            await handmade.hears(m.BidRejected, job=over)
            await handmade.hears(m.BidRejected, job="f" * 32)

    simulate(main)


@pytest.mark.parametrize("how", ["window", "cancel"])
def test_bidders_hear_that_a_job_ended_while_it_was_bidding(how):
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"))
            handmade = await by_hand(nodes, STRANGER)
            job = (await nodes.nodes[0].jobs.submit(CLIENT, spec("noop", min_bids=9))).job
            await handmade.hears(m.Offer, job=job)
            handmade.say(m.Bid(job))
            await trio.sleep(1)
            if how == "cancel":
                await nodes.nodes[0].jobs.cancel(CLIENT, job)
            await handmade.hears(m.BidRejected, job=job)
            assert not nodes.nodes[0].compute._accounts

    simulate(main)


def test_who_declined_may_leave_come_back_and_bid():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"))
            handmade = await by_hand(nodes, STRANGER)
            job = (await nodes.nodes[0].jobs.submit(CLIENT, spec("noop", min_bids=2, bid_window_s=60.0))).job
            await handmade.hears(m.Offer, job=job)
            handmade.say(m.Decline(job, "full", "not now"))
            await trio.sleep(1)
            nodes.network.lose(peer(0), peer(STRANGER))
            await handmade.transport.dial(nodes.transports[0].addresses[0])
            handmade.say(m.Bid(job))
            record = await nodes.nodes[0].jobs.wait(CLIENT, job, 1000)
            assert set(record.draw.bidders) == {peer(0), peer(STRANGER)}

    simulate(main)


def test_proposals_without_end_for_ones_own_execution_are_opened_once():
    """Opening costs more than sending."""

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(lambda _: Play(takes_s=50))
            handmade = await by_hand(nodes, STRANGER)
            jobs = nodes.nodes[0].jobs
            job = (await jobs.submit(CLIENT, spec("noop", concurrency=2))).job
            await handmade.hears(m.Offer, job=job)
            handmade.say(m.Bid(job))
            execution = (await handmade.hears(m.Accept, job=job)).execution
            opened = []
            opening = nodes.nodes[0].requester._identity

            class Counting:
                peer_id = opening.peer_id

                @property
                def opening_key(self):
                    opened.append(1)
                    return opening.opening_key

            nodes.nodes[0].requester._identity = Counting()
            handmade.say(*[m.Proposed(execution, b"x" * 100)] * 500, *[m.Proposed("f" * 32, b"x")] * 500)
            await trio.sleep(1)
            assert len(opened) == 1

    simulate(main)
