"""Output over the API: two streams told apart, resumption, whose it is, and clients that go away or hoard."""

from __future__ import annotations

import base64
import itertools
import json

import msgspec
import trio
from doubles.apinode import SPEC, id_of, serving, until
from doubles.jobs import PEER
from nacl.signing import SigningKey

from node import limits
from node.errors import Conflict
from node.journal.records import ExecutionRecord, ShardRecord
from node.requester.jobs import LogItem, LogsAsked, Seen
from node.spec import parse

ALICE = SigningKey(b"a" * 32)
EXECUTION = "e" * 32


async def submitted(node):
    return (await node.jobs.submit(id_of(ALICE), parse(json.dumps(SPEC).encode()))).job


def seen(stdout=0, stderr=0):
    return Seen(execution=EXECUTION, stdout=stdout, stderr=stderr)


async def some(_):
    yield LogItem(kind="execution", seen=seen(), peer="12D3KooWx", text="as it says")
    yield LogItem(kind="stdout", seen=seen(4), data=b"\xff\0\n\r")
    yield LogItem(kind="stderr", seen=seen(4, 2), data=b"e\n")
    yield LogItem(kind="end", seen=seen(4, 2), text="over")


def events_of(text):
    frames = [frame for frame in text.split("\n\n") if frame and not frame.startswith(":")]
    fields = [dict(line.split(": ", 1) for line in frame.split("\n")) for frame in frames]
    return [(each.get("id"), each["event"], json.loads(each["data"])) for each in fields]


def request_of(node, job, query=""):
    lines = [f"GET /v1/jobs/{job}/logs?{query} HTTP/1.1", "host: localhost"]
    return ("\r\n".join([*lines, f"authorization: Bearer {node.token(ALICE)}"]) + "\r\n\r\n").encode()


def test_streams_are_told_apart_and_bytes_need_not_be_text(tmp_path):
    async def scenario(node):
        node.jobs.output = some
        job = await submitted(node)
        async with node.client(ALICE) as http:
            answer = await http.get(f"/v1/jobs/{job[:6]}/logs")
        assert answer.headers["content-type"] == "text/event-stream"
        events = events_of(answer.text)
        assert [kind for _, kind, _ in events] == ["execution", "stdout", "stderr", "end"]
        assert [number for number, _, _ in events] == [f"{EXECUTION}.{at}" for at in ("0.0", "4.0", "4.2", "4.2")]
        assert base64.b64decode(events[1][2]["data"]) == b"\xff\0\n\r"
        assert events[2][2] == {
            "kind": "stderr",
            "shard": 0,
            "execution": EXECUTION,
            "peer": None,
            "stdout": 4,
            "stderr": 2,
            "data": base64.b64encode(b"e\n").decode(),
            "text": "",
        }

    serving(tmp_path, scenario)


def test_what_is_asked_for_arrives(tmp_path):
    async def scenario(node):
        job = await submitted(node)
        async with node.client(ALICE) as http:
            await http.get(f"/v1/jobs/{job}/logs?shard=3&execution=abc&follow=true")
            await http.get(f"/v1/jobs/{job}/logs", headers={"last-event-id": f"{EXECUTION}.7.9"})
        assert node.jobs.logs_asked == [
            LogsAsked(shard=3, execution="abc", follow=True),
            LogsAsked(seen=seen(7, 9)),
        ]

    serving(tmp_path, scenario)


def test_an_execution_is_found_in_whichever_shard_it_is(tmp_path):
    async def scenario(node):
        job = await submitted(node)
        names = {number: f"{number:032x}" for number in (0, 1, 1500)}
        shards = tuple(ShardRecord(shard=number, executions=runs_of(number, names)) for number in range(1600))
        node.jobs.shard_records[job] = shards
        node.jobs.records[job] = msgspec.structs.replace(node.jobs.records[job], shards=len(shards))
        async with node.client(ALICE) as http:
            for asked in (names[1500], names[1], ""):
                await http.get(f"/v1/jobs/{job}/logs?execution={asked}")
            answers = [await http.get(f"/v1/jobs/{job}/logs?execution={asked}") for asked in ("ff", "00")]
        assert [asked.shard for asked in node.jobs.logs_asked] == [1500, 1, 0]
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
            (404, "not_found"),
            (409, "conflict"),
        ]

    serving(tmp_path, scenario)


