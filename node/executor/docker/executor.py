"""The docker engine as the node sees it: a container for each run, from its name to its end.

A run is three calls (create, attach, start); its end and what it prints come by themselves, and the engine removes it
behind the answer. Whatever ends ``run`` otherwise kills and removes the container before it returns.
Does not live here: the SDK (``engine``), what a container is given (``container``), whether the engine is there and
what else of ours is on it (``containers``), images (``images``).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from node import limits
from node.ambient import Offload
from node.config import DockerConfig
from node.errors import DriverUnavailable, ExecutionFailed, OperatorError, ResourceError
from node.executor.base import Capabilities, Collect, Task, give_back
from node.executor.docker import outputs, policy
from node.executor.docker.container import HOSTS, Place, body, name_of
from node.executor.docker.containers import Containers, Watch
from node.executor.docker.engine import TURNED_OFF, Engine, Information, Refused
from node.executor.docker.images import Images, Unknown
from node.executor.docker.offered import Offered, missing, offered
from node.executor.docker.pulled import Pulled
from node.executor.docker.streams import copy
from node.executor.docker.words import cause
from node.model import DockerEngine, EngineSpec, about, cut

log = logging.getLogger("quorate.docker")

_CAPABILITIES = Capabilities(deterministic=False)
_MACHINE = os.uname().machine
_BY_DIGEST = "name the image by its digest (NAME@sha256:…)"
_OTHERWISE = f"{_BY_DIGEST}, or pull it first"
_KILLED = 137  # 128 + SIGKILL
# How the engine says that it is the workload which cannot be started, and not the engine that cannot start it.
_UNSTARTABLE = (
    "exec:",
    "executable file not found",
    "no command specified",
    "chdir to cwd",
    "mkdir ",
    "to rootfs at",
    "not a directory",
    "is a directory",
    "unable to setup user",
    "unable to find user",
    "inside container",
)


@dataclass(slots=True, eq=False)
class _Run:
    task: Task
    results: Path
    watch: Watch
    deadline: float  # trio's clock
    fetched_s: float  # what of its time went to its image
    drained: trio.Event = field(default_factory=trio.Event)


class DockerExecutor:
    """Implements Executor. ``folder`` is this executor's own, ``owner`` the node whose label its containers have."""

    def __init__(self, config: DockerConfig, folder: Path, owner: str, offload: Offload) -> None:
        self._config = config
        self._folder = folder
        self._owner = owner
        self._offload = offload
        self._engine = Engine(config.socket)
        self._containers = Containers(self._engine, owner)
        self._pulled = Pulled(folder / "pulled.json", config.images_bytes)
        self._images = Images(self._engine, self._pulled, config.registries, offload)
        self._informed: object = None

    @property
    def name(self) -> str:
        """See Executor.name."""
        return "docker"

    @property
    def capabilities(self) -> Capabilities:
        """See Executor.capabilities."""
        return _CAPABILITIES

    @property
    def is_ready(self) -> bool:
        """See Executor.is_ready."""
        return self.offered is not None

    @property
    def offered(self) -> Offered | None:
        """What jobs may have of the containers here; None while there can be none."""
        known = self._containers.known
        if known is None or missing(self._config, known.runtimes):
            return None
        return offered(self._config, known.runtimes)

    async def serve(self) -> None:
        """See Executor.serve. Without an engine it waits for one. Raises OperatorError."""
        if self._config.socket is None:
            await trio.sleep_forever()
        await self._offload(self._open)
        await self._containers.serve()

    async def probe(self) -> None:
        """See Executor.probe. Waits for the first answer, or none, of the engine."""
        if self._config.socket is None:
            raise DriverUnavailable(TURNED_OFF)
        await self._containers.tried()
        unable = missing(self._config, self._information().runtimes)
        if unable:
            raise DriverUnavailable(unable)

    def refusal(self, engine: EngineSpec) -> str | None:
        """See Executor.refusal."""
        return policy.refusal(_docker(engine), self._config)

    def identity(self, engine: EngineSpec) -> str | None:
        """See Executor.identity. Known for a while after it was looked up."""
        wanted = _docker(engine)
        try:
            known = self._identity(wanted)
        except DriverUnavailable:
            return None
        return known if self._images.is_known(wanted) else None

    async def looked_up(self, engine: EngineSpec) -> str:
        """See Executor.looked_up."""
        wanted = _docker(engine)
        await self.probe()
        known = self._identity(wanted)
        with trio.move_on_after(limits.IMAGE_LOOK_S + limits.DOCKER_CALL_S):
            await self._images.look_up(wanted)
            return known
        raise DriverUnavailable("too many images are being looked up")

    async def resolved(self, engine: EngineSpec) -> EngineSpec:
        """See Executor.resolved. An image that is named by its digest takes no engine."""
        otherwise = _OTHERWISE if self._config.socket is not None else _BY_DIGEST
        try:
            with trio.move_on_after(limits.IMAGE_LOOK_S + limits.DOCKER_CALL_S):
                return await self._images.pinned(_docker(engine))
        except ValueError as error:
            raise ResourceError(str(error)) from error
        except Unknown as error:
            raise ResourceError(f"{error}; {_OTHERWISE}") from error
        except DriverUnavailable as error:
            raise DriverUnavailable(f"{error}; {otherwise}") from error
        raise DriverUnavailable("this node is looking up too many images; try again later, or name it by its digest")

    async def run(self, task: Task, results: Path, collect: Collect) -> int:
        """See Executor.run. Fetching the image counts in the wall time, and an end of it by that says so."""
        began, engine = trio.current_time(), _docker(task.engine)
        deadline = began + task.limits.wall_s
        await self.probe()
        known = self._information()
        user = outputs.container_user(as_root=engine.root, is_rootless=known.is_rootless)
        runtime = policy.runtime_of(engine, self._config, known.runtimes)
        image = await self._images.had(engine, task.tenant, task.tell, deadline)
        fetched_s = trio.current_time() - began
        wanted = body(task, image.id, image.volumes, results, Place(self._owner, user, runtime, self._folder / "hosts"))
        await self._offload(outputs.prepare, task, results)
        with self._containers.watched(name_of(task)) as watch:
            try:
                await self._lived(_Run(task, results, watch, deadline, fetched_s), wanted)
            finally:
                if watch.exit_code is None:
                    await self._containers.end(watch)
            exit_code = await exit_code_of(watch)
        await self._offload(outputs.settle, task, results)
        await collect(exit_code, partial(give_back, results))
        return exit_code

    def _identity(self, engine: DockerEngine) -> str:
        """Raises DriverUnavailable where nothing here may run it."""
        known = self._information()
        runtime = policy.runtime_of(engine, self._config, known.runtimes) or known.runtime
        return policy.identity(engine, _MACHINE, runtime)

    def _open(self) -> None:
        hosts = self._folder / "hosts"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            hosts.unlink(missing_ok=True)
            hosts.write_bytes(HOSTS)
            hosts.chmod(0o444)
        except OSError as error:
            raise OperatorError(f"{self._folder} cannot be used: {error.strerror}") from error
        self._pulled.open()

    def _information(self) -> Information:
        """Of the engine that is there now. Raises DriverUnavailable."""
        found = self._containers.information
        if found is not self._informed:
            self._informed = found
            self._images.forget()
            unable = missing(self._config, found.runtimes)
            if unable:
                log.warning("docker_runtime_missing", extra={"reason": unable})
        return found

    async def _lived(self, run: _Run, wanted: dict[str, Any]) -> None:
        """From before it exists until it is over, or has to be. Raises ExecutionFailed, DriverUnavailable."""
        with trio.move_on_at(run.deadline) as scope:
            try:
                container = await self._engine.create(run.watch.name, wanted)
                with await self._engine.attach(run.watch.name) as stream:
                    await self._engine.start(run.watch.name)
                    await self._over(run, container, stream)
            except Refused as error:
                raise self._unstarted(error, run) from error
        if scope.cancelled_caught:
            run.watch.fail(ExecutionFailed("time", _too_long(run)))

    async def _over(self, run: _Run, container: str, stream: trio.socket.SocketType) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._copied, run, stream)
            nursery.start_soon(self._looked_at, run, container)
            await run.watch.over.wait()
            if run.watch.failure is None:
                with trio.move_on_after(limits.DOCKER_DRAIN_S) as draining:
                    await run.drained.wait()
                if draining.cancelled_caught:
                    run.watch.fail(DriverUnavailable("what it printed did not come to an end with it"))
            nursery.cancel_scope.cancel()

    async def _copied(self, run: _Run, stream: trio.socket.SocketType) -> None:
        try:
            await copy(stream, run.results, run.task.limits.output_bytes, self._offload)
        except ExecutionFailed as failure:
            run.watch.fail(failure)
        except OSError as error:
            run.watch.fail(DriverUnavailable(f"what it prints cannot be kept: {error.strerror}"))
        run.drained.set()

    async def _looked_at(self, run: _Run, container: str) -> None:
        due = 0.0
        try:
            while True:
                await trio.sleep(limits.CONTAINERS_LOOK_S)
                await self._offload(outputs.check_room, run.results)
                began = trio.current_time()
                if began >= due:
                    await self._offload(outputs.look, run.task, run.results, container)
                    due = trio.current_time() + min(9 * (trio.current_time() - began), limits.CONTAINERS_LOOK_MAX_S)
        except (ExecutionFailed, DriverUnavailable) as failure:
            run.watch.fail(failure)

    def _unstarted(self, error: Refused, run: _Run) -> ExecutionFailed | DriverUnavailable:
        """Whose fault it is that there is no container, or that it does not start."""
        words = cause(error.text, run.task)
        text = words.lower()
        if error.status == 404 and "no such image" in text:
            self._images.lost(_docker(run.task.engine))
            return DriverUnavailable("the image was removed from the docker engine; the run may be tried again")
        if "could not select device driver" in text:
            return DriverUnavailable(
                "the docker engine here gives containers no GPU: NVIDIA's Container Toolkit is missing"
            )
        if "oom" in text:
            return ExecutionFailed("memory", "there was too little memory to start it; raise --memory")
        if error.status == 400 or any(part in text for part in _UNSTARTABLE):
            return ExecutionFailed("trap", cut(f"it cannot be started: {words}"))
        return DriverUnavailable(cut(f"the docker engine refused: {words}"))


