"""What the HTTP API may ask of the requester. ``node.requester.desk`` answers it; API tests use a fake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from node.journal.records import JobEvent, JobRecord, ShardRecord, ShardState
from node.model import ClientId, ExecutionId, JobSpec, PeerId, Plan

StreamName = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a client has of the output of an execution, in bytes."""

    execution: ExecutionId
    stdout: int = 0
    stderr: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsAsked:
    """Output of which shard; ``execution``: the beginning of an id, "" for any. ``follow``: until the job has ended.

    ``seen``: what the client has from before.
    """

    shard: int = 0
    execution: str = ""
    follow: bool = False
    seen: Seen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogItem:
    """Whose output follows (``text``: what it is worth), bytes of a stream, a note, or the end, perhaps with a word.

    ``seen`` is what the client has behind it.
    """

    kind: Literal["execution", "stdout", "stderr", "note", "end"]
    seen: Seen | None = None
    peer: PeerId | None = None
    data: bytes = b""
    text: str = ""


class Jobs(Protocol):
    """A client's jobs. ``name`` is a job id or any prefix of one that is unique among that client's jobs.

    Every call raises NotFound for a job that is not this client's, and Conflict for a prefix that fits several.
    """

    async def submit(self, client: ClientId, spec: JobSpec) -> JobRecord:
        """Take a parsed spec; when this returns, the job survives a crash. Raises InvalidSpec, TooMany, NoRoom."""

    async def plan(self, client: ClientId, spec: JobSpec) -> Plan:
        """The shards that the spec would have now; without sharding the one, with the paths of its inputs.

        Raises InvalidSpec.
        """

    async def find(self, client: ClientId, name: str) -> JobRecord:
        """The job as it is now."""

    async def shards(
        self, client: ClientId, name: str, *, after: int = -1, limit: int, states: Collection[ShardState] = ()
    ) -> tuple[ShardRecord, ...]:
        """Shards with a number > ``after``, in order, at most ``limit``; only those in ``states``, if any are named.

        A shard that has not begun is there too: ``waiting``, or as its job ended.
        """

    async def paths(self, client: ClientId, name: str, shards: Collection[int]) -> Mapping[int, Sequence[str]]:
        """What each of these shards sees of the inputs, as guest paths; of a job without sharding, nothing."""

    async def recent(self, client: ClientId, limit: int) -> tuple[JobRecord, ...]:
        """The client's jobs, newest first."""

    async def cancel(self, client: ClientId, name: str) -> JobRecord:
        """End it; returns when that is durable. A job that has ended stays as it is: Conflict."""

    async def wait(self, client: ClientId, name: str, seconds: float) -> JobRecord:
        """The job once it has ended, or as it is after ``seconds``."""

    def events(self, client: ClientId, name: str, after: int) -> AbstractAsyncContextManager[AsyncIterator[JobEvent]]:
        """The job's history from ``seq`` > ``after`` on, then live; ends after the event ``ended``."""

    def logs(
        self, client: ClientId, name: str, asked: LogsAsked
    ) -> AbstractAsyncContextManager[AsyncIterator[LogItem]]:
        """The output of an execution, live or as it is kept; ends with an item ``end``. Raises TooMany.

        While the vote over a shard is open it is that of one execution; another one is a Conflict.
        """

    async def receipt(self, client: ClientId, name: str) -> bytes:
        """The signed receipt. Raises NotFound when the job has none (yet)."""
