"""The states, events and effects of a job on its requester: what ``node.requester.machine`` leads from and to.

States are frozen and carry only what that state has, so votes cannot exist while bidding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from node.journal.records import Answer, EventKind, ExecutionRecord, Failure, ResultsRecord, VerdictRecord
from node.model import DirHash, Draw, ExecutionId, PeerId
from node.verifier.proposal import SignedProposal


@dataclass(frozen=True, slots=True)
class Bidding:
    """Collecting answers to the offer, in the order they come."""

    answers: tuple[Answer, ...] = ()

    @property
    def bidders(self) -> tuple[PeerId, ...]:
        """Who bid."""
        return tuple(answer.peer for answer in self.answers if answer.code is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Nodes chosen; collecting what they propose. ``proposals`` hold those that opened."""

    answers: tuple[Answer, ...]
    draw: Draw
    executions: tuple[ExecutionRecord, ...]
    proposals: Mapping[PeerId, SignedProposal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandingOver:
    """The vote is over and has winners: the first of ``asking`` is being asked for what won."""

    answers: tuple[Answer, ...]
    draw: Draw
    executions: tuple[ExecutionRecord, ...]
    proposals: Mapping[PeerId, SignedProposal]
    verdict: VerdictRecord
    asking: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Over, in one way, with one reason."""

    state: Literal["completed", "not_verified", "failed", "cancelled"]
    answers: tuple[Answer, ...]
    draw: Draw | None = None
    executions: tuple[ExecutionRecord, ...] = ()
    verdict: VerdictRecord | None = None
    failure: Failure | None = None
    results: ResultsRecord | None = None


State = Bidding | Running | HandingOver | Ended


@dataclass(frozen=True, slots=True)
class Answered:
    """A node bid, or declined with a code and a reason."""

    peer: PeerId
    code: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """The session with a node is over."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class BidWindowClosed:
    """The time for bids is over."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The lots are drawn: who runs, under which execution ids (in the draw's order)."""

    draw: Draw
    executions: tuple[ExecutionId, ...]


@dataclass(frozen=True, slots=True)
class Began:
    """The workload of a node is running."""

    peer: PeerId
    execution: ExecutionId


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
    """Whoever has not proposed by now is late."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What won has been handed over, checked and kept."""

    results: ResultsRecord


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
class CannotKeep:
    """This machine cannot keep the results."""

    why: str


@dataclass(frozen=True, slots=True)
class HandOverDeadline:
    """The winners' time is over."""


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """The owner does not want it any more."""


Event = (
    Answered
    | Left
    | BidWindowClosed
    | Drawn
    | Began
    | Proposal
    | RunFailed
    | RunDeadline
    | Kept
    | Lied
    | NotHandedOver
    | CannotKeep
    | HandOverDeadline
    | CancelAsked
)


@dataclass(frozen=True, slots=True)
class DrawLots:
    """Draw ``Deal.concurrency`` of these bidders and deliver Drawn."""

    bidders: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Engage:
    """Tell the chosen to run, the other bidders that they were not chosen, and arm the run deadline."""

    executions: tuple[ExecutionRecord, ...]
    rejected: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask a winner to hand over, and deliver Kept, Lied, NotHandedOver or CannotKeep."""

    peer: PeerId
    execution: ExecutionId
    hash: DirHash


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Tell these nodes to stop and to delete."""

    executions: tuple[ExecutionRecord, ...]


@dataclass(frozen=True, slots=True)
class Decline:
    """Tell a bidder that it is too late or was not chosen."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Note:
    """One line for the job's history."""

    kind: EventKind
    peer: PeerId | None = None
    execution: ExecutionId | None = None
    text: str = ""


Effect = DrawLots | Engage | Fetch | Dismiss | Decline | Note
