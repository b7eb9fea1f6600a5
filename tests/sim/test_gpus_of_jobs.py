"""GPUs in a cluster: given one by one, by id, to one execution each, and back once however that ends."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import trio
from doubles.peers import peer
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node.compute.gpus import Gpu
from node.errors import InvalidSpec
from node.executor.scripted import Play, ScriptedExecutor
from node.model import DockerEngine, Resources
from node.spec import completed
from node.wiring import Node

GPUS = tuple(Gpu(f"GPU-{number}", "test", 1) for number in range(2))
JOB = msgspec.structs.replace(
    spec("noop"), engine=DockerEngine(image="i", digest=f"sha256:{'0' * 64}"), resources=Resources(gpus=1)
)


class Docker(ScriptedExecutor):
    """Runs for half a minute; fails the test when a GPU is given twice."""

    def __init__(self):
        super().__init__(lambda _: Play(stdout=b"r", takes_s=30.0), "docker")
        self.given = []
        self._busy = set()

    async def run(self, task, results, collect):
        assert not self._busy & set(task.gpus)
        self._busy.update(task.gpus)
        self.given.append(task.gpus)
        try:
            return await super().run(task, results, collect)
        finally:
            self._busy.difference_update(task.gpus)


async def end_all(nodes, end, records):
    if end == "left":
        nodes.nodes[0].compute.left(peer(0))
    for record in records if end == "cancelled" else ():
        await nodes.nodes[0].jobs.cancel(CLIENT, record.job)


@pytest.mark.parametrize(("end", "runs"), [("cancelled", 2), ("left", 2), ("proposed", 3)])
def test_each_runs_with_one_of_its_own_and_all_come_back(end, runs):
    engine = Docker()

    async def main():
        async with cluster(9) as nodes:
            await nodes.start(says(b"r"), node=lambda parts: Node(replace(parts, gpus=GPUS, executors=(engine,))))
            queue = nodes.nodes[0].compute._queue
            records = [await nodes.nodes[0].jobs.submit(CLIENT, JOB) for _ in range(3)]
            await trio.sleep(10)
            assert sorted(engine.given) == [("GPU-0",), ("GPU-1",)]
            assert queue.left.gpus == 0
            await end_all(nodes, end, records)
            await trio.sleep(100)
            assert queue.left == queue.total
            assert len(engine.given) == runs
            refused = await nodes.submit(msgspec.structs.replace(JOB, resources=Resources(gpus=3)))
            assert "it asks for 3 GPUs, this node gives a job 2" in refused.failure.reason

    simulate(main)


def test_a_wasm_program_can_ask_for_none():
    with pytest.raises(InvalidSpec, match="can use no GPU"):
        completed(msgspec.structs.replace(spec("noop"), resources=Resources(gpus=1)))
