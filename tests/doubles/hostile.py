"""A compute node that speaks the protocol well and means ill: it proposes what wins and hands over something else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import trio

from node import messages as m
from node.errors import BlobRefused
from node.executor.scripted import IDENTITY
from node.identity import Identity
from node.model import PeerId
from node.transport.base import Blob
from node.transport.memory import MemoryTransport
from node.verifier.manifest import Line, manifest_of
from node.verifier.proposal import Statement, seal, sealing_key_for


def manifest_for(files):
    """The manifest of a result with these files, and the contents in its order."""
    import hashlib

    lines = [Line(hashlib.sha256(content).hexdigest(), f"results/{name}") for name, content in files.items()]
    manifest = manifest_of(lines)
    return manifest, tuple(files[line.name.partition("/")[2]] for line in manifest.lines)


def wanted(contents, request):
    """What an honest winner with these contents sends for ``FilesWanted``."""
    return b"".join(contents[request.index : request.index + request.count])[request.offset :]


@dataclass(slots=True)
class Hostile:
    """Bids on everything, proposes ``wins`` at once. ``hands_over`` makes its answer, ``chunks`` its blobs of files.

    It keeps what it was told in ``heard``.
    """

    identity: Identity
    transport: MemoryTransport
    wins: str
    hands_over: Callable[[str], m.Results | m.NoResults | None]
    chunks: Callable[[m.FilesWanted], tuple[int, list[bytes]]] | None = None
    manifest_blob: bytes = b""
    tells: Callable[[m.BlobRequest], Blob] | None = None  # lists of files and output, before everything else
    proposes: Callable[[m.Accept, PeerId], m.Message] | None = None
    heard: list[m.Message] = field(default_factory=list)
    asked: list[m.BlobRequest] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)  # trio's clock

    async def run(self, bootstrap: str, *, task_status=trio.TASK_STATUS_IGNORED) -> None:
        """Join through ``bootstrap`` and serve until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.transport.run, self)
            await self.transport.dial(bootstrap)
            task_status.started()

    def joined(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        """See Receiver."""

    def left(self, peer: PeerId) -> None:
        """See Receiver."""

    def received(self, sender: PeerId, message: m.Message) -> None:
        """See Receiver."""
        self.heard.append(message)
        match message:
            case m.Offer(job):
                self.transport.send(sender, m.Bid(job, runs_with=IDENTITY))
            case m.Accept():
                propose = self.proposes or self.proposal
                self.transport.send(sender, propose(message, sender))
            case m.HandOver(execution):
                answer = self.hands_over(execution)
                if answer is not None:
                    self.transport.send(sender, answer)

    def proposal(self, given: m.Accept, requester: PeerId) -> m.Proposed:
        """An honest-looking proposal."""
        statement = Statement(
            job=given.job,
            shard=given.shard,
            execution=given.execution,
            node=self.identity.peer_id,
            requester=requester,
            hash=self.wins,
            salt="5a" * 32,
        )
        return m.Proposed(given.execution, seal(self.identity, sealing_key_for(requester), statement))

    async def blob(self, sender: PeerId, request: m.BlobRequest) -> Blob:
        """See Receiver."""
        self.asked.append(request)
        self.asked_at.append(trio.current_time())
        if self.tells is not None and isinstance(request, m.ListWanted | m.LogsWanted):
            return self.tells(request)
        if isinstance(request, m.ManifestWanted):
            return Blob(len(self.manifest_blob), each([self.manifest_blob]))
        if self.chunks is None or not isinstance(request, m.FilesWanted):
            raise BlobRefused("no")
        size, chunks = self.chunks(request)
        return Blob(size, each(chunks))


async def each(chunks: list[bytes]) -> AsyncIterator[bytes]:
    """A blob's chunks."""
    for chunk in chunks:
        yield chunk


async def never() -> AsyncIterator[bytes]:
    """Chunks of a blob that does not begin."""
    await trio.sleep_forever()
    yield b""
