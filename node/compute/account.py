"""What requesters have of this node: offers that we bid on, those being looked at, executions. Pure.

Every bound is for each requester by itself, so that nobody crowds out anybody else's. An account outlives its
requester's session for as long as something of it is still being cleared up.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from node import limits
from node.messages import Offer
from node.model import (
    EngineSpec,
    InlineInput,
    Input,
    JobId,
    JobSpec,
    LocalPublisher,
    ObjectPublisher,
    PeerId,
    Publisher,
    UrlInput,
    WasmEngine,
    shown,
)

GiveUp = Callable[[], object]  # Ends a look at an offer soon; again, nothing happens. Two looks are never equal.

_SPEC_BYTES = 1 * limits.KiB  # What any spec takes in memory,
_ITEM_BYTES = 64  # and each text of it besides its characters,
_INPUT_BYTES = 384  # and each input or output, and
_FILE_BYTES = 320  # each inline file, with its hash.


@dataclass(slots=True)
class Promises:
    """What open bids would have this node fetch: each input once, because executions share what is fetched."""

    total_bytes: int = 0
    _bids: Counter[tuple[bytes, int]] = field(default_factory=Counter)  # of each input and its size

    def add(self, to_fetch: Mapping[bytes, int]) -> None:
        """A further bid."""
        for each in to_fetch.items():
            self.total_bytes += 0 if self._bids[each] else each[1]
            self._bids[each] += 1

    def drop(self, to_fetch: Mapping[bytes, int]) -> None:
        """A bid that was added is open no more."""
        for each in to_fetch.items():
            self._bids[each] -= 1
            if not self._bids[each]:
                del self._bids[each]
                self.total_bytes -= each[1]


@dataclass(slots=True, eq=False)
class Taken:
    """An offer that was taken up, for as long as anything of it is here."""

    offer: Offer
    heard_at: float = 0.0  # trio's clock: the requester's last word about this job


@dataclass(slots=True)
class Account:
    """One requester's. ``promises``: those to all requesters."""

    promises: Promises = field(default_factory=Promises)
    executions: int = 0  # until nothing of them is left here
    execution_bytes: int = 0  # of their specs, each once however many run it, and of their paths
    _bids: OrderedDict[JobId, Offer] = field(default_factory=OrderedDict)  # not taken up yet
    _taken: OrderedDict[JobId, Taken] = field(default_factory=OrderedDict)
    _offer_bytes: int = 0
    _to_fetch: dict[JobId, Mapping[bytes, int]] = field(default_factory=dict)  # of bids that are not taken up yet
    _considered: dict[GiveUp, int] = field(default_factory=dict)  # offers that are being looked at, by their weight
    _running: Counter[int] = field(default_factory=Counter)  # executions of an offer, by its identity

    @property
    def is_unused(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self._bids or self._taken or self._to_fetch or self._considered or self.executions)

    def overburdened(self, offer: Offer) -> str | None:
        """Why an offer may not be looked at beside the others; None when it may."""
        if len(self._considered) >= limits.OFFERS_CONSIDERED_PER_PEER:
            return "too many offers of yours are being looked at"
        if sum(self._considered.values()) + weight(offer.spec) > limits.OFFERS_CONSIDERED_BYTES:
            return "offers of yours with large specs are being looked at"
        return None

    def consider(self, offer: Offer, give_up: GiveUp) -> None:
        """An offer is being looked at, until ``considered`` says that this is over."""
        self._considered[give_up] = weight(offer.spec)

    def considered(self, give_up: GiveUp) -> None:
        """Nothing of that look is left."""
        del self._considered[give_up]

    def promise(self, job: JobId, to_fetch: Mapping[bytes, int]) -> None:
        """Count what a bid would have this node fetch, until it is taken up (the cache reserves it then) or over."""
        self.promises.drop(self._to_fetch.pop(job, {}))
        if to_fetch:
            self._to_fetch[job] = to_fetch
            self.promises.add(to_fetch)

    def bid_on(self, offer: Offer) -> None:
        """Remember an offer until it is over; the oldest ones that were not taken up make room for it, then others."""
        self._drop(JobId(offer.job))
        self._bids[JobId(offer.job)] = offer
        self._offer_bytes += weight(offer.spec)
        while self._offer_bytes > limits.OFFER_BYTES_PER_REQUESTER and len(self._bids) + len(self._taken) > 1:
            self.forget(next(iter(self._bids if len(self._bids) > 1 else self._taken)))

    def take(self, job: JobId) -> Taken | None:
        """The offer, again and again, because a job may have many shards."""
        offer = self._bids.pop(job, None)
        self.promise(job, {})
        if offer is not None:
            self._taken[job] = Taken(offer)
        return self._taken.get(job)

    def forget(self, job: JobId) -> None:
        """The offer is over; what runs of it goes on."""
        self._drop(job)
        self.promise(job, {})

    def leave(self) -> None:
        """Its session is over, and with it every offer; those who look at one are told to give up."""
        for give_up in self._considered:
            give_up()
        self._bids.clear()
        self._taken.clear()
        for job in tuple(self._to_fetch):
            self.promise(job, {})
        self._offer_bytes = 0

    def refusal(self, offer: Offer, paths_bytes: int = 0) -> str | None:
        """Why no further execution of this requester may begin; None when it may."""
        if self.executions >= limits.EXECUTIONS_PER_REQUESTER:
            return f"{self.executions} executions of yours are here already"
        spec_bytes = 0 if self._running[id(offer)] else weight(offer.spec)
        if self.execution_bytes + spec_bytes + paths_bytes > limits.OFFER_BYTES_PER_REQUESTER:
            return f"{self.executions} executions of yours are here already, with large specs"
        return None

    def begin(self, offer: Offer, paths_bytes: int = 0) -> None:
        """One more execution; it holds on to its offer."""
        self.executions += 1
        self._running[id(offer)] += 1
        self.execution_bytes += paths_bytes + (weight(offer.spec) if self._running[id(offer)] == 1 else 0)

    def end(self, offer: Offer, paths_bytes: int = 0) -> None:
        """Nothing of an execution is left."""
        self.executions -= 1
        self._running[id(offer)] -= 1
        self.execution_bytes -= paths_bytes
        if not self._running[id(offer)]:
            del self._running[id(offer)]
            self.execution_bytes -= weight(offer.spec)

    def _drop(self, job: JobId) -> None:
        offer, taken = self._bids.pop(job, None), self._taken.pop(job, None)
        if taken is not None:
            offer = taken.offer
        if offer is not None:
            self._offer_bytes -= weight(offer.spec)


