"""``serve``: from flags to a node's configuration. The one way from the command line into the engine room.

Lives here: the command and what it takes of the machine by default. Does not live here: the node
(``node.supervisor``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from cli import flags, quantities
from cli.errors import UsageProblem
from cli.exits import Exit
from cli.flags import flat
from node.config import Capacity, ServeConfig

MEMORY_SHARE = 0.8
DISK_SHARE = 0.5  # Of what is free when the node starts.
_CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")  # A container's own limit (cgroup v2).

NETWORK, LIMITS = "Network", "What jobs may use"

_T = TypeVar("_T", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Where the node listens and whom it joins."""

    host: Annotated[str, typer.Option(help="Address for peers.", rich_help_panel=NETWORK)] = "0.0.0.0"  # noqa: S104  (peers are elsewhere)
    swarm_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for peers; 0: any.", rich_help_panel=NETWORK)
    ] = 1235
    api_host: Annotated[str, typer.Option(help="Address of the HTTP API.", rich_help_panel=NETWORK)] = "127.0.0.1"
    api_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the HTTP API; 0: any.", rich_help_panel=NETWORK)
    ] = 1234
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MULTIADDR", help="A node to join, as it prints its address. Repeatable.", rich_help_panel=NETWORK
        ),
    ] = None
    authorized_clients: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who may use an API that is not on loopback: a line `ed25519 KEY NAME` for each.",
            rich_help_panel=NETWORK,
        ),
    ] = None


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
            "--limit-total-memory", metavar="SIZE", help="All jobs; default: 80 % of it.", rich_help_panel=LIMITS
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the node keeps its things and finds data."""

    data_dir: Annotated[
        Path | None, typer.Option(help="Key, journal and results; by default quorate in $XDG_DATA_HOME.")
    ] = None
    filecoin_unsealed_path: Annotated[
        str | None,
        typer.Option(metavar="TEMPLATE", help="Where unsealed copies lie, e.g. /var/lib/data/{{ cid }}."),
    ] = None
    log_format: Annotated[Literal["text", "json"], typer.Option(help="How each event is told.")] = "text"


@flat
def serve(place: Place, network: Network, limit: Limit) -> Exit:
    """Run a node until SIGINT or SIGTERM. It says its peer id, addresses and API URL when it is ready."""
    wanted = config_of(place, network, limit)
    from node import supervisor

    supervisor.serve(wanted)
    return Exit.DONE


def config(arguments: Sequence[str]) -> ServeConfig:
    """What these flags of ``serve`` ask for, for a node that something else starts. Raises as ``serve`` does."""
    app = flags.app("")
    app.command()(flat(config_of))
    made = typer.main.get_command(app).main(list(arguments), standalone_mode=False)
    assert isinstance(made, ServeConfig)
    return made


def config_of(place: Place, network: Network, limit: Limit) -> ServeConfig:
    """What was asked for, with the machine's share where nothing was. Raises UsageProblem."""
    data_dir = (place.data_dir or flags.data_home()).expanduser().absolute()
    return ServeConfig(
        data_dir=data_dir,
        host=network.host,
        swarm_port=network.swarm_port,
        api_host=network.api_host,
        api_port=network.api_port,
        peers=tuple(network.peer or ()),
        filecoin_unsealed_path=place.filecoin_unsealed_path,
        capacity=_capacity(limit, data_dir),
        authorized_clients=network.authorized_clients,
        log_format=place.log_format,
    )


def _capacity(limit: Limit, data_dir: Path) -> Capacity:
    cpu = _cores(limit.total_cpu, "--limit-total-cpu", float(len(os.sched_getaffinity(0))))
    memory = _size(limit.total_memory, "--limit-total-memory", int(machine_memory() * MEMORY_SHARE))
    disk = _size(limit.total_disk, "--limit-total-disk", int(_free_disk(data_dir) * DISK_SHARE))
    return Capacity(
        total_cpu=cpu,
        total_memory_bytes=memory,
        total_disk_bytes=disk,
        job_cpu=_at_most(_cores(limit.job_cpu, "--limit-job-cpu", cpu), cpu, "cpu"),
        job_memory_bytes=_at_most(_size(limit.job_memory, "--limit-job-memory", memory), memory, "memory"),
        job_disk_bytes=_at_most(_size(limit.job_disk, "--limit-job-disk", disk), disk, "disk"),
    )


def machine_memory() -> int:
    """Bytes that this machine, or this container, has."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = _CGROUP_MEMORY.read_text().strip()
    except OSError:
        return physical
    return min(physical, int(allowed)) if allowed.isdecimal() else physical


def _free_disk(folder: Path) -> int:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


def _cores(text: str, flag: str, default: float) -> float:
    return quantities.cores(text, flag) if text else default


def _size(text: str, flag: str, default: int) -> int:
    return quantities.size(text, flag) if text else default


def _at_most(one: _T, total: _T, what: str) -> _T:
    if one > total:
        raise UsageProblem(
            f"--limit-job-{what}: one job may not have more than all ({one:g} > {total:g})",
            f"lower it, or raise --limit-total-{what}",
        )
    return one
