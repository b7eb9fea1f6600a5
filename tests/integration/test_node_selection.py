"""One real node with an operator's choice and little to give: from its flags to what a client reads."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import wasmtime
from doubles.realnode import KEY, real_node

ENDS = b'(module (memory (export "memory") 1) (func (export "_start")))'
SPINS = b'(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'
# Takes the job that is called "ours", and says so of any other.
PROBE = f"""{sys.executable} -c '
import json, sys
name = json.load(sys.stdin)["spec"]["name"]
sys.exit(None if name == "ours" else print("this is not ours:", name) or 1)'"""


def uploaded(http: httpx.Client, wat: bytes) -> str:
    return str(http.post("/v1/modules", content=bytes(wasmtime.wat2wasm(wat))).json()["sha256"])


def submitted(http: httpx.Client, module: str, *, wait: bool = True, **rest) -> dict:
    spec = {"engine": {"type": "wasm", "module": module}, "timeout_s": 300} | rest
    answer = http.post("/v1/jobs", json=spec, headers={"prefer": "wait=60"} if wait else {})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_an_operators_probe_and_lists_decide(tmp_path: Path) -> None:
    me = KEY.verify_key.encode().hex()
    flags = ("--job-selection-probe-exec", PROBE, "--allow-client", me)
    with real_node(tmp_path / "node", *flags) as node, node.client() as http:
        module = uploaded(http, ENDS)
        assert submitted(http, module, name="ours")["state"] == "completed"
        theirs = submitted(http, module, name="theirs", deal={"bid_window_s": 3})
        (answer,) = theirs["answers"]
        assert answer["code"] == "policy"
        assert answer["reason"] == "this node's operator declined the job: this is not ours: theirs"
    with real_node(tmp_path / "node", "--allow-client", "0" * 64) as node, node.client() as http:
        (answer,) = submitted(http, module, name="ours", deal={"bid_window_s": 3})["answers"]
        assert answer["reason"] == "its operator works for listed clients alone"


def test_a_job_waits_for_room_and_its_owner_can_see_it(tmp_path: Path) -> None:
    with real_node(tmp_path / "node", "--limit-total-cpu", "100m") as node, node.client() as http:
        endless = submitted(http, uploaded(http, SPINS), wait=False)["id"]
        with http.stream("GET", f"/v1/jobs/{endless}/events") as events:
            next(line for line in events.iter_lines() if line == "event: started")
        second = submitted(http, uploaded(http, ENDS), wait=False)["id"]
        with http.stream("GET", f"/v1/jobs/{second}/events") as events:
            next(line for line in events.iter_lines() if line == "event: queued")
        job = http.get(f"/v1/jobs/{second}").json()
        assert 200 < job["answers"][0]["wait_s"] <= 300
        assert 200 < job["details"][0]["executions"][0]["wait_s"] <= 300
        assert job["draw"]["waiting"] == [node.ready["peer_id"]]
        assert http.post(f"/v1/jobs/{endless}/cancel").status_code == 200
        assert http.get(f"/v1/jobs/{second}", headers={"prefer": "wait=60"}).json()["state"] == "completed"
