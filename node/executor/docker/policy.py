"""What the operator lets a container have, and which runtime it gets: refused where it is not clear. Pure.

Does not live here: what every container is denied (``container``), which images may be pulled (``images``).
"""

from __future__ import annotations

from collections.abc import Collection

from node.config import DockerConfig
from node.errors import DriverUnavailable
from node.executor.docker.references import pinned_name
from node.model import DockerEngine

PLAIN = "runc"
_NAMES = {"io.containerd.runc.v2": PLAIN}  # Docker's other name for it.
_IDENTITY_CHARS = 128
_SANDBOXES = ("runsc", "kata")  # A kernel of their own in front of the host's: gVisor, Kata Containers.


def refusal(engine: DockerEngine, config: DockerConfig) -> str | None:
    """Why it is not run here, whatever the engine has; None when it may be."""
    try:
        pinned_name(engine)
    except ValueError as error:
        return str(error)
    if engine.network != "none" and not config.allow_network:
        return "containers have no network here (--docker-allow-network)"
    if engine.root and not config.allow_root:
        return "containers do not run as root here (--docker-allow-root)"
    named = engine.runtime
    if named and config.runtime and named != config.runtime:
        return f"containers run with {config.runtime} here, not with {named} (--docker-runtime)"
    if named and named not in (PLAIN, config.runtime) and not is_sandbox(named, config):
        return f"the runtime {named} is not for jobs here (--docker-runtime, --docker-sandbox)"
    if named and engine.isolation == "sandbox" and not is_sandbox(named, config):
        return f"it wants a sandbox, and {named} is none (--docker-sandbox)"
    return None


def identity(engine: DockerEngine, machine: str, runtime: str) -> str:
    """What results can be compared by: a digest may name an image for each kind of machine, and a program sees of its
    runtime, not least of a kernel that is the runtime's own (uname, /proc). At most 128 characters.
    """
    return f"docker {engine.digest or engine.image_id} {machine} {_NAMES.get(runtime, runtime)}"[:_IDENTITY_CHARS]


def is_sandbox(runtime: str, config: DockerConfig) -> bool:
    """Whether a job that asks for a sandbox may be given this runtime."""
    return runtime.startswith(_SANDBOXES) or runtime in config.sandboxes


def runtime_of(engine: DockerEngine, config: DockerConfig, runtimes: Collection[str]) -> str:
    """What runs it, among those that the engine has; "" leaves it to the engine. Raises DriverUnavailable."""
    wanted = engine.runtime or config.runtime
    if engine.isolation == "sandbox" and not wanted:
        wanted = next((name for name in sorted(runtimes) if is_sandbox(name, config)), "")
    if engine.isolation == "sandbox" and not is_sandbox(wanted, config):
        raise DriverUnavailable("it wants a sandbox, and this node has no runtime that is one (gVisor's runsc)")
    if wanted and wanted not in runtimes:
        raise DriverUnavailable(f"the docker engine here has no runtime {wanted}")
    return wanted
