"""One execution from its accept to the end of its results: what is prepared, run, hashed and sealed.

Lives here: the straight line of one run. Does not live here: whom to tell (``node.compute.role``), what may run at once
(``node.compute.capacity``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import trio

from node import limits
from node.alarms import Alarm
from node.ambient import Ambient, Offload
from node.compute.account import Account, Taken
from node.compute.borrowed import Borrowed, Named, borrowed
from node.compute.capacity import need_of
from node.compute.kept import Kept, kept
from node.compute.modules import ModuleFetcher
from node.compute.parts import Part, mounted, parts_of
from node.compute.queue import Booking
from node.errors import DriverUnavailable, ExecutionFailed, NoRoom, OperatorError, StorageError
from node.executor.base import Executor, GiveBack, Mount, RunLimits, Task
from node.identity import Identity
from node.messages import Failed, Proposed
from node.model import (
    EXIT_CODE,
    DirHash,
    ExecutionId,
    FailureCode,
    InlineInput,
    Input,
    JobId,
    JobSpec,
    PeerId,
    Sha256,
    WasmEngine,
    about,
    cut,
    engine_name,
    module_of,
    shown,
)
from node.publisher.base import Publishers
from node.publisher.untold import Publication, Untold
from node.removal import remove
from node.room import need_room
from node.spec import room_s, sha256_of
from node.storage.base import Prepared
from node.storage.sources import Sources
from node.turns import Turns
from node.verifier.dirhash import hash_tree
from node.verifier.proposal import Statement, seal, sealing_key_for

log = logging.getLogger("quorate.compute")

HASHED_AT_ONCE = 4


@dataclass(slots=True, eq=False)
class Execution:
    """One execution that this node was given, until nothing of it is left here."""

    execution: ExecutionId
    requester: PeerId
    account: Account
    taken: Taken
    shard: int
    paths: tuple[str, ...] | None  # what it sees of the inputs; None: all
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    room: trio.Event = field(default_factory=trio.Event)
    gpus: tuple[str, ...] = ()  # ids of its own, once it has room
    state: Literal["running", "proposed", "won", "released"] = "running"
    results: Kept | None = None
    expiry: Alarm | None = None  # rings when nobody asked for the results in time
    is_publishing: bool = False  # and what is left of it is cleared up afterwards
    publication: Publication | None = None  # what of it may lie where its job says
    is_told: bool = False  # its requester knows where that is
    is_retracted: bool = False  # and has said that it does not count

    @property
    def spec(self) -> JobSpec:
        """What to run."""
        return self.taken.offer.spec

    @property
    def kept_until(self) -> float:
        """Trio's clock: when nobody will ask for its results any more, unless the requester says more of the job."""
        life_s = room_s(self.spec) + self.spec.timeout_s + limits.REPLY_S
        return self.taken.heard_at + life_s + limits.RESULTS_KEPT_S

    @property
    def job(self) -> JobId:
        """What it is a run of."""
        return JobId(self.taken.offer.job)

    @property
    def tenant(self) -> str:
        """Whose it is: a requester, and one of its clients."""
        return f"{self.requester}/{self.taken.offer.client}"

    @property
    def booking(self) -> Booking:
        """What it wants of this node. Runs of one program for one client may well take equally long."""
        engine = self.spec.engine
        program = engine.module if isinstance(engine, WasmEngine) else engine.digest or engine.image
        return Booking(
            requester=self.requester,
            kind=f"{self.tenant}/{program}",
            need=need_of(self.spec.resources),
            limit_s=self.spec.timeout_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a run needs."""

    identity: Identity
    engines: dict[str, Executor]
    storage: Sources
    modules: ModuleFetcher
    scratch: Path
    ambient: Ambient
    publishers: Publishers
    untold: Untold
    fetches_data: bool = True  # False: inputs are used where they lie, or not at all
    publishing: Turns = field(default_factory=partial(Turns, limits.PUBLISHED_AT_ONCE))
    retracting: Turns = field(default_factory=partial(Turns, limits.PUBLISHED_AT_ONCE))  # A dead store holds up others.
    hashing: Turns = field(default_factory=partial(Turns, HASHED_AT_ONCE))  # Else large results would take all threads.

    def folder(self, execution: ExecutionId) -> Path:
        """Where an execution writes; named before it exists."""
        return self.scratch / execution

    def list_of(self, execution: ExecutionId) -> Path:
        """Where a long list of its files lies."""
        return self.scratch / f"{execution}.list"

    def sweep(self) -> None:
        """Remove what was left by then, by a crash or by an orderly end. Blocking. Raises OperatorError."""
        try:
            remove(self.scratch)
            self.scratch.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise OperatorError(f"{self.scratch} cannot be used: {error.strerror}") from error

    async def clear(self, given: Execution) -> None:
        """Delete what an execution left, even while being cancelled."""
        if given.results is not None and not given.results.is_on_disk:
            return
        with trio.CancelScope(shield=True):  # Deleting is bounded by the limits of the run.
            await self.ambient.offload(_remove, self.folder(given.execution), self.list_of(given.execution))


Started = Callable[[tuple[str, ...]], None]
Tell = Callable[[str], None]


async def run(bench: Bench, given: Execution, started: Started, tell: Tell) -> Proposed | Failed:
    """The answer to the requester: a sealed proposal, or why there is none. Leaves the results for the hand-over.

    ``tell`` hears, for people, what a run waits for.
    """
    with trio.move_on_after(room_s(given.spec)):
        await given.room.wait()
    if not given.room.is_set():
        return _failed(given, "full", f"no room came free here within {about(room_s(given.spec))}")
    try:
        with trio.fail_after(given.spec.timeout_s + limits.RUN_GRACE_S):
            results = await _results(bench, given, started, tell)
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
    except OSError as error:  # This machine's trouble, wherever a driver met it: no file left to open, a broken disk.
        return _failed(given, "internal", f"this node could not go on: {error.strerror}")
    given.results = results
    return Proposed(given.execution, _sealed(bench, given, results.hash))


async def _results(bench: Bench, given: Execution, started: Started, tell: Tell) -> Kept:
    spec, folder = given.spec, bench.folder(given.execution)
    async with AsyncExitStack() as prepared:
        wanted = module_of(spec.engine)
        if wanted is not None:
            prepared.enter_context(bench.modules.held(wanted))
        module = await bench.ambient.offload(_begun, bench, wanted)
        if wanted is not None and module is None:
            module = await bench.modules.fetched(given.requester, wanted)
        seen = await _inputs(bench, given, prepared)
        started(tuple(seen.sources))
        task = _task(given, module, tuple(seen.mounts), tell)
        collecting = _Collecting(bench, given, seen.borrowed)
        await bench.engines[engine_name(spec)].run(task, folder, collecting)
    assert collecting.results is not None
    return collecting.results


@dataclass(slots=True)
class _Collecting:
    """Hashes what a run has left, if what it saw has not changed under it."""

    bench: Bench
    given: Execution
    borrowed: list[Borrowed]
    results: Kept | None = None

    async def __call__(self, exit_code: int, give_back: GiveBack) -> None:
        for each in self.borrowed:
            await each.need_unchanged()
        async with self.bench.hashing.one(self.given.tenant):
            self.results = await self.bench.ambient.offload(_hashed, self.bench, self.given, exit_code, give_back)


@dataclass(slots=True)
class _Seen:
    """What a run sees, and from which driver each input is: "" for one of which it sees nothing."""

    mounts: list[Mount] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    borrowed: list[Borrowed] = field(default_factory=list)


async def _inputs(bench: Bench, given: Execution, prepared: AsyncExitStack) -> _Seen:
    """An input of which the run sees nothing is not prepared."""
    inputs, offload = given.spec.inputs, bench.ambient.offload
    parts = None if given.paths is None else await offload(parts_of, [ref.path for ref in inputs], given.paths)
    seen = _Seen()
    named: Named | None = {} if bench.engines[engine_name(given.spec)].capabilities.deterministic else None
    for index, ref in enumerate(inputs):
        if parts is not None and index not in parts:
            seen.sources.append("")
            continue
        await _need_held(bench, ref)
        here = await prepared.enter_async_context(bench.storage.prepared(ref, given.requester))
        seen.sources.append(here.source)
        mounts = await _mounts(here, ref.path, None if parts is None else parts[index], offload)
        if here.look is not None:
            lent = await borrowed(here.look, mounts, named)
            mounts = lent.mounts
            seen.borrowed.append(lent)
        seen.mounts.extend(mounts)
    return seen


async def _mounts(here: Prepared, guest: str, parts: Sequence[Part] | None, offload: Offload) -> Sequence[Mount]:
    if parts is None:
        return (Mount(here.path, guest),)
    return await (here.look or offload)(mounted, here.path, guest, parts)


async def _need_held(bench: Bench, ref: Input) -> None:
    """What was held when this node bid may have been evicted since."""
    if bench.fetches_data or isinstance(ref, InlineInput) or not await bench.storage.to_fetch(ref):
        return
    raise StorageError(f"this node no longer holds {shown(ref)}, and its operator has no data fetched")


def _task(given: Execution, module: Path | None, inputs: tuple[Mount, ...], tell: Tell) -> Task:
    spec = given.spec
    return Task(
        execution=given.execution,
        tenant=given.tenant,
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
            cores=spec.resources.cpu,
        ),
        gpus=given.gpus,
        tell=tell,
        seed=sha256_of(f"{given.requester}/{given.job}/{given.shard}".encode()),
    )


def _begun(bench: Bench, module: Sha256 | None) -> Path | None:
    """Whether there is room; where the module lies, if it does: a thread for each would cost more than both."""
    need_room(bench.scratch)
    return None if module is None else bench.modules.here(module)


def _hashed(bench: Bench, given: Execution, exit_code: int, give_back: GiveBack) -> Kept:
    folder, code, bytes_max = bench.folder(given.execution), str(exit_code).encode(), given.spec.resources.disk_bytes
    tree = hash_tree(folder, files_max=limits.RESULT_FILES_MAX, bytes_max=bytes_max, besides={EXIT_CODE: code})
    results = kept(given.execution, tree, given.spec, bench.list_of(given.execution))
    give_back(results.is_on_disk)
    if results.is_on_disk:
        try:
            (folder / EXIT_CODE).write_bytes(code)
        except OSError as error:
            raise NoRoom(f"the exit code cannot be kept: {error.strerror}") from error
    return results


def _sealed(bench: Bench, given: Execution, result: DirHash) -> bytes:
    statement = Statement(
        job=given.job,
        shard=given.shard,
        execution=given.execution,
        node=bench.identity.peer_id,
        requester=given.requester,
        hash=result,
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


def _remove(folder: Path, listed: Path) -> None:
    try:
        remove(folder)
        listed.unlink(missing_ok=True)
    except OSError as error:  # The sweep at the next start tries again.
        log.warning("not_removed", extra={"folder": str(folder), "reason": error.strerror})
