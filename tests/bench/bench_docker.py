"""A docker no-op as a job, and ``docker run`` of the same image beside it, by turns."""

from __future__ import annotations

import statistics
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from doubles.dockers import Docker
from nacl.signing import SigningKey

from node.api.token import issue

COMMAND = ("/bin/true",)
IMAGE = "quorate-bench"


@dataclass(slots=True)
class DockerLoad:
    """Jobs of one image through one node's API, each waited for by the call that submits it."""

    url: str
    deal: dict[str, Any] = field(default_factory=dict)
    _headers: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Sign in."""
        with httpx.Client(base_url=self.url, timeout=90) as http:
            token = issue(SigningKey.generate(), http.get("/v1/node").json()["peer_id"], time.time())
        self._headers = {"authorization": f"Bearer {token}", "prefer": "wait=60"}

    def run(self, jobs: int) -> list[float]:
        """Seconds from submit to completed, of each."""
        found = []
        engine = {"type": "docker", "image": IMAGE, "args": COMMAND}
        with httpx.Client(base_url=self.url, timeout=90, headers=self._headers) as http:
            for _ in range(jobs):
                begun = time.perf_counter()
                job = http.post("/v1/jobs", json={"name": "noop", "engine": engine, **self.deal}).json()
                found.append(time.perf_counter() - begun)
                assert job["state"] == "completed", job
        return found


def bare(engine: Docker, runs: int) -> list[float]:
    """Seconds of ``docker run``, of each."""
    command = ["docker", "--host", engine.host, "run", "--rm", "--network=none", IMAGE, *COMMAND]
    found = []
    for _ in range(runs):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - begun)
    return found


def in_turn(engine: Docker, load: DockerLoad, rounds: int, each: int) -> tuple[list[float], list[float]]:
    """Both, by turns, so that what else the machine does meets both alike."""
    jobs: list[float] = []
    runs: list[float] = []
    for _ in range(rounds):
        runs += bare(engine, each)
        jobs += load.run(each)
    return jobs, runs


def p50_ms(seconds: list[float]) -> float:
    """The median."""
    return statistics.median(seconds) * 1000
