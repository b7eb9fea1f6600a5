"""What jobs may have of the containers of this node, as an engine and its operator have it together. Pure.

Does not live here: whether one job may have what it asks for (``policy``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from node.config import DockerConfig
from node.executor.docker.policy import PLAIN, is_sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """``runtimes``: those that a job may name, sorted; ``sandboxes``: those of them that are one."""

    network: bool
    root: bool
    runtimes: tuple[str, ...]
    sandboxes: tuple[str, ...]


def offered(config: DockerConfig, runtimes: Collection[str]) -> Offered:
    """``runtimes``: all that the engine has."""
    named = tuple(name for name in sorted(runtimes) if _may_be_named(name, config))
    return Offered(
        network=config.allow_network,
        root=config.allow_root,
        runtimes=named,
        sandboxes=tuple(name for name in named if is_sandbox(name, config)),
    )


def missing(config: DockerConfig, runtimes: Collection[str]) -> str:
    """Why no container at all can be run by an engine with these runtimes; "" where some can."""
    if not config.runtime or config.runtime in runtimes:
        return ""
    return f"the docker engine has no runtime {config.runtime} (--docker-runtime), only {', '.join(sorted(runtimes))}"


def _may_be_named(runtime: str, config: DockerConfig) -> bool:
    if config.runtime:
        return runtime == config.runtime
    return runtime == PLAIN or is_sandbox(runtime, config)
