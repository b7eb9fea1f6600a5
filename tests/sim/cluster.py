"""A whole cluster in one process and virtual time: production roles over the memory network, seeded weather.

Lives here: how a cluster is put together. Scenarios and what must hold in them are in the test files beside it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec
import trio
from doubles.peers import identity, peer
from doubles.trees import files_in
from trio.testing import MockClock

from node.ambient import Ambient, inline
from node.config import Capacity
from node.executor.scripted import Play, Script, ScriptedExecutor
from node.journal.base import SaveModule
from node.journal.records import ExecutionRecord, JobRecord, ShardRecord, ShardResults, VerdictRecord
from node.journal.writer import InlineJournal
from node.model import CidInput, ClientId, Deal, Input, JobSpec, LocalPublisher, Sha256, WasmEngine
from node.publisher.base import Publishers
from node.publisher.local import LocalPublishing
from node.spec import completed
from node.storage.filecoin_unsealed import FilecoinUnsealed
from node.storage.sources import Sources
from node.transport.memory import Faults, MemoryTransport, Network
from node.wiring import Node, Parts

CLIENT = ClientId("c" * 64)
MODULE = b"\0asm\x01\0\0\0"
MODULE_SHA256 = Sha256(hashlib.sha256(MODULE).hexdigest())
CAPACITY = Capacity(
    total_cpu=8,
    total_memory_bytes=10**10,
    total_disk_bytes=10**11,
    job_cpu=8,
    job_memory_bytes=10**10,
    job_disk_bytes=10**11,
)


def says(text: bytes, takes_s: float = 1.0) -> Script:
    """A script: every run writes this."""
    return lambda _: Play(stdout=text, files={"outputs/a.txt": text * 2}, takes_s=takes_s)


def spec(verifier: str = "deterministic", inputs: tuple[Input, ...] = (), timeout_s: float = 60.0, **deal) -> JobSpec:
    """A complete spec of a job of the cluster's one module."""
    return completed(
        JobSpec(
            engine=WasmEngine(module=MODULE_SHA256),
            verifier=verifier,
            inputs=inputs,
            deal=Deal(**deal),
            timeout_s=timeout_s,
        )
    )


class Told(JobRecord, frozen=True, kw_only=True):
    """A job as its owner sees it, with its shards."""

    told: tuple[ShardRecord, ...]

    @property
    def verdict(self) -> VerdictRecord | None:
        return self.told[0].verdict

    @property
    def executions(self) -> tuple[ExecutionRecord, ...]:
        return self.told[0].executions

    @property
    def kept(self) -> ShardResults | None:
        return self.told[0].results


@dataclass(slots=True)
class Cluster:
    """Nodes by number; number 0 is where jobs are submitted."""

    folder: Path
    random: Random
    network: Network
    nursery: trio.Nursery
    build: Callable[[Parts], Node] = Node
    nodes: list[Node] = field(default_factory=list)
    scopes: list[trio.CancelScope] = field(default_factory=list)
    transports: list[MemoryTransport] = field(default_factory=list)

    @property
    def shared(self) -> Path:
        """A folder that every node may publish to."""
        return self.folder / "shared"

    async def start(self, script: Script, number: int | None = None, node: Callable[[Parts], Node] = Node) -> int:
        """A further node, or node ``number`` again after ``stop``. It joins through node 0."""
        mine = len(self.nodes) if number is None else number
        transport = self.network.join(peer(mine))
        data = self.folder / str(mine)
        data.mkdir(exist_ok=True)
        self.shared.mkdir(exist_ok=True)
        ambient = Ambient(now=_now, token=self.random.randbytes, offload=inline)
        parts = Parts(
            identity=identity(mine),
            transport=transport,
            journal=InlineJournal(data / "journal.sqlite"),
            executors=(ScriptedExecutor(script),),
            storage=Sources({CidInput: FilecoinUnsealed(f"{data}/unsealed/{{{{ cid }}}}", inline)}),
            publishers=Publishers({LocalPublisher: LocalPublishing((self.shared,), data, inline)}),
            capacity=CAPACITY,
            data_dir=data,
            bootstrap=() if mine == 0 else self.transports[0].addresses,
            ambient=ambient,
        )
        made = node(parts)
        if mine == 0:
            _upload(made, parts)
        scope = trio.CancelScope()
        await self.nursery.start(_run, made, parts, scope)
        if number is None:
            self.nodes.append(made)
            self.scopes.append(scope)
            self.transports.append(transport)
        else:
            self.nodes[mine], self.scopes[mine], self.transports[mine] = made, scope, transport
        return mine

    async def submit(self, job: JobSpec) -> Told:
        """Submit at node 0 and wait for the end, at most until the job's own deadline and a little."""
        record = await self.nodes[0].jobs.submit(CLIENT, job)
        return await self.told(
            await self.nodes[0].jobs.wait(CLIENT, record.job, record.deadline - record.submitted_at + 60)
        )

    async def told(self, record: JobRecord) -> Told:
        """With its shards as they are now."""
        shards = await self.nodes[0].jobs.shards(CLIENT, record.job, limit=record.shards)
        return Told(**msgspec.structs.asdict(record), told=shards)

    def kept_files(self, record: JobRecord) -> dict[str, bytes]:
        """What node 0 keeps of a job, by name."""
        return {} if record.results is None else files_in(self.nodes[0].results.folder(record))

    def stop(self, number: int) -> None:
        """End a node in an orderly way."""
        self.scopes[number].cancel()

    async def settled(self) -> None:
        """Until everybody knows everybody."""
        while any(len(transport.peers) < len(self.nodes) - 1 for transport in self.transports):  # noqa: ASYNC110
            await trio.sleep(0.5)


@asynccontextmanager
async def cluster(seed: int, faults: Faults | None = None) -> AsyncIterator[Cluster]:
    """An empty cluster that takes everything with it when it closes."""
    random = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        async with trio.open_nursery() as nursery:
            yield Cluster(Path(folder), random, Network(random, faults), nursery)
            nursery.cancel_scope.cancel()


def simulate(main: Callable[[], Awaitable[object]]) -> object:
    """Run a scenario in virtual time."""
    return trio.run(main, clock=MockClock(autojump_threshold=0))


async def _run(
    node: Node, parts: Parts, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    try:
        with scope:
            await node.run(task_status=task_status)
    finally:
        parts.journal.close()


def _upload(node: Node, parts: Parts) -> None:
    upload = node.modules.upload()
    upload.write(MODULE)
    upload.finish()
    parts.journal.write((SaveModule(CLIENT, MODULE_SHA256, len(MODULE)),))


def _now() -> float:
    return 1_800_000_000.0 + trio.current_time() % 1_000_000
