"""Both executors keep the contract: wasmtime in worker processes, and the fake in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import trio
from contract.executors import OUTPUTS, ROOMY, ExecutorContract, Program, World
from contract.wasm_modules import CREATE, OPENED, WRITE, Text, Wasm, command, put
from trio.testing import MockClock

from node.ambient import Threads
from node.errors import ExecutionFailed
from node.executor.base import Executor, Task
from node.executor.scripted import Play, ScriptedExecutor
from node.executor.wasm.executor import WasmExecutor
from node.model import ExecutionId, WasmEngine

if TYPE_CHECKING:
    _: tuple[type[Executor], ...] = (ScriptedExecutor, WasmExecutor)


def a_task(module: Path, sha256: str, number: int) -> Task:
    return Task(
        execution=ExecutionId(f"{number:032x}"),
        tenant="somebody",
        engine=WasmEngine(module=sha256),
        module=module,
        inputs=(),
        outputs=OUTPUTS,
        limits=ROOMY,
    )


class ScriptedWorld:
    """Programs by the number of their task."""

    def __init__(self) -> None:
        self._programs: dict[str, Program] = {}
        self.executor = ScriptedExecutor(self._play)

    def task(self, program: Program, number: int) -> Task:
        task = a_task(Path("/nowhere"), "00" * 32, number)
        self._programs[task.execution] = program
        return task

    def still_running(self) -> int:
        return self.executor.running

    def _play(self, task: Task) -> Play:
        program = self._programs[task.execution]
        return Play(
            exit_code=program.exit_code,
            early=((0.0, "stdout", program.stdout), (0.0, "stderr", program.stderr)),
            files={f"outputs/{name}": content for name, content in program.files.items()},
            takes_s=program.sleeps_s,
            failure=ExecutionFailed("trap", "unreachable") if program.traps else None,
        )


class WasmWorld:
    """Programs as modules; what runs is counted among the processes of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.executor = WasmExecutor(folder / "cache", Threads())

    def task(self, program: Program, number: int) -> Task:
        """Who sleeps does so in the profile in which time passes."""
        module = written_in_wat(program)
        task = a_task(module.kept(self._folder), module.sha256, number)
        profile: Literal["native", "deterministic"] = "native" if program.sleeps_s else "deterministic"
        return replace(task, engine=WasmEngine(module=module.sha256, profile=profile))

    def still_running(self) -> int:
        """Workers: grandchildren of this process."""
        return sum(len(children_of(child)) for child in children_of("self"))


def children_of(pid: str) -> list[str]:
    return [child for task in Path("/proc", pid, "task").iterdir() for child in (task / "children").read_text().split()]


def written_in_wat(program: Program) -> Wasm:
    """The same program as a module."""
    text = Text()
    steps = [put("(i32.const 1)", text(program.stdout)), put("(i32.const 2)", text(program.stderr))]
    for name, content in program.files.items():
        steps.append(f"(call $must (call $open (i32.const 3) {text(name.encode())} {CREATE} {WRITE}))")
        steps.append(put(OPENED, text(content)))
    if program.sleeps_s:
        steps.append(f"(call $sleep (i64.const {int(program.sleeps_s * 1e9)}))")
    steps.append("unreachable" if program.traps else f"(call $proc_exit (i32.const {program.exit_code}))")
    return command("\n".join(steps), text)


class TestScripted(ExecutorContract):
    """The fake is held to the same promises."""

    def world(self, folder: Path) -> World:
        return ScriptedWorld()

    def run(self, main: Callable[[], Any]) -> None:
        trio.run(main, clock=MockClock(autojump_threshold=0))


class TestWasm(ExecutorContract):
    """wasmtime, in real processes and real time."""

    def world(self, folder: Path) -> World:
        return WasmWorld(folder)

    def run(self, main: Callable[[], Any]) -> None:
        trio.run(main)
