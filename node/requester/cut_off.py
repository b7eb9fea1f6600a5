"""Jobs that were under way when their requester stopped: at the next start they end as failed, and say so.

What their shards had won lies in a folder that was never named, and their votes in memory that is gone, so no receipt
can be made: nothing of it is kept.
"""

from __future__ import annotations

import logging

import msgspec

from node import limits
from node.ambient import Ambient
from node.journal.base import Journal, SaveJob
from node.journal.records import TERMINAL, Failure, JobEvent, JobRecord, ShardRecord, Tally
from node.requester.ends import moved
from node.vault.results import Results

log = logging.getLogger("quorate.requester")

_FAILURE = Failure(code="restart", reason="the requester stopped in the middle of this job; submit it again to run it")


async def end_cut_off(journal: Journal, results: Results, ambient: Ambient) -> None:
    """End all of them, and delete what they left in the vault."""
    for record in await ambient.offload(journal.unfinished):
        log.warning("job_cut_off", extra={"job": record.job})
        entry = await ambient.offload(_ended, journal, record, ambient.now())
        await ambient.offload(results.delete, record)  # Whole perhaps, and not journalled.
        journal.write((entry,))
    await ambient.offload(results.sweep)


def _ended(journal: Journal, record: JobRecord, at: float) -> SaveJob:
    """Blocking."""
    shards = journal.shards(record.job, limit=limits.SHARDS_MAX)
    tally = Tally(failed=record.shards)
    for shard in shards:
        if shard.state in TERMINAL:
            tally = moved(tally, "failed", shard.state)
    event = JobEvent(seq=len(journal.events(record.job)) + 1, at=at, kind="ended", text=_FAILURE.reason)
    ended = msgspec.structs.replace(
        record, state="failed", tally=tally, failure=_FAILURE, reason=_FAILURE.reason, ended_at=at
    )
    cut_off = tuple(map(_cut_off, filter(_is_open, shards)))
    return SaveJob(ended, (event,), shards=cut_off)


def _is_open(shard: ShardRecord) -> bool:
    return shard.state not in TERMINAL


def _cut_off(shard: ShardRecord) -> ShardRecord:
    return msgspec.structs.replace(shard, state="failed", failure=_FAILURE)
