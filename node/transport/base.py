"""What the node needs from a network, and nothing more.

Sessions: between ``joined(peer)`` and ``left(peer)`` messages to and from that peer arrive once and in order, also
across a broken and re-opened connection. A peer that restarts, or stays away for longer than
``limits.PEER_REJOIN_S``, has left: what was not delivered by then is lost, and the roles hear ``left`` before any new
``joined``.

Lives here: the interface. Does not live here: what messages mean (the roles), whom to dial (``node.directory``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import trio

from node.messages import BlobRequest, Message
from node.model import PeerId


@dataclass(frozen=True, slots=True)
class Blob:
    """A stream of ``size`` bytes in chunks of at most ``limits.BLOB_CHUNK_BYTES``; a transport that sends it closes it.

    A reader's iterator raises PeerGone when the stream ends before ``size`` bytes and the end marker have come, and
    MalformedMessage when there would be more.
    """

    size: int
    chunks: AsyncIterator[bytes]


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
