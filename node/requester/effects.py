"""What the machines of jobs and shards want done: values that ``node.requester.steps`` and ``role`` perform.

Does not live here: when (``node.requester.machine``, ``shard``), and the states and events (``life``).
"""

from __future__ import annotations

from dataclasses import dataclass

from node.journal.records import EventKind, ExecutionRecord
from node.model import DirHash, ExecutionId, PeerId
from node.requester.life import Stopped


@dataclass(frozen=True, slots=True)
class DrawLots:
    """Draw among these bidders, some of whom hold the data, and some have to wait for room, and deliver Drawn."""

    bidders: tuple[PeerId, ...]
    holders: tuple[PeerId, ...]
    waiting: tuple[PeerId, ...] = ()


@dataclass(frozen=True, slots=True)
class HearOthers:
    """Deliver NoBetter after so many seconds."""

    seconds: float


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
class Extend:
    """Arm the deadline of an execution anew, which has to wait for room first."""

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


JobEffect = DrawLots | HearOthers | Work | Stop | File | Decline | Note
ShardEffect = Engage | Extend | Fetch | Compare | Dismiss | Note
# By the role; the steps do the rest.
Performed = DrawLots | HearOthers | File | Decline | Engage | Extend | Fetch | Compare | Dismiss | Note | GoOn
