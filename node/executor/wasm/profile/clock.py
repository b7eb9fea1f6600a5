"""Virtual time: it starts at a fixed moment, passes at each look, and jumps where a program would have slept.

Source of the layouts: wasi_snapshot_preview1.witx, ``subscription`` and ``event``. Pure.
"""

from __future__ import annotations

import struct

START_NS = 1_704_067_200_000_000_000  # 2024-01-01T00:00:00Z
TICK_NS = 1_000  # What a look at the clock takes, so that who waits by looking comes to an end.
END_NS = 2**63 - 1  # Go and Rust count nanoseconds in 63 bits: a program that sleeps for longer is stopped.

SUBSCRIPTION_BYTES = 48
EVENT_BYTES = 32

_CLOCK_TAG = 0
_ABSOLUTE = 1
_TAG = struct.Struct("<QB")  # user data, tag
_TIMER = struct.Struct("<24xQ8xH")  # timeout, flags
_EVENT = struct.Struct("<QHB5xQH6x")  # user data, errno, tag, bytes ready, flags


class Overslept(Exception):
    """The program sleeps past the end of virtual time."""


def polled(subscriptions: bytes, now_ns: int) -> tuple[bytes, int]:
    """The events of a poll, and the time after it. Files and streams are always ready. Raises Overslept.

    ``subscriptions`` are one or more. When there is nothing but timers the clock goes on to the first of them.
    """
    ready: list[tuple[int, int]] = []
    timers: list[tuple[int, int]] = []
    for at in range(0, len(subscriptions), SUBSCRIPTION_BYTES):
        user, tag = _TAG.unpack_from(subscriptions, at)
        if tag == _CLOCK_TAG:
            timeout, flags = _TIMER.unpack_from(subscriptions, at)
            timers.append((timeout if flags & _ABSOLUTE else now_ns + timeout, user))
        else:
            ready.append((user, tag))
    if not ready:
        now_ns = max(now_ns, min(timers)[0])
    if now_ns > END_NS:
        raise Overslept
    ready += [(user, _CLOCK_TAG) for due, user in timers if due <= now_ns]
    return b"".join(_EVENT.pack(user, 0, tag, 0 if tag == _CLOCK_TAG else 1, 0) for user, tag in ready), now_ns