def _too_long(run: _Run) -> str:
    of_it = f", of which its image took {about(run.fetched_s)}" if run.fetched_s >= 1 else ""
    return f"still running after {run.task.limits.wall_s:g} s{of_it}; raise --timeout"


def _docker(engine: EngineSpec) -> DockerEngine:
    assert isinstance(engine, DockerEngine)
    return engine


async def exit_code_of(watch: Watch) -> int:
    """Of a container that is over. Raises ExecutionFailed, DriverUnavailable: why there is none.

    137 is a program's own result like any other (a child of a shell that was killed makes it of that) unless the engine
    tells of a kill or of memory. So it is too where the first process is killed past the engine, by this machine's root
    or by its kernel when all memory is gone: nothing here tells these apart.
    """
    if watch.failure is not None:
        raise watch.failure
    assert watch.exit_code is not None
    if watch.exit_code == _KILLED and not watch.is_killed:
        with trio.move_on_after(limits.DOCKER_OOM_S):
            await watch.out_of_memory.wait()
    if watch.out_of_memory.is_set():
        raise ExecutionFailed("memory", "it ran out of memory; raise --memory")
    if watch.is_killed:
        raise DriverUnavailable(
            f"the container was killed by somebody else on this machine (exit code {watch.exit_code})"
        )
    return watch.exit_code
