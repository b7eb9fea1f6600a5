"""One execution from its accept to the end of its results: what is prepared, run, hashed and sealed.

Lives here: the straight line of one run. Does not live here: whom to tell (``node.compute.role``), what may run at once
(``node.compute.capacity``).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import trio

from node import limits
from node.alarms import Alarm
from node.ambient import Ambient
from node.compute.modules import ModuleFetcher
from node.errors import DriverUnavailable, ExecutionFailed, NoRoom, StorageError
from node.executor.base import Executor, Mount, RunLimits, Task
from node.identity import Identity
from node.messages import Failed, Offer, Proposed
from node.model import EXIT_CODE, ExecutionId, FailureCode, JobId, JobSpec, PeerId, cut
from node.storage.base import Storage
from node.verifier.dirhash import HashedTree, hash_tree
from node.verifier.proposal import Statement, seal, sealing_key_for


@dataclass(slots=True, eq=False)
class Execution:
    """One execution that this node was given, until its requester releases it."""

    execution: ExecutionId
    requester: PeerId
    job: JobId
    shard: int
    offer: Offer
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    room: trio.Event = field(default_factory=trio.Event)
    state: Literal["running", "proposed", "won"] = "running"
    tree: HashedTree | None = None
    kept: Alarm | None = None  # rings when nobody asked for the results in time

    @property
    def spec(self) -> JobSpec:
        """What to run."""
        return self.offer.spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a run needs."""

    identity: Identity
    engines: dict[str, Executor]
    storage: Storage | None
    modules: ModuleFetcher
    scratch: Path
    ambient: Ambient

    def folder(self, execution: ExecutionId) -> Path:
        """Where an execution writes; named before it exists."""
        return self.scratch / execution

    def sweep(self) -> None:
        """Remove what a crash left. Blocking."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(mode=0o700, parents=True)

    async def clear(self, execution: ExecutionId) -> None:
        """Delete what an execution left, even while being cancelled."""
        with trio.CancelScope(shield=True):  # Deleting is bounded by the limits of the run.
            await self.ambient.offload(_remove, self.folder(execution))


async def run(bench: Bench, given: Execution, started: Callable[[], None]) -> Proposed | Failed:
    """The answer to the requester: a sealed proposal, or why there is none. Leaves the results for the hand-over."""
    try:
        with trio.fail_after(given.spec.timeout_s):
            await given.room.wait()
            tree = await _results(bench, given, started)
    except trio.TooSlowError:
        return _failed(given, "time", f"over its limit of {given.spec.timeout_s:g} s; raise it with --timeout")
    except ExecutionFailed as error:
        return _failed(given, error.code, error.detail)
    except StorageError as error:
        return _failed(given, "data", str(error))
    except NoRoom as error:
        return _failed(given, "full", str(error))
    except DriverUnavailable as error:
        return _failed(given, "internal", str(error))
    given.tree = tree
    given.state = "proposed"
    return Proposed(given.execution, _sealed(bench, given, tree))


async def _results(bench: Bench, given: Execution, started: Callable[[], None]) -> HashedTree:
    spec, folder = given.spec, bench.folder(given.execution)
    module = await bench.modules.path(given.requester, spec.engine)
    async with AsyncExitStack() as prepared:
        mounts = []
        for ref in spec.inputs:
            assert bench.storage is not None, "bid without storage"
            mounts.append(Mount(await prepared.enter_async_context(bench.storage.prepared(ref)), ref.path))
        await bench.ambient.offload(folder.mkdir, 0o700)
        started()
        task = _task(given, module, tuple(mounts))
        exit_code = await bench.engines[_engine_name(spec)].run(task, folder)
    return await bench.ambient.offload(_hashed, folder, exit_code, spec.resources.disk_bytes)


def _engine_name(spec: JobSpec) -> str:
    return str(spec.engine.__struct_config__.tag)


def _task(given: Execution, module: Path, inputs: tuple[Mount, ...]) -> Task:
    spec = given.spec
    return Task(
        execution=given.execution,
        tenant=f"{given.requester}/{given.offer.client}",
        engine=spec.engine,
        module=module,
        inputs=inputs,
        outputs=tuple((output.name, output.path) for output in spec.outputs),
        limits=RunLimits(
            wall_s=spec.timeout_s,
            cpu_s=spec.timeout_s,
            memory_bytes=spec.resources.memory_bytes,
            output_bytes=spec.resources.disk_bytes,
            output_files=limits.RESULT_FILES_MAX,
        ),
    )


def _hashed(folder: Path, exit_code: int, bytes_max: int) -> HashedTree:
    (folder / EXIT_CODE).write_text(str(exit_code))
    return hash_tree(folder, files_max=limits.RESULT_FILES_MAX, bytes_max=bytes_max)


def _sealed(bench: Bench, given: Execution, tree: HashedTree) -> bytes:
    statement = Statement(
        job=given.job,
        shard=given.shard,
        execution=given.execution,
        node=bench.identity.peer_id,
        requester=given.requester,
        hash=tree.manifest.h1(),
        salt=bench.ambient.token(32).hex(),
    )
    return seal(bench.identity, sealing_key_for(given.requester), statement)


def _failed(given: Execution, code: str, reason: str) -> Failed:
    return Failed(given.execution, _known(code), cut(reason))


def _known(code: str) -> FailureCode:
    for known in FailureCode.__args__:  # type: ignore[attr-defined]
        if known == code:
            return known  # type: ignore[no-any-return]
    raise AssertionError(f"an executor failed with the unknown code {code!r}")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
