"""Two ends of one multiplexed connection, without sockets in between: what they must not do to each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import lockstep_stream_pair

from node import limits
from node.transport.libp2p.hardening import Exact
from node.transport.libp2p.muxing import Muxer, Stream, install

HANG_S = 20.0


class Wire:
    """One end of a connection that takes nothing before the other end reads it: the smallest buffers there are."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._exact = Exact(stream.receive_some)
        self.is_initiator = True
        self.written: list[int] = []

    async def read(self, n: int) -> bytes:
        return await self._exact.read(n)

    async def write(self, data: bytes) -> None:
        self.written.append(len(data))
        await self._stream.send_all(data)

    async def close(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Muxer, Muxer]]:
    """Both ends, started."""
    install()
    one, other = (Wire(end) for end in lockstep_stream_pair())
    muxers = Muxer(one, "other", is_initiator=True), Muxer(other, "one", is_initiator=False)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(HANG_S):
            for muxer in muxers:
                nursery.start_soon(muxer.start)
                await muxer.event_started.wait()
            yield muxers
        for muxer in muxers:
            muxer.hasten()
        nursery.cancel_scope.cancel()


async def drain(muxer: Muxer, count: int) -> None:
    """Accept streams, and read so many bytes of each."""

    async def read(stream: Stream) -> None:
        left = count
        while left:
            left -= len(await stream.receive())

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(read, await muxer.accept_stream())


def test_two_ends_that_both_send_do_not_wait_for_each_other() -> None:
    async def say(muxer: Muxer) -> None:
        stream = await muxer.open_stream()
        await stream.write(bytes(200_000))

    async def main() -> None:
        async with pair() as muxers, trio.open_nursery() as nursery:
            for muxer in muxers:
                nursery.start_soon(drain, muxer, 200_000)
                for _ in range(8):
                    nursery.start_soon(say, muxer)

    trio.run(main)


def test_what_is_read_is_granted_anew_by_the_half_window() -> None:
    async def main() -> None:
        async with pair() as (one, other):
            stream = await one.open_stream()
            await other.accept_stream()
            granted = other.secured_conn.written
            before = len(granted)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.write, bytes(8 * limits.MiB))
                reader = other.streams[stream.stream_id]
                left = 8 * limits.MiB
                while left:
                    left -= len(await reader.receive())
            assert len(granted) - before < 2 * 8 * limits.MiB // limits.STREAM_WINDOW_BYTES + 8

    trio.run(main)


def _cancelled(call: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        with trio.move_on_after(0.01):
            await call()

    return run


def test_openings_that_are_cancelled_give_their_places_back() -> None:
    async def main() -> None:
        async with pair() as (one, _):
            await one._write_lock.acquire()
            async with trio.open_nursery() as nursery:
                for _ in range(300):
                    nursery.start_soon(_cancelled(one.open_stream))
            assert not one.streams
            one._write_lock.release()
            await one.open_stream()

    trio.run(main)
