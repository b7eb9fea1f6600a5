"""Whether to bid; the first check that fails is the answer.

The operator's lists; the rules that its requester should have checked; then, in the order of the reference system:
engine installed, verifier installed, what the inputs take of the disk (so they must be here), resources within what a
job may have; then whether there is room within reach, and last the operator's rule or probe (``node.compute.policy``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec

from node import limits
from node.compute.capacity import Need, need_of, refusal
from node.compute.policy import Policy
from node.compute.queue import Queue, again
from node.errors import DriverUnavailable, InvalidSpec, NoRoom, ResourceError
from node.executor.base import Executor
from node.messages import Offer
from node.model import DeclineCode, InlineInput, Input, JobSpec, PeerId, about, cut, engine_name
from node.publisher.base import Publishers
from node.spec import check_size, completed, document, room_s
from node.storage.sources import Sources

ToFetch = Mapping[bytes, int]  # Bytes of each input that is not here, by what it is.


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, as a stable code and for people."""

    code: DeclineCode
    reason: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What an execution would take here: the engine's identity, and what is to be fetched.

    ``fetches_data``: some of that is no inline file.
    """

    runs_with: str
    to_fetch: ToFetch
    fetches_data: bool = False

    @property
    def fetched_bytes(self) -> int:
        """All that is to be fetched."""
        return sum(self.to_fetch.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What this node can do; constant."""

    engines: Mapping[str, Executor]
    verifiers: Collection[str]
    storage: Sources
    publishers: Publishers
    job_limit: Need
    timeout_s: float
    policy: Policy


def refused_at_sight(sender: PeerId, offer: Offer, able: Abilities) -> Refusal | None:
    """The checks before those of the inputs. Pure."""
    spec = offer.spec
    unlisted = able.policy.refused_by_lists(sender, offer)
    if unlisted is not None:
        return Refusal("policy", unlisted)
    wrong = _broken_rule(offer)
    if wrong is not None:
        return Refusal("policy", wrong)
    engine = engine_name(spec)
    if engine not in able.engines:
        return Refusal("engine", f"no {engine} engine here")
    forbidden = able.engines[engine].refusal(spec.engine)
    if forbidden is not None:
        return Refusal("policy", cut(forbidden))
    if spec.verifier not in able.verifiers:
        return Refusal("verifier", f"no {spec.verifier} verifier here")
    unpublishable = able.publishers.refusal(spec.publisher)
    return None if unpublishable is None else Refusal("policy", cut(unpublishable))


def _broken_rule(offer: Offer) -> str | None:
    if offer.module_bytes > limits.MODULE_BYTES_MAX:
        return f"its module has {offer.module_bytes} bytes, the limit is {limits.MODULE_BYTES_MAX}"
    try:
        check_size(document(offer.spec))  # Whatever it has of inline files, too: an offer names them by their hashes.
        completed(offer.spec)
    except InvalidSpec as error:
        return cut(f"its spec breaks the rules: {error}")
    return None


def known_terms(spec: JobSpec, able: Abilities) -> Terms | None:
    """What a run would take, where nobody has to be asked for it nor about it. Pure."""
    if able.policy.probe is not None:
        return None
    runs_with = None if spec.inputs else able.engines[engine_name(spec)].identity(spec.engine)
    return None if runs_with is None else Terms(runs_with, {})


async def looked_at(spec: JobSpec, able: Abilities) -> Terms | Refusal:
    """What a run would take; or why it cannot be had here now."""
    try:
        runs_with = await able.engines[engine_name(spec)].looked_up(spec.engine)
    except DriverUnavailable as error:
        return Refusal("engine", cut(str(error)))
    return await _looked_up(spec, runs_with, able)


async def _looked_up(spec: JobSpec, runs_with: str, able: Abilities) -> Terms | Refusal:
    """What of the inputs this node would fetch; or why they cannot be used, because every one must be to be had."""
    to_fetch: dict[bytes, int] = {}
    fetches_data = False
    try:
        for ref in spec.inputs:
            size = await able.storage.to_fetch(ref)
            if size:
                to_fetch[_identity(ref)] = size
                fetches_data |= not isinstance(ref, InlineInput)
    except NoRoom as error:
        return Refusal("disk", cut(str(error)))
    except ResourceError as error:
        return Refusal("data", cut(str(error)))
    except OSError as error:  # This machine's trouble, wherever a driver met it: no file left to open, a broken disk.
        return Refusal("internal", f"this node could not look for its data: {error.strerror}")
    return Terms(runs_with, to_fetch, fetches_data)


def _identity(ref: Input) -> bytes:
    """The same for two inputs that are fetched once, wherever a job sees them; short, because every bid keeps it."""
    return hashlib.sha256(msgspec.msgpack.encode(msgspec.structs.replace(ref, path="/-"))).digest()


async def refused_for_disk(promised: int, able: Abilities) -> Refusal | None:
    """Whether the disk takes what this and all other open bids would have the node fetch."""
    try:
        await able.storage.need_room(promised)
    except NoRoom as error:
        return Refusal("disk", cut(str(error)))
    return None


def refused_for_size(spec: JobSpec, to_fetch: int, able: Abilities) -> Refusal | None:
    """Whether it asks for more than a job may have here. Pure."""
    too_much = refusal(need_of(spec.resources), able.job_limit)
    if too_much is not None:
        return Refusal("resources", too_much)
    too_much = refusal(need_of(spec.resources, to_fetch), able.job_limit)
    if too_much is not None:
        return Refusal("disk", too_much)
    if spec.timeout_s > able.timeout_s:
        return Refusal("resources", f"it may run for {spec.timeout_s:g} s, this node gives a job {able.timeout_s:g} s")
    return None


def wait_for_room(sender: PeerId, spec: JobSpec, queue: Queue, now: float) -> float | Refusal:
    """Seconds that an execution would wait for room, about; or why it may not come to wait. Pure."""
    need = need_of(spec.resources)
    full = queue.refusal(need, sender, now)
    if full is not None:
        return Refusal("full", full)
    wait_s, allowed_s = queue.wait_s(need, now), room_s(spec)
    if wait_s > allowed_s:
        return Refusal("full", f"no room for it within {about(allowed_s)}; {again(wait_s)}")
    return wait_s
