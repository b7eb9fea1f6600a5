"""One node put together from its parts: which role hears which message, what starts before what.

The same for ``serve`` and for the simulator; they differ in the parts they bring (``node.supervisor``, ``tests/sim``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

import trio

from node import messages as m
from node.ambient import Ambient
from node.compute.admission import Abilities
from node.compute.capacity import Ledger, job_limit, total_of
from node.compute.gpus import Gpu
from node.compute.modules import ModuleFetcher
from node.compute.policy import Probe, policy_of
from node.compute.queue import Queue
from node.compute.role import Compute
from node.compute.run import Bench
from node.config import Capacity, SelectionConfig
from node.directory.role import Directory
from node.executor.base import Executor
from node.identity import Identity
from node.journal.base import Journal
from node.model import PeerId
from node.publisher.base import Publishers
from node.publisher.untold import Untold
from node.requester.desk import JobDesk
from node.requester.drafting import Pins
from node.requester.role import Keeping, Requester
from node.storage.sources import Sources
from node.transport.base import Blob, Transport
from node.vault.modules import Modules
from node.vault.results import Results
from node.verifier.deterministic import Deterministic
from node.verifier.noop import Noop

Service = Callable[[], Awaitable[None]]
"""What a driver does by itself for as long as the node lives; begun when the transport listens, ended by cancelling."""

VERIFIERS = {verifier.name: verifier for verifier in (Deterministic(), Noop())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a node is made of."""

    identity: Identity
    transport: Transport
    journal: Journal
    executors: Sequence[Executor]
    storage: Sources
    publishers: Publishers
    capacity: Capacity
    data_dir: Path
    bootstrap: tuple[str, ...]
    ambient: Ambient
    services: Sequence[Service] = ()
    gpus: tuple[Gpu, ...] = ()  # that jobs may have
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    probe: Probe | None = None  # the one of ``selection``


class Node:
    """A requester and a compute node on one transport; also the transport's receiver."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        ambient, transport = parts.ambient, parts.transport
        engines = {executor.name: executor for executor in parts.executors}
        self.modules = Modules(parts.data_dir / "modules")
        self.results = Results(parts.data_dir / "results")
        keeping = Keeping(
            journal=parts.journal, results=self.results, modules=self.modules, publishers=parts.publishers
        )
        self.requester = Requester(parts.identity, transport, keeping, VERIFIERS, ambient)
        self.jobs = JobDesk(self.requester, keeping, Pins(parts.storage, engines), ambient)
        able = Abilities(
            engines=engines,
            verifiers=VERIFIERS,
            storage=parts.storage,
            publishers=parts.publishers,
            job_limit=job_limit(parts.capacity, len(parts.gpus)),
            timeout_s=parts.capacity.job_timeout_s,
            policy=policy_of(parts.identity.peer_id, parts.selection, parts.probe),
        )
        bench = Bench(
            identity=parts.identity,
            engines=engines,
            storage=parts.storage,
            publishers=parts.publishers,
            modules=ModuleFetcher(transport, self.modules, ambient.offload),
            scratch=parts.data_dir / "scratch",
            untold=Untold(parts.data_dir / "untold"),
            ambient=ambient,
            fetches_data=able.policy.fetches_data,
        )
        ledger = Ledger(total_of(parts.capacity, len(parts.gpus)), tuple(gpu.id for gpu in parts.gpus))
        self.compute = Compute(transport, bench, able, Queue(ledger), ambient)
        self.directory = Directory(transport, parts.bootstrap, ambient)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The whole life; ``started`` when it listens to its peers and would take a job."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._parts.journal.run)
            await nursery.start(self.compute.run)
            await nursery.start(self.requester.run)
            await nursery.start(self._parts.transport.run, self)
            await nursery.start(self.directory.run)
            for service in self._parts.services:
                nursery.start_soon(service)
            task_status.started()

    def joined(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        """See Receiver."""
        self.directory.joined(peer, addresses)
        self.requester.joined(peer)

    def left(self, peer: PeerId) -> None:
        """See Receiver."""
        self.directory.left(peer)
        self.requester.left(peer)
        self.compute.left(peer)

    def received(self, sender: PeerId, message: m.Message) -> None:
        """See Receiver."""
        match message:
            case m.Bid() | m.Decline() | m.Queued() | m.Started() | m.Progress() | m.Proposed() | m.Failed():
                self.requester.received(sender, message)
            case m.Results() | m.NoResults():
                self.requester.received(sender, message)
            case m.Offer() | m.Accept() | m.BidRejected() | m.HandOver() | m.Release():
                self.compute.received(sender, message)
            case m.PeersKnown():
                self.directory.received(sender, message)
            case m.Hello():
                return  # The transport's own; a second one means nothing.
            case _:
                assert_never(message)

    async def blob(self, sender: PeerId, request: m.BlobRequest) -> Blob:
        """See Receiver."""
        match request:
            case m.ModuleWanted() | m.InlineWanted():
                return await self.requester.blob(sender, request)
            case m.ManifestWanted() | m.ListWanted() | m.FilesWanted() | m.LogsWanted():
                return await self.compute.blob(sender, request)
            case _:
                assert_never(request)
