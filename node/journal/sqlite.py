"""The journal in SQLite. Blocking; ``node.journal.writer`` puts it behind a thread. The only importer of sqlite3.

Write-ahead log, ``synchronous=FULL``: when ``apply`` returns, its entries survive a power cut. Documents are msgpack
with their own version; columns exist only for what is searched. What is written for a job at once is few rows, and
those lie in their own tree, not in that of their key, where a document of a kilobyte would take pages of its own: each
row costs a hand-over between threads, each page two writes. Connections belong to threads: one writes, each
reader call opens its own (0.1 ms), so a slow reader never delays a commit.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, assert_never

import msgspec

from node import limits
from node.errors import JournalError
from node.journal.base import Entry, ForgetResults, SaveJob, SaveModule, SaveShards
from node.journal.records import JobEvent, JobRecord, ShardRecord
from node.model import ClientId, JobId, Sha256

SCHEMA_VERSION = 3
_BUSY_S = 10.0
_SCHEMA = """
CREATE TABLE job (
    id TEXT PRIMARY KEY, client TEXT NOT NULL, submitted_at REAL NOT NULL, ended INTEGER NOT NULL, record BLOB NOT NULL
);
CREATE INDEX job_by_client ON job (client, submitted_at);
CREATE INDEX job_unfinished ON job (ended) WHERE ended = 0;
CREATE TABLE shard (
    job TEXT NOT NULL, shard INTEGER NOT NULL, state TEXT NOT NULL, record BLOB NOT NULL, PRIMARY KEY (job, shard)
);
CREATE TABLE plan (job TEXT PRIMARY KEY, plan BLOB NOT NULL);
CREATE TABLE events (job TEXT NOT NULL, last_seq INTEGER NOT NULL, events BLOB NOT NULL, PRIMARY KEY (job, last_seq));
CREATE TABLE receipt (job TEXT PRIMARY KEY, receipt BLOB NOT NULL);
CREATE TABLE module (
    client TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (client, sha256)
) WITHOUT ROWID;
"""

_JOBS = "SELECT record FROM job WHERE client = ? AND substr(id, 1, ?) = ? ORDER BY submitted_at DESC, id LIMIT ?"

# In its place, so that its keys stay where they are in the indices.
_SAVE_JOB = """INSERT INTO job VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, record = excluded.record"""
_SAVE_SHARD = """INSERT INTO shard VALUES (?, ?, ?, ?)
    ON CONFLICT (job, shard) DO UPDATE SET state = excluded.state, record = excluded.record"""
_SHARDS = "SELECT record FROM shard WHERE job = ? AND shard > ? ORDER BY shard LIMIT ?"
_SHARDS_IN = """SELECT record FROM shard WHERE job = ? AND shard > ? AND state IN (SELECT value FROM json_each(?))
    ORDER BY shard LIMIT ?"""

_T = TypeVar("_T")

_ENCODER = msgspec.msgpack.Encoder()
_RECORD = msgspec.msgpack.Decoder(JobRecord)
_SHARD = msgspec.msgpack.Decoder(ShardRecord)
_PLAN = msgspec.msgpack.Decoder(tuple[msgspec.Raw, ...])  # A shard's paths are decoded when they are asked for.
_PATHS = msgspec.msgpack.Decoder(tuple[str, ...])
_EVENTS = msgspec.msgpack.Decoder(tuple[JobEvent, ...])


class SqliteJournal:
    """Tables and statements. ``apply`` is for one thread at a time, reads for any."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            with contextlib.ExitStack() as opening:
                self._writer = opening.enter_context(contextlib.closing(self._connected()))
                self._prepare()
                opening.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise JournalError(
                f"{path}: the journal cannot be opened: {error}; give it room or rights, or, if it is damaged, put a"
                " backup in its place, or move the data folder away and begin anew"
            ) from error

    def close(self) -> None:
        """Give the file back; the write-ahead log is folded in."""
        self._writer.close()

    def apply(self, entries: Sequence[Entry]) -> None:
        """All entries in one transaction, on disk when this returns. Raises JournalError; then none of them is."""
        if not entries:
            return
        try:
            with self._transaction():
                for entry in entries:
                    self._apply_one(entry)
        except sqlite3.Error as error:
            raise JournalError(f"{self._path}: the journal cannot be written: {error}") from error

    def job(self, job: JobId) -> JobRecord | None:
        """See Journal."""
        rows = self._read("SELECT record FROM job WHERE id = ?", job)
        return self._decoded(_RECORD, rows[0][0]) if rows else None

    def jobs(self, client: ClientId, prefix: str = "", *, limit: int = 1000) -> tuple[JobRecord, ...]:
        """See Journal."""
        found: list[JobRecord] = []
        size = 0
        with self._reading() as connection:
            rows = connection.execute(_JOBS, (client, len(prefix), prefix, limit))
            for (document,) in rows:
                size += len(document)
                if size > limits.JOBS_LISTED_BYTES and len(found) >= 2:
                    break
                found.append(self._decoded(_RECORD, document))
        return tuple(found)

    def unfinished(self) -> tuple[JobRecord, ...]:
        """See Journal."""
        rows = self._read("SELECT record FROM job WHERE ended = 0 ORDER BY submitted_at, id")
        return tuple(self._decoded(_RECORD, row[0]) for row in rows)

    def shards(
        self, job: JobId, *, after: int = -1, limit: int, states: Collection[str] = ()
    ) -> tuple[ShardRecord, ...]:
        """See Journal."""
        if states:
            rows = self._read(_SHARDS_IN, job, after, json.dumps(sorted(states)), limit)
        else:
            rows = self._read(_SHARDS, job, after, limit)
        return tuple(self._decoded(_SHARD, row[0]) for row in rows)

    def shards_begun(self, job: JobId) -> frozenset[int]:
        """See Journal."""
        return frozenset(row[0] for row in self._read("SELECT shard FROM shard WHERE job = ?", job))

    def paths(self, job: JobId, shards: Collection[int]) -> Mapping[int, tuple[str, ...]]:
        """See Journal."""
        rows = self._read("SELECT plan FROM plan WHERE job = ?", job)
        plan = self._decoded(_PLAN, rows[0][0]) if rows else ()
        return {shard: self._decoded(_PATHS, plan[shard]) for shard in shards if 0 <= shard < len(plan)}

    def events(self, job: JobId, after: int = 0) -> tuple[JobEvent, ...]:
        """See Journal."""
        rows = self._read("SELECT events FROM events WHERE job = ? AND last_seq > ? ORDER BY last_seq", job, after)
        return tuple(event for row in rows for event in self._decoded(_EVENTS, row[0]) if event.seq > after)

    def receipt(self, job: JobId) -> bytes | None:
        """See Journal."""
        rows = self._read("SELECT receipt FROM receipt WHERE job = ?", job)
        return bytes(rows[0][0]) if rows else None

    def module_size(self, client: ClientId, sha256: Sha256) -> int | None:
        """See Journal."""
        rows = self._read("SELECT size FROM module WHERE client = ? AND sha256 = ?", client, sha256)
        return int(rows[0][0]) if rows else None

    def modules_bytes(self, client: ClientId) -> int:
        """See Journal."""
        return int(self._read("SELECT coalesce(sum(size), 0) FROM module WHERE client = ?", client)[0][0])

    def _apply_one(self, entry: Entry) -> None:
        match entry:
            case SaveJob():
                self._save_job(entry)
            case SaveShards(job, shards, events):
                self._save_shards(job, shards, events)
            case SaveModule(client, sha256, size):
                self._writer.execute("INSERT OR REPLACE INTO module VALUES (?, ?, ?)", (client, sha256, size))
            case ForgetResults(job):
                self._forget_results(job)
            case _:
                assert_never(entry)

    def _save_job(self, entry: SaveJob) -> None:
        record = entry.record
        row = (record.job, record.client, record.submitted_at, int(record.ended), _ENCODER.encode(record))
        self._writer.execute(_SAVE_JOB, row)
        self._save_shards(record.job, entry.shards, entry.events)
        if entry.plan is not None:
            self._writer.execute("INSERT OR REPLACE INTO plan VALUES (?, ?)", (record.job, _ENCODER.encode(entry.plan)))
        if entry.receipt is not None:
            self._writer.execute("INSERT OR REPLACE INTO receipt VALUES (?, ?)", (record.job, entry.receipt))

    def _save_shards(self, job: JobId, shards: tuple[ShardRecord, ...], events: tuple[JobEvent, ...]) -> None:
        self._writer.executemany(
            _SAVE_SHARD, [(job, shard.shard, shard.state, _ENCODER.encode(shard)) for shard in shards]
        )
        if events:
            row = (job, events[-1].seq, _ENCODER.encode(events))
            self._writer.execute("INSERT OR REPLACE INTO events VALUES (?, ?, ?)", row)

    def _forget_results(self, job: JobId) -> None:
        for (document,) in self._writer.execute("SELECT record FROM job WHERE id = ?", (job,)).fetchall():
            record = msgspec.structs.replace(self._decoded(_RECORD, document), results=None)
            self._writer.execute("UPDATE job SET record = ? WHERE id = ?", (_ENCODER.encode(record), job))

    def _read(self, statement: str, *values: object) -> list[Any]:
        with self._reading() as connection:
            return connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(self._connected()) as connection:
                yield connection
        except sqlite3.Error as error:
            raise JournalError(f"{self._path}: the journal cannot be read: {error}") from error

    def _decoded(self, decoder: msgspec.msgpack.Decoder[_T], document: bytes | msgspec.Raw) -> _T:
        try:
            return decoder.decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise JournalError(f"{self._path}: a document of the journal cannot be read: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        with contextlib.ExitStack() as opening:
            opening.enter_context(contextlib.closing(connection))
            connection.execute("PRAGMA synchronous = FULL")
            opening.pop_all()
        return connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        finally:
            if self._writer.in_transaction:  # A full disk may have ended it already.
                self._writer.execute("ROLLBACK")

    def _prepare(self) -> None:
        self._writer.execute("PRAGMA journal_mode = WAL")
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA_VERSION:
            return
        if version != 0:
            raise JournalError(
                f"{self._path}: written by another version of this software (schema {version}, expected"
                f" {SCHEMA_VERSION}); run that version, or move the data folder away"
            )
        self._writer.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
