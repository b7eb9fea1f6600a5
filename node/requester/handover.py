"""Fetching what won, manifest first.

The winner first sends the list whose hash won; nothing is written before that list hashes to what won and every name
in it is harmless. Then the files come, many small ones in one blob, and each is checked against its own line: the first
that is not what its line says ends it with BadResult, as does a blob of another length than its files have together,
and the next winner goes on with the files that are still missing. One that breaks off is asked again from the byte that
is missing; the next one begins that file anew, because it must not answer for bytes of the one before.
Does not live here: what is on its way in (``node.requester.incoming``), how a blob becomes files
(``node.requester.filing``), who is asked when (``node.requester.delivery``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing, nullcontext
from functools import partial

import trio

from node import limits
from node.ambient import Ambient
from node.errors import BadResult, BlobRefused, MalformedMessage, PeerGone
from node.journal.records import JobRecord, ResultsRecord, ShardResults
from node.messages import FilesWanted, HandOver, ManifestWanted, NoResults, Results
from node.model import RESULT_NAMES, DirHash, ExecutionId, PeerId, VaultPublisher
from node.publisher.base import Publishers, below
from node.requester.effects import Fetch
from node.requester.ends import exit_code_of
from node.requester.filing import Filing
from node.requester.incoming import Collected, Incoming, weighed
from node.requester.read_back import read_back
from node.transport.base import Transport
from node.transport.resume import resumed
from node.transport.whole import fetched_whole
from node.vault.results import Intake
from node.vault.results import Results as ResultsVault
from node.verifier.manifest import UNVOTED, Manifest, check_sizes, parse, parse_sized, voted

_LONG_MAX = 4  # Manifests too long for a frame, in memory at once; further winners wait within their time.
_SHORT_BYTES = 16 * limits.KiB  # A longer manifest is parsed by a thread.


class HandOvers:
    """Asks winners. ``received`` is given the answers, in the reader's task."""

    def __init__(self, transport: Transport, vault: ResultsVault, publishers: Publishers, ambient: Ambient) -> None:
        self._transport = transport
        self._vault = vault
        self._publishers = publishers
        self._ambient = ambient
        self._places = trio.CapacityLimiter(_LONG_MAX)
        self._waiting: dict[tuple[PeerId, ExecutionId], trio.MemorySendChannel[Results | NoResults]] = {}

    def received(self, sender: PeerId, message: Results | NoResults) -> None:
        """An answer; one that nobody waits for means nothing."""
        waiting = self._waiting.pop((sender, ExecutionId(message.execution)), None)
        if waiting is not None:
            waiting.send_nowait(message)

    def left(self, peer: PeerId) -> None:
        """It will not answer any more."""
        for asked in [asked for asked in self._waiting if asked[0] == peer]:
            self._waiting.pop(asked).close()

    async def begin(self, record: JobRecord) -> Collected:
        """A place for the results of a job. Raises NoRoom."""
        if not isinstance(record.spec.publisher, VaultPublisher):
            return Collected(record, None)
        return Collected(record, await self._ambient.offload(self._vault.intake, record))

    async def drop(self, incoming: Incoming) -> None:
        """Leave nothing of a shard behind."""
        incoming.collected.give_back(incoming.shard)
        if incoming.collected.intake is None:
            return
        with trio.CancelScope(shield=True):  # Deleting a folder is bounded by its limits.
            await self._ambient.offload(incoming.intake.drop, incoming.part)

    async def abandon(self, collected: Collected) -> None:
        """Leave nothing behind, also of what is finished."""
        if collected.intake is None:
            return
        with trio.CancelScope(shield=True):  # Deleting a folder is bounded by its limits.
            await self._ambient.offload(collected.intake.abandon)

    async def finish(self, collected: Collected, receipt: Callable[[Manifest], bytes]) -> tuple[ResultsRecord, bytes]:
        """Give everything that is kept its name, and make the receipt for it, in a thread. Raises NoRoom."""
        manifest, won, made = await self._ambient.offload(_finished, collected, receipt)
        folder = None if collected.intake is None else self._vault.relative(collected.record)
        results = ResultsRecord(hash=won, files=len(manifest.lines), bytes=collected.bytes, folder=folder)
        return results, made

    async def fetch(self, incoming: Incoming, order: Fetch) -> ShardResults:
        """Everything from one winner.

        Raises BadResult or MalformedMessage (it lied), PeerGone or BlobRefused (it cannot), NoRoom.
        """
        if incoming.source != order.peer:
            incoming.restart_file()
            incoming.source = order.peer
        publishes = not isinstance(incoming.record.spec.publisher, VaultPublisher)
        answer = await self._ask(order.peer, order.execution, math.inf if publishes else limits.BLOB_STALL_S)
        async with self._places if answer.manifest is None else nullcontext():
            return await self._take(incoming, order, answer)

    async def _take(self, incoming: Incoming, order: Fetch, answer: Results) -> ShardResults:
        await self._take_manifest(incoming, order, answer)
        assert incoming.manifest is not None
        is_published = incoming.collected.intake is None
        if is_published:  # Nobody hears where results are before every byte of them has been read there.
            place = below(self._transport.local_id, incoming.record.job, incoming.shard, order.execution)
            await read_back(self._publishers, self._ambient, incoming, place, answer.location)
        else:
            await self._take_files(incoming, order, answer)
        return ShardResults(
            hash=order.hash,
            files=len(incoming.manifest.lines),
            bytes=sum(incoming.sizes),
            peer=order.peer,
            exit_code=exit_code_of(incoming.manifest),
            location=answer.location if is_published else "",
        )

    async def _take_files(self, incoming: Incoming, order: Fetch, answer: Results) -> None:
        assert incoming.manifest is not None
        if answer.files is not None:
            await self._take_inline(incoming, answer.files)
        while incoming.whole < len(incoming.manifest.lines):
            await self._take_blob(incoming, order)
        if incoming.part:  # Several parts are synced as they come, a single one with the end of its job.
            await self._ambient.offload(incoming.intake.settle, incoming.part)

    async def _ask(self, peer: PeerId, execution: ExecutionId, limit_s: float) -> Results:
        if peer not in (self._transport.local_id, *self._transport.peers):
            raise PeerGone("it has left")
        send, receive = trio.open_memory_channel[Results | NoResults](1)
        self._waiting[peer, execution] = send
        self._transport.send(peer, HandOver(execution))
        try:
            with trio.fail_after(limit_s):
                answer = await receive.receive()
        except trio.TooSlowError as error:
            raise PeerGone("it does not answer") from error
        except trio.EndOfChannel as error:
            raise PeerGone("it left and did not answer") from error
        finally:
            self._waiting.pop((peer, execution), None)
        if isinstance(answer, NoResults):
            raise BlobRefused(answer.reason)
        return answer

    async def _take_manifest(self, incoming: Incoming, order: Fetch, answer: Results) -> None:
        if answer.manifest is None:
            take = partial(_sized_manifest, await self._blob(order), order, incoming.record)
        else:
            take = partial(_manifest, answer.manifest, answer.sizes or (), order, incoming.record)
        is_short = answer.manifest is not None and len(answer.manifest) <= _SHORT_BYTES
        manifest, sizes = take() if is_short else await self._ambient.offload(take)
        if incoming.manifest is None:
            weigh = partial(weighed, manifest, incoming.part)
            incoming.collected.make_room(incoming.shard, weigh() if is_short else await self._ambient.offload(weigh))
        incoming.go_on_with(manifest, sizes)
        if sizes != incoming.sizes and answer.files is None and incoming.collected.intake is not None:
            await self._ambient.offload(incoming.intake.need_room, sum(sizes))
        incoming.manifest, incoming.sizes = manifest, sizes

    async def _blob(self, order: Fetch) -> bytes:
        wanted = ManifestWanted(order.execution)
        return await fetched_whole(self._transport, order.peer, wanted, limits.MANIFEST_BYTES_MAX)

    async def _take_inline(self, incoming: Incoming, files: Sequence[bytes]) -> None:
        assert incoming.manifest is not None
        if len(files) != len(incoming.manifest.lines):
            raise BadResult("it sent another number of files than its manifest has")
        for line, size, content in zip(incoming.manifest.lines, incoming.sizes, files, strict=True):
            if len(content) != size or hashlib.sha256(content).hexdigest() != line.sha256:
                raise BadResult(f"{line.name} is not the file that won")
        named = [(incoming.name(line), content) for line, content in zip(incoming.manifest.lines, files, strict=True)]
        await self._ambient.offload(_put_all, incoming.intake, named)
        incoming.whole = len(named)

    async def _take_blob(self, incoming: Incoming, order: Fetch) -> None:
        """As many files as are asked for at once, however often the stream breaks."""
        stream = partial(self._stream, incoming, order, incoming.end_of_blob())
        await resumed(stream, partial(incoming.received, incoming.whole))

    async def _stream(self, incoming: Incoming, order: Fetch, end: int) -> None:
        if incoming.whole == end:  # The stream before broke off behind the last byte.
            return
        count, name = end - incoming.whole, incoming.line.name
        what = name if count == 1 else f"{count} files from {name} on"
        size = sum(incoming.sizes[incoming.whole : end]) - incoming.offset
        request = FilesWanted(order.execution, incoming.whole, count, incoming.offset)
        try:
            async with self._transport.fetch(order.peer, request) as blob:
                if blob.size != size:
                    raise BadResult(f"{what}: it sends {blob.size} bytes, and announced {size}")
                await self._file(incoming, end, blob.chunks)
        except MalformedMessage as error:
            raise BadResult(f"{what}: {error}") from error

    async def _file(self, incoming: Incoming, end: int, chunks: AsyncIterator[bytes]) -> None:
        with closing(Filing(incoming, end)) as filing:
            async for chunk in chunks:
                await self._ambient.offload(filing.take, chunk)
            if incoming.whole < end:  # All that are left have no bytes.
                await self._ambient.offload(filing.take, b"")


