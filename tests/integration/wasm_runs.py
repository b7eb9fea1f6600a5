"""Runs of WASM modules in a real executor, for the tests beside this file."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import trio
import trio.testing
from contract.executors import HANG_S, ROOMY, serving
from contract.wasm_modules import Wasm
from doubles.collecting import stays

from node.ambient import Threads
from node.errors import ExecutionFailed
from node.executor.base import Collect, Mount, RunLimits, Task
from node.executor.wasm.executor import IDLE_S, VIEWS_MOUNTS_MAX, WasmExecutor
from node.model import ExecutionId, WasmEngine

_numbers = itertools.count(1)
_OF_THE_ENGINE = b"node.executor.wasm"  # In the command line of a zygote.


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a test varies."""

    wasm: Wasm
    tenant: str = "somebody"
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    inputs: tuple[Mount, ...] = ()
    outputs: tuple[tuple[str, str], ...] = (("outputs", "/outputs"),)
    limits: RunLimits = ROOMY
    profile: Literal["deterministic", "native"] = "deterministic"
    isolation: Literal["shared", "process"] = "shared"
    fuel: int | None = None
    stdin: str | None = None
    seed: str = "seed"

    @property
    def engine(self) -> WasmEngine:
        return WasmEngine(
            module=self.wasm.sha256,
            args=self.args,
            env=dict(self.env),
            profile=self.profile,
            isolation=self.isolation,
            fuel=self.fuel,
            stdin=self.stdin,
        )


@dataclass(frozen=True)
class Ended:
    """How a run ended, and where its results lie."""

    exit_code: int | None
    failure: ExecutionFailed | None
    results: Path

    @property
    def code(self) -> str | None:
        return None if self.failure is None else self.failure.code

    @property
    def detail(self) -> str:
        assert self.failure is not None, f"ended with {self.exit_code}"
        return self.failure.detail

    @property
    def stdout(self) -> bytes:
        return (self.results / "stdout").read_bytes()


class Engine:
    """A serving executor in a folder of its own."""

    def __init__(self, folder: Path, executor: WasmExecutor) -> None:
        self.folder = folder
        self.executor = executor

    async def run(self, run: Run, collect: Collect = stays) -> Ended:
        number = next(_numbers)
        results = self.folder / f"results-{number}"
        results.mkdir()
        task = Task(
            execution=ExecutionId(f"{number:032x}"),
            tenant=run.tenant,
            engine=run.engine,
            module=run.wasm.kept(self.folder),
            inputs=run.inputs,
            outputs=run.outputs,
            limits=run.limits,
            seed=run.seed,
        )
        try:
            return Ended(await self.executor.run(task, results, collect), None, results)
        except ExecutionFailed as failure:
            return Ended(None, failure, results)


def in_engine(
    folder: Path,
    body: Callable[[Engine], Awaitable[None]],
    idle_s: float = IDLE_S,
    mounts_max: int = VIEWS_MOUNTS_MAX,
    cache: Path | None = None,
) -> None:
    """``body`` while an executor serves."""

    async def main() -> None:
        executor = WasmExecutor(cache or folder / "cache", Threads(), idle_s, mounts_max)
        with trio.fail_after(HANG_S):
            async with serving(executor):
                await trio.testing.wait_all_tasks_blocked()
                await body(Engine(folder, executor))

    trio.run(main)


def ended(folder: Path, run: Run, cache: Path | None = None) -> Ended:
    """One run."""
    seen: list[Ended] = []

    async def body(engine: Engine) -> None:
        seen.append(await engine.run(run))

    in_engine(folder, body, cache=cache)
    return seen[0]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the kernel does in its own time, and tells nobody."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.01)


def descendants(pid: int | str = "self") -> set[int]:
    """Processes below ``pid``, at any depth, that the engine under test began."""
    return {below for child in children(pid) for below in {child} | _below(child)}


def children(pid: int | str = "self") -> set[int]:
    """Processes directly below ``pid`` that the engine began: there are also daemons, which tests share."""
    return {child for child in _children(pid) if _is_of_the_engine(child)}


def workers() -> set[int]:
    """Processes that the engine under test has forked; compilers are among them."""
    return descendants() - children()


def _children(pid: int | str) -> set[int]:
    tasks = Path("/proc", str(pid), "task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


def _is_of_the_engine(pid: int) -> bool:
    try:
        return _OF_THE_ENGINE in Path("/proc", str(pid), "cmdline").read_bytes()
    except FileNotFoundError:  # It has ended meanwhile.
        return False


def _below(pid: int) -> set[int]:
    """All of a zygote's: one that is just ending has no command line any more."""
    try:
        found = _children(pid)
    except FileNotFoundError:  # It has ended meanwhile.
        return set()
    return found.union(*map(_below, found))
