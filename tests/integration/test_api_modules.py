"""Uploads: streamed, checked, bounded, and owned by who uploaded."""

from __future__ import annotations

import base64
import hashlib
import resource

import trio
from doubles.apinode import MODULE, id_of, serving, until
from nacl.signing import SigningKey

from node import limits
from node.journal.base import SaveModule
from node.model import Sha256

ALICE, BOB = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
SHA256 = hashlib.sha256(MODULE).hexdigest()
MiB = 1024 * 1024


def big_module(mebibytes):
    yield MODULE[:8]
    for number in range(mebibytes * 16):
        yield number.to_bytes(4, "big") * (64 * 1024 // 4)


async def streamed(chunks):
    for chunk in chunks:
        yield chunk


def incoming(tmp_path):
    return list((tmp_path / "modules").glob(".incoming-*"))


def test_an_upload_is_kept_under_its_hash_and_the_second_one_is_no_news(tmp_path):
    async def scenario(node):
        async with node.client(ALICE) as http:
            answer = await http.post("/v1/modules", content=MODULE)
            assert (answer.status_code, answer.json()) == (201, {"sha256": SHA256, "size": len(MODULE)})
            assert answer.headers["location"] == f"/v1/modules/{SHA256}"
            assert (await http.post("/v1/modules", content=streamed([MODULE]))).status_code == 200
            assert (tmp_path / "modules" / f"{SHA256}.wasm").read_bytes() == MODULE
            assert node.journal.modules_bytes(id_of(ALICE)) == len(MODULE)

    serving(tmp_path, scenario)


def test_only_who_has_the_bytes_may_use_a_module(tmp_path):
    async def scenario(node):
        async with node.client(ALICE) as alice, node.client(BOB) as bob:
            assert (await alice.head(f"/v1/modules/{SHA256}")).status_code == 404
            await alice.post("/v1/modules", content=MODULE)
            assert (await alice.head(f"/v1/modules/{SHA256}")).status_code == 200
            assert (await alice.get(f"/v1/modules/{SHA256}")).json() == {"sha256": SHA256, "size": len(MODULE)}
            assert (await bob.head(f"/v1/modules/{SHA256}")).status_code == 404
            assert (await bob.post("/v1/modules", content=MODULE)).status_code == 201
            assert (await bob.head(f"/v1/modules/{SHA256}")).status_code == 200
            for name in ("x", SHA256.upper(), "..%2fjournal", SHA256[:10]):
                assert (await alice.get(f"/v1/modules/{name}")).status_code == 404

    serving(tmp_path, scenario)


def test_a_module_that_the_cache_dropped_must_be_sent_again(tmp_path):
    async def scenario(node):
        async with node.client(ALICE) as http:
            await http.post("/v1/modules", content=MODULE)
            (tmp_path / "modules" / f"{SHA256}.wasm").unlink()
            assert (await http.head(f"/v1/modules/{SHA256}")).status_code == 404
            assert (await http.post("/v1/modules", content=MODULE)).status_code == 200
            assert (await http.head(f"/v1/modules/{SHA256}")).status_code == 200

    serving(tmp_path, scenario)


def test_what_is_no_module_is_refused_and_leaves_nothing(tmp_path):
    async def scenario(node):
        async with node.client(ALICE) as http:
            for content in (b"", b"hello", b"(module)", MODULE[:4], b"\0asm\x0d\0\1\0" + bytes(99)):
                answer = await http.post("/v1/modules", content=content)
                assert (answer.status_code, answer.json()["code"]) == (422, "invalid_module"), content
            assert list((tmp_path / "modules").iterdir()) == []

    serving(tmp_path, scenario)


def test_a_declared_digest_is_checked_before_anything_is_kept(tmp_path):
    async def scenario(node):
        right = base64.b64encode(hashlib.sha256(MODULE).digest()).decode()
        wrong = base64.b64encode(bytes(32)).decode()
        async with node.client(ALICE) as http:
            for header in ({"repr-digest": f"sha-256=:{wrong}:"}, {"digest": f"SHA-256={wrong}"}):
                answer = await http.post("/v1/modules", content=MODULE, headers=header)
                assert (answer.status_code, answer.json()["code"]) == (422, "invalid_module")
            for value in ("sha-256=:?:", "sha-256=:AAAA:", "sha-256="):
                answer = await http.post("/v1/modules", content=MODULE, headers={"repr-digest": value})
                assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), value
            assert list((tmp_path / "modules").iterdir()) == []
            for header in (f"sha-256=:{right}:", f"sha-512=:{wrong}:, sha-256=:{right}:", "md5=:AAAA:"):
                answer = await http.post("/v1/modules", content=MODULE, headers={"repr-digest": header})
                assert answer.status_code in (200, 201), header

    serving(tmp_path, scenario)


