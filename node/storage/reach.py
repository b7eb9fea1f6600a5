"""Asking where a job says, and only there where it may: hosts are resolved once, judged, and connected to as judged.

Each hop of a redirect is judged anew. Ports below 1024 other than 80 and 443 belong to protocols that a job has no
business with (mail, printers, …) and are refused like addresses that are not public.
Does not live here: which addresses are public (``node.storage.addresses``), the request (``node.storage.http``).
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from node import limits
from node.errors import StorageError
from node.storage.addresses import Network, listed, refusal
from node.storage.http import Answer, Http
from node.storage.places import PORTS, Place, place_of, redirected

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = frozenset(PORTS.values())
_NOTE_BYTES = 64 * 1024  # What the body of a redirect may have at least, though nobody reads it.


class Reach:
    """The web as far as jobs may see it. ``allowed``: networks that are not public and may be asked all the same."""

    def __init__(self, http: Http, allowed: Iterable[Network], resolve: Resolve) -> None:
        self._http = http
        self._allowed = tuple(allowed)
        self._resolve = resolve

    @asynccontextmanager
    async def answer(self, url: str, bytes_max: int) -> AsyncIterator[Answer]:
        """The answer 200 to GET, after redirects; its body as it is, in no encoding. Raises StorageError."""
        async with AsyncExitStack() as hop:
            try:
                with trio.fail_after(limits.URL_SETUP_S):
                    answer = await self._followed(hop, place_of(url), bytes_max)
            except trio.TooSlowError as error:
                raise StorageError(f"{url} gives no answer within {limits.URL_SETUP_S:g} s") from error
            if answer.status != 200:
                raise StorageError(f"{url} cannot be had: the answer is {answer.status} (expected 200)")
            if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
                raise StorageError(f"{url} comes compressed, though nobody asked for that; serve it as it is")
            yield answer

    async def _followed(self, hop: AsyncExitStack, place: Place, bytes_max: int) -> Answer:
        first = place
        for _ in range(1 + limits.URL_REDIRECTS_MAX):
            answer = await self._asked(hop, place, bytes_max)
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return answer
            place = redirected(place, answer.headers["location"])
            await hop.aclose()
        raise StorageError(f"{first.url} redirects more than {limits.URL_REDIRECTS_MAX} times")

    async def _asked(self, hop: AsyncExitStack, place: Place, bytes_max: int) -> Answer:
        """The answer of the first of its addresses that gives one."""
        addresses = await self._judged(place)
        for address in addresses[:-1]:
            try:
                return await self._asked_at(hop, place, address, bytes_max)
            except StorageError:
                await hop.aclose()
        return await self._asked_at(hop, place, addresses[-1], bytes_max)

    async def _asked_at(self, hop: AsyncExitStack, place: Place, address: str, bytes_max: int) -> Answer:
        session = await hop.enter_async_context(self._http.session(at=address))
        return await hop.enter_async_context(session.get(place.url, bytes_max=max(bytes_max, _NOTE_BYTES)))

    async def _judged(self, place: Place) -> Sequence[str]:
        """Addresses of the host, each of which may be asked. Raises StorageError when one may not."""
        addresses = await self._resolve(place.host, place.port)
        if not addresses:
            raise StorageError(f"{place.host} has no address")
        for address in addresses:
            if not listed(address, self._allowed):
                _need_public(place, address)
        return addresses[: limits.URL_ADDRESSES_MAX]


async def by_system(host: str, port: int) -> Sequence[str]:
    """Addresses of a host as this machine resolves them, the best first. Raises StorageError."""
    try:
        with trio.fail_after(limits.URL_RESOLVE_S):
            found = await trio.socket.getaddrinfo(host, port, 0, trio.socket.SOCK_STREAM)
    except trio.TooSlowError as error:
        raise StorageError(f"{host} is not resolved within {limits.URL_RESOLVE_S:g} s") from error
    except (OSError, UnicodeError) as error:
        raise StorageError(f"{host} cannot be resolved: {getattr(error, 'strerror', None) or error}") from error
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def is_own(address: str) -> bool:
    """Whether the address is this machine's: a firewall in front of it would not see us. Nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return bool(probe.getsockname()[0] == address)
    except OSError:  # No way there; the request will say so.
        return False


def _need_public(place: Place, address: str) -> None:
    what = refusal(address) or ("this node's own" if is_own(address) else None)
    if what is not None:
        raise StorageError(
            f"{place.host} is at {address}, which is {what}; jobs may not reach it through this node unless its"
            " operator lists it (--allow-url-cidr)"
        )
    if place.port < 1024 and place.port not in _PORTS:
        raise StorageError(f"{place.host}:{place.port} is no port of the web; use 80, 443, or one from 1024 on")
