"""What the node needs from a network, and nothing more.

Sessions: between ``joined(peer)`` and ``left(peer)`` messages to and from that peer arrive once and in order, also
across a broken and re-opened connection. A peer that restarts, or stays away for longer than
``limits.PEER_REJOIN_S``, has left: what was not delivered by then is lost, and the roles hear ``left`` before any new
``joined``.

Beside their own protocol nodes speak others over the same connections (``Protocols``), also with guests: neighbours of
any implementation that speak libp2p and not ours.

Lives here: the interfaces. Does not live here: what messages mean (the roles), whom to dial (``node.directory``), what
is said in other protocols (who serves them).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import trio

from node.messages import BlobRequest, Message
from node.model import PeerId


@dataclass(frozen=True, slots=True)
class Blob:
    """A stream of ``size`` bytes in chunks of at most ``limits.BLOB_CHUNK_BYTES``; a transport that sends it ends it.

    A reader's iterator raises PeerGone when the stream ends before ``size`` bytes and the end marker have come, and
    MalformedMessage when there would be more.
    """

    size: int
    chunks: AsyncIterator[bytes]

    async def aclose(self) -> None:
        """Let go of what the chunks come from, whether all were read or none; also when cancelled."""
        aclose = getattr(self.chunks, "aclose", None)
        if aclose is not None:
            with trio.CancelScope(shield=True):
                await aclose()


class Receiver(Protocol):
    """What a transport calls. The plain functions must not block: the reader of that peer runs them."""

    def joined(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        """A session with ``peer`` began; ``addresses`` are where it says (and was seen) to listen, as hints."""

    def left(self, peer: PeerId) -> None:
        """The session with ``peer`` is over."""

    def received(self, sender: PeerId, message: Message) -> None:
        """One message; ``sender`` is proved."""

    async def blob(self, sender: PeerId, request: BlobRequest) -> Blob:
        """The blob that ``sender`` asks for. Raises BlobRefused."""


class Transport(Protocol):
    """An authenticated network of nodes."""

    @property
    def local_id(self) -> PeerId:
        """Who we are."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where we listen: multiaddrs that end in ``/p2p/<peer id>``; known once ``run`` has started."""

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """Who has a session with us, sorted; never ourselves."""

    async def run(self, receiver: Receiver, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The whole life: listen until cancelled. ``started`` when it listens. Raises AddressInUse."""

    def send(self, to: PeerId, message: Message) -> None:
        """Queue a message; never blocks. To ourselves: ``received`` is called soon, never from within ``send``.

        To a peer without a session, or one over ``limits.OUTBOX_*`` (which ends its session): dropped, ``left`` tells.
        """

    async def dial(self, address: str) -> PeerId:
        """Open a session with whoever listens at a multiaddr that ends in ``/p2p/<peer id>``; at once if there is one.

        Raises PeerGone (with the reason) within ``limits.DIAL_S``, or when the address cannot be understood.
        """

    def fetch(self, peer: PeerId, request: BlobRequest) -> AbstractAsyncContextManager[Blob]:
        """Ask for a blob; leaving the context ends the stream. Raises BlobRefused, PeerGone, MalformedMessage."""


class ByteStream(Protocol):
    """One stream of bytes each way between two neighbours, each way with its own end.

    Every method raises PeerGone when the stream or its connection is over. A far end that takes nothing for
    ``limits.PROTOCOL_STALL_S``, or sends nothing to who waits for ``limits.PROTOCOL_IDLE_S``, ends the stream.
    """

    async def receive_some(self) -> bytes:
        """What has come, at least one byte; ``b""`` when the far end has ended its way, which is no proof of success.

        What is not asked for holds the far end up once a window is full.
        """

    async def send_all(self, data: bytes) -> None:
        """Returns when all is under way, so it waits for a far end that does not read. Cancelled, it may have sent a
        part: the stream is then good for nothing but ``aclose``.
        """

    async def send_eof(self) -> None:
        """End our way; what was sent still arrives, and the far end may go on. Again: nothing."""

    async def aclose(self) -> None:
        """End the stream. Again: nothing.

        After ``send_eof`` what was sent still arrives; without it the far end may lose a part, and is told.
        """


Answer = Callable[[PeerId, str, ByteStream], Awaitable[None]]
"""Answers one stream: who opened it (proved), the protocol, the stream.

When it returns, our way is ended if it was not and what was sent arrives; when it raises, the stream is reset:
MalformedMessage costs the peer its connection and bars it for ``limits.OFFENDER_S``, any other NodeError this stream.
Anything else, an ExceptionGroup of a nursery of its own too, is a bug and ends the transport.
It is cancelled when the connection ends.
"""


class Neighbourhood(Protocol):
    """Who is told of neighbours. Plain functions; they must not block, nor open streams by themselves."""

    def came(self, peer: PeerId) -> None:
        """Streams to ``peer`` can be opened."""

    def went(self, peer: PeerId) -> None:
        """All streams with ``peer`` are over or about to be. When another connection takes over, ``came`` follows."""


class Protocols(Protocol):
    """Other protocols on the connections of a node. What implements it implements ``Transport`` too, which runs it."""

    @property
    def neighbours(self) -> tuple[PeerId, ...]:
        """Everybody with a live connection, sorted: our own peers, and guests, who need not speak what we speak."""

    def serve(self, protocol: str, answer: Answer) -> None:
        """Have ``answer`` called, in a task of its own, for every stream that asks for ``protocol``. Before ``run``.

        At most ``limits.PROTOCOL_STREAMS_PER_PEER`` at once of one connection; further ones wait for their turn, with
        what their openers send, and are reset after ``limits.PROTOCOL_STALL_S``.
        """

    def watch(self, neighbourhood: Neighbourhood) -> None:
        """Tell of neighbours that come and go, beginning with nobody. Before ``run``."""

    def open(self, peer: PeerId, protocols: Sequence[str]) -> AbstractAsyncContextManager[tuple[str, ByteStream]]:
        """A stream to a neighbour in the first of ``protocols`` that it speaks; leaving the context is ``aclose``.

        Raises PeerGone: no neighbour, or no answer within ``limits.DIAL_S``; and NotSpoken, which is one too.
        """

    async def connect(self, address: str) -> PeerId:
        """Connect to a node of any implementation at a multiaddr that ends in ``/p2p/<peer id>``; at once if we are.

        The connection is kept until it breaks, though nobody uses it. Raises PeerGone, also for too many of them.
        """

    async def keep(self, address: str) -> None:
        """Stay connected as ``connect`` does, dialling again with growing pauses, until cancelled."""
