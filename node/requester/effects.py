"""What a job and its shards want done: effects of their machines, performed by ``role`` and ``steps``."""

from __future__ import annotations

from dataclasses import dataclass

from node.journal.records import EventKind, ExecutionRecord
from node.model import DirHash, ExecutionId, PeerId
from node.requester.life import Stopped


@dataclass(frozen=True, slots=True)
class DrawLots:
    """Draw among these bidders, some of whom hold the data, and deliver Drawn."""

    bidders: tuple[PeerId, ...]
    holders: tuple[PeerId, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """Begin with the shards (``node.requester.schedule``)."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """Begin more shards when everybody else had a turn."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Give every shard that has begun and is not settled this event; the job has counted them already."""

    event: Stopped


@dataclass(frozen=True, slots=True)
class File:
    """Make what was won whole, sign the receipt, and deliver Filed or CannotKeep."""


@dataclass(frozen=True, slots=True)
class Decline:
    """Tell a bidder that it is too late, was not chosen, or that the job is over for it."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Engage:
    """Tell this node to run, and arm the deadline of its execution."""

    run: ExecutionRecord


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask a winner to hand over, and deliver Kept, Lied, NotHandedOver or CannotKeep."""

    peer: PeerId
    execution: ExecutionId
    hash: DirHash
    shard: int = 0


@dataclass(frozen=True, slots=True)
class Compare:
    """Ask one node of each of these groups, the largest first, for its list of files, and deliver Compared, soon."""

    shard: int
    groups: tuple[tuple[ExecutionRecord, ...], ...]


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Tell these nodes to stop and to delete; with ``retract`` also what they may have published."""

    executions: tuple[ExecutionRecord, ...]
    retract: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """One line for the job's history."""

    kind: EventKind
    peer: PeerId | None = None
    execution: ExecutionId | None = None
    text: str = ""
    shard: int | None = None


JobEffect = DrawLots | Work | Stop | File | Decline | Note
ShardEffect = Engage | Fetch | Compare | Dismiss | Note
Effect = JobEffect | ShardEffect | GoOn
Performed = (
    DrawLots | File | Decline | Engage | Fetch | Compare | Dismiss | Note | GoOn
)  # by the role; the steps do the rest
