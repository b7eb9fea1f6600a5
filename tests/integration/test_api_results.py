"""Results over HTTP: the list, ranges, slow readers, names that need care, deletion."""

from __future__ import annotations

import contextlib
import hashlib
import random
from pathlib import Path

import httpx
import pytest
import trio
from doubles.apinode import id_of, serving, until
from nacl.signing import SigningKey

ALICE = SigningKey(b"a" * 32)
BIG = random.Random(0).randbytes(3 * 1024 * 1024 + 17)
FILES = {
    "stdout": b"hello world",
    "stderr": b"",
    "outputs/big.bin": BIG,
    "outputs/deep/er/a..b": b"dots",
    "outputs/\u00e4 %2e?#&+;\\'\".txt": b"odd",
    "outputs/..x": b"dots too",
}


def quoted(name):
    return "".join(chr(c) if (chr(c).isalnum() and c < 128) or chr(c) in "/." else f"%{c:02x}" for c in name.encode())


def with_results(tmp_path, scenario, **options):
    async def prepared(node):
        job = await node.finished_job(id_of(ALICE), FILES)
        async with node.client(ALICE) as http:
            await scenario(node, http, job)

    serving(tmp_path, prepared, **options)


def test_the_list_names_every_file_with_its_size_and_hash(tmp_path):
    async def scenario(_node, http, job):
        answer = (await http.get(f"/v1/jobs/{job}/results")).json()
        assert answer["hash"] == "h1:x"
        assert {file["name"]: (file["size"], file["sha256"]) for file in answer["files"]} == {
            name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in FILES.items()
        }

    with_results(tmp_path, scenario)


def test_every_file_comes_as_it_is(tmp_path):
    async def scenario(_node, http, job):
        for name, content in FILES.items():
            answer = await http.get(f"/v1/jobs/{job}/results/{quoted(name)}")
            assert (answer.status_code, answer.content) == (200, content), name
            assert answer.headers["content-length"] == str(len(content))
            assert answer.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-disposition"] == "attachment"
            head = await http.head(f"/v1/jobs/{job}/results/{quoted(name)}")
            assert (head.status_code, head.content) == (200, b"")
            same = {name: value for name, value in head.headers.items() if name != "date"}
            assert same == {name: value for name, value in answer.headers.items() if name != "date"}

    with_results(tmp_path, scenario)


def test_parts_of_a_file(tmp_path):
    async def scenario(_node, http, job):
        url = f"/v1/jobs/{job}/results/outputs/big.bin"
        for wanted, part in [
            ("bytes=0-0", BIG[:1]),
            ("bytes=1000000-", BIG[1_000_000:]),
            ("bytes=-17", BIG[-17:]),
            ("bytes=262143-262145", BIG[262143:262146]),
        ]:
            answer = await http.get(url, headers={"range": wanted})
            start = BIG.index(part)
            assert (answer.status_code, answer.content) == (206, part)
            assert answer.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{len(BIG)}"
        answer = await http.get(url, headers={"range": f"bytes={len(BIG)}-"})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(BIG)}")
        assert answer.json()["code"] == "range_not_satisfiable"

    with_results(tmp_path, scenario)


def test_a_part_is_only_for_the_same_file_and_nothing_is_sent_twice(tmp_path):
    async def scenario(_node, http, job):
        url = f"/v1/jobs/{job}/results/stdout"
        tag = (await http.head(url)).headers["etag"]
        assert (await http.get(url, headers={"range": "bytes=1-2", "if-range": tag})).content == b"el"
        assert (await http.get(url, headers={"range": "bytes=1-2", "if-range": '"old"'})).content == b"hello world"
        answer = await http.get(url, headers={"if-none-match": tag})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert (await http.get(url)).status_code == 200

    with_results(tmp_path, scenario)


def test_what_is_not_in_the_list_is_not_served(tmp_path):
    async def scenario(node, _http, job):
        (tmp_path / "secret").write_text("secret")
        for name in (
            "nope",
            "outputs",
            "outputs/",
            "../../../../../secret",
            "%2e%2e/%2e%2e/secret",
            "..%2f..%2f..%2f..%2f..%2fsecret",
            "outputs/%00",
            "/etc/passwd",
            "outputs/../stdout",
            "STDOUT",
            "stdout%20",
            "%ff",
        ):
            answer = await node.raw("GET", f"/v1/jobs/{job}/results/{name}", ALICE)
            assert answer.split(b" ")[1] in (b"400", b"404"), name

    with_results(tmp_path, scenario)


def test_a_link_that_was_put_in_the_folder_is_not_followed(tmp_path):
    async def scenario(node, http, job):
        record = node.jobs.records[job]
        stdout = node.results.folder(record) / "stdout"
        stdout.unlink()
        stdout.symlink_to("/etc/passwd")
        assert (await http.get(f"/v1/jobs/{job}/results/stdout")).status_code == 404

    with_results(tmp_path, scenario)


def test_a_file_that_became_shorter_is_never_passed_off_as_whole(tmp_path):
    async def scenario(node, http, job):
        await http.get(f"/v1/jobs/{job}/results")
        (node.results.folder(node.jobs.records[job]) / "outputs" / "big.bin").write_bytes(BIG[:1_000_000])
        stream = await node.dial()
        request = f"GET /v1/jobs/{job}/results/outputs/big.bin HTTP/1.1\r\nhost: localhost\r\n"
        received = 0
        async with stream:
            await stream.send_all(f"{request}authorization: Bearer {node.token(ALICE)}\r\n\r\n".encode())
            while chunk := await stream.receive_some():
                received += len(chunk)
        assert received < len(BIG)
        assert (await http.get("/health")).status_code == 200

    with_results(tmp_path, scenario)


