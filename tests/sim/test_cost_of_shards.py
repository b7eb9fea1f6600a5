"""What a job costs does not grow faster than its shards: counted in rows, bytes and steps, not in time."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from dataclasses import replace

from sim.cluster import CLIENT, MODULE, MODULE_SHA256, cluster, simulate
from sim.sharded import plant, sharded

from node.executor.scripted import Play
from node.journal.base import SaveJob, SaveModule, SaveShards
from node.journal.records import Tally
from node.journal.writer import InlineJournal
from node.wiring import Node

QUICK = Play(stdout=b"same", takes_s=0.1)
STEPS = ("node/requester/", "node/journal/", "node/verifier/draw")


class Weighing(InlineJournal):
    """Counts what is written."""

    def __init__(self, path):
        super().__init__(path)
        self.cost = Counter()

    def write(self, entries, then=None):
        for entry in entries:
            if isinstance(entry, SaveJob | SaveShards):
                self.cost["rows"] += len(entry.shards)
                self.cost["shard text"] += sum(len(repr(shard)) for shard in entry.shards)
                self.cost["events"] += len(entry.events)
                self.cost["job records"] += isinstance(entry, SaveJob)
        super().write(entries, then)


def run_of(count):
    """A job of so many shards on two nodes: its record, its history, and what it cost its requester."""
    journals = []

    def weighed(parts):
        journals.append(Weighing(parts.data_dir / "weighed.sqlite"))
        journals[-1].write((SaveModule(CLIENT, MODULE_SHA256, len(MODULE)),))
        return Node(replace(parts, journal=journals[-1]))

    async def main():
        async with cluster(1) as nodes:
            await nodes.start(lambda _: QUICK, node=weighed)
            await nodes.start(lambda _: QUICK)
            await nodes.settled()
            plant(nodes, count)
            with contextlib.closing(journals[0]):
                record = await nodes.submit(sharded(concurrency=2))
                async with nodes.nodes[0].jobs.events(CLIENT, record.job, 0) as events:
                    return record, [event.kind async for event in events]

    return (*simulate(main), journals[0].cost)


def test_rows_bytes_and_history_grow_with_the_shards_and_no_faster():
    few_record, _, few = run_of(60)
    record, kinds, many = run_of(600)
    assert few_record.tally == Tally(completed=60)
    assert record.tally == Tally(completed=600)
    assert many["job records"] == few["job records"] == 3
    assert many["rows"] <= 3 * 600
    assert many["shard text"] < 11 * few["shard text"]
    assert Counter(kinds) == {"submitted": 1, "offered": 2, "bid": 2, "verdict": 600, "ended": 1}


def test_steps_grow_with_the_shards_and_no_faster():
    assert calls_of(200) < 4.4 * calls_of(50)


def calls_of(count):
    """How many calls there are of the requester's own functions."""
    calls = 0

    def profile(frame, event, _):
        nonlocal calls
        calls += event == "call" and any(part in frame.f_code.co_filename for part in STEPS)

    sys.setprofile(profile)
    try:
        run_of(count)
    finally:
        sys.setprofile(None)
    return calls
