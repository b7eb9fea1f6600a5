"""The journal's interface. Writes are queued and called back when durable; reads may block and are offloaded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import trio

from node.journal.records import JobEvent, JobRecord, ShardRecord
from node.model import ClientId, JobId, Plan, Sha256


@dataclass(frozen=True, slots=True)
class SaveJob:
    """Replace the job's record and these of its shards, append its events; keep its plan and its receipt if given."""

    record: JobRecord
    events: tuple[JobEvent, ...] = ()
    receipt: bytes | None = None
    shards: tuple[ShardRecord, ...] = ()
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class SaveShards:
    """Replace the records of some shards and append events; the job's own record stays as it is."""

    job: JobId
    shards: tuple[ShardRecord, ...]
    events: tuple[JobEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class SaveModule:
    """Note that ``client`` may use this module, of ``size`` bytes."""

    client: ClientId
    sha256: Sha256
    size: int


@dataclass(frozen=True, slots=True)
class ForgetResults:
    """The owner deleted the results of a job."""

    job: JobId


Entry = SaveJob | SaveShards | SaveModule | ForgetResults


class Journal(Protocol):
    """Durable history of this node."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled; what was queued by then is still written. Raises JournalError when it cannot."""

    def write(self, entries: Sequence[Entry], then: Callable[[], None] | None = None) -> None:
        """Queue entries as one transaction; ``then`` runs in the trio thread once they are on disk, in order."""

    def job(self, job: JobId) -> JobRecord | None:
        """One job. Blocking."""

    def jobs(self, client: ClientId, prefix: str = "", *, limit: int = 1000) -> tuple[JobRecord, ...]:
        """A client's jobs whose id begins with ``prefix``, newest first. Blocking.

        At most ``limit``, and no more than have ``limits.JOBS_LISTED_BYTES``; but always two, if there are.
        """

    def unfinished(self) -> tuple[JobRecord, ...]:
        """Jobs of any client that have not ended. Blocking."""

    def shards(
        self, job: JobId, *, after: int = -1, limit: int, states: Collection[str] = ()
    ) -> tuple[ShardRecord, ...]:
        """Records of shards with a number > ``after``, in order, at most ``limit``. Blocking.

        ``states``: only those, if any are named. A shard that never began has no record.
        """

    def shards_begun(self, job: JobId) -> frozenset[int]:
        """The shards that have a record. Blocking."""

    def paths(self, job: JobId, shards: Collection[int]) -> Mapping[int, tuple[str, ...]]:
        """What each of these shards sees, by the job's plan; none of them for a job without sharding. Blocking.

        Reads the plan once and decodes these shards alone: 7 ms of the longest plan, however many of its shards.
        """

    def events(self, job: JobId, after: int = 0) -> tuple[JobEvent, ...]:
        """A job's history from ``seq`` > ``after`` on. Blocking."""

    def receipt(self, job: JobId) -> bytes | None:
        """The receipt as it was signed. Blocking."""

    def module_size(self, client: ClientId, sha256: Sha256) -> int | None:
        """Size of a module that this client uploaded. Blocking."""

    def modules_bytes(self, client: ClientId) -> int:
        """Bytes of all modules of this client. Blocking."""
