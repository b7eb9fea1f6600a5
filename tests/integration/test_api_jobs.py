"""Jobs over HTTP: submit, look, wait, list, cancel, receipt; and that nobody sees another's."""

from __future__ import annotations

import base64
import json

import httpx
import trio
from doubles.apinode import NODE_ID, SPEC, id_of, serving, until
from doubles.jobs import PEER
from nacl.signing import SigningKey

from node import limits
from node.api.admission import ListedKeys
from node.errors import DriverUnavailable, InvalidSpec, JournalError, TooMany

ALICE, BOB = SigningKey(b"a" * 32), SigningKey(b"b" * 32)


def test_a_submitted_job_is_answered_with_its_place(tmp_path):
    async def scenario(node):
        async with node.client() as http:
            answer = await http.post("/v1/jobs", json=SPEC)
            job = answer.json()
            assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/jobs/{job['id']}")
            assert (job["state"], job["spec"]["deal"]["concurrency"], job["results"]) == ("bidding", 1, None)
            assert (await http.get(answer.headers["location"])).json() == job

    serving(tmp_path, scenario)


def test_a_caller_may_wait_for_the_end(tmp_path):
    async def scenario(node):
        async with node.client() as http, trio.open_nursery() as nursery:

            async def end():
                await until(lambda: node.jobs.records)
                node.jobs.ends(next(iter(node.jobs.records)))

            nursery.start_soon(end)
            answer = await http.post("/v1/jobs", json=SPEC, headers={"prefer": "wait=50"})
            assert (answer.status_code, answer.json()["state"]) == (201, "completed")
            assert answer.headers["preference-applied"] == "wait=50"

    serving(tmp_path, scenario)


def test_a_wait_that_is_over_shows_the_job_as_it_is(tmp_path):
    async def scenario(node):
        async with node.client() as http:
            answer = await http.post("/v1/jobs", json=SPEC, headers={"prefer": "wait=0"})
            assert (answer.status_code, answer.json()["state"]) == (201, "bidding")
            answer = await http.get(f"/v1/jobs/{answer.json()['id']}", headers={"prefer": "wait=1"})
            assert (answer.status_code, answer.json()["state"]) == (200, "bidding")

    serving(tmp_path, scenario)


