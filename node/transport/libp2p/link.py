"""What is known of one connection to a peer that has proved who it is.

Lives here: the state of a link and its times. Does not live here: its tasks (``life``), which of two links to a peer is
used (``peering``).
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from node import limits
from node.errors import MalformedMessage
from node.transport.address import Address
from node.transport.libp2p.muxing import Muxer
from node.transport.libp2p.wire import Opening


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The times of a transport, in seconds. Tests shorten them; nodes that meet should have the same."""

    dial_s: float = limits.DIAL_S
    keepalive_s: float = limits.KEEPALIVE_S
    silent_s: float = limits.PEER_SILENT_S
    rejoin_s: float = limits.PEER_REJOIN_S
    blob_stall_s: float = limits.BLOB_STALL_S
    write_stall_s: float = limits.WRITE_STALL_S
    offender_s: float = limits.OFFENDER_S
    protocol_stall_s: float = limits.PROTOCOL_STALL_S
    protocol_idle_s: float = limits.PROTOCOL_IDLE_S
    protocol_close_s: float = limits.PROTOCOL_CLOSE_S
    guest_idle_s: float = limits.GUEST_IDLE_S
    guest_silent_s: float = limits.GUEST_SILENT_S


class Link:
    """A connection to ``seen.peer``. ``attached`` is set when a session uses it, or when we are a guest over it."""

    def __init__(
        self, muxer: Muxer, seen: Address, scope: trio.CancelScope, *, attached: trio.Event | None = None
    ) -> None:
        """``seen``: what we dialled if ``attached`` is given, else the far end of the socket."""
        self.muxer = muxer
        self.peer = seen.peer
        self.seen = seen
        self.dialled = None if attached is None else seen
        self.attached = trio.Event() if attached is None else attached
        self.offered: Opening | None = None  # what we opened with, when the far end decides
        self.blobs = 0  # being served
        self.turns = trio.Semaphore(limits.PROTOCOL_STREAMS_PER_PEER)  # of streams of other protocols
        self.pinging = 0  # those of them that are pings
        self.used_at = trio.current_time()  # by such a stream
        self.is_wanted = False  # we dialled it for other protocols' sake
        self.reason = ""  # why it ended
        self._scope = scope
        self._work = trio.Event()
        self._control_taken = False

    def end(self, reason: str) -> None:
        """Close the connection soon; the first reason stands."""
        self.reason = self.reason or reason
        self.muxer.hasten()
        self._scope.cancel()

    def broke(self, reason: str) -> None:
        """The connection is over. Whoever reads the control stream reads on to its end, and then ends the link."""
        if self._control_taken:
            self.reason = self.reason or reason
        else:
            self.end(reason)

    def wake(self) -> None:
        """There may be something to write."""
        self._work.set()

    @property
    def is_for_control(self) -> bool:
        """Whether there is a control stream, or its opening has begun."""
        return self._control_taken

    def stay(self) -> None:
        """It has passed its deadline."""
        self._scope.deadline = float("inf")

    def settle(self) -> None:
        """A session uses this link, or it is a guest's that we dialled."""
        self.stay()
        self.attached.set()

    def take_control(self) -> None:
        """There is one control stream on a connection. Raises MalformedMessage for a second."""
        if self._control_taken:
            raise MalformedMessage("a second control stream")
        self._control_taken = True

    async def work(self) -> None:
        """Wait for ``wake``."""
        await self._work.wait()
        self._work = trio.Event()
