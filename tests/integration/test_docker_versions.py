"""Engines that no longer speak the API's version that we ask for first: a stand-in, because each speaks its own."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import trio

from node.executor.docker.engine import Engine, Refused

LEAST = "1.44"
ANSWERS = {
    "/version": {"ApiVersion": "1.52", "MinAPIVersion": LEAST},
    f"/v{LEAST}/info": {"DefaultRuntime": "runc", "Runtimes": {"runc": {}}},
    f"/v{LEAST}/_ping": {},
    f"/v{LEAST}/containers/json": [],
}


class Newer(BaseHTTPRequestHandler):
    """Answers what is of its version, and refuses the rest as docker does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """See BaseHTTPRequestHandler."""
        known = ANSWERS.get(self.path.partition("?")[0])
        refused = {"message": f"client version is too old. Minimum supported API version is {LEAST}"}
        content = json.dumps(refused if known is None else known).encode()
        self.send_response(400 if known is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        """Of a unix socket there is none."""
        return ""

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture
def newer(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "docker.sock"
    with Server(str(path), Newer) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        yield path
        server.shutdown()
        serving.join()


def test_the_oldest_version_that_it_speaks_is_spoken_from_the_first_answer_on(newer: Path) -> None:
    engine = Engine(newer)

    async def main() -> None:
        with pytest.raises(Refused, match="too old"):
            await engine.ping()
        assert (await engine.information()).runtime == "runc"
        await engine.ping()
        assert await engine.containers("a=b") == ()
        engine.close()

    trio.run(main)
