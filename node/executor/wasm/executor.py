"""The WASM engine as the node sees it: finds a warm worker or starts one, gives it the run, ends it when it must.

A run costs one message and one answer on a socket that trio waits on, and two visits to a thread: the worker's folder
is lent, and given back by whoever collects the results. The wall clock is kept here; CPU time, memory and output are
kept in the worker and by the kernel (``worker``, ``confine``). A worker whose run trapped, or returned and could be
collected, stays warm for the same tenant, module, limits and inputs; any other end of a run ends it, and so does any
end of one that asked for a process of its own, or that is shown single files or parts of what the node does not own
(``view``).
Does not live here: wasmtime (``engine``, in child processes alone), processes (``processes``), the cache (``modules``).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from node.ambient import Offload
from node.errors import DriverUnavailable
from node.executor.base import Capabilities, Collect, GiveBack, RunLimits, Task, give_back
from node.executor.wasm.desk import Desk
from node.executor.wasm.modules import Modules
from node.executor.wasm.pool import Key
from node.executor.wasm.processes import Child, Processes
from node.executor.wasm.protocol import Answer, Broken, Failed, Returned, Unloadable, frame
from node.executor.wasm.reasons import out_of_time, run_ended_by, run_failed
from node.executor.wasm.settings import identity
from node.executor.wasm.tasks import LEVEL, engine_of, job_of, key_of, settings_of
from node.executor.wasm.workers import Start, Worker, Workers
from node.model import STDERR, STDOUT, EngineSpec, cut
from node.removal import remove

IDLE_S = 60.0  # A worker idle for longer ends; nobody idle for as long again, and the zygote ends too.
RUNS_PER_WORKER = 1_000  # Then a fresh process: whatever leaks, leaks no further.
VIEW_MOUNTS_MAX = 50_000  # Of one run: half of what Linux gives a namespace, about a second. More are linked or copied.
VIEWS_MOUNTS_MAX = 100_000  # Of all runs at once, each 2 KB of the kernel's memory. The same.

_IDENTITY = identity(LEVEL)
_CAPABILITIES = Capabilities(deterministic=True)


@dataclass(frozen=True, slots=True)
class _Run:
    task: Task
    results: Path
    collect: Collect
    deadline: float  # of trio's clock

    @property
    def names(self) -> tuple[str, ...]:
        """What lies in its results when it is over."""
        return (STDOUT, STDERR, *(name for name, _ in self.task.outputs))


class WasmExecutor:
    """Implements Executor with wasmtime. ``cache`` is this executor's own folder."""

    def __init__(
        self, cache: Path, offload: Offload, idle_s: float = IDLE_S, mounts_max: int = VIEWS_MOUNTS_MAX
    ) -> None:
        self._offload = offload
        self._processes = Processes()
        self._modules = Modules(cache, self._processes, offload)
        self._staging = cache / "staging"
        self._numbers = itertools.count()
        self._workers = Workers(offload, idle_s, self._processes.rest)
        self._mounts = 0
        self._mounts_max = mounts_max

    @property
    def name(self) -> str:
        """See Executor.name."""
        return "wasm"

    @property
    def capabilities(self) -> Capabilities:
        """See Executor.capabilities."""
        return _CAPABILITIES

    @property
    def is_ready(self) -> bool:
        """See Executor.is_ready: as much as ``probe`` knows."""
        return sys.platform == "linux"

    async def serve(self) -> None:
        """See Executor.serve. Raises OperatorError when others can write to the cache."""
        self._open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._processes.serve)
            nursery.start_soon(self._workers.serve)

    async def probe(self) -> None:
        """See Executor.probe. Starts nothing: an idle node stays small."""
        await trio.lowlevel.checkpoint()
        if sys.platform != "linux":
            raise DriverUnavailable("the WASM engine needs Linux")
        self._processes.check()

    def refusal(self, engine: EngineSpec) -> str | None:
        """See Executor.refusal: it harms nothing."""
        return None

    def identity(self, engine: EngineSpec) -> str:
        """See Executor.identity: what is compiled alike runs alike (``settings``)."""
        return _IDENTITY

    async def looked_up(self, engine: EngineSpec) -> str:
        """See Executor.looked_up."""
        await trio.lowlevel.checkpoint()
        return _IDENTITY

    async def resolved(self, engine: EngineSpec) -> EngineSpec:
        """See Executor.resolved: a module is named by its hash already."""
        await trio.lowlevel.checkpoint()
        return engine

    async def run(self, task: Task, results: Path, collect: Collect) -> int:
        """See Executor.run. Waiting for the module's compilation is part of the wall time."""
        run = _Run(task, results, collect, trio.current_time() + task.limits.wall_s)
        answer, status = await self._attempt(run)
        if isinstance(answer, Unloadable):  # The cache may come from another CPU.
            await self._modules.forget(task, settings_of(task))
            answer, status = await self._attempt(run)
        return _exit_code(answer, status, task.limits)

    def _open(self) -> None:
        """Blocking, and before the first await, so that whoever comes after finds it done."""
        self._modules.open()
        remove(self._staging)
        self._staging.mkdir(mode=0o700)

    async def _attempt(self, run: _Run) -> tuple[Answer | None, int | None]:
        """The worker's answer, or None and its exit status. Raises ExecutionFailed, DriverUnavailable."""
        worker = None
        with trio.move_on_at(run.deadline):
            worker = await self._worker(run.task, run.results)
        if worker is None:
            raise out_of_time(run.task.limits, compiling=True)
        return await self._served(worker, run), worker.child.status

    async def _worker(self, task: Task, results: Path) -> Worker:
        """A warm one, or a new one."""
        key = await self._offload(key_of, task, results) if task.inputs else key_of(task, results)
        if any(mount.is_bound for mount in task.inputs):
            viewing = await self._viewing(task, key)
            if viewing is not None:
                return viewing
        warm = self._workers.take(key) if engine_of(task).isolation == "shared" else None
        return warm or await self._started(task, key)

    async def _viewing(self, task: Task, key: Key) -> Worker | None:
        """One for a run that sees what it may neither link nor copy; None where there can be none."""
        mounts, worker = len(task.inputs), None
        if mounts > VIEW_MOUNTS_MAX or self._mounts + mounts > self._mounts_max:
            return None
        self._mounts += mounts
        try:
            await self._processes.begun()
            if await self._processes.have_views():
                worker = await self._started(task, key, mounts)
        finally:
            if worker is None:
                self._mounts -= mounts
        return worker

    async def _started(self, task: Task, key: Key, mounts: int = 0) -> Worker:
        await self._processes.begun()
        code = await self._modules.compiled(task, key.settings)
        number = next(self._numbers)
        desk = Desk(Path(os.fsdecode(key.results), f".worker-{number}"))
        start = Start(key, code, self._staging / str(number), desk, has_view=mounts > 0)
        is_shared = not mounts and engine_of(task).isolation == "shared"
        return Worker(start, await self._spawned(start), is_shared, mounts)

    async def _spawned(self, start: Start) -> Child:
        results = await self._offload(_made, start.desk)
        child = None
        try:
            child = await self._processes.spawn(start.spec, [results])
        finally:
            os.close(results)
            if child is None:
                start.desk.clear()
        return child

    async def _served(self, worker: Worker, run: _Run) -> Answer | None:
        """One run. However it ends, the worker is idle or no more when this returns."""
        worker.runs += 1
        is_over = True
        try:
            answer = await self._asked(worker, run)
            if worker.is_shared and worker.runs < RUNS_PER_WORKER and _leaves_usable(answer) and not worker.child.over:
                await self._taken(run, answer, partial(_taken_back, worker.start.desk, run))
                is_over = False
        finally:
            if is_over:
                await self._workers.end(worker)
                self._mounts -= worker.mounts
            else:
                self._workers.keep(worker)
        if is_over:
            await self._taken(run, answer, partial(give_back, run.results))
        return answer

    async def _asked(self, worker: Worker, run: _Run) -> Answer | None:
        with trio.move_on_at(run.deadline):
            await self._offload(_lent, worker.start.desk, run.results)
            await worker.child.channel.send(frame(job_of(run.task, run.results)))
            return await worker.child.channel.answer()
        raise out_of_time(run.task.limits, compiling=False)

    async def _taken(self, run: _Run, answer: Answer | None, give_back: GiveBack) -> None:
        """What a failed run left stays, for whoever still reads it."""
        if isinstance(answer, Returned):
            await run.collect(answer.exit_code, give_back)
        else:
            await self._offload(give_back, True)


