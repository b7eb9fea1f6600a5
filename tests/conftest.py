"""What all rings share: a run in which nothing ran has failed; what a missing tool means; real daemons.

Does not live here: fixtures of one ring (its own conftest), doubles (``tests/doubles``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.dockers import Docker, private_docker, the_docker
from doubles.kubo import Kubo, kubo_daemon, kubo_program
from doubles.objectservers import ObjectServer, azure_program, azure_server, s3_program, s3_server
from needs import Need


@pytest.fixture
def need() -> Need:
    return Need()


@pytest.fixture(scope="session")
def ipfs_program() -> str:
    """Kubo's ``ipfs``; built the first time."""
    return kubo_program()


@pytest.fixture
def kubo(ipfs_program: str, tmp_path: Path) -> Iterator[Kubo]:
    """A real daemon of this test alone: it may be hurt. It takes about two seconds."""
    with kubo_daemon(ipfs_program, tmp_path / "kubo") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def quiet_kubo(ipfs_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    """A real daemon that the tests of one module share, and leave running."""
    with kubo_daemon(ipfs_program, tmp_path_factory.mktemp("kubo")) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """A real S3, which tests share by making buckets of their own; its program is built the first time."""
    with s3_server(s3_program(), tmp_path_factory.mktemp("s3") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """A real Azure Blob, which tests share by making containers of their own; its program is fetched the first time."""
    with azure_server(azure_program(), tmp_path_factory.mktemp("azure") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A real docker engine that tests share, by making containers of their own."""
    yield from the_docker()


@pytest.fixture
def own_docker() -> Iterator[Docker]:
    """A real docker engine of this test alone: it may be hurt. It takes about two seconds."""
    with private_docker() as engine:
        yield engine


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """All skipped, or nothing there, is not a success."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.OK and reporter is not None and not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
