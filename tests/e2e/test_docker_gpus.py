"""GPUs handed to a real docker engine by id, with NVIDIA's programs stood in for: what says which there are, and what
the engine calls for a container that is given some, with their ids in ``NVIDIA_VISIBLE_DEVICES``.

Does not live here: that a program can use what it is given; that takes a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.dockers import Docker, private_docker
from doubles.realnode import RealNode, real_node
from e2e.users import User

IMAGE = "quorate-test-gpus"
IDS = ("GPU-6f0f3f6b-94ba-5d62-8a5c-4d8c2a3b9e01", "GPU-0a1b2c3d-94ba-5d62-8a5c-4d8c2a3b9e02")
ANSWER = "".join(f"{gpu}, NVIDIA L4, 23034\n" for gpu in IDS)
SHOWN = "echo $NVIDIA_VISIBLE_DEVICES"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the programs; while there is a file ``broken`` in it, no GPU can be given."""
    folder = tmp_path_factory.mktemp("nvidia")
    for name, script in (
        ("nvidia-smi", f"printf '%s' '{ANSWER}'"),
        ("nvidia-container-runtime-hook", f"[ ! -e {folder}/broken ]"),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PATH", str(folder), prepend=":")
        yield folder


@pytest.fixture(scope="module")
def engine(machine: Path) -> Iterator[Docker]:
    with private_docker() as made:
        made.image('ENTRYPOINT ["/bin/sh", "-c"]', name=IMAGE)
        yield made


@pytest.fixture(scope="module")
def node(engine: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    flags = ("--docker-host", engine.host, "--limit-total-gpu", "all")
    with real_node(tmp_path_factory.mktemp("node") / "node", *flags) as made:
        yield made


def printed(user: User, node: RealNode, *flags: str) -> list[str]:
    """The ids that the engine gives the container of a job."""
    target = user.home / "results"
    kept = ("--download", "--force", "--output-dir", str(target))
    ran = user.asks(node, "docker", "run", IMAGE, *flags, *kept, "--", SHOWN)
    assert ran.returncode == 0, ran.stderr
    return (target / "stdout").read_text().strip().split(",")


def requested(engine: Docker) -> list[list[str]]:
    """The ids that each container was created with."""
    with engine.client() as client:
        found = [client.inspect_container(name)["HostConfig"]["DeviceRequests"] for name in engine.containers()]
    return [one["DeviceIDs"] for asked in found for one in asked]


def test_each_job_is_given_a_gpu_of_its_own_and_both_come_back(user: User, engine: Docker, node: RealNode) -> None:
    asked = ("docker", "run", IMAGE, "--gpu", "1", "--id-only", "--", "sleep 1000")
    jobs = [user.asks(node, *asked).stdout.strip() for _ in IDS]
    try:
        engine.until_running(len(IDS))
        assert sorted(requested(engine)) == sorted([gpu] for gpu in IDS)
    finally:
        for job in jobs:
            user.asks(node, "job", "cancel", job)
    assert sorted(printed(user, node, "--gpu", "2")) == sorted(IDS)


def test_a_job_that_asks_for_none_is_given_none(user: User, node: RealNode) -> None:
    assert printed(user, node) == ["void"]


def test_gpus_that_cannot_be_given_end_the_run_without_a_result_and_come_back(
    user: User, machine: Path, engine: Docker, node: RealNode
) -> None:
    (machine / "broken").touch()
    try:
        ran = user.asks(node, "docker", "run", IMAGE, "--gpu", "2", "--", SHOWN)
    finally:
        (machine / "broken").unlink()
    assert ran.returncode == 1, ran.stderr
    assert "execution failed internal: the docker engine refused: error running hook" in " ".join(ran.stderr.split())
    engine.until_empty()
    assert sorted(printed(user, node, "--gpu", "2")) == sorted(IDS)
