"""An API over real sockets, real folders and a real journal, with a fake requester behind it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio
import trio.testing
from doubles.jobs import PEER, FakeJobs
from nacl.signing import SigningKey

from node.ambient import Ambient
from node.api.admission import Admission, AnyKey
from node.api.app import make_app
from node.api.server import serve_api
from node.api.services import Services
from node.api.token import issue
from node.api.views import NodeView
from node.identity import client_id_of
from node.journal.records import ResultsRecord
from node.journal.writer import InlineJournal
from node.model import ClientId, JobId, PeerId
from node.spec import parse
from node.vault.modules import Modules
from node.vault.results import Results

NODE_ID = PeerId("12D3KooWBmAwcd4PJNJvfV89HwE48nwkRmAgo8Vy3uQEyNNHBox2")
MODULE = b"\0asm\x01\0\0\0" + bytes(100)
SPEC = {"engine": {"type": "wasm", "module": hashlib.sha256(MODULE).hexdigest()}}
VIEW = NodeView(peer_id=NODE_ID, version="1", addresses=(), engines=("wasm",), storages=(), gpus=(), peers=1)


@dataclass
class ApiNode:
    """What a test holds."""

    url: str
    services: Services
    jobs: FakeJobs
    journal: InlineJournal
    results: Results
    stop: Callable[[], None]  # as the supervisor would

    def client(self, key: SigningKey | None = None) -> httpx.AsyncClient:
        """Somebody signed in; a new key each time unless one is given."""
        token = self.token(key)
        return httpx.AsyncClient(base_url=self.url, headers={"authorization": f"Bearer {token}"}, timeout=None)

    def token(self, key: SigningKey | None = None) -> str:
        """For requests written by hand."""
        return issue(key or SigningKey.generate(), NODE_ID, time.time())

    async def dial(self) -> trio.SocketStream:
        """A bare connection."""
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        return await trio.open_tcp_stream(host, int(port))

    async def raw(self, method: str, target: str, key: SigningKey | None = None) -> bytes:
        """The whole answer to a request whose target no client library would send as it is."""
        head = f"{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        return await self.exchange(f"{head}authorization: Bearer {self.token(key)}\r\n\r\n".encode("latin-1"))

    async def exchange(self, sent: bytes) -> bytes:
        """Send these bytes, and return all that comes back until the node closes the connection."""
        received = b""
        async with await self.dial() as stream:
            try:
                await stream.send_all(sent)
                while chunk := await stream.receive_some():
                    received += chunk
            except trio.BrokenResourceError:
                return received
        return received

    async def finished_job(self, client: ClientId, files: dict[str, bytes]) -> JobId:
        """A completed job of ``client`` with these results, kept and signed for."""
        record = await self.jobs.submit(client, parse(json.dumps(SPEC).encode()))
        intake = self.results.intake(record)
        for name, content in files.items():
            intake.put(name, content)
        intake.finish()
        size = sum(map(len, files.values()))
        kept = ResultsRecord(hash="h1:x", files=len(files), bytes=size, folder=self.results.relative(record))
        self.jobs.receipts[record.job] = receipt_of(files)
        self.jobs.ends(record.job, results=kept)
        return record.job


def receipt_of(files: dict[str, bytes]) -> bytes:
    """As much of a receipt as the API reads."""
    subjects = [{"name": n, "digest": {"sha256": hashlib.sha256(c).hexdigest()}} for n, c in files.items()]
    statement = json.dumps({"_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicate": {}})
    payload = base64.b64encode(statement.encode()).decode()
    return json.dumps({"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": []}).encode()


async def until(condition: Callable[[], object]) -> None:
    """What another process, or the kernel, has to bring about; the caller's deadline is the hang guard."""
    while not condition():  # noqa: ASYNC110  (there is no event for it)
        await trio.sleep(0.01)


def id_of(key: SigningKey) -> ClientId:
    """The client id of a key."""
    return client_id_of(bytes(key.verify_key))


def serving(folder: Path, scenario: Callable[[ApiNode], Awaitable[None]], *, speed: float = 1, **options: Any) -> None:
    """Run a scenario against an API; ``speed`` is how many seconds pass in one, for limits that take their time."""

    async def main() -> None:
        with trio.fail_after(60 * speed):  # hang guard
            async with api_node(folder, **options) as node:
                await scenario(node)

    clock = None if speed == 1 else trio.testing.MockClock(rate=speed)
    trio.run(main, clock=clock)


@asynccontextmanager
async def api_node(folder: Path, admission: Admission | None = None) -> AsyncIterator[ApiNode]:
    """Serves for the time of the context."""
    jobs, journal = FakeJobs(), InlineJournal(folder / "journal.sqlite")
    results = Results(folder / "results")
    services = Services(
        jobs=jobs,
        journal=journal,
        modules=Modules(folder / "modules"),
        results=results,
        ambient=Ambient(),
        peer_id=NODE_ID,
        admission=admission or AnyKey(),
        node_view=lambda: VIEW,
        peers=lambda: (PEER,),
    )
    try:
        async with trio.open_nursery() as nursery:
            serving_scope = trio.CancelScope()

            async def serve(*, task_status: trio.TaskStatus[str]) -> None:
                with serving_scope:
                    await serve_api(make_app(services), "127.0.0.1", 0, task_status=task_status)

            url = await nursery.start(serve)
            yield ApiNode(url, services, jobs, journal, results, serving_scope.cancel)
            serving_scope.cancel()
    finally:
        journal.close()
