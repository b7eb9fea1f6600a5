"""What the engine says reaches others without the paths of this machine, and with those that the job itself wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.executor.base import Mount, RunLimits, Task
from node.executor.docker.words import cause, without_paths
from node.model import DockerEngine, ExecutionId

TASK = Task(
    execution=ExecutionId("e" * 32),
    tenant="a/b",
    engine=DockerEngine(image="a", args=("/nope",), workdir="/work"),
    module=None,
    inputs=(Mount(Path("/host/in"), "/in"),),
    outputs=(("x", "/proc/x"),),
    limits=RunLimits(wall_s=1, cpu_s=1, memory_bytes=1, output_bytes=1, output_files=1),
)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", "write …: no space left on device"),
        ('open "/data/overlay2/a/merged": denied', 'open "…": denied'),
        ("(via /proc/self/fd/6), flags", "(via …), flags"),
        ("mount /results/x:/etc/passwd failed", "mount … failed"),
        ("at unix:///run/user/1/docker.sock.", "at …."),
        ("/a, then /b", "…, then …"),
        ("error:/root/secret", "error:…"),
        ('Get "https://registry:5000/v2/": refused', 'Get "https://registry:5000/v2/": refused'),
        ("registry/name:tag does not exist, and/or is private", "registry/name:tag does not exist, and/or is private"),
    ],
)
def test_paths_are_left_out_and_names_and_addresses_are_not(said: str, shown: str) -> None:
    assert without_paths(said) == shown


def test_what_a_task_cannot_have_is_said_in_its_own_paths() -> None:
    said = (
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process:"
        ' error during container init: error mounting "/scratch/e/x" to rootfs at "/proc/x":'
        ' "/var/lib/docker/overlay2/d7/merged/proc/x" cannot be mounted because it is inside /proc: unknown'
    )
    assert cause(said, TASK) == (
        'error mounting "…" to rootfs at "/proc/x": "…" cannot be mounted because it is inside /proc: unknown'
    )


def test_the_program_that_an_image_names_is_shown() -> None:
    said = 'exec: "/bin/missing": stat /bin/missing: no such file or directory'
    assert cause(said, TASK) == said
