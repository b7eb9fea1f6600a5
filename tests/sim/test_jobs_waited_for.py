"""Who waited for a job is shown its shards from memory, and they are those that were written down."""

from __future__ import annotations

from contextlib import closing

import pytest
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node.errors import NotFound
from node.journal.sqlite import SqliteJournal
from node.model import ClientId

OTHER = ClientId("0" * 64)


@pytest.mark.parametrize("liars", [0, 3])
def test_shards_after_a_wait_are_those_of_the_journal_and_nobody_elses(liars):
    async def main():
        async with cluster(liars) as nodes:
            for number in range(5):
                await nodes.start(says(b"%d" % number if number < liars else b"r"))
            await nodes.settled()
            record = await nodes.submit(spec(concurrency=5, confidence=4, min_bids=5))
            jobs = nodes.nodes[0].jobs
            shown = [await jobs.shards(CLIENT, record.job[:length], limit=100) for length in (32, 8)]
            with closing(SqliteJournal(nodes.folder / "0/journal.sqlite")) as written:
                assert shown[0] == written.shards(record.job, limit=100)
            assert await jobs.shards(CLIENT, record.job, limit=100, states=("waiting",)) == ()
            with pytest.raises(NotFound):
                await jobs.shards(OTHER, record.job, limit=100)
            return shown

    shown = simulate(main)
    assert shown[0] == shown[1]
    assert len(shown[0][0].executions) == 5
