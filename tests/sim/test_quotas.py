"""What a client may have under way, in jobs and in the bytes of their specs."""

from __future__ import annotations

import pytest
from sim.cluster import CLIENT, MODULE_SHA256, cluster, says, simulate, spec

from node import limits
from node.errors import TooMany
from node.journal.base import SaveModule
from node.model import ClientId, Deal, JobSpec, WasmEngine
from node.spec import completed

WIDE = completed(
    JobSpec(
        engine=WasmEngine(module=MODULE_SHA256, args=("x" * limits.ARG_BYTES_MAX,) * 15),
        deal=Deal(min_bids=9),
    )
)


def clients(nodes, count):
    """So many clients that may all use the cluster's module."""
    made = [ClientId(f"{number:064x}") for number in range(count)]
    for client in made:
        nodes.nodes[0].jobs._journal.write((SaveModule(client, MODULE_SHA256, 8),))
    return made


def test_large_specs_fill_a_quota_of_their_own_for_each_client_and_for_all():
    async def until_refused(jobs, client):
        for taken in range(1000):
            try:
                await jobs.submit(client, WIDE)
            except TooMany:
                return taken
        raise AssertionError("nothing was refused")

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"))
            jobs = nodes.nodes[0].jobs
            counts = [await until_refused(jobs, client) for client in clients(nodes, 6)]
            size = counts[0] * limits.ARG_BYTES_MAX * 15
            assert limits.SPECS_ACTIVE_BYTES_PER_CLIENT * 0.9 < size < limits.SPECS_ACTIVE_BYTES_PER_CLIENT
            assert sum(counts) * limits.ARG_BYTES_MAX * 15 < limits.SPECS_ACTIVE_BYTES
            assert counts[-1] == 0

    simulate(main)


def test_so_many_jobs_of_a_client_and_no_more():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"))
            jobs = nodes.nodes[0].jobs
            for _ in range(limits.JOBS_ACTIVE_PER_CLIENT):
                await jobs.submit(CLIENT, spec("noop", min_bids=9))
            with pytest.raises(TooMany, match="1000 of your jobs"):
                await jobs.submit(CLIENT, spec("noop", min_bids=9))

    simulate(main)
