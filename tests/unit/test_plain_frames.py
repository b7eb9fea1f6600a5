"""Frames that say nothing but data reach their stream; the library's loop sees the others; nothing too long is read."""

from __future__ import annotations

import struct

import pytest
import trio
from libp2p.io.exceptions import ConnectionClosedError

from node import limits
from node.transport.libp2p.hardening import Exact
from node.transport.libp2p.pacing import Overrun, Paced
from node.transport.libp2p.plain import Plain

DATA, WINDOW, PING = 0, 1, 2
SYN, FIN, RST = 1, 4, 8
OPEN, UNKNOWN = 3, 5


def header(kind: int, flags: int = 0, stream: int = OPEN, size: int = 0, version: int = 0) -> bytes:
    return struct.pack("!BBHII", version, kind, flags, stream, size)


class OneStream:
    """A connection with one open stream."""

    def __init__(self, window: int = 100) -> None:
        self.recv_window = window
        self.came = b""
        self.is_open = True

    def open(self, stream_id: int) -> OneStream | None:
        return self if stream_id == OPEN and self.is_open else None

    def take(self, data: bytes) -> None:
        self.came += data


class Wire:
    """What the peer has sent, then the end of the connection."""

    def __init__(self, *frames: bytes) -> None:
        rest = list(frames)

        async def receive() -> bytes:
            await trio.lowlevel.checkpoint()
            return rest.pop(0) if rest else b""

        self._exact = Exact(receive)
        self.unread = rest

    async def read(self, n: int) -> bytes:
        return await self._exact.read(n)


def loop(stream: OneStream, frames: list[bytes], reads: list[int]) -> list[bytes]:
    """What the library's loop is given for what it asks."""

    async def main() -> list[bytes]:
        plain = Plain(Paced(Wire(*frames)), stream)
        return [await plain.read(n) for n in reads]

    return trio.run(main)


PONG = header(PING, 2, 0, 7)


def test_data_go_to_their_stream_and_the_next_other_frame_to_the_loop() -> None:
    stream = OneStream()
    frames = [header(DATA, size=2) + b"ab" + header(DATA), header(DATA, size=1) + b"c", PONG, header(WINDOW, size=9)]
    assert loop(stream, frames, [12, 12]) == [PONG, header(WINDOW, size=9)]
    assert stream.came == b"abc"


@pytest.mark.parametrize(
    "first",
    [
        header(DATA, FIN, size=12),
        header(DATA, RST, size=12),
        header(DATA, SYN, UNKNOWN, size=12),
        header(DATA, 0, UNKNOWN, size=12),
        header(DATA, size=12, version=1),
    ],
    ids=["end", "reset", "opening", "unknown stream", "another version"],
)
def test_whatever_else_a_frame_says_the_loop_sees_it_and_its_body(first: bytes) -> None:
    """A body of twelve bytes is not taken for a header."""
    stream = OneStream()
    body = header(DATA, size=90)
    assert loop(stream, [first + body, PONG], [12, 12, 12]) == [first, body, PONG]
    assert loop(stream, [first + body, PONG], [12, 5, 7, 12]) == [first, body[:5], body[5:], PONG]
    assert stream.came == b""


def test_data_for_a_stream_that_has_ended_are_the_loops() -> None:
    stream = OneStream()
    stream.is_open = False
    frame = header(DATA, size=1)
    assert loop(stream, [frame + b"x"], [12, 1]) == [frame, b"x"]


def test_exactly_the_window_may_come_and_not_a_byte_more() -> None:
    stream = OneStream(window=3)
    assert loop(stream, [header(DATA, size=3) + b"abc" + PONG], [12]) == [PONG]
    with pytest.raises(Overrun, match="1 bytes more than the window"):
        loop(OneStream(window=3), [header(DATA, size=4)], [12])


@pytest.mark.parametrize(("flags", "stream"), [(0, OPEN), (0, UNKNOWN), (SYN, UNKNOWN), (FIN, OPEN)])
def test_what_is_longer_than_any_window_is_not_read_whoever_it_is_for(flags: int, stream: int) -> None:
    with pytest.raises(Overrun, match="a frame of"):
        loop(OneStream(window=2**40), [header(DATA, flags, stream, limits.STREAM_WINDOW_BYTES + 1)], [12])


def test_a_ping_may_carry_any_number() -> None:
    ping = header(PING, SYN, 0, 2**32 - 1)
    assert loop(OneStream(), [ping], [12]) == [ping]


@pytest.mark.parametrize(
    "frame", [header(DATA, size=9) + b"abc", header(DATA)[:5]], ids=["in the body", "in the header"]
)
def test_a_connection_that_ends_within_a_frame_gives_nobody_a_part_of_it(frame: bytes) -> None:
    stream = OneStream()
    with pytest.raises(Exception, match="ended"):
        loop(stream, [frame], [12])
    assert stream.came == b""


def test_a_short_read_is_the_end() -> None:
    """As the library's secured connections say it."""

    class Ends:
        def __init__(self) -> None:
            self.rest = [header(DATA, size=9), b"abc"]

        async def read(self, n: int) -> bytes:
            await trio.lowlevel.checkpoint()
            return self.rest.pop(0)

    async def main() -> None:
        with pytest.raises(ConnectionClosedError):
            await Plain(Paced(Ends()), OneStream()).read(12)

    trio.run(main)
