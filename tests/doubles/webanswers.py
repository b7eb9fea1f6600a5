"""A web server on loopback that does what a test says, honest or hostile; quiet, and gone afterwards.

Lives here: the server and ways to misbehave. Does not live here: a node's API (``fakenode``).
"""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request."""

    method: str
    target: str  # the path with its query
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""


@dataclass
class Web:
    """``answers[path]``: what to do about a path, without its query; ``""`` is about all others."""

    answers: dict[str, Callable[[Talk], None]]
    asked: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)  # the test
    scheme: str = "http"
    port: int = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


class Talk(BaseHTTPRequestHandler):
    """One request, and its connection."""

    protocol_version = "HTTP/1.1"
    web: Web

    def do(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.web.asked.append(Asked(self.command, self.path, headers, self._body(headers)))
        path = self.path.partition("?")[0]
        self.web.answers.get(path, self.web.answers.get("", missing))(self)

    do_GET = do_HEAD = do_POST = do

    def _body(self, headers: Mapping[str, str]) -> bytes:
        """All that is sent: who hangs up on some of it may be gone before the answer is read."""
        if headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size + 2)[:size]
        self.rfile.readline()
        return body

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def begin(self, status: int = 200, **headers: str) -> None:
        """The head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send(self, data: bytes) -> None:
        """Some of its body."""
        self.wfile.write(data)
        self.wfile.flush()

    def silent(self) -> None:
        """Say nothing until the test is over."""
        self.web.over.wait()
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # A client may keep a connection for longer than the test.

    def __init__(self, handler: type[Talk]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.crashes: list[BaseException | None] = []

    def handle_error(self, *_: Any) -> None:
        """Clients may hang up as they like; anything else fails the test instead of being printed over it."""
        if not isinstance(sys.exception(), OSError):
            self.crashes.append(sys.exception())


def missing(talk: Talk) -> None:
    says(b"there is nothing here", 404)(talk)


def says(body: bytes, status: int = 200, **headers: str) -> Callable[[Talk], None]:
    """A whole answer."""

    def act(talk: Talk) -> None:
        talk.begin(status, content_length=str(len(body)), **headers)
        if talk.command != "HEAD":
            talk.send(body)

    return act


def redirects(location: str, status: int = 302) -> Callable[[Talk], None]:
    return says(b"", status, location=location)


def breaks_off(body: bytes, after: int, **headers: str) -> Callable[[Talk], None]:
    """Promise all of it, send its beginning, and go."""

    def act(talk: Talk) -> None:
        talk.begin(content_length=str(len(body)), **headers)
        talk.send(body[:after])
        talk.close_connection = True

    return act


def stalls(body: bytes, after: int, **headers: str) -> Callable[[Talk], None]:
    """Promise all of it, send its beginning, and stay silent."""

    def act(talk: Talk) -> None:
        talk.begin(content_length=str(len(body)), **headers)
        talk.send(body[:after])
        talk.silent()

    return act


def endless(piece: bytes, **headers: str) -> Callable[[Talk], None]:
    """The same piece for ever, with no word of how long it is."""

    def act(talk: Talk) -> None:
        talk.begin(connection="close", **headers)
        talk.close_connection = True
        while not talk.web.over.is_set():
            talk.send(piece)

    return act


def hangs_up(talk: Talk) -> None:
    """Go without an answer."""
    talk.close_connection = True


def mute(talk: Talk) -> None:
    """No answer, and no hanging up."""
    talk.silent()


@contextmanager
def web_server(
    answers: Mapping[str, Callable[[Talk], None]], certificate: ssl.SSLContext | None = None
) -> Iterator[Web]:
    """Serves for the time of the context."""
    web = Web(dict(answers), scheme="https" if certificate else "http")
    server = _Server(type("Bound", (Talk,), {"web": web}))
    if certificate is not None:
        server.socket = certificate.wrap_socket(server.socket, server_side=True)
    web.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield web
    finally:
        web.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
    assert not server.crashes
