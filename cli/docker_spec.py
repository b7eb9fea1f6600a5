"""From the flags of ``docker run`` to a job spec."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from cli.errors import UsageProblem
from cli.job_spec import job_spec, name_of
from node.model import JobSpec

if TYPE_CHECKING:
    from cli.docker import Container
    from cli.submission import Deal, Limits


def spec_of(container: Container, deal: Deal, limited: Limits) -> JobSpec:
    """The complete spec, its image as it was named: the node pins it. Raises UsageProblem that names the flag."""
    engine: dict[str, Any] = {
        "type": "docker",
        "image": container.image,
        "args": container.args or [],
        "network": container.network,
        "isolation": container.isolation,
        "runtime": container.runtime,
        "root": container.root,
    }
    if container.entrypoint is not None:
        engine["entrypoint"] = _words(container.entrypoint)
    if container.workdir is not None:
        engine["workdir"] = container.workdir
    name = container.image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return job_spec(container, deal, limited, engine, name_of(name), container.gpu)


def warning(spec: JobSpec) -> str:
    """What a person should know before results of it are compared; "" where there is nothing to say."""
    if spec.verifier == "noop":
        return ""
    text = "a container sees the clock, randomness and the machine: results agree only where the program ignores them"
    network = getattr(spec.engine, "network", "none")
    return f"{text}; with the network they also depend on what answers there" if network != "none" else text


def _words(entrypoint: str) -> list[str]:
    """As a shell would split it; none at all: the image's own is left out."""
    try:
        return shlex.split(entrypoint)
    except ValueError as error:
        raise UsageProblem(f"--entrypoint: got {entrypoint!r} ({error})", "quote it as a shell takes it") from error
