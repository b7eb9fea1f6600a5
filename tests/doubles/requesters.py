"""A requester that speaks the protocol by hand: it says what a test wants, in any order, and keeps what it hears."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import trio
from doubles.peers import identity, peer

from node import messages as m
from node.errors import BlobRefused
from node.identity import Identity
from node.model import JobSpec, PeerId
from node.transport.base import Blob
from node.transport.memory import MemoryTransport


@dataclass(slots=True)
class HandmadeRequester:
    """Dials one node and keeps what it says. ``blob_of`` answers its requests for modules."""

    identity: Identity
    transport: MemoryTransport
    blob_of: Callable[[m.BlobRequest], Blob] | None = None
    node: PeerId = field(init=False)
    heard: list[m.Message] = field(default_factory=list)
    news: trio.Event = field(default_factory=trio.Event)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def run(self, address: str, *, task_status=trio.TASK_STATUS_IGNORED) -> None:
        """Join one node and stay until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.transport.run, self)
            self.node = await self.transport.dial(address)
            task_status.started()

    def say(self, *messages: m.Message) -> None:
        """Send, one right after the other."""
        for message in messages:
            self.transport.send(self.node, message)

    def offer(self, spec: JobSpec, job: str | None = None) -> str:
        """Offer a job; returns its id."""
        job = job or f"{next(self.numbers):032x}"
        self.say(m.Offer(job, "c" * 64, spec, 8))
        return job

    async def given(self, spec: JobSpec, execution: str) -> str:
        """Offer a job, wait for the bid, and have it run under this execution id. Returns the job's id."""
        job = self.offer(spec)
        await self.hears(m.Bid, job=job)
        self.say(m.Accept(job, 0, execution))
        return job

    async def hears(self, kind: type, **fields: object) -> m.Message:
        """The first message of that kind with these fields, heard already or soon."""
        with trio.fail_after(10_000):
            while (found := self._first(kind, fields)) is None:
                await self.news.wait()
        return found

    def _first(self, kind: type, fields: dict[str, object]) -> m.Message | None:
        of_kind = [message for message in self.heard if isinstance(message, kind)]
        return next((each for each in of_kind if all(getattr(each, k) == v for k, v in fields.items())), None)

    def joined(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        """See Receiver."""

    def left(self, peer: PeerId) -> None:
        """See Receiver."""

    def received(self, sender: PeerId, message: m.Message) -> None:
        """See Receiver."""
        self.heard.append(message)
        self.news.set()
        self.news = trio.Event()

    async def blob(self, sender: PeerId, request: m.BlobRequest) -> Blob:
        """See Receiver."""
        if self.blob_of is None:
            raise BlobRefused("no")
        return self.blob_of(request)


async def by_hand(nodes, number):
    """One that has joined node 0 of a ``sim.cluster``."""
    made = HandmadeRequester(identity(number), nodes.network.join(peer(number)))
    await nodes.nursery.start(made.run, nodes.transports[0].addresses[0])
    return made
