"""What an operator lets containers have, and which runtime they get."""

from __future__ import annotations

from typing import Any

import pytest

from node.config import DockerConfig
from node.errors import DriverUnavailable
from node.executor.docker.policy import identity, refusal, runtime_of
from node.model import DockerEngine

DIGEST = "sha256:" + "ab" * 32


def engine(**given: Any) -> DockerEngine:
    return DockerEngine(image="a", **{"digest": DIGEST, **given})


@pytest.mark.parametrize(
    ("wanted", "config", "words"),
    [
        (engine(digest=None), DockerConfig(), "not pinned"),
        (engine(network="full"), DockerConfig(), "--docker-allow-network"),
        (engine(root=True), DockerConfig(), "--docker-allow-root"),
        (engine(runtime="nvidia"), DockerConfig(), "--docker-runtime"),
        (engine(runtime="runc"), DockerConfig(runtime="runsc"), "runsc here"),
        (engine(runtime="runc", isolation="sandbox"), DockerConfig(), "none"),
    ],
)
def test_what_is_not_allowed_is_refused_and_says_how_it_would_be(
    wanted: DockerEngine, config: DockerConfig, words: str
) -> None:
    assert words in str(refusal(wanted, config))


@pytest.mark.parametrize(
    ("wanted", "config"),
    [
        (engine(), DockerConfig()),
        (engine(network="full"), DockerConfig(allow_network=True)),
        (engine(root=True), DockerConfig(allow_root=True)),
        (engine(runtime="runc"), DockerConfig()),
        (engine(runtime="runsc", isolation="sandbox"), DockerConfig()),
        (engine(runtime="kata-qemu", isolation="sandbox"), DockerConfig()),
        (engine(runtime="mine", isolation="sandbox"), DockerConfig(sandboxes=("mine",))),
        (engine(runtime="mine"), DockerConfig(runtime="mine")),
    ],
)
def test_what_is_allowed_is_not(wanted: DockerEngine, config: DockerConfig) -> None:
    assert refusal(wanted, config) is None


@pytest.mark.parametrize(
    ("wanted", "config", "runtimes", "chosen"),
    [
        (engine(), DockerConfig(), {"runc"}, ""),
        (engine(), DockerConfig(runtime="runsc"), {"runc", "runsc"}, "runsc"),
        (engine(runtime="runc"), DockerConfig(), {"runc"}, "runc"),
        (engine(isolation="sandbox"), DockerConfig(), {"runc", "runsc", "kata"}, "kata"),
        (engine(isolation="sandbox", runtime="runsc"), DockerConfig(), {"runc", "runsc", "kata"}, "runsc"),
        (engine(isolation="sandbox"), DockerConfig(sandboxes=("mine",)), {"runc", "mine"}, "mine"),
    ],
)
def test_the_runtime_is_the_one_that_was_asked_for(
    wanted: DockerEngine, config: DockerConfig, runtimes: set[str], chosen: str
) -> None:
    assert runtime_of(wanted, config, runtimes) == chosen


@pytest.mark.parametrize(
    ("wanted", "config", "runtimes"),
    [
        (engine(isolation="sandbox"), DockerConfig(), {"runc"}),
        (engine(isolation="sandbox"), DockerConfig(runtime="runc"), {"runc", "runsc"}),
        (engine(isolation="sandbox", runtime="runsc"), DockerConfig(), {"runc"}),
        (engine(runtime="runsc"), DockerConfig(), {"runc"}),
        (engine(), DockerConfig(runtime="runsc"), {"runc"}),
    ],
)
def test_nothing_less_is_put_in_its_place(wanted: DockerEngine, config: DockerConfig, runtimes: set[str]) -> None:
    with pytest.raises(DriverUnavailable, match="runtime"):
        runtime_of(wanted, config, runtimes)


def test_results_are_compared_by_what_runs_on_what_machine_in_which_runtime() -> None:
    assert identity(engine(), "x86_64", "runc") == f"docker {DIGEST} x86_64 runc"
    assert identity(engine(digest=None, image_id=DIGEST), "x86_64", "runc") == f"docker {DIGEST} x86_64 runc"
    assert identity(engine(), "x86_64", "runsc") != identity(engine(), "x86_64", "runc")
    assert identity(engine(), "x86_64", "io.containerd.runc.v2") == identity(engine(), "x86_64", "runc")
    assert len(identity(engine(), "x" * 20, "y" * 200)) == 128
