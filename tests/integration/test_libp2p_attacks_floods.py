"""A peer that floods a node with frames which cost it nothing: it is slowed down, and loses its connection."""

from __future__ import annotations

import pytest
import trio
from integration.libp2p_attacker import ACK, DATA, HANG_S, PING, SYN, WINDOW, YAMUX, authenticated, over, throw, victim

from node import limits

NO_SUCH_TYPE = 9


@pytest.mark.parametrize("flags", [0, SYN], ids=["of a stream that is not there", "of a new one"])
def test_a_frame_of_gigabytes_ends_the_connection_before_it_comes(flags: int) -> None:
    async def main() -> None:
        async with victim() as party, authenticated(party) as muxer:
            assert await throw(muxer, YAMUX.pack(0, DATA, flags, 77, 2**32 - 1))
            with trio.fail_after(HANG_S):
                await over(muxer)

    trio.run(main)


@pytest.mark.parametrize(
    "frame",
    [
        YAMUX.pack(0, PING, ACK, 0, 0),
        YAMUX.pack(0, NO_SUCH_TYPE, 0, 0, 0),
        YAMUX.pack(0, WINDOW, 0, 77, 1),
        YAMUX.pack(0, WINDOW, SYN | 8, 77, 0),
    ],
    ids=["pongs nobody asked for", "no such type", "windows of no stream", "streams opened and reset"],
)
def test_a_flood_of_empty_frames_ends_the_connection(frame: bytes) -> None:
    async def main() -> None:
        async with victim() as party, authenticated(party) as muxer:
            for _ in range(100 * limits.SMALL_READS_PER_S // 1000):
                if not await throw(muxer, frame * 1000):
                    return
            pytest.fail("the node took every one of them")

    trio.run(main)