def test_too_much_is_refused_at_once_when_declared_and_at_the_limit_when_not(tmp_path):
    async def scenario(node):
        head = f"POST /v1/modules HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {node.token(ALICE)}\r\n"
        answer = await node.exchange(f"{head}content-length: {limits.MODULE_BYTES_MAX + 1}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer
        async with node.client(ALICE) as http:
            content = streamed(big_module(limits.MODULE_BYTES_MAX // MiB))  # and the 8 bytes at the front
            answer = await http.post("/v1/modules", content=content)
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert list((tmp_path / "modules").iterdir()) == []

    serving(tmp_path, scenario)


def test_a_refused_upload_still_hears_the_refusal(tmp_path):
    """The client sends it all before it listens; closing on it would lose the answer."""

    async def scenario(node):
        async with node.client(ALICE) as http:
            del http.headers["authorization"]
            answer = await http.post("/v1/modules", content=bytes(16 * MiB))
            assert answer.status_code == 401

    serving(tmp_path, scenario)


def test_a_big_upload_takes_little_memory(tmp_path):
    async def scenario(node):
        async with node.client(ALICE) as http:
            await http.post("/v1/modules", content=MODULE)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            answer = await http.post("/v1/modules", content=streamed(big_module(48)))
            assert answer.status_code == 201
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024  # KiB

    serving(tmp_path, scenario)


def test_a_full_quota_is_said_before_the_upload(tmp_path):
    async def scenario(node):
        taken = limits.MODULES_PER_CLIENT_BYTES - len(MODULE) + 1
        node.journal.write([SaveModule(id_of(ALICE), Sha256("00" * 32), taken)])
        async with node.client(ALICE) as alice, node.client(BOB) as bob:
            for content in (MODULE, streamed([MODULE])):
                answer = await alice.post("/v1/modules", content=content)
                assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
            assert incoming(tmp_path) == []
            assert (await bob.post("/v1/modules", content=MODULE)).status_code == 201

    serving(tmp_path, scenario)


async def begun(node):
    """An upload that has sent its first bytes."""
    stream = await node.dial()
    head = f"POST /v1/modules HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {node.token(ALICE)}\r\n"
    await stream.send_all(f"{head}content-length: 1000\r\n\r\n".encode() + MODULE[:50])
    return stream


def test_an_upload_that_stops_in_the_middle_is_ended(tmp_path):
    async def scenario(node):
        async with await begun(node) as stream:
            received = b""
            while chunk := await stream.receive_some():
                received += chunk
            assert received.startswith(b"HTTP/1.1 408 ")
            assert b'"code":"too_slow"' in received
        assert incoming(tmp_path) == []

    serving(tmp_path, scenario, speed=30)


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path):
    async def scenario(node):
        stream = await begun(node)
        await until(lambda: incoming(tmp_path))
        await stream.aclose()
        await until(lambda: not incoming(tmp_path))

    serving(tmp_path, scenario)


def test_a_client_may_have_so_many_uploads_under_way_and_no_more(tmp_path):
    async def scenario(node):
        streams = [await begun(node) for _ in range(limits.UPLOADS_PER_CLIENT)]
        await until(lambda: len(incoming(tmp_path)) == len(streams))
        async with node.client(ALICE) as http:
            assert (await http.post("/v1/modules", content=MODULE)).json()["code"] == "too_many"
            for stream in streams:
                await trio.aclose_forcefully(stream)
            await until(lambda: not incoming(tmp_path))
            assert (await http.post("/v1/modules", content=MODULE)).status_code == 201

    serving(tmp_path, scenario)
