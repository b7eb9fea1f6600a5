"""A docker engine in trouble: killed, frozen, absent, or with containers that others end. Nothing hangs or is left."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from doubles.dockers import LABEL, Docker, until
from integration.docker_runs import HANG_S, ROOMY, Ended, Node, on

from node.ambient import Threads
from node.config import DockerConfig
from node.errors import DriverUnavailable, ResourceError
from node.executor.docker.executor import DockerExecutor
from node.model import DockerEngine

LONG = "sleep 1000"


def while_it_runs(docker: Docker, folder: Path, trouble: str) -> Ended:
    """How a long run ends when somebody calls the engine's API with its container; afterwards the next one works."""
    seen: list[Ended] = []

    def make_trouble() -> None:
        docker.until_running()
        with docker.client() as client:
            getattr(client, trouble)(docker.containers()[0])

    async def body(node: Node) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, make_trouble)
            seen.append(await node.run(LONG))
        assert (await node.run("exit 5")).exit_code == 5

    on(docker, folder, body)
    docker.until_empty()
    return seen[0]


@pytest.mark.parametrize("trouble", ["kill", "stop"])
def test_a_container_that_somebody_ends_is_no_result(docker: Docker, tmp_path: Path, trouble: str) -> None:
    found = while_it_runs(docker, tmp_path, trouble)
    assert isinstance(found.failure, DriverUnavailable)
    assert "somebody else" in str(found.failure)


@pytest.mark.skipif(shutil.which("nvidia-container-runtime-hook") is not None, reason="the engine of this machine can")
def test_a_gpu_that_the_engine_cannot_give_is_this_nodes_trouble(own_docker: Docker, tmp_path: Path) -> None:
    async def body(node: Node) -> None:
        failure = (await node.of(replace(node.task("true"), gpus=("GPU-1",)))).failure
        assert isinstance(failure, DriverUnavailable)
        assert "Container Toolkit is missing" in str(failure)
        assert (await node.run("exit 5")).exit_code == 5

    on(own_docker, tmp_path, body)


def test_a_program_that_kills_itself_has_the_exit_code_of_that(docker: Docker, tmp_path: Path) -> None:
    async def body(node: Node) -> None:
        assert (await node.run("kill -9 $$")).exit_code == 137
        assert (await node.run("exit 137")).exit_code == 137

    on(docker, tmp_path, body)


def test_an_engine_that_dies_ends_its_runs_and_is_found_again(own_docker: Docker, tmp_path: Path) -> None:
    seen: list[Ended] = []

    async def long(node: Node) -> None:
        seen.append(await node.run(LONG))

    async def body(node: Node) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(long, node)
            await trio.to_thread.run_sync(own_docker.until_running)
            own_docker.kill()
        assert isinstance(seen[0].failure, DriverUnavailable)
        assert "went away" in str(seen[0].failure)
        assert not node.executor.is_ready
        with pytest.raises(DriverUnavailable, match="no docker engine"):
            await node.executor.looked_up(node.task("").engine)
        await trio.to_thread.run_sync(own_docker.start)
        await node.until_ready()
        assert await trio.to_thread.run_sync(own_docker.containers) == []
        assert (await node.run("echo back")).stdout == "back\n"

    on(own_docker, tmp_path, body)


def test_an_engine_that_freezes_hangs_nothing(own_docker: Docker, tmp_path: Path) -> None:
    """The run ends at its limit; what could not be killed is swept when the engine thaws."""
    seen: list[Ended] = []

    async def long(node: Node) -> None:
        seen.append(await node.run(LONG, limits=replace(ROOMY, wall_s=3)))

    async def body(node: Node) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(long, node)
            await trio.to_thread.run_sync(own_docker.until_running)
            own_docker.freeze(signal.SIGSTOP)
        own_docker.freeze(signal.SIGCONT)
        assert seen[0].failure is not None
        await trio.to_thread.run_sync(own_docker.until_empty)
        await node.until_ready()
        assert (await node.run("exit 4")).exit_code == 4

    on(own_docker, tmp_path, body)


def test_a_create_whose_answer_is_lost_leaves_no_container(own_docker: Docker, tmp_path: Path) -> None:
    """Asked while it is frozen, the engine does it when it thaws."""
    seen: list[Ended] = []

    async def run(node: Node) -> None:
        seen.append(await node.run(LONG, limits=replace(ROOMY, wall_s=2)))

    async def body(node: Node) -> None:
        await node.run("true")
        own_docker.freeze(signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, node)
            await trio.sleep(1)  # It asks meanwhile.
            await trio.to_thread.run_sync(until, lambda: bool(seen))
            own_docker.freeze(signal.SIGCONT)
        assert seen[0].failure is not None
        await trio.to_thread.run_sync(own_docker.until_empty)

    on(own_docker, tmp_path, body)


def test_what_a_crash_left_is_swept_at_the_start_and_nothing_else(docker: Docker, tmp_path: Path) -> None:
    image = docker.image()

    def left(owner: str, name: str) -> None:
        with docker.client() as client:
            made = client.create_container(image, ["sleep", "1000"], name=name, labels={LABEL: owner})
            client.start(made["Id"])

    left(str(tmp_path), "quorate-left")
    left("another node", "quorate-anothers")

    async def body(node: Node) -> None:
        assert await trio.to_thread.run_sync(docker.containers) == ["quorate-anothers"]

    on(docker, tmp_path, body)
    with docker.client() as client:
        client.remove_container("quorate-anothers", force=True)


def test_runs_that_are_cancelled_at_any_moment_leave_nothing(docker: Docker, tmp_path: Path) -> None:
    async def body(node: Node) -> None:
        for moment_s in (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2):
            with trio.move_on_after(moment_s) as scope:
                await node.run(LONG)
            assert scope.cancelled_caught
            assert await trio.to_thread.run_sync(docker.running) == 0
        assert (await node.run("exit 6")).exit_code == 6

    on(docker, tmp_path, body)
    docker.until_empty()


def test_a_node_without_an_engine_waits_for_one(tmp_path: Path) -> None:
    executor = DockerExecutor(DockerConfig(socket=tmp_path / "nothing"), tmp_path / "docker", "me", Threads())

    async def main() -> None:
        with trio.fail_after(HANG_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(executor.serve)
                with pytest.raises(DriverUnavailable, match=r"no docker engine answers$"):
                    await executor.probe()
                assert not executor.is_ready
                nursery.cancel_scope.cancel()

    trio.run(main)


def test_docker_that_is_turned_off_is_not_looked_for() -> None:
    executor = DockerExecutor(DockerConfig(), Path("/nowhere"), "me", Threads())
    with pytest.raises(DriverUnavailable, match="--docker-host"):
        trio.run(executor.probe)
    with pytest.raises(
        ResourceError, match=r"turned off on this node \(--docker-host\); name .* by its digest \(\S+\)$"
    ):
        trio.run(executor.resolved, DockerEngine(image="busybox"))
