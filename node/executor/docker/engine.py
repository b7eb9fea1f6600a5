"""The docker engine's API: the one importer of the docker SDK, which is synchronous and not safe between threads.

Each call has a thread and a client to itself, a deadline, and one error: DriverUnavailable, and of its kind ``Refused``
where the engine answered. A call is not cut short by cancellation; its deadline is its end. Two connections are
handed out: the streams of a container as a socket that trio waits on, and the engine's events from a thread of their
own. Does not live here: what is asked and why (its callers).
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from node import limits
from node.errors import DriverUnavailable
from node.executor.docker.words import without_paths
from node.model import cut

if TYPE_CHECKING:  # It takes half a second and 10 MB: a node without an engine does not import it.
    from docker import APIClient
    from docker.types import CancellableStream

_T = TypeVar("_T")

_API_VERSION = "1.41"  # Engine 20.10; a newer one speaks it, or says which is the oldest that it speaks.
TURNED_OFF = "docker is turned off on this node (--docker-host)"
_FOLLOWED = ["oom", "kill", "die"]


class Refused(DriverUnavailable):
    """The engine answered, with an HTTP status that means no; ``text`` is the engine's own, with its paths."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(cut(without_paths(text)))
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Information:
    """What an engine says of itself."""

    runtimes: frozenset[str]
    runtime: str  # for containers that name none
    is_rootless: bool
    folder: str  # where it keeps images, as it sees this machine


@dataclass(frozen=True, slots=True)
class Image:
    """One that is here. ``names`` are its ``RepoDigests``."""

    id: str
    names: tuple[str, ...]
    volumes: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a container."""

    name: str
    kind: str  # one of _FOLLOWED
    exit_code: int  # of "die"


class Engine:
    """One engine of this machine, by the path of its socket; None: there is to be none, and nothing is asked.

    No error tells the path.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._version = _API_VERSION
        self._idle: list[APIClient] = []
        self._calls = trio.CapacityLimiter(limits.DOCKER_CALLS)
        self._questions = trio.CapacityLimiter(limits.DOCKER_QUESTIONS)
        self._pulls = trio.CapacityLimiter(limits.IMAGE_PULLS)

    async def information(self) -> Information:
        """Who is there; from now on its version of the API is spoken."""
        self.close()
        found = await self._call(self._met, limits.DOCKER_PING_S)
        self.close()  # Who asked speaks the version of before.
        options = found.get("SecurityOptions") or []
        return Information(
            frozenset(found.get("Runtimes") or {}),
            str(found.get("DefaultRuntime") or ""),
            "name=rootless" in options,
            str(found.get("DockerRootDir", "/")),
        )

    async def ping(self) -> None:
        """Whether it answers."""
        await self._call(_pinged, limits.DOCKER_PING_S)

    async def create(self, name: str, body: dict[str, Any]) -> str:
        """Its id. When no answer came, it may have happened."""
        return await self._call(partial(_created, name=name, body=body), limits.DOCKER_CALL_S)

    async def attach(self, name: str) -> trio.socket.SocketType:
        """Its stdout and stderr from now on, multiplexed; closed at its end."""
        return trio.socket.from_stdlib_socket(await self._call(partial(_attached, name=name), limits.DOCKER_CALL_S))

    async def start(self, name: str) -> None:
        """Return when it runs."""
        await self._call(partial(_started, name=name), limits.DOCKER_CALL_S)

    async def remove(self, name: str) -> None:
        """Kill it if it runs."""
        await self._call(partial(_removed, name=name), limits.DOCKER_END_S)

    async def containers(self, label: str) -> tuple[str, ...]:
        """Names of all, running or not, that have it."""
        return await self._call(partial(_listed, label=label), limits.DOCKER_CALL_S)

    async def image(self, name: str) -> Image | None:
        """None: it is not here."""
        try:
            return await self._call(partial(_image, name=name), limits.DOCKER_CALL_S)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def remove_image(self, name: str) -> None:
        """Refused while a container uses it."""
        await self._call(partial(_image_removed, name=name), limits.DOCKER_CALL_S)

    async def distributed(self, name: str) -> str:
        """The digest that its registry has for it, asked with the operator's own credentials."""
        return await self._call(partial(_distributed, name=name), limits.IMAGE_LOOK_S, self._questions)

    async def pull(self, repository: str, digest: str, heard: Callable[[dict[str, Any]], None]) -> None:
        """Each line of its progress is ``heard`` in the thread, and what that raises ends the pull.

        Cancelled, it ends with the next line; the engine keeps whole layers. Raises what ``heard`` raises.
        """
        pulled = partial(self._pulled, repository, digest, heard)
        await trio.to_thread.run_sync(pulled, abandon_on_cancel=True, limiter=self._pulls)

    async def follow(self, label: str, heard: Callable[[Event], None], *, task_status: trio.TaskStatus[None]) -> None:
        """``heard`` gets what happens to containers with the label, from ``started`` on, until the engine is gone."""
        stream = await self._call(partial(_followed, label=label), limits.DOCKER_PING_S)
        task_status.started()
        try:
            await trio.to_thread.run_sync(
                _heard, stream, heard, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
            )
        finally:
            stream.close()

    def close(self) -> None:
        """Let go of idle connections."""
        while (client := self._taken()) is not None:
            client.close()

    async def _call(
        self, ask: Callable[[APIClient], _T], within_s: float, limiter: trio.CapacityLimiter | None = None
    ) -> _T:
        return await trio.to_thread.run_sync(self._asked, ask, within_s, limiter=limiter or self._calls)

    def _asked(self, ask: Callable[[APIClient], _T], within_s: float) -> _T:
        with self._client() as client, _answering():
            client.timeout = within_s
            return ask(client)

    def _pulled(self, repository: str, digest: str, heard: Callable[[dict[str, Any]], None]) -> None:
        with self._client() as client, _answering():
            try:
                for line in _pull_lines(client, repository, digest):
                    heard(line)
            finally:
                client.close()  # And with the connection the pull, if it is not over.

    @contextmanager
    def _client(self) -> Iterator[APIClient]:
        """One that nobody else uses; kept for the next if the engine answered. Raises DriverUnavailable."""
        if self.path is None:
            raise DriverUnavailable(TURNED_OFF)
        with _answering():
            _knock(self.path)
            client = self._taken() or self._made()
        try:
            yield client
        except DriverUnavailable as error:
            if not isinstance(error, Refused):
                client.close()
            raise
        finally:
            self._idle.append(client)

    def _taken(self) -> APIClient | None:
        with suppress(IndexError):
            return self._idle.pop()
        return None

    def _made(self) -> APIClient:
        from docker import APIClient

        return APIClient(base_url=f"unix://{self.path}", version=self._version, timeout=limits.DOCKER_PING_S)

    def _met(self, client: APIClient) -> dict[str, Any]:
        least = str(client.version(api_version=False).get("MinAPIVersion", _API_VERSION))
        self._version = max(least, _API_VERSION, key=_as_numbers)
        with self._made() as speaker:
            return dict(speaker.info())