def _made(desk: Desk) -> int:
    with _of_this_machine("no folder for a worker can be made"):
        return desk.made()


def _lent(desk: Desk, results: Path) -> None:
    with _of_this_machine("the folder for results cannot be used"):
        desk.lend(results)


def _taken_back(desk: Desk, run: _Run, stays: bool) -> None:
    with _of_this_machine("the results cannot be taken from where they were written"):
        (desk.take_back if stays else desk.empty)(run.results, run.names)


@contextlib.contextmanager
def _of_this_machine(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DriverUnavailable(f"{what}: {error.strerror}") from error


def _leaves_usable(answer: Answer | None) -> bool:
    """Whether the worker that gave this answer may be given another run."""
    match answer:
        case Returned() | Failed("trap" | "data"):
            return True
        case _:
            return False


def _exit_code(answer: Answer | None, status: int | None, allowed: RunLimits) -> int:
    match answer:
        case Returned(exit_code):
            return exit_code
        case Failed():
            raise run_failed(answer)
        case Broken(detail):
            raise DriverUnavailable(f"this machine could not carry the run out: {cut(detail)}")
        case Unloadable():
            raise DriverUnavailable(
                "the module was compiled and cannot be loaded; delete the node's cache of compiled modules"
            )
        case _:
            raise run_ended_by(status, allowed)
