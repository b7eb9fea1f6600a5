"""A real node that is killed while it publishes takes back, when it starts again, what nobody was told of."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import wasmtime
from doubles.realnode import RealNode, real_node

WAIT_S = 60.0
LARGE = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 48)
  (func (export "_start") (local $left i32)
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 3000000))
    (local.set $left (i32.const 60))
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $again (local.get $left)))))"""


def uploaded(http: httpx.Client) -> str:
    return str(http.post("/v1/modules", content=bytes(wasmtime.wat2wasm(LARGE))).json()["sha256"])


def submitted(http: httpx.Client, module: str, folder: Path) -> str:
    spec = {
        "name": "large",
        "engine": {"type": "wasm", "module": module},
        "publisher": {"type": "local", "folder": str(folder)},
    }
    answer = http.post("/v1/jobs", json=spec)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def ended(http: httpx.Client, job: str) -> dict:
    return http.get(f"/v1/jobs/{job}", headers={"prefer": "wait=60"}).json()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.001)


def events(node: RealNode, name: str) -> list[str]:
    return [line for line in node.said if f'"{name}"' in line]


def killed_in_the_middle(data: Path, shared: Path, *flags: str) -> str:
    """The job whose results a node was publishing; a kill may come too late, so several are tried."""
    for _ in range(5):
        with real_node(data, *flags) as node, node.client() as http:
            job = submitted(http, uploaded(http), shared)
            until(lambda job=job: list(shared.glob(f"*/{job}/0/.partial-*")))
            node.kill()
        if any((data / "untold").iterdir()):
            return job
    raise AssertionError("it was always faster")


def test_what_a_kill_left_half_published_is_gone_after_the_next_start_and_what_counts_is_not(tmp_path: Path) -> None:
    shared, data = tmp_path / "shared", tmp_path / "node"
    shared.mkdir()
    flags = ("--local-publish", str(shared))
    with real_node(data, *flags) as node, node.client() as http:
        counts = submitted(http, uploaded(http), shared)
        assert ended(http, counts)["state"] == "completed"
        assert not any((data / "untold").iterdir())
    cut_off = killed_in_the_middle(data, shared, *flags)
    assert list(shared.glob(f"*/{cut_off}/0/*"))
    with real_node(data, *flags) as node, node.client() as http:
        until(lambda: events(node, "taken_back"))
        assert ended(http, cut_off)["failure"]["code"] == "restart"
    assert not any((data / "untold").iterdir())
    assert not list(shared.glob(f"*/{cut_off}"))
    assert [path.stat().st_size for path in shared.glob(f"*/{counts}/0/*/stdout")] == [180_000_000]
