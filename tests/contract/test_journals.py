"""Both journals keep the journal contract."""

from __future__ import annotations

from contract.journals import JournalContract

from node.journal.writer import InlineJournal, ThreadedJournal


class TestThreaded(JournalContract):
    """The node's."""

    def make(self, path):
        return ThreadedJournal(path)


class TestInline(JournalContract):
    """The simulator's."""

    def make(self, path):
        return InlineJournal(path)
