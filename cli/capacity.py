"""What a node gives to jobs: the ``--limit-…`` flags of ``serve``, and the machine's share where they are not given.

Does not live here: how it is given (``node.compute.capacity``), which jobs are taken (``cli.selection``).
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from cli import quantities
from cli.errors import UsageProblem
from node import limits
from node.config import Capacity

MEMORY_SHARE = 0.8
DISK_SHARE = 0.5  # Of what is free when the node starts.
_CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")  # A container's own limit (cgroup v2).

LIMITS = "What jobs may use"

_T = TypeVar("_T", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What jobs may use; what is not given is taken from the machine."""

    total_cpu: Annotated[
        str,
        typer.Option(
            "--limit-total-cpu", metavar="CORES", help="All jobs; default: all cores.", rich_help_panel=LIMITS
        ),
    ] = ""
    total_memory: Annotated[
        str,
        typer.Option(
            "--limit-total-memory",
            metavar="SIZE",
            help="All jobs; default: 80 % of the machine's.",
            rich_help_panel=LIMITS,
        ),
    ] = ""
    total_disk: Annotated[
        str,
        typer.Option(
            "--limit-total-disk",
            metavar="SIZE",
            help="All jobs; default: half of what is free.",
            rich_help_panel=LIMITS,
        ),
    ] = ""
    job_cpu: Annotated[
        str,
        typer.Option("--limit-job-cpu", metavar="CORES", help="One job; default: the total.", rich_help_panel=LIMITS),
    ] = ""
    job_memory: Annotated[
        str,
        typer.Option("--limit-job-memory", metavar="SIZE", help="One job; default: the total.", rich_help_panel=LIMITS),
    ] = ""
    job_disk: Annotated[
        str,
        typer.Option("--limit-job-disk", metavar="SIZE", help="One job; default: the total.", rich_help_panel=LIMITS),
    ] = ""
    total_gpu: Annotated[
        str,
        typer.Option(
            "--limit-total-gpu",
            metavar="N|all",
            help="NVIDIA GPUs for jobs, each for one execution at a time; default: none.",
            rich_help_panel=LIMITS,
        ),
    ] = "0"
    job_gpu: Annotated[
        int | None,
        typer.Option("--limit-job-gpu", min=0, help="One job; default: the total.", rich_help_panel=LIMITS),
    ] = None
    job_timeout: Annotated[
        str,
        typer.Option("--limit-job-timeout", metavar="TIME", help="One execution; default: 7d.", rich_help_panel=LIMITS),
    ] = ""


def capacity_of(limit: Limit, data_dir: Path) -> Capacity:
    """What was asked for, with the machine's share where nothing was. Raises UsageProblem."""
    cpu = _cores(limit.total_cpu, "--limit-total-cpu", float(len(os.sched_getaffinity(0))))
    memory = size_or(limit.total_memory, "--limit-total-memory", int(machine_memory() * MEMORY_SHARE))
    gpus = _gpus(limit.total_gpu)
    disk = size_or(limit.total_disk, "--limit-total-disk", int(free_disk(data_dir) * DISK_SHARE))
    return Capacity(
        total_cpu=cpu,
        total_memory_bytes=memory,
        total_disk_bytes=disk,
        job_cpu=_at_most(_cores(limit.job_cpu, "--limit-job-cpu", cpu), cpu, "cpu"),
        job_memory_bytes=_at_most(size_or(limit.job_memory, "--limit-job-memory", memory), memory, "memory"),
        job_disk_bytes=_at_most(size_or(limit.job_disk, "--limit-job-disk", disk), disk, "disk"),
        job_timeout_s=_timeout(limit.job_timeout),
        total_gpus=gpus,
        job_gpus=limit.job_gpu if limit.job_gpu is None or gpus is None else _at_most(limit.job_gpu, gpus, "gpu"),
    )


def machine_memory() -> int:
    """Bytes that this machine, or this container, has."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = _CGROUP_MEMORY.read_text().strip()
    except OSError:
        return physical
    return min(physical, int(allowed)) if allowed.isdecimal() else physical


def free_disk(folder: Path) -> int:
    """Bytes that are free where this folder is, or will be."""
    there = next(path for path in (folder, *folder.parents) if os.path.exists(path))  # False where it may not look.
    return shutil.disk_usage(there).free


def size_or(text: str, flag: str, default: int) -> int:
    """The size that was given, or this one. Raises UsageProblem."""
    return quantities.size(text, flag) if text else default


def _cores(text: str, flag: str, default: float) -> float:
    return quantities.cores(text, flag) if text else default


def _at_most(one: _T, total: _T, what: str) -> _T:
    if one > total:
        raise UsageProblem(
            f"--limit-job-{what}: one job may not have more than all ({one:g} > {total:g})",
            f"lower it, or raise --limit-total-{what}",
        )
    return one


def _timeout(text: str) -> float:
    if not text:
        return limits.TIMEOUT_S_MAX
    seconds = quantities.seconds(text, "--limit-job-timeout")
    if seconds > limits.TIMEOUT_S_MAX:
        raise UsageProblem(f"--limit-job-timeout: no job may run for longer than {limits.TIMEOUT_S_MAX / 86400:g} days")
    return seconds


def _gpus(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isascii() or not text.isdecimal() or int(text) > limits.GPUS_MAX:
        raise UsageProblem(
            f"--limit-total-gpu: expected a number of GPUs, got {text!r}",
            f"write 0 to {limits.GPUS_MAX}, or all",
        )
    return int(text)
