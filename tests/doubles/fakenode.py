"""A node's API for tests of the command line: honest until it is told otherwise, over real sockets, without a node.

Lives here: the server and ways to misbehave. Does not live here: jobs (``unit.receipts`` makes them).
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from unit.receipts import FILES, HONEST, REQUESTER, finished, spec_of

from node.api.viewing import job_view
from node.api.views import EventView, FileView, JobList, JobView, ManifestView, NodeView, PeerList, Problem
from node.journal.records import ResultsRecord, Tally
from node.receipt.sign import make
from node.receipt.statement import Facts

PROBLEM = "application/problem+json"


@dataclass
class Seen:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: str = ""


@dataclass
class FakeNode:
    """What it answers. ``misbehaves[path]``: what to do at the next requests of that path, one each."""

    job: JobView
    receipt: bytes
    files: dict[str, bytes]
    manifest: ManifestView
    events: list[EventView]
    peer_id: str = REQUESTER.peer_id
    modules: set[str] = field(default_factory=set)
    seen: list[Seen] = field(default_factory=list)
    misbehaves: dict[str, deque[Callable[[Handler], None]]] = field(default_factory=lambda: defaultdict(deque))
    url: str = ""

    def path(self, rest: str = "") -> str:
        """A path of the job."""
        return f"/v1/jobs/{self.job.id}{rest}"

    def asked(self, path: str) -> list[Seen]:
        """The requests of one path, in order."""
        return [request for request in self.seen if request.path == path]


class Handler(BaseHTTPRequestHandler):
    """Answers as ``server.fake`` says."""

    protocol_version = "HTTP/1.1"
    fake: FakeNode
    body: bytes = b""

    def do(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.fake.seen.append(Seen(self.command, path, headers, self.body, query))
        queue = self.fake.misbehaves.get(path)
        (queue.popleft() if queue else honest)(self)

    do_GET = do_HEAD = do_POST = do

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def answer(self, body: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        """A whole answer."""
        self.begin(len(body), status, kind, **headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self, length: int, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        """The head of an answer."""
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class Server(ThreadingHTTPServer):
    """Remembers what went wrong in it, instead of printing over the test; clients may hang up as they like."""

    daemon_threads = True

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.crashes: list[BaseException | None] = []

    def handle_error(self, *_: Any) -> None:
        """See socketserver."""
        if not isinstance(sys.exception(), ConnectionError):
            self.crashes.append(sys.exception())


def honest(handler: Handler) -> None:
    """What a real node answers."""
    fake = handler.fake
    path, prefix = handler.path.partition("?")[0], fake.path("/results/")
    views: dict[str, Any] = {
        "/v1/node": NodeView(
            peer_id=fake.peer_id,
            version="1",
            addresses=("/ip4/127.0.0.1/tcp/1",),
            engines=(),
            storages=(),
            gpus=(),
            peers=0,
        ),
        "/v1/peers": PeerList(peers=("12D3KooWpeer",)),
        "/v1/jobs": fake.job if handler.command == "POST" else JobList(jobs=()),
        fake.path(): fake.job,
        f"/v1/jobs/{fake.job.id[:8]}": fake.job,
        f"/v1/jobs/{fake.job.id[:8]}/cancel": fake.job,
        fake.path("/results"): fake.manifest,
    }
    if path in views:
        handler.answer(msgspec.json.encode(views[path]))
    elif path == fake.path("/receipt"):
        handler.answer(fake.receipt)
    elif path == fake.path("/events"):
        handler.answer(b"".join(map(frame, _after(handler))), kind="text/event-stream")
    elif path == fake.path("/joined-results"):
        handler.answer(_joined(handler), kind="application/octet-stream")
    elif path.startswith(prefix):
        _file(handler, fake.files[path.removeprefix(prefix)])
    elif path.startswith("/v1/modules"):
        _module(handler)
    else:
        problem(404, "no_such_route", "there is nothing here")(handler)


def frame(event: EventView) -> bytes:
    """One server-sent event."""
    return b"id: %d\ndata: %s\n\n" % (event.seq, msgspec.json.encode(event))


def problem(status: int, code: str, detail: str, path: str | None = None) -> Callable[[Handler], None]:
    """Refuses."""
    body = msgspec.json.encode(Problem(type="", title="No", status=status, detail=detail, code=code, path=path))
    return lambda handler: handler.answer(body, status, PROBLEM)


def says(body: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> Callable[[Handler], None]:
    """Answers exactly this."""
    return lambda handler: handler.answer(body, status, kind, **headers)


def breaks_off(body: bytes, after: int) -> Callable[[Handler], None]:
    """Promises ``body``, sends its beginning, and goes."""

    def act(handler: Handler) -> None:
        handler.begin(len(body))
        handler.wfile.write(body[:after])
        handler.close_connection = True

    return act


def hangs_up(handler: Handler) -> None:
    """Goes without an answer."""
    handler.close_connection = True


@contextmanager
def fake_node(facts: Facts | None = None, files: Mapping[str, bytes] = FILES) -> Iterator[FakeNode]:
    """Serves a finished job for the time of the context; a verified one unless ``facts`` say otherwise."""
    facts = facts or finished(spec_of(), HONEST, files)
    fake = _faked(facts, files)
    server = Server(type("Bound", (Handler,), {"fake": fake}))
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert not server.crashes


def asked_from(folder: Path, fake: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line asks this node, works in ``folder`` and keeps its key there."""
    monkeypatch.setenv("QUORATE_API", fake.url)
    monkeypatch.setenv("QUORATE_KEY", str(folder / "client.key"))
    monkeypatch.chdir(folder)


