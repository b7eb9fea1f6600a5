"""From a node's configuration to where its jobs' inputs come from and their results are published.

The one place that knows every driver of ``node.storage`` and ``node.publisher``, and what is refused at the start.
Large libraries are imported where the configuration asks for what needs them (ipfshttpclient), or when a job first does
(httpx, obstore). Does not live here: what the drivers do, the rest of a node (``node.supervisor``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from node import limits
from node.ambient import Ambient
from node.compute.inline import InlineFetcher
from node.config import DataConfig, ServeConfig
from node.errors import OperatorError
from node.model import (
    CidInput,
    InlineInput,
    Input,
    IpfsPublisher,
    LocalInput,
    LocalPublisher,
    ObjectInput,
    ObjectPublisher,
    Publisher,
    UrlInput,
)
from node.publisher.base import Publishers, Publishing
from node.publisher.ipfs import IpfsPublishing
from node.publisher.local import LocalPublishing
from node.storage.addresses import networks
from node.storage.base import Storage
from node.storage.cache import InputCache
from node.storage.combo import Combo
from node.storage.confirmed import Confirmed
from node.storage.filecoin_unsealed import Check, FilecoinUnsealed
from node.storage.inline import InlineFiles
from node.storage.ipfs.base import Blocks
from node.storage.ipfs.driver import Ipfs
from node.storage.ipfs.embedded import Embedded
from node.storage.later import Later
from node.storage.local import LocalFiles
from node.storage.looking import Looking
from node.storage.object_names import listed_by_operator
from node.storage.sources import Sources
from node.transport.address import parse as parse_address
from node.transport.base import Protocols, Transport

if TYPE_CHECKING:
    from node.storage.ipfs.kubo import Kubo

CACHE_FOLDER, BLOCKS_FOLDER, CONFIRMED_FILE = "inputs", "blocks", "confirmed.json"

Service = Callable[[], Awaitable[None]]


class Network(Transport, Protocols, Protocol):
    """A transport that carries other protocols beside ours."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """All drivers, and what they do by themselves (``node.wiring``)."""

    sources: Sources
    publishers: Publishers
    services: tuple[Service, ...]


def check(config: ServeConfig) -> None:
    """Refuse what can be seen to be wrong; makes nothing, asks nobody. Raises OperatorError: what to change."""
    data, ambient = config.data, Ambient()
    if data.verify_unsealed and data.filecoin_unsealed_path is None:
        raise OperatorError(
            "--verify-unsealed: there are no unsealed copies; give --filecoin-unsealed-path or leave it"
        )
    _unsealed(config)
    _check_ipfs(data, ambient)
    networks(data.url_cidrs)
    listed_by_operator(data.object_stores, "--object-store")
    listed_by_operator(data.object_publish, "--object-publish")
    LocalFiles(data.local_inputs, config.data_dir, ambient.offload)
    LocalPublishing(data.local_publish, config.data_dir, ambient.offload)
    if any(folder.resolve() == Path("/") for folder in data.local_inputs):
        raise OperatorError("--local-input /: any job could read all of this machine; name the folders that are meant")
    for flag, size in (("--input-cache", data.input_cache_bytes), ("--ipfs-store", data.ipfs_store_bytes)):
        if size < limits.STORES_BYTES_MIN:
            raise OperatorError(
                f"{flag}: {size} bytes are too few to be of use, give {limits.STORES_BYTES_MIN} or more"
            )


def inputs(config: ServeConfig, network: Network, ambient: Ambient) -> Inputs:
    """The drivers, before the network runs. Blocking; makes folders below the data folder. Raises OperatorError."""
    data, offload = config.data, ambient.offload
    cache = InputCache(config.data_dir / CACHE_FOLDER, data.input_cache_bytes, offload)
    blocks, services = _blocks(config, network, ambient)
    ipfs = Ipfs(blocks, cache, offload)
    unsealed = _unsealed(config)
    drivers: dict[type[Input], Storage[Any]] = {
        CidInput: Combo(unsealed, ipfs),
        UrlInput: Later("url", partial(_web, data, cache, ambient), offload),
        InlineInput: InlineFiles(InlineFetcher(network), cache, offload),
    }
    if data.local_inputs:
        drivers[LocalInput] = LocalFiles(data.local_inputs, config.data_dir, Looking(limits.LOOK_S))
    if data.object_stores:
        drivers[ObjectInput] = Later("object_store", partial(_objects, data, cache, ambient), offload)
    names = [driver.name for kind, driver in drivers.items() if kind is not CidInput]
    of_cids = [Ipfs.name] if unsealed is None else [unsealed.name, Ipfs.name]
    ways = _ways(config, network, cache, ambient) | {IpfsPublisher: IpfsPublishing(blocks[0], ipfs, network.local_id)}
    return Inputs(Sources(drivers, (*of_cids, *names), cache.need_room), Publishers(ways), services)


def _ways(
    config: ServeConfig, network: Network, cache: InputCache, ambient: Ambient
) -> dict[type[Publisher], Publishing[Any]]:
    """Of publishing, as far as the operator lists places for them."""
    data = config.data
    ways: dict[type[Publisher], Publishing[Any]] = {}
    if data.local_publish:
        ways[LocalPublisher] = LocalPublishing(data.local_publish, config.data_dir, ambient.offload)
    if data.object_publish:
        from node.publisher.object_store import ObjectPublishing
        from node.storage.object_store import ObjectInputs, ObjectStore

        store = ObjectStore(data.object_publish, "--object-publish")
        inputs_of = ObjectInputs(store, cache, ambient.offload)
        ways[ObjectPublisher] = ObjectPublishing(store, inputs_of, network.local_id)
    return ways


def _blocks(config: ServeConfig, network: Network, ambient: Ambient) -> tuple[tuple[Blocks, ...], tuple[Service, ...]]:
    """Where blocks of IPFS come from, the first asked first, and what has to run for it."""
    data = config.data
    gateways = _gateways(data, ambient)
    if data.ipfs_connect is not None:
        kubo = _kubo(data.ipfs_connect, ambient)
        return (kubo, *gateways), (kubo.tell,)
    folder, keep_s = config.data_dir / BLOCKS_FOLDER, data.ipfs_keep_published_s
    missing_s = 0.0 if gateways else limits.BITSWAP_MISSING_S  # Who stands in is asked at once.
    embedded = Embedded(network, folder, data.ipfs_store_bytes, ambient, keep_s, missing_s)
    return (embedded, *gateways), (partial(embedded.run, data.ipfs_peers),)


def _kubo(address: str, ambient: Ambient) -> Kubo:
    from node.storage.ipfs.kubo import Kubo

    return Kubo(address, ambient.offload)


def _gateways(data: DataConfig, ambient: Ambient) -> tuple[Blocks, ...]:
    if not data.ipfs_gateways:
        return ()
    from node.storage.http import Http
    from node.storage.ipfs.gateway import Gateway

    http = Http()
    return tuple(Gateway(url, http, ambient.offload) for url in data.ipfs_gateways)


def _check_ipfs(data: DataConfig, ambient: Ambient) -> None:
    if data.ipfs_connect is not None:
        _kubo(data.ipfs_connect, ambient)
        if data.ipfs_peers:
            raise OperatorError(
                "--ipfs-peer: with --ipfs-connect the daemon has its own peers; tell it (ipfs swarm peering add), or"
                " leave --ipfs-connect"
            )
    for peer in data.ipfs_peers:
        try:
            parse_address(peer)
        except ValueError as error:
            raise OperatorError(f"--ipfs-peer {peer}: {error}; `ipfs id` prints a Kubo node's own") from error
    _gateways(data, ambient)


def _unsealed(config: ServeConfig) -> FilecoinUnsealed | None:
    if config.data.filecoin_unsealed_path is None:
        return None
    confirmed = Confirmed(config.data_dir / CONFIRMED_FILE, Looking(limits.CONFIRM_S))
    check = Check(confirmed, config.data.verify_unsealed)
    return FilecoinUnsealed(config.data.filecoin_unsealed_path, Looking(limits.LOOK_S), config.data_dir, check)


def _web(data: DataConfig, cache: InputCache, ambient: Ambient) -> Storage[UrlInput]:
    from node.storage.http import Http
    from node.storage.reach import Reach, by_system
    from node.storage.url import WebFiles

    return WebFiles(Reach(Http(), networks(data.url_cidrs), by_system), cache, ambient.offload)


def _objects(data: DataConfig, cache: InputCache, ambient: Ambient) -> Storage[ObjectInput]:
    from node.storage.object_store import ObjectInputs, ObjectStore

    return ObjectInputs(ObjectStore(data.object_stores), cache, ambient.offload)
