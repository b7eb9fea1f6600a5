"""The journal under a process that is killed while it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from node.journal.writer import InlineJournal

WRITES_UNTIL_KILLED = """
import sys
from pathlib import Path
from contract.journals import event, record
from node.journal.base import SaveJob, SaveShards
from node.journal.records import ShardRecord
from node.journal.sqlite import SqliteJournal

journal = SqliteJournal(Path(sys.argv[1]))
journal.apply([SaveJob(record())])
for number in range(1, 100_000):
    shards = tuple(ShardRecord(shard=number * 3 + each, state="running") for each in range(3))
    events = tuple(event(number * 3 + each) for each in range(3))
    journal.apply([SaveShards("a" * 32, shards, events), SaveJob(record(answers=()), receipt=b"%d" % number)])
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_leaves_whole_writes_and_all_that_it_told_of(tmp_path):
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"}
    command = [sys.executable, "-c", WRITES_UNTIL_KILLED, str(tmp_path / "j")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(50)]
        writer.kill()
        told += map(int, writer.stdout.read().split())
    with closing(InlineJournal(tmp_path / "j")) as journal:
        last = int(journal.receipt("a" * 32) or b"")
        assert last in (told[-1], told[-1] + 1)
        numbers = range(3, 3 * last + 3)
        assert [each.seq for each in journal.events("a" * 32)] == list(numbers)
        assert [each.shard for each in journal.shards("a" * 32, limit=10**6)] == list(numbers)
        middle = 3 * last - 1  # neither the first nor the last of its write
        assert [each.seq for each in journal.events("a" * 32, middle)] == list(range(middle + 1, 3 * last + 3))
