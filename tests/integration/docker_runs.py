"""Running shell scripts in a real container, for tests that look at what became of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio
from doubles.collecting import stays
from doubles.dockers import Docker, until

from node.ambient import Threads
from node.config import DockerConfig
from node.errors import DriverUnavailable, ExecutionFailed
from node.executor.base import Mount, RunLimits, Task
from node.executor.docker.executor import DockerExecutor
from node.model import DockerEngine, ExecutionId

HANG_S = 120.0
ROOMY = RunLimits(wall_s=60, cpu_s=60, memory_bytes=64 << 20, output_bytes=1 << 20, output_files=100)


@dataclass(frozen=True)
class Ended:
    """How a run ended and what it left."""

    results: Path
    exit_code: int | None = None
    failure: ExecutionFailed | DriverUnavailable | None = None

    @property
    def code(self) -> str:
        """Of the failure."""
        assert isinstance(self.failure, ExecutionFailed), self.stderr
        return self.failure.code

    @property
    def stdout(self) -> str:
        """What it printed."""
        return (self.results / "stdout").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """And there."""
        return (self.results / "stderr").read_text(errors="replace")


@dataclass
class Node:
    """One executor that serves, on an engine that may be shared."""

    docker: Docker
    folder: Path
    executor: DockerExecutor
    image_id: str
    told: list[str] = field(default_factory=list)
    runs: int = 0

    def task(self, script: str, *, limits: RunLimits = ROOMY, inputs: tuple[Mount, ...] = (), **engine: Any) -> Task:
        """A shell script; what else the engine's spec says."""
        self.runs += 1
        wanted = {"image": "quorate-test", "image_id": self.image_id, "args": ("/bin/sh", "-c", script), **engine}
        return Task(
            execution=ExecutionId(f"{id(self):016x}{self.runs:016x}"),
            tenant="somebody/else",
            engine=DockerEngine(**wanted),
            module=None,
            inputs=inputs,
            outputs=(("outputs", "/outputs"),),
            limits=limits,
            tell=self.told.append,
        )

    async def run(self, script: str, **given: Any) -> Ended:
        """One run to its end."""
        return await self.of(self.task(script, **given))

    async def until_ready(self) -> None:
        """The engine is found again."""
        await trio.to_thread.run_sync(until, lambda: self.executor.is_ready)

    async def of(self, task: Task) -> Ended:
        """The same of a task."""
        results = self.folder / f"results{task.execution}"
        results.mkdir(mode=0o700)
        try:
            return Ended(results, exit_code=await self.executor.run(task, results, stays))
        except (ExecutionFailed, DriverUnavailable) as failure:
            return Ended(results, failure=failure)


def on(
    docker: Docker,
    folder: Path,
    body: Callable[[Node], Awaitable[None]],
    config: DockerConfig | None = None,
    image: str | None = None,
) -> None:
    """``body`` with a node that serves; nothing of it is on the engine afterwards."""
    config = replace(config or DockerConfig(), socket=docker.socket)
    image = docker.image() if image is None else image

    async def main() -> None:
        executor = DockerExecutor(config, folder / "docker", str(folder), Threads())
        with trio.fail_after(HANG_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(executor.serve)
                await executor.probe()
                await body(Node(docker, folder, executor, image))
                nursery.cancel_scope.cancel()

    trio.run(main)


def ended(docker: Docker, folder: Path, script: str, **given: Any) -> Ended:
    """One run."""
    seen: list[Ended] = []

    async def body(node: Node) -> None:
        seen.append(await node.run(script, **given))

    on(docker, folder, body)
    return seen[0]
