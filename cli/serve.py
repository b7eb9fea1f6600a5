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
from node import limits
from node.config import Capacity, DataConfig, ServeConfig

MEMORY_SHARE = 0.8
DISK_SHARE = 0.5  # Of what is free when the node starts; so are the next two.
CACHE_SHARE = 0.25
STORE_SHARE = 0.125
_CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")  # A container's own limit (cgroup v2).

NETWORK, DATA, LIMITS = "Network", "Data for jobs", "What jobs may use"

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
class Data:
    """Where the data that jobs name comes from."""

    filecoin_unsealed_path: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPLATE", help="Where unsealed copies lie, e.g. /var/lib/data/{{ cid }}.", rich_help_panel=DATA
        ),
    ] = None
    verify_unsealed: Annotated[
        bool,
        typer.Option(
            "--verify-unsealed",
            help="Check unsealed copies against their CID before use, once; else only where a job asks for it.",
            rich_help_panel=DATA,
        ),
    ] = False
    ipfs_connect: Annotated[
        str | None,
        typer.Option(
            metavar="MULTIADDR",
            help="RPC of a Kubo daemon, e.g. /ip4/127.0.0.1/tcp/5001; without it the node speaks bitswap itself.",
            rich_help_panel=DATA,
        ),
    ] = None
    ipfs_peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MULTIADDR",
            help="An IPFS node to stay connected to and ask for blocks. Repeatable.",
            rich_help_panel=DATA,
        ),
    ] = None
    ipfs_gateway: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="A trustless gateway to ask for blocks, checked here. Repeatable.", rich_help_panel=DATA
        ),
    ] = None
    ipfs_store: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="Blocks that the node keeps and serves; default: an eighth of the free disk.",
            rich_help_panel=DATA,
        ),
    ] = ""
    ipfs_keep_published: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="How long published results are sure to stay in it; then they make room when it is needed.",
            rich_help_panel=DATA,
        ),
    ] = "30d"
    input_cache: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="Fetched inputs that it keeps; default: a quarter of the free disk.",
            rich_help_panel=DATA,
        ),
    ] = ""
    local_input: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER", help="A folder of this machine that any job may read. Repeatable.", rich_help_panel=DATA
        ),
    ] = None
    object_store: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="What any job may read with this node's credentials (AWS_…, AZURE_…): s3://BUCKET[/PREFIX] or"
            " az://CONTAINER[/PREFIX]. Repeatable.",
            rich_help_panel=DATA,
        ),
    ] = None
    local_publish: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Results may be published below it, if their requester lists it too. Repeatable.",
            rich_help_panel=DATA,
        ),
    ] = None
    object_publish: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Results may be published below s3://BUCKET[/PREFIX] or az://…, if their requester lists it too."
            " Repeatable.",
            rich_help_panel=DATA,
        ),
    ] = None
    allow_url_cidr: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CIDR",
            help="A private network that URL inputs may come from, e.g. 10.0.0.0/8. Repeatable.",
            rich_help_panel=DATA,
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
    """Where the node keeps its things, and how it tells of itself."""

    data_dir: Annotated[
        Path | None, typer.Option(help="Key, journal, results and fetched data; by default quorate in $XDG_DATA_HOME.")
    ] = None
    log_format: Annotated[Literal["text", "json"], typer.Option(help="How each event is told.")] = "text"


@flat
def serve(place: Place, network: Network, data: Data, limit: Limit) -> Exit:
    """Run a node until SIGINT or SIGTERM. It says its peer id, addresses and API URL when it is ready."""
    wanted = config_of(place, network, data, limit)
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


def config_of(place: Place, network: Network, data: Data, limit: Limit) -> ServeConfig:
    """What was asked for, with the machine's share where nothing was. Raises UsageProblem."""
    data_dir = (place.data_dir or flags.data_home()).expanduser().absolute()
    return ServeConfig(
        data_dir=data_dir,
        host=network.host,
        swarm_port=network.swarm_port,
        api_host=network.api_host,
        api_port=network.api_port,
        peers=tuple(network.peer or ()),
        data=_data(data, data_dir),
        capacity=_capacity(limit, data_dir),
        authorized_clients=network.authorized_clients,
        log_format=place.log_format,
    )


def _data(data: Data, data_dir: Path) -> DataConfig:
    free = _free_disk(data_dir)
    return DataConfig(
        filecoin_unsealed_path=data.filecoin_unsealed_path,
        verify_unsealed=data.verify_unsealed,
        ipfs_connect=data.ipfs_connect,
        ipfs_peers=tuple(data.ipfs_peer or ()),
        ipfs_gateways=tuple(data.ipfs_gateway or ()),
        ipfs_store_bytes=_size(data.ipfs_store, "--ipfs-store", _share(free, STORE_SHARE)),
        ipfs_keep_published_s=quantities.seconds(data.ipfs_keep_published, "--ipfs-keep-published"),
        input_cache_bytes=_size(data.input_cache, "--input-cache", _share(free, CACHE_SHARE)),
        local_inputs=tuple(folder.expanduser().absolute() for folder in data.local_input or ()),
        object_stores=tuple(data.object_store or ()),
        local_publish=tuple(folder.expanduser().absolute() for folder in data.local_publish or ()),
        object_publish=tuple(data.object_publish or ()),
        url_cidrs=tuple(data.allow_url_cidr or ()),
    )


def _share(free: int, share: float) -> int:
    """On a disk that is almost full, enough to start with: nothing is taken before it is needed."""
    return max(int(free * share), limits.STORES_BYTES_MIN)


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
