"""What a restart finds of a job that was cut off at the worst moment."""

from __future__ import annotations

import trio
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node.journal.base import SaveJob
from node.journal.records import JobEvent, JobRecord
from node.journal.writer import InlineJournal
from node.model import JobId
from node.spec import spec_hash
from node.vault.results import Results

JOB = JobId("a" * 32)


def test_results_that_were_whole_but_not_journalled_are_removed():
    """Else they would lie there for ever: the job has ended without results, and nobody may ask for them."""
    record = JobRecord(
        job=JOB,
        client=CLIENT,
        spec=spec("noop"),
        spec_sha256=spec_hash(spec("noop")),
        submitted_at=1_700_000_000.0,
        deadline=1_700_009_000.0,
        state="handing_over",
    )

    async def main():
        async with cluster(1) as nodes:
            data = nodes.folder / "0"
            data.mkdir()
            journal = InlineJournal(data / "journal.sqlite")
            journal.write([SaveJob(record, (JobEvent(seq=1, at=0.0, kind="submitted"),))])
            journal.close()
            intake = Results(data / "results").intake(record)
            intake.put("stdout", b"r")
            intake.finish()
            await nodes.start(says(b"r"))
            await trio.sleep(1)
            jobs = nodes.nodes[0].jobs
            async with jobs.events(CLIENT, JOB, 0) as events:
                seen = [(event.seq, event.kind) async for event in events]
            return await jobs.find(CLIENT, JOB), seen, list((data / "results").iterdir())

    ended, seen, left_over = simulate(main)
    assert (ended.state, ended.failure.code) == ("failed", "restart")
    assert seen == [(1, "submitted"), (2, "ended")]
    assert left_over == []
