"""A result without a file is none: it would take the receipt of all other shards with it."""

from __future__ import annotations

from doubles.hostile import Hostile
from doubles.peers import identity, peer
from sim.cluster import cluster, simulate
from sim.sharded import cat, plant, sharded

from node import messages as m
from node.receipt.check import Unverified, check
from node.verifier.manifest import Manifest

LIAR = 9
EMPTY = Manifest(())


def test_a_winner_without_a_file_fails_its_shard_and_no_other():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(cat)
            plant(nodes, 8)
            transport = nodes.network.join(peer(LIAR))
            hostile = Hostile(identity(LIAR), transport, EMPTY.h1(), lambda asked: m.Results(asked, b"", (), ()))
            await nodes.nursery.start(hostile.run, nodes.transports[0].addresses[0])
            await nodes.settled()
            record = await nodes.submit(sharded(verifier="noop", concurrency=1, min_bids=2, holders_first=False))
            hers = {shard.shard for shard in record.told if shard.executions[0].peer == peer(LIAR)}
            assert 0 < len(hers) < 8
            assert (record.state, record.tally.failed, record.tally.completed) == ("failed", len(hers), 8 - len(hers))
            assert all(record.told[shard].executions[0].lied for shard in hers)
            receipt = await nodes.nodes[0].jobs.receipt(record.client, record.job)
            checked = check(receipt, nodes.nodes[0].results.folder(record))
            assert isinstance(checked, Unverified), checked
            assert set(checked.predicate.missing) == hers

    simulate(main)
