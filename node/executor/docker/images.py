"""Images: what a name means, whether one is here or could be had, and fetching it, once for all who wait for it.

A name is looked up where it lies: in the engine, else in its registry, asked by the engine with the operator's own
credentials. Only registries that the operator lists are asked, because a name is also an address that somebody else
wrote. What was pulled for jobs is bounded together: those used longest ago make room.
Does not live here: the grammar of names (``references``), which are kept over a restart (``pulled``).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import trio

from node import limits
from node.ambient import Offload
from node.errors import DriverUnavailable, ExecutionFailed, NoRoom
from node.executor.docker.engine import Engine, Image, Refused
from node.executor.docker.pull import Pull, Tell
from node.executor.docker.pulled import Pulled
from node.executor.docker.references import Reference, digest_among, may_be_asked, parsed, pinned_name
from node.model import DockerEngine
from node.turns import Turns

log = logging.getLogger("quorate.docker")

_T = TypeVar("_T")
_NOT_THERE = frozenset({400, 401, 403, 404})  # Registries do not tell what is not there from what is not for everybody.


class Unknown(DriverUnavailable):
    """The name leads to no image that this node may have, and will not by itself."""


@dataclass(frozen=True, slots=True)
class _Answer:
    at: float
    missing: str = ""  # why; "": it is here, or can be had


@dataclass(slots=True)
class _Fetch:
    """One image on its way."""

    lock: trio.Lock = field(default_factory=trio.Lock)
    listeners: list[Tell] = field(default_factory=list)
    pull: Pull | None = None

    @property
    def too_late(self) -> str:
        """What to say to those whose time ends meanwhile."""
        amount = self.pull.amount if self.pull is not None else ""
        return (
            f"the image was still being pulled{f' ({amount})' if amount else ''} when the time was over;"
            " raise --timeout, or have this node's operator pull it first"
        )


class Images:
    """Of one engine. ``registries`` are hosts, or ``*``."""

    def __init__(self, engine: Engine, pulled: Pulled, registries: Collection[str], offload: Offload) -> None:
        self._engine = engine
        self._offload = offload
        self._pulled = pulled
        self._registries = registries
        self._here: OrderedDict[str, Image] = OrderedDict()
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._fetches: dict[str, _Fetch] = {}
        self._turns = Turns(limits.IMAGE_PULLS)

    def forget(self) -> None:
        """Nothing is known any more: the engine may be another one."""
        self._here.clear()
        self._answers.clear()

    def is_known(self, engine: DockerEngine) -> bool:
        """Whether it was found a short while ago."""
        answer = self._answer(pinned_name(engine))
        return answer is not None and not answer.missing

    async def pinned(self, engine: DockerEngine) -> DockerEngine:
        """With the digest that its name means now; of an image that is in no registry, its id. Raises ValueError
        for what is no name, Unknown for one that leads to nothing, DriverUnavailable when that cannot be told now.
        """
        named = parsed(engine.image)
        digest = engine.digest or named.digest or None
        if named.digest and digest != named.digest:
            raise ValueError(f"its digest is not the one that {engine.image!r} says")
        if digest is None and engine.image_id is None:
            return await self._resolved(engine, named)
        return msgspec.structs.replace(engine, digest=digest, image_id=None if digest else engine.image_id)

    async def look_up(self, engine: DockerEngine) -> None:
        """Fetches nothing. Raises DriverUnavailable unless it is here or its registry has it."""
        name = pinned_name(engine)
        answer = self._answer(name)
        if answer is None:
            answer = _Answer(trio.current_time(), await self._missing(engine, name))
            _keep(self._answers, name, answer)
        if answer.missing:
            raise DriverUnavailable(answer.missing)

    async def had(self, engine: DockerEngine, tenant: str, tell: Tell, deadline: float) -> Image:
        """The image, fetched if need be until ``deadline`` (trio's clock); ``tell`` hears how that goes.

        Raises ExecutionFailed when that is over, DriverUnavailable.
        """
        name = pinned_name(engine)
        with self._listening(name, tell) as fetch:
            with trio.move_on_at(deadline):
                found = await self._here_now(engine, tenant, fetch)
                _keep(self._here, name, found)
                self._pulled.use(name)
                return found
            raise ExecutionFailed("time", fetch.too_late)

    def lost(self, engine: DockerEngine) -> None:
        """It was known to be here, and is not."""
        self._forget_one(pinned_name(engine))

    def _answer(self, name: str) -> _Answer | None:
        answer = self._answers.get(name)
        if answer is None:
            return None
        age_s = trio.current_time() - answer.at
        return answer if age_s < (limits.IMAGE_MISSING_S if answer.missing else limits.IMAGE_KNOWN_S) else None

    async def _resolved(self, engine: DockerEngine, named: Reference) -> DockerEngine:
        found = await self._asked(named.tagged)
        if found is None:
            digest: str | None = await self._distributed(named, named.tagged)
        else:
            digest = digest_among(found.names, named.repository)
        if digest is None and found is not None:
            return msgspec.structs.replace(engine, image_id=found.id)
        return msgspec.structs.replace(engine, digest=digest)

    async def _missing(self, engine: DockerEngine, name: str) -> str:
        if await self._asked(name) is not None:
            return ""
        if engine.digest is None:
            return f"the image {engine.image} is in no registry, and not here with the id {engine.image_id}"
        try:
            await self._distributed(parsed(engine.image), name)
        except DriverUnavailable as error:
            return str(error)
        return ""

    async def _asked(self, name: str) -> Image | None:
        try:
            return await self._engine.image(name)
        except Refused as error:
            raise DriverUnavailable(f"the docker engine does not say whether it has {name}: {error}") from error

    async def _distributed(self, named: Reference, name: str) -> str:
        """What its registry says of it. Raises DriverUnavailable; Unknown where that has none, or may not be asked."""
        if not may_be_asked(named.registry, self._registries):
            raise Unknown(
                f"the image {name} is not here, and this node pulls none from {named.registry} (--docker-registry)"
            )
        with trio.move_on_after(limits.IMAGE_LOOK_S):
            try:
                return await self._engine.distributed(name)
            except Refused as error:
                if error.status not in _NOT_THERE:
                    raise DriverUnavailable(f"{named.registry} does not say whether it has {name}: {error}") from error
                raise Unknown(f"{named.registry} does not have the image {name}: {error}") from error
        raise DriverUnavailable(f"{named.registry} did not say within {limits.IMAGE_LOOK_S:g} s whether it has {name}")

    async def _here_now(self, engine: DockerEngine, tenant: str, fetch: _Fetch) -> Image:
        name = pinned_name(engine)
        async with fetch.lock:
            found = self._here.get(name) or await self._asked(name)
            return found or await self._fetched(engine, tenant, fetch)

    async def _fetched(self, engine: DockerEngine, tenant: str, fetch: _Fetch) -> Image:
        """Pull it, when it is this tenant's turn. Raises DriverUnavailable."""
        named, name = parsed(engine.image), pinned_name(engine)
        if engine.digest is None or not may_be_asked(named.registry, self._registries):
            raise DriverUnavailable(f"the image {name} is not here, and cannot be pulled")
        folder = (await self._engine.information()).folder
        bytes_max = min(limits.IMAGE_BYTES_MAX, self._pulled.bytes_max)
        pull = fetch.pull = Pull(name, folder, bytes_max, fetch.listeners)
        pull.tell(f"pulling {name}")
        try:
            async with self._turns.one(tenant):
                with trio.fail_after(limits.IMAGE_PULL_S):
                    await self._engine.pull(named.repository, engine.digest, pull.heard)
        except trio.TooSlowError as error:
            raise DriverUnavailable(f"pulling {name} took more than {limits.IMAGE_PULL_S:g} s") from error
        except (Refused, NoRoom) as error:
            raise DriverUnavailable(f"the image {name} cannot be pulled: {error}") from error
        finally:
            pull.is_abandoned = True
        with trio.CancelScope(shield=True):  # What is here and not kept account of would never make room.
            found = await self._kept(name, bytes_max)
        return found

    async def _kept(self, name: str, bytes_max: int) -> Image:
        """Make room for what was pulled. Raises DriverUnavailable where it takes too much."""
        found = await self._asked(name)
        if found is None:
            raise DriverUnavailable(f"the image {name} was pulled and is not here")
        log.info("image_pulled", extra={"image": name, "bytes": found.size})
        self._pulled.add(name, found.size)
        in_the_way = (name,) if found.size > bytes_max else self._pulled.in_the_way()
        for other in in_the_way:
            await self._remove(other)
        with suppress(OSError):  # Then a restarted node does not know that it is one that may go.
            await self._offload(self._pulled.save)
        if found.size > bytes_max:
            raise DriverUnavailable(f"the image {name} takes {found.size} bytes, this node's limit is {bytes_max}")
        return found

    async def _remove(self, name: str) -> None:
        self._forget_one(name)
        try:
            await self._engine.remove_image(name)
            log.info("image_removed", extra={"image": name})
        except Refused as error:
            if error.status != 404:  # A container uses it: it goes another time.
                return
        self._pulled.drop(name)

    def _forget_one(self, name: str) -> None:
        self._here.pop(name, None)
        self._answers.pop(name, None)

    @contextmanager
    def _listening(self, name: str, tell: Tell) -> Iterator[_Fetch]:
        fetch = self._fetches.setdefault(name, _Fetch())
        fetch.listeners.append(tell)
        try:
            yield fetch
        finally:
            fetch.listeners.remove(tell)
            if not fetch.listeners:
                del self._fetches[name]


def _keep(kept: OrderedDict[str, _T], name: str, value: _T) -> None:
    kept[name] = value
    kept.move_to_end(name)
    while len(kept) > limits.IMAGES_KNOWN:
        kept.popitem(last=False)
