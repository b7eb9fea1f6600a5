"""Server-sent events: order, resumption, and what happens to clients that go away, stall or hoard."""

from __future__ import annotations

import json

import trio
from doubles.apinode import SPEC, id_of, serving, until
from nacl.signing import SigningKey

from node import limits
from node.spec import parse

ALICE = SigningKey(b"a" * 32)


async def submitted(node):
    return (await node.jobs.submit(id_of(ALICE), parse(json.dumps(SPEC).encode()))).job


def events_of(text):
    """(id, event, data) of every event of a stream."""
    frames = [frame for frame in text.split("\n\n") if frame and not frame.startswith(":")]
    parsed = []
    for frame in frames:
        fields = dict(line.split(": ", 1) for line in frame.split("\n"))
        parsed.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return parsed


def request_of(node, job, **headers):
    lines = [f"GET /v1/jobs/{job}/events HTTP/1.1", "host: localhost", f"authorization: Bearer {node.token(ALICE)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_history_comes_first_then_what_happens_and_the_stream_ends_with_the_job(tmp_path):
    async def scenario(node):
        job = await submitted(node)
        async with node.client(ALICE) as http, http.stream("GET", f"/v1/jobs/{job}/events") as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            assert answer.headers["cache-control"] == "no-store"
            node.jobs.happens(job, "bid")
            node.jobs.ends(job)
            text = (await answer.aread()).decode()
        events = events_of(text)
        assert [(number, kind) for number, kind, _ in events] == [("1", "submitted"), ("2", "bid"), ("3", "ended")]
        assert events[1][2] == {
            "seq": 2,
            "at": "2023-11-14T22:13:21.000Z",
            "kind": "bid",
            "peer": events[1][2]["peer"],
            "execution": None,
            "shard": None,
            "text": "what came",
        }
        await until(lambda: not node.jobs.open_streams)

    serving(tmp_path, scenario)


def test_the_connection_serves_on_after_a_stream(tmp_path):
    async def scenario(node):
        job = await submitted(node)
        node.jobs.ends(job)
        stream = await node.dial()
        async with stream:
            for _ in range(2):
                await stream.send_all(request_of(node, job))
                received = b""
                while not received.endswith(b"0\r\n\r\n"):
                    received += await stream.receive_some()
                assert b"event: ended" in received

    serving(tmp_path, scenario)


def test_a_reader_resumes_after_the_last_event_that_it_has(tmp_path):
    async def scenario(node):
        job = await submitted(node)
        node.jobs.happens(job, "bid")
        node.jobs.ends(job)
        async with node.client(ALICE) as http:
            answer = await http.get(f"/v1/jobs/{job}/events", headers={"last-event-id": "1"})
            assert [number for number, _, _ in events_of(answer.text)] == ["2", "3"]
            answer = await http.get(f"/v1/jobs/{job}/events", headers={"last-event-id": "3"})
            assert (answer.status_code, events_of(answer.text)) == (200, [])
            for wrong in ("x", "-1", "1.5", "9" * 40, "²"):
                answer = await http.get(f"/v1/jobs/{job}/events", headers={"last-event-id": wrong.encode()})
                assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")

    serving(tmp_path, scenario)


def test_the_head_comes_before_the_first_event(tmp_path):
    async def scenario(node):
        job = await submitted(node)
        stream = await node.dial()
        async with stream:
            await stream.send_all(request_of(node, job, **{"last-event-id": 1}))
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")

    serving(tmp_path, scenario)


def test_a_reader_that_goes_away_ends_its_subscription(tmp_path):
    async def scenario(node):
        job = await submitted(node)
        stream = await node.dial()
        await stream.send_all(request_of(node, job))
        await until(lambda: node.jobs.open_streams)
        await stream.aclose()
        await until(lambda: not node.jobs.open_streams)

    serving(tmp_path, scenario)


def test_a_silent_stream_is_kept_alive(tmp_path):
    async def scenario(node):
        job = await submitted(node)
        stream = await node.dial()
        async with stream:
            await stream.send_all(request_of(node, job))
            received = b""
            while received.count(b": still here\n\n") < 2:
                received += await stream.receive_some()

    serving(tmp_path, scenario, speed=30)


def test_a_reader_that_takes_nothing_is_cut_off(tmp_path):
    async def scenario(node):
        job = await submitted(node)
        stream = await node.dial()
        async with stream:
            await stream.send_all(request_of(node, job))
            await until(lambda: node.jobs.open_streams)
            while node.jobs.open_streams:
                for _ in range(2_000):
                    node.jobs.happens(job, "bid")
                await trio.sleep(1)

    serving(tmp_path, scenario, speed=30)


def test_a_client_may_hold_so_many_streams_and_no_more(tmp_path):
    async def scenario(node):
        job = await submitted(node)
        streams = [await node.dial() for _ in range(limits.EVENT_STREAMS_PER_CLIENT)]
        for stream in streams:
            await stream.send_all(request_of(node, job))
        await until(lambda: node.jobs.open_streams == len(streams))
        async with node.client(ALICE) as http:
            answer = await http.get(f"/v1/jobs/{job}/events")
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
            for stream in streams:
                await stream.aclose()
            await until(lambda: not node.jobs.open_streams)
            node.jobs.ends(job)
            assert (await http.get(f"/v1/jobs/{job}/events")).status_code == 200

    serving(tmp_path, scenario)
