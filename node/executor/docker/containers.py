"""Our containers on one engine: who is under way, how they end, and that nothing else of ours is there.

A connection follows the engine's events; whoever runs a container hears of its end there, and that the engine is gone
from its breaking. What a crash, a lost answer or a failed removal left is found by its label and removed: at every
connection, now and then, and soon after trouble.
Does not live here: what a container is given (``container``), what a run is (``executor``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from node import limits
from node.errors import DriverUnavailable, ExecutionFailed
from node.executor.docker.container import OWNER
from node.executor.docker.engine import TURNED_OFF, Engine, Event, Information, Refused

log = logging.getLogger("quorate.docker")

_GONE = (404, 409)  # It is not there; it has ended, and its removal is under way.


@dataclass(slots=True, eq=False)
class Watch:
    """One container, from before it exists until nobody waits for it. The last two say why it is ``over``."""

    name: str
    over: trio.Event = field(default_factory=trio.Event)
    out_of_memory: trio.Event = field(default_factory=trio.Event)
    is_killed: bool = False  # by a call of the engine, ours or somebody's
    exit_code: int | None = None
    failure: ExecutionFailed | DriverUnavailable | None = None

    def fail(self, failure: ExecutionFailed | DriverUnavailable) -> None:
        """It is to end for this reason, or has ended and counts for nothing; the first reason is the one."""
        self.failure = self.failure or failure
        self.over.set()


class Containers:
    """Those whose label says that they are ``owner``'s."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self._engine = engine
        self._label = f"{OWNER}={owner}"
        self._watches: dict[str, Watch] = {}
        self._known: Information | None = None
        self._tried = trio.Event()
        self._trouble = trio.Event()  # something may be there that should not be: sweep soon
        self._said = ""

    @property
    def known(self) -> Information | None:
        """What the engine says of itself; None: it is not there."""
        return self._known

    @property
    def information(self) -> Information:
        """The same. Raises DriverUnavailable."""
        if self._known is None:
            raise DriverUnavailable("no docker engine answers" if self._engine.path else TURNED_OFF)
        return self._known

    async def tried(self) -> None:
        """Until it is known whether the engine is there."""
        await self._tried.wait()

    async def serve(self) -> None:
        """Stay connected; cancelling it ends the connection, not the containers (their runs do)."""
        try:
            while True:
                try:
                    await self._connected()
                except DriverUnavailable as error:
                    self._lost(str(error))
                await trio.sleep(limits.DOCKER_RETRY_S)
        finally:
            self._known = None
            self._engine.close()

    @contextmanager
    def watched(self, name: str) -> Iterator[Watch]:
        """What becomes of the container of this name. Raises DriverUnavailable when there is no engine."""
        self.information  # noqa: B018  (raises)
        watch = self._watches[name] = Watch(name)
        try:
            yield watch
        finally:
            del self._watches[name]

    async def end(self, watch: Watch) -> None:
        """Nothing of it runs when this returns, unless the engine cannot be reached: then the sweep ends it."""
        with trio.CancelScope(shield=True):
            try:
                await self._engine.remove(watch.name)
            except Refused as error:
                if error.status not in _GONE:
                    self._unremoved(watch.name, str(error))
            except DriverUnavailable as error:
                self._unremoved(watch.name, str(error))

    async def _connected(self) -> None:
        """Until the connection breaks. Raises DriverUnavailable."""
        known = await self._engine.information()
        broke: list[str] = []
        async with trio.open_nursery() as nursery:

            async def until_it_breaks(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
                await self._engine.follow(self._label, self._heard, task_status=task_status)
                nursery.cancel_scope.cancel()

            try:
                await nursery.start(until_it_breaks)
                await self._sweep()
                self._found(known)
                nursery.start_soon(self._keep_swept)
                await self._keep_asking()
            except DriverUnavailable as error:
                broke.append(str(error))
            nursery.cancel_scope.cancel()
        raise DriverUnavailable(broke[0] if broke else "the docker engine went away")

    async def _keep_asking(self) -> None:
        """One that is frozen breaks no connection. Raises DriverUnavailable."""
        while True:
            await trio.sleep(limits.DOCKER_PING_EVERY_S)
            await self._engine.ping()

    async def _keep_swept(self) -> None:
        while True:
            with trio.move_on_after(limits.DOCKER_SWEEP_S):
                await self._trouble.wait()
                await trio.sleep(limits.DOCKER_RETRY_S)
            self._trouble = trio.Event()
            try:
                await self._sweep()
            except DriverUnavailable as error:
                log.warning("not_swept", extra={"reason": str(error)})
                self._trouble.set()

    async def _sweep(self) -> None:
        """Remove every container of ours that nobody waits for. Raises DriverUnavailable."""
        for name in await self._engine.containers(self._label):
            if name in self._watches:
                continue
            try:
                await self._engine.remove(name)
                log.info("container_swept", extra={"container": name})
            except Refused as error:
                if error.status not in _GONE:
                    self._unremoved(name, str(error))

    def _heard(self, event: Event) -> None:
        watch = self._watches.get(event.name)
        if watch is None:
            return
        if event.kind == "oom":
            watch.out_of_memory.set()
        elif event.kind == "kill":
            watch.is_killed = True
        elif event.kind == "die":
            watch.exit_code = event.exit_code
            watch.over.set()

    def _found(self, known: Information) -> None:
        self._known = known
        self._tried.set()
        self._said = ""
        log.info("docker_found", extra={"engine": str(self._engine.path), "runtimes": sorted(known.runtimes)})

    def _lost(self, reason: str) -> None:
        self._known = None
        self._tried.set()
        for watch in self._watches.values():
            watch.fail(DriverUnavailable("the docker engine went away during the run; it may be tried again"))
        if reason != self._said:
            self._said = reason
            log.warning("docker_lost", extra={"engine": str(self._engine.path), "reason": reason})

    def _unremoved(self, name: str, reason: str) -> None:
        log.warning("container_not_removed", extra={"container": name, "reason": reason})
        self._trouble.set()
