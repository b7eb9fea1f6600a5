"""What a node says that jobs may have of its containers: never what it would then refuse."""

from __future__ import annotations

import pytest

from node.config import DockerConfig
from node.executor.docker.offered import Offered, missing, offered
from node.executor.docker.policy import refusal
from node.model import DockerEngine

HAS = ("runsc", "runc", "nvidia", "gvisor-of-ours")


@pytest.mark.parametrize(
    ("config", "runtimes", "sandboxes"),
    [
        (DockerConfig(), ("runc", "runsc"), ("runsc",)),
        (DockerConfig(sandboxes=("gvisor-of-ours",)), ("gvisor-of-ours", "runc", "runsc"), ("gvisor-of-ours", "runsc")),
        (DockerConfig(runtime="nvidia"), ("nvidia",), ()),
        (DockerConfig(runtime="runsc"), ("runsc",), ("runsc",)),
    ],
)
def test_runtimes_are_offered_exactly_where_a_job_may_name_them(
    config: DockerConfig, runtimes: tuple[str, ...], sandboxes: tuple[str, ...]
) -> None:
    found = offered(config, HAS)
    assert (found.runtimes, found.sandboxes) == (runtimes, sandboxes)
    wanted = {name: DockerEngine(image="a", digest="sha256:" + "ab" * 32, runtime=name) for name in HAS}
    assert {name for name, engine in wanted.items() if refusal(engine, config) is None} == set(runtimes)


def test_network_and_root_are_offered_as_the_operator_allows_them() -> None:
    assert offered(DockerConfig(allow_network=True), ()) == Offered(network=True, root=False, runtimes=(), sandboxes=())
    assert offered(DockerConfig(allow_root=True), ()) == Offered(network=False, root=True, runtimes=(), sandboxes=())


def test_a_runtime_of_every_container_that_the_engine_does_not_have_is_named() -> None:
    assert "no runtime bogus (--docker-runtime), only gvisor-of-ours, nvidia" in missing(
        DockerConfig(runtime="bogus"), HAS
    )
    assert missing(DockerConfig(runtime="runsc"), HAS) == ""
    assert missing(DockerConfig(), ()) == ""
