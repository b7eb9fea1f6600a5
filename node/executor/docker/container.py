"""What a container is given: the whole body of its creation, as the engine's API takes it. Pure.

Everything that holds a job in stands in ``_host_config``. The rest of the machine is reached by none of it: no
capability, no network and no device unless the task has them, no path but the mounts of the task, and no docker socket
among them.
Does not live here: who may ask for what (``policy``), the folders that are mounted (``outputs``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node import limits
from node.errors import ExecutionFailed
from node.executor.base import Task
from node.model import DockerEngine

OWNER, EXECUTION = "org.quorate.node", "org.quorate.execution"  # labels
NAME_PREFIX = "quorate-"
HOSTNAME = "quorate"  # The same on every node, as is all that a program can see of where it is.
HOSTS = b"127.0.0.1\tlocalhost\n::1\tlocalhost\n"

_CPU_PERIOD_US = 1_000_000  # The longest there is: starting takes less than any job's share of the first one.
_BOUNDED_BYTES = 64 * limits.MiB  # /tmp, /dev/shm and an image's volumes; they are memory of the container, too.


@dataclass(frozen=True, slots=True)
class Place:
    """What of this machine a container meets. ``user`` is ``uid:gid`` inside."""

    owner: str
    user: str
    runtime: str  # "": the engine's default
    hosts: Path


def name_of(task: Task) -> str:
    """Known before the container exists."""
    return f"{NAME_PREFIX}{task.execution}"


def body(task: Task, image: str, volumes: Sequence[str], results: Path, place: Place) -> dict[str, Any]:
    """``POST /containers/create``; ``volumes`` are the image's own. Raises ExecutionFailed where none can be made."""
    engine, limited = task.engine, task.limits
    assert isinstance(engine, DockerEngine)
    if limited.memory_bytes < limits.CONTAINER_MEMORY_MIN:
        raise ExecutionFailed(
            "memory", f"a container needs {limits.CONTAINER_MEMORY_MIN} bytes of memory to start; raise --memory"
        )
    mounts = list(_mounts(task, engine, volumes, results, place))
    return {
        "Image": image,
        "Hostname": HOSTNAME,
        "User": place.user,
        "Env": _env(engine.env, task.gpus),
        "Cmd": list(engine.args) or None,
        # An empty one is written as docker's own command line writes it.
        "Entrypoint": None if engine.entrypoint is None else list(engine.entrypoint) or [""],
        "WorkingDir": engine.workdir or "",
        "Labels": {OWNER: place.owner, EXECUTION: task.execution},
        "NetworkDisabled": engine.network == "none",
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},  # An image's own would run beside the job.
        "HostConfig": _host_config(task, engine, place, mounts),
    }


def _env(given: Mapping[str, str], gpus: Sequence[str]) -> list[str]:
    """By its variable, a job's or an image's, NVIDIA's runtime would give all GPUs where it is the engine's default."""
    named = {**given, "NVIDIA_VISIBLE_DEVICES": ",".join(gpus) or "void"}
    return [f"{name}={value}" for name, value in named.items()]


def _host_config(task: Task, engine: DockerEngine, place: Place, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    limited = task.limits
    return {
        "AutoRemove": True,
        "NetworkMode": "none" if engine.network == "none" else "default",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],  # and so the engine's default seccomp and AppArmor profiles are kept
        "ReadonlyRootfs": True,
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "Memory": limited.memory_bytes,
        "MemorySwap": limited.memory_bytes,  # of memory and swap together
        "ShmSize": _bounded(task),
        "CpuPeriod": _CPU_PERIOD_US,
        "CpuQuota": max(1_000, round(limited.cores * _CPU_PERIOD_US)),
        "PidsLimit": limits.CONTAINER_PIDS,
        "Ulimits": [
            _ulimit("nofile", limits.CONTAINER_FILES_OPEN),
            _ulimit("core", 0),
            _ulimit("fsize", limited.output_bytes + 1),  # One byte more than allowed is seen by who looks afterwards.
        ],
        "Init": True,
        "LogConfig": {"Type": "none"},  # What it prints goes to us alone, and fills no disk of the engine's.
        "Runtime": place.runtime,
        "Mounts": mounts,
        "DeviceRequests": [_gpus(task.gpus)] if task.gpus else [],
    }


def _mounts(
    task: Task, engine: DockerEngine, volumes: Sequence[str], results: Path, place: Place
) -> Iterator[dict[str, Any]]:
    if len(task.inputs) > limits.CONTAINER_MOUNTS:
        raise ExecutionFailed(
            "data",
            f"the run sees {len(task.inputs)} files and folders apart, a container takes {limits.CONTAINER_MOUNTS};"
            " put fewer into each shard",
        )
    taken = {path for _, path in task.outputs} | {mount.guest for mount in task.inputs}
    for path in sorted({"/tmp", *volumes} - taken):  # noqa: S108  (its own)
        yield _tmpfs(path, _bounded(task))
    for path in sorted({mount.within for mount in task.inputs if mount.within is not None} - taken):
        yield _tmpfs(path, limits.MiB)  # Hides what the image has there.
    for mount in task.inputs:
        yield _bind(mount.host, mount.guest, is_input=True)
    for name, path in task.outputs:
        yield _bind(results / name, path)
    if engine.network == "none" and "/etc/hosts" not in taken:
        yield _bind(place.hosts, "/etc/hosts", is_input=True)


def _bounded(task: Task) -> int:
    return min(_BOUNDED_BYTES, task.limits.memory_bytes // 2)


def _tmpfs(path: str, size: int) -> dict[str, Any]:
    return {"Type": "tmpfs", "Target": path, "TmpfsOptions": {"SizeBytes": size, "Mode": 0o1777}}


def _bind(host: Path, guest: str, *, is_input: bool = False) -> dict[str, Any]:
    """Of an input what is mounted within it is not shown: that would not be read-only with it."""
    shown: Mapping[str, Any] = {"Propagation": "rprivate", "NonRecursive": is_input}
    return {"Type": "bind", "Source": str(host), "Target": guest, "ReadOnly": is_input, "BindOptions": shown}


def _ulimit(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}


def _gpus(ids: Sequence[str]) -> dict[str, Any]:
    return {"Driver": "", "Count": 0, "DeviceIDs": list(ids), "Capabilities": [["gpu"]], "Options": {}}
