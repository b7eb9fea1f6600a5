"""From the flags of ``docker run`` and of ``serve`` to what they mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_type_hints

import pytest

from cli.docker import Container
from cli.docker_host import Containers
from cli.docker_spec import spec_of, warning
from cli.errors import UsageProblem
from cli.serve import config
from cli.submission import Deal, Limits
from node.config import REGISTRIES
from node.model import DockerEngine, Output


def container(image: str = "ghcr.io/some/tool:1", **given: object) -> Container:
    return Container(image=image, **given)  # type: ignore[arg-type]


def test_an_image_alone_is_a_job() -> None:
    spec = spec_of(container(), Deal(), Limits())
    assert spec.engine == DockerEngine(image="ghcr.io/some/tool:1")
    assert (spec.name, spec.outputs, spec.resources.gpus) == ("tool", (Output(name="outputs", path="/outputs"),), 0)


def test_every_flag_reaches_its_field() -> None:
    wanted = container(
        args=["-n", "5"],
        entrypoint="/bin/sh -c 'a b'",
        workdir="/work",
        network="full",
        isolation="sandbox",
        runtime="runsc",
        root=True,
        gpu=2,
        env=["K=V"],
        name="mine",
    )
    spec = spec_of(wanted, Deal(), Limits())
    assert spec.engine == DockerEngine(
        image="ghcr.io/some/tool:1",
        args=("-n", "5"),
        entrypoint=("/bin/sh", "-c", "a b"),
        workdir="/work",
        network="full",
        isolation="sandbox",
        runtime="runsc",
        root=True,
        env={"K": "V"},
    )
    assert (spec.name, spec.resources.gpus) == ("mine", 2)


def test_an_empty_entrypoint_is_none_and_not_the_images() -> None:
    engine = spec_of(container(entrypoint=""), Deal(), Limits()).engine
    assert isinstance(engine, DockerEngine)
    assert engine.entrypoint == ()


@pytest.mark.parametrize(
    ("wanted", "flag"),
    [
        (container("-v"), "IMAGE"),
        (container(workdir="relative"), "--workdir"),
        (container(entrypoint="'open"), "--entrypoint"),
        (container(runtime="a b"), "--runtime"),
        (container(gpu=100), "--gpu"),
    ],
)
def test_what_the_rules_refuse_names_the_flag(wanted: Container, flag: str) -> None:
    with pytest.raises(UsageProblem, match=flag):
        spec_of(wanted, Deal(), Limits())


def test_a_warning_where_results_are_compared_and_only_there() -> None:
    compared = Deal(verifier="deterministic", concurrency=3)
    assert warning(spec_of(container(), Deal(), Limits())) == ""
    assert "clock" in warning(spec_of(container(), compared, Limits()))
    assert "network" in warning(spec_of(container(network="full"), compared, Limits()))


@pytest.mark.parametrize(
    ("flags", "variable", "socket"),
    [
        ((), None, "/var/run/docker.sock"),
        ((), "unix:///run/user/1/docker.sock", "/run/user/1/docker.sock"),
        ((), "tcp://elsewhere:2375", None),
        (("--docker-host", ""), "unix:///a", None),
        (("--docker-host", "unix:///b"), "unix:///a", "/b"),
    ],
)
def test_the_engine_is_the_one_that_docker_itself_would_take(
    monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], variable: str | None, socket: str | None
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    if variable is not None:
        monkeypatch.setenv("DOCKER_HOST", variable)
    assert config(flags).docker.socket == (None if socket is None else Path(socket))


def test_an_engine_of_another_machine_in_the_environment_is_said_to_be_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    config(())
    assert (
        "DOCKER_HOST=tcp://elsewhere:2375 is no engine of this machine: containers are off" in capsys.readouterr().err
    )
    config(("--docker-host", ""))
    assert capsys.readouterr().err == ""


def test_an_engine_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageProblem, match="--docker-host"):
        config(["--docker-host", "tcp://elsewhere:2375"])


def test_flags_of_serve_become_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(
        [
            *("--docker-runtime", "runsc", "--docker-sandbox", "mine", "--docker-allow-network"),
            *("--docker-registry", "a:1", "--docker-registry", "b", "--docker-images", "5GB"),
        ]
    ).docker
    assert (made.runtime, made.sandboxes, made.allow_network, made.allow_root) == ("runsc", ("mine",), True, False)
    assert (made.registries, made.images_bytes) == (("a:1", "b"), 5_000_000_000)
    assert config([]).docker.registries == REGISTRIES
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageProblem, match="--docker-allow-root"):
        config(["--docker-allow-root"])


@pytest.mark.parametrize("name", ["https://a.example", "a.example/team", "a b", "a:x", ""])
def test_what_can_be_no_registry_of_an_images_name_is_refused(name: str) -> None:
    assert config(["--docker-registry", "*", "--docker-registry", "localhost:5000"]).docker.registries[0] == "*"
    with pytest.raises(UsageProblem, match="--docker-registry"):
        config(["--docker-registry", name])


def test_the_registries_by_default_are_named_where_one_reads_of_the_flag() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    row = next(line for line in readme.splitlines() if line.startswith("| `--docker-registry"))
    help_of_it = get_type_hints(Containers, include_extras=True)["docker_registry"].__metadata__[0].help
    for registry in REGISTRIES:
        assert f"`{registry}`" in row
        assert registry in help_of_it
