"""What the journal keeps of a job: the disk's own structs, version 1.

A job is one ``JobRecord``, written when its phase changes, and one ``ShardRecord`` for each shard that has begun,
written when that shard changes; a shard without one is waiting, or never began because its job ended before. Peers'
words in them are already cut (``model.cut``).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from node.model import ClientId, Draw, ExecutionId, JobId, JobSpec, PeerId

JobState = Literal["bidding", "running", "handing_over", "completed", "not_verified", "failed", "cancelled"]
TERMINAL: frozenset[str] = frozenset({"completed", "not_verified", "failed", "cancelled"})

ShardState = Literal["waiting", "running", "handing_over", "completed", "not_verified", "failed", "cancelled"]

# Why a job or a shard failed. Closed, shown to users, stable.
JobFailureCode = Literal[
    "bids",  # fewer bids than the deal needs by the end of the bid window
    "executions",  # no execution gave a proposal
    "time",  # as above, and time was the reason
    "hand_over",  # no winner handed over what won
    "restart",  # the requester stopped in the middle
    "room",  # the requester could not keep the results
]

EventKind = Literal[
    "submitted",
    "offered",
    "bid",
    "declined",
    "drawn",
    "queued",
    "started",
    "progress",
    "proposed",
    "execution_failed",
    "verdict",
    "compared",
    "liar",
    "kept",
    "shard_failed",
    "ended",
]


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of what is on disk."""


class Answer(_Record, frozen=True, kw_only=True):
    """What a node answered to the offer. ``code`` None: it bid."""

    peer: PeerId
    code: str | None = None
    reason: str = ""
    slots: int = 1  # executions that it would run at once
    holds: bool = False  # it needs to fetch nothing
    runs_with: str = ""  # what would run it: results of others cannot be compared
    wait_s: float = 0.0  # how long it would have to wait there for room, about


class ExecutionRecord(_Record, frozen=True, kw_only=True):
    """One run of one shard on one node."""

    execution: ExecutionId
    shard: int
    peer: PeerId
    state: Literal["waiting", "accepted", "running", "proposed", "failed"]  # waiting: drawn, its turn has not come
    hash: str | None = None  # ``h1:…`` that it proposed; "" for a proposal that did not open
    code: str | None = None  # why it failed (model.FailureCode)
    reason: str = ""
    agreed: bool | None = None  # after the verdict: with the winning group or not
    lied: str | None = None  # it won the vote and handed over something else: what
    wait_s: float = 0.0  # how long it waits for room, about, as its node said when it was given to it
    sources: tuple[str, ...] = ()  # which driver served each input, as the node says; "" for one it does not see


class Group(_Record, frozen=True, kw_only=True):
    """Nodes that proposed the same hash."""

    hash: str
    peers: tuple[PeerId, ...]


class VerdictRecord(_Record, frozen=True, kw_only=True):
    """How the vote ended. ``unchecked`` is the noop verifier's word."""

    kind: Literal["verified", "not_verified", "unchecked"]
    hash: str = ""
    groups: tuple[Group, ...] = ()  # largest first, then by hash
    reason: str = ""


class ResultsRecord(_Record, frozen=True, kw_only=True):
    """What is kept of a job."""

    hash: str  # ``h1:…`` of all files by their names in the vault: ``stdout``, or ``per_shard/<shard>/stdout``
    files: int
    bytes: int
    folder: str | None = None  # relative to the vault; None: they were published, or nobody keeps them


class ShardResults(_Record, frozen=True, kw_only=True):
    """What won a shard and is kept."""

    hash: str  # of its files under their own names, as voted on
    files: int
    bytes: int
    peer: PeerId  # who handed it over, or published it
    exit_code: int | None = None
    location: str = ""  # where it is published and was read back from; "": the requester keeps it, or nobody does


class Failure(_Record, frozen=True, kw_only=True):
    """Why a job or a shard failed, for people."""

    code: JobFailureCode
    reason: str


class ShardRecord(_Record, frozen=True, kw_only=True):
    """One shard of a job. Votes are counted, winners asked and results kept for each shard by itself."""

    shard: int
    state: ShardState = "waiting"
    executions: tuple[ExecutionRecord, ...] = ()  # one for each node that was drawn, in the order of the draw
    verdict: VerdictRecord | None = None
    failure: Failure | None = None
    results: ShardResults | None = None


class Tally(_Record, frozen=True, kw_only=True):
    """How many shards of a job are in which state; each field is a ``ShardState``."""

    waiting: int = 0
    running: int = 0
    handing_over: int = 0
    completed: int = 0
    not_verified: int = 0
    failed: int = 0
    cancelled: int = 0


class JobEvent(_Record, frozen=True, kw_only=True):
    """One line of a job's history. ``seq`` counts from 1 in each job; ``at`` is seconds since 1970 UTC."""

    seq: int
    at: float
    kind: EventKind
    peer: PeerId | None = None
    execution: ExecutionId | None = None
    shard: int | None = None  # None: of the whole job
    text: str = ""


class JobRecord(_Record, frozen=True, kw_only=True):
    """A job as its requester knows it."""

    version: Literal[1] = 1
    job: JobId
    client: ClientId
    spec: JobSpec
    spec_sha256: str
    submitted_at: float
    deadline: float  # by when it has ended, whatever happens
    shards: int = 1
    plan_sha256: str | None = None  # of the plan's canonical JSON; None without sharding
    tally: Tally = Tally(waiting=1)
    state: JobState = "bidding"
    answers: tuple[Answer, ...] = ()  # in the order they came
    draw: Draw | None = None
    failure: Failure | None = None
    results: ResultsRecord | None = None
    reason: str = ""  # why it is not completed, in a line
    ended_at: float | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in TERMINAL
