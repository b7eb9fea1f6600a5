"""``serve``: from flags to a node's configuration. The one way from the command line into the engine room.

Lives here: the command, and the flags of network and data. Does not live here: what jobs may use (``cli.capacity``),
which jobs are taken (``cli.selection``), the node (``node.supervisor``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli import flags, quantities
from cli.capacity import Limit, capacity_of, free_disk, size_or
from cli.docker_host import Containers, docker_of
from cli.errors import UsageProblem
from cli.exits import Exit
from cli.flags import flat
from cli.selection import Selection, selection_of
from node import limits
from node.config import DataConfig, ServeConfig
from node.errors import OperatorError

if TYPE_CHECKING:
    from node.supervisor import Wrap

CACHE_SHARE = 0.25  # Of the disk that is free when the node starts; so is the next one.
STORE_SHARE = 0.125

NETWORK, DATA = "Network", "Data for jobs"


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
class Place:
    """Where the node keeps its things, and how it tells of itself."""

    data_dir: Annotated[
        Path | None, typer.Option(help="Key, journal, results and fetched data; by default quorate in $XDG_DATA_HOME.")
    ] = None
    log_format: Annotated[Literal["text", "json"], typer.Option(help="How each event is told.")] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning"],
        typer.Option(help="Which events: debug has every bid and execution besides jobs."),
    ] = "info"


@flat
def serve(
    place: Place, network: Network, data: Data, containers: Containers, limit: Limit, selection: Selection
) -> Exit:
    """Run a node until SIGINT or SIGTERM. It says its peer id, addresses and API URL when it is ready."""
    return run(config_of(place, network, data, containers, limit, selection))


def run(wanted: ServeConfig, wrap: Wrap | None = None) -> Exit:
    """One node, to its end. Raises UsageProblem for what no node can run as, OperatorError for what this one cannot."""
    from node import supervisor

    try:
        supervisor.check(wanted)
    except OperatorError as error:
        raise UsageProblem(str(error)) from error
    supervisor.serve(wanted, wrap=wrap)
    return Exit.DONE


def config(arguments: Sequence[str]) -> ServeConfig:
    """What these flags of ``serve`` ask for, for a node that something else starts. Raises as ``serve`` does."""
    app = flags.app("")
    app.command()(flat(config_of))
    made = typer.main.get_command(app).main(list(arguments), standalone_mode=False)
    assert isinstance(made, ServeConfig)
    return made


def config_of(
    place: Place, network: Network, data: Data, containers: Containers, limit: Limit, selection: Selection
) -> ServeConfig:
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
        docker=docker_of(containers, _share(free_disk(data_dir), CACHE_SHARE)),
        capacity=capacity_of(limit, data_dir),
        selection=selection_of(selection),
        authorized_clients=network.authorized_clients,
        log_format=place.log_format,
        log_level=place.log_level,
    )


def _data(data: Data, data_dir: Path) -> DataConfig:
    free = free_disk(data_dir)
    return DataConfig(
        filecoin_unsealed_path=data.filecoin_unsealed_path,
        verify_unsealed=data.verify_unsealed,
        ipfs_connect=data.ipfs_connect,
        ipfs_peers=tuple(data.ipfs_peer or ()),
        ipfs_gateways=tuple(data.ipfs_gateway or ()),
        ipfs_store_bytes=size_or(data.ipfs_store, "--ipfs-store", _share(free, STORE_SHARE)),
        ipfs_keep_published_s=quantities.seconds(data.ipfs_keep_published, "--ipfs-keep-published"),
        input_cache_bytes=size_or(data.input_cache, "--input-cache", _share(free, CACHE_SHARE)),
        local_inputs=tuple(folder.expanduser().absolute() for folder in data.local_input or ()),
        object_stores=tuple(data.object_store or ()),
        local_publish=tuple(folder.expanduser().absolute() for folder in data.local_publish or ()),
        object_publish=tuple(data.object_publish or ()),
        url_cidrs=tuple(data.allow_url_cidr or ()),
    )


def _share(free: int, share: float) -> int:
    """On a disk that is almost full, enough to start with: nothing is taken before it is needed."""
    return max(int(free * share), limits.STORES_BYTES_MIN)
