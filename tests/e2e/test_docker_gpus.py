"""GPUs handed to a real docker engine by id, with NVIDIA's programs stood in for: what says which there are, and what
the engine calls for a container that is given some, with their ids in ``NVIDIA_VISIBLE_DEVICES``.

Does not live here: that a program can use what it is given; that takes a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from doubles.dockers import Docker, private_docker
from doubles.realnode import RealNode, real_node
from e2e.users import User

IMAGE = "quorate-test-gpus"
IDS = ("GPU-6f0f3f6b-94ba-5d62-8a5c-4d8c2a3b9e01", "GPU-0a1b2c3d-94ba-5d62-8a5c-4d8c2a3b9e02")
ANSWER = "".join(f"{gpu}, NVIDIA L4, 23034\n" for gpu in IDS)
# What NVIDIA's hook reads of the container that its standard input names: the variable, each time that it is there.
HOOK = """[ ! -e {0}/broken ] || exit 1
bundle=$(sed 's/.*"bundle": *"\\([^"]*\\)".*/\\1/')
grep -o 'NVIDIA_VISIBLE_DEVICES=[^"]*' "$bundle/config.json" >{0}/given"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the programs, and what was given last; while there is a file ``broken``, no GPU can be given."""
    folder = tmp_path_factory.mktemp("nvidia")
    for name, script in (
        ("nvidia-smi", f"printf '%s' '{ANSWER}'"),
        ("nvidia-container-runtime-hook", HOOK.format(folder)),
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


def given(user: User, node: RealNode, machine: Path, *flags: str) -> set[str] | None:
    """What NVIDIA's hook is told to give a job; None: it is not called."""
    (machine / "given").unlink(missing_ok=True)
    ran = user.asks(node, "docker", "run", IMAGE, *flags, "--", "true")
    assert ran.returncode == 0, ran.stderr
    return set((machine / "given").read_text().split()) if (machine / "given").exists() else None


def visible(*ids: str) -> list[set[str]]:
    """These, in any order."""
    return [{f"NVIDIA_VISIBLE_DEVICES={','.join(order)}"} for order in permutations(ids)]


def requested(engine: Docker) -> list[list[str]]:
    """The ids that each container was created with."""
    with engine.client() as client:
        found = [client.inspect_container(name)["HostConfig"]["DeviceRequests"] for name in engine.containers()]
    return [one["DeviceIDs"] for asked in found for one in asked]


def test_each_job_is_given_a_gpu_of_its_own_and_both_come_back(
    user: User, machine: Path, engine: Docker, node: RealNode
) -> None:
    asked = ("docker", "run", IMAGE, "--gpu", "1", "--id-only", "--", "sleep 1000")
    jobs = [user.asks(node, *asked).stdout.strip() for _ in IDS]
    try:
        engine.until_running(len(IDS))
        assert sorted(requested(engine)) == sorted([gpu] for gpu in IDS)
    finally:
        for job in jobs:
            user.asks(node, "job", "cancel", job)
    assert given(user, node, machine, "--gpu", "2") in visible(*IDS)


def test_a_job_is_given_no_more_than_it_asked_for_by_naming_it(user: User, machine: Path, node: RealNode) -> None:
    all_of_them = ("-e", "NVIDIA_VISIBLE_DEVICES=all")
    assert given(user, node, machine, *all_of_them) is None
    assert given(user, node, machine, "--gpu", "1", *all_of_them) in [*visible(IDS[0]), *visible(IDS[1])]


def test_gpus_that_cannot_be_given_end_the_run_without_a_result_and_come_back(
    user: User, machine: Path, engine: Docker, node: RealNode
) -> None:
    (machine / "broken").touch()
    try:
        ran = user.asks(node, "docker", "run", IMAGE, "--gpu", "2", "--", "true")
    finally:
        (machine / "broken").unlink()
    assert ran.returncode == 1, ran.stderr
    assert "execution failed internal: the docker engine refused: error running hook" in " ".join(ran.stderr.split())
    engine.until_empty()
    assert given(user, node, machine, "--gpu", "2") in visible(*IDS)
