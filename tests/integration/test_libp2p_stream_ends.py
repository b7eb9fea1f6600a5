"""Streams of one connection whose frames are written by hand: what wakes who waits, and that no byte is lost or new."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from libp2p.stream_muxer.exceptions import MuxedStreamReset
from trio.testing import wait_all_tasks_blocked

from node import limits
from node.transport.libp2p.hardening import Exact
from node.transport.libp2p.muxing import RECEIVE_BYTES, Muxer, Stream, install
from node.transport.libp2p.pacing import READS_PER_TURN

HANG_S = 20.0
DATA, WINDOW = 0, 1
SYN, ACK, FIN, RST = 1, 2, 4, 8
WINDOW_BYTES = 256 * limits.KiB  # with which a stream begins


def frame(kind: int, flags: int = 0, body: bytes = b"", stream: int = 1) -> bytes:
    return struct.pack("!BBHII", 0, kind, flags, stream, len(body)) + body


class Hand:
    """The far end of a connection: what it says comes in the pieces it is said in, what it hears is kept."""

    def __init__(self) -> None:
        self._say, heard = trio.open_memory_channel[bytes](100_000)
        self._exact = Exact(heard.receive)
        self.read = self._exact.read
        self.heard = b""

    def say(self, *frames: bytes) -> None:
        self._say.send_nowait(b"".join(frames))

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.heard += data

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()

    def end(self) -> None:
        self._say.send_nowait(b"")


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[Hand, Muxer]]:
    install()
    hand = Hand()
    muxer = Muxer(hand, "peer", is_initiator=False)
    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(muxer.start)
            await muxer.event_started.wait()
            yield hand, muxer
            nursery.cancel_scope.cancel()


async def opened(hand: Hand, muxer: Muxer) -> Stream:
    hand.say(frame(WINDOW, SYN))
    stream: Stream = await muxer.accept_stream()
    return stream


def run(main: Callable[[Hand, Muxer], Awaitable[None]]) -> None:
    async def connected() -> None:
        async with connection() as (hand, muxer):
            await main(hand, muxer)

    trio.run(connected)


class Told:
    """What a reader of a stream was given, and how it ended."""

    def __init__(self) -> None:
        self.came = b""
        self.end: Any = None

    async def read(self, stream: Stream) -> None:
        try:
            while data := await stream.receive():
                self.came += data
            self.end = b""
        except MuxedStreamReset as error:
            self.end = type(error)


@pytest.mark.parametrize("waits", [True, False], ids=["waited for", "not waited for"])
@pytest.mark.parametrize(
    ("last", "end"),
    [
        ([frame(DATA, FIN, b"z")], b""),
        ([frame(DATA, 0, b"z"), frame(WINDOW, FIN)], b""),
        ([frame(DATA, ACK, b"z"), frame(WINDOW, ACK | FIN)], b""),
        ([frame(DATA, ACK | FIN, b"z")], b""),
        ([frame(DATA, 0, b"z"), frame(WINDOW, RST)], MuxedStreamReset),
        ([frame(DATA, 0, b"z"), frame(WINDOW, ACK | RST)], MuxedStreamReset),
        ([frame(DATA, RST, b"z")], MuxedStreamReset),
        ([frame(DATA, 0, b"z"), b""], MuxedStreamReset),
    ],
    ids=["last data", "after data", "after first data", "first and last", "reset", "first reset", "data reset", "cut"],
)
def test_what_came_before_an_end_is_given_and_then_the_end(last: list[bytes], end: Any, waits: bool) -> None:
    async def main(hand: Hand, muxer: Muxer) -> None:
        stream = await opened(hand, muxer)
        hand.say(frame(DATA, 0, b"a"))
        assert await stream.receive() == b"a"
        told = Told()
        async with trio.open_nursery() as nursery:
            if waits:
                nursery.start_soon(told.read, stream)
                await wait_all_tasks_blocked()
            for each in last:
                hand.say(each)
            await wait_all_tasks_blocked()
            if not waits:
                nursery.start_soon(told.read, stream)
        assert (told.came, told.end) == (b"z", end)
        assert await _again(stream) == end

    run(main)


async def _again(stream: Stream) -> Any:
    told = Told()
    await told.read(stream)
    return told.end


def test_a_reader_is_woken_by_a_reset_of_our_own() -> None:
    async def main(hand: Hand, muxer: Muxer) -> None:
        stream = await opened(hand, muxer)
        told = Told()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(told.read, stream)
            await wait_all_tasks_blocked()
            await stream.reset()
        assert told.end is MuxedStreamReset

    run(main)


def test_streams_under_one_number_are_not_one_stream() -> None:
    """A peer resets a stream and opens it anew at once: who read the old one does not read, nor end, the new one."""

    async def main(hand: Hand, muxer: Muxer) -> None:
        old = [await opened(hand, muxer)]
        told = Told()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(told.read, old[0])
            await wait_all_tasks_blocked()
            for _ in range(5):
                hand.say(frame(WINDOW, RST), frame(WINDOW, SYN))
                old.append(await muxer.accept_stream())
                nursery.start_soon(Told().read, old[-1])
            new = old.pop()
            hand.say(frame(DATA, 0, b"new"))
            await wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 1
            nursery.cancel_scope.cancel()
        assert (told.came, told.end) == (b"", MuxedStreamReset)
        for each in old:
            assert await _again(each) is MuxedStreamReset
            await each.reset()
            await each.forget()
        hand.say(frame(DATA, FIN, b"er"))
        told = Told()
        await told.read(new)
        assert told.came.endswith(b"er")
        assert told.end == b""

    run(main)


def test_a_cancelled_receive_loses_neither_bytes_nor_room() -> None:
    async def main(hand: Hand, muxer: Muxer) -> None:
        stream = await opened(hand, muxer)
        data = bytes(range(256)) * (WINDOW_BYTES // 256)
        hand.say(frame(DATA, 0, data[: WINDOW_BYTES // 2]), frame(DATA, 0, data[WINDOW_BYTES // 2 :]))
        await wait_all_tasks_blocked()
        came = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_write_nothing, muxer)
            await wait_all_tasks_blocked()
            for _ in range(20):
                with trio.move_on_after(0.01):
                    came += await stream.receive()
            nursery.cancel_scope.cancel()
        assert len(came) < len(data)
        while len(came) < len(data):
            came += await stream.receive()
        assert came == data
        hand.say(frame(DATA, 0, b"more"))
        assert await stream.receive() == b"more"
        granted = sum(_grants(hand.heard))
        assert granted == stream.recv_window + len(b"more") > WINDOW_BYTES

    run(main)


async def _write_nothing(muxer: Muxer) -> None:
    async with muxer._write_lock:
        await trio.sleep_forever()


def _grants(heard: bytes) -> list[int]:
    headers = [struct.unpack_from("!BBHII", heard, at) for at in range(0, len(heard), 12)]
    return [size for _, kind, _, stream, size in headers if kind == WINDOW and stream == 1]


def test_two_writers_of_a_stream_both_learn_that_there_is_room() -> None:
    async def main(hand: Hand, muxer: Muxer) -> None:
        stream = await opened(hand, muxer)
        await stream.write(bytes(WINDOW_BYTES))
        async with trio.open_nursery() as nursery:
            for letter in (b"a", b"b"):
                nursery.start_soon(stream.write, letter)
                await wait_all_tasks_blocked()
            hand.say(struct.pack("!BBHII", 0, WINDOW, 0, 1, 2))
        assert stream.send_window == 0

    run(main)


def test_two_readers_of_a_stream_share_it() -> None:
    async def main(hand: Hand, muxer: Muxer) -> None:
        stream = await opened(hand, muxer)
        told = Told()
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(told.read, stream)
            for number in range(50):
                hand.say(frame(DATA, 0, bytes([number]) * 3))
                if number % 3:
                    await wait_all_tasks_blocked()
            hand.say(frame(WINDOW, FIN))
        assert sorted(told.came) == [number for number in range(50) for _ in range(3)]
        assert told.end == b""

    run(main)


def test_what_is_read_in_pieces_is_all_of_it() -> None:
    async def main(hand: Hand, muxer: Muxer) -> None:
        stream = await opened(hand, muxer)
        hand.say(frame(DATA, 0, bytes(RECEIVE_BYTES + 1)))
        await wait_all_tasks_blocked()
        assert [len(await stream.receive()) for _ in range(2)] == [RECEIVE_BYTES, 1]

    run(main)


def test_a_flood_of_small_data_lets_others_have_their_turn_and_ends_the_connection() -> None:
    async def main(hand: Hand, muxer: Muxer) -> None:
        await opened(hand, muxer)
        frames = 4 * limits.SMALL_READS_PER_S
        turns = 0
        hand.say(frame(DATA, 0, b"x") * frames)
        while not muxer.event_closed.is_set():
            await trio.lowlevel.checkpoint()
            turns += 1
        assert turns > frames // READS_PER_TURN

    run(main)
