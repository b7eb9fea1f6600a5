"""A job that is over for its owner, or has had all its time, does not wait for winners who take theirs."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import trio
from sim.cluster import CLIENT, cluster, simulate
from sim.sharded import cat, plant, sharded

from node.ambient import inline
from node.model import LocalPublisher
from node.publisher.base import Publishers
from node.publisher.local import LocalPublishing
from node.receipt.check import Holds, check
from node.wiring import Node


class SomeNever(LocalPublishing):
    """Publishes the first 15 shards, and is never done with the others."""

    async def publish(self, where, below, results):
        if int(below.split("/")[2]) >= 15:
            await trio.sleep_forever()
        return await super().publish(where, below, results)


def test_what_was_won_is_filed_at_once_when_the_job_is_cancelled():
    async def main():
        async with cluster(3) as nodes:
            nodes.shared.mkdir()
            ways = Publishers({LocalPublisher: SomeNever((nodes.shared,), nodes.folder / "data", inline)})
            for _ in range(3):
                await nodes.start(cat, node=lambda parts: Node(replace(parts, publishers=ways)))
            plant(nodes, 20)
            await nodes.settled()
            job = msgspec.structs.replace(sharded(), publisher=LocalPublisher(folder=str(nodes.shared)))
            record = await nodes.nodes[0].jobs.submit(CLIENT, job)
            await trio.sleep(30)
            before = trio.current_time()
            await nodes.nodes[0].jobs.cancel(CLIENT, record.job)
            record = await nodes.nodes[0].jobs.wait(CLIENT, record.job, 2_000)
            assert trio.current_time() - before < 60
            assert record.state == "cancelled"
            receipt = check(await nodes.nodes[0].jobs.receipt(CLIENT, record.job))
            assert isinstance(receipt, Holds)
            assert len(receipt.predicate.missing) == 20 - record.tally.completed < 20

    simulate(main)
