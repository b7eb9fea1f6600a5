"""What nodes say of their runs while these wait: in the job's history, short, and not without end."""

from __future__ import annotations

from doubles.hostile import Hostile, manifest_for
from doubles.peers import identity, peer
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node import limits
from node import messages as m
from node.executor.base import Task
from node.executor.scripted import Play

MANIFEST, CONTENTS = manifest_for({"stdout": b"r", "stderr": b"", "exitCode": b"0", "outputs/a.txt": b"rr"})
TALKER = 9


def fetching(task: Task) -> Play:
    """A run that waits for something."""
    task.tell("pulling a large image")
    task.tell("x\n" * 10_000)
    return says(b"r")(task)


async def told(nodes, record):
    async with nodes.nodes[0].jobs.events(CLIENT, record.job, 0) as events:
        return [event async for event in events if event.kind == "progress"]


def test_what_a_run_waits_for_is_in_the_jobs_history():
    async def main():
        async with cluster(1) as nodes:
            for _ in range(3):
                await nodes.start(fetching)
            await nodes.settled()
            record = await nodes.submit(spec(concurrency=3))
            found = await told(nodes, record)
            assert [event.text for event in found].count("pulling a large image") == 3
            assert {event.peer for event in found} == {peer(number) for number in range(3)}
            assert {event.execution for event in found} == {run.execution for run in record.executions}
            assert all(len(event.text) <= limits.REASON_CHARS_MAX and "\n" not in event.text for event in found)

    simulate(main)


def test_a_node_that_talks_without_end_or_of_others_runs_is_not_written_down():
    async def main():
        async with cluster(2) as nodes:
            for _ in range(2):
                await nodes.start(says(b"r", takes_s=5))
            talker = Hostile(identity(TALKER), nodes.network.join(peer(TALKER)), MANIFEST.h1(), lambda _: None)

            def talks(given: m.Accept, requester):
                for number in range(10 * limits.PROGRESS_LINES):
                    talker.transport.send(requester, m.Progress(given.execution, f"{number}"))
                    talker.transport.send(requester, m.Progress("f" * 32, "of nobody's"))
                return talker.proposal(given, requester)

            talker.proposes = talks
            await nodes.nursery.start(talker.run, nodes.transports[0].addresses[0])
            await nodes.settled()
            record = await nodes.submit(spec(concurrency=3, confidence=2))
            assert record.state == "completed"
            found = await told(nodes, record)
            assert [event.text for event in found] == [str(number) for number in range(limits.PROGRESS_LINES)]

    simulate(main)
