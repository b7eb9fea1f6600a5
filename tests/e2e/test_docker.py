"""Containers as a user meets them: five real nodes verify one, and what a node without docker says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from doubles.dockers import Docker, pushed, registry
from doubles.realnode import RealNode, real_node
from e2e.users import User

VERIFIED = ("--verifier", "deterministic", "-c", "5", "--confidence", "4")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry(tmp_path_factory.mktemp("registry") / "registry") as address:
        yield address


@pytest.fixture(scope="module")
def five(docker: Docker, shop: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """The first of five that share an engine."""
    folder = tmp_path_factory.mktemp("nodes")
    flags = ("--docker-host", docker.host, "--docker-registry", shop)
    with ExitStack() as running:
        first = running.enter_context(real_node(folder / "0", *flags))
        for number in range(1, 5):
            running.enter_context(real_node(folder / str(number), *flags, "--peer", first.address))
        yield first


def test_five_nodes_verify_a_job_with_a_local_image(user: User, docker: Docker, five: RealNode) -> None:
    image = docker.image('ENTRYPOINT ["/bin/sh", "-c"]', name="quorate-test-local")
    (user.home / "numbers").write_text("1\n2\n3\n")
    script = "wc -l </inputs/numbers; pwd; echo $WHO >/outputs/who; exit 3"
    flags = ("-w", "/tmp", "-e", "WHO=me", "--input-file", "numbers")
    target = user.home / "results"
    ran = user.asks(
        five,
        "docker",
        "run",
        "quorate-test-local",
        *flags,
        *VERIFIED,
        "--download",
        "--output-dir",
        str(target),
        "--",
        script,
    )
    assert ran.returncode == 0, ran.stderr
    assert "5 of 5" in ran.stderr
    assert "clock" in ran.stderr, "what a container can see is said where results are compared"
    assert (target / "stdout").read_text() == "3\n/tmp\n"
    assert (target / "outputs/who").read_text() == "me\n"
    assert (target / "exitCode").read_text() == "3"
    described = user.asks(five, "job", "describe", ran.stdout.strip()).stdout
    assert "quorate-test-local" in described
    assert image in described


def test_an_image_of_a_registry_is_pinned_once_and_pulled_by_who_runs_it(
    user: User, docker: Docker, five: RealNode, shop: str
) -> None:
    name = f"{shop}/tools/box"
    docker.image('CMD ["/bin/echo", "pulled"]', name=name)
    digest = pushed(docker, name)
    with docker.client() as client:
        client.remove_image(name, force=True)
    ran = user.asks(five, "docker", "run", name, *VERIFIED, "--json")
    assert ran.returncode == 0, ran.stderr
    job = json.loads(ran.stdout)
    assert job["spec"]["engine"]["digest"] == digest
    assert f"pulling {name}@{digest}" in re.sub(r"\s+", " ", ran.stderr)


def test_what_the_operator_does_not_allow_is_declined_with_the_reason(
    user: User, docker: Docker, five: RealNode
) -> None:
    docker.image(name="quorate-test-local")
    for flags, words in (
        (("--network", "full"), "--docker-allow-network"),
        (("--root",), "--docker-allow-root"),
        (("--runtime", "nvidia"), "--docker-runtime"),
    ):
        ran = user.asks(five, "docker", "run", "quorate-test-local", *flags, "--bid-timeout", "3s", "--", "true")
        assert ran.returncode == 1, ran.stderr
        assert words in ran.stderr.replace("\n", " ")


def test_a_node_without_an_engine_says_so_and_goes_on(user: User, tmp_path: Path) -> None:
    with real_node(tmp_path / "node", "--docker-host", f"unix://{tmp_path}/nothing") as node:
        assert node.ready["engines"] == ["wasm"]
        assert sum("docker_lost" in line for line in node.said) == 1
        with node.client() as client:
            assert client.get("/v1/node").json()["engines"] == ["wasm"]
        ran = user.asks(node, "docker", "run", "busybox")
        assert ran.returncode == 1, ran.stderr
        assert "digest" in ran.stderr
        (user.home / "file.txt").write_text("x")
        assert user.asks(node, "wasm", "run", str(user.cat), "--input-file", "file.txt").returncode == 0


def test_a_node_says_what_jobs_may_have_of_its_containers(docker: Docker, tmp_path: Path) -> None:
    with real_node(tmp_path / "node", "--docker-host", docker.host, "--docker-allow-network") as node:
        with node.client() as client:
            told = client.get("/v1/node").json()["containers"]
        assert (told["network"], told["root"]) == (True, False)
        assert "runc" in told["runtimes"]
        assert node.ready["containers"] == told


def test_a_runtime_that_the_engine_does_not_have_is_said_at_the_start(docker: Docker, tmp_path: Path) -> None:
    with real_node(tmp_path / "node", "--docker-host", docker.host, "--docker-runtime", "bogus") as node:
        assert node.ready["engines"] == ["wasm"]
        assert "containers" not in node.ready
        assert sum("docker_runtime_missing" in line for line in node.said) == 1
        with node.client() as client:
            assert client.get("/v1/node").json()["containers"] is None


def test_a_node_that_is_killed_leaves_containers_until_it_is_back(user: User, docker: Docker, tmp_path: Path) -> None:
    docker.image(name="quorate-test-local")
    with real_node(tmp_path / "node", "--docker-host", docker.host) as node:
        ran = user.asks(node, "docker", "run", "quorate-test-local", "--id-only", "--", "sleep", "1000")
        assert ran.returncode == 0, ran.stderr
        docker.until_running()
        node.kill()
        assert docker.running() == 1
    with real_node(tmp_path / "node", "--docker-host", docker.host) as node:
        assert node.ready["engines"] == ["wasm", "docker"]
        assert docker.running() == 0
