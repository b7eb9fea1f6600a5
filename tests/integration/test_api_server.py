"""The server under clients that mean no good, and at its end."""

from __future__ import annotations

import contextlib
import socket
import time

import httpx
import pytest
import trio
import trio.testing
from doubles.apinode import SPEC, id_of, serving, until
from nacl.signing import SigningKey

from node import limits
from node.api.app import make_app
from node.api.server import serve_api
from node.errors import AddressInUse
from node.spec import parse

ALICE = SigningKey(b"a" * 32)

MALFORMED = {
    "nothing": b"",
    "noise": bytes(range(256)) * 8,
    "TLS": bytes.fromhex("1603010200010001fc0303") + bytes(200),
    "half a head": b"GET /health HTTP/1.1\r\nhost: x",
    "no version": b"GET /health\r\n\r\n",
    "a head too long": b"GET /health HTTP/1.1\r\nx: " + b"y" * (2 * limits.HTTP_HEAD_BYTES_MAX) + b"\r\n\r\n",
    "a target too long": b"GET /" + b"y" * (2 * limits.HTTP_HEAD_BYTES_MAX) + b" HTTP/1.1\r\n\r\n",
    "two lengths": b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
    "a negative length": b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\nx",
    "a bad chunk": b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "a huge chunk": b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    "websocket": b"GET /v1/jobs HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "websocket and bytes behind it": b"GET /health HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nX",
    "websocket without a key": b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n\x81",
    "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"),
    "HTTP/2 by upgrade": b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
    b"http2-settings: AAMAAABkAAQAAP__\r\n\r\n" + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a host that is none": b"GET /health HTTP/1.1\r\nhost: a b\xff\r\n\r\n",
    "a target that is no UTF-8": b"GET /v1/jobs/%ff%fe HTTP/1.1\r\nhost: x\r\n\r\n",
    "a target with a scheme": b"GET http://evil.example/health HTTP/1.1\r\nhost: x\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "many requests at once": b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 300,
    "a body nobody asked for": b"GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n" + b"y" * 500,
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_no_request_ends_the_node(sent, tmp_path):
    async def scenario(node):
        received = await node.exchange(sent)
        assert received == b"" or received.startswith(b"HTTP/1.1 ")
        assert not received.startswith((b"HTTP/1.1 5", b"HTTP/1.1 101"))
        async with httpx.AsyncClient(base_url=node.url) as http:
            assert (await http.get("/health")).status_code == 200

    serving(tmp_path, scenario, speed=30)


def test_an_upgrade_to_http_2_is_politely_overlooked(tmp_path):
    async def scenario(node):
        received = await node.exchange(MALFORMED["HTTP/2 by upgrade"])
        assert received.startswith(b"HTTP/1.1 200 ")

    serving(tmp_path, scenario, speed=30)


def test_a_client_that_never_finishes_its_head_is_cut_off(tmp_path):
    async def scenario(node):
        async with await node.dial() as stream:
            with pytest.raises(trio.BrokenResourceError):
                await dribble(stream)

    serving(tmp_path, scenario, speed=30)


async def dribble(stream):
    while True:
        await stream.send_all(b"x")
        await trio.sleep(1)


def test_idle_connections_make_room_for_others(tmp_path):
    async def scenario(node):
        idle = [await node.dial() for _ in range(limits.HTTP_CONNECTIONS_MAX)]
        async with httpx.AsyncClient(base_url=node.url) as http:
            assert (await http.get("/health")).status_code == 200
        assert await idle[0].receive_some() == b""
        for stream in idle:
            await trio.aclose_forcefully(stream)

    serving(tmp_path, scenario)


def test_a_port_that_is_taken_says_what_to_do(tmp_path):
    async def scenario(node):
        port = int(node.url.rsplit(":", 1)[1])
        with pytest.raises(AddressInUse, match=rf"127\.0\.0\.1:{port}.*--api-port"):
            await serve_api(make_app(node.services), "127.0.0.1", port)
        with pytest.raises(AddressInUse, match=r"cannot listen on 203\.0\.113\.1:0"):
            await serve_api(make_app(node.services), "203.0.113.1", 0)

    serving(tmp_path, scenario)


