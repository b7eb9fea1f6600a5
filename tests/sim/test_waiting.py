"""Full nodes: who waits, for how long it is told, who is drawn instead, and that every wait ends."""

from __future__ import annotations

import msgspec
import pytest
import trio
from doubles.peers import peer
from doubles.requesters import by_hand
from sim.cluster import CLIENT, cluster, simulate, spec

from node import limits
from node import messages as m
from node.executor.scripted import Play
from node.model import Resources

WHOLE = Resources(cpu=8)  # of a node of the cluster


def whole(verifier="noop", timeout_s=60.0, **deal):
    return msgspec.structs.replace(spec(verifier, timeout_s=timeout_s, **deal), resources=WHOLE)


def runs_for(seconds):
    return lambda _: Play(stdout=b"r", takes_s=seconds)


async def at_once(nodes, *jobs):
    """Submit one a second, and wait for all."""
    desk, records = nodes.nodes[0].jobs, []
    for job in jobs:
        records.append(await desk.submit(CLIENT, job))
        await trio.sleep(1)
    return [
        await nodes.told(await desk.wait(CLIENT, record.job, record.deadline - record.submitted_at + 60))
        for record in records
    ]


async def history(nodes, record):
    async with nodes.nodes[0].jobs.events(CLIENT, record.job, 0) as events:
        return [event async for event in events]


def test_a_job_waits_for_room_is_told_how_long_and_runs():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(runs_for(20.0))
            began = trio.current_time()
            first, second, third = await at_once(nodes, *[whole()] * 3)
            assert {record.state for record in (first, second, third)} == {"completed"}
            assert 60 <= trio.current_time() - began < 70
            assert [record.answers[0].wait_s for record in (first, second, third)] == pytest.approx([0, 59, 118], abs=1)
            assert third.draw.waiting == (peer(0),)
            (queued,) = [event for event in await history(nodes, second) if event.kind == "queued"]
            assert queued.text == "waits for room, about 59 s"
            (again, last) = await at_once(nodes, *[whole()] * 2)
            assert again.executions[0].wait_s == 0.0
            assert last.executions[0].wait_s == pytest.approx(19.0, abs=0.5)  # It has seen how long they take.

    simulate(main)


def test_time_spent_waiting_is_not_taken_from_the_time_that_it_may_run():
    async def main():
        async with cluster(1) as nodes:
            await nodes.start(runs_for(50.0))
            records = await at_once(nodes, *[whole(timeout_s=60.0)] * 4)
            assert {record.state for record in records} == {"completed"}

    simulate(main)


def test_nodes_with_room_are_drawn_before_those_without_however_late_they_bid():
    async def main():
        async with cluster(5) as nodes:
            for _ in range(4):
                await nodes.start(runs_for(100.0))
            await nodes.settled()
            busy = await nodes.nodes[0].jobs.submit(CLIENT, whole(concurrency=2))
            await trio.sleep(5)
            drawn = {peer for peer in (await nodes.nodes[0].jobs.find(CLIENT, busy.job)).draw.bidders}
            assert len(drawn) >= 2
            (second,) = await at_once(nodes, whole(concurrency=2))
            first = await nodes.told(await nodes.nodes[0].jobs.wait(CLIENT, busy.job, 1000))
            ran = [{run.peer for run in record.executions} for record in (first, second)]
            assert not ran[0] & ran[1]
            assert second.draw.waiting == ()

    simulate(main)


def test_where_lots_alone_decide_full_nodes_are_drawn_like_others():
    async def main():
        async with cluster(5) as nodes:
            for _ in range(3):
                await nodes.start(runs_for(30.0))
            await nodes.settled()
            jobs = [whole(concurrency=1, min_bids=3, ready_first=False)] * 6
            records = await at_once(nodes, *jobs)
            assert {record.state for record in records} == {"completed"}
            assert all(record.draw.waiting == () for record in records)
            assert any(bid.wait_s for record in records for bid in record.answers)

    simulate(main)


def test_a_silent_node_holds_up_a_job_on_full_nodes_for_no_longer_than_the_window():
    async def main():
        async with cluster(6) as nodes:
            await nodes.start(runs_for(30.0))
            await by_hand(nodes, 9)  # Says nothing.
            (_, second) = await at_once(nodes, *[whole(bid_window_s=5.0)] * 2)
            assert second.state == "completed"
            told = {event.kind: event.at for event in await history(nodes, second)}
            assert told["drawn"] - told["bid"] == pytest.approx(5.0, abs=0.5)

    simulate(main)


def test_an_execution_that_finds_no_room_in_time_fails_as_full_and_the_next_one_runs():
    """The first runs for longer than anybody waits; it was accepted together with the others."""

    async def main():
        async with cluster(7) as nodes:
            await nodes.start(runs_for(5000.0))
            stranger = await by_hand(nodes, 9)
            long, short = whole(timeout_s=6000.0), whole(timeout_s=60.0)
            jobs = [stranger.offer(job) for job in (long, short)]
            for job in jobs:
                await stranger.hears(m.Bid, job=job)
            for number, job in enumerate(jobs):
                stranger.say(m.Accept(job, 0, f"{number:032x}"))
            waits = await stranger.hears(m.Queued, execution=f"{1:032x}")
            assert waits.wait_s == 6000.0
            began = trio.current_time()
            failed = await stranger.hears(m.Failed, execution=f"{1:032x}")
            assert (failed.code, failed.reason) == ("full", "no room came free here within about 10 min")
            assert trio.current_time() - began == pytest.approx(limits.ROOM_S_MIN, abs=5)
            refused = stranger.offer(short)
            declined = await stranger.hears(m.Decline, job=refused)
            assert declined.code == "full"
            assert "no room for it within about 10 min; try again in about 90 min" in declined.reason

    simulate(main)


def test_a_requester_that_has_filled_its_part_of_the_queue_is_told_when_to_come_again():
    async def main():
        async with cluster(8) as nodes:
            await nodes.start(runs_for(50.0))
            stranger = await by_hand(nodes, 9)
            job = stranger.offer(whole(timeout_s=60.0))
            await stranger.hears(m.Bid, job=job)
            for number in range(limits.EXECUTIONS_WAITING_PER_REQUESTER + 1):
                stranger.say(m.Accept(job, number, f"{number:032x}"))
            await stranger.hears(m.Queued, execution=f"{limits.EXECUTIONS_WAITING_PER_REQUESTER:032x}")
            more = stranger.offer(whole(timeout_s=60.0))
            declined = await stranger.hears(m.Decline, job=more)
            assert declined.reason.startswith("128 executions of yours wait here already; try again in about 2 h")
            (mine,) = await at_once(nodes, msgspec.structs.replace(spec("noop"), resources=Resources(cpu=0.1)))
            assert mine.failure.code == "bids"  # The node is full for two hours.
            nodes.network.lose(peer(0), peer(9))
            await trio.sleep(60)
            assert nodes.nodes[0].compute._queue.left == nodes.nodes[0].compute._queue.total

    simulate(main)
