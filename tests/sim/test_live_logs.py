"""Output of jobs under way on a simulated cluster: what its owner is shown, when, and that nobody else is."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from doubles.peers import peer
from doubles.requesters import by_hand
from sim.cluster import CLIENT, spec
from sim.followed import TICKS, items, play, said, submitted, talks
from sim.sharded import plant, sharded

from node import limits
from node import messages as m
from node.errors import BlobRefused, Conflict, NotFound, TooMany
from node.executor.scripted import Play
from node.model import ClientId
from node.requester.jobs import LogsAsked, Seen


def test_a_follower_sees_output_as_it_is_written_each_stream_by_itself_and_the_rest_at_the_end():
    async def scenario(nodes):
        job = await submitted(nodes, spec("noop"))
        shown = await items(nodes, job)
        record = await nodes.nodes[0].jobs.find(CLIENT, job)
        assert record.state == "completed"
        assert (said(shown), said(shown, "stderr")) == (b"one\ntwo\nend\n", b"careful\n")
        at = {item.data: at for at, item in shown if item.data}
        assert at[b"two\n"] - at[b"one\n"] == pytest.approx(19, abs=1)
        assert 5 < at[b"careful\n"] - at[b"one\n"] < 12
        kinds = [item.kind for _, item in shown]
        assert (kinds[0], kinds[-1]) == ("execution", "end")

    play([TICKS], scenario)


def test_while_the_vote_is_open_one_execution_is_shown_and_no_other():
    async def scenario(nodes):
        jobs = nodes.nodes[0].jobs
        job = await submitted(nodes, spec(concurrency=3))
        await trio.sleep(5)
        (shard,) = await jobs.shards(CLIENT, job, limit=1)
        shown = await items(nodes, job, LogsAsked())
        first = shown[0][1].seen.execution
        assert said(shown) == b"one\n"
        for run in shard.executions:
            asked = LogsAsked(execution=run.execution[:8])
            if run.execution == first:
                assert said(await items(nodes, job, asked)) == b"one\n"
            else:
                with pytest.raises(Conflict, match="vote over shard 0 is open"):
                    await items(nodes, job, asked)
        assert (await items(nodes, job, LogsAsked()))[0][1].seen.execution == first

    play([TICKS] * 3, scenario)


def test_the_first_that_started_is_shown_and_one_that_was_asked_for_before_instead():
    async def scenario(nodes):
        jobs = nodes.nodes[0].jobs
        job = await submitted(nodes, spec(concurrency=3))
        await trio.sleep(5)
        async with jobs.events(CLIENT, job, 0) as events:
            started = []
            async for event in events:
                started += [event.execution] if event.kind == "started" else []
                if len(started) == 3:
                    break
        shown = await items(nodes, job, LogsAsked())
        assert shown[0][1].seen.execution == started[0]
        other = await submitted(nodes, spec(concurrency=3))
        await trio.sleep(1)
        (shard,) = await jobs.shards(CLIENT, other, limit=1)
        last = shard.executions[-1].execution
        assert (await items(nodes, other, LogsAsked(execution=last)))[0][1].seen.execution == last
        assert (await items(nodes, other, LogsAsked()))[0][1].seen.execution == last

    play([TICKS] * 3, scenario)


def test_of_all_output_before_the_vote_only_one_nodes_is_ever_asked_for():
    """Counted on the network: whatever clients ask, two nodes are never asked about a shard while its vote is open."""

    async def scenario(nodes):
        asked = set()
        transport = nodes.transports[0]
        fetch = transport.fetch

        def counted(to, request):
            if isinstance(request, m.LogsWanted):
                asked.add(to)
            return fetch(to, request)

        transport.fetch = counted
        job = await submitted(nodes, spec(concurrency=3))
        await trio.sleep(3)
        (shard,) = await nodes.nodes[0].jobs.shards(CLIENT, job, limit=1)
        for run in (None, *shard.executions, None):
            asking = LogsAsked(execution="" if run is None else run.execution)
            with suppress(Conflict):
                await items(nodes, job, asking)
        forged = Seen(execution=shard.executions[-1].execution)
        await items(nodes, job, LogsAsked(seen=forged))
        assert len(asked) == 1

    play([TICKS] * 3, scenario)


def test_a_run_that_has_ended_is_not_asked_about_for_ever():
    """Its vote waits for another, and its follower for the end of the job."""

    async def scenario(nodes):
        asked_at = []
        transport = nodes.transports[0]
        fetch = transport.fetch

        def timed(to, request):
            if isinstance(request, m.LogsWanted):
                asked_at.append(trio.current_time())
            return fetch(to, request)

        transport.fetch = timed
        began = trio.current_time()
        job = await submitted(nodes, spec(concurrency=2))
        await trio.sleep(1)
        (shard,) = await nodes.nodes[0].jobs.shards(CLIENT, job, limit=1)
        fast = next(run.execution for run in shard.executions if run.peer == peer(0))
        shown = await items(nodes, job, LogsAsked(execution=fast, follow=True))
        assert said(shown) == b"r"
        assert shown[-1][0] - began > 40
        assert asked_at[-1] - began < 10

    play([talks(takes_s=2.0, stdout=b"r"), talks(takes_s=45.0, stdout=b"r")], scenario)


def test_once_the_vote_is_closed_any_may_be_asked_for():
    async def scenario(nodes):
        job = await submitted(nodes, spec(concurrency=3))
        shown = await items(nodes, job)
        assert said(shown) == b"one\ntwo\nend\n"
        (shard,) = await nodes.nodes[0].jobs.shards(CLIENT, job, limit=1)
        for run in shard.executions:  # All of them agreed, byte for byte.
            again = await items(nodes, job, LogsAsked(execution=run.execution))
            assert (said(again), said(again, "stderr")) == (b"one\ntwo\nend\n", b"careful\n")
            assert again[0][1].text == "kept: it won the vote"

    play([TICKS] * 3, scenario)


def test_a_client_that_comes_back_goes_on_where_it_was():
    async def scenario(nodes):
        job = await submitted(nodes, spec("noop"))
        await trio.sleep(5)
        before = await items(nodes, job, LogsAsked())
        seen = before[-1][1].seen
        assert (seen.stdout, seen.stderr) == (4, 0)
        after = await items(nodes, job, LogsAsked(follow=True, seen=seen))
        assert (said(after), said(after, "stderr")) == (b"two\nend\n", b"careful\n")
        seen = after[-1][1].seen
        assert said(await items(nodes, job, LogsAsked(seen=seen))) == b""
        other = Seen(execution="f" * 32, stdout=8, stderr=2**60)
        assert said(await items(nodes, job, LogsAsked(seen=other))) == b"one\ntwo\nend\n"

    play([TICKS], scenario)


def test_somebody_elses_job_and_what_there_is_not_are_not_found():
    async def scenario(nodes):
        job = await submitted(nodes, spec("noop"))
        jobs = nodes.nodes[0].jobs
        for client, asked in (
            (ClientId("d" * 64), LogsAsked()),
            (CLIENT, LogsAsked(shard=1)),
            (CLIENT, LogsAsked(execution="f" * 32)),
        ):
            with pytest.raises(NotFound):
                async with jobs.logs(client, job, asked):
                    pass

    play([TICKS], scenario)


def test_only_so_many_follow_a_job_and_whoever_goes_makes_room():
    async def scenario(nodes):
        job = await submitted(nodes, spec("noop"))
        async with trio.open_nursery() as nursery:
            for _ in range(limits.LOG_FOLLOWERS_PER_JOB):
                nursery.start_soon(items, nodes, job)
            await trio.sleep(3)
            with pytest.raises(TooMany):
                await items(nodes, job)
            nursery.cancel_scope.cancel()
        assert said(await items(nodes, job)) == b"one\ntwo\nend\n"
        logs = nodes.nodes[0].requester.logs
        assert not logs._followers
        assert not logs._turns

    play([TICKS], scenario)


def test_each_shard_has_its_own_output():
    async def scenario(nodes):
        plant(nodes, 2)
        job = await submitted(nodes, sharded(concurrency=2))
        for shard in (0, 1):
            shown = await items(nodes, job, LogsAsked(shard=shard, follow=True))
            assert said(shown) == b"line %d\n" % shard

    play([lambda task: Play(stdout=_seen_by(task), takes_s=5.0)] * 2, scenario)


def _seen_by(task):
    return b"".join(mount.host.read_bytes() for mount in task.inputs)


def test_a_node_that_leaves_ends_the_live_part_and_not_the_job():
    async def scenario(nodes):
        jobs = nodes.nodes[0].jobs
        job = await submitted(nodes, spec(concurrency=3, confidence=2))
        await trio.sleep(5)
        (shard,) = await jobs.shards(CLIENT, job, limit=1)
        gone = next(run for run in shard.executions if run.peer == peer(2))
        async with jobs.logs(CLIENT, job, LogsAsked(execution=gone.execution, follow=True)) as shown:
            kinds = []
            async for item in shown:
                kinds.append((item.kind, item.text))
                if item.kind == "stdout":
                    nodes.stop(2)
        assert any("lost" in text for kind, text in kinds if kind == "note")
        assert kinds[-1][0] == "end"
        assert (await jobs.find(CLIENT, job)).state == "completed"

    play([TICKS] * 3, scenario)


def test_only_the_requester_of_an_execution_is_told_what_it_writes():
    async def scenario(nodes):
        mine, other = [await by_hand(nodes, number) for number in (7, 8)]
        await mine.given(spec("noop"), "e" * 32)
        await mine.hears(m.Started, execution="e" * 32)
        await trio.sleep(2)
        assert await _asked(mine, 0) == m.LogPiece(b"one\n", b"")
        assert await _asked(mine, 2) == m.LogPiece(b"e\n", b"")
        assert await _asked(mine, 2**60) == m.LogPiece(b"", b"")
        assert await _asked(other, 0) is None
        mine.say(m.Release("e" * 32))
        await trio.sleep(2)
        assert await _asked(mine, 0) is None
        for requester in (mine, other):
            nodes.network.lose(peer(0), requester.identity.peer_id)

    play([TICKS], scenario)


async def _asked(requester, offset):
    try:
        async with requester.transport.fetch(requester.node, m.LogsWanted("e" * 32, offset, 0)) as blob:
            return m.decode_log(b"".join([chunk async for chunk in blob.chunks]))
    except BlobRefused:
        return None
