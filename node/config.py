"""What an operator may set, parsed once. The command line makes it, the supervisor reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from node import limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What this node gives away in all, and to one job at most."""

    total_cpu: float  # cores
    total_memory_bytes: int
    total_disk_bytes: int
    job_cpu: float
    job_memory_bytes: int
    job_disk_bytes: int
    job_timeout_s: float = limits.TIMEOUT_S_MAX
    total_gpus: int | None = 0  # of those that are found; None: all of them
    job_gpus: int | None = None  # None: as many as there are


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionConfig:
    """Which jobs this node takes, of those that it can run. ``None``: no list, anything goes."""

    data_locality: Literal["anywhere", "local"] = "anywhere"
    rejects_stateless: bool = False
    probe_exec: str | None = None  # a command of the shell
    probe_http: str | None = None  # a URL
    image_digests: frozenset[str] | None = None  # ``sha256:…``
    modules: frozenset[str] | None = None  # sha256, 64 hex digits
    clients: frozenset[str] | None = None  # ``PEER``, ``PEER/KEY`` or ``KEY`` (node.compute.policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Where the inputs of jobs come from, and what is kept of them."""

    filecoin_unsealed_path: str | None = None  # template
    verify_unsealed: bool = False
    ipfs_connect: str | None = None  # multiaddr of a Kubo daemon's RPC; None: the embedded IPFS
    ipfs_peers: tuple[str, ...] = ()  # multiaddrs of IPFS nodes that the embedded one asks
    ipfs_gateways: tuple[str, ...] = ()  # URLs
    ipfs_store_bytes: int = 10 * limits.GiB  # blocks of the embedded IPFS
    ipfs_keep_published_s: float = 30 * 24 * 3600.0  # results that it has published; then they may be evicted
    input_cache_bytes: int = 10 * limits.GiB
    local_inputs: tuple[Path, ...] = ()  # folders that jobs may read
    object_stores: tuple[str, ...] = ()  # what jobs may read: s3://bucket[/prefix], az://container[/prefix]
    local_publish: tuple[Path, ...] = ()  # folders that results may be published to
    object_publish: tuple[str, ...] = ()  # places of object stores that results may be published to
    url_cidrs: tuple[str, ...] = ()  # private networks that URL inputs may come from


# Public ones, where anybody may put an image; the operator names others.
REGISTRIES = ("docker.io", "ghcr.io", "quay.io", "gcr.io", "registry.k8s.io", "mcr.microsoft.com", "public.ecr.aws")


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerConfig:
    """The engine for containers, and what jobs may have of it."""

    socket: Path | None = None  # None: no docker
    allow_network: bool = False
    allow_root: bool = False
    runtime: str = ""  # of every container; "": the engine's default
    sandboxes: tuple[str, ...] = ()  # runtimes that are sandboxes, besides those that are known
    registries: tuple[str, ...] = REGISTRIES  # hosts that images may be pulled from; "*": any
    images_bytes: int = 20 * limits.GiB  # of all images that jobs brought


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """One node."""

    data_dir: Path
    host: str = "0.0.0.0"  # noqa: S104  (a peer-to-peer node listens to its peers)
    swarm_port: int = 1235  # 0: any free one
    api_host: str = "127.0.0.1"
    api_port: int = 1234  # 0: any free one
    peers: tuple[str, ...] = ()  # multiaddrs to join through
    capacity: Capacity
    data: DataConfig = DataConfig()
    selection: SelectionConfig = SelectionConfig()
    docker: DockerConfig = DockerConfig()
    authorized_clients: Path | None = None
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning"] = "info"
