"""Jobs of several shards, from submission to what is kept of them: each shard has its own vote and its own end."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
import trio
from doubles.peers import peer
from sim.cluster import CLIENT, cluster, simulate
from sim.sharded import cat, lying, name, plant, receipt_holds, sharded, stdout_of

from node.errors import InvalidSpec, NotFound
from node.executor.scripted import Play
from node.journal.records import Tally
from node.model import ClientId


def lines(first, last):
    return [f"line {index}" for index in range(first, last)]


async def started(nodes, *scripts, files):
    for script in scripts:
        await nodes.start(script)
    await nodes.settled()
    plant(nodes, files)


def test_a_hundred_files_in_batches_of_ten_run_on_three_nodes_each():
    seen = Counter()

    def watched(task):
        seen[tuple(sorted(mount.guest for mount in task.inputs))] += 1
        return cat(task)

    async def main():
        async with cluster(1) as nodes:
            await started(nodes, *[watched] * 3, files=100)
            record = await nodes.submit(sharded(batch_size=10))
            checked = await receipt_holds(nodes, record)
            return record, stdout_of(nodes, record), checked

    record, stdout, checked = simulate(main)
    assert (record.state, record.shards, record.tally) == ("completed", 10, Tally(completed=10))
    assert stdout == {shard: lines(10 * shard, 10 * shard + 10) for shard in range(10)}
    assert list(seen.values()) == [3] * 10
    assert sum(map(len, seen)) == 100
    assert {run.peer for shard in record.told for run in shard.executions} == {peer(0), peer(1), peer(2)}
    assert all(run.agreed for shard in record.told for run in shard.executions)
    assert {run.sources for shard in record.told for run in shard.executions} == {("filecoin_unsealed",)}
    assert (record.results.files, checked.files) == (40, 40)
    assert record.results.bytes == sum(shard.results.bytes for shard in record.told)
    assert len(record.draw.holders) == 3


def test_a_liar_in_some_shards_loses_those_alone():
    async def main():
        async with cluster(2) as nodes:
            await started(nodes, cat, cat, lying(b"line 3", b"line 8"), files=10)
            record = await nodes.submit(sharded(batch_size=2))
            await receipt_holds(nodes, record)
            return record, stdout_of(nodes, record)

    record, stdout = simulate(main)
    assert record.state == "completed"
    liars = {shard.shard: [run.peer for run in shard.executions if run.agreed is False] for shard in record.told}
    assert liars == {0: [], 1: [peer(2)], 2: [], 3: [], 4: [peer(2)]}
    assert stdout == {shard: lines(2 * shard, 2 * shard + 2) for shard in range(5)}


def test_shards_without_agreement_do_not_take_the_others_with_them():
    def three_minds(task):
        play = cat(task)
        return Play(stdout=task.execution.encode()) if b"line 1\n" in play.stdout else play

    async def main():
        async with cluster(3) as nodes:
            await started(nodes, *[three_minds] * 3, files=4)
            record = await nodes.submit(sharded())
            checked = await receipt_holds(nodes, record)
            async with nodes.nodes[0].jobs.events(CLIENT, record.job, 0) as events:
                return record, stdout_of(nodes, record), checked, [event async for event in events]

    record, stdout, checked, events = simulate(main)
    assert (record.state, record.tally) == ("not_verified", Tally(completed=3, not_verified=1))
    assert record.reason.startswith("1 of 4 shards were not verified; shard 1: a draw")
    assert stdout == {0: ["line 0"], 2: ["line 2"], 3: ["line 3"]}
    assert checked.predicate.missing == (1,)
    assert [event.shard for event in events if event.kind == "verdict"].count(1) == 1
    assert {event.shard for event in events if event.kind == "verdict"} == {0, 1, 2, 3}
    assert events[-1].text.endswith("(3 completed, 1 not verified)")


def test_a_node_that_leaves_in_the_middle_is_lost_to_the_shards_to_come_as_well():
    async def main():
        async with cluster(4) as nodes:
            await started(nodes, *[cat] * 3, files=400)
            record = await nodes.nodes[0].jobs.submit(CLIENT, sharded(batch_size=2))
            await trio.sleep(2.2)  # 64 at a time, one second each
            nodes.stop(2)
            record = await nodes.told(await nodes.nodes[0].jobs.wait(CLIENT, record.job, 1e6))
            await receipt_holds(nodes, record)
            return record

    record = simulate(main)
    assert (record.state, record.tally) == ("completed", Tally(completed=200))
    fates = [next(run.code for run in shard.executions if run.peer == peer(2)) for shard in record.told]
    assert set(fates) == {None, "lost"}
    assert fates == sorted(fates, key=lambda code: code == "lost")
    assert record.ended_at - record.submitted_at < 60  # Nobody waited for it.


@pytest.mark.parametrize("after_s", [0.0, 2.2])
def test_cancelling_in_the_middle_keeps_what_was_won_and_frees_the_nodes(after_s):
    async def main():
        async with cluster(5) as nodes:
            await started(nodes, *[cat] * 3, files=200)
            record = await nodes.nodes[0].jobs.submit(CLIENT, sharded())
            await trio.sleep(after_s)
            record = await nodes.told(await nodes.nodes[0].jobs.cancel(CLIENT, record.job))
            await trio.sleep(5)
            busy = [len(node.compute._given) + len(node.compute._accounts) for node in nodes.nodes]
            won = {shard.shard for shard in record.told if shard.state == "completed"}
            if won:
                await receipt_holds(nodes, record)
            kept = set(stdout_of(nodes, record)) if won else set()
            left_over = [path for path in (nodes.folder / "0/results").rglob("*") if path.is_file()]
            return record, busy, won, kept, left_over

    record, busy, won, kept, left_over = simulate(main)
    assert record.state == "cancelled"
    assert busy == [0, 0, 0]
    assert won == kept
    assert record.tally == Tally(completed=len(won), cancelled=200 - len(won))
    assert {shard.state for shard in record.told} == ({"completed", "cancelled"} if won else {"cancelled"})
    assert (64 <= len(won) < 200) if after_s else not won
    assert bool(left_over) == bool(won)


def test_a_node_that_stops_in_the_middle_says_so_of_every_shard_when_it_is_back():
    async def main():
        async with cluster(6) as nodes:
            await started(nodes, *[cat] * 3, files=200)
            record = await nodes.nodes[0].jobs.submit(CLIENT, sharded())
            await trio.sleep(2.2)
            nodes.stop(0)
            await trio.sleep(60)
            await nodes.start(cat, number=0)
            await nodes.settled()
            record = await nodes.told(await nodes.nodes[0].jobs.find(CLIENT, record.job))
            failed = await nodes.nodes[0].jobs.shards(CLIENT, record.job, limit=1000, states=("failed",))
            left_over = [path for path in (nodes.folder / "0/results").rglob("*") if path.is_file()]
            again = await nodes.submit(sharded(batch_size=50))
            return record, failed, left_over, again

    record, failed, left_over, again = simulate(main)
    assert (record.state, record.failure.code, record.results) == ("failed", "restart", None)
    counts = Counter(shard.state for shard in record.told)
    assert counts == {"completed": record.tally.completed, "failed": record.tally.failed}
    assert counts["completed"] > 0
    assert len(record.told) == 200
    assert [shard.shard for shard in failed] == [shard.shard for shard in record.told if shard.state == "failed"]
    assert all(shard.failure.code == "restart" for shard in failed)
    assert left_over == []
    assert again.state == "completed"


def test_shards_of_folders_and_what_lies_inside_them_are_seen_once():
    async def main():
        async with cluster(7) as nodes:
            await started(nodes, *[cat] * 3, files=3)
            for number in range(3):
                inner = next((nodes.folder / str(number) / "unsealed").iterdir()) / "sub" / "deep"
                inner.mkdir(parents=True)
                (inner / "x.txt").write_text("line 3\n")
            return await nodes.submit(sharded(batch_size=100, pattern="/**"))

    record = simulate(main)
    assert record.state == "completed"
    assert record.shards == 1
    assert record.plan_sha256 is not None
    assert record.kept.files == 4


def test_what_a_shard_sees_is_told_while_its_job_runs_and_ever_after():
    async def main():
        async with cluster(9) as nodes:
            await started(nodes, *[cat] * 3, files=200)
            jobs = nodes.nodes[0].jobs
            record = await jobs.submit(CLIENT, sharded(batch_size=2))
            with pytest.raises(NotFound):
                await jobs.paths(ClientId("0" * 64), record.job, (0,))
            told = [await jobs.paths(CLIENT, record.job, range(100))]
            await jobs.wait(CLIENT, record.job, 1e6)
            await trio.sleep(60)  # It is let go of then, and the journal is asked.
            told += [await jobs.paths(CLIENT, record.job, range(100)), await jobs.paths(CLIENT, record.job[:9], (7, 3))]
            whole = await nodes.submit(msgspec.structs.replace(sharded(), sharding=None))
            return told, await jobs.paths(CLIENT, whole.job, (0,))

    (running, ended, two), whole = simulate(main)
    plan = {shard: tuple(f"/inputs/{name(number)}" for number in (2 * shard, 2 * shard + 1)) for shard in range(100)}
    assert running == ended == plan
    assert two == {3: plan[3], 7: plan[7]}
    assert whole == {}


def test_a_pattern_that_fits_nothing_is_refused_at_submission():
    async def main():
        async with cluster(8) as nodes:
            await started(nodes, cat, files=1)
            with pytest.raises(InvalidSpec, match="no sharding atoms found for glob pattern"):
                await nodes.submit(sharded(pattern="/*.mp4", concurrency=2))

    simulate(main)
