"""Two shells around the SQLite journal: a writer thread for the node, and in-line writes for the simulator.

The thread takes everything that waits, commits it as one transaction and hands all call-backs to trio at once: under
load one commit serves many jobs (group commit).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

import outcome
import trio

from node.journal.base import Entry
from node.journal.sqlite import SqliteJournal

_Batch = tuple[Sequence[Entry], Callable[[], None] | None]


class InlineJournal(SqliteJournal):
    """Writes where it is called; ``then`` follows at once. For the simulator and for tests: no threads."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See Journal."""
        task_status.started()
        await trio.sleep_forever()

    def write(self, entries: Sequence[Entry], then: Callable[[], None] | None = None) -> None:
        """See Journal."""
        self.apply(entries)
        if then is not None:
            then()


class ThreadedJournal(SqliteJournal):
    """Writes in one thread of its own."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._queue: SimpleQueue[_Batch | None] = SimpleQueue()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """See Journal."""
        token = trio.lowlevel.current_trio_token()
        done = trio.Event()
        result: list[outcome.Value[None] | outcome.Error] = []

        def drain() -> None:
            result.append(outcome.capture(self._drain, token))
            token.run_sync_soon(done.set)

        thread = threading.Thread(target=drain, name="journal")
        thread.start()
        task_status.started()
        try:
            await done.wait()
        finally:
            self._queue.put(None)
            with trio.CancelScope(shield=True):  # Bounded by one transaction: the thread has nothing else to do.
                await done.wait()
            self.close()
        result[0].unwrap()

    def write(self, entries: Sequence[Entry], then: Callable[[], None] | None = None) -> None:
        """See Journal."""
        self._queue.put((entries, then))

    def _drain(self, token: trio.lowlevel.TrioToken) -> None:
        while True:
            batches = self._waiting()
            ready = [batch for batch in batches if batch is not None]
            self.apply([entry for entries, _ in ready for entry in entries])
            callbacks = [then for _, then in ready if then is not None]
            if callbacks:
                token.run_sync_soon(_call_all, callbacks)
            if len(ready) < len(batches):
                return

    def _waiting(self) -> list[_Batch | None]:
        batches = [self._queue.get()]
        while batches[-1] is not None:
            try:
                batches.append(self._queue.get_nowait())
            except Empty:
                break
        return batches


def _call_all(callbacks: list[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()
