"""Whatever frames come in whatever order, streams get the bytes and the end that the library alone gives them."""

from __future__ import annotations

import random
import struct
from functools import partial

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.test_libp2p_stream_ends import ACK, DATA, FIN, HANG_S, RST, SYN, WINDOW, Hand, Told, frame
from trio.testing import wait_all_tasks_blocked

from node.transport.libp2p.muxing import Muxer, install
from node.transport.libp2p.pacing import Paced

PING = 2
SIZES = (0, 1, 11, 12, 13, 24, 15_000)

step = st.tuples(
    st.sampled_from((1, 3, 5)),
    st.sampled_from((DATA, WINDOW)),
    st.sampled_from((0, 0, 0, 0, FIN, RST, ACK)),
    st.sampled_from(SIZES),
)


def frames_of(steps: list[tuple[int, int, int, int]]) -> list[bytes]:
    """What an honest peer can say: a stream is opened before it is used, and nothing follows its end."""
    said: list[bytes] = []
    states: dict[int, str] = {}
    for number, (stream, kind, flags, size) in enumerate(steps):
        state = states.setdefault(stream, "new")
        if state == "over":
            said.append(struct.pack("!BBHII", 0, PING, SYN, 0, number))
            continue
        flags |= SYN if state == "new" else 0
        states[stream] = "over" if flags & (FIN | RST) else "open"
        body = random.Random(number).randbytes(size)
        said.append(frame(kind, flags, body, stream) if kind == DATA else struct.pack("!BBHII", 0, 1, flags, stream, 9))
    return said


async def told(frames: list[bytes], *, alone: bool) -> tuple[dict[int, tuple[bytes, object]], bytes]:
    """By stream: its bytes and its end. And what was answered to pings."""
    install()
    hand = Hand()
    muxer = Muxer(hand, "peer", is_initiator=False)
    if alone:
        muxer.secured_conn = Paced(hand)
    heard: dict[int, Told] = {}

    async def read_all() -> None:
        async with trio.open_nursery() as readers:
            async for stream in muxer.new_stream_receive_channel:
                heard[stream.stream_id] = Told()
                readers.start_soon(heard[stream.stream_id].read, stream)

    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(muxer.start)
            nursery.start_soon(read_all)
            for each in frames:
                hand.say(each)
            await wait_all_tasks_blocked()
            hand.end()
    return {number: (each.came, each.end) for number, each in heard.items()}, _pongs(hand.heard)


def _pongs(heard: bytes) -> bytes:
    headers = (heard[at : at + 12] for at in range(0, len(heard), 12))
    return b"".join(header for header in headers if header[1] == PING and header[3] == ACK)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(step, max_size=14), st.random_module())
def test_the_library_alone_gives_every_stream_the_same(steps: list[tuple[int, int, int, int]], order: object) -> None:
    frames = frames_of(steps)
    assert trio.run(partial(told, frames, alone=False)) == trio.run(partial(told, frames, alone=True))
