"""Server-sent events from pieces of any size."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import BrokenAnswer
from cli.server_sent import EVENT_BYTES_MAX, payloads

STREAM = (
    b'id: 1\nevent: bid\ndata: {"a":1}\n\n: still here\n\nid: 2\ndata: {"b":2}\n\nid: 3\r\ndata: x\r\ndata: y\r\n\r\n'
)
EVENTS = [b'{"a":1}', b'{"b":2}', b"x\ny"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(places)]

    assert [payload for payload in payloads(pieces) if payload is not None] == EVENTS


def test_a_piece_that_completes_nothing_lets_the_caller_look_at_the_clock() -> None:
    assert list(payloads([b": still here\n\n", b"data: x\n", b"\n"])) == [None, None, b"x"]


@pytest.mark.parametrize("line", [b"data: " + b"x" * 1000 + b"\n", b"x" * 1000])
def test_an_event_that_never_ends_is_refused(line: bytes) -> None:
    with pytest.raises(BrokenAnswer, match="event"):
        list(payloads([line] * (EVENT_BYTES_MAX // 900)))


def test_half_an_event_at_the_end_is_none() -> None:
    assert list(payloads([b"data: half"])) == [None]
