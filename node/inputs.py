"""From a node's configuration to the drivers of its jobs' inputs: what is refused at the start, and which there are.

The one place that knows every driver of ``node.storage``. Those with large libraries (httpx, obstore) are imported when
a job first asks for one. Does not live here: what the drivers do, the rest of a node (``node.supervisor``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from node import limits
from node.ambient import Ambient
from node.compute.inline import InlineFetcher
from node.config import DataConfig, ServeConfig
from node.errors import OperatorError
from node.model import CidInput, InlineInput, Input, LocalInput, ObjectInput, UrlInput
from node.storage.addresses import networks
from node.storage.base import Storage
from node.storage.cache import InputCache
from node.storage.confirmed import Confirmed
from node.storage.filecoin_unsealed import Check, FilecoinUnsealed
from node.storage.inline import InlineFiles
from node.storage.later import Later
from node.storage.local import LocalFiles
from node.storage.object_names import listed_by_operator
from node.storage.sources import Sources
from node.transport.base import Transport

CACHE_FOLDER, CONFIRMED_FILE = "inputs", "confirmed.json"

Service = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Inputs:
    """All drivers, and what they do by themselves (``node.wiring``)."""

    sources: Sources
    services: tuple[Service, ...]


def check(config: ServeConfig) -> None:
    """Refuse what can be seen to be wrong; makes nothing, asks nobody. Raises OperatorError: what to change."""
    data, ambient = config.data, Ambient()
    if data.verify_unsealed and data.filecoin_unsealed_path is None:
        raise OperatorError(
            "--verify-unsealed: there are no unsealed copies; give --filecoin-unsealed-path or leave it"
        )
    _unsealed(config, ambient)
    networks(data.url_cidrs)
    listed_by_operator(data.object_stores)
    LocalFiles(data.local_inputs, config.data_dir, ambient.offload)
    if any(folder.resolve() == Path("/") for folder in data.local_inputs):
        raise OperatorError("--local-input /: any job could read all of this machine; name the folders that are meant")
    for flag, size in (("--input-cache", data.input_cache_bytes), ("--ipfs-store", data.ipfs_store_bytes)):
        if size < limits.STORES_BYTES_MIN:
            raise OperatorError(
                f"{flag}: {size} bytes are too few to be of use, give {limits.STORES_BYTES_MIN} or more"
            )


def inputs(config: ServeConfig, transport: Transport, ambient: Ambient) -> Inputs:
    """The drivers, before the transport runs. Blocking; makes folders below the data folder. Raises OperatorError."""
    data = config.data
    cache = InputCache(config.data_dir / CACHE_FOLDER, data.input_cache_bytes, ambient.offload)
    drivers: dict[type[Input], Storage[Any]] = {
        UrlInput: Later("url", partial(_web, data, cache, ambient), ambient.offload),
        InlineInput: InlineFiles(InlineFetcher(transport), cache, ambient.offload),
    }
    unsealed = _unsealed(config, ambient)
    if unsealed is not None:
        drivers[CidInput] = unsealed
    if data.local_inputs:
        drivers[LocalInput] = LocalFiles(data.local_inputs, config.data_dir, ambient.offload)
    if data.object_stores:
        drivers[ObjectInput] = Later("object_store", partial(_objects, data, cache, ambient), ambient.offload)
    return Inputs(Sources(drivers), ())


def _unsealed(config: ServeConfig, ambient: Ambient) -> FilecoinUnsealed | None:
    if config.data.filecoin_unsealed_path is None:
        return None
    check = Check(Confirmed(config.data_dir / CONFIRMED_FILE, ambient.offload), config.data.verify_unsealed)
    return FilecoinUnsealed(config.data.filecoin_unsealed_path, ambient.offload, config.data_dir, check)


def _web(data: DataConfig, cache: InputCache, ambient: Ambient) -> Storage[UrlInput]:
    from node.storage.http import Http
    from node.storage.reach import Reach, by_system
    from node.storage.url import WebFiles

    return WebFiles(Reach(Http(), networks(data.url_cidrs), by_system), cache, ambient.offload)


def _objects(data: DataConfig, cache: InputCache, ambient: Ambient) -> Storage[ObjectInput]:
    from node.storage.object_store import ObjectInputs, ObjectStore

    return ObjectInputs(ObjectStore(data.object_stores), cache, ambient.offload)
