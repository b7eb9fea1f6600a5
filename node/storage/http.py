"""Reading from web servers that may be hostile: the one door of the node to httpx.

Lives here: one request with a deadline for each of its steps, a limit on its body, verified TLS, and an address that
the caller may have chosen. Nothing is followed (an answer that redirects is an answer), nothing is unpacked, no
proxy, no password file and no cookie is used. Does not live here: which addresses may be asked
(``node.storage.reach``), what a body means, the deadline of the whole (whoever calls knows why).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Literal

import httpx
import trio

from node import limits
from node.errors import StorageError

_HEADERS = {"accept-encoding": "identity", "user-agent": "quorate"}
_KEPT = 8  # idle connections of one session


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for each step of a request."""

    connect_s: float = limits.FETCH_CONNECT_S
    answer_s: float = limits.FETCH_ANSWER_S  # from asking to the head of the answer, connecting included
    stall_s: float = limits.FETCH_STALL_S  # between two pieces of the body


class Http:
    """Where sessions come from.

    ``trusts`` has the certificate authorities; None: those of the environment's SSL_CERT_FILE, or else of httpx.
    """

    def __init__(self, deadlines: Deadlines | None = None, trusts: ssl.SSLContext | None = None) -> None:
        self._deadlines = deadlines or Deadlines()
        self._trusts = trusts or httpx.create_ssl_context()

    @asynccontextmanager
    async def session(self, at: str | None = None) -> AsyncIterator[Session]:
        """Requests that share connections, all closed at the end of the context, also when it is cancelled.

        ``at``: an IP address; every request connects to it and to nothing else, whatever the host in its URL resolves
        to, while the Host header, TLS's server name and the certificate's name stay those of the URL. Such connections
        serve one request each, because a connection verified for one name says nothing about another at that address.
        """
        timeout = httpx.Timeout(self._deadlines.stall_s, connect=self._deadlines.connect_s, pool=None)
        async with httpx.AsyncClient(
            verify=self._trusts,
            trust_env=False,
            follow_redirects=False,
            timeout=timeout,
            limits=httpx.Limits(max_keepalive_connections=0 if at is not None else _KEPT),
            headers=_HEADERS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        ) as client:
            yield Session(client, at, self._deadlines)


class Session:
    """Made by ``Http.session``."""

    def __init__(self, client: httpx.AsyncClient, at: str | None, deadlines: Deadlines) -> None:
        self._client = client
        self._at = at
        self._deadlines = deadlines

    @asynccontextmanager
    async def get(
        self,
        url: str,
        *,
        bytes_max: int,
        headers: Mapping[str, str] | None = None,
        method: Literal["GET", "HEAD"] = "GET",
    ) -> AsyncIterator[Answer]:
        """The answer, whatever its status, once its head is there; the connection is given up with the context.

        A body of more than ``bytes_max`` fails, at once when it says so. Raises StorageError, which names the host.
        """
        with _reasons(url, self._deadlines):
            request = self._request(method, httpx.URL(url), dict(headers or {}))
            with trio.fail_after(self._deadlines.answer_s):
                response = await self._client.send(request, stream=True)
        answer = Answer(response, url, bytes_max, self._deadlines)
        try:
            answer.check_declared(method)
            yield answer
        finally:
            await answer.aclose()

    async def posted(self, url: str, body: bytes, content_type: str) -> int:
        """The status of the answer to POST; its body is not read. Raises StorageError, which names the host."""
        with _reasons(url, self._deadlines):
            request = self._request("POST", httpx.URL(url), {"content-type": content_type}, body)
            with trio.fail_after(self._deadlines.answer_s):
                response = await self._client.send(request, stream=True)
        await Answer(response, url, 0, self._deadlines).aclose()
        return response.status_code

    def _request(
        self, method: str, url: httpx.URL, headers: dict[str, str], body: bytes | None = None
    ) -> httpx.Request:
        if url.scheme not in ("http", "https") or not url.host:
            raise httpx.InvalidURL("it must begin with http:// or https:// and a host")
        if self._at is None:
            return self._client.build_request(method, url, headers=headers, content=body)
        headers["host"] = url.netloc.decode("ascii")
        name = {"sni_hostname": url.raw_host.decode("ascii")}
        at = url.copy_with(host=self._at)
        return self._client.build_request(method, at, headers=headers, extensions=name, content=body)


class Answer:
    """The head of an answer, and its body as it comes: ``async for piece in answer``."""

    def __init__(self, response: httpx.Response, url: str, bytes_max: int, deadlines: Deadlines) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers  # whatever the case of a name
        self._url = url
        self._bytes_left = bytes_max
        self._bytes_max = bytes_max
        self._deadlines = deadlines
        self._response = response
        self._pieces = response.aiter_raw()

    @property
    def declared_bytes(self) -> int | None:
        """What the head says of the length of the body; None when it says nothing that is a length."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else None

    def __aiter__(self) -> Answer:
        return self

    async def __anext__(self) -> bytes:
        """Bytes as they were sent, at most 64 KiB. Raises StorageError: it stalls, breaks off or is too long."""
        with _reasons(self._url, self._deadlines):
            piece = await self._pieces.__anext__()
        self._bytes_left -= len(piece)
        if self._bytes_left < 0:
            raise self._too_long()
        return piece

    async def whole(self) -> bytes:
        """The body, all of it. Raises StorageError."""
        return b"".join([piece async for piece in self])

    def check_declared(self, method: str) -> None:
        """Raises StorageError for a body that says it is too long."""
        if method != "HEAD" and (self.declared_bytes or 0) > self._bytes_max:
            raise self._too_long()

    async def aclose(self) -> None:
        """Give up what is left of the body.

        httpx reads through half a dozen generators, one within the other, which only an exception that goes through
        all of them ends at once: a cancellation of the next read, which has something to read or has to wait.
        """
        with trio.CancelScope(shield=True) as scope, suppress(StopAsyncIteration, httpx.HTTPError):
            scope.cancel()
            while True:
                await self._pieces.__anext__()
        await self._response.aclose()

    def _too_long(self) -> StorageError:
        return StorageError(f"{_host(self._url)} sends more than the {self._bytes_max} bytes that are expected")


@contextmanager
def _reasons(url: str, deadlines: Deadlines) -> Iterator[None]:
    """What httpx raises, as a StorageError that a person can act on."""
    try:
        yield
    except trio.TooSlowError as error:
        raise StorageError(f"{_host(url)} does not answer within {deadlines.answer_s:g} s") from error
    except httpx.ConnectTimeout as error:
        raise StorageError(f"{_host(url)} cannot be reached within {deadlines.connect_s:g} s") from error
    except httpx.ConnectError as error:
        raise StorageError(f"{_host(url)} cannot be reached: {_words(error)}") from error
    except httpx.ReadTimeout as error:
        raise StorageError(f"{_host(url)} sent nothing for {deadlines.stall_s:g} s") from error
    except httpx.HTTPError as error:
        raise StorageError(f"{_host(url)} broke off: {_words(error)}") from error
    except (httpx.InvalidURL, UnicodeError) as error:
        raise StorageError(f"{url!r} is no URL that can be read: {error}") from error


def _host(url: str) -> str:
    """As it stands in the URL, without a user's name and password."""
    try:
        return httpx.URL(url).netloc.decode("ascii")
    except httpx.InvalidURL:
        return repr(url)


def _words(error: BaseException) -> str:
    """The first thing that it, or what led to it, has to say."""
    said: BaseException | None = error
    while said is not None and not str(said):
        said = said.__cause__ or said.__context__
    return str(said) if said is not None else type(error).__name__
