"""Shards of a job in pages: those that have begun have a record, the others are as their job is."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from operator import attrgetter

from node.journal.base import Journal
from node.journal.records import JobRecord, ShardRecord, ShardState
from node.requester.record import never_begun


def live_page(
    job: JobRecord, begun: Mapping[int, ShardRecord], after: int, limit: int, states: Collection[ShardState]
) -> Iterator[ShardRecord]:
    """Of a job under way."""
    shards = (begun.get(number) or never_begun(number, job) for number in range(max(0, after + 1), job.shards))
    return islice((shard for shard in shards if not states or shard.state in states), max(0, limit))


def kept_page(
    journal: Journal, job: JobRecord, after: int, limit: int, states: Collection[ShardState]
) -> tuple[ShardRecord, ...]:
    """Of a job that has ended. Blocking."""
    kept = journal.shards(job.job, after=after, limit=limit, states=states)
    if states and never_begun(0, job).state not in states:
        return kept
    if len(kept) == job.shards:
        return kept
    begun = journal.shards_begun(job.job)
    others = (never_begun(number, job) for number in range(max(0, after + 1), job.shards) if number not in begun)
    return tuple(islice(heapq.merge(kept, others, key=attrgetter("shard")), max(0, limit)))