def test_a_caller_that_goes_away_does_not_leave_its_wait_behind(tmp_path):
    async def scenario(node):
        body = json.dumps(SPEC).encode()
        head = f"authorization: Bearer {node.token()}\r\nprefer: wait=60\r\ncontent-length: {len(body)}\r\n\r\n"
        stream = await node.dial()
        await stream.send_all(b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\n" + head.encode() + body)
        await until(lambda: node.jobs.waiting)
        await stream.aclose()
        await until(lambda: not node.jobs.waiting)

    serving(tmp_path, scenario)


def test_an_id_may_be_any_unique_beginning(tmp_path):
    async def scenario(node):
        async with node.client() as http:
            first = (await http.post("/v1/jobs", json=SPEC)).json()["id"]
            await http.post("/v1/jobs", json=SPEC)
            assert (await http.get(f"/v1/jobs/{first[:8]}")).json()["id"] == first
            problem = (await http.get("/v1/jobs/0")).json()
            assert (problem["status"], problem["code"]) == (409, "conflict")

    serving(tmp_path, scenario)


def test_the_list_is_newest_first_and_as_long_as_asked(tmp_path):
    async def scenario(node):
        async with node.client() as http:
            ids = [(await http.post("/v1/jobs", json=SPEC)).json()["id"] for _ in range(3)]
            assert [job["id"] for job in (await http.get("/v1/jobs")).json()["jobs"]] == ids[::-1]
            assert len((await http.get("/v1/jobs?limit=2")).json()["jobs"]) == 2
            for limit in ("0", "-1", str(limits.JOBS_LISTED_MAX + 1), "x"):
                answer = await http.get(f"/v1/jobs?limit={limit}")
                assert (answer.status_code, "limit" in answer.json()["detail"]) == (400, True), limit

    serving(tmp_path, scenario)


def test_cancelling_ends_a_job_once(tmp_path):
    async def scenario(node):
        async with node.client() as http:
            job = (await http.post("/v1/jobs", json=SPEC)).json()["id"]
            answer = await http.post(f"/v1/jobs/{job}/cancel")
            assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
            assert (await http.post(f"/v1/jobs/{job}/cancel")).json()["code"] == "conflict"

    serving(tmp_path, scenario)


def test_the_receipt_is_byte_for_byte_what_was_signed(tmp_path):
    async def scenario(node):
        async with node.client(ALICE) as http:
            job = await node.finished_job(id_of(ALICE), {"stdout": b"x"})
            node.jobs.receipts[job] = signed = b'{ "odd" :\n "spacing" }\n'
            answer = await http.get(f"/v1/jobs/{job}/receipt")
            assert answer.content == signed
            assert answer.headers["content-type"] == "application/vnd.dsse.envelope.v1+json"

    serving(tmp_path, scenario)


def test_somebody_elses_job_is_the_same_as_none(tmp_path):
    async def scenario(node):
        job = await node.finished_job(id_of(ALICE), {"stdout": b"secret"})
        none = "ff" * 16
        async with node.client(BOB) as http:
            for method, rest in [
                ("GET", ""),
                ("POST", "/cancel"),
                ("GET", "/events"),
                ("GET", "/results"),
                ("DELETE", "/results"),
                ("GET", "/results/stdout"),
                ("HEAD", "/results/stdout"),
                ("GET", "/receipt"),
            ]:
                theirs = await http.request(method, f"/v1/jobs/{job}{rest}")
                nothing = await http.request(method, f"/v1/jobs/{none}{rest}")
                assert theirs.status_code == nothing.status_code == 404, (method, rest)
                assert theirs.text.replace(job, none) == nothing.text
            assert (await http.get("/v1/jobs")).json() == {"jobs": []}

    serving(tmp_path, scenario)


BAD_BODIES = {
    "no JSON": b"hello",
    "nothing": b"",
    "no UTF-8": b'{"name": "\xff"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "deep lists": b"[" * 100_000,
    "deep lists in a field": b'{"engine": ' + b"[" * 100_000,
    "deep lists in an unknown field": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a huge number": b'{"timeout_s": 1' + b"0" * 5000 + b"}",
    "an infinite number": b'{"timeout_s": 1e999}',
}


def test_no_body_is_more_than_refused_and_the_refusal_names_a_path(tmp_path):
    async def scenario(node):
        async with node.client() as http:
            for what, body in BAD_BODIES.items():
                answer = await http.post("/v1/jobs", content=body)
                problem = answer.json()
                assert (answer.status_code, problem["code"]) == (422, "invalid_spec"), what
                assert problem["path"].startswith("$"), what
                assert answer.headers["content-type"] == "application/problem+json"
            answer = await http.post("/v1/jobs", json=SPEC | {"deal": {"concurrency": 0}})
            assert answer.json()["path"] == "$.deal.concurrency"

    serving(tmp_path, scenario)