class Accounts:
    """Those of all requesters that have anything here."""

    def __init__(self) -> None:
        self._accounts: dict[PeerId, Account] = {}
        self.promises = Promises()

    def __len__(self) -> int:
        return len(self._accounts)

    def find(self, requester: PeerId) -> Account | None:
        """Its account, if it has one."""
        return self._accounts.get(requester)

    def of(self, requester: PeerId) -> Account:
        """Its account, opened now if there was none."""
        return self._accounts.setdefault(requester, Account(self.promises))

    def forget_unused(self, requester: PeerId) -> None:
        """Close its account if there is nothing to remember."""
        account = self._accounts.get(requester)
        if account is not None and account.is_unused:
            del self._accounts[requester]


def paths_weight(paths: Sequence[str] | None) -> int:
    """About the bytes of memory that the paths of a shard take."""
    return 0 if paths is None else sum(map(len, paths)) + _ITEM_BYTES * len(paths)


def weight(spec: JobSpec) -> int:
    """About the bytes of memory that a spec takes: hardly less, whoever wrote it."""
    engine, cut = spec.engine, spec.sharding
    texts = [*engine.args, *engine.env, *engine.env.values(), *_words(engine), *(each.path for each in spec.outputs)]
    texts += () if cut is None else (cut.glob_pattern, cut.base_path)
    items = _ITEM_BYTES * len(texts) + _INPUT_BYTES * (len(spec.inputs) + len(spec.outputs))
    refs = sum(map(_input_weight, spec.inputs)) + _chars(_place(spec.publisher))
    return _SPEC_BYTES + items + sum(map(_chars, texts)) + refs


def _words(engine: EngineSpec) -> Iterable[str]:
    """Its texts besides arguments and variables."""
    if isinstance(engine, WasmEngine):
        return filter(None, (engine.stdin,))
    named = (engine.image, engine.digest, engine.image_id, engine.workdir, engine.runtime)
    return (*filter(None, named), *(engine.entrypoint or ()))


def _input_weight(ref: Input) -> int:
    size = _chars(shown(ref)) + _chars(ref.path)
    if isinstance(ref, UrlInput):
        size += _chars(ref.etag or "")
    if isinstance(ref, InlineInput):
        size += sum(_FILE_BYTES + _chars(name) + len(file.content or b"") for name, file in ref.files.items())
    return size


def _place(publisher: Publisher) -> str:
    if isinstance(publisher, LocalPublisher):
        return publisher.folder
    return publisher.url if isinstance(publisher, ObjectPublisher) else ""


def _chars(text: str) -> int:
    """Bytes of its characters: one that is not ASCII may make all of them four bytes wide."""
    return len(text) if text.isascii() else 4 * len(text)
