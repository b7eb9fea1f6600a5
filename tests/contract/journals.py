"""What every Journal must do. Each test file subclasses this and supplies ``make``."""

from __future__ import annotations

import msgspec
import pytest
import trio

from node.errors import JournalError
from node.journal.base import ForgetResults, SaveJob, SaveModule, SaveShards
from node.journal.records import JobEvent, JobRecord, ResultsRecord, ShardRecord
from node.model import JobSpec, WasmEngine

SPEC = JobSpec(engine=WasmEngine(module="0" * 64))


def record(job="a" * 32, client="c" * 64, at=1.0, **changes):
    return JobRecord(
        job=job, client=client, spec=SPEC, spec_sha256="5" * 64, submitted_at=at, deadline=at + 9, **changes
    )


def event(seq):
    return JobEvent(seq=seq, at=float(seq), kind="bid", peer="p", text="t")


class JournalContract:
    """Inherit and define ``make``; pytest collects the rest."""

    def make(self, path):
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _closing(self):
        self.opened = []
        yield
        for journal in self.opened:
            journal.close()

    def open(self, path):
        """A journal that the test leaves closed."""
        self.opened.append(self.make(path))
        return self.opened[-1]

    def written(self, path, *batches):
        """A journal at ``path`` with these batches on disk."""

        async def main():
            journal = self.open(path)
            with trio.fail_after(30):
                async with trio.open_nursery() as nursery:
                    await nursery.start(journal.run)
                    for batch in batches:
                        done = trio.Event()
                        journal.write(batch, done.set)
                        await done.wait()
                    nursery.cancel_scope.cancel()

        trio.run(main)
        return self.open(path)

    def test_what_was_called_back_is_there_after_a_restart(self, tmp_path):
        entry = SaveJob(record(), (event(1), event(2)), b"receipt")
        journal = self.written(tmp_path / "j", [entry], [SaveModule("c" * 64, "1" * 64, 7)])
        assert journal.job("a" * 32) == record()
        assert journal.events("a" * 32) == (event(1), event(2))
        assert journal.events("a" * 32, 1) == (event(2),)
        assert journal.receipt("a" * 32) == b"receipt"
        assert journal.module_size("c" * 64, "1" * 64) == 7
        assert journal.modules_bytes("c" * 64) == 7

    def test_a_snapshot_replaces_the_one_before(self, tmp_path):
        ended = record(state="failed", ended_at=3.0)
        journal = self.written(tmp_path / "j", [SaveJob(record(), (event(1),))], [SaveJob(ended, (event(2),))])
        assert journal.job("a" * 32) == ended
        assert len(journal.events("a" * 32)) == 2
        assert journal.unfinished() == ()

    def test_only_unfinished_jobs_are_unfinished(self, tmp_path):
        other = record("b" * 32, state="running")
        journal = self.written(tmp_path / "j", [SaveJob(record(state="completed")), SaveJob(other)])
        assert journal.unfinished() == (other,)

    def test_a_client_finds_its_own_jobs_by_prefix_newest_first(self, tmp_path):
        mine = [record(f"a{i}" + "0" * 30, at=float(i)) for i in range(3)]
        theirs = record("a9" + "0" * 30, client="d" * 64)
        journal = self.written(tmp_path / "j", [SaveJob(each) for each in [*mine, theirs]])
        assert journal.jobs("c" * 64) == tuple(reversed(mine))
        assert journal.jobs("c" * 64, "a1") == (mine[1],)
        assert journal.jobs("c" * 64, "a9") == ()
        assert journal.jobs("c" * 64, limit=1) == (mine[2],)
        assert journal.jobs("c" * 64, "%") == ()

    def test_shards_are_rows_that_change_by_themselves(self, tmp_path):
        first = tuple(ShardRecord(shard=number, state="running") for number in (0, 1, 5))
        ended = (ShardRecord(shard=1, state="failed"), ShardRecord(shard=7, state="completed"))
        other = SaveJob(record("b" * 32), shards=(ShardRecord(shard=2, state="failed"),))
        journal = self.written(
            tmp_path / "j",
            [SaveJob(record(), shards=first), other],
            [SaveShards("a" * 32, ended, (event(1),))],
        )
        rows = (first[0], ended[0], first[2], ended[1])
        assert journal.shards("a" * 32, limit=9) == rows
        assert journal.shards("a" * 32, limit=2) == rows[:2]
        assert journal.shards("a" * 32, after=1, limit=9) == rows[2:]
        assert journal.shards("a" * 32, limit=9, states=("failed", "completed")) == ended
        assert journal.shards("a" * 32, after=1, limit=9, states=("failed",)) == ()
        assert journal.shards("a" * 32, limit=9, states=("'); DROP TABLE shard; --",)) == ()
        assert journal.shards_begun("a" * 32) == {0, 1, 5, 7}
        assert journal.shards_begun("c" * 32) == frozenset()
        assert journal.job("a" * 32) == record()
        assert journal.events("a" * 32) == (event(1),)

    def test_a_plan_is_kept_as_it_was_frozen(self, tmp_path):
        plan = (("/inputs/a b", "/inputs/é"), ("/inputs/c",))
        ended = record(state="failed", ended_at=3.0)
        journal = self.written(tmp_path / "j", [SaveJob(record(), plan=plan)], [SaveJob(ended)])
        assert journal.paths("a" * 32, (0, 1)) == dict(enumerate(plan))
        assert journal.paths("a" * 32, [1]) == {1: plan[1]}
        assert journal.paths("a" * 32, (-1, 2, 2**70)) == {}
        assert journal.paths("b" * 32, (0,)) == {}

    def test_a_journal_of_before_there_were_shards_is_refused_in_words(self, tmp_path):
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(tmp_path / "j")) as connection:
            connection.executescript("CREATE TABLE job (id TEXT PRIMARY KEY, record BLOB); PRAGMA user_version = 1;")
        with pytest.raises(JournalError, match="another version"):
            self.open(tmp_path / "j")

    def test_forgotten_results_stay_forgotten(self, tmp_path):
        kept = ResultsRecord(hash="h1:", files=1, bytes=1, folder="f")
        done = record(state="completed", results=kept)
        journal = self.written(tmp_path / "j", [SaveJob(done)], [ForgetResults("a" * 32)])
        assert journal.job("a" * 32) == msgspec.structs.replace(done, results=None)

    def test_call_backs_come_in_the_order_of_writing(self, tmp_path):
        order = []

        async def main():
            journal = self.open(tmp_path / "j")
            with trio.fail_after(30):
                async with trio.open_nursery() as nursery:
                    await nursery.start(journal.run)
                    last = trio.Event()
                    for number in range(200):
                        entry = SaveJob(record(f"{number:032x}"))
                        journal.write([entry], lambda number=number: order.append(number))
                    journal.write([], last.set)
                    await last.wait()
                    nursery.cancel_scope.cancel()

        trio.run(main)
        assert order == list(range(200))

    def test_what_was_queued_before_the_end_is_still_written(self, tmp_path):
        async def main():
            journal = self.open(tmp_path / "j")
            with trio.fail_after(30):
                async with trio.open_nursery() as nursery:
                    await nursery.start(journal.run)
                    for number in range(50):
                        journal.write([SaveJob(record(f"{number:032x}"))])
                    nursery.cancel_scope.cancel()

        trio.run(main)
        assert len(self.open(tmp_path / "j").unfinished()) == 50

    def test_a_journal_of_another_version_is_refused_and_left_alone(self, tmp_path):
        self.written(tmp_path / "j", [SaveJob(record())])
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(tmp_path / "j")) as connection:
            connection.execute("PRAGMA user_version = 99")
        with pytest.raises(JournalError, match="another version"):
            self.open(tmp_path / "j")

    def test_a_file_that_is_no_journal_is_refused(self, tmp_path):
        (tmp_path / "j").write_bytes(b"this is not a database" * 100)
        with pytest.raises(JournalError, match="cannot be opened"):
            self.open(tmp_path / "j")
