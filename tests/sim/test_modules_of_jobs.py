"""Modules: of this node's clients and of other requesters' jobs, in one folder that is never too full."""

from __future__ import annotations

import pytest
import trio
from doubles.peers import identity, peer
from doubles.requesters import HandmadeRequester
from sim.cluster import CLIENT, MODULE, MODULE_SHA256, cluster, says, simulate, spec

from node import limits
from node import messages as m
from node.errors import InvalidSpec
from node.transport.base import Blob

SLOW = 9


def test_a_job_whose_module_has_gone_from_the_disk_is_refused_when_it_is_submitted():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"))
            (nodes.folder / "0/modules" / f"{MODULE_SHA256}.wasm").unlink()
            with pytest.raises(InvalidSpec, match="uploaded"):
                await nodes.nodes[0].jobs.submit(CLIENT, spec("noop"))

    simulate(main)


def test_the_module_of_a_job_under_way_is_not_trimmed():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r", takes_s=30))
            job = (await nodes.nodes[0].jobs.submit(CLIENT, spec("noop", min_bids=3))).job
            modules = nodes.nodes[0].modules
            modules._cache_bytes = 0
            modules.trim()
            assert modules.size(MODULE_SHA256)
            await nodes.nodes[0].jobs.cancel(CLIENT, job)
            modules.trim()
            assert modules.size(MODULE_SHA256) is None

    simulate(main)


def test_a_requester_that_sends_its_module_slowly_holds_up_nobody_elses():
    """Also when it is the same module."""

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r", takes_s=0.0))
            await nodes.start(says(b"r", takes_s=0.0))
            slow = HandmadeRequester(identity(SLOW), nodes.network.join(peer(SLOW)))
            slow.blob_of = lambda _: Blob(10**6, _drops())
            await nodes.nursery.start(slow.run, nodes.transports[1].addresses[0])
            await nodes.settled()
            await slow.given(spec("noop", timeout_s=10_000.0), "e" * 32)
            await trio.sleep(5)
            began = trio.current_time()
            record = await nodes.submit(spec(concurrency=2))
            assert record.state == "completed"
            assert trio.current_time() - began < limits.MODULE_FETCH_S / 2
            failed = await slow.hears(m.Failed, execution="e" * 32)
            assert failed.code == "module"

    simulate(main)


async def _drops():
    for byte in MODULE + bytes(1000):
        await trio.sleep(25)
        yield bytes([byte])


def test_a_module_that_its_client_never_uploaded_is_refused():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r"))
            with pytest.raises(InvalidSpec):
                await nodes.nodes[0].jobs.submit("d" * 64, spec("noop"))

    simulate(main)


def test_a_module_that_goes_is_missed_within_a_second():
    """What was checked a moment ago is not checked again; for longer than that nobody believes it."""

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(says(b"r", takes_s=0.0))
            await nodes.submit(spec("noop"))
            (nodes.folder / "0/modules" / f"{MODULE_SHA256}.wasm").unlink()
            await trio.sleep(1.1)
            with pytest.raises(InvalidSpec):
                await nodes.nodes[0].jobs.submit(CLIENT, spec("noop"))

    simulate(main)
