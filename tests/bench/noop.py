"""The smallest WASM module that does something, and a client that has it run many times over."""

from __future__ import annotations

import json
import statistics
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import wasmtime
from nacl.signing import SigningKey

from node.api.token import issue

WAT = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "ok\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 3))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"""


@dataclass(slots=True)
class Load:
    """Jobs through one node's API, each waited for by the call that submits it."""

    url: str
    runs: int = 5  # of each job; with one there is nothing to verify
    isolation: str = "shared"  # "process": each run in one of its own
    seconds: list[float] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    lost: int = 0
    _headers: dict[str, str] = field(default_factory=dict)
    _spec: dict[str, object] = field(default_factory=dict)

    def prepare(self) -> None:
        """Sign in, upload the module, and let every node warm up."""
        with httpx.Client(base_url=self.url, timeout=90) as http:
            key = SigningKey.generate()
            token = issue(key, http.get("/v1/node").json()["peer_id"], time.time())
            self._headers = {"authorization": f"Bearer {token}"}
            module = http.post("/v1/modules", content=bytes(wasmtime.wat2wasm(WAT)), headers=self._headers).json()
        self._spec = {
            "name": "noop",
            "engine": {"type": "wasm", "module": module["sha256"], "isolation": self.isolation},
            "verifier": "deterministic" if self.runs > 1 else "noop",
            "deal": {"concurrency": self.runs, "confidence": max(1, self.runs - 1), "min_bids": self.runs},
        }
        self.run(5, 1)

    def run(self, jobs: int, at_once: int) -> float:
        """Submit ``jobs``, ``at_once`` of them in flight; returns the seconds it took in all."""
        self.seconds.clear()
        self.jobs.clear()
        threads = [threading.Thread(target=self._submit, args=(jobs // at_once,)) for _ in range(at_once)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begun

    @property
    def p50_ms(self) -> float:
        """Median from submit to verdict."""
        return statistics.median(self.seconds) * 1000

    @property
    def p95_ms(self) -> float:
        """95th percentile."""
        return sorted(self.seconds)[int(len(self.seconds) * 0.95)] * 1000

    @property
    def executions_p50_ms(self) -> float:
        """Median from the draw, with which the accept goes out, to the proposal, over all runs of the jobs."""
        took = []
        with httpx.Client(base_url=self.url, timeout=90, headers=self._headers) as http:
            for job in self.jobs:
                lines = http.get(f"/v1/jobs/{job}/events").text.splitlines()
                events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
                at = {(event["kind"], event["peer"]): datetime.fromisoformat(event["at"]) for event in events}
                took += [
                    (at["proposed", peer] - at["drawn", peer]).total_seconds() for kind, peer in at if kind == "drawn"
                ]
        return statistics.median(took) * 1000

    def _submit(self, count: int) -> None:
        """By the plainest client there is: it runs on the cores that are measured."""
        url = urlsplit(self.url)
        headers = {**self._headers, "prefer": "wait=60", "content-type": "application/json"}
        with closing(HTTPConnection(url.hostname or "", url.port, timeout=90)) as http:
            for _ in range(count):
                begun = time.perf_counter()
                http.request("POST", "/v1/jobs", json.dumps(self._spec), headers)
                job = json.load(http.getresponse())
                self.seconds.append(time.perf_counter() - begun)
                self.jobs.append(job["id"])
                agreed = [run for run in job["details"][0]["executions"] if run["agreed"]]
                self.lost += not (job["state"] == "completed" and len(agreed) == self.runs)
