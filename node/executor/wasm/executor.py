"""The WASM engine as the node sees it: finds a warm worker or starts one, gives it the run, ends it when it must.

A run costs one message and one answer on a socket that trio waits on: no thread, no polling. The wall clock is kept
here; CPU time, memory and output are kept in the worker and by the kernel (``worker``, ``confine``). A worker whose run
returned or trapped stays warm for the same tenant, module and memory limit; any other end of a run ends it. A run that
is shown single files or parts of what the node does not own gets a worker of its own (``view``), which ends with it.
Does not live here: wasmtime (``engine``, in child processes alone), processes (``processes``), the cache (``modules``).
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import trio

from node.ambient import Offload
from node.errors import DriverUnavailable
from node.executor.base import Capabilities, RunLimits, Task
from node.executor.wasm.modules import Modules, wanted
from node.executor.wasm.pool import Key, Pool
from node.executor.wasm.processes import Child, Processes
from node.executor.wasm.protocol import PROFILE, Answer, Broken, Failed, Job, Returned, Unloadable, WorkerSpec, frame
from node.executor.wasm.reasons import out_of_time, run_ended_by, run_failed
from node.model import EngineSpec, cut
from node.removal import remove

IDLE_MAX = 8  # A further idle worker ends the one that is idle for longest.
IDLE_S = 60.0  # A worker idle for longer ends; nobody idle for as long again, and the zygote ends too.
RUNS_PER_WORKER = 1_000  # Then a fresh process: whatever leaks, leaks no further.
VIEW_MOUNTS_MAX = 50_000  # Of one run: half of what Linux gives a namespace, about a second. More are linked or copied.
VIEWS_MOUNTS_MAX = 100_000  # Of all runs at once, each 2 KB of the kernel's memory. The same.

_IDENTITY = f"wasmtime {version('wasmtime')}, profile {PROFILE}, {os.uname().machine}"
_CAPABILITIES = Capabilities(isolates_network=True, deterministic=False)


@dataclass(slots=True)
class _Worker:
    key: Key
    child: Child
    mounts: int = 0  # in the view of its one run; 0: it has none, and may run again
    runs: int = 0


class WasmExecutor:
    """Implements Executor with wasmtime. ``cache`` is this executor's own folder."""

    def __init__(
        self, cache: Path, offload: Offload, idle_s: float = IDLE_S, mounts_max: int = VIEWS_MOUNTS_MAX
    ) -> None:
        self._offload = offload
        self._processes = Processes()
        self._modules = Modules(cache, self._processes, offload)
        self._staging = cache / "staging"
        self._staged = itertools.count()
        self._pool: Pool[_Worker] = Pool(IDLE_MAX, idle_s)
        self._mounts = 0
        self._mounts_max = mounts_max
        self._idle_s = idle_s
        self._gave = trio.Event()

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
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._processes.serve)
                nursery.start_soon(self._expire)
        finally:
            _dismiss(self._pool.expired(math.inf))

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
        """See Executor.identity: versions and machines may differ in what they compile."""
        return _IDENTITY

    async def looked_up(self, engine: EngineSpec) -> str:
        """See Executor.looked_up."""
        await trio.lowlevel.checkpoint()
        return _IDENTITY

    async def resolved(self, engine: EngineSpec) -> EngineSpec:
        """See Executor.resolved: a module is named by its hash already."""
        await trio.lowlevel.checkpoint()
        return engine

    async def run(self, task: Task, results: Path) -> int:
        """See Executor.run. Waiting for the module's compilation is part of the wall time."""
        deadline = trio.current_time() + task.limits.wall_s
        answer, status = await self._attempt(task, results, deadline)
        if isinstance(answer, Unloadable):  # The cache may come from another CPU.
            await self._modules.forget(task)
            answer, status = await self._attempt(task, results, deadline)
        return _exit_code(answer, status, task.limits)

    def _open(self) -> None:
        """Blocking, and before the first await, so that whoever comes after finds it done."""
        self._modules.open()
        remove(self._staging)
        self._staging.mkdir(mode=0o700)

    async def _expire(self) -> None:
        """End workers that are idle for too long, and what forks them when there have been none for a while."""
        while True:
            expiry = self._pool.next_expiry()
            if expiry is not None:
                await trio.sleep_until(expiry)
                _dismiss(self._pool.expired(trio.current_time()))
                continue
            with trio.move_on_after(self._idle_s) as scope:
                await self._gave.wait()
            self._gave = trio.Event()
            if scope.cancelled_caught:
                self._processes.rest()

    async def _attempt(self, task: Task, results: Path, deadline: float) -> tuple[Answer | None, int | None]:
        """The worker's answer, or None and its exit status. Raises ExecutionFailed, DriverUnavailable."""
        worker = None
        with trio.move_on_at(deadline):
            worker = await self._worker(task)
        if worker is None:
            raise out_of_time(task.limits, compiling=True)
        with trio.move_on_at(deadline):
            answer = await self._ask(worker, task, results)
            return answer, worker.child.status
        raise out_of_time(task.limits, compiling=False)

    async def _worker(self, task: Task) -> _Worker:
        """A warm one, or a new one."""
        key = Key(task.tenant, wanted(task), task.limits.memory_bytes)
        if any(mount.is_bound for mount in task.inputs):
            viewing = await self._viewing(task, key)
            if viewing is not None:
                return viewing
        while (worker := self._pool.take(key)) is not None:
            if not worker.child.over:
                return worker
            _dismiss([worker])
        return await self._started(task, key)

    async def _viewing(self, task: Task, key: Key) -> _Worker | None:
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

    async def _started(self, task: Task, key: Key, mounts: int = 0) -> _Worker:
        await self._processes.begun()
        compiled = await self._modules.compiled(task)
        spec = WorkerSpec(os.fsencode(compiled), key.memory_bytes, has_view=mounts > 0)
        return _Worker(key, await self._processes.spawn(spec), mounts)

    async def _ask(self, worker: _Worker, task: Task, results: Path) -> Answer | None:
        """One run. However it ends, the worker is idle or no more when this returns."""
        staging = self._staging / str(next(self._staged))
        worker.runs += 1
        answer = None
        try:
            await worker.child.channel.send(frame(_job(task, results, staging)))
            answer = await worker.child.channel.answer()
        finally:
            usable = _leaves_usable(answer) and not worker.child.over
            if usable and worker.runs < RUNS_PER_WORKER and not worker.mounts:
                self._keep(worker)
            else:
                await worker.child.end()
                self._mounts -= worker.mounts
                with trio.CancelScope(shield=True):
                    await self._offload(_clear, staging)
        return answer

    def _keep(self, worker: _Worker) -> None:
        _dismiss(self._pool.give(worker.key, worker, trio.current_time()))
        self._gave.set()


