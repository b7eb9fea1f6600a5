"""The states and events of a job and of its shards, between which ``machine`` and ``shard`` lead.

States are frozen and carry only what that state has, so votes cannot exist while bidding. A job knows of its shards how
many are in which state; a shard knows nothing of the others. Does not live here: any decision, and what is done then
(``node.requester.effects``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from node.journal.records import (
    Answer,
    ExecutionRecord,
    Failure,
    ResultsRecord,
    ShardRecord,
    ShardResults,
    ShardState,
    Tally,
    VerdictRecord,
)
from node.model import Draw, ExecutionId, PeerId
from node.verifier.proposal import SignedProposal

# --- a job --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bidding:
    """Collecting answers to the offer, in the order they come."""

    answers: tuple[Answer, ...] = ()

    @property
    def bidders(self) -> tuple[PeerId, ...]:
        """Who bid."""
        return tuple(answer.peer for answer in self.answers if answer.code is None)


@dataclass(frozen=True, slots=True)
class Trouble:
    """The first shard that ended in a state, and why."""

    shard: int
    reason: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """Lots drawn; shards wait, run and hand over. The first that failed, or was not verified, is remembered."""

    answers: tuple[Answer, ...]
    draw: Draw
    tally: Tally
    failed: Trouble | None = None
    not_verified: Trouble | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """Every shard is settled and something was won: it is being made whole and named. Then the job ends so."""

    then: Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Over, in one way, with one reason."""

    state: Literal["completed", "not_verified", "failed", "cancelled"]
    answers: tuple[Answer, ...]
    tally: Tally
    draw: Draw | None = None
    failure: Failure | None = None
    reason: str = ""
    results: ResultsRecord | None = None


State = Bidding | Working | Filing | Ended


@dataclass(frozen=True, slots=True)
class Answered:
    """A node bid, or declined with a code and a reason."""

    peer: PeerId
    code: str | None = None
    reason: str = ""
    slots: int = 1
    holds: bool = False
    runs_with: str = ""
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Left:
    """The session with a node is over. For a job that is bidding, and for a shard."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class BidWindowClosed:
    """The time for bids is over."""


@dataclass(frozen=True, slots=True)
class NoBetter:
    """Waiting for bidders that can start at once is not worth it: nobody else is asked, or time is up."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The lots are drawn."""

    draw: Draw


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A shard went from one state to the next; ``reason`` and ``failure`` say why it ended, if it did."""

    shard: int
    before: ShardState
    after: ShardState
    reason: str = ""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Filed:
    """Everything that was won is whole and has its name."""

    results: ResultsRecord


@dataclass(frozen=True, slots=True)
class CannotKeep:
    """This machine cannot keep the results; of one shard, or, once they are being filed, of the job."""

    why: str


@dataclass(frozen=True, slots=True)
class JobDeadline:
    """The job has had all the time that its shards can take."""


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """The owner does not want it any more."""


Event = Answered | Left | BidWindowClosed | NoBetter | Drawn | Moved | Filed | CannotKeep | JobDeadline | CancelAsked

# --- a shard ------------------------------------------------------------------------------------

Ballots = Mapping[PeerId, SignedProposal]  # of the proposals that opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Nodes drawn; collecting what they propose. ``started``: executions in the order in which they began to run."""

    shard: int
    executions: tuple[ExecutionRecord, ...]
    ballots: Ballots = field(default_factory=dict)
    started: tuple[ExecutionId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandingOver:
    """The vote is over and has winners: the first of ``asking`` is being asked for what won."""

    shard: int
    executions: tuple[ExecutionRecord, ...]
    ballots: Ballots
    verdict: VerdictRecord
    asking: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """The vote is over and nobody won: a node of each group is being asked which files it has."""

    shard: int
    executions: tuple[ExecutionRecord, ...]
    ballots: Ballots
    verdict: VerdictRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Nothing of it will change. ``record.state`` is completed, not_verified, failed or cancelled."""

    record: ShardRecord
    ballots: Ballots


Shard = Running | HandingOver | Comparing | Settled


@dataclass(frozen=True, slots=True)
class TurnCame:
    """The execution of this node may begin."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Waits:
    """A node has to wait for room, about so long, before it can begin."""

    peer: PeerId
    execution: ExecutionId
    wait_s: float


@dataclass(frozen=True, slots=True)
class Began:
    """The workload of a node is running, on inputs from these sources."""

    peer: PeerId
    execution: ExecutionId
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A node proposes a hash; ``signed`` None: it did not open, and counts as the empty hash."""

    peer: PeerId
    execution: ExecutionId
    signed: SignedProposal | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RunFailed:
    """A node says that there will be no proposal."""

    peer: PeerId
    execution: ExecutionId
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunDeadline:
    """If this execution has not proposed by now, it is late."""

    execution: ExecutionId


@dataclass(frozen=True, slots=True)
class Kept:
    """What won has been handed over, checked and kept."""

    results: ShardResults


@dataclass(frozen=True, slots=True)
class Lied:
    """A winner handed over something other than what won."""

    peer: PeerId
    what: str


@dataclass(frozen=True, slots=True)
class NotHandedOver:
    """A winner went away, or no longer has it."""

    peer: PeerId
    why: str


@dataclass(frozen=True, slots=True)
class Compared:
    """In which files the groups differ, in a line; "" where that could not be learned."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Its job is over: cancelled, or failed for this reason."""

    failure: Failure | None = None


ShardEvent = (
    TurnCame
    | Waits
    | Began
    | Proposal
    | RunFailed
    | Left
    | RunDeadline
    | Kept
    | Lied
    | NotHandedOver
    | CannotKeep
    | Compared
    | Stopped
)
