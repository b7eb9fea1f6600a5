"""A way to publish that meets this machine's trouble costs a shard at most, never a node."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest
from sim.cluster import cluster, says, simulate, spec

from node.model import LocalPublisher
from node.publisher.base import Publishers
from node.wiring import Node


class Broken:
    """Fails as a disk does, where it is told to."""

    name = "local"

    def __init__(self, *where):
        self.where = where

    def refusal(self, where):
        return None

    async def publish(self, where, below, results):
        self._fail("publish")
        return "file:///somewhere"

    async def retract(self, where, below):
        self._fail("retract")

    @asynccontextmanager
    async def published(self, where, below, location, bytes_max):
        self._fail("published")
        yield None

    def _fail(self, step):
        if step in self.where:
            raise OSError(24, "Too many open files")


@pytest.mark.parametrize("where", [["publish"], ["published"], ["publish", "retract"], ["published", "retract"]])
def test_a_node_survives_what_its_disk_does_while_it_publishes_reads_back_or_takes_back(where):
    async def main():
        async with cluster(2) as nodes:
            ways = Publishers({LocalPublisher: Broken(*where)})
            for _ in range(2):
                await nodes.start(says(b"r"), node=lambda parts: Node(replace(parts, publishers=ways)))
            await nodes.settled()
            job = msgspec.structs.replace(spec(concurrency=2), publisher=LocalPublisher(folder=str(nodes.shared)))
            record = await nodes.submit(job)
            assert record.state == "failed"
            assert "Too many open files" in record.reason
            assert not any(run.lied for run in record.executions)
            assert (await nodes.submit(spec(concurrency=2))).state == "completed"

    simulate(main)
