"""The flags of ``serve`` about containers, and the configuration that they ask for.

Does not live here: submitting jobs with an image (``cli.docker``), what a container is denied
(``node.executor.docker``).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.capacity import size_or
from cli.errors import UsageProblem
from node.config import REGISTRIES, DockerConfig

CONTAINERS = "Containers"
MACHINES = "unix:///var/run/docker.sock"

_REGISTRY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """Which docker engine, and what jobs may have of it."""

    docker_host: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help=f"The docker engine of this machine; by default DOCKER_HOST, else {MACHINES}. Empty: none.",
            rich_help_panel=CONTAINERS,
        ),
    ] = None
    docker_runtime: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The engine's runtime for every container, e.g. runsc; default: the engine's, or the one a job names.",
            rich_help_panel=CONTAINERS,
        ),
    ] = ""
    docker_sandbox: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A runtime that is a sandbox, besides runsc and kata. Repeatable.",
            rich_help_panel=CONTAINERS,
        ),
    ] = None
    docker_allow_network: Annotated[
        bool,
        typer.Option(
            "--docker-allow-network",
            help="Jobs may ask for the network: yours, as far as the engine's default network leads.",
            rich_help_panel=CONTAINERS,
        ),
    ] = False
    docker_allow_root: Annotated[
        bool,
        typer.Option(
            "--docker-allow-root", help="Jobs may ask to be root in their container.", rich_help_panel=CONTAINERS
        ),
    ] = False
    docker_registry: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="A registry that images may be pulled from, with the credentials of this user; *: any. Repeatable."
            f" Naming one replaces the default: {', '.join(REGISTRIES)}.",
            rich_help_panel=CONTAINERS,
        ),
    ] = None
    docker_images: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="Pulled images that it keeps; default: a quarter of the free disk.",
            rich_help_panel=CONTAINERS,
        ),
    ] = ""


def docker_of(wanted: Containers, images_bytes: int) -> DockerConfig:
    """What was asked for; ``images_bytes`` where nothing was said of images. Raises UsageProblem."""
    if wanted.docker_allow_root and os.geteuid() != 0:
        raise UsageProblem("--docker-allow-root takes a node that is root", "what root leaves could not be removed")
    return DockerConfig(
        socket=_socket(wanted.docker_host),
        allow_network=wanted.docker_allow_network,
        allow_root=wanted.docker_allow_root,
        runtime=wanted.docker_runtime,
        sandboxes=tuple(wanted.docker_sandbox or ()),
        registries=tuple(map(_registry, wanted.docker_registry or REGISTRIES)),
        images_bytes=size_or(wanted.docker_images, "--docker-images", images_bytes),
    )


def _registry(name: str) -> str:
    if name != "*" and not _REGISTRY.fullmatch(name):
        raise UsageProblem(
            f"--docker-registry: got {name!r}",
            "write it as it stands in an image's name: HOST or HOST:PORT, without https:// and path; or *",
        )
    return name


def _socket(host: str | None) -> Path | None:
    """Of an engine of this machine, because it mounts folders of this machine; another's in DOCKER_HOST is none."""
    url = os.environ.get("DOCKER_HOST") or MACHINES if host is None else host
    if url.startswith("unix:///"):
        return Path(url.removeprefix("unix://"))
    if host:
        raise UsageProblem(
            f"--docker-host: got {host!r}", f"write it as {MACHINES}: the engine has to be on this machine"
        )
    if host is None:
        output.say(f"note: DOCKER_HOST={url} is no engine of this machine: containers are off (--docker-host)", "dim")
    return None
