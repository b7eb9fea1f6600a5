"""From a spec as a client gives it to one that nodes can be offered: URLs pinned, inputs listed, the plan frozen.

Lives here: what takes time between the two, and its deadline. Does not live here: the rules of a spec (``node.spec``),
which paths a pattern selects (``node.requester.plan``), what becomes of the job (``node.requester.desk``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import trio

from node import limits
from node.ambient import Offload
from node.errors import DriverUnavailable, InvalidSpec, ResourceError, TooMany
from node.executor.base import Executor
from node.model import ClientId, Input, JobSpec, Plan, Sha256, cut, engine_name, shown
from node.requester.plan import shards_of
from node.spec import contents, stripped
from node.storage.base import Entry
from node.storage.sources import Sources
from node.turns import Turns

DRAFTED_AT_ONCE = 4

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a job is made from."""

    spec: JobSpec  # pinned, without the contents of inline files
    contents: dict[Sha256, bytes]
    plan: Plan | None  # None: one shard that sees all inputs whole

    @property
    def extra_bytes(self) -> int:
        """How much memory contents and plan take."""
        paths = (len(path) for shard in self.plan or () for path in shard)
        return sum(map(len, self.contents.values())) + sum(paths)


@dataclass(frozen=True, slots=True)
class Pins:
    """What says what a client's names mean."""

    storage: Sources
    engines: Mapping[str, Executor]


class Drafting:
    """Clients take turns at what asks storage: a listing of 100,000 files keeps nobody else's job waiting."""

    def __init__(self, pins: Pins, offload: Offload) -> None:
        self._pins = pins
        self._storage = pins.storage
        self._offload = offload
        self._turns = Turns(DRAFTED_AT_ONCE)
        self._under_way: Counter[ClientId] = Counter()

    async def draft(self, client: ClientId, spec: JobSpec) -> Draft:
        """Raises InvalidSpec that names the input which cannot be pinned or listed, or what sharding lacks; TooMany;
        DriverUnavailable where what a name of the engine means cannot be told now.
        """
        held = contents(spec)
        short = await self._engine_pinned(stripped(spec))
        if not self._asks_storage(short):
            return Draft(spec=short, contents=held, plan=None)
        with trio.move_on_after(limits.DRAFT_S), self._one_of(client):
            async with self._turns.one(client):
                return await self._asked(short, held)
        raise InvalidSpec("$.inputs", f"this node could not look at all inputs within {limits.DRAFT_S:.0f} s")

    @contextmanager
    def _one_of(self, client: ClientId) -> Iterator[None]:
        if self._under_way[client] >= limits.DRAFTS_PER_CLIENT:
            raise TooMany(f"the inputs of {limits.DRAFTS_PER_CLIENT} jobs of yours are being looked at; wait for some")
        self._under_way[client] += 1
        try:
            yield
        finally:
            self._under_way[client] -= 1
            self._under_way += Counter()  # forgets zeros

    async def _engine_pinned(self, spec: JobSpec) -> JobSpec:
        engine = self._pins.engines.get(engine_name(spec))
        if engine is None:
            return spec
        try:
            return msgspec.structs.replace(spec, engine=await engine.resolved(spec.engine))
        except DriverUnavailable:
            raise
        except ResourceError as error:
            raise InvalidSpec("$.engine.image", cut(str(error))) from error

    def _asks_storage(self, spec: JobSpec) -> bool:
        return spec.sharding is not None or any(map(self._storage.changes, spec.inputs))

    async def _asked(self, spec: JobSpec, held: dict[Sha256, bytes]) -> Draft:
        inputs = []
        for index, ref in enumerate(spec.inputs):
            inputs.append(await _named(index, ref, self._storage.resolved(ref)))
        spec = msgspec.structs.replace(spec, inputs=tuple(inputs))
        if spec.sharding is None:
            return Draft(spec=spec, contents=held, plan=None)
        trees: list[tuple[str, tuple[Entry, ...]]] = []
        for index, ref in enumerate(spec.inputs):
            trees.append((ref.path, await _named(index, ref, self._storage.list(ref))))
            if sum(len(tree) for _, tree in trees) > limits.LISTED_MAX:
                raise InvalidSpec(
                    f"$.inputs[{index}]", f"inputs of at most {limits.LISTED_MAX} files and folders can be sharded"
                )
        plan = await self._offload(shards_of, trees, spec.sharding)
        _check_runs(len(plan), spec.deal.concurrency)
        return Draft(spec=spec, contents=held, plan=plan)


async def _named(index: int, ref: Input, answer: Awaitable[_T]) -> _T:
    """The answer, or InvalidSpec that names the input."""
    try:
        return await answer
    except ResourceError as error:
        name, said = shown(ref), str(error)
        told = said if f" {name} " in f" {said} " else f"{name} cannot be used: {said}"
        raise InvalidSpec(f"$.inputs[{index}]", cut(told)) from error


def _check_runs(shards: int, concurrency: int) -> None:
    if shards * concurrency > limits.JOB_EXECUTIONS_MAX:
        raise InvalidSpec(
            "$.deal.concurrency",
            f"expected at most {limits.JOB_EXECUTIONS_MAX} runs in all: {shards} shards on {concurrency} nodes each"
            f" are {shards * concurrency}; put more into each shard with batch_size",
        )
