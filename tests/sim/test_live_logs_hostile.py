"""Nodes that answer those who follow their output with floods, rubbish or silence: bounded, and nothing breaks."""

from __future__ import annotations

import msgspec
import pytest
import trio
from doubles.hostile import Hostile, each, never
from doubles.peers import identity, peer
from sim.cluster import CLIENT, cluster, says, simulate, spec

from node import limits
from node import messages as m
from node.errors import BlobRefused
from node.model import Resources
from node.requester.jobs import LogsAsked
from node.transport.base import Blob

LIAR = 9
DISK = 400_000


def piece(stdout=b"", stderr=b""):
    body = msgspec.msgpack.encode({"stdout": stdout, "stderr": stderr})
    return Blob(len(body), each([body]))


def refuses(_):
    raise BlobRefused("no")


def follow(tells, asked=None):
    """One hostile node of three runs a job for a minute; what somebody who follows it is shown, and the job's end."""

    async def main():
        async with cluster(1) as nodes:
            for _ in range(2):
                await nodes.start(says(b"r", takes_s=40.0))
            made = Hostile(identity(LIAR), nodes.network.join(peer(LIAR)), "", lambda _: None)
            made.proposes = lambda given, _: m.Started(given.execution)
            made.tells = tells
            await nodes.nursery.start(made.run, nodes.transports[0].addresses[0])
            await nodes.settled()
            jobs = nodes.nodes[0].jobs
            the_job = msgspec.structs.replace(
                spec(concurrency=3, confidence=2, timeout_s=60.0), resources=Resources(disk_bytes=DISK)
            )
            job = (await jobs.submit(CLIENT, the_job)).job
            await trio.sleep(5)
            (shard,) = await jobs.shards(CLIENT, job, limit=1)
            liar = next(run.execution for run in shard.executions if run.peer == peer(LIAR))
            async with jobs.logs(CLIENT, job, LogsAsked(execution=liar, follow=True)) as shown:
                items = [item async for item in shown]
            record = await jobs.wait(CLIENT, job, 1000)
            assert record.state == "completed"
            return items, made

    return simulate(main)


def notes(items):
    return " ".join(item.text for item in items if item.kind == "note")


@pytest.mark.parametrize(
    "tells",
    [
        lambda _: Blob(4, each([b"\xc1\xc1\xc1\xc1"])),
        lambda _: Blob(5, each([msgspec.msgpack.encode("text")])),
        lambda _: piece(bytes(limits.LOG_PIECE_BYTES + 1)),
        lambda _: Blob(limits.LOG_ANSWER_BYTES + 1, never()),
    ],
    ids=["no MessagePack", "something else", "a piece too long", "an answer too long"],
)
def test_rubbish_ends_the_asking(tells):
    items, hostile = follow(tells)
    assert "sent what is no output" in notes(items)
    assert not any(item.data for item in items)
    assert len(hostile.asked) == 1


def test_a_flood_comes_slowly_and_ends_where_no_run_may_write_more():
    items, hostile = follow(lambda _: piece(bytes(limits.LOG_PIECE_BYTES), bytes(10)))
    shown = sum(len(item.data) for item in items)
    assert DISK < shown <= DISK + 2 * limits.LOG_PIECE_BYTES
    assert "more than a run of this job may write" in notes(items)
    took_s = hostile.asked_at[-1] - hostile.asked_at[0]
    assert took_s >= (shown - 2 * limits.LOG_PIECE_BYTES) / limits.LOG_BYTES_PER_S


@pytest.mark.parametrize("tells", [refuses, lambda _: Blob(10, never())], ids=["refuses", "is silent"])
def test_a_node_that_does_not_tell_is_asked_now_and_then_until_its_run_is_over(tells):
    items, hostile = follow(tells)
    assert not any(item.data for item in items)
    assert items[-1].kind == "end"
    assert 5 < len(hostile.asked) <= 100 / limits.LOG_RETRY_S


def test_a_trickle_that_never_ends_ends_with_the_job():
    items, hostile = follow(lambda _: piece(b"."))
    assert len(hostile.asked) <= 100 / limits.LOG_POLL_S
    assert items[-1].kind == "end"
    assert "nothing more is kept of this output" in items[-1].text
