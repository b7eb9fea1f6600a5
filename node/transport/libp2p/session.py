"""Messages once and in order over connections that come and go. Pure: a session knows no connection and no clock.

Both ends number what they send from 1 and keep it until it is acknowledged. Acknowledgements are cumulative and ride on
data frames; one of their own is due after ``ACK_FRAMES`` or ``ACK_BYTES``, and at every keepalive. When a connection is
replaced, each end hears what the other has and sends the rest again; what comes twice is dropped by its number.

Lives here: numbering, acknowledging, resending, and the bucket that limits how fast a peer may talk.
Does not live here: which connection is used (``peering``), reading and writing (``life``).
"""

from __future__ import annotations

from collections import deque

from node import limits
from node.errors import MalformedMessage
from node.transport.libp2p.wire import ACK, DATA, FRAME_HEAD_BYTES, Frame, frame_head

ACK_FRAMES = 64
ACK_BYTES = limits.OUTBOX_BYTES_MAX // 8
WRITE_BYTES = 256 * limits.KiB  # What one write joins at most, one frame more or less.


class Session:
    """One end. ``ours`` and ``theirs`` are the nonces that name it on both ends."""

    def __init__(self, ours: bytes, theirs: bytes) -> None:
        self.ours = ours
        self.theirs = theirs
        self.decided = 0  # for how many connections the end that decides has done so, as far as is known here
        self.received = 0  # number of the last message that was delivered here
        self._acknowledged = 0  # number of the last message that was delivered there
        self._written = 0  # highest number that any connection was given
        self._flying: deque[bytes] = deque()  # given to this connection
        self._waiting: deque[bytes] = deque()  # still to be given to this connection
        self._kept_bytes = 0
        self._owed_frames = 0
        self._owed_bytes = 0
        self._ack_asked = False

    @property
    def is_full(self) -> bool:
        """Whether the far end has left too much unacknowledged."""
        frames = len(self._flying) + len(self._waiting)
        return frames > limits.OUTBOX_FRAMES_MAX or self._kept_bytes > limits.OUTBOX_BYTES_MAX

    @property
    def ack_is_due(self) -> bool:
        """Whether the far end should hear from us even if we have nothing to say."""
        return self._ack_asked or self._owed_frames >= ACK_FRAMES or self._owed_bytes >= ACK_BYTES

    def push(self, payload: bytes) -> None:
        """Queue a message."""
        self._waiting.append(payload)
        self._kept_bytes += len(payload)

    def ask_ack(self) -> None:
        """Let the next ``take`` give an acknowledgement even when nobody waits for one."""
        self._ack_asked = True

    def take(self) -> bytes:
        """What to write next, as bytes of the stream; empty when there is nothing."""
        parts: list[bytes] = []
        size = 0
        number = self._acknowledged + len(self._flying)
        while self._waiting and size < WRITE_BYTES:
            payload = self._waiting.popleft()
            self._flying.append(payload)
            number += 1
            parts += (frame_head(DATA, number, self.received, len(payload)), payload)
            size += FRAME_HEAD_BYTES + len(payload)
        self._written = max(self._written, number)
        if not parts and self.ack_is_due:
            parts.append(frame_head(ACK, 0, self.received, 0))
        if parts:
            self._owed_frames = self._owed_bytes = 0
            self._ack_asked = False
        return b"".join(parts)

    def accept(self, frame: Frame) -> bool:
        """Whether a data frame is news. Raises MalformedMessage when one before it is missing."""
        self._owed_frames += 1
        self._owed_bytes += len(frame.payload)
        if frame.number > self.received + 1:
            raise MalformedMessage(f"message {frame.number} came after {self.received}")
        if frame.number <= self.received:
            return False
        self.received = frame.number
        return True

    def acknowledge(self, number: int) -> None:
        """The far end has everything up to ``number``. Raises MalformedMessage when that was never sent."""
        if number > self._written:
            raise MalformedMessage(f"message {number} is acknowledged, {self._written} were sent")
        while self._acknowledged < number:
            payload = self._flying.popleft() if self._flying else self._waiting.popleft()
            self._kept_bytes -= len(payload)
            self._acknowledged += 1

    def resume(self, received: int) -> None:
        """A new connection: the far end has everything up to ``received``, send the rest again."""
        self.acknowledge(received)
        self._waiting.extendleft(reversed(self._flying))
        self._flying.clear()


class Bucket:
    """A token bucket: ``rate`` per second sustained, ``burst`` at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Take one token, if there is one."""
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def give(self) -> None:
        """Give one token back; the bucket never holds more than a burst."""
        self._tokens = min(self._burst, self._tokens + 1)
