"""What a container prints arrives in frames, cut anywhere."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from node.executor.docker.streams import Frames

PIECES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=8)


def framed(pieces: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">BxxxL", stream, len(content)) + content for stream, content in pieces)


@given(pieces=PIECES, cuts=st.lists(st.integers(min_value=1, max_value=12), min_size=1))
def test_each_stream_is_whole_wherever_it_is_cut(pieces: list[tuple[int, bytes]], cuts: list[int]) -> None:
    frames, data = Frames(), framed(pieces)
    found: list[tuple[int, bytes]] = []
    at = turn = 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        found += frames.fed(data[at : at + size])
        at, turn = at + size, turn + 1
    for stream in (1, 2):
        said = b"".join(content for number, content in pieces if number == stream)
        assert b"".join(content for number, content in found if number == stream) == said
    assert all(content for _, content in found)
    assert frames.is_whole


def test_what_has_come_is_given_at_once() -> None:
    frames = Frames()
    assert frames.fed(framed([(2, b"abcdef")])[:11]) == [(2, b"abc")]
    assert frames.fed(b"de") == [(2, b"de")]
    assert not frames.is_whole
