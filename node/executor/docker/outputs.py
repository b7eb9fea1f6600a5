"""The folder of a run's results: made so that the container's user can write to it, watched, and opened up at the end.

Outputs are folders of this disk, bound into the container. No quota of the kernel is there for them everywhere (project
quotas need XFS or a mount option, a loop mount needs root and a tenth of a second, a tmpfs is gone when the container
ends), so the kernel bounds each file (RLIMIT_FSIZE) and a walk bounds them together. What a run can write above its
limit is what it can write between two looks: CONTAINERS_LOOK_S, or ten times what a look takes; less than the disk has
left, because a look also ends the run when the node's reserve is reached.
Does not live here: the walk (``measure``), who looks when (``executor``).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from node.errors import DriverUnavailable, ExecutionFailed, NoRoom
from node.executor.base import Task
from node.executor.measure import Allowance, excess
from node.model import STDERR, STDOUT
from node.room import need_room

NOBODY = 65534  # Who has no rights on any usual system.


def container_user(*, as_root: bool, is_rootless: bool) -> str:
    """``uid:gid`` for a container: a user of this machine without rights; the node's own where it is not root.

    Of a rootless engine that is 0, which is nobody's but the node's there.
    """
    if is_rootless or as_root:
        return "0:0"
    if os.geteuid() == 0:
        return f"{NOBODY}:{NOBODY}"
    return f"{os.geteuid()}:{os.getegid()}"


def prepare(task: Task, results: Path) -> None:
    """Empty streams and outputs that the container's user can write to. Blocking."""
    results.mkdir(mode=0o700, exist_ok=True)
    for name in (STDOUT, STDERR):
        (results / name).touch(mode=0o600)
    for name, _ in task.outputs:
        (results / name).mkdir()
        (results / name).chmod(0o777)  # Nobody else comes by: the folder above is the node's alone.


def check_room(results: Path) -> None:
    """Whether the disk keeps its reserve. Blocking. Raises DriverUnavailable."""
    try:
        need_room(results)
    except NoRoom as error:
        raise DriverUnavailable(f"the run was ended: {error}") from error


def look(task: Task, results: Path, container: str) -> None:
    """During the run, also at files whose names are gone. Blocking. Raises ExecutionFailed for what is too much."""
    _check(task, results, hidden_bytes=_nameless_bytes(results, container))


def settle(task: Task, results: Path) -> None:
    """After the run: what it left can be read and removed by the node. Blocking. Raises ExecutionFailed."""
    if os.geteuid() != 0:
        _open_up(os.fsencode(results))
    _check(task, results)


def _check(task: Task, results: Path, hidden_bytes: int = 0) -> None:
    allowance = Allowance(task.limits.output_bytes, task.limits.output_files)
    try:
        found = excess(os.fsencode(results), len(task.outputs) + 2, allowance, hidden_bytes=hidden_bytes)
    except OSError as error:
        found = f"made folders that cannot be looked into ({error.strerror}); leave them readable"
    if found is not None:
        raise ExecutionFailed("output", found)


def _nameless_bytes(results: Path, container: str) -> int:
    """Sizes of files of this disk that the container has open and whose names are gone; they fill it too.

    A node that may not see that of its container's processes sees none.
    """
    disk, found = results.stat().st_dev, dict[int, int]()
    for process in _processes_of(container):
        with contextlib.suppress(OSError):  # It has ended meanwhile.
            for number in os.listdir(f"/proc/{process}/fd"):
                found.update(_nameless(f"/proc/{process}/fd/{number}", disk))
    return sum(found.values())


def _nameless(opened: str, disk: int) -> dict[int, int]:
    """The size of an open file by its inode, if it is a file of that disk without a name."""
    with contextlib.suppress(OSError):
        file = os.stat(opened)
        if file.st_dev == disk and file.st_nlink == 0 and stat.S_ISREG(file.st_mode):
            return {file.st_ino: file.st_size}
    return {}


def _processes_of(container: str) -> Iterator[str]:
    """By their cgroups, whose paths have the container's id in them, whoever manages them."""
    for process in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if container in Path("/proc", process, "cgroup").read_text():
                yield process


def _open_up(top: bytes) -> None:
    """What the workload took from itself is given back to its user, who is the node's."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
            with os.scandir(folder) as entries:
                waiting += [entry.path for entry in entries if _is_folder_once_open(entry)]


def _is_folder_once_open(entry: os.DirEntry[bytes]) -> bool:
    if entry.is_file(follow_symlinks=False):
        os.chmod(entry.path, 0o600)
    return entry.is_dir(follow_symlinks=False)
