"""The output of an execution as it is written, for the owner of its job, and afterwards what is kept of it.

A follower pulls: it asks the execution's node for what lies behind what it has, hands that on, and asks again when that
was taken and a moment has passed. So a slow client holds back nobody but itself, one that goes away leaves nothing, and
without followers nothing is asked. What nodes answer is bounded, and their word alone: what won is what is kept.
Does not live here: whose output may be shown (``node.requester.showing``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager

import trio

from node import limits
from node.ambient import Ambient
from node.errors import BlobRefused, MalformedMessage, NotFound, PeerGone, TooMany
from node.journal.records import ExecutionRecord, JobRecord, ShardRecord
from node.messages import LogPiece, LogsWanted, decode_log
from node.model import JobId, PeerId
from node.receipt.layout import folder_of
from node.requester.follower import Follower
from node.requester.jobs import LogItem, LogsAsked, StreamName
from node.requester.life import Running, Settled
from node.requester.live import LiveJob
from node.requester.record import executions_of, never_begun, shard_record
from node.requester.showing import is_kept_output, kept_as, once_closed, while_open, why_not_kept
from node.transport.base import Transport
from node.transport.whole import fetched_whole
from node.vault.results import Results

_Items = AsyncGenerator[LogItem, None]

_STREAMS: tuple[StreamName, ...] = ("stdout", "stderr")
_LIVE = "as its node says; nothing of it is verified"


class Logs:
    """Serves followers."""

    def __init__(self, transport: Transport, results: Results, ambient: Ambient) -> None:
        self._transport = transport
        self._results = results
        self._ambient = ambient
        self._followers: Counter[JobId] = Counter()
        self._turns: dict[PeerId, trio.CapacityLimiter] = {}

    @asynccontextmanager
    async def of_live(self, live: LiveJob, asked: LogsAsked) -> AsyncIterator[AsyncIterator[LogItem]]:
        """Of a job under way. Raises NotFound, Conflict, TooMany before there is anything."""
        with self._place(live.job):
            _chosen(live, asked)
            async with aclosing(self._live_items(live, Follower(asked))) as items:
                yield items

    @asynccontextmanager
    async def of_ended(
        self, record: JobRecord, shard: ShardRecord, asked: LogsAsked
    ) -> AsyncIterator[AsyncIterator[LogItem]]:
        """Of a job that has ended. Raises as ``of_live``."""
        with self._place(record.job):
            run = once_closed(shard, asked.execution, None if asked.seen is None else asked.seen.execution)
            async with aclosing(self._ended_items(record, shard, Follower(asked), run)) as items:
                yield items

    @contextmanager
    def _place(self, job: JobId) -> Iterator[None]:
        if self._followers[job] >= limits.LOG_FOLLOWERS_PER_JOB:
            raise TooMany(f"the output of this job is followed {self._followers[job]} times already; end one first")
        self._followers[job] += 1
        try:
            yield
        finally:
            self._followers[job] -= 1
            if not self._followers[job]:
                del self._followers[job]

    # A job under way ---------------------------------------------------------------------------

    async def _live_items(self, live: LiveJob, follower: Follower) -> _Items:
        asked = follower.asked
        while (run := _chosen(live, asked)) is None and asked.follow and not _is_over(live, asked.shard):
            await live.changed.wait()
        if run is not None:
            yield follower.turn_to(run, _LIVE)
            async with aclosing(self._tail(live, follower)) as items:
                async for item in items:
                    yield item
        if asked.follow:
            await live.ended()
        if not live.shown.ended:
            yield follower.end("" if run else f"no execution of shard {asked.shard} has started yet")
            return
        shard = live.shown_shards.get(asked.shard) or never_begun(asked.shard, live.shown)
        async with aclosing(self._ended_items(live.shown, shard, follower, run)) as items:
            async for item in items:
                yield item

    async def _tail(self, live: LiveJob, follower: Follower) -> _Items:
        """Until its node has no more of it, or the job has ended, or, without following, all that is there now."""
        while not live.shown.ended:
            run = _now(live, follower)
            has_ended = run.state in ("proposed", "failed")  # Before it is asked: nothing is written after that.
            try:
                piece = await self._ask(run, follower)
            except MalformedMessage:
                yield follower.note("its node sent what is no output; it is not asked again")
                return
            if piece is None or not piece.size:
                if has_ended or not follower.asked.follow:
                    break
                await trio.sleep(limits.LOG_RETRY_S if piece is None else limits.LOG_POLL_S)
                continue
            for item in follower.took(piece):
                yield item
            if follower.received > live.base.spec.resources.disk_bytes:
                yield follower.note("its node sent more than a run of this job may write; it is not asked again")
                return
            if not piece.has_more and not follower.asked.follow:
                break
            await trio.sleep(max(piece.size / limits.LOG_BYTES_PER_S, 0 if piece.has_more else limits.LOG_POLL_S))
        for item in _last_words(follower, _now(live, follower)):
            yield item

    async def _ask(self, run: ExecutionRecord, follower: Follower) -> LogPiece | None:
        """What it has written since; None when its node does not say. Raises MalformedMessage."""
        if run.state == "waiting":
            return LogPiece(b"", b"")
        wanted = LogsWanted(run.execution, follower.stdout, follower.stderr)
        try:
            with trio.fail_after(limits.LOG_ASK_S):
                async with self._turn(run.peer):
                    body = await fetched_whole(self._transport, run.peer, wanted, limits.LOG_ANSWER_BYTES)
        except (PeerGone, BlobRefused, trio.TooSlowError):
            return None
        return decode_log(body)

    @asynccontextmanager
    async def _turn(self, peer: PeerId) -> AsyncIterator[None]:
        """A node answers few requests at once, and results are among them."""
        limiter = self._turns.setdefault(peer, trio.CapacityLimiter(limits.LOG_ASKS_PER_PEER))
        try:
            async with limiter:
                yield
        finally:
            if not limiter.borrowed_tokens:
                self._turns.pop(peer, None)

    # A job that has ended ----------------------------------------------------------------------

    async def _ended_items(
        self, record: JobRecord, shard: ShardRecord, follower: Follower, run: ExecutionRecord | None
    ) -> _Items:
        why_not = why_not_kept(record, shard)
        if why_not is not None:
            yield follower.end(why_not)
            return
        assert shard.results is not None
        run = run and next(each for each in shard.executions if each.execution == run.execution)  # As it ended.
        source = next(each for each in shard.executions if each.peer == shard.results.peer)
        if run is None or not (is_kept_output(run, shard, record) or follower.is_bound_to(run.execution)):
            run = source
        if not is_kept_output(run, shard, record):
            yield follower.end(f"nothing more is kept of this output; what won is kept from {source.peer}")
            return
        if follower.run != run.execution:
            yield follower.turn_to(run, kept_as(record, shard))
        async with aclosing(self._kept(record, shard, follower)) as items:
            async for item in items:
                yield item

    async def _kept(self, record: JobRecord, shard: ShardRecord, follower: Follower) -> _Items:
        """Both streams from where the client is."""
        folder = folder_of(shard.shard, record.shards)
        for stream in _STREAMS:
            while data := await self._ambient.offload(
                _read, self._results, record, folder + stream, follower.offset(stream)
            ):
                if isinstance(data, str):
                    yield follower.end(data)
                    return
                yield follower.took_of(stream, data)
        yield follower.end()


def _chosen(live: LiveJob, asked: LogsAsked) -> ExecutionRecord | None:
    """Whose output this client is shown, from now on and for as long as the vote is open. Raises NotFound, Conflict."""
    state, shown = live.shards.get(asked.shard), live.logged.get(asked.shard)
    if state is None:
        if asked.execution:
            raise NotFound(f"shard {asked.shard} has no executions yet")
        return None
    if not isinstance(state, Running):
        seen = None if asked.seen is None else asked.seen.execution
        return once_closed(shard_record(state), asked.execution, shown or seen)
    run = while_open(state, asked.execution, shown)
    if run is not None:
        live.logged[asked.shard] = run.execution
    return run


def _read(results: Results, record: JobRecord, name: str, offset: int) -> bytes | str:
    """Blocking: more of a stream, or why there is none. Opened anew for each piece: a slow client holds no file."""
    try:
        with results.open(record, name) as file:
            file.seek(offset)
            return file.read(limits.LOG_PIECE_BYTES)
    except NotFound:
        return "its output is not kept any more"
    except OSError as error:
        return f"its output cannot be read here: {error.strerror}"


def _is_over(live: LiveJob, shard: int) -> bool:
    return live.shown.ended or isinstance(live.shards.get(shard), Settled)


def _now(live: LiveJob, follower: Follower) -> ExecutionRecord:
    runs = executions_of(live.shards[follower.asked.shard])
    return next(run for run in runs if run.execution == follower.run)


def _last_words(follower: Follower, run: ExecutionRecord) -> Iterator[LogItem]:
    if run.state == "failed":
        yield follower.note(f"the execution failed: {run.code}: {run.reason}")
    elif run.state in ("waiting", "accepted"):
        yield follower.note("the execution has not started yet")
