"""What goes wrong under a journal in SQLite is one error, which says what it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import trio
from contract.journals import event, record

from node import limits
from node.errors import JournalError
from node.journal.base import SaveJob
from node.journal.records import Answer
from node.journal.writer import InlineJournal, ThreadedJournal


def fill(journal):
    """From now on the database is as large as it may be: what SQLite says is what it says of a full disk."""
    journal._writer.execute(f"PRAGMA max_page_count = {journal._writer.execute('PRAGMA page_count').fetchone()[0]}")


def large(number):
    return SaveJob(record(f"{number:032x}", failure=None), (event(1),), b"r" * 10_000)


def test_a_full_disk_is_said_so_and_what_was_there_stays(tmp_path):
    with closing(InlineJournal(tmp_path / "j")) as journal:
        journal.write([large(1)])
        fill(journal)
        with pytest.raises(JournalError, match="full"):
            journal.write([large(number) for number in range(2, 30)])
        assert [found.job for found in journal.unfinished()] == [f"{1:032x}"]
        journal._writer.execute("PRAGMA max_page_count = 100000")
        journal.write([large(2)])
        assert len(journal.unfinished()) == 2


def test_a_writer_that_cannot_go_on_ends_with_its_reason_and_calls_nobody_back(tmp_path):
    called = []

    async def main():
        journal = ThreadedJournal(tmp_path / "j")
        fill(journal)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                await nursery.start(journal.run)
                for number in range(50):
                    journal.write([large(number)], lambda: called.append(1))

    with pytest.raises(ExceptionGroup) as caught:
        trio.run(main)
    assert caught.group_contains(JournalError, match="full")
    assert called == []


def test_a_document_that_is_none_is_an_error_of_the_journal(tmp_path):
    with closing(InlineJournal(tmp_path / "j")) as journal:
        journal.write([large(1)])
        with closing(sqlite3.connect(tmp_path / "j")) as other, other:
            other.execute("UPDATE job SET record = ?", (b"\xc1",))
            other.execute("UPDATE events SET events = ?", (b"\x81\x80",))
        for read in (journal.unfinished, lambda: journal.events(f"{1:032x}"), lambda: journal.job(f"{1:032x}")):
            with pytest.raises(JournalError, match="cannot be read"):
                read()


def test_a_list_of_jobs_has_so_many_bytes_and_two_jobs_at_least(tmp_path):
    half = limits.JOBS_LISTED_BYTES // 2

    def heavy(number):
        return SaveJob(record(f"{number:032x}", at=float(number), answers=(Answer(peer="p", reason="x" * half),)))

    with closing(InlineJournal(tmp_path / "j")) as journal:
        journal.write([SaveJob(record("f" * 32, at=9.0)), *map(heavy, range(4))])
        found = journal.jobs("c" * 64, limit=1000)
        assert [each.submitted_at for each in found] == [9.0, 3.0]
        assert len(journal.jobs("c" * 64, "0" * 31, limit=1000)) == 2
