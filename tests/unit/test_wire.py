"""Framing: any cut of a stream gives the same bodies; any bytes give bodies, nothing yet, or MalformedMessage."""

from __future__ import annotations

from itertools import pairwise

import pytest
from contract.transports import identity
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.errors import MalformedMessage
from node.messages import Hello
from node.transport.libp2p import wire


def bodies_of(parser: wire.Bodies, pieces: list[bytes]) -> list[bytes]:
    found = []
    for piece in pieces:
        parser.feed(piece)
        while (body := parser.next()) is not None:
            found.append(body)
    return found


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 400), max_size=20))
def test_a_stream_may_be_cut_anywhere(bodies: list[bytes], cuts: list[int]):
    stream = b"".join(map(wire.prefixed, bodies))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[begin:end] for begin, end in pairwise(edges)]
    assert bodies_of(wire.Bodies(40), pieces) == bodies


@given(st.binary(max_size=300))
def test_any_bytes_are_bodies_or_malformed(stream: bytes):
    parser = wire.Bodies(64)
    try:
        found = bodies_of(parser, [stream])
    except MalformedMessage:
        return
    assert all(len(body) <= 64 for body in found)
    assert stream.startswith(b"".join(map(wire.prefixed, found)))


def test_a_length_over_the_limit_is_refused_before_its_body_comes():
    parser = wire.Bodies(10)
    parser.feed((11).to_bytes(4, "big"))
    with pytest.raises(MalformedMessage):
        parser.next()


def test_the_limit_may_change_between_bodies_of_one_read():
    parser = wire.Bodies(4)
    parser.feed(wire.prefixed(b"tiny") + wire.prefixed(b"longer"))
    assert parser.next() == b"tiny"
    parser.bytes_max = 6
    assert parser.next() == b"longer"


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=50),
)
def test_a_frame_is_read_as_it_was_written(number: int, acknowledged: int, payload: bytes):
    parser = wire.Bodies(100)
    parser.feed(wire.frame_head(wire.DATA, number, acknowledged, len(payload)) + payload)
    body = parser.next()
    assert body is not None
    assert wire.parse_frame(body) == wire.Frame(wire.DATA, number, acknowledged, payload)


@given(st.binary(max_size=60))
def test_any_body_is_a_frame_or_malformed(body: bytes):
    try:
        frame = wire.parse_frame(body)
    except MalformedMessage:
        return
    assert wire.frame_head(frame.kind, frame.number, frame.acknowledged, len(frame.payload))[4:] + frame.payload == body


@pytest.mark.parametrize(("kind", "number", "payload"), [(3, 0, b""), (wire.ACK, 1, b""), (wire.BYE, 0, b"x")])
def test_only_data_has_a_number_and_a_payload(kind: int, number: int, payload: bytes):
    with pytest.raises(MalformedMessage):
        wire.parse_frame(wire.frame_head(kind, number, 0, len(payload))[4:] + payload)


@given(st.binary(max_size=200))
def test_any_body_is_an_opening_and_a_header_or_malformed(body: bytes):
    for decode in (wire.decode_opening, wire.decode_header):
        try:
            decode(body)
        except MalformedMessage:
            continue


def test_the_longest_opening_fits():
    peer = identity(1).peer_id
    address = f"/dns4/{'h' * 180}/tcp/65535/p2p/{peer}"
    hello = Hello(agent="a" * 64, addresses=(address,) * limits.ADDRESSES_PER_PEER_MAX)
    opening = wire.Opening(nonce=bytes(16), known=bytes(16), received=2**62, hello=hello)
    parser = wire.Bodies(limits.OPENING_BYTES_MAX)
    parser.feed(wire.encode_opening(opening))
    body = parser.next()
    assert body is not None
    assert wire.decode_opening(body) == opening


@pytest.mark.parametrize("header", [wire.BlobSize(2**40), wire.BlobRefusal("no")])
def test_headers_are_read_as_they_were_written(header: wire.BlobHeader):
    assert wire.decode_header(wire.encode_header(header)[4:]) == header