@pytest.mark.parametrize(("host", "expected"), [("0.0.0.0", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_the_url_is_one_that_works_on_this_machine(host, expected, tmp_path):
    async def scenario(node):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve_api, make_app(node.services), host, 0)
            assert url.startswith(expected)
            async with httpx.AsyncClient(base_url=url) as http:
                assert (await http.get("/health")).status_code == 200
            nursery.cancel_scope.cancel()

    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback address; enable it to run this")
    serving(tmp_path, scenario)


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


async def stuck(node, clients):
    """Connections in every state that could hold the node back: streaming, stalled, waiting, uploading, idle."""
    job = (await node.jobs.submit(id_of(ALICE), parse(httpx.Request("POST", "http://x", json=SPEC).content))).job
    for _ in range(50_000):
        node.jobs.happens(job, "bid")
    sign = f"host: localhost\r\nauthorization: Bearer {node.token(ALICE)}\r\n"
    requests = [
        f"GET /v1/jobs/{job}/events HTTP/1.1\r\n{sign}\r\n",
        f"GET /v1/jobs/{job}/events HTTP/1.1\r\n{sign}last-event-id: 50001\r\n\r\n",
        f"GET /v1/jobs/{job} HTTP/1.1\r\n{sign}prefer: wait=60\r\n\r\n",
        f"POST /v1/modules HTTP/1.1\r\n{sign}content-length: 100\r\n\r\n",
        f"POST /v1/jobs HTTP/1.1\r\n{sign}content-length: 100\r\n\r\n",
        "GET /health HTT",
        "",
    ]
    where = ("127.0.0.1", int(node.url.rsplit(":", 1)[1]))
    for request in requests:
        client = clients.enter_context(socket.create_connection(where))
        client.sendall(request.encode())
    await until(lambda: node.jobs.open_streams == 2 and node.jobs.waiting)
    before = 0
    while node.jobs.delivered != before:  # until the kernel takes no more for the first reader
        before = node.jobs.delivered
        await trio.sleep(0.3)


async def refusing(scope, receive, send):
    """An application that answers without reading, once it has been sent all that it may be sent before it reads."""
    await trio.testing.wait_all_tasks_blocked(0.05)
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("pieces", [1, 10, 11, 1000])
def test_an_answer_ends_its_request_however_much_of_that_was_not_read(pieces):
    async def main():
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve_api, refusing, "127.0.0.1", 0)
            host, port = url.removeprefix("http://").rsplit(":", 1)
            head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await stream.send_all(head + b"1\r\nx\r\n" * pieces + b"0\r\n\r\n")
                with trio.fail_after(20):
                    received = b"".join([chunk async for chunk in stream])
            assert received.startswith(b"HTTP/1.1 413 ")
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_the_end_of_the_node_waits_for_nobody(tmp_path):
    """Otherwise the stalled reader would hold it for ``limits.HTTP_STALL_S``, and the event streams for ever."""
    with contextlib.ExitStack() as clients:

        async def scenario(node):
            await stuck(node, clients)

        began = time.monotonic()
        serving(tmp_path, scenario)
        assert time.monotonic() - began < 20


def test_an_answer_under_way_is_finished_at_the_end(tmp_path):
    async def scenario(node):
        job = await node.finished_job(id_of(ALICE), {"stdout": bytes(3_000_000)})
        received = []

        async def download(*, task_status):
            async with node.client(ALICE) as http, http.stream("GET", f"/v1/jobs/{job}/results/stdout") as answer:
                task_status.started()
                async for chunk in answer.aiter_bytes():
                    received.append(len(chunk))

        async with trio.open_nursery() as nursery:
            await nursery.start(download)
            node.stop()
        assert sum(received) == 3_000_000

    serving(tmp_path, scenario)
