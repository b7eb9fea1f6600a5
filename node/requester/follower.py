"""How far a client has followed the output of which execution. Does not live here: where the bytes come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from node.journal.records import ExecutionRecord
from node.messages import LogPiece
from node.model import ExecutionId
from node.requester.jobs import LogItem, LogsAsked, Seen, StreamName


@dataclass(slots=True)
class Follower:
    """One client. ``stdout`` and ``stderr`` are bytes of ``run`` that it has, ``received`` those that it got here."""

    asked: LogsAsked
    run: ExecutionId | None = None
    stdout: int = 0
    stderr: int = 0
    received: int = 0

    def turn_to(self, run: ExecutionRecord, text: str) -> LogItem:
        """From here on it is this one, as ``text`` says; what the client has of it from before is not sent again."""
        seen = self.asked.seen
        if seen is None or seen.execution != run.execution:
            seen = Seen(execution=run.execution)
        self.run, self.stdout, self.stderr = run.execution, seen.stdout, seen.stderr
        return LogItem(kind="execution", seen=seen, peer=run.peer, text=text)

    def is_bound_to(self, run: ExecutionId) -> bool:
        """Whether the client asked for this one, or has some of its output: then it is shown no other's behind it."""
        seen = self.asked.seen
        has_some = seen is not None and seen.execution == run and bool(seen.stdout or seen.stderr)
        return bool(self.asked.execution or self.received) or has_some

    def offset(self, stream: StreamName) -> int:
        """Bytes of one stream."""
        return self.stdout if stream == "stdout" else self.stderr

    def took(self, piece: LogPiece) -> Iterator[LogItem]:
        """More of either."""
        if piece.stdout:
            yield self.took_of("stdout", piece.stdout)
        if piece.stderr:
            yield self.took_of("stderr", piece.stderr)

    def took_of(self, stream: StreamName, data: bytes) -> LogItem:
        """More of one."""
        if stream == "stdout":
            self.stdout += len(data)
        else:
            self.stderr += len(data)
        self.received += len(data)
        return LogItem(kind=stream, seen=self._seen(), data=data)

    def note(self, text: str) -> LogItem:
        """A word to the client."""
        return LogItem(kind="note", seen=self._seen(), text=text)

    def end(self, text: str = "") -> LogItem:
        """The last word."""
        return LogItem(kind="end", seen=self._seen(), text=text)

    def _seen(self) -> Seen | None:
        return None if self.run is None else Seen(execution=self.run, stdout=self.stdout, stderr=self.stderr)
