"""The API of a node, over HTTP: the only importer of httpx.

Lives here: connections, sign-in, and that every answer is bounded, typed and turned into a value or one error. Nothing
is retried here. Does not live here: shapes of answers (``node.api.views``), what goes on after a connection broke
(``cli.following``, ``cli.download``), what a refusal means for the user (``cli.refusals``).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec
from nacl.signing import SigningKey

from cli.errors import BrokenAnswer, Refused, Unreachable, UsageProblem
from cli.keys import client_key
from cli.output import program
from cli.refusals import refusal
from cli.server_sent import payloads
from node import limits
from node.api.token import LIFE_S, issue
from node.api.views import (
    EventView,
    JobList,
    JobView,
    LogView,
    ManifestView,
    ModuleView,
    NodeView,
    PeerList,
    PlanView,
    ShardList,
    ShardView,
)

CONNECT_S = 5.0
READ_S = 60.0  # A node that says nothing for so long is as good as gone.
EVENT_READ_S = 3 * limits.EVENT_KEEPALIVE_S
ANSWER_BYTES_MAX = 256 * limits.MiB  # A list of 100,000 result files has 120 MB at worst.
PIECE_BYTES = 256 * limits.KiB
_PROBLEM_BYTES_MAX = 64 * limits.KiB
_RENEW_S = 30.0

_T = TypeVar("_T")


class Client:
    """One caller of one node. A context; connections close with it.

    Any call raises Unreachable, Refused (with what the node said), BrokenAnswer, KeyFileError.
    """

    def __init__(self, url: str, key: SigningKey | None = None) -> None:
        """``key`` None: the user's own, made on first use. Raises UsageProblem for what is no URL of an API."""
        self.url = _checked(url)
        self._key = key
        self._peer_id: str | None = None
        self._token = ""
        self._token_until = 0.0
        self._http = httpx.Client(
            base_url=self.url,
            timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
            trust_env=not _is_loopback(self.url),  # A proxy of the environment has no way to this machine.
            verify=self.url.startswith("https:"),  # Reading certificates that nobody asks for costs 30 ms.
            headers={"accept-encoding": "identity", "user-agent": "quorate"},
        )

    def __enter__(self) -> Client:
        """See the class."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See the class."""
        self._http.close()

    def node(self) -> NodeView:
        """Who answers there. Needs no key."""
        return self._asked(NodeView, "/v1/node", signed=False)

    def peer_id(self) -> str:
        """The node's peer id, as it was when this client first asked."""
        if self._peer_id is None:
            self._peer_id = self.node().peer_id
        return self._peer_id

    def peers(self) -> PeerList:
        """The node's peers."""
        return self._asked(PeerList, "/v1/peers")

    def submit(self, spec: bytes) -> JobView:
        """Submit a spec in JSON."""
        return self._asked(JobView, "/v1/jobs", **_with_spec(spec))

    def plan(self, spec: bytes) -> PlanView:
        """The shards that a spec would have; nothing is submitted."""
        return self._asked(PlanView, "/v1/plan", **_with_spec(spec))

    def jobs(self, limit: int) -> JobList:
        """The caller's newest jobs."""
        return self._asked(JobList, f"/v1/jobs?limit={limit}")

    def job(self, name: str) -> JobView:
        """One job, by any unique beginning of its id."""
        return self._asked(JobView, f"/v1/jobs/{_part(name)}")

    def shards(self, job: str) -> Iterator[ShardView]:
        """The shards of a job that began, by their numbers."""
        after = -1
        while page := self._asked(
            ShardList, f"/v1/jobs/{_part(job)}/shards?after={after}&limit={limits.SHARDS_LISTED_MAX}"
        ).shards:
            yield from page
            if page[-1].shard <= after:
                raise BrokenAnswer(f"the node shows the shards behind {after} in no order")
            after = page[-1].shard

    def cancel(self, name: str) -> JobView:
        """End a job."""
        return self._asked(JobView, f"/v1/jobs/{_part(name)}/cancel", method="POST")

    def manifest(self, job: str) -> ManifestView:
        """The result files of a job."""
        return self._asked(ManifestView, f"/v1/jobs/{_part(job)}/results")

    def receipt(self, job: str) -> bytes:
        """The receipt of a job, byte for byte."""
        with self._answer("GET", f"/v1/jobs/{_part(job)}/receipt") as response:
            return _body(response, limits.RECEIPT_BYTES_MAX)

    def has_module(self, sha256: str) -> bool:
        """Whether this caller may use that module already. Any refusal is a no: an upload hears it with its reason."""
        try:
            with self._answer("HEAD", f"/v1/modules/{sha256}"):
                return True
        except Refused:
            return False

    def upload(self, path: Path, sha256: str) -> ModuleView:
        """Send a module, in pieces; the node checks that it has this sha256."""
        digest = base64.b64encode(bytes.fromhex(sha256)).decode()
        with path.open("rb") as file:
            size = path.stat().st_size
            headers = {
                "content-type": "application/wasm",
                "content-length": str(size),
                "repr-digest": f"sha-256=:{digest}:",
            }
            pieces = iter(lambda: file.read(PIECE_BYTES), b"")
            view = self._asked(ModuleView, "/v1/modules", method="POST", content=pieces, headers=headers)
        if view.sha256 != sha256:
            raise BrokenAnswer(f"the node says it keeps module {view.sha256}, not {sha256}")
        return view

    @contextmanager
    def file(self, job: str, name: str, sha256: str, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """A result file from ``offset`` on: where the answer really begins (0 or ``offset``), and its pieces."""
        headers = {"range": f"bytes={offset}-", "if-range": f'"{sha256}"'} if offset else {}
        with self._answer("GET", f"/v1/jobs/{_part(job)}/results/{quote(name)}", headers=headers) as response:
            begins = response.headers.get("content-range", "").startswith(f"bytes {offset}-")
            if response.status_code == 206 and not (offset and begins):
                raise BrokenAnswer(f"the node sent another part of {name!r} than was asked for")
            yield (offset if response.status_code == 206 else 0), self._pieces(response)

    @contextmanager
    def joined(self, job: str, first: int, count: int) -> Iterator[Iterator[bytes]]:
        """Result files of a run of the manifest, one after the other, in pieces."""
        with self._answer("GET", f"/v1/jobs/{_part(job)}/joined-results?first={first}&count={count}") as response:
            yield self._pieces(response)

    def events(self, job: str, after: int, silent_s: float) -> Iterator[EventView | None]:
        """A job's history behind event ``after``, then live, over one connection; None when only time has passed.

        Ends when the node ends the stream. Raises Unreachable after ``silent_s`` seconds without a byte.
        """
        return self._streamed(EventView, f"/v1/jobs/{_part(job)}/events", str(after), min(silent_s, EVENT_READ_S))

    def logs(self, job: str, query: str, after: str) -> Iterator[LogView | None]:
        """Output of a job, over one connection; None when only time has passed. ``after``: the id of an event, or "".

        Ends when the node ends the stream.
        """
        return self._streamed(LogView, f"/v1/jobs/{_part(job)}/logs?{query}", after, EVENT_READ_S)

    # One request ---------------------------------------------------------------------------------

    def _streamed(self, kind: type[_T], path: str, after: str, silent_s: float) -> Iterator[_T | None]:
        """What comes over one connection behind the event with the id ``after``; None when only time has passed."""
        headers = {"accept": "text/event-stream", **({"last-event-id": after} if after else {})}
        timeout = httpx.Timeout(silent_s, connect=CONNECT_S)
        with self._answer("GET", path, headers=headers, timeout=timeout) as response:
            for payload in payloads(self._pieces(response)):
                yield None if payload is None else _decoded(kind, payload)

    def _asked(self, kind: type[_T], path: str, *, method: str = "GET", signed: bool = True, **options: Any) -> _T:
        with self._answer(method, path, signed=signed, **options) as response:
            return _decoded(kind, _body(response, ANSWER_BYTES_MAX))

    @contextmanager
    def _answer(self, method: str, path: str, *, signed: bool = True, **options: Any) -> Iterator[httpx.Response]:
        """A good answer, its body still to be read."""
        headers = {**options.pop("headers", {}), **(self._signed() if signed else {})}
        with self._reached():
            request = self._http.build_request(method, path, headers=headers, **options)
            response = self._http.send(request, stream=True)
        try:
            if not response.is_success:
                raise self._refused(response)
            yield response
        finally:
            response.close()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            tls = "is there TLS in front of it? A node alone speaks http://. Else " if self.url[:6] == "https:" else ""
            raise Unreachable(
                f"no node answers at {self.url} ({error})",
                f"{tls}start one with `{program()} serve`, or name another with --api URL or QUORATE_API",
            ) from error
        except httpx.ReadTimeout as error:
            raise Unreachable(f"the node at {self.url} is silent", "look at its log, or try again") from error
        except httpx.RequestError as error:
            raise Unreachable(
                f"the connection to {self.url} broke ({str(error) or type(error).__name__})",
                "is the node still running, and is this the URL of its API? Try again",
            ) from error

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        with self._reached():
            yield from response.iter_raw()

    def _refused(self, response: httpx.Response) -> Refused:
        with self._reached():
            body = _body(response, _PROBLEM_BYTES_MAX)
        refused = refusal(response.status_code, response.headers.get("content-type", ""), body)
        if refused.status == 401 and self._peer_id is not None:
            before, self._peer_id, self._token_until = self._peer_id, None, 0.0
            if before != self.peer_id():
                return Refused(
                    f"another node answers at {self.url} now: it was {before}, it is {self._peer_id}",
                    "was it started again with another data folder? The jobs of the first one are with the first one",
                )
        return refused

    def _signed(self) -> dict[str, str]:
        now = time.time()
        if now > self._token_until - _RENEW_S:
            audience = self.peer_id()  # First: nobody's key is made for a node that is not there.
            self._key = self._key or client_key()
            self._token, self._token_until = issue(self._key, audience, now), now + LIFE_S
        return {"authorization": f"Bearer {self._token}"}


def _with_spec(spec: bytes) -> dict[str, Any]:
    """A request whose answer may have to wait until the node has looked at all inputs."""
    timeout = httpx.Timeout(READ_S + limits.DRAFT_S, connect=CONNECT_S)
    return {"method": "POST", "content": spec, "headers": {"content-type": "application/json"}, "timeout": timeout}


def _checked(url: str) -> str:
    hint = "write it as http://HOST:PORT, as `serve` prints it"
    try:
        parts = urlsplit(url)
        httpx.URL(url)
        if parts.port == 0:
            raise UsageProblem(f"--api: no node listens on port 0, in {url!r}", hint)
    except (ValueError, httpx.InvalidURL) as error:
        raise UsageProblem(f"--api: not a URL: {url!r} ({error})", hint) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise UsageProblem(f"--api: not the URL of an API: {url!r}", hint)
    return url.rstrip("/")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _part(name: str) -> str:
    """One segment of a path, whatever the user wrote. Raises UsageProblem."""
    if not name or not name.isalnum():
        raise UsageProblem(f"{name!r} is no job id", f"`{program()} job list` shows your jobs")
    return quote(name, safe="")


def _body(response: httpx.Response, bytes_max: int) -> bytes:
    """All of it, in bounded memory."""
    body = bytearray()
    for piece in response.iter_raw():
        body += piece
        if len(body) > bytes_max:
            raise BrokenAnswer(f"an answer of more than {bytes_max} bytes")
    return bytes(body)


def _decoded(kind: type[_T], body: bytes) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenAnswer(
            f"this is not what a node answers ({error})",
            "is this the URL of a Quorate API, and of the same version? `version` says this program's",
        ) from error