def _faked(facts: Facts, files: Mapping[str, bytes]) -> FakeNode:
    h1 = facts.manifest.h1()
    size = sum(map(len, files.values()))
    results = ResultsRecord(hash=h1, files=len(files), bytes=size, folder="x")
    lost = sum(shard.results is None for shard in facts.shards)
    record = msgspec.structs.replace(
        facts.record,
        state="not_verified" if lost else "completed",
        tally=Tally(completed=facts.record.shards - lost, not_verified=lost),
        results=results,
        ended_at=1_700_000_002.0,
    )
    names = [line.name.removeprefix("results/") for line in facts.manifest.lines]
    views = (FileView(name=n, size=len(files[n]), sha256=hashlib.sha256(files[n]).hexdigest()) for n in names)
    return FakeNode(
        job=job_view(record, facts.shards, {}),
        receipt=make(REQUESTER, facts),
        files=dict(files),
        manifest=ManifestView(hash=h1, files=tuple(views)),
        events=history("submitted", "bid", "drawn", "started", "proposed", "verdict", "kept", "ended"),
    )


def history(*kinds: str) -> list[EventView]:
    """Events of a job, in order; those of nodes are of one node."""
    ofjob = {"submitted", "verdict", "ended"}
    return [
        EventView(
            seq=seq,
            at=f"2026-01-01T00:00:{seq:02d}.000Z",
            kind=kind,
            peer=None if kind in ofjob else "12D3KooWnodeA",
            execution=None,
            shard=None,
            text="",
        )
        for seq, kind in enumerate(kinds, 1)
    ]


def _after(handler: Handler) -> list[EventView]:
    after = int(handler.headers.get("last-event-id") or 0)
    return [event for event in handler.fake.events if event.seq > after]


def _joined(handler: Handler) -> bytes:
    asked = {name: int(values[0]) for name, values in parse_qs(handler.path.partition("?")[2]).items()}
    listed = handler.fake.manifest.files[asked["first"] : asked["first"] + asked["count"]]
    return b"".join(handler.fake.files[file.name] for file in listed)


def _file(handler: Handler, content: bytes) -> None:
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("range") or "")
    if match is None:
        handler.answer(content, kind="application/octet-stream")
        return
    first = int(match[1])
    part = f"bytes {first}-{len(content) - 1}/{len(content)}"
    handler.answer(content[first:], 206, "application/octet-stream", content_range=part)


def _module(handler: Handler) -> None:
    if handler.command == "HEAD":
        known = handler.path.rpartition("/")[2] in handler.fake.modules
        handler.answer(b"{}", 200 if known else 404)
        return
    sha256 = hashlib.sha256(handler.body).hexdigest()
    handler.answer(msgspec.json.encode({"sha256": sha256, "size": len(handler.body)}), 201)