def _dismiss(workers: Iterable[_Worker]) -> None:
    for worker in workers:
        worker.child.dismiss()


def _job(task: Task, results: Path, staging: Path) -> Job:
    return Job(
        args=task.engine.args,
        env=tuple(sorted(task.engine.env.items())),
        inputs=tuple((os.fsencode(mount.host), mount.guest, mount.within) for mount in task.inputs),
        outputs=task.outputs,
        results=os.fsencode(results),
        staging=os.fsencode(staging),
        cpu_s=task.limits.cpu_s,
        output_bytes=task.limits.output_bytes,
        output_files=task.limits.output_files,
    )


def _clear(staging: Path) -> None:
    with contextlib.suppress(OSError):  # Then the sweep at the next start tries again.
        remove(staging)


def _leaves_usable(answer: Answer | None) -> bool:
    """Whether the worker that gave this answer may be given another run."""
    match answer:
        case Returned() | Failed("trap" | "data"):
            return True
        case _:
            return False


def _exit_code(answer: Answer | None, status: int | None, limits: RunLimits) -> int:
    match answer:
        case Returned(exit_code) if 0 <= exit_code <= 255:
            return exit_code
        case Failed():
            raise run_failed(answer)
        case Broken(detail):
            raise DriverUnavailable(f"the worker could not prepare the run: {cut(detail)}")
        case Unloadable():
            raise DriverUnavailable(
                "the module was compiled and cannot be loaded; delete the node's cache of compiled modules"
            )
        case _:
            raise run_ended_by(status, limits)
