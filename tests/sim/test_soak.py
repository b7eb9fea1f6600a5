"""Two thousand jobs that end in every way there is: afterwards no node remembers any of them but in its journal."""

from __future__ import annotations

import contextlib

import pytest
import trio
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node.alarms import Alarms
from node.errors import Conflict, ExecutionFailed, NodeError
from node.executor.scripted import Play
from node.model import CidInput
from node.transport.memory import Faults

AT_ONCE = 40
STORM = Faults(breaks=0.01, loses=0.002, blob_breaks=0.01)
HONEST = says(b"r", takes_s=0.1)

WAYS = (
    {"concurrency": 3},
    {"concurrency": 3, "confidence": 3},
    {"concurrency": 2, "verifier": "noop"},
    {"concurrency": 3, "min_bids": 9, "bid_window_s": 1.0},
    {"concurrency": 1, "verifier": "noop", "inputs": (CidInput(cid="nobody has it", path="/in"),), "bid_window_s": 1.0},
    {"concurrency": 3, "timeout_s": 0.05},
)


def wrong_now_and_then(task):
    """A liar on one job of four, and a trap on one of five."""
    number = int(task.execution[:4], 16)
    if number % 5 == 0:
        return Play(failure=ExecutionFailed("trap", "unreachable"))
    return Play(stdout=b"w" if number % 4 == 0 else b"r", files={"outputs/a.txt": b"rr"}, takes_s=0.1)


def left_over(node):
    """Every table of a node that has an entry for each job, execution, offer or deadline."""
    requester, compute = node.requester, node.compute
    tables = {
        "live jobs": requester.live,
        "executions of ours": requester._steps._by_execution,
        "winners asked": requester._hand_overs._waiting,
        "executions for others": compute._given,
        "accounts": compute._accounts,
        "reserved": compute._queue._ledger._taken,
        "waiting": compute._queue._ledger._waiting,
        "modules held": node.modules._held,
        "modules under way": compute._bench.modules._under_way,
        "alarms": [*_armed(requester._alarms), *_armed(compute._alarms)],
    }
    return {name: table for name, table in tables.items() if table}


def _armed(alarms: Alarms):
    return [alarm for _, _, alarm in alarms._heap if alarm.call is not None]


@pytest.mark.parametrize(("count", "faults"), [(2_000, Faults()), (400, STORM)], ids=["calm", "storm"])
def test_nothing_is_left_of_thousands_of_jobs(count, faults):
    states = set()

    async def one(nodes, number):
        jobs = nodes.nodes[0].jobs
        way = dict(WAYS[number % len(WAYS)])
        record = await jobs.submit(CLIENT, spec(**{"verifier": "deterministic", "timeout_s": 20.0} | way))
        if number % 7 == 0:
            await trio.sleep(number % 11 / 10)
            with contextlib.suppress(Conflict):
                await jobs.cancel(CLIENT, record.job)
        record = await jobs.wait(CLIENT, record.job, 10_000)
        assert record.ended_at <= record.deadline
        states.add(record.state if record.failure is None else record.failure.code)

    async def some(nodes, numbers):
        for number in numbers:
            await one(nodes, number)

    async def main():
        async with cluster(1, faults) as nodes:
            for script in (HONEST, HONEST, wrong_now_and_then):
                await nodes.start(script)
            await nodes.settled()
            free = [node.compute._queue.left for node in nodes.nodes]
            async with trio.open_nursery() as nursery:
                for first in range(AT_ONCE):
                    nursery.start_soon(some, nodes, range(first, count, AT_ONCE))
            await trio.sleep(60)
            assert [left_over(node) for node in nodes.nodes] == [{}] * 3
            assert [node.compute._queue.left for node in nodes.nodes] == free
            assert [list((nodes.folder / f"{n}/scratch").iterdir()) for n in range(3)] == [[]] * 3
            assert not list((nodes.folder / "0/results").glob("*/*/*/.partial-*"))
            with pytest.raises(NodeError):
                await nodes.nodes[0].jobs.find(CLIENT, "f" * 32)

    simulate(main)
    assert {"completed", "not_verified", "bids", "time", "cancelled"} <= states
