"""Results that take long to hash hold up neither the node's threads nor another requester's results."""

from __future__ import annotations

from dataclasses import replace

import trio
from doubles.peers import peer
from doubles.requesters import by_hand
from sim.cluster import cluster, says, simulate, spec

from node import messages as m
from node.wiring import Node

GREEDY = 9


def test_a_requester_whose_results_are_hashed_for_hours_leaves_a_place_to_others():
    hashing = []

    def slow_for_the_greedy(parts):
        async def offload(call, *args):
            if getattr(call, "__name__", "") == "_hashed":
                hashing.append(args[1].requester)
                if args[1].requester == peer(GREEDY):
                    await trio.sleep(10_000)
            return await parts.ambient.offload(call, *args)

        return Node(replace(parts, ambient=replace(parts.ambient, offload=offload)))

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r", takes_s=0.0), node=slow_for_the_greedy)
            greedy = await by_hand(nodes, GREEDY)
            for number in range(10):
                await greedy.given(spec("noop", timeout_s=100_000.0), f"{number:032x}")
            await trio.sleep(60)
            assert hashing == [peer(GREEDY)] * 3
            assert (await nodes.submit(spec("noop"))).state == "completed"
            greedy.say(*(m.Release(f"{number:032x}") for number in range(10)))

    simulate(main)
