"""A copy that changes while a job reads it fails that execution, and makes no liar of the node that has it."""

from __future__ import annotations

import os

import pytest
from doubles.peers import peer
from sim.cluster import cluster, simulate, spec
from sim.sharded import CID, cat, name, plant, sharded

from node.executor.scripted import Play
from node.model import CidInput

INPUT = CidInput(cid=CID, path="/inputs")


def changing(task):
    """Reads what it is shown; then somebody writes to it."""
    play = cat(task)
    for mount in task.inputs:
        (mount.host / name(0)).write_text("other\n")
    return play


def test_a_copy_that_changes_during_a_run_is_said_and_nobody_lied():
    async def main():
        async with cluster(3) as nodes:
            for script in (changing, cat, cat):
                await nodes.start(script)
            await nodes.settled()
            plant(nodes, 2)
            record = await nodes.submit(spec(concurrency=3, confidence=2, inputs=(INPUT,)))
            assert record.state == "completed", record.failure
            (failed,) = [run for run in record.executions if run.state == "failed"]
            assert (failed.peer, failed.code) == (peer(0), "data")
            assert "/inputs changed while the run was reading it" in failed.reason
            assert not any(run.lied for run in record.executions)

    simulate(main)


def test_a_shard_does_not_mind_what_others_see():
    async def main():
        async with cluster(3) as nodes:

            def script(task):
                (nodes.folder / "0" / "unsealed" / CID / "unseen").write_text(task.execution)
                return cat(task)

            for _ in range(3):
                await nodes.start(script)
            await nodes.settled()
            plant(nodes, 2)
            record = await nodes.submit(sharded())
            assert record.state == "completed", record.failure

    simulate(main)


def with_a_pipe(copy):
    os.mkfifo(copy / "pipe")


def with_two_names_of_a_file(copy):
    (copy / "twin").hardlink_to(copy / name(0))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (with_a_pipe, "holds pipe, which is neither a file nor a folder"),
        (with_two_names_of_a_file, "has a file with two names"),
    ],
)
def test_a_copy_that_is_not_the_same_for_every_program_is_refused_before_the_run(spoil, why):
    async def main():
        ran = []

        def script(task):
            ran.append(task)
            return Play()

        async with cluster(1) as nodes:
            await nodes.start(script)
            plant(nodes, 1)
            spoil(nodes.folder / "0" / "unsealed" / CID)
            record = await nodes.submit(spec("noop", concurrency=1, inputs=(INPUT,)))
            assert record.state == "failed"
            assert why in record.executions[0].reason
            assert ran == []

    simulate(main)
