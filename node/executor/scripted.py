"""An engine for tests and the simulator: does what a script says, in virtual time, and runs nothing.

Held to the same contract as the real ones: limits, cancellation, what a results folder holds. No threads, small files
written where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import trio

from node.errors import DriverUnavailable, ExecutionFailed
from node.executor.base import Capabilities, Collect, RunLimits, Task, give_back
from node.model import STDERR, STDOUT, EngineSpec

IDENTITY = "scripted"

_CAPABILITIES = Capabilities(deterministic=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What one run does: takes its time, writes, and ends. ``failure`` is raised in place of an exit code.

    ``early``: what it writes before that, as (seconds from its start, in order; stream; bytes).
    """

    exit_code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)  # by path in the results, as in ``outputs/table.csv``
    takes_s: float = 0.0
    early: tuple[tuple[float, str, bytes], ...] = ()
    failure: ExecutionFailed | DriverUnavailable | None = None


Script: TypeAlias = Callable[[Task], Play]


class ScriptedExecutor:
    """Implements Executor. ``running`` counts the runs under way."""

    def __init__(self, script: Script, name: str = "wasm") -> None:
        self._script = script
        self._name = name
        self.running = 0

    @property
    def name(self) -> str:
        """See Executor.name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """See Executor.capabilities."""
        return _CAPABILITIES

    @property
    def is_ready(self) -> bool:
        """See Executor.is_ready."""
        return True

    async def serve(self) -> None:
        """See Executor.serve: there is nothing to keep."""
        await trio.sleep_forever()

    async def probe(self) -> None:
        """See Executor.probe: always ready."""
        await trio.lowlevel.checkpoint()

    def refusal(self, engine: EngineSpec) -> str | None:
        """See Executor.refusal: anything may run."""
        return None

    def identity(self, engine: EngineSpec) -> str:
        """See Executor.identity."""
        return IDENTITY

    async def looked_up(self, engine: EngineSpec) -> str:
        """See Executor.looked_up."""
        await trio.lowlevel.checkpoint()
        return IDENTITY

    async def resolved(self, engine: EngineSpec) -> EngineSpec:
        """See Executor.resolved: there are no names."""
        await trio.lowlevel.checkpoint()
        return engine

    async def run(self, task: Task, results: Path, collect: Collect) -> int:
        """See Executor.run."""
        play = self._script(task)
        _make(results)
        exit_code = await self._played(play, task, results)
        await collect(exit_code, partial(give_back, results))
        return exit_code

    async def _played(self, play: Play, task: Task, results: Path) -> int:
        self.running += 1
        try:
            with trio.move_on_after(task.limits.wall_s):
                began = trio.current_time()
                for at_s, stream, text in play.early:
                    await trio.sleep_until(began + at_s)
                    _append(results / stream, text)
                await trio.sleep_until(began + play.takes_s)
                return _finish(play, task, results)
            raise ExecutionFailed("time", f"still running after {task.limits.wall_s:g} s; raise --timeout")
        finally:
            self.running -= 1


def _make(results: Path) -> None:
    results.mkdir(exist_ok=True)


def _finish(play: Play, task: Task, results: Path) -> int:
    for name, _ in task.outputs:
        (results / name).mkdir()
    _append(results / STDOUT, play.stdout)
    _append(results / STDERR, play.stderr)
    for name, content in play.files.items():
        path = results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    _check(play, task.limits)
    if play.failure is not None:
        raise play.failure
    return play.exit_code


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def _check(play: Play, limits: RunLimits) -> None:
    size = len(play.stdout) + len(play.stderr) + sum(map(len, play.files.values()))
    size += sum(len(text) for _, _, text in play.early)
    if size > limits.output_bytes:
        raise ExecutionFailed("output", f"wrote more than {limits.output_bytes} bytes; raise --disk")
    if len(play.files) > limits.output_files:
        raise ExecutionFailed("output", f"wrote more than {limits.output_files} files; write fewer, larger ones")
