"""One real node as a process that a test may kill, starve and start again on the same folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from nacl.signing import SigningKey

from node.api.token import issue

READY_S = 60.0
KEY = SigningKey(b"k" * 32)


@dataclass(slots=True)
class RealNode:
    """``node serve`` on loopback with free ports; its log is kept in ``said``."""

    process: subprocess.Popen[str]
    ready: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    _heard: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        """Where peers reach it."""
        return str(self.ready["addresses"][0])

    def client(self) -> httpx.Client:
        """Signed in with this module's one key."""
        token = issue(KEY, self.ready["peer_id"], time.time())
        headers = {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.ready["api_url"], headers=headers, timeout=90)

    def kill(self) -> None:
        """As the out-of-memory killer would: the node and what it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(READY_S)

    def follow(self) -> None:
        """Read what it says until it ends."""
        assert self.process.stderr is not None
        with self.process.stderr:
            for line in self.process.stderr:
                self.said.append(line)
                fields = json.loads(line) if line.startswith("{") else {}
                if fields.get("event") == "ready":
                    self.ready = fields
                    self._heard.set()
        self._heard.set()

    def await_ready(self) -> None:
        """Until it takes jobs, or has ended."""
        assert self._heard.wait(READY_S), "the node is not ready"


@contextmanager
def real_node(folder: Path, *flags: str) -> Iterator[RealNode]:
    """A node that has said that it is ready, or has ended; nothing of it is left afterwards."""
    command = [sys.executable, "-P", "-m", "cli.main", "serve", "--data-dir", str(folder), "--log-format", "json"]
    command += ["--host", "127.0.0.1", "--swarm-port", "0", "--api-port", "0", *flags]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    node = RealNode(process)
    reader = threading.Thread(target=node.follow)
    reader.start()
    try:
        node.await_ready()
        yield node
    finally:
        process.terminate()
        try:
            process.wait(READY_S)
        except subprocess.TimeoutExpired:
            node.kill()
        reader.join(READY_S)