def test_what_a_reader_does_not_take_stays_on_the_disk_and_the_reader_is_cut_off_in_time(tmp_path):
    """The kernel takes a few megabytes for a connection; what is beyond them must not pile up in memory."""
    positions = []

    async def scenario(node, _http, job):
        folder = node.results.folder(node.jobs.records[job])
        with (folder / "outputs" / "big.bin").open("r+b") as file:
            file.truncate(200 * 1024 * 1024)
        stream = await node.dial()
        request = f"GET /v1/jobs/{job}/results/outputs/big.bin HTTP/1.1\r\nhost: localhost\r\n"
        async with stream:
            await stream.send_all(f"{request}authorization: Bearer {node.token(ALICE)}\r\n\r\n".encode())
            await stream.receive_some()
            while (position := read_so_far("big.bin")) is not None:
                positions.append(position)
                await trio.sleep(1)

    with_results(tmp_path, scenario, speed=30)
    assert 0 < max(positions) < 32 * 1024 * 1024


def read_so_far(name):
    """How far this process has read a file of that name that it has open; None when it has none open."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if link.readlink().name == name:
                return int(Path(f"/proc/self/fdinfo/{link.name}").read_text().split()[1])
    return None


def test_a_reader_that_goes_away_ends_the_reading(tmp_path):
    async def scenario(node, _http, job):
        folder = node.results.folder(node.jobs.records[job])
        with (folder / "outputs" / "big.bin").open("r+b") as file:
            file.truncate(8 * 1024 * 1024 * 1024)
        stream = await node.dial()
        request = f"GET /v1/jobs/{job}/results/outputs/big.bin HTTP/1.1\r\nhost: localhost\r\n"
        await stream.send_all(f"{request}authorization: Bearer {node.token(ALICE)}\r\n\r\n".encode())
        await stream.receive_some()
        await stream.aclose()
        await until(lambda: read_so_far("big.bin") is None)

    with_results(tmp_path, scenario)


def test_the_owner_deletes_the_results_and_keeps_the_receipt(tmp_path):
    async def scenario(node, http, job):
        folder = node.results.folder(node.jobs.records[job])
        assert (await http.get(f"/v1/jobs/{job}/results")).status_code == 200
        assert (await http.delete(f"/v1/jobs/{job}/results")).status_code == 204
        assert not folder.exists()
        for path in ("results", "results/stdout"):
            assert (await http.get(f"/v1/jobs/{job}/{path}")).json()["code"] == "not_found"
        assert (await http.get(f"/v1/jobs/{job}/receipt")).status_code == 200

    with_results(tmp_path, scenario)


def test_results_of_a_job_that_has_none(tmp_path):
    async def scenario(node, http, job):
        node.jobs.records[job] = running = type(node.jobs.records[job])(
            job=job,
            client=id_of(ALICE),
            spec=node.jobs.records[job].spec,
            spec_sha256="",
            submitted_at=0.0,
            deadline=1.0,
        )
        answer = await http.get(f"/v1/jobs/{job}/results")
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert f"/v1/jobs/{job}/events" in answer.json()["detail"]
        assert not running.ended
        node.jobs.ends(job, "failed")
        for method in ("GET", "DELETE"):
            answer = await http.request(method, f"/v1/jobs/{job}/results")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert "failed" in answer.json()["detail"]

    with_results(tmp_path, scenario)


def test_many_files_come_in_one_answer(tmp_path):
    async def scenario(_node, http, job):
        listed = (await http.get(f"/v1/jobs/{job}/results")).json()["files"]
        for first, count in ((0, 1), (0, len(FILES)), (2, 3), (1, 1_000)):
            answer = await http.get(f"/v1/jobs/{job}/joined-results", params={"first": first, "count": count})
            wanted = b"".join(FILES[file["name"]] for file in listed[first : first + count])
            assert (answer.status_code, answer.content) == (200, wanted)
            assert answer.headers["content-length"] == str(len(wanted))

    with_results(tmp_path, scenario)


def test_files_that_stand_nowhere_in_the_list_are_no_answer(tmp_path):
    async def scenario(node, http, job):
        asked = f"/v1/jobs/{job}/joined-results"
        assert (await http.get(asked, params={"first": len(FILES)})).status_code == 404
        for wrong in ({"first": -1}, {"count": 0}, {"count": 1_001}, {"first": "x"}):
            assert (await http.get(asked, params=wrong)).status_code == 400
        async with node.client() as stranger:
            assert (await stranger.get(asked)).status_code == 404

    with_results(tmp_path, scenario)


def test_a_file_that_shrank_ends_the_answer_short(tmp_path):
    async def scenario(node, http, job):
        await http.get(f"/v1/jobs/{job}/results")
        (path,) = await trio.to_thread.run_sync(lambda: list(tmp_path.rglob("big.bin")))
        await trio.Path(path).write_bytes(BIG[:-1])
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"/v1/jobs/{job}/joined-results", params={"count": len(FILES)})
        assert (await http.get(f"/v1/jobs/{job}")).status_code == 200

    with_results(tmp_path, scenario)