def test_a_body_over_the_limit_is_refused_declared_or_not(tmp_path):
    async def scenario(node):
        async def chunks():
            for _ in range(limits.SPEC_BODY_BYTES_MAX // 1024 + 2):
                yield b" " * 1024

        async with node.client() as http:
            for content in (b" " * (limits.SPEC_BODY_BYTES_MAX + 1), chunks()):
                answer = await http.post("/v1/jobs", content=content)
                assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    serving(tmp_path, scenario)


def test_what_the_requester_refuses_is_told_and_what_breaks_is_not(tmp_path, caplog):
    async def scenario(node):
        async with node.client() as http:
            node.jobs.submit_error = TooMany("1000 of your jobs are under way")
            answer = await http.post("/v1/jobs", json=SPEC)
            assert (answer.status_code, answer.json()["detail"]) == (429, "1000 of your jobs are under way")
            assert answer.headers["retry-after"] == "5"
            for error in (AssertionError("secret"), JournalError("/secret/journal")):
                node.jobs.submit_error = error
                answer = await http.post("/v1/jobs", json=SPEC)
                assert answer.status_code == 500
                assert "secret" not in answer.text

    serving(tmp_path, scenario)
    logged = [record for record in caplog.records if record.message == "request_failed"]
    assert [type(record.exc_info[1]).__name__ for record in logged] == ["AssertionError", "JournalError"]


def test_what_the_node_cannot_do_now_is_a_line_in_its_log_without_a_traceback(tmp_path, caplog):
    async def scenario(node):
        async with node.client() as http:
            node.jobs.submit_error = DriverUnavailable("no docker engine answers")
            assert (await http.post("/v1/jobs", json=SPEC)).status_code == 503

    serving(tmp_path, scenario)
    (logged,) = [record for record in caplog.records if record.name == "quorate.api"]
    assert (logged.message, logged.code, logged.exc_info) == ("request_refused", "driver_unavailable", None)
    assert logged.reason == "no docker engine answers"


def test_what_needs_no_token_and_what_does(tmp_path):
    async def scenario(node):
        async with node.client() as http:
            del http.headers["authorization"]
            assert (await http.get("/health")).json() == {"status": "ok"}
            assert (await http.get("/v1/node")).json()["peer_id"] == NODE_ID
            assert (await http.get("/schema/openapi.json")).status_code == 200
            for path in ("/v1/jobs", "/v1/peers", "/v1/jobs/x/events", "/v1/modules/x"):
                answer = await http.get(path, headers={"origin": "http://evil.example"})
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert not [name for name in answer.headers if name.startswith("access-control")]
        async with node.client() as http:
            assert (await http.get("/v1/peers")).json() == {"peers": [PEER]}

    serving(tmp_path, scenario)


def test_a_page_that_points_its_own_name_here_is_refused(tmp_path):
    async def scenario(node):
        async with node.client() as http:
            answer = await http.get("/v1/jobs", headers={"host": "evil.example:1234"})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")

    serving(tmp_path, scenario)


def test_a_key_that_is_not_listed_is_told_which_line_to_add(tmp_path):
    (tmp_path / "clients").write_text(f"ed25519 {id_of(ALICE)} alice\n")

    async def scenario(node):
        async with node.client(ALICE) as http:
            assert (await http.get("/v1/jobs")).status_code == 200
        async with node.client(BOB) as http:
            answer = await http.get("/v1/jobs")
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            assert f"ed25519 {id_of(BOB)} <your name>" in answer.json()["detail"]

    serving(tmp_path, scenario, admission=ListedKeys(tmp_path / "clients"))


def test_a_plan_is_shown_and_nothing_is_submitted(tmp_path):
    async def scenario(node):
        async with node.client() as http:
            inputs = [{"type": "cid", "cid": "apples", "path": path} for path in ("/a", "/b")]
            answer = await http.post("/v1/plan", json=SPEC | {"inputs": inputs})
            assert (answer.status_code, answer.json()) == (200, {"shards": [["/a", "/b"]]})
            assert not node.jobs.records
            broken = await http.post("/v1/plan", json=SPEC | {"sharding": {"glob_pattern": "*"}})
            assert (broken.status_code, broken.json()["path"]) == (422, "$.sharding")
            long = await http.post("/v1/plan", content=b" " * (limits.SPEC_BODY_BYTES_MAX + 1))
            assert long.status_code == 413

    serving(tmp_path, scenario)


def test_what_is_wrong_with_an_input_is_told_by_its_path(tmp_path):
    async def scenario(node):
        node.jobs.submit_error = InvalidSpec("$.inputs[0]", "apples cannot be used")
        async with node.client() as http:
            answer = await http.post("/v1/plan", json=SPEC)
            assert (answer.status_code, answer.json()["path"]) == (422, "$.inputs[0]")

    serving(tmp_path, scenario)


def test_a_plan_is_not_for_strangers(tmp_path):
    async def scenario(node):
        async with httpx.AsyncClient(base_url=node.url) as http:
            assert (await http.post("/v1/plan", json=SPEC)).status_code == 401

    serving(tmp_path, scenario)


def test_inline_files_may_fill_a_body_far_beyond_the_spec(tmp_path):
    async def scenario(node):
        content = base64.b64encode(bytes(limits.INLINE_INPUT_BYTES)).decode()
        files = {"type": "inline", "path": "/inputs", "files": {"a": {"content": content}}}
        async with node.client() as http:
            answer = await http.post("/v1/jobs", json=SPEC | {"inputs": [files]})
            assert answer.status_code == 201

    serving(tmp_path, scenario)
