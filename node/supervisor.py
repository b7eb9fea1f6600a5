"""``serve``: one node from its configuration, with real drivers, its API, signals and an orderly end.

The one place that knows every driver, those of inputs apart (``node.inputs``); each set of them is a literal. A failure
of the operator's configuration is raised as it is; anything else that ends the node is a bug and leaves with its
traceback.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import trio

from node import inputs, logs
from node.ambient import Ambient
from node.api.admission import Admission, admission_for, list_without_effect
from node.api.app import make_app
from node.api.server import serve_api
from node.api.services import Services
from node.api.views import ContainersView, NodeView
from node.compute.gpus import found as gpus_found
from node.compute.probes import check_probe, probe_for
from node.config import ServeConfig
from node.errors import DriverUnavailable, OperatorError
from node.executor.base import Executor
from node.executor.docker.executor import DockerExecutor
from node.executor.wasm.executor import WasmExecutor
from node.identity import Identity
from node.journal.writer import ThreadedJournal
from node.keyfile import load_or_create
from node.receipt.sign import warm
from node.transport.address import parse as parse_address
from node.transport.libp2p.transport import Libp2pTransport
from node.wiring import Node, Parts

log = logging.getLogger("quorate.node")

KEY_FILE = "node.key"
PROBED_S = 10.0  # An engine that does not say within this whether it is there may say so later.
Wrap = Callable[[Executor], Executor]


@dataclass(frozen=True, slots=True)
class _Ready:
    """What is announced. ``engines``: by name, why each cannot run anything."""

    parts: Parts
    engines: dict[str, str]
    containers: ContainersView | None
    url: str


def serve(config: ServeConfig, *, wrap: Wrap | None = None) -> None:
    """Run a node until SIGINT or SIGTERM. ``check`` comes first. Raises OperatorError when it cannot run so.

    ``wrap`` puts something around each engine: test doubles begin here, no option of the command line leads to it.
    """
    logs.configure(config.log_format, config.log_level)
    problem: OperatorError | None = None
    try:
        with _own_folder(config.data_dir):
            trio.run(_main, config, wrap or _as_it_is)
    except* OperatorError as group:
        problem = _first(group)
    if problem is not None:
        raise problem


def check(config: ServeConfig) -> None:
    """Refuse what can be seen to be wrong before a folder or a key is made for it. Raises OperatorError."""
    for peer in config.peers:
        try:
            parse_address(peer)
        except ValueError as error:
            raise OperatorError(f"--peer {peer}: {error}; a node prints its own when it is ready") from error
    admission_for(config.api_host, config.authorized_clients)
    inputs.check(config)
    check_probe(config.selection)


async def _main(config: ServeConfig, wrap: Wrap) -> None:
    ambient = Ambient()
    identity = Identity(load_or_create(config.data_dir / KEY_FILE))
    admission = admission_for(config.api_host, config.authorized_clients)
    why = list_without_effect(admission, config.authorized_clients)
    if why:
        log.warning("authorized_clients_without_effect", extra={"file": str(config.authorized_clients), "why": why})
    transport = Libp2pTransport(identity, config.host, config.swarm_port)
    data = inputs.inputs(config, transport, ambient)
    probe = probe_for(config.selection)
    docker = DockerExecutor(config.docker, config.data_dir / "docker", identity.peer_id, ambient.offload)
    executors: tuple[Executor, ...] = (WasmExecutor(config.data_dir / "compiled", ambient.offload), docker)
    gpus = await gpus_found(config.capacity.total_gpus)
    parts = Parts(
        identity=identity,
        transport=transport,
        journal=ThreadedJournal(config.data_dir / "journal.sqlite"),
        executors=tuple(map(wrap, executors)),
        storage=data.sources,
        publishers=data.publishers,
        services=data.services,
        gpus=gpus,
        selection=config.selection,
        probe=probe,
        capacity=config.capacity,
        data_dir=config.data_dir,
        bootstrap=config.peers,
        ambient=ambient,
    )
    async with trio.open_nursery() as signals:
        with trio.CancelScope() as scope:
            signals.start_soon(_cancel_when_signalled, scope)
            await _run(config, parts, docker, admission)
        signals.cancel_scope.cancel()


async def _run(config: ServeConfig, parts: Parts, docker: DockerExecutor, admission: Admission) -> None:
    node = Node(parts)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(parts.ambient.offload, warm)
        await nursery.start(node.run)
        app = make_app(_services(node, parts, docker, admission))
        url = await nursery.start(serve_api, app, config.api_host, config.api_port)
        gc.freeze()
        _announce(config, _Ready(parts, await _engines(parts), _containers(docker), url))


def _services(node: Node, parts: Parts, docker: DockerExecutor, admission: Admission) -> Services:
    def view() -> NodeView:
        return NodeView(
            peer_id=parts.identity.peer_id,
            version=version("quorate"),
            addresses=parts.transport.addresses,
            engines=tuple(executor.name for executor in parts.executors if executor.is_ready),
            storages=parts.storage.names,
            gpus=tuple(gpu.name for gpu in parts.gpus),
            peers=len(parts.transport.peers),
            containers=_containers(docker),
        )

    return Services(
        jobs=node.jobs,
        journal=parts.journal,
        modules=node.modules,
        results=node.results,
        ambient=parts.ambient,
        peer_id=parts.identity.peer_id,
        admission=admission,
        node_view=view,
        peers=lambda: parts.transport.peers,
    )


def _containers(docker: DockerExecutor) -> ContainersView | None:
    found = docker.offered
    if found is None:
        return None
    return ContainersView(network=found.network, root=found.root, runtimes=found.runtimes, sandboxes=found.sandboxes)


async def _engines(parts: Parts) -> dict[str, str]:
    """By name, why each cannot run anything; "" where it can."""
    found = dict.fromkeys((executor.name for executor in parts.executors), "not known yet")
    for executor in parts.executors:
        try:
            with trio.move_on_after(PROBED_S):
                await executor.probe()
                found[executor.name] = ""
        except DriverUnavailable as error:
            found[executor.name] = str(error)
    return found


def _announce(config: ServeConfig, ready: _Ready) -> None:
    gpus = tuple(f"{gpu.name} ({gpu.id})" for gpu in ready.parts.gpus)
    if config.log_format == "json":
        log.info("ready", extra=_fields(ready, gpus))
        return
    sys.stderr.write("\n".join(_lines(config, ready, gpus)) + "\n")
    sys.stderr.flush()


def _fields(ready: _Ready, gpus: tuple[str, ...]) -> dict[str, object]:
    """For programs. What a node has none of is left out."""
    parts, containers = ready.parts, ready.containers
    return {
        "peer_id": parts.identity.peer_id,
        "addresses": list(parts.transport.addresses),
        "api_url": ready.url,
        "inputs": list(parts.storage.names),
        "engines": [name for name, problem in ready.engines.items() if not problem],
        **({"containers": msgspec.to_builtins(containers)} if containers else {}),
        **({"gpus": list(gpus)} if gpus else {}),
    }


def _lines(config: ServeConfig, ready: _Ready, gpus: tuple[str, ...]) -> Iterator[str]:
    """For people."""
    parts = ready.parts
    yield f"quorate {version('quorate')} is ready"
    yield f"  peer id  {parts.identity.peer_id}"
    yield from (f"  listens  {address}" for address in parts.transport.addresses)
    yield from (f"  engine   {name}{problem and f': {problem}'}" for name, problem in ready.engines.items())
    yield f"  API      {ready.url}"
    yield f"  inputs   {', '.join(parts.storage.names)}"
    if ready.containers is not None:
        yield f"  jobs     {_of_containers(ready.containers)}"
    yield from (f"  GPU      {gpu}" for gpu in gpus)
    yield f"  data     {config.data_dir}"


def _of_containers(found: ContainersView) -> str:
    """What jobs may have of containers, in a line."""
    allowed = [name for name, is_so in (("the network", found.network), ("root", found.root)) if is_so]
    runtimes = [f"{name} (a sandbox)" if name in found.sandboxes else name for name in found.runtimes]
    return f"containers with {' and '.join(allowed) or 'no network, no root'}; runtimes {', '.join(runtimes) or 'none'}"


async def _cancel_when_signalled(scope: trio.CancelScope) -> None:
    """The first signal ends the node; impatience changes nothing, because the end is bounded."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            log.info("stopping", extra={"signal": signal.Signals(number).name})
            scope.cancel()


@contextmanager
def _own_folder(folder: Path) -> Iterator[None]:
    """Hold the data folder for this process alone; the kernel lets go of it however the process ends."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OperatorError(
            f"{folder}: the data folder cannot be used: {error.strerror}; --data-dir names another"
        ) from error
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OperatorError(f"{folder}: another node runs on this data folder; give each its own --data-dir") from None


def _as_it_is(executor: Executor) -> Executor:
    return executor


def _first(group: BaseExceptionGroup[OperatorError]) -> OperatorError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, OperatorError)
    return error