@contextmanager
def _answering() -> Iterator[None]:
    """The SDK's errors as ours; what goes wrong in ``requests`` is an OSError."""
    try:
        yield
    except OSError as error:
        status = getattr(error, "status_code", None)  # Of docker's APIError, which is an OSError as well.
        if status is not None:
            raise Refused(status, str(getattr(error, "explanation", None) or error)) from error
        raise DriverUnavailable(f"the docker engine does not answer{_why(error)}") from error
    except _sdk_errors() as error:
        raise DriverUnavailable(f"the docker engine cannot be asked: {cut(without_paths(str(error)))}") from error


def _sdk_errors() -> tuple[type[Exception], ...]:
    from docker.errors import DockerException

    return (DockerException, ValueError)


def _knock(path: Path) -> None:
    """Raises OSError when nobody listens: the SDK would not close its own socket then."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(limits.DOCKER_PING_S)
        probe.connect(str(path))


def _why(error: OSError) -> str:
    """An operator whose user may not open the socket is told so."""
    return f": {error.strerror}" if error.strerror else ""


def _pinged(client: APIClient) -> None:
    client.ping()


def _as_numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _created(client: APIClient, name: str, body: dict[str, Any]) -> str:
    return str(client.create_container_from_config(body, name)["Id"])


def _attached(client: APIClient, name: str) -> socket.socket:
    """A descriptor of its own, so that the client can let go of the connection."""
    stream = client.attach_socket(name, params={"stdout": 1, "stderr": 1, "stream": 1})
    try:
        return socket.socket(fileno=os.dup(stream.fileno()))
    finally:
        stream._response.close()
        stream.close()


def _started(client: APIClient, name: str) -> None:
    client.start(name)


def _removed(client: APIClient, name: str) -> None:
    client.remove_container(name, v=True, force=True)


def _listed(client: APIClient, label: str) -> tuple[str, ...]:
    found = client.containers(all=True, filters={"label": label})
    return tuple(container["Names"][0].lstrip("/") for container in found if container.get("Names"))


def _image(client: APIClient, name: str) -> Image:
    found = client.inspect_image(name)
    volumes = (found.get("Config") or {}).get("Volumes") or {}
    return Image(found["Id"], tuple(found.get("RepoDigests") or ()), tuple(volumes), int(found.get("Size", 0)))


def _image_removed(client: APIClient, name: str) -> None:
    client.remove_image(name)


def _distributed(client: APIClient, name: str) -> str:
    return str(client.inspect_distribution(name)["Descriptor"]["digest"])


def _pull_lines(client: APIClient, repository: str, digest: str) -> Iterator[dict[str, Any]]:
    """As ``client.pull``, which would wait for ever for a line."""
    from docker import auth

    credentials = auth.get_config_header(client, auth.resolve_repository_name(repository)[0])
    answer = client.post(
        f"{client.base_url}/v{client.api_version}/images/create",
        params={"fromImage": repository, "tag": digest},
        headers={"X-Registry-Auth": credentials} if credentials else {},
        stream=True,
        timeout=limits.IMAGE_SILENT_S,
    )
    with answer:
        _refuse(answer)
        for line in answer.iter_lines():
            yield json.loads(line)


def _refuse(answer: Any) -> None:
    status = answer.status_code
    if status >= 400:
        raise Refused(status, str(json.loads(answer.content).get("message", status)))


def _followed(client: APIClient, label: str) -> CancellableStream:
    """``since``: the engine answers before it has subscribed us."""
    filters = {"type": "container", "event": _FOLLOWED, "label": label}
    return client.events(since=int(time.time()) - 1, filters=filters, decode=True)


def _heard(stream: CancellableStream, heard: Callable[[Event], None]) -> None:
    for event in _events(stream):
        trio.from_thread.run_sync(heard, event)


def _events(stream: CancellableStream) -> Iterator[Event]:
    try:
        for said in stream:
            facts = said.get("Actor", {}).get("Attributes", {})
            yield Event(str(facts.get("name")), str(said.get("Action")), int(facts.get("exitCode", -1)))
    except (RuntimeError, OSError, ValueError):  # The SDK's StreamParseError is a RuntimeError.
        return  # It is gone, or no docker engine.
