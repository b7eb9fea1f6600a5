"""The docker executor keeps the contract of all executors, on a real engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from contract.executors import OUTPUTS, ROOMY, ExecutorContract, Program, World
from doubles.dockers import Docker

from node.ambient import Threads
from node.config import DockerConfig
from node.executor.base import Executor, Task
from node.executor.docker.executor import DockerExecutor
from node.model import DockerEngine, ExecutionId

if TYPE_CHECKING:
    _: tuple[type[Executor], ...] = (DockerExecutor,)


@dataclass
class DockerWorld:
    """Programs as shell scripts."""

    docker: Docker
    image: str
    executor: DockerExecutor
    folder: Path

    def task(self, program: Program, number: int) -> Task:
        return Task(
            execution=ExecutionId(f"{hash(self.folder) % 2**60:016x}{number:016x}"),
            tenant="somebody",
            engine=DockerEngine(image="test", image_id=self.image, args=("/bin/sh", "-c", written_in_shell(program))),
            module=None,
            inputs=(),
            outputs=OUTPUTS,
            limits=ROOMY,
        )

    def still_running(self) -> int:
        return self.docker.running()


def written_in_shell(program: Program) -> str:
    """The same program as a script."""
    steps = [f"printf '{octal(program.stdout)}'", f"printf '{octal(program.stderr)}' >&2"]
    steps += [f"printf '{octal(content)}' >'/outputs/{name}'" for name, content in program.files.items()]
    if program.sleeps_s:
        steps.append(f"sleep {program.sleeps_s:g}")
    steps.append("kill -SEGV $$" if program.traps else f"exit {program.exit_code}")
    return "; ".join(steps)


def octal(content: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in content)


class TestDocker(ExecutorContract):
    """Containers, in real time."""

    engine = "docker"

    @pytest.fixture(autouse=True)
    def _docker(self, docker: Docker) -> None:
        self.docker = docker

    def world(self, folder: Path) -> World:
        config = DockerConfig(socket=self.docker.socket)
        executor = DockerExecutor(config, folder / "docker", str(folder), Threads())
        return DockerWorld(self.docker, self.docker.image(), executor, folder)

    def run(self, main: Callable[[], Any]) -> None:
        trio.run(main)

    def test_a_trap_is_a_failure_called_trap(self, tmp_path: Path) -> None:
        """A program of an operating system that dies of a signal has an exit code like any other."""
        assert self.outcome(tmp_path, Program(traps=True)) == 139
