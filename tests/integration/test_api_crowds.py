"""More clients than there are connections for: nobody holds one for nothing while others wait outside."""

from __future__ import annotations

import httpx
import trio
from doubles.apinode import SPEC, ApiNode, id_of, serving, until
from nacl.signing import SigningKey

from node import limits
from node.model import JobId
from node.spec import parse

ALICE = SigningKey(b"a" * 32)


async def _submitted(node: ApiNode) -> JobId:
    spec = parse(httpx.Request("POST", "http://x", json=SPEC).content)
    return (await node.jobs.submit(id_of(ALICE), spec)).job


async def _asking(node: ApiNode, request: str, more: str = "") -> trio.SocketStream:
    stream = await node.dial()
    head = f"{request} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {node.token(ALICE)}\r\n{more}\r\n"
    await stream.send_all(head.encode())
    return stream


async def _healthy(node: ApiNode) -> bool:
    async with httpx.AsyncClient(base_url=node.url, timeout=None) as http:
        try:
            return (await http.get("/health")).status_code == 200
        except httpx.TransportError:
            return False


def test_a_client_that_takes_nothing_makes_room_when_all_others_are_busy(tmp_path):
    async def scenario(node: ApiNode) -> None:
        job = await node.finished_job(id_of(ALICE), {"stdout": bytes(24_000_000)})
        slow = await _asking(node, f"GET /v1/jobs/{job}/results/stdout")
        busy = [
            await _asking(node, "POST /v1/jobs", "content-length: 100\r\n")
            for _ in range(limits.HTTP_CONNECTIONS_MAX - 1)
        ]
        with trio.fail_after(limits.HTTP_STALL_S / 2):  # Later it would be cut off for itself.
            while not await _healthy(node):  # noqa: ASYNC110  (the limit is the server's)
                await trio.sleep(0.1)
        received = 0
        try:
            while chunk := await slow.receive_some():
                received += len(chunk)
        except trio.BrokenResourceError:
            pass
        assert received < 24_000_000
        for stream in (slow, *busy):
            await trio.aclose_forcefully(stream)

    serving(tmp_path, scenario)


def test_waiting_is_refused_to_whoever_waits_too_often_already(tmp_path):
    async def scenario(node: ApiNode) -> None:
        job = await _submitted(node)
        wait = "prefer: wait=60\r\n"
        waiting = [await _asking(node, f"GET /v1/jobs/{job}", wait) for _ in range(limits.WAITS_PER_CLIENT)]
        await until(lambda: node.jobs.waiting == limits.WAITS_PER_CLIENT)
        async with node.client(ALICE) as http:
            refused = await http.get(f"/v1/jobs/{job}", headers={"prefer": "wait=60"})
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
            assert (await http.get(f"/v1/jobs/{job}")).status_code == 200
        for stream in waiting:
            await trio.aclose_forcefully(stream)
        await until(lambda: node.jobs.waiting == 0)

    serving(tmp_path, scenario)


def test_a_job_is_taken_also_when_its_submitter_may_not_wait(tmp_path):
    async def scenario(node: ApiNode) -> None:
        job = await _submitted(node)
        wait = "prefer: wait=60\r\n"
        waiting = [await _asking(node, f"GET /v1/jobs/{job}", wait) for _ in range(limits.WAITS_PER_CLIENT)]
        await until(lambda: node.jobs.waiting == limits.WAITS_PER_CLIENT)
        async with node.client(ALICE) as http:
            taken = await http.post("/v1/jobs", json=SPEC, headers={"prefer": "wait=60"})
            assert taken.status_code == 201
            assert "preference-applied" not in taken.headers
        for stream in waiting:
            await trio.aclose_forcefully(stream)

    serving(tmp_path, scenario)