def check_manifest(manifest: Manifest, sizes: tuple[int, ...], *, won: DirHash, record: JobRecord) -> None:
    """Whether this is the list that won, of a shape that this job can have. Raises BadResult."""
    vote_on = record.spec.vote_on
    if voted(manifest, vote_on).h1() != won:
        raise BadResult("its manifest is not the one that won")
    if vote_on == "outputs" and not UNVOTED.issubset(line.name for line in manifest.lines):
        raise BadResult("it has no stdout or no stderr, where every run leaves both")
    if not manifest.lines:  # A receipt could not name it.
        raise BadResult("it has no file, where every run leaves some")
    check_sizes(manifest, sizes, bytes_max=record.spec.resources.disk_bytes)
    outputs = {output.name for output in record.spec.outputs}
    for line in manifest.lines:
        name, slash, _ = line.path.partition("/")
        if name not in (outputs if slash else RESULT_NAMES):
            raise BadResult(f"{line.name} belongs to no output of the job")


def _put_all(intake: Intake, named: list[tuple[str, bytes]]) -> None:
    for name, content in named:
        intake.put(name, content)


def _manifest(text: bytes, sizes: tuple[int, ...], order: Fetch, record: JobRecord) -> tuple[Manifest, tuple[int, ...]]:
    manifest = parse(text)
    check_manifest(manifest, sizes, won=order.hash, record=record)
    return manifest, sizes


def _sized_manifest(text: bytes, order: Fetch, record: JobRecord) -> tuple[Manifest, tuple[int, ...]]:
    manifest, sizes = parse_sized(text)
    check_manifest(manifest, sizes, won=order.hash, record=record)
    return manifest, sizes


def _finished(collected: Collected, receipt: Callable[[Manifest], bytes]) -> tuple[Manifest, DirHash, bytes]:
    if collected.intake is not None:
        collected.intake.finish()
    manifest = collected.manifest()
    return manifest, manifest.h1(), receipt(manifest)
