"""Real nodes that are killed, starved of disk or given folders that they cannot use: clear ends, nothing half-kept."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import httpx
import pytest
import wasmtime
from doubles.realnode import RealNode, real_node

from node.receipt.check import Holds, Unverified, check

HELLO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "ok\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 3))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"""
ENDLESS = '(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'
LOUD = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 48)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 3000000))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"""


def uploaded(http: httpx.Client, wat: str) -> str:
    return str(http.post("/v1/modules", content=bytes(wasmtime.wat2wasm(wat))).json()["sha256"])


def spec(module: str, **rest):
    return {"name": "crash", "engine": {"type": "wasm", "module": module}, "timeout_s": 300} | rest


def submitted(http: httpx.Client, module: str, *, wait: bool = False, **rest) -> dict:
    answer = http.post("/v1/jobs", json=spec(module, **rest), headers={"prefer": "wait=60"} if wait else {})
    assert answer.status_code == 201, answer.text
    return answer.json()


def check_job(http: httpx.Client, job: str, folder: Path) -> str:
    """What a client may rely on after a crash, of a job that was acknowledged before it. Returns its state."""
    found = http.get(f"/v1/jobs/{job}").json()
    if found["state"] != "completed":
        assert (found["state"], found["failure"]["code"]) == ("failed", "restart")
        assert "submit it again" in found["failure"]["reason"]
        assert http.get(f"/v1/jobs/{job}/results").status_code == 404
        return "failed"
    listed = http.get(f"/v1/jobs/{job}/results").json()
    target = folder / job
    for file in listed["files"]:
        (target / file["name"]).parent.mkdir(parents=True, exist_ok=True)
        (target / file["name"]).write_bytes(http.get(f"/v1/jobs/{job}/results/{file['name']}").content)
    receipt = http.get(f"/v1/jobs/{job}/receipt").content
    assert isinstance(check(receipt, target), Holds | Unverified)
    return "completed"


def check_disk(data: Path, completed: int) -> None:
    """Nothing half-written, and nothing whole that nobody knows of."""
    assert not list(data.glob("results/*/*/*/.partial-*"))
    assert len(list(data.glob("results/*/*/*/*"))) == completed
    assert list((data / "scratch").iterdir()) == []
    assert not list((data / "modules").glob(".incoming-*"))


def kill_in_the_middle(node: RealNode, jobs: set[str], after_s: float) -> None:
    """Submit until the node is gone; what it acknowledged is added to ``jobs``."""
    with node.client() as http:
        hello, endless = uploaded(http, HELLO), uploaded(http, ENDLESS)
        jobs.add(submitted(http, endless)["id"])
        jobs.add(submitted(http, hello, wait=True)["id"])
        deadline = time.monotonic() + after_s
        while time.monotonic() < deadline:
            jobs.add(submitted(http, hello)["id"])
        node.kill()


def test_what_was_acknowledged_before_a_kill_is_there_after_it_and_has_ended(tmp_path):
    data, jobs = tmp_path / "node", set()
    for after_s in (0.05, 0.21, 0.4):
        with real_node(data) as node:
            kill_in_the_middle(node, jobs, after_s)
    with real_node(data) as node, node.client() as http:
        states = [check_job(http, job, tmp_path / "got") for job in sorted(jobs)]
        assert submitted(http, uploaded(http, HELLO), wait=True)["state"] == "completed"
    assert states.count("failed") >= 3
    assert states.count("completed") >= 3
    check_disk(data, states.count("completed") + 1)


@pytest.fixture
def elsewhere(tmp_path):
    """A node that holds the data, so that every job of it runs there."""
    (tmp_path / "unsealed/here").mkdir(parents=True)
    with real_node(tmp_path / "other", "--filecoin-unsealed-path", f"{tmp_path}/unsealed/{{{{ cid }}}}") as node:
        yield node


def test_results_that_do_not_fit_fail_their_job_and_nothing_else(tmp_path, elsewhere):
    there = {"inputs": [{"type": "cid", "cid": "here", "path": "/inputs"}]}
    data = tmp_path / "node"
    with real_node(data, "--peer", elsewhere.address) as node, node.client() as http:
        loud, hello = uploaded(http, LOUD), uploaded(http, HELLO)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
        failed = submitted(http, loud, wait=True, **there)
        assert (failed["state"], failed["failure"]["code"]) == ("failed", "room"), failed["failure"]
        assert submitted(http, hello, wait=True, **there)["state"] == "completed"
    check_disk(data, 1)


def test_a_journal_that_cannot_be_written_ends_the_node_with_its_reason(tmp_path):
    data, jobs = tmp_path / "node", []
    with real_node(data) as node:
        with node.client() as http:
            hello = uploaded(http, HELLO)
            jobs.append(submitted(http, hello, wait=True)["id"])
            resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (1, 1))
            with pytest.raises(httpx.TransportError):
                submitted(http, hello)
        assert node.ended() == 1
        said = "".join(node.said)
    assert "Traceback" not in said
    assert f"error: {data / 'journal.sqlite'}: the journal cannot be written" in said
    with real_node(data) as node, node.client() as http:
        assert [check_job(http, job, tmp_path / "got") for job in jobs] == ["completed"]


@pytest.mark.parametrize("name", ["results", "modules", "scratch", "untold", "journal.sqlite"])
def test_a_folder_that_cannot_be_used_is_said_at_the_start(tmp_path, name):
    data = tmp_path / "node"
    data.mkdir()
    if name == "journal.sqlite":
        (data / name).mkdir()
    else:
        (data / name).write_text("in the way")
    with real_node(data) as node:
        assert node.ended() == 1
        said = "".join(node.said)
    assert "Traceback" not in said
    assert f"error: {data / name}" in said
