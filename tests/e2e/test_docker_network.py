"""The network of containers, on an engine that has one: for jobs that ask for it, on nodes whose operator allows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.bridges import Teller, networked_docker, telling
from doubles.dockers import Docker
from doubles.realnode import real_node
from e2e.users import User

IMAGE = "quorate-test-network"
FULL = ("--network", "full")


@pytest.fixture(scope="module")
def networked() -> Iterator[Docker]:
    with networked_docker() as engine:
        engine.image('ENTRYPOINT ["/bin/sh", "-c"]', name=IMAGE)
        yield engine


@pytest.fixture
def teller(networked: Docker) -> Iterator[Teller]:
    with telling(networked, b"told\n") as server:
        yield server


def asking(teller: Teller) -> tuple[str, ...]:
    """The program of a job that prints what it is told."""
    return ("--", f"nc -w 10 {teller.address} {teller.port} 2>&1")


def test_a_job_that_asks_for_the_network_has_it_and_one_that_does_not_has_none(
    user: User, networked: Docker, teller: Teller, tmp_path: Path
) -> None:
    with real_node(tmp_path / "node", "--docker-host", networked.host, "--docker-allow-network") as node:

        def printed(*flags: str) -> str:
            target = user.home / "results"
            kept = ("--download", "--force", "--output-dir", str(target))
            ran = user.asks(node, "docker", "run", IMAGE, *flags, *kept, *asking(teller))
            assert ran.returncode == 0, ran.stderr
            return (target / "stdout").read_text()

        assert printed(*FULL) == "told\n"
        assert "unreachable" in printed()
        assert len(teller.heard) == 1


def test_a_node_whose_operator_did_not_allow_it_declines_and_says_so(
    user: User, networked: Docker, teller: Teller, tmp_path: Path
) -> None:
    with real_node(tmp_path / "node", "--docker-host", networked.host) as node:
        ran = user.asks(node, "docker", "run", IMAGE, *FULL, "--bid-timeout", "3s", *asking(teller))
        assert ran.returncode == 1, ran.stderr
        assert "containers have no network here (--docker-allow-network)" in " ".join(ran.stderr.split())
        assert teller.heard == []