def runs_of(shard, names):
    name = names.get(shard)
    return () if name is None else (ExecutionRecord(execution=name, shard=shard, peer=PEER, state="running"),)


def test_what_cannot_be_meant_is_refused(tmp_path):
    async def scenario(node):
        job = await submitted(node)
        async with node.client(ALICE) as http:
            for query in ("shard=-1", "shard=x", "shard=10000", "execution=../x", "execution=" + "a" * 33, "follow=7"):
                answer = await http.get(f"/v1/jobs/{job}/logs?{query}")
                assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), query
            for wrong in ("x", f"{EXECUTION}.1", f"{EXECUTION}.-1.0", f"{EXECUTION}.1.{'9' * 19}", f"{EXECUTION}.².0"):
                answer = await http.get(f"/v1/jobs/{job}/logs", headers={"last-event-id": wrong.encode()})
                assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), wrong
        assert not node.jobs.logs_asked

    serving(tmp_path, scenario)


def test_somebody_elses_job_is_as_none_and_nobody_in_particular_is_turned_away(tmp_path):
    async def scenario(node):
        node.jobs.output = some
        job = await submitted(node)
        async with node.client() as mallory:
            answer = await mallory.get(f"/v1/jobs/{job}/logs")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            del mallory.headers["authorization"]
            assert (await mallory.get(f"/v1/jobs/{job}/logs")).status_code == 401

    serving(tmp_path, scenario)


def test_another_execution_than_the_one_shown_is_a_conflict(tmp_path):
    async def scenario(node):
        node.jobs.logs_error = Conflict("the vote is open")
        job = await submitted(node)
        async with node.client(ALICE) as http:
            answer = await http.get(f"/v1/jobs/{job}/logs?execution=ab")
            assert (answer.status_code, answer.json()["detail"]) == (409, "the vote is open")

    serving(tmp_path, scenario)


async def endless(_):
    for number in itertools.count():
        yield LogItem(kind="stdout", seen=seen(number), data=bytes(limits.LOG_PIECE_BYTES))
        await trio.sleep(0.001)


def test_a_reader_that_goes_away_or_takes_nothing_frees_its_place(tmp_path):
    async def scenario(node):
        node.jobs.output = endless
        job = await submitted(node)
        stream = await node.dial()
        await stream.send_all(request_of(node, job))
        await until(lambda: node.jobs.open_streams)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        await stream.aclose()
        await until(lambda: not node.jobs.open_streams)
        async with await node.dial() as stream:
            await stream.send_all(request_of(node, job))
            await until(lambda: node.jobs.open_streams)
            await until(lambda: not node.jobs.open_streams)  # After limits.HTTP_STALL_S.

    serving(tmp_path, scenario, speed=30)


def test_a_client_may_hold_so_many_streams_and_no_more(tmp_path):
    async def silent(_):
        await trio.sleep_forever()
        yield LogItem(kind="end")

    async def scenario(node):
        node.jobs.output = silent
        job = await submitted(node)
        streams = [await node.dial() for _ in range(limits.LOG_STREAMS_PER_CLIENT)]
        for stream in streams:
            await stream.send_all(request_of(node, job))
        await until(lambda: node.jobs.open_streams == len(streams))
        async with node.client(ALICE) as http:
            answer = await http.get(f"/v1/jobs/{job}/logs")
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
            for stream in streams:
                await stream.aclose()
            await until(lambda: not node.jobs.open_streams)
            node.jobs.output = some
            assert (await http.get(f"/v1/jobs/{job}/logs")).status_code == 200

    serving(tmp_path, scenario)
